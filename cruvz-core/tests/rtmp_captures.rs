//! What real clients send, replayed: each is understood, in pieces of any size. How the captures were made stands
//! in `fixtures/rtmp/README.md`.

#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use cruvz_core::protocol::rtmp::MediaKind;
use cruvz_core::protocol::rtmp::server::{Event, ServerConfig};
use proptest::prelude::*;
use rtmp_wire::{accept, server};

const CAPTURES: [(&str, &[u8]); 6] = [
    ("ffmpeg 5.1 publishes", include_bytes!("fixtures/rtmp/ffmpeg-5.1-publish.bin")),
    ("ffmpeg 9.0 publishes", include_bytes!("fixtures/rtmp/ffmpeg-9.0-enhanced-publish.bin")),
    ("GStreamer publishes", include_bytes!("fixtures/rtmp/gstreamer-1.22-publish.bin")),
    ("OBS publishes", include_bytes!("fixtures/rtmp/obs-29.0-publish.bin")),
    ("ffmpeg 5.1 plays", include_bytes!("fixtures/rtmp/ffmpeg-5.1-play.bin")),
    ("GStreamer plays", include_bytes!("fixtures/rtmp/gstreamer-1.22-play.bin")),
];

/// All events of a capture that is fed in pieces of `step`, and how many commands were refused.
fn replay(capture: &[u8], step: usize) -> (Vec<Event>, u32) {
    let mut server = server(ServerConfig::default());
    let mut events = Vec::new();
    for piece in capture.chunks(step) {
        server.receive(piece).unwrap();
        while let Some(event) = server.poll_event() {
            accept(&mut server, &event).unwrap();
            events.push(event);
        }
        while server.poll_transmit().is_some() {}
    }
    (events, server.rejected_commands())
}

fn count(events: &[Event], kind: MediaKind) -> usize {
    events.iter().filter(|event| matches!(event, Event::Message(media) if media.kind == kind)).count()
}

#[test]
fn every_capture_is_understood_the_same_in_pieces_of_any_size() {
    for (name, capture) in CAPTURES {
        let (events, rejected) = replay(capture, usize::MAX);
        assert_eq!(rejected, 0, "{name}");
        for step in [1, 7, 128, 1460] {
            assert!(replay(capture, step).0 == events, "{name} in pieces of {step}");
        }
    }
}

#[test]
fn publishers_connect_publish_and_send_metadata_and_configurations_first() {
    // FourCCs, video and audio messages. The clips have 10 pictures, 23 AAC and 51 Opus packets (by ffprobe); to
    // them come configurations, ffmpeg's end of sequence or colour information, and GStreamer leaves out the AAC
    // packet before time 0. OBS's capture is cut off.
    for ((name, capture), (app_caps, video, audio)) in
        CAPTURES.into_iter().zip([(0, 12, 24), (2, 12, 53), (0, 12, 23), (0, 7, 27)])
    {
        let (events, _) = replay(capture, 4096);
        let Event::ConnectRequested(connect) = &events[0] else { panic!("{name}: {:?}", events[0]) };
        assert_eq!(connect.app(), "live", "{name}");
        assert!(connect.tc_url().unwrap().ends_with("/live") && connect.flash_ver().is_some(), "{name}");
        assert_eq!(connect.four_cc_list().count(), app_caps, "{name}");
        let Event::PublishRequested(publish) = &events[1] else { panic!("{name}: {:?}", events[1]) };
        assert_eq!((&publish.app[..], &publish.name[..], publish.stream_id), ("live", "cam", 1), "{name}");
        assert_eq!(publish.params.get("token"), (app_caps == 0).then_some("abc"), "{name}");
        let Event::Message(metadata) = &events[2] else { panic!("{name}: {:?}", events[2]) };
        assert!(metadata.payload.starts_with(b"\x02\x00\x0aonMetaData"), "{name}");
        assert_eq!(
            (count(&events, MediaKind::Video), count(&events, MediaKind::Audio)),
            (video, audio),
            "{name}"
        );
    }
}

#[test]
fn players_connect_and_play_the_live_stream() {
    for (name, capture) in &CAPTURES[4..] {
        let (events, _) = replay(capture, 4096);
        let Event::PlayRequested(play) = &events[1] else { panic!("{name}: {:?}", events[1]) };
        assert_eq!((&play.app[..], &play.name[..], play.stream_id), ("live", "cam", 1), "{name}");
        assert_eq!(play.start_s, -2.0, "{name}");
    }
}

proptest! {
    #[test]
    fn damaged_captures_are_taken_or_refused(
        which in 0..CAPTURES.len(),
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        step in 1..4_000usize,
    ) {
        let mut capture = CAPTURES[which].1.to_vec();
        // Beyond the handshake, whose damage is another test's.
        let handshake = 1 + 2 * 1536;
        for (place, value) in places {
            let place = handshake + place.index(capture.len() - handshake);
            capture[place] = value;
        }
        let mut server = server(ServerConfig::default());
        'all: for piece in capture.chunks(step) {
            if server.receive(piece).is_err() {
                prop_assert!(server.is_closing());
                break;
            }
            while let Some(event) = server.poll_event() {
                if accept(&mut server, &event).is_err() {
                    break 'all;
                }
            }
            while server.poll_transmit().is_some() {}
        }
    }
}
