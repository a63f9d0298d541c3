//! The sending half: it keeps no packet, only where in a shared log it is.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::pacer::Pacer;
use super::receiver::FULL_PACKET_BITS;
use super::repeats::Repeats;
use super::rtt::Rtt;
use super::{ConnectionConfig, PacketLog, Run, SendStats};
use crate::protocol::srt::packet::HEADER_LEN;
use crate::protocol::srt::{
    Ack, AckBody, Boundary, Control, DataHeader, Established, KeyFlag, PeerFlags, Seq, SeqRange, SocketId,
};

/// The latest that media is sent for the first time, as in libsrt: a key frame may take a second of the link.
const MIN_TOO_LATE: Duration = Duration::from_secs(1);

/// How much later than its time a packet is still repeated: the peer's clock began when our handshake arrived.
const REPEAT_SLACK: Duration = Duration::from_millis(40);

/// Media older than this is stamped with the time at which it is sent: the receiver's time for mending losses begins
/// at the stamp, and what passes before the first sending is missing from it.
const STAMP_LAG: Duration = Duration::from_millis(4);

/// Packets that are repeated, or have waited two gathers, of which so many may go out in one gather at least: half of what a socket buffer of 208 KiB holds,
/// the most that an application gets of a stock Linux. A viewer who begins at a key frame some seconds ago gets
/// these quickly, but not in one burst.
const BURST_PACKETS: u64 = 48;

/// And at least so many times the stream's own rate, so that a fast one catches up, too.
const CATCH_UP_SPEED: u64 = 2;

/// The share of the latency that a packet may wait for its turn at a bandwidth that only smooths.
const PACING_SHARE: u32 = 8;

/// The most stamps that are kept for packets on their way: one for each gather, so 2.5 s of them.
const MAX_STAMPS: usize = 128;

/// The most drop requests that wait.
const MAX_DROPS: usize = 16;

/// Packets that are sent again when a peer that does not repeat its reports is silent.
const TIMEOUT_REPEATS: usize = 8;

/// The kernel's limit of one segmented send, in segments and in bytes.
const MAX_SEGMENTS: usize = 64;
const MAX_RUN: usize = 65_507;

/// The most jumps that are remembered to be told.
const MAX_SKIPS: usize = 16;

/// Where a viewer is, and what it misses.
///
/// Inside, a packet has a *position*: how many were sent before it since the connection began. Positions, sequence
/// numbers and indices of the log turn into each other by addition.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    /// The number of the packet at position 0.
    first: Seq,
    peer: SocketId,
    started: Duration,
    latency: Duration,
    flags: PeerFlags,
    /// The longest payload that may be sent, and what encryption adds to one.
    payload_bytes: usize,
    overhead: usize,
    /// The position of the next new packet.
    next: u64,
    /// Everything before it has arrived.
    acked: u64,
    /// Packets behind `acked` that the peer has room for.
    window: u32,
    stretch: Option<Stretch>,
    /// Jumps: indexes of the log, from and to.
    skips: VecDeque<(u64, u64)>,
    /// Packets from this position on were not sent before that time.
    stamps: VecDeque<(u64, Duration)>,
    repeats: Repeats,
    /// Positions that will not be sent again: from and to before.
    drops: VecDeque<(u64, u64)>,
    pacer: Pacer,
    /// When old and repeated packets were last allowed, and how many are left of these.
    burst: (Duration, u64),
    /// When what waits may go on, if it is held back.
    held_until: Option<Duration>,
    /// When the peer last acknowledged anything, and how often we have repeated everything since.
    progress: Duration,
    timeouts: u32,
    stats: SendStats,
}

/// A piece of the log that is sent without a jump.
#[derive(Clone, Debug)]
struct Stretch {
    /// Where it begins.
    position: u64,
    /// The index in the log of its first packet.
    index: u64,
    /// What goes before that packet.
    preface: Option<Bytes>,
}

