//! A stream's bytes cut into the payloads of datagrams, once for all who are sent them.
//!
//! The [`WireLog`] has the bytes of each frame; here they are gathered for a moment, joined, and cut where a datagram is full.
//! Cuts also fall where a viewer can begin. What a viewer holds is a place: a repeat is another look at the same packet.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::shared::Shared;
use crate::hub::{
    log::{Item, Log, Retention},
    wire::{Unit, WireLog},
};

/// The rings of an engine: one per stream while somebody is sent it.
#[derive(Clone)]
pub(crate) struct Rings(Arc<RingsOf>);

struct RingsOf {
    options: RingOptions,
    rings: Shared<PacketRing>,
}

/// How packets are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// The bytes of a packet.
    pub(crate) payload_bytes: usize,
    /// How long frames are gathered before they are cut.
    pub(crate) gather: Duration,
    pub(crate) retention: Retention,
}

/// The packets of one stream.
pub(crate) struct PacketRing {
    log: Arc<WireLog>,
    options: RingOptions,
    packets: Mutex<Packets>,
}

/// What a [`PacketRing`] holds now.
pub(crate) struct Packets {
    log: Log<Payload>,
    /// The place in the wire log up to which frames were taken.
    next_unit: Option<u64>,
    /// Frames taken so far.
    frames: u64,
    gathered: Option<Duration>,
    ended: Option<Arc<str>>,
}

/// The payload of one packet.
pub(crate) struct Payload {
    pub(crate) bytes: Bytes,
    /// When it was cut, by the engine's clock.
    pub(crate) origin: Duration,
    /// The media time of its first frame.
    time_us: i64,
    /// Where a viewer can begin: what it needs first, which may be nothing.
    pub(crate) preface: Option<Bytes>,
    /// The frames that begin in packets before it.
    frames_before: u64,
}

impl Item for Payload {
    fn bytes(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    fn time_us(&self) -> i64 {
        self.time_us
    }

    fn is_start(&self) -> bool {
        self.preface.is_some()
    }
}

impl Rings {
    pub(crate) fn new(options: RingOptions) -> Self {
        Self(Arc::new(RingsOf { options, rings: Shared::default() }))
    }

    /// The bytes of a full packet.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.0.options.payload_bytes
    }

    /// The ring of `log`, made if there is none.
    pub(crate) fn of(&self, log: &Arc<WireLog>) -> Arc<PacketRing> {
        let make = || PacketRing::new(Arc::clone(log), self.0.options);
        self.0.rings.find_or_make(|ring| Arc::ptr_eq(&ring.log, log), make)
    }
}

impl PacketRing {
    pub(crate) fn new(log: Arc<WireLog>, options: RingOptions) -> Self {
        let packets = Packets {
            log: Log::new(options.retention),
            next_unit: None,
            frames: 0,
            gathered: None,
            ended: None,
        };
        Self { log, options, packets: Mutex::new(packets) }
    }

    /// Takes what the stream has, unless that was done a moment ago, and gives what there is.
    pub(crate) fn gather(&self, now: Duration) -> MutexGuard<'_, Packets> {
        let mut packets = self.packets.lock();
        if packets.gathered.is_none_or(|gathered| now >= gathered + self.options.gather) {
            packets.gathered = Some(now);
            let (units, next, ended) = self.log.read(packets.next_unit);
            packets.next_unit = next;
            for run in units.chunk_by(|_, next| next.configuration.is_none()) {
                packets.cut(run, self.options.payload_bytes, now);
            }
            packets.ended = ended;
        }
        packets
    }
}

impl Packets {
    /// Cuts a run of frames of which at most the first is a start.
    fn cut(&mut self, run: &[Unit], payload_bytes: usize, origin: Duration) {
        let mut bytes: Bytes = match run {
            [one] => one.bytes.clone(),
            _ => run.iter().flat_map(|unit| &unit.bytes[..]).copied().collect(),
        };
        let begins: Vec<usize> =
            run.iter().scan(0, |end, unit| Some(std::mem::replace(end, *end + unit.bytes.len()))).collect();
        let mut preface = run.first().and_then(|unit| unit.configuration.clone());
        let mut at = 0;
        while !bytes.is_empty() {
            let payload = bytes.split_to(payload_bytes.clamp(1, bytes.len()));
            let frame = begins.partition_point(|begin| *begin <= at).saturating_sub(1);
            let frames_before = self.frames + begins.partition_point(|begin| *begin < at) as u64;
            at += payload.len();
            let time_us = run[frame].time_us;
            let preface = preface.take();
            self.log.push(Payload { bytes: payload, origin, time_us, preface, frames_before });
        }
        self.frames += run.len() as u64;
    }

    /// The place of the oldest packet.
    pub(crate) fn first(&self) -> u64 {
        self.log.first()
    }

    /// The place behind the newest packet.
    pub(crate) fn end(&self) -> u64 {
        self.log.end()
    }

    /// The packet at `index`, if it is there.
    pub(crate) fn get(&self, index: u64) -> Option<&Payload> {
        self.log.get(index)
    }

    /// The place where a viewer begins that comes now: the end, if there is none yet.
    pub(crate) fn newest_start(&self) -> u64 {
        self.log.newest_start().unwrap_or_else(|| self.log.end())
    }

    /// When the newest packet was cut.
    pub(crate) fn newest(&self) -> Option<Duration> {
        self.log.newest().map(|payload| payload.origin)
    }

    /// How many frames begin before the packet at `index`, which is there or the next to come.
    pub(crate) fn frames_before(&self, index: u64) -> u64 {
        self.log.get(index).map_or(self.frames, |payload| payload.frames_before)
    }

