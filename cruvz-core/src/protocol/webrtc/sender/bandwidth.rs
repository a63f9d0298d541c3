//! What a viewer's network carries, by when its packets arrive there.
//!
//! Each packet has a number of the transport; the viewer tells when which arrived. A packet that took longer than the fastest of
//! late stood in a queue. Pictures come in bursts that queue for a moment on any network; a queue that does not go away between
//! them is one that grows. Where that is so, or much is lost, what came through is what the network carries; else it carries at
//! least that.
//!
//! A viewer that tells of no arrivals may tell what it estimates itself (REMB), and tells in any case what share it lost.

use std::{collections::VecDeque, time::Duration};

use crate::protocol::webrtc::rtcp::TransportFeedback;

/// Packets that wait to be told of; of those before them it is not asked any more. Three seconds of 3 Mbit/s.
const MAX_PACKETS: usize = 1_024;
/// How long arrivals are gathered before they are judged: some pictures.
const WINDOW: Duration = Duration::from_millis(400);
/// The least number of packets that are judged.
const MIN_PACKETS: u32 = 12;
/// A queue in which even the fastest packet of a window stands so long does not go away by itself.
const MAX_QUEUE_US: i64 = 120_000;
/// More than this share lost, in 1/256, in two windows in a row is congestion; less may be the radio.
const MAX_LOST: u32 = 26;
/// How long the fastest transit is remembered, once or twice: clocks drift, and ways change.
const MEMORY: Duration = Duration::from_secs(10);
/// Of what comes through a full network, the share that leaves room for the queue to drain.
const DRAINS: f64 = 0.9;

/// See the module.
#[derive(Debug, Default)]
pub struct Bandwidth {
    /// Packets that are not told of yet, the oldest first, and the number of that.
    sent: VecDeque<Sent>,
    oldest: u16,
    /// The fastest transits of late and of the time before, and since when the first is gathered.
    fastest_us: [Option<i64>; 2],
    fastest_since: Duration,
    window: Window,
    /// Whether arrivals are told at all.
    is_told: bool,
    /// Whether much was lost in the last window.
    lossy: bool,
    congested: bool,
    estimate_bps: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    /// In microseconds, of which the higher bits are known: it is no hour ago.
    at_us: u32,
    bytes: u16,
}

/// What was told since the last judgement.
#[derive(Debug, Default)]
struct Window {
    began: Option<Duration>,
    /// By the viewer's clock, in microseconds: the last arrival of the window before, and of this one.
    arrivals_us: (Option<i64>, Option<i64>),
    bytes: u64,
    arrived: u32,
    lost: u32,
    least_transit_us: Option<i64>,
}

impl Bandwidth {
    /// A packet of `bytes` was sent under the number `seq`, the one behind the last.
    pub fn sent(&mut self, now: Duration, seq: u16, bytes: usize) {
        if self.sent.is_empty() {
            self.oldest = seq;
        }
        if self.sent.len() >= MAX_PACKETS {
            self.sent.pop_front();
            self.oldest = self.oldest.wrapping_add(1);
        }
        let at_us = now.as_micros() as u32;
        self.sent.push_back(Sent { at_us, bytes: u16::try_from(bytes).unwrap_or(u16::MAX) });
    }

    /// The viewer told of arrivals.
    pub fn feedback(&mut self, now: Duration, feedback: &TransportFeedback<'_>) {
        self.is_told = true;
        for (seq, arrived) in feedback.statuses() {
            let Some(sent) = self.take(seq) else { continue };
            match arrived {
                Some(at_us) => self.arrived(now, sent, at_us),
                None => self.window.lost += 1,
            }
        }
        let began = *self.window.began.get_or_insert(now);
        if now.saturating_sub(began) >= WINDOW && self.window.arrived + self.window.lost >= MIN_PACKETS {
            self.judge(now);
        }
    }

    /// The viewer told what it estimates itself, while it is sent `rate_bps`.
    pub fn remb(&mut self, estimate_bps: u64, rate_bps: u64) {
        if !self.is_told {
            (self.congested, self.estimate_bps) = (estimate_bps < rate_bps, Some(estimate_bps));
        }
    }

    /// The viewer told what share it lost lately, in 1/256, while it was sent `rate_bps`.
    pub fn lost(&mut self, share: u8, rate_bps: u64) {
        if self.is_told {
            return;
        }
        self.congested = u32::from(share) > MAX_LOST;
        if self.congested {
            self.estimate_bps = Some(rate_bps * (256 - u64::from(share)) / 256);
        }
    }

