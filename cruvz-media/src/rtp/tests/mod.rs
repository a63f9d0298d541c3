//! What packetizers and depacketizers do with each other's packets, with those of other programs, and with damaged ones.

mod damage;
mod descriptors;
mod round_trip;
mod senders;

use bytes::Bytes;

use super::*;
use crate::{CodecParams, Frame, Timestamp, TrackId, codec};

/// What a program sent, and what ffprobe reads in the file that it sent.
#[derive(Clone, Copy)]
struct Fixture {
    name: &'static str,
    codec: Codec,
    packets: &'static [u8],
    frames: &'static str,
}

macro_rules! fixture {
    ($codec:ident, $packets:literal, $frames:literal) => {
        Fixture {
            name: $packets,
            codec: Codec::$codec,
            packets: include_bytes!(concat!("../../../tests/fixtures/rtp/", $packets, ".rtp")),
            frames: include_str!(concat!("../../../tests/fixtures/rtp/", $frames, ".frames")),
        }
    };
}

/// See `make.py` beside them.
const FIXTURES: [Fixture; 10] = [
    fixture!(H264, "h264", "h264"),
    fixture!(H265, "h265", "h265"),
    fixture!(Vp8, "vp8", "vp8"),
    fixture!(Vp9, "vp9", "vp9"),
    fixture!(Av1, "av1", "av1"),
    fixture!(Opus, "opus", "opus"),
    fixture!(H264, "h264.gst", "h264"),
    fixture!(H265, "h265.gst", "h265"),
    fixture!(Vp8, "vp8.gst", "vp8"),
    fixture!(Vp9, "vp9.gst", "vp9"),
];

impl Fixture {
    fn of(codec: Codec) -> Self {
        FIXTURES.into_iter().find(|fixture| fixture.codec == codec).unwrap()
    }

    fn packets(&self) -> Vec<Packet> {
        let mut rest = self.packets;
        let mut packets = Vec::new();
        while let [high, low, after @ ..] = rest {
            let (packet, after) = after.split_at(u16::from_be_bytes([*high, *low]).into());
            packets.push(Packet::parse(Bytes::from_static(packet)).unwrap());
            rest = after;
        }
        packets
    }

    /// The parameters that its packets tell.
    fn params(&self) -> CodecParams {
        let (events, _) = depacketize(self.codec, &self.packets());
        let params = events.into_iter().find_map(|event| match event {
            Event::Params(params) => Some(params),
            Event::Frame { .. } => None,
        });
        params.unwrap()
    }
}

/// Whether a packet begins with parameter sets in an aggregate.
fn has_sets(codec: Codec, packet: &Packet) -> bool {
    match (codec, &packet.payload[..]) {
        (Codec::H264, [header, _, _, unit, ..]) => header & 0x1F == 24 && unit & 0x1F == 7,
        (Codec::H265, [header, _, _, _, unit, ..]) => header >> 1 == 48 && unit >> 1 == 32,
        _ => false,
    }
}

/// What comes of `packets`, lost ones being told by the gaps in their sequence numbers.
fn depacketize(codec: Codec, packets: &[Packet]) -> (Vec<Event>, Counters) {
    let mut depacketizer = Depacketizer::new(codec, Limits::default()).unwrap();
    let mut events = Vec::new();
    let mut next = None;
    for packet in packets {
        let seq = packet.header.seq;
        depacketizer.push(packet, next.is_some_and(|next| next != seq), &mut events);
        next = Some(seq.wrapping_add(1));
    }
    (events, depacketizer.counters())
}

/// Timestamp, keyframe and payload of the frames among `events`.
fn frames(events: &[Event]) -> Vec<(u32, bool, Bytes)> {
    let frame = |event: &Event| match event {
        Event::Frame { timestamp, keyframe, payload } => Some((*timestamp, *keyframe, payload.clone())),
        Event::Params(_) => None,
    };
    events.iter().filter_map(frame).collect()
}

/// A frame shown at `ticks`.
fn frame(codec: Codec, ticks: i64, payload: impl Into<Bytes>) -> Frame {
    let payload = payload.into();
    let pts = Timestamp::new(ticks, clock_rate(codec).unwrap());
    let keyframe = codec::is_keyframe(codec, &payload);
    Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe, payload }
}

/// Packets of `frames`, numbered from `seq` on.
fn packetize(packetizer: &mut Packetizer, seq: u16, frames: &[Frame]) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut seq = seq;
    for frame in frames {
        let mut payloads = Vec::new();
        packetizer.packetize(frame, &mut payloads);
        for Payload { bytes, marker, .. } in payloads {
            let timestamp = frame.pts.ticks() as u32;
            packets.push(Packet::new(Header { marker, seq, timestamp, ..Header::default() }, bytes));
            seq = seq.wrapping_add(1);
        }
    }
    packets
}
