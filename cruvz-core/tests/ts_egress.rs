//! MPEG-TS over HTTP as a viewer meets it: whole from its first packet on, also after it fell behind.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod live;

use std::fs::File;

use cruvz_core::{Engine, Frame, LiveFormat, LiveRequest, LiveViewer, Publisher, TrackKind};
use cruvz_media::container::{
    file::{Limits, Loop, Reader},
    mpegts::{Counters, Demuxer, Event},
};
use live::{engine, name, soon};

/// 20 frames of H.264 at 25 fps and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

/// Publishes the clip from code, again and again on one timeline.
struct Source {
    publisher: Publisher,
    reader: Reader<File>,
    passes: Loop,
}

impl Source {
    async fn new(engine: &Engine) -> Self {
        let reader = Reader::open(File::open(CLIP).unwrap(), Limits::default()).unwrap();
        let publisher = engine.publish(name("live/cam"), reader.tracks().clone()).await.unwrap();
        Self { publisher, reader, passes: Loop::default() }
    }

    /// Writes the clip once and gives what was written.
    fn pass(&mut self) -> Vec<Frame> {
        let mut written = Vec::new();
        while let Some(mut frame) = self.reader.next_frame().unwrap() {
            self.passes.place(&mut frame);
            self.publisher.write(frame.clone()).unwrap();
            written.push(frame);
        }
        self.reader.rewind().unwrap();
        self.passes.restart();
        written
    }
}

async fn watch(engine: &Engine) -> LiveViewer {
    let remote = "192.0.2.1:1".parse().unwrap();
    let request =
        LiveRequest { stream: name("live/cam"), query: String::new(), remote, format: LiveFormat::Ts };
    soon(engine.live().open(request)).await.unwrap()
}

/// The next piece of what a viewer gets: it begins when it reads.
async fn piece(viewer: &mut LiveViewer) -> Demuxer {
    let mut demuxer = Demuxer::default();
    demuxer.push(&soon(viewer.next()).await.unwrap());
    demuxer
}

/// All else that it gets until the stream ends.
async fn read(mut viewer: LiveViewer, mut demuxer: Demuxer) -> (Vec<Frame>, Counters) {
    while let Some(piece) = soon(viewer.next()).await {
        demuxer.push(&piece);
    }
    demuxer.finish();
    let events = std::iter::from_fn(|| demuxer.next_event());
    let frames = events.filter_map(|event| match event {
        Event::Frame(frame) => Some(frame),
        _ => None,
    });
    (frames.collect(), demuxer.counters())
}

fn payloads(frames: &[Frame], kind: TrackKind, source: &Source) -> Vec<bytes::Bytes> {
    let track = source.publisher.tracks().first(kind).unwrap().id;
    frames.iter().filter(|frame| frame.track == track).map(|frame| frame.payload.clone()).collect()
}

#[tokio::test]
async fn a_viewer_gets_every_frame() {
    let engine = engine(|_| {}).await;
    let mut source = Source::new(&engine).await;
    let mut written = source.pass();
    let mut viewer = watch(&engine).await;
    let begun = piece(&mut viewer).await;
    written.extend(source.pass());
    source.publisher.stream().clone().end("it is over");
    let (got, counters) = read(viewer, begun).await;
    assert_eq!(counters.continuity_errors + counters.dropped(), 0, "{counters:?}");
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let (written, got) = (payloads(&written, kind, &source), payloads(&got, kind, &source));
        // It began at the newest keyframe there was.
        assert!(got.len() >= written.len() / 2, "{} of {}", got.len(), written.len());
        assert!(written.ends_with(&got), "{kind:?}");
    }
}

#[tokio::test]
async fn one_that_fell_behind_goes_on_without_an_error() {
    let engine = engine(|config| config.egress.max_lag_ms = 1_000).await;
    let mut source = Source::new(&engine).await;
    source.pass();
    let mut viewer = watch(&engine).await;
    let begun = piece(&mut viewer).await;
    // 8 s pass it by.
    for _ in 0..10 {
        source.pass();
    }
    source.publisher.stream().clone().end("it is over");
    let (got, counters) = read(viewer, begun).await;
    assert_eq!(counters.continuity_errors + counters.dropped(), 0, "{counters:?}");
    let pictures = payloads(&got, TrackKind::Video, &source).len();
    assert!((20..10 * 20).contains(&pictures), "{pictures}: it jumped");
}