    /// Whether more is sent than comes through.
    pub fn is_congested(&self) -> bool {
        self.congested
    }

    /// What comes through if it is congested, else what came through at least, in bits per second. `None` before anything was told.
    pub fn estimate_bps(&self) -> Option<u64> {
        self.estimate_bps
    }

    /// Forgets what was found out: another rate is sent from here on.
    pub fn restart(&mut self) {
        let last = self.window.arrivals_us.1.or(self.window.arrivals_us.0);
        self.window = Window { arrivals_us: (last, None), ..Window::default() };
        (self.lossy, self.congested) = (false, false);
    }

    /// Takes the packet of that number out, and those before it, which were told of or are lost to us.
    fn take(&mut self, seq: u16) -> Option<Sent> {
        let index = usize::from(seq.wrapping_sub(self.oldest));
        if index >= self.sent.len() {
            return None;
        }
        self.oldest = seq.wrapping_add(1);
        self.sent.drain(..=index).next_back()
    }

    fn arrived(&mut self, now: Duration, sent: Sent, at_us: i64) {
        let now_us = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let sent_us = now_us.saturating_sub((now_us as u32).wrapping_sub(sent.at_us).into());
        let transit_us = at_us.saturating_sub(sent_us);
        if now.saturating_sub(self.fastest_since) > MEMORY {
            self.fastest_us = [None, self.fastest_us[0]];
            self.fastest_since = now;
        }
        let least = |known: Option<i64>| Some(known.map_or(transit_us, |known| known.min(transit_us)));
        self.fastest_us[0] = least(self.fastest_us[0]);
        let window = &mut self.window;
        window.least_transit_us = least(window.least_transit_us);
        window.arrivals_us.1 = window.arrivals_us.1.max(Some(at_us));
        window.arrived += 1;
        window.bytes += u64::from(sent.bytes);
    }

    fn judge(&mut self, now: Duration) {
        let Window { arrivals_us: (before, last), bytes, arrived, lost, least_transit_us, .. } = self.window;
        self.window = Window { began: Some(now), arrivals_us: (last.or(before), None), ..Window::default() };
        let fastest = self.fastest_us.into_iter().flatten().min();
        let queue_us =
            least_transit_us.zip(fastest).map_or(0, |(least, fastest)| least.saturating_sub(fastest));
        let much_lost = lost * 256 > (arrived + lost) * MAX_LOST;
        self.congested = queue_us > MAX_QUEUE_US || much_lost && self.lossy;
        self.lossy = much_lost;
        let span_us = last.zip(before).map(|(last, before)| last.saturating_sub(before));
        let Some(span_us) = span_us.and_then(|span| u64::try_from(span).ok()).filter(|span| *span > 0) else {
            return;
        };
        let rate_bps = bytes.saturating_mul(8_000_000) / span_us;
        self.estimate_bps = if self.congested {
            Some((rate_bps as f64 * DRAINS) as u64)
        } else {
            self.estimate_bps.max(Some(rate_bps))
        };
    }
}

#[cfg(test)]
mod tests {
    use cruvz_testnet::{Bursts, Conditions, Network, Span};

    use super::*;
    use crate::protocol::webrtc::rtcp::{self, write};

    const MS: Duration = Duration::from_millis(1);

    /// Pictures of `kbps`, 30 per second with a keyframe of five times the size every 2 s, over `conditions` for `seconds`, told of
    /// every 50 ms: when it was first found congested, and the estimate.
    fn run(kbps: u64, conditions: Conditions, seconds: u32) -> (Option<Duration>, u64) {
        let mut network = Network::new(conditions, 5);
        let mut bandwidth = Bandwidth::default();
        let (mut seq, mut told, mut congested) = (65_000_u64, 65_000_u64, None);
        let mut coming: VecDeque<(u64, Duration)> = VecDeque::new();
        for ms in 1..seconds * 1_000 {
            let now = ms * MS;
            if ms % 33 == 0 {
                let usual = kbps * 1_000 / 8 / 30 * 60 / 64;
                let mut left = if ms % 1_980 == 0 { usual * 5 } else { usual };
                while left > 0 {
                    let bytes = left.min(1_200) as usize;
                    left -= bytes as u64;
                    bandwidth.sent(now, seq as u16, bytes);
                    coming.extend(network.transfer(now, bytes).map(|at| (seq, at)));
                    seq += 1;
                }
            }
            if ms % 50 == 0 {
                let come = coming.iter().take_while(|(_, at)| *at <= now).count();
                // The viewer's clock is another.
                let clock = Duration::from_secs(3_600);
                let arrivals: Vec<_> = coming.drain(..come).map(|(seq, at)| (seq, at + clock)).collect();
                told = tell(&mut bandwidth, now, told, &arrivals);
            }
            if bandwidth.is_congested() {
                congested.get_or_insert(now);
            }
        }
        (congested, bandwidth.estimate_bps().unwrap_or(0) / 1_000)
    }

