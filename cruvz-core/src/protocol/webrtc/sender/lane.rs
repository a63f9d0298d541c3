//! One track on its way to one viewer: a place in the shared log, and the numbers that follow from it.

use std::{collections::BTreeSet, time::Duration};

use cruvz_media::{Codec, TrackKind};

use super::{
    log::{MediaPacket, TrackLog},
    report::Reception,
};

/// The most packets that wait to be sent again.
const MAX_REPEATS: usize = 256;

/// Numbers begin below this, so that early loss cannot confuse the receiver's first wrap (RFC 3711 §3.3.1).
const FIRST_NUMBERS: u16 = 1 << 15;

/// Between the last picture of one layer and the first of another at least: a millisecond, in ticks of video.
const LEAST_STEP: u32 = 90;

/// One track as it was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneConfig {
    /// Video or audio.
    pub kind: TrackKind,
    /// What the viewer decodes.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// Ticks per second of its timestamps.
    pub clock_rate: u32,
    /// Its synchronisation source.
    pub ssrc: u32,
    /// How packets are sent again; `None`: just as they were.
    pub rtx: Option<Rtx>,
    /// Whether the viewer may ask for packets again.
    pub nack: bool,
    /// The id of the header extension that numbers packets of all tracks for the viewer's feedback.
    pub transport_cc: Option<u8>,
}

/// How packets are sent again (RFC 4588).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rtx {
    /// The payload type of what is sent again.
    pub payload_type: u8,
    /// Its synchronisation source.
    pub ssrc: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) config: LaneConfig,
    /// The number of the next packet, of 48 bits: the rollover counter and, in the low 16, the sequence number (RFC 3711
    /// §3.3.1). It counts up by one for each packet, so numbers and indices of the log turn into each other by addition
    /// within a stretch that was sent without a jump.
    number: u64,
    /// The index in the log of the next packet, once it has begun.
    next: Option<u64>,
    /// Where the present stretch begins.
    begun: u64,
    /// The frame that was sent last.
    frame: Option<u64>,
    /// What its timestamps are moved by, since another log was gone on with, and the last one that was sent.
    shift: u32,
    last_timestamp: Option<u32>,
    /// The media time of what was sent last.
    pub(super) time_us: Option<i64>,
    /// Indices of packets that are to be sent again.
    repeats: BTreeSet<u64>,
    /// The number of the next packet that is sent again.
    rtx_number: u64,
    /// For sender reports: packets and bytes of payload, which wrap.
    pub(super) packets: u32,
    pub(super) octets: u32,
    /// What the viewer last said of it.
    pub(super) reception: Option<Reception>,
    /// A packet of another codec than agreed stands in its way.
    pub(super) foreign: Option<Codec>,
}

impl Lane {
    /// `random`: what its numbers begin with.
    pub(super) fn new(config: LaneConfig, random: [u16; 2]) -> Self {
        let [number, rtx_number] = random.map(|random| u64::from(random % FIRST_NUMBERS));
        Self {
            config,
            number,
            next: None,
            begun: 0,
            frame: None,
            shift: 0,
            last_timestamp: None,
            time_us: None,
            repeats: BTreeSet::new(),
            rtx_number,
            packets: 0,
            octets: 0,
            reception: None,
            foreign: None,
        }
    }

    /// The index of the next packet, once it has begun.
    pub(super) fn position(&self) -> Option<u64> {
        self.next
    }

    /// Begins or goes on at `index`. Numbers stay without a gap, so what was sent before can no longer be repeated.
    pub(super) fn go(&mut self, index: u64) {
        (self.next, self.begun) = (Some(index), index);
        self.repeats.clear();
    }

    /// Goes on at `index` of another log of the same clock. Its packets may be of a moment that was sent already; then they are moved
    /// a little behind that, for timestamps that go back are those of another picture.
    pub(super) fn switch(&mut self, log: &impl TrackLog, index: u64) {
        let Some(packet) = log.packet(index) else { return };
        let behind =
            self.last_timestamp.map(|last| last.wrapping_add(LEAST_STEP).wrapping_sub(packet.timestamp));
        self.shift = behind.filter(|behind| behind.cast_signed() > 0).unwrap_or(0);
        // Frames are counted otherwise there.
        self.frame = None;
        self.go(index);
    }

