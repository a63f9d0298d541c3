//! The whole receiver of a WHIP publisher, given any RTP and RTCP at any time: what it holds and sends is bounded, its timers
//! end, it asks for keyframes at a bounded rate, and its frames belong to tracks that were told.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use cruvz_core::{
    Codec,
    protocol::webrtc::{
        receiver::{Config, Event, Receiver},
        rtcp,
        sdp::{Extensions, Feedback, Media, Source},
    },
};
use cruvz_fuzz::records;
use libfuzzer_sys::fuzz_target;

const START: Duration = Duration::from_secs(100);

/// Sound and pictures, as `flags` say: of which codec, with which feedback, announced or not, in layers or not.
fn media(flags: u8) -> Vec<Media> {
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    let (mut feedback, mut extensions) = (Feedback::default(), Extensions::default());
    (feedback.transport_cc, feedback.remb) = (is_set(0), !is_set(0));
    (feedback.nack, feedback.pli, feedback.fir) = (is_set(1), is_set(2), true);
    (extensions.mid, extensions.transport_cc) = (Some(1), Some(3));
    (extensions.rid, extensions.repaired_rid) = (Some(4), Some(5));
    let source = Source { ssrc: 1, rtx: Some(2) };
    let video = Media {
        line: 0,
        mid: Some("0".into()),
        codec: [Codec::Vp8, Codec::H264, Codec::Vp9, Codec::Av1][usize::from(flags >> 6)],
        payload_type: 96,
        rtx: Some(97),
        clock_rate: 90_000,
        feedback,
        extensions,
        reduced_size: is_set(3),
        sources: if is_set(4) { vec![source] } else { Vec::new() },
        layers: if is_set(5) { vec!["q".into(), "f".into()] } else { Vec::new() },
        sending: None,
    };
    let audio = Media {
        line: 1,
        mid: Some("1".into()),
        codec: Codec::Opus,
        payload_type: 111,
        rtx: None,
        clock_rate: 48_000,
        sources: Vec::new(),
        layers: Vec::new(),
        ..video.clone()
    };
    vec![video, audio]
}

/// Keyframes that a datagram of ours asks for.
fn keyframe_requests(datagram: &[u8]) -> usize {
    let packets = rtcp::packets(datagram).map(|packet| packet.expect("what we send can be read"));
    packets.filter(|packet| matches!(packet, rtcp::Packet::Pli(_) | rtcp::Packet::Fir(_))).count()
}

fuzz_target!(|data: &[u8]| {
    let [flags, rest @ ..] = data else { return };
    let mut config = Config::default();
    (config.max_packets, config.max_missing) = (256, 64);
    let most = config.max_packets * config.max_sources;
    let mut receiver = Receiver::new(START, &media(*flags), config);
    let (mut now, mut requests, mut tracks) = (START, 0, None);
    let mut layers = vec![None; receiver.layers().len()];
    for (act, datagram) in records(rest).take(300) {
        now += Duration::from_millis(u64::from(act & 0x3f) * u64::from(act & 0x3f));
        match act >> 6 {
            0 | 1 => receiver.rtp(now, Bytes::copy_from_slice(datagram)),
            2 => receiver.rtcp(now, datagram),
            _ if act & 1 == 1 => receiver.request_layer_keyframe(usize::from(act >> 1 & 3)),
            _ => receiver.request_keyframe(),
        }
        receiver.handle_timeout(now);
        let mut datagrams = 0;
        while let Some(datagram) = receiver.poll_rtcp(now) {
            assert!(datagram.len() <= 1_200, "{} bytes of RTCP", datagram.len());
            requests += keyframe_requests(&datagram);
            datagrams += 1;
        }
        assert!(datagrams <= 20, "{datagrams} datagrams at once");
        assert!(receiver.poll_timeout().is_none_or(|at| at > now), "a timer that does not end");
        assert!(receiver.stats().waiting <= most);
        while let Some(event) = receiver.poll_event() {
            match event {
                Event::Tracks(told) => tracks = Some(told),
                Event::Frame(frame) => {
                    let known = tracks.as_ref().and_then(|tracks| tracks.by_id(frame.track));
                    let track = known.expect("a frame of a track that was told");
                    assert!(frame.dts == frame.pts && frame.dts.timescale() == track.timescale);
                    assert!(!frame.payload.is_empty());
                }
                Event::Shown(layer) => assert!(layer < layers.len()),
                Event::LayerTrack(layer, track) => layers[layer] = Some(track),
                Event::LayerFrame(layer, frame) => {
                    let track = layers[layer].as_ref().expect("a frame of a layer that was told");
                    assert!(frame.track == track.id && !frame.payload.is_empty());
                }
                _ => {}
            }
        }
    }
    // Sources that come and go may each ask for one, and stay for a second at least.
    let seconds = usize::try_from((now - START).as_secs()).expect("a few hours");
    assert!(requests <= 10 + 10 * seconds, "{requests} requests for keyframes in {seconds} s");
});
