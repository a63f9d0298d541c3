//! A publisher whose clock wraps, jumps and goes back: viewers get one timeline that never does, and audio stays with video.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;
mod rtmp_wire;

use std::collections::HashMap;

use cruvz_core::{
    TrackId, TrackKind,
    protocol::rtmp::{
        MediaKind, MediaMessage,
        client::Role,
        server::{Event, ServerConfig},
    },
};
use live::{Peer, engine, name, rtmp_addr, soon};

const CAPTURE: &[u8] = include_bytes!("fixtures/rtmp/ffmpeg-5.1-publish.bin");
const HOUR_MS: u32 = 3_600_000;
/// Each begins a pass of the clip: across 24 and 32 bits, then on, an hour on, an hour back, and from zero again.
const STARTS: [u32; 6] = [0xff_ff00, u32::MAX - 100, 1_000_000, 1_000_000 + HOUR_MS, 1_000_000, 0];

/// What ffmpeg published: ten pictures and their sound.
fn messages() -> Vec<MediaMessage> {
    let mut server = rtmp_wire::server(ServerConfig::default());
    let mut messages = Vec::new();
    for piece in CAPTURE.chunks(4096) {
        server.receive(piece).unwrap();
        while let Some(event) = server.poll_event() {
            rtmp_wire::accept(&mut server, &event).unwrap();
            if let Event::Message(message) = event
                && message.kind != MediaKind::Data
            {
                messages.push(message);
            }
        }
    }
    messages
}

#[tokio::test]
async fn wraps_and_jumps_of_a_publisher_stay_its_own() {
    let engine = engine(|config| {
        config.hub.log_ms = 600_000;
        config.egress.max_lag_ms = 600_000;
    })
    .await;
    let mut publisher = Peer::ask(rtmp_addr(&engine), Role::Publish, "live/cam").await.ok().unwrap();
    let messages = messages();
    let mut viewer = None;
    let (mut newest, mut frames) = (HashMap::<TrackId, i64>::new(), 0);
    for start in STARTS {
        for message in &messages {
            let at = start.wrapping_add(message.timestamp_ms);
            publisher.rtmp.send(message.kind, at, &[&message.payload]).unwrap();
        }
        publisher.send().await;
        let viewer = match &mut viewer {
            Some(viewer) => viewer,
            none => none.insert(soon(engine.subscribe(name("live/cam"))).await.unwrap()),
        };
        // Ten pictures of each pass, each behind what was before, and its sound beside it.
        let mut pictures = 0;
        while pictures < 10 {
            let frame = soon(viewer.next()).await.expect("the stream goes on");
            let dts_ms = frame.dts.as_micros() / 1000;
            let before = newest.insert(frame.track, dts_ms);
            assert!(before.is_none_or(|before| before <= dts_ms), "pass {start}: {before:?}, then {dts_ms}");
            assert!(
                before.is_none_or(|before| dts_ms - before < 2_000),
                "pass {start}: a hole before {dts_ms}"
            );
            let kind = viewer.tracks().by_id(frame.track).unwrap().kind();
            pictures += usize::from(kind == TrackKind::Video);
            frames += 1;
        }
        let (least, most) = (newest.values().min().unwrap(), newest.values().max().unwrap());
        // Sound and pictures are sent in turn: the newest of each are no further apart than ffmpeg sent them.
        assert!(most - least < 500, "pass {start}: {newest:?}");
    }
    assert!(frames > 60, "{frames}");
}