    /// Tells of arrivals from number `base` on; the number to go on with.
    fn tell(bandwidth: &mut Bandwidth, now: Duration, base: u64, arrivals: &[(u64, Duration)]) -> u64 {
        let mut datagram = Vec::new();
        let taken = write::transport_feedback(&mut datagram, (1, 2), 0, base, arrivals);
        assert_eq!(taken, arrivals.len());
        for packet in rtcp::packets(&datagram) {
            let Ok(rtcp::Packet::TransportFeedback(feedback)) = packet else { panic!("{packet:?}") };
            bandwidth.feedback(now, &feedback);
        }
        arrivals.last().map_or(base, |(seq, _)| seq + 1)
    }

    fn link(kbps: u64, queue_ms: u32) -> Conditions {
        let delay = 25 * MS;
        Conditions { delay, rate_bps: Some(kbps * 1_000), queue: queue_ms * MS, ..Conditions::default() }
    }

    #[test]
    fn a_network_that_carries_more_is_not_congested_and_proves_what_is_sent() {
        for kbps in [150, 500, 1_500] {
            let (congested, estimate) = run(kbps, link(4_000, 1_000), 20);
            assert_eq!(congested, None, "{kbps}");
            assert!((kbps * 8 / 10..=kbps * 2).contains(&estimate), "{estimate} of {kbps}");
        }
    }

    #[test]
    fn a_network_that_carries_less_is_found_out_by_its_queue_and_by_its_losses() {
        for queue_ms in [40, 300, 2_000] {
            let (congested, estimate) = run(1_500, link(900, queue_ms), 4);
            assert!(congested.is_some_and(|at| at < 2_000 * MS), "{queue_ms}: {congested:?}");
            assert!((600..=950).contains(&estimate), "{queue_ms}: {estimate}");
        }
    }

    #[test]
    fn jitter_and_the_losses_of_a_radio_are_no_congestion() {
        let bursts = Bursts { good: Span::Mean(2_000 * MS), bad: Span::Mean(20 * MS), loss: 1.0 };
        for conditions in [
            Conditions { jitter: 60 * MS, ..link(4_000, 1_000) },
            Conditions { loss: 0.03, ..link(4_000, 1_000) },
            Conditions { bursts: Some(bursts), ..link(4_000, 1_000) },
        ] {
            let (congested, _) = run(1_000, conditions.clone(), 20);
            assert_eq!(congested, None, "{conditions:?}");
        }
    }

    #[test]
    fn who_tells_of_no_arrivals_is_believed_what_it_estimates_and_loses() {
        let mut bandwidth = Bandwidth::default();
        bandwidth.remb(800_000, 500_000);
        assert_eq!((bandwidth.is_congested(), bandwidth.estimate_bps()), (false, Some(800_000)));
        bandwidth.remb(400_000, 500_000);
        assert_eq!((bandwidth.is_congested(), bandwidth.estimate_bps()), (true, Some(400_000)));
        bandwidth.lost(10, 500_000);
        assert!(!bandwidth.is_congested());
        bandwidth.lost(64, 1_000_000);
        assert_eq!((bandwidth.is_congested(), bandwidth.estimate_bps()), (true, Some(750_000)));
    }

    #[test]
    fn lies_and_silence_cost_no_more_than_a_bounded_row() {
        let mut bandwidth = Bandwidth::default();
        for seq in 0..200_000_u32 {
            bandwidth.sent(MS * seq, seq as u16, 1_200);
        }
        assert_eq!(bandwidth.sent.len(), MAX_PACKETS);
        let newest = 199_999;
        for (base, arrival) in
            [(0, 5), (newest, 3_600_000), (newest, 1), (newest + 9, 0), (newest - 2_000, 9)]
        {
            let arrivals = [(base, arrival * MS), (base + 2, (arrival + 900) * MS)];
            tell(&mut bandwidth, 200_000 * MS, base, &arrivals);
        }
        assert!(bandwidth.sent.len() <= MAX_PACKETS);
    }
}
