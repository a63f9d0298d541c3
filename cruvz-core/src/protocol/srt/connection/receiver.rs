//! The receiving half: order, time, acknowledgements and loss reports.

use std::time::Duration;

use bytes::Bytes;

use super::acks::{Acks, Due};
use super::buffer::Buffer;
use super::losses::Losses;
use super::rate::{LinkCapacity, Rate};
use super::rtt::Rtt;
use super::tolerance::Tolerance;
use super::tsbpd::Tsbpd;
use super::{ConnectionConfig, Event, ReceiveStats};
use crate::protocol::srt::packet::HEADER_LEN;
use crate::protocol::srt::{Ack, AckBody, Control, DataPacket, Established, Seq, SeqRange};

/// The least time between two reports of the same loss (§4.8.2).
const MIN_REPORT_INTERVAL: Duration = Duration::from_millis(20);

/// The least time between any two loss reports, so that gaps seen together are told together.
const REPORT_GAP: Duration = Duration::from_millis(2);

/// A loss that is due within this is taken along in a report.
const REPORT_SLACK: Duration = Duration::from_millis(5);

/// Words of one loss report: what fits into a datagram beside the header, with room for tunnels.
const REPORT_WORDS: usize = 340;

/// The share of the latency that waiting for late packets may take.
const TOLERANCE_SHARE: u32 = 8;

/// What came and what is missing. It is made when the first packet comes.
///
/// Inside, a packet has a *position*: how many were sent before it since the connection began, in 64 bits that do not
/// wrap.
#[derive(Clone, Debug)]
pub(super) struct Receiver {
    /// The number of the packet at position 0.
    first: Seq,
    latency: Duration,
    tells_repeated: bool,
    buffer: Buffer,
    losses: Losses,
    clock: Tsbpd,
    acks: Acks,
    tolerance: Tolerance,
    rate: Rate,
    link: LinkCapacity,
    /// The last position beyond the window, by which a sender that went on without us is recognised.
    beyond: Option<u64>,
    last_report: Option<Duration>,
    stats: ReceiveStats,
}

impl Receiver {
    pub(super) fn new(established: &Established, config: &ConnectionConfig) -> Self {
        let (timestamp_us, arrival) = established.peer_clock;
        Self {
            first: established.receive_seq,
            latency: established.receive_latency,
            tells_repeated: established.peer_flags.retransmit_flag,
            buffer: Buffer::new(config.receive_packets),
            losses: Losses::default(),
            clock: Tsbpd::new(timestamp_us, arrival, established.receive_latency),
            acks: Acks::new(),
            tolerance: Tolerance::default(),
            rate: Rate::default(),
            link: LinkCapacity::default(),
            beyond: None,
            last_report: None,
            stats: ReceiveStats::default(),
        }
    }

    /// Takes in a packet. `open` decrypts what is new; a packet that it refuses counts as not come, so that it is
    /// asked for again: its key may be on the way.
    pub(super) fn data(
        &mut self,
        now: Duration,
        packet: DataPacket,
        config: &ConnectionConfig,
        open: impl FnOnce(DataPacket) -> Option<Bytes>,
    ) {
        let (header, length) = (packet.header, packet.payload.len());
        self.stats.bytes += (length + HEADER_LEN) as u64;
        self.stats.retransmitted += u64::from(header.retransmitted);
        self.rate.count(now, length + HEADER_LEN);
        self.acks.arrive();
        let Some(position) = self.place(header.seq, length, config) else { return };
        let Some(payload) = open(packet) else {
            self.stats.undecrypted += 1;
            return;
        };
        let end = self.buffer.end();
        let due = self.clock.due(now, header.timestamp_us);
        if position >= end {
            let wait = self.tolerance(now, config);
            self.losses.insert(end..position, now, now + wait, due);
            self.stats.lost += position - end;
        } else if let Some(since) = self.losses.remove(position)
            && self.tells_repeated
            && !header.retransmitted
        {
            self.stats.reordered += 1;
            self.tolerance.observe(now, now.saturating_sub(since));
        }
        if position < end || header.retransmitted {
            self.link.disturb();
        } else {
            self.link.arrive(now, position, header.seq.value(), length);
        }
        self.stats.packets += 1;
        self.buffer.insert(position, payload, due);
    }

