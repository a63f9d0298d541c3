//! RTP payloads of every codec: frames within the limit, counted as they come; and those frames in packets again are the
//! same frames, whatever the limit of a payload is.
#![no_main]

use bytes::Bytes;
use cruvz_fuzz::records;
use cruvz_media::{
    Codec, Frame, Timestamp, TrackId,
    codec::nal::nal_units,
    rtp::{Depacketizer, Event, Header, Limits, Packet, Packetizer, Payload, clock_rate},
};
use libfuzzer_sys::fuzz_target;

/// The order is that of seeds.py.
const CODECS: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];
const LIMIT: usize = 100_000;
const LOST: u8 = 0x40;
const MARKER: u8 = 0x80;

fuzz_target!(|data: &[u8]| {
    let [which, limit, data @ ..] = data else { return };
    let codec = CODECS[usize::from(*which) % CODECS.len()];
    let mut depacketizer = depacketizer(codec);
    let (mut events, mut timestamp) = (Vec::new(), 0u32);
    // A record's kind: marker, loss before it, and how much later than the one before it is.
    for (kind, payload) in records(data) {
        timestamp = timestamp.wrapping_add((kind & 0x3F).into());
        let header = Header { marker: kind & MARKER != 0, timestamp, ..Header::default() };
        let packet = Packet::new(header, Bytes::copy_from_slice(payload));
        depacketizer.push(&packet, kind & LOST != 0, &mut events);
    }
    let frames = events.iter().filter(|event| matches!(event, Event::Frame { .. })).count();
    assert_eq!(frames as u64, depacketizer.counters().frames);
    again(codec, usize::from(*limit) * 8, events);
});

fn depacketizer(codec: Codec) -> Depacketizer {
    Depacketizer::new(codec, Limits { frame_bytes: LIMIT }).expect("it has a payload format")
}

/// Puts the frames among `events` into packets and takes them out again: they are the same, but for the sequence header that
/// AV1 keyframes get.
fn again(codec: Codec, limit: usize, events: Vec<Event>) {
    let scale = clock_rate(codec).expect("it has a payload format");
    let mut second = depacketizer(codec);
    let mut packetizer = None;
    for (number, event) in (0..).zip(events) {
        let (keyframe, payload) = match event {
            Event::Params(params) => {
                packetizer = Packetizer::new(&params, limit);
                continue;
            }
            Event::Frame { keyframe, payload, .. } => (keyframe, payload),
            _ => continue,
        };
        assert!(payload.len() <= LIMIT + 64, "{} bytes", payload.len());
        // Parameter sets that are left in a frame are incomplete or too many; behind the track's they mean something else.
        if has_sets(codec, &payload) {
            return;
        }
        let pts = Timestamp::new(number.into(), scale);
        let frame = Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe, payload };
        let mut payloads = Vec::new();
        packetizer.as_mut().expect("parameters come first").packetize(&frame, &mut payloads);
        let mut found = Vec::new();
        for Payload { bytes, marker, .. } in payloads {
            let header = Header { marker, timestamp: number, ..Header::default() };
            second.push(&Packet::new(header, bytes), false, &mut found);
        }
        assert_eq!(second.counters().malformed, 0, "our own packets are in order");
        for event in found {
            if let Event::Frame { timestamp, keyframe, payload } = event {
                assert_eq!((timestamp, keyframe), (number, frame.keyframe));
                assert!(payload.ends_with(&frame.payload));
                assert!(codec == Codec::Av1 || payload.len() == frame.payload.len());
            }
        }
    }
}

fn has_sets(codec: Codec, payload: &[u8]) -> bool {
    let is_set = |unit: &[u8]| match codec {
        Codec::H264 => matches!(unit[0] & 0x1F, 7 | 8),
        _ => matches!(unit[0] >> 1 & 0x3F, 32..=34),
    };
    let is_nal = matches!(codec, Codec::H264 | Codec::H265);
    is_nal && nal_units(payload).any(|unit| is_set(unit.expect("a frame of our own making")))
}