    /// What its timestamps are moved by.
    pub(super) fn shift(&self) -> u32 {
        self.shift
    }

    /// The index of the packet that was sent so many before the next, if it is of the present stretch.
    pub(super) fn sent_before(&self, back: u64) -> Option<u64> {
        self.next.and_then(|next| next.checked_sub(back)).filter(|index| *index >= self.begun)
    }

    /// The number that the packet at `index` of the present stretch has.
    pub(super) fn number_of(&self, index: u64) -> u64 {
        self.next.map_or(self.number, |next| self.number.wrapping_sub(next - index))
    }

    /// The next packet, if it is there and the viewer agreed to it.
    pub(super) fn upcoming<'a>(&mut self, log: &'a impl TrackLog) -> Option<&'a MediaPacket> {
        let packet = log.packet(self.next?)?;
        self.foreign = Some(packet.codec).filter(|codec| *codec != self.config.codec);
        self.foreign.is_none().then_some(packet)
    }

    /// The number of the upcoming packet.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The upcoming packet was sent. Whether a frame began with it.
    pub(super) fn sent(&mut self, packet: &MediaPacket) -> bool {
        self.number += 1;
        self.next = self.next.map(|next| next + 1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        (self.last_timestamp, self.time_us) =
            (Some(packet.timestamp.wrapping_add(self.shift)), Some(packet.time_us));
        self.frame.replace(packet.frame) != Some(packet.frame)
    }

    /// Takes the viewer's word that the packet of this sequence number is missing. Whether it will be sent again, if
    /// it is still there.
    pub(super) fn wanted(&mut self, seq: u16) -> bool {
        let behind = u64::from((self.number as u16).wrapping_sub(seq));
        let index = self.next.and_then(|next| next.checked_sub(behind));
        match index.filter(|index| behind > 0 && *index >= self.begun) {
            Some(index) if self.config.nack && self.repeats.len() < MAX_REPEATS => {
                self.repeats.insert(index);
                true
            }
            _ => false,
        }
    }

    /// The oldest packet that is to be sent again and still there, and the number that it had. Those that are gone are
    /// given up, and counted in `gone`.
    pub(super) fn repeat<'a>(
        &mut self,
        log: &'a impl TrackLog,
        gone: &mut u64,
    ) -> Option<(&'a MediaPacket, u64)> {
        self.next?;
        loop {
            let index = *self.repeats.first()?;
            if let Some(packet) = log.packet(index) {
                return Some((packet, self.number_of(index)));
            }
            self.repeats.pop_first();
            *gone += 1;
        }
    }

    /// The packet that [`Self::repeat`] gave was sent again, or is not to be.
    pub(super) fn repeated(&mut self) {
        self.repeats.pop_first();
    }

    /// The number of the next packet on the source for retransmissions.
    pub(super) fn take_rtx_number(&mut self) -> u64 {
        let number = self.rtx_number;
        self.rtx_number += 1;
        number
    }

    /// Frames between the last that was sent and the one at `index`.
    pub(super) fn frames_to(&self, index: u64, log: &impl TrackLog) -> u64 {
        let (Some(last), Some(packet)) = (self.frame, log.packet(index)) else { return 0 };
        packet.frame.saturating_sub(last + 1)
    }

    /// Whether its place is gone, or the upcoming packet has been waiting for more than `most`.
    pub(super) fn is_late(&self, now: Duration, log: &impl TrackLog, most: Duration) -> bool {
        let lost = self.next.is_some_and(|next| next < log.first());
        lost || self.waits(now, log).is_some_and(|waited| waited > most)
    }

    /// How long the upcoming packet has been waiting.
    pub(super) fn waits(&self, now: Duration, log: &impl TrackLog) -> Option<Duration> {
        Some(now.saturating_sub(log.packet(self.next?)?.origin))
    }
}
