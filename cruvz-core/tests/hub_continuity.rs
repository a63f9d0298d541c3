//! A stream outlives its publisher's connection: one timeline, the same viewers.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use bytes::Bytes;
use cruvz_core::{
    Codec, CodecParams, Engine, EngineConfig, ErrorKind, Event, Format, Frame, StreamName, Timescale,
    Timestamp, Track, TrackId, Tracks, VideoFormat, config::SecondPublisher,
};

fn video() -> Tracks {
    let format = VideoFormat { width: 640, height: 360, ..VideoFormat::default() };
    let params = CodecParams {
        codec: Codec::Vp8,
        config: Bytes::new(),
        format: Format::Video(format),
        rfc6381: "vp8".into(),
    };
    Tracks::new(vec![Track { id: TrackId::VIDEO, timescale: Timescale::MILLIS, params }])
}

fn frame(ms: i64, keyframe: bool) -> Frame {
    let at = Timestamp::from_millis(ms);
    Frame { track: TrackId::VIDEO, pts: at, dts: at, keyframe, payload: Bytes::from(format!("frame {ms}")) }
}

fn cam() -> StreamName {
    "live/cam".parse().unwrap()
}

async fn engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    change(&mut config);
    Engine::builder().config(config).start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_viewer_starts_at_the_newest_keyframe() {
    let engine = engine(|_| {}).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    for n in 0..70 {
        publisher.write(frame(n * 40, n % 25 == 0)).unwrap();
    }
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    let first = viewer.next().await.unwrap();
    assert!(first.keyframe);
    assert_eq!(first.payload, "frame 2000");
    assert_eq!(viewer.next().await.unwrap().payload, "frame 2040");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_may_come_before_the_publisher() {
    let engine = engine(|_| {}).await;
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.subscribe(cam()).await.unwrap().next().await.unwrap().payload }
    });
    tokio::time::sleep(Duration::from_secs(9)).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(0, false)).unwrap();
    publisher.write(frame(40, true)).unwrap();
    assert_eq!(waiting.await.unwrap(), "frame 40");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_waits_in_vain_is_told_and_forgotten() {
    let engine = engine(|_| {}).await;
    let error = engine.subscribe(cam()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "nobody publishes live/cam");
    assert!(engine.streams().is_empty() && engine.sessions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_a_stream_without_keyframes_is_told_that_it_has_none() {
    let engine = engine(|_| {}).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(0, false)).unwrap();
    let error = engine.subscribe(cam()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("has a publisher, but"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_is_back_in_time_goes_on_on_the_same_timeline() {
    let engine = engine(|_| {}).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(5_000, true)).unwrap();
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    let before = viewer.next().await.unwrap();
    drop(publisher);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(70, false)).unwrap();
    publisher.write(frame(90_000, true)).unwrap();
    let after = viewer.next().await.unwrap();
    assert_eq!(after.payload, "frame 90000");
    let gap = after.dts.micros_since(before.dts);
    assert!((2_900_000..3_100_000).contains(&gap), "{gap}");
}

#[tokio::test(start_paused = true)]
async fn past_the_grace_viewers_are_told() {
    let engine = engine(|_| {}).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(0, true)).unwrap();
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    viewer.next().await.unwrap();
    let mut events = engine.events();
    publisher.finish("done");
    assert!(viewer.next().await.is_none());
    drop(viewer);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.push(events.next().await.unwrap());
    }
    assert!(seen.iter().any(|event| matches!(event, Event::PublisherLost { grace_ms: 10_000, .. })));
    let ended = |event: &Event| matches!(event, Event::StreamEnded { reason, .. } if reason == "publisher did not come back");
    assert!(seen.iter().any(ended), "{seen:?}");
    assert!(engine.stream(&cam()).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_second_publisher_is_refused_by_default() {
    let engine = engine(|_| {}).await;
    let mut first = engine.publish(cam(), video()).await.unwrap();
    let error = engine.publish(cam(), video()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    first.write(frame(0, true)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_publisher_may_take_over() {
    let engine = engine(|config| config.hub.second_publisher = SecondPublisher::TakeOver).await;
    let mut first = engine.publish(cam(), video()).await.unwrap();
    first.write(frame(0, true)).unwrap();
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    viewer.next().await.unwrap();
    let mut second = engine.publish(cam(), video()).await.unwrap();
    assert_eq!(first.write(frame(40, true)).unwrap_err().kind(), ErrorKind::Closed);
    drop(first);
    second.write(frame(777, true)).unwrap();
    assert_eq!(viewer.next().await.unwrap().payload, "frame 777");
}

#[tokio::test(start_paused = true)]
async fn a_backup_takes_over_at_its_next_keyframe() {
    let engine = engine(|config| config.hub.second_publisher = SecondPublisher::Backup).await;
    let mut first = engine.publish(cam(), video()).await.unwrap();
    first.write(frame(0, true)).unwrap();
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    viewer.next().await.unwrap();
    let mut backup = engine.publish(cam(), video()).await.unwrap();
    assert!(engine.publish(cam(), video()).await.is_err(), "one backup is enough");
    backup.write(frame(9_000, true)).unwrap();
    drop(first);
    backup.write(frame(9_040, false)).unwrap();
    backup.write(frame(9_080, true)).unwrap();
    assert_eq!(viewer.next().await.unwrap().payload, "frame 9080");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_sleeps_skips_to_a_keyframe_and_is_counted() {
    let engine = engine(|_| {}).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(0, true)).unwrap();
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    viewer.next().await.unwrap();
    for n in 1..500 {
        tokio::time::advance(Duration::from_millis(40)).await;
        publisher.write(frame(n * 40, n % 25 == 0)).unwrap();
    }
    let next = viewer.next().await.unwrap();
    assert!(next.keyframe);
    assert_eq!(next.payload, "frame 19000");
    let session = engine.sessions().into_iter().find(|session| session.skips > 0).unwrap();
    assert_eq!((session.skips, session.dropped_frames), (1, 474));
}

#[tokio::test(start_paused = true)]
async fn a_session_can_be_ended_from_outside() {
    let engine = engine(|_| {}).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    publisher.write(frame(0, true)).unwrap();
    let mut viewer = engine.subscribe(cam()).await.unwrap();
    viewer.next().await.unwrap();
    let id = engine.sessions().last().unwrap().id;
    let waiting = tokio::spawn(async move { viewer.next().await });
    tokio::task::yield_now().await;
    assert!(engine.end_session(id, "enough"));
    assert!(waiting.await.unwrap().is_none());
    assert!(!engine.end_session(id, "again"));
    let id = engine.sessions()[0].id;
    engine.end_session(id, "and you");
    assert_eq!(publisher.write(frame(40, true)).unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_engine_lets_nobody_in() {
    let engine = engine(|_| {}).await;
    let publisher = engine.publish(cam(), video()).await.unwrap();
    engine.drain(Duration::from_secs(5)).await;
    assert_eq!(engine.publish(cam(), video()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(engine.stream(&cam()).is_none());
    drop(publisher);
    engine.run().await;
}