    /// Where a packet belongs; `None` if it is not wanted, which is counted.
    fn place(&mut self, seq: Seq, length: usize, config: &ConnectionConfig) -> Option<u64> {
        let end = self.buffer.end();
        let position = end.checked_add_signed(seq.distance_from(self.seq(end)).into());
        let Some(position) = position.filter(|position| *position >= self.buffer.start()) else {
            self.stats.belated += 1;
            return None;
        };
        if self.buffer.holds(position) {
            self.stats.duplicates += 1;
            return None;
        }
        if position - self.buffer.start() >= self.buffer.capacity() && !self.follow(position) {
            self.stats.refused += 1;
            return None;
        }
        if self.buffer.bytes() + length > config.receive_bytes {
            self.stats.refused += 1;
            return None;
        }
        Some(position)
    }

    /// Whether to go on at a position beyond the window: when nothing waits and a second packet says the same, as
    /// after a break of the network in which the sender went on.
    fn follow(&mut self, position: u64) -> bool {
        let confirmed = self.beyond.is_some_and(|beyond| beyond + 1 == position);
        self.beyond = Some(position);
        if !confirmed || self.buffer.packets() > 0 {
            return false;
        }
        self.stats.dropped += position - self.buffer.start();
        self.stats.lost += position - self.buffer.end();
        self.losses.remove_before(position);
        self.buffer.skip_to(position);
        self.beyond = None;
        true
    }

    /// How long a gap may wait for a late packet.
    fn tolerance(&self, now: Duration, config: &ConnectionConfig) -> Duration {
        let most = config.reorder_tolerance.min(self.latency / TOLERANCE_SHARE);
        self.tolerance.wait(now).min(most)
    }

    /// What is to be delivered at `now`, or at once if the connection is `closing`.
    pub(super) fn deliver(&mut self, now: Duration, closing: bool) -> Option<Event> {
        let next = self.buffer.next()?;
        if !closing && now < next.due {
            return None;
        }
        if next.missing > 0 {
            self.buffer.skip_gap();
            self.losses.remove_before(self.buffer.start());
            self.stats.dropped += next.missing;
            return Some(Event::Gap { packets: next.missing });
        }
        self.buffer.pop().map(Event::Data)
    }

    /// The answer to an acknowledgement: the round trip, if it tells one. Its timestamp shows the peer's clock.
    pub(super) fn ack_ack(&mut self, now: Duration, number: u32, timestamp_us: u32) -> Option<Duration> {
        let rtt = self.acks.answer(now, number)?;
        self.clock.sample(now, timestamp_us, rtt);
        Some(rtt)
    }

    /// The peer will not send these.
    pub(super) fn drop_request(&mut self, range: SeqRange) {
        let (start, end) = (self.buffer.start(), self.buffer.end());
        let from_end = range.first.distance_from(self.seq(end));
        let Some(first) = end.checked_add_signed(from_end.into()) else { return };
        // What is not yet known to be missing is asked for when it is, and refused once more.
        let behind = first.saturating_add(range.count().into()).min(end);
        let first = first.max(start);
        if first < behind {
            self.losses.give_up(first, behind);
        }
    }

    /// The control packet that is due at `now`, which is taken as sent.
    pub(super) fn transmit(&mut self, now: Duration, rtt: &Rtt) -> Option<Control> {
        if let Some(due) = self.acks.send(now, self.acknowledged(), self.room() > 0, rtt.long()) {
            return Some(Control::Ack(self.ack(due, rtt)));
        }
        if self.next_report().is_none_or(|due| due > now) {
            return None;
        }
        let interval = |left| report_interval(rtt, left);
        let ranges = self.losses.report(now, REPORT_SLACK, interval, REPORT_WORDS);
        let ranges: Vec<SeqRange> = ranges
            .into_iter()
            .filter_map(|(first, last)| SeqRange::new(self.seq(first), self.seq(last)))
            .collect();
        if ranges.is_empty() {
            return None;
        }
        self.last_report = Some(now);
        self.stats.naks += 1;
        Some(Control::Nak(ranges))
    }

