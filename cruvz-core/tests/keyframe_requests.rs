//! Viewers' requests for keyframes reach the publisher, at a bounded rate.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use bytes::Bytes;
use cruvz_core::{
    Codec, CodecParams, Engine, EngineConfig, Format, Frame, Publisher, StreamName, Timescale, Timestamp,
    Track, TrackId, Tracks, VideoFormat, config::SecondPublisher,
};
use tokio::time::{Instant, timeout};

const MS: Duration = Duration::from_millis(1);

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
    Frame { track: TrackId::VIDEO, pts: at, dts: at, keyframe, payload: Bytes::from_static(b"frame") }
}

fn cam() -> StreamName {
    "live/cam".parse().unwrap()
}

async fn engine(second_publisher: SecondPublisher) -> Engine {
    let mut config = EngineConfig::default();
    config.hub.second_publisher = second_publisher;
    Engine::builder().config(config).start().await.unwrap()
}

/// How long the publisher waits to be told; `None`: an hour.
async fn told_after(publisher: &Publisher) -> Option<Duration> {
    let from = now();
    timeout(Duration::from_secs(3_600), publisher.keyframe_requested()).await.ok()?;
    Some(now() - from)
}

#[expect(clippy::disallowed_methods, reason = "under paused time this is the test's own clock")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn a_publisher_is_told_of_many_requests_once_every_300_ms() {
    let engine = engine(SecondPublisher::Refuse).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    assert!(!publisher.take_keyframe_request());
    publisher.write(frame(0, true)).unwrap();
    let stream = publisher.stream().clone();
    for _ in 0..100 {
        assert!(stream.request_keyframe(), "this publisher looks");
    }
    assert_eq!(told_after(&publisher).await, Some(Duration::ZERO));
    tokio::time::sleep(100 * MS).await;
    stream.request_keyframe();
    assert!(!publisher.take_keyframe_request(), "too soon");
    let waited = told_after(&publisher).await.unwrap();
    assert!((200 * MS..=202 * MS).contains(&waited), "{waited:?}");
    assert_eq!(told_after(&publisher).await, None, "nobody asked again");
}

#[tokio::test(start_paused = true)]
async fn a_request_wakes_the_publisher_and_a_keyframe_answers_it() {
    let engine = engine(SecondPublisher::Refuse).await;
    let mut publisher = engine.publish(cam(), video()).await.unwrap();
    let stream = publisher.stream().clone();
    tokio::spawn(async move {
        tokio::time::sleep(1_000 * MS).await;
        stream.request_keyframe();
    });
    let waited = told_after(&publisher).await.unwrap();
    assert!((1_000 * MS..=1_002 * MS).contains(&waited), "{waited:?}");

    publisher.stream().request_keyframe();
    publisher.write(frame(40, true)).unwrap();
    assert_eq!(told_after(&publisher).await, None);
    publisher.write(frame(80, false)).unwrap();
    publisher.stream().request_keyframe();
    publisher.write(frame(120, false)).unwrap();
    assert!(publisher.take_keyframe_request(), "only a keyframe answers");
}

#[tokio::test(start_paused = true)]
async fn only_the_publisher_that_feeds_the_stream_is_told() {
    let engine = engine(SecondPublisher::Backup).await;
    let first = engine.publish(cam(), video()).await.unwrap();
    assert!(!first.stream().request_keyframe(), "nobody looked yet");
    let backup = engine.publish(cam(), video()).await.unwrap();
    first.stream().request_keyframe();
    assert!(!backup.take_keyframe_request());
    assert!(first.take_keyframe_request());
    drop(first);
    backup.stream().request_keyframe();
    assert_eq!(told_after(&backup).await, Some(Duration::ZERO));
}