impl Stretch {
    /// The index of the packet at `position`, of the first one for the preface; `None` before the stretch.
    fn index(&self, position: u64) -> Option<u64> {
        let ahead = position.checked_sub(self.position)?;
        Some(self.index + ahead.saturating_sub(u64::from(self.preface.is_some())))
    }

    /// The payload at `position`, and when it was made.
    fn packet<'a, L: PacketLog + ?Sized>(
        &'a self,
        log: &'a L,
        position: u64,
    ) -> Option<(&'a [u8], Duration)> {
        let (payload, origin) = log.packet(self.index(position)?)?;
        match &self.preface {
            Some(preface) if position == self.position => Some((preface, origin)),
            _ => Some((payload, origin)),
        }
    }
}

/// A packet that may be sent now.
#[derive(Clone, Copy)]
struct Candidate {
    position: u64,
    repeated: bool,
}

impl Sender {
    pub(super) fn new(
        now: Duration,
        established: &Established,
        overhead: usize,
        config: &ConnectionConfig,
    ) -> Self {
        Self {
            first: established.send_seq,
            peer: established.peer,
            started: established.started,
            latency: established.send_latency,
            flags: established.peer_flags,
            payload_bytes: established.payload_bytes.saturating_sub(overhead),
            overhead,
            next: 0,
            acked: 0,
            window: established.flow_window,
            stretch: None,
            skips: VecDeque::new(),
            stamps: VecDeque::new(),
            repeats: Repeats::new(config.repeat_burst),
            drops: VecDeque::new(),
            pacer: Pacer::new(config.bandwidth),
            burst: (Duration::ZERO, 0),
            held_until: None,
            progress: now,
            timeouts: 0,
            stats: SendStats::default(),
        }
    }

    /// Writes one run of packets with `write`: what was lost first, then what is new.
    pub(super) fn fill<L: PacketLog + ?Sized>(
        &mut self,
        now: Duration,
        log: &L,
        rtt: &Rtt,
        config: &ConnectionConfig,
        mut write: impl FnMut(DataHeader, &[u8]),
    ) -> Option<Run> {
        self.advance(now, log);
        let most = config.run_segments.clamp(1, MAX_SEGMENTS);
        let mut run = Run { segment_size: 0, segments: 0 };
        self.held_until = None;
        while run.segments < most {
            let Some(candidate) = self.candidate(now, log, rtt, config) else { break };
            let Some((payload, origin)) = self.packet(log, candidate.position) else { break };
            let size = HEADER_LEN + payload.len() + self.overhead;
            let full = (run.segments + 1) * run.segment_size > MAX_RUN;
            if run.segments > 0 && (size > run.segment_size || full) {
                break;
            }
            self.held_until = self.held_until(now, candidate, origin, config);
            if self.held_until.is_some() {
                break;
            }
            if !candidate.repeated {
                self.begin_new(now, origin, size);
            }
            let Some((payload, _)) = self.packet(log, candidate.position) else { break };
            write(self.header(candidate, origin), payload);
            self.commit(now, candidate, size);
            run.segments += 1;
            run.segment_size = run.segment_size.max(size);
            if size < run.segment_size {
                break;
            }
        }
        (run.segments > 0).then_some(run)
    }

    /// Goes to where media is to be sent next: begins, and jumps if it fell behind.
    fn advance<L: PacketLog + ?Sized>(&mut self, now: Duration, log: &L) {
        let Some(index) = self.index() else {
            if log.first() < log.end() {
                self.begin(now, log, log.restart());
            }
            return;
        };
        let lost = index < log.first() || index > log.end();
        if lost || self.is_too_late(now, log) && log.restart() > index {
            self.skip(now, log, index, log.restart());
        } else if log.packet(index).is_some_and(|(payload, _)| payload.len() > self.payload_bytes) {
            self.skip(now, log, index, index + 1);
        }
    }

    fn skip<L: PacketLog + ?Sized>(&mut self, now: Duration, log: &L, from: u64, to: u64) {
        self.stats.skipped += to.saturating_sub(from);
        if self.skips.len() < MAX_SKIPS {
            self.skips.push_back((from, to));
        }
        self.begin(now, log, to);
    }