    fn ack(&self, due: Due, rtt: &Rtt) -> Ack {
        let next = self.seq(self.acknowledged());
        match due {
            Due::Light => Ack { number: 0, next, body: AckBody::Light },
            Due::Full(number) => Ack {
                number,
                next,
                body: AckBody::Full {
                    rtt: rtt.smoothed(),
                    rtt_variance: rtt.variance(),
                    available_packets: self.room(),
                    packet_rate: self.rate.packets_per_second().try_into().unwrap_or(u32::MAX),
                    link_capacity: self.link.packets_per_second(),
                    byte_rate: self
                        .rate
                        .bytes_per_second()
                        .map_or(0, |rate| rate.try_into().unwrap_or(u32::MAX)),
                },
            },
        }
    }

    /// The position before which everything has come or is given up.
    fn acknowledged(&self) -> u64 {
        self.losses.first().unwrap_or_else(|| self.buffer.end())
    }

    /// Packets that there is room for.
    fn room(&self) -> u32 {
        let taken = self.buffer.end() - self.buffer.start();
        u32::try_from(self.buffer.capacity().saturating_sub(taken)).unwrap_or(u32::MAX)
    }

    fn next_report(&self) -> Option<Duration> {
        let due = self.losses.next_report()?;
        Some(self.last_report.map_or(due, |last| due.max(last + REPORT_GAP)))
    }

    /// When something is to be sent or delivered next; zero for at once.
    pub(super) fn next_timeout(&self, rtt: &Rtt) -> Option<Duration> {
        let acknowledged = self.acknowledged();
        let light = self.acks.light_due(acknowledged).then_some(Duration::ZERO);
        let ack = self.acks.next(acknowledged, self.room() > 0, rtt.long());
        let delivery = self.buffer.next().map(|next| next.due);
        [light, ack, self.next_report(), delivery].into_iter().flatten().min()
    }

    /// The number of the packet at `position`.
    fn seq(&self, position: u64) -> Seq {
        // The low 31 bits are what a number has.
        self.first + position as u32
    }

    pub(super) fn stats(&self) -> ReceiveStats {
        ReceiveStats {
            buffered_packets: self.buffer.packets() as u64,
            buffered: self.buffer.span(),
            bps: self.rate.bytes_per_second().unwrap_or(0).saturating_mul(8),
            link_capacity_bps: u64::from(self.link.packets_per_second()) * FULL_PACKET_BITS,
            drift_us: self.clock.drift_us(),
            ..self.stats
        }
    }
}

/// A full packet with its SRT header.
pub(super) const FULL_PACKET_BITS: u64 = (1_316 + HEADER_LEN as u64) * 8;

/// How soon a loss is reported again for which some time is left (§4.8.2): twice in the time after which the repeated
/// packet is overdue, as the report may be lost too. What is overdue is judged the more strictly the less time is
/// left, so that as many round trips fit as there is time for.
fn report_interval(rtt: &Rtt, left: Duration) -> Duration {
    let trip = rtt.smoothed().max(Duration::from_millis(1));
    let trips = (left.as_micros() / trip.as_micros()) as u32;
    let spare = left.saturating_sub(trip * trips);
    let patience = match trips.checked_sub(1) {
        Some(more) if more > 0 => (4 * rtt.variance()).min(spare / more),
        _ => 4 * rtt.variance(),
    };
    ((trip + patience) / 2).max(MIN_REPORT_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_reported_twice_per_round_trip_and_sooner_if_that_saves_a_trip() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        rtt.adopt(ms(100), ms(10));
        // 4 deviations are waited for where that costs no trip.
        assert_eq!(report_interval(&rtt, ms(290)), ms(70));
        assert_eq!(report_interval(&rtt, ms(220)), ms(60));
        assert_eq!(report_interval(&rtt, ms(330)), ms(115) / 2);
        assert_eq!(report_interval(&rtt, ms(200)), ms(50));
        assert_eq!(report_interval(&rtt, ms(150)), ms(70));
        rtt.adopt(ms(5), ms(1));
        assert_eq!(report_interval(&rtt, ms(100)), ms(20));
        rtt.adopt(Duration::ZERO, Duration::ZERO);
        assert_eq!(report_interval(&rtt, Duration::MAX), ms(20));
    }
}