    /// Why the stream is over, once it is.
    pub(crate) fn ended(&self) -> Option<&Arc<str>> {
        self.ended.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use cruvz_media::{
        Codec, CodecParams, Format, Frame, Timescale, Timestamp, Track, TrackId, Tracks, VideoFormat,
    };

    use super::*;
    use crate::{
        Engine, Publisher,
        hub::{
            view::TrackSet,
            wire::{WireEncoder, WireFormat},
        },
    };

    const MS: Duration = Duration::from_millis(1);
    const OPTIONS: RingOptions = RingOptions {
        payload_bytes: 1_316,
        gather: Duration::from_millis(20),
        retention: Retention { time_us: 2_000_000, bytes: 1 << 20 },
    };

    /// A frame is its payload; whoever begins gets `head` first.
    struct Bare;

    impl WireEncoder for Bare {
        fn configuration(&mut self, _: &Tracks, _: &Frame) -> Bytes {
            Bytes::from_static(b"head")
        }

        fn frame(&mut self, _: &Tracks, frame: &Frame) -> Bytes {
            frame.payload.clone()
        }
    }

    const BARE: WireFormat = WireFormat {
        name: "bare",
        carries: TrackSet::FLV,
        encoder: || Box::new(Bare) as Box<dyn WireEncoder>,
    };

    async fn stage() -> (Engine, Publisher, Arc<WireLog>) {
        let engine = Engine::builder().start().await.unwrap();
        let params = CodecParams {
            codec: Codec::Vp8,
            config: Bytes::new(),
            format: Format::Video(VideoFormat::default()),
            rfc6381: String::new(),
        };
        let track = Track { id: TrackId::VIDEO, timescale: Timescale::MILLIS, params };
        let publisher = engine.publish("live/cam".parse().unwrap(), Tracks::new(vec![track])).await.unwrap();
        let log = publisher.stream().wire(BARE).unwrap();
        (engine, publisher, log)
    }

    fn write(publisher: &mut Publisher, at_ms: i64, keyframe: bool, bytes: usize) {
        let pts = Timestamp::from_millis(at_ms);
        let payload = vec![at_ms as u8; bytes].into();
        publisher.write(Frame { track: TrackId::VIDEO, pts, dts: pts, keyframe, payload }).unwrap();
    }

    fn lengths(packets: &Packets) -> Vec<usize> {
        (packets.first()..packets.end()).map(|at| packets.get(at).unwrap().bytes.len()).collect()
    }

    #[tokio::test]
    async fn frames_are_joined_and_cut_where_a_packet_is_full_and_where_a_viewer_can_begin() {
        let (_engine, mut publisher, log) = stage().await;
        for (at_ms, keyframe, bytes) in
            [(0, true, 3_000), (20, false, 500), (40, false, 400), (60, true, 100)]
        {
            write(&mut publisher, at_ms, keyframe, bytes);
        }
        let ring = PacketRing::new(log, OPTIONS);
        // A viewer begins at the newest keyframe, and so does the ring.
        assert_eq!(lengths(&ring.gather(MS)), [100]);
        for (at_ms, keyframe, bytes) in
            [(80, false, 3_000), (90, false, 500), (91, false, 400), (92, true, 100)]
        {
            write(&mut publisher, at_ms, keyframe, bytes);
        }
        let packets = ring.gather(21 * MS);
        assert_eq!(lengths(&packets), [100, 1_316, 1_316, 1_268, 100]);
        let bytes: Vec<u8> = (1..4).flat_map(|at| packets.get(at).unwrap().bytes.to_vec()).collect();
        assert_eq!(bytes, [vec![80; 3_000], vec![90; 500], vec![91; 400]].concat());
        let prefaces = |at| packets.get(at).unwrap().preface.as_deref();
        assert_eq!((prefaces(0), prefaces(1), prefaces(4)), (Some(&b"head"[..]), None, Some(&b"head"[..])));
        assert_eq!(packets.newest_start(), 4);
        let before: Vec<_> = (0..=5).map(|at| packets.frames_before(at)).collect();
        assert_eq!(before, [0, 1, 2, 2, 4, 5], "two frames begin in the third packet of the second run");
        assert_eq!(packets.get(4).unwrap().origin, 21 * MS);
    }

    #[tokio::test]
    async fn what_came_a_moment_ago_waits_for_more() {
        let (_engine, mut publisher, log) = stage().await;
        write(&mut publisher, 0, true, 10);
        let ring = PacketRing::new(log, OPTIONS);
        assert_eq!(lengths(&ring.gather(100 * MS)), [10]);
        write(&mut publisher, 10, false, 20);
        assert_eq!(lengths(&ring.gather(119 * MS)), [10]);
        write(&mut publisher, 20, false, 30);
        assert_eq!(lengths(&ring.gather(120 * MS)), [10, 50]);
    }

    #[tokio::test]
    async fn whoever_watches_the_same_stream_shares_a_ring_and_the_last_one_takes_it_along() {
        let (engine, mut publisher, log) = stage().await;
        let rings = Rings::new(OPTIONS);
        let (one, other) = (rings.of(&log), rings.of(&log));
        assert!(Arc::ptr_eq(&one, &other));
        write(&mut publisher, 0, true, 10);
        publisher.stream().end("enough");
        let reason = one.gather(MS).ended().cloned();
        assert_eq!((reason.as_deref(), one.gather(MS).end()), (Some("enough"), 1));
        let gone = Arc::downgrade(&one);
        drop((one, other));
        assert!(gone.upgrade().is_none());
        assert_eq!(rings.of(&log).gather(MS).end(), 1, "whoever comes then gets another");
        drop(engine);
    }
}