    /// A jump that is to be told.
    pub(super) fn skipped(&mut self) -> Option<(u64, u64)> {
        self.skips.pop_front()
    }

    /// The index of the next new packet.
    pub(super) fn index(&self) -> Option<u64> {
        self.stretch.as_ref()?.index(self.next)
    }

    fn is_too_late<L: PacketLog + ?Sized>(&self, now: Duration, log: &L) -> bool {
        let Some((_, origin)) = self.packet(log, self.next) else { return false };
        // What was old when the viewer came is not late.
        let begun = self.stretch.as_ref().map_or(now, |stretch| self.stamp(stretch.position));
        now > origin.max(begun) + self.latency.max(MIN_TOO_LATE)
    }

    /// Begins a stretch at `index`.
    fn begin<L: PacketLog + ?Sized>(&mut self, now: Duration, log: &L, index: u64) {
        let preface = log.preface(index).filter(|preface| preface.len() <= self.payload_bytes);
        self.stretch = Some(Stretch { position: self.next, index, preface });
        self.push_stamp(now);
    }

    /// The next packet to send, lost ones first. What can no longer be repeated is given up.
    fn candidate<L: PacketLog + ?Sized>(
        &mut self,
        now: Duration,
        log: &L,
        rtt: &Rtt,
        config: &ConnectionConfig,
    ) -> Option<Candidate> {
        while let Some(position) = self.repeats.first(now) {
            let left = self.packet(log, position).and_then(|(_, origin)| self.left(now, position, origin));
            match left {
                Some(left) if self.is_wanted(now, position, left, rtt, config) => {
                    return Some(Candidate { position, repeated: true });
                }
                Some(_) => {}
                None => self.give_up(position, position + 1),
            }
            self.repeats.discard();
        }
        let room = self.next < self.acked.saturating_add(self.window.into());
        let is_there = self.packet(log, self.next).is_some();
        (room && is_there).then_some(Candidate { position: self.next, repeated: false })
    }

    /// The time that is left to repeat a packet; `None` once the peer has dropped it as too late.
    fn left(&self, now: Duration, position: u64, origin: Duration) -> Option<Duration> {
        if !self.flags.too_late_drop {
            return Some(Duration::MAX);
        }
        let deadline = origin.max(self.stamp(position)) + self.latency;
        (now <= deadline + REPEAT_SLACK).then(|| deadline.saturating_sub(now))
    }

    /// Whether a packet that was reported is really missing. A report that comes sooner than a round trip after the
    /// packet was repeated was most likely written before that came: the report after it will tell. When there is
    /// no time for another, doubt is enough.
    fn is_wanted(
        &self,
        now: Duration,
        position: u64,
        left: Duration,
        rtt: &Rtt,
        config: &ConnectionConfig,
    ) -> bool {
        let doubts = if left < rtt.smoothed() { 4 } else { 1 };
        let hold = rtt.smoothed().saturating_sub(doubts * rtt.variance()).max(config.gather);
        self.repeats.is_echo(position) || self.repeats.age(now, position).is_none_or(|age| age >= hold)
    }

