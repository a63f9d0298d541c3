//! Files played into a stream: paced by the clock, repeated without a seam, ended cleanly, and harmless when broken.

#![expect(clippy::unwrap_used, reason = "a test that meets an error has failed")]

use std::{fs, path::PathBuf, time::Duration};

use cruvz_core::{
    Engine, EngineConfig, ErrorKind, Event, FileSource, Frame, Pace, StreamName, Subscriber, TrackId,
};
use tokio::time::Instant;

fn fixture(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cruvz-media/tests/fixtures").join(file)
}

fn name() -> StreamName {
    "live/demo".parse().unwrap()
}

async fn engine() -> Engine {
    let mut config = EngineConfig::default();
    config.hub.end_on_unpublish = true;
    Engine::builder().config(config).start().await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "tokio's paused clock, read beside the engine")]
fn now() -> Instant {
    Instant::now()
}

/// The frames a viewer gets until the stream ends, each with the time it came at.
async fn watch(subscriber: &mut Subscriber, most: usize) -> Vec<(Duration, Frame)> {
    let start = now();
    let mut frames = Vec::new();
    while frames.len() < most
        && let Some(frame) = subscriber.next().await
    {
        frames.push((now() - start, frame));
    }
    frames
}

fn video(frames: &[(Duration, Frame)]) -> Vec<&(Duration, Frame)> {
    frames.iter().filter(|(_, frame)| frame.track == TrackId::VIDEO).collect()
}

#[tokio::test(start_paused = true)]
async fn frames_come_when_they_are_due() {
    for file in ["mp4/avc-aac.mp4", "flv/h264_aac.flv"] {
        let engine = engine().await;
        let mut playback = engine.publish_file(name(), FileSource::new(fixture(file))).await.unwrap();
        let mut subscriber = engine.subscribe(name()).await.unwrap();
        let frames = watch(&mut subscriber, usize::MAX).await;
        assert!(frames.len() > 25, "{file}: {} frames", frames.len());
        let (first_at, first) = &frames[0];
        for (at, frame) in &frames {
            let (passed, due) = (*at - *first_at, frame.dts.duration_since(first.dts));
            assert!(
                passed.abs_diff(due) <= Duration::from_millis(2),
                "{file}: due at {due:?}, came at {passed:?}"
            );
        }
        playback.wait().await;
        let progress = playback.progress();
        assert_eq!((progress.passes, progress.errors), (1, 0), "{file}");
        assert_eq!(progress.ended.as_deref(), Some("file ended"), "{file}");
        assert!(engine.streams().is_empty(), "{file}: the stream is over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_file_goes_on_without_a_seam() {
    let engine = engine().await;
    let source = FileSource::new(fixture("mp4/avc-aac.mp4")).repeat();
    let mut playback = engine.publish_file(name(), source).await.unwrap();
    let mut subscriber = engine.subscribe(name()).await.unwrap();
    // Ten passes of 0.8 s.
    let frames = watch(&mut subscriber, 600).await;
    let video = video(&frames);
    for pair in video.windows(2) {
        let step = pair[1].1.dts.duration_since(pair[0].1.dts);
        // The audio is two of its frames longer than the video.
        assert!((38..=83).contains(&step.as_millis()), "{step:?}");
    }
    let covered = video[video.len() - 1].1.dts.duration_since(video[0].1.dts);
    assert!(covered > Duration::from_secs(7), "{covered:?}");
    assert!(playback.progress().passes >= 9);
    assert_eq!(engine.sessions().len(), 2, "the file and the viewer");
    playback.stop();
    playback.wait().await;
    assert_eq!(playback.progress().ended.as_deref(), Some("stopped"));
}

#[tokio::test(start_paused = true)]
async fn an_unpaced_file_takes_no_time() {
    let engine = engine().await;
    let start = now();
    let source = FileSource::new(fixture("mp4/avc-aac.mp4")).pace(Pace::Unpaced);
    let mut playback = engine.publish_file(name(), source).await.unwrap();
    playback.wait().await;
    assert_eq!(playback.progress().frames, 59);
    assert!(now() - start < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn it_is_a_session_that_can_be_ended() {
    let engine = engine().await;
    let mut events = engine.events();
    let source = FileSource::new(fixture("mp4/avc-aac.mp4")).repeat();
    let mut playback = engine.publish_file(name(), source).await.unwrap();
    let session = engine.sessions().pop().unwrap();
    assert_eq!(session.protocol.name(), "file");
    assert!(engine.end_session(session.id, "enough"));
    playback.wait().await;
    assert_eq!(playback.progress().ended.as_deref(), Some("enough"));
    let mut states = Vec::new();
    while states.len() < 2 {
        if let Event::RemoteState { state, detail, target, .. } = events.next().await.unwrap() {
            assert!(target.ends_with("avc-aac.mp4"));
            states.push((state, detail));
        }
    }
    assert_eq!(states, [("running", String::new()), ("stopped", "enough".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_engine() {
    let engine = engine().await;
    let source = FileSource::new(fixture("mp4/avc-aac.mp4")).repeat();
    let mut playback = engine.publish_file(name(), source).await.unwrap();
    engine.shutdown().await;
    playback.wait().await;
    assert!(playback.progress().ended.is_some());
    let refused = engine.publish_file(name(), FileSource::new(fixture("mp4/avc-aac.mp4"))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_played_is_refused_with_its_reason() {
    let engine = engine().await;
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    for (path, kind, words) in [
        (PathBuf::from("no such file.mp4"), ErrorKind::NotFound, "no such file.mp4"),
        (manifest, ErrorKind::Unsupported, "neither MP4, FLV nor MPEG-TS"),
    ] {
        let refused = engine.publish_file(name(), FileSource::new(path)).await.unwrap_err();
        assert_eq!(refused.kind(), kind, "{words}");
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert!(engine.streams().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_gives_what_can_be_read_of_it() {
    let whole = fs::read(fixture("mp4/avc-aac-fragmented.mp4")).unwrap();
    let path = std::env::temp_dir().join(format!("cruvz-damaged-{}.mp4", std::process::id()));
    fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
    let engine = engine().await;
    let mut playback = engine.publish_file(name(), FileSource::new(&path)).await.unwrap();
    playback.wait().await;
    fs::remove_file(&path).unwrap();
    let progress = playback.progress();
    assert!(progress.frames > 15, "{progress:?}");
    assert!(progress.errors > 0, "{progress:?}");
    assert_eq!(progress.ended.as_deref(), Some("file ended"));
}
