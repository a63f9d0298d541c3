//! A stream as the engine shows it, from the first viewer that waits to its end.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;

use std::{fs::File, time::Duration};

use cruvz_core::{Engine, Frame, StreamInfo};
use cruvz_media::container::file::{Limits, Reader};
use live::name;

/// 20 frames of H.264 at 25 fps, 320 by 180, and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

fn only(engine: &Engine) -> StreamInfo {
    let [info] = &engine.stream_infos()[..] else { panic!("one stream") };
    info.clone()
}

#[tokio::test(start_paused = true)]
async fn its_state_its_tracks_and_its_figures_are_shown() {
    let engine = Engine::builder().start().await.unwrap();
    let waiting = tokio::spawn({
        let engine = engine.clone();
        async move { engine.subscribe(name("live/cam")).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((only(&engine).state, only(&engine).tracks.len()), ("awaited", 0));

    let mut reader = Reader::open(File::open(CLIP).unwrap(), Limits::default()).unwrap();
    let mut publisher = engine.publish(name("live/cam"), reader.tracks().clone()).await.unwrap();
    let frames: Vec<Frame> = std::iter::from_fn(|| reader.next_frame().unwrap()).collect();
    let bytes: usize = frames.iter().map(|frame| frame.payload.len()).sum();
    let count = frames.len() as u64;
    for frame in frames {
        publisher.write(frame).unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let info = only(&engine);
    assert_eq!((info.state, info.publisher.is_some()), ("live", true));
    let written = info.totals.video_frames + info.totals.audio_frames;
    assert_eq!((written, info.totals.bytes), (count, bytes as u64));
    assert!(info.log_bytes > bytes, "{}", info.log_bytes);
    let [video, audio] = &info.tracks[..] else { panic!("{:?}", info.tracks) };
    assert_eq!((video.kind, video.codec, audio.kind, audio.codec), ("video", "H.264", "audio", "AAC"));
    assert!(video.rfc6381.starts_with("avc1.") && audio.rfc6381 == "mp4a.40.2", "{:?}", info.tracks);
    assert!(video.width > Some(0) && video.height > Some(0) && video.fps == Some(25.0), "{video:?}");
    assert_eq!((video.sample_rate_hz, audio.width), (None, None));
    assert!(audio.sample_rate_hz > Some(0) && audio.channels > Some(0), "{audio:?}");

    drop(publisher);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((only(&engine).state, only(&engine).publisher), ("grace", None));
    let stream = engine.stream(&name("live/cam")).unwrap();
    stream.end("the show is over");
    stream.end("twice");
    assert_eq!(stream.info().state, "ended");
    assert!(!stream.is_playable());
    let mut viewer = waiting.await.unwrap();
    while viewer.next().await.is_some() {}
}