    fn packet<'a, L: PacketLog + ?Sized>(
        &'a self,
        log: &'a L,
        position: u64,
    ) -> Option<(&'a [u8], Duration)> {
        let packet = self.stretch.as_ref()?.packet(log, position)?;
        Some(packet).filter(|(payload, _)| payload.len() <= self.payload_bytes)
    }

    /// Until when a packet has to wait, if it has.
    fn held_until(
        &mut self,
        now: Duration,
        candidate: Candidate,
        origin: Duration,
        config: &ConnectionConfig,
    ) -> Option<Duration> {
        let urgent = candidate.repeated || now >= origin + self.latency / PACING_SHARE;
        if (self.pacer.is_strict() || !urgent) && !self.pacer.allows(now) {
            return self.pacer.next().or(Some(now));
        }
        if !candidate.repeated && now <= origin + 2 * config.gather {
            return None;
        }
        // A little less than a gather, as a driver's ticks are not exact.
        let next = self.burst.0 + config.gather * 3 / 4;
        if now >= next {
            let per_second = u128::from(self.pacer.input_packets_per_second());
            let per_gather = (per_second * config.gather.as_micros() / 1_000_000) as u64;
            self.burst = (now, BURST_PACKETS.max(CATCH_UP_SPEED * per_gather));
        } else if self.burst.1 == 0 {
            return Some(next);
        }
        self.burst.1 -= 1;
        None
    }

    /// What is done once for a packet, before it is first sent.
    fn begin_new(&mut self, now: Duration, origin: Duration, size: usize) {
        self.pacer.input(origin, size);
        if now > origin + STAMP_LAG && self.stamps.back().is_none_or(|(_, at)| *at < now) {
            self.push_stamp(now);
        }
    }

    fn commit(&mut self, now: Duration, candidate: Candidate, size: usize) {
        self.pacer.spend(size);
        self.stats.bytes += size as u64;
        if candidate.repeated {
            self.repeats.sent(now);
            self.stats.retransmitted += 1;
            return;
        }
        if self.acked == self.next {
            // The first on its way: the wait for an answer begins.
            (self.progress, self.timeouts) = (now, 0);
        }
        self.next += 1;
        self.stats.packets += 1;
        self.repeats.earn();
    }

    fn header(&self, candidate: Candidate, origin: Duration) -> DataHeader {
        let made = origin.max(self.stamp(candidate.position)).saturating_sub(self.started);
        DataHeader {
            seq: self.seq(candidate.position),
            boundary: Boundary::Solo,
            in_order: true,
            key: KeyFlag::None,
            retransmitted: candidate.repeated && self.flags.retransmit_flag,
            // From 1 on, as 0 is for packets of a filter.
            message: (candidate.position % u64::from(DataHeader::MAX_MESSAGE)) as u32 + 1,
            // 32 bits that wrap.
            timestamp_us: made.as_micros() as u32,
            destination: self.peer,
        }
    }

    /// The time before which the packet was not sent. It is the same whenever it is asked, as a repeated packet must
    /// be what it was.
    fn stamp(&self, position: u64) -> Duration {
        let behind = self.stamps.partition_point(|(from, _)| *from <= position);
        behind.checked_sub(1).map_or(Duration::ZERO, |last| self.stamps[last].1)
    }

    /// From the next packet on.
    fn push_stamp(&mut self, now: Duration) {
        if self.stamps.len() < MAX_STAMPS {
            self.stamps.push_back((self.next, now));
        }
    }

    /// Takes in an acknowledgement. False for one of what was never sent.
    pub(super) fn ack(&mut self, now: Duration, ack: &Ack, rtt: &mut Rtt) -> bool {
        self.stats.acks += 1;
        let Some(position) = self.position(ack.next).filter(|position| *position <= self.next) else {
            self.stats.absurd += 1;
            return false;
        };
        if position < self.acked {
            return true;
        }
        let (smoothed, variance, available) = match ack.body {
            AckBody::Light => (None, None, None),
            AckBody::Small { rtt, rtt_variance, available_packets } => {
                (Some(rtt), Some(rtt_variance), Some(available_packets))
            }
            AckBody::Full { rtt, rtt_variance, available_packets, link_capacity, byte_rate, .. } => {
                self.stats.link_capacity_bps = u64::from(link_capacity) * FULL_PACKET_BITS;
                self.stats.delivery_bps = u64::from(byte_rate) * 8;
                (Some(rtt), Some(rtt_variance), Some(available_packets))
            }
        };
        let advanced = (position - self.acked) as u32;
        self.window = available.unwrap_or_else(|| self.window.saturating_sub(advanced));
        if let (Some(smoothed), Some(variance)) = (smoothed, variance) {
            rtt.adopt(smoothed, variance);
        }
        self.acked = position;
        (self.progress, self.timeouts) = (now, 0);
        self.repeats.acknowledge(position);
        while self.stamps.get(1).is_some_and(|(from, _)| *from <= position) {
            self.stamps.pop_front();
        }
        true
    }

    /// Takes in a loss report. It costs as much work as it may ask for packets, whatever its ranges claim.
    pub(super) fn nak(&mut self, ranges: &[SeqRange], config: &ConnectionConfig) {
        self.stats.naks += 1;
        let begun = self.stretch.as_ref().map_or(self.next, |stretch| stretch.position);
        let mut left = u64::from(config.repeat_burst);
        for range in ranges {
            let first = self.position(range.first);
            let Some((first, end)) = first.map(|first| (first, first + u64::from(range.count()))) else {
                self.stats.absurd += 1;
                continue;
            };
            if end > self.next {
                self.stats.absurd += 1;
            }
            let (first, end) = (first.max(self.acked), end.min(self.next));
            if first < begun.min(end) {
                self.give_up(first, begun.min(end));
            }
            for position in (first.max(begun)..end).take(left as usize) {
                self.stats.lost += u64::from(self.repeats.report(position));
                left -= 1;
            }
        }
    }

    /// The peer is to be told not to wait for these.
    fn give_up(&mut self, start: u64, end: u64) {
        self.stats.expired += end - start;
        if let Some(last) = self.drops.back_mut()
            && (last.0..=last.1).contains(&start)
        {
            last.1 = last.1.max(end);
        } else if self.drops.len() < MAX_DROPS {
            self.drops.push_back((start, end));
        }
        // Of what has no place the peer asks again.
    }

    /// A drop request to send.
    pub(super) fn drop_request(&mut self) -> Option<Control> {
        let (start, end) = self.drops.pop_front()?;
        let range = SeqRange::new(self.seq(start), self.seq(end - 1))?;
        // 0: it is about these packets, whatever their messages.
        Some(Control::DropRequest { message: 0, range })
    }

    /// Looks after a peer that does not repeat its loss reports. If it acknowledges nothing for long, the packet
    /// that it names as next is missing, and perhaps those behind it; so are those that were repeated in vain.
    /// libsrt sends everything on its way again, which doubles the traffic.
    pub(super) fn handle_timeout(&mut self, now: Duration, rtt: &Rtt) {
        if self.repeat_timeout(rtt).is_some_and(|due| due <= now) {
            self.timeouts = self.timeouts.saturating_add(1);
            let first = (self.acked..self.next).take(TIMEOUT_REPEATS);
            first.for_each(|position| self.stats.lost += u64::from(self.repeats.report(position)));
            self.repeats.report_again(now, rtt.smoothed());
        }
    }

    fn repeat_timeout(&self, rtt: &Rtt) -> Option<Duration> {
        let waiting = !self.flags.periodic_nak && self.acked < self.next;
        let syn = Duration::from_millis(10);
        let patience = (rtt.long() + 2 * syn).saturating_mul(self.timeouts + 1) + syn;
        waiting.then(|| self.progress + patience)
    }

    /// When something is to be done without a new packet in the log; zero for at once.
    pub(super) fn next_timeout(&self, rtt: &Rtt) -> Option<Duration> {
        let drop = (!self.drops.is_empty()).then_some(Duration::ZERO);
        // What is held back was the first in line.
        let sending = self.held_until.or_else(|| self.repeats.next());
        [sending, drop, self.repeat_timeout(rtt)].into_iter().flatten().min()
    }

    /// The position of a number that is near the next one; `None` if there is none.
    fn position(&self, seq: Seq) -> Option<u64> {
        self.next.checked_add_signed(seq.distance_from(self.seq(self.next)).into())
    }

    fn seq(&self, position: u64) -> Seq {
        // The low 31 bits are what a number has.
        self.first + position as u32
    }

    pub(super) fn stats(&self) -> SendStats {
        let in_flight = self.next - self.acked;
        SendStats { in_flight, waits_since: (in_flight > 0).then_some(self.progress), ..self.stats }
    }
}
