//! What a receiver report says of one SSRC (RFC 3550 §6.4.1, appendix A.3 and A.8).

use std::time::Duration;

use crate::protocol::webrtc::rtcp::{self, ReportBlock};

/// Counts what came of a source and how evenly.
#[derive(Clone, Debug)]
pub(super) struct Reception {
    rate_hz: u32,
    /// The first and the newest extended sequence number of the present sequence.
    first: u64,
    newest: u64,
    received: u64,
    /// Expected and received before the last report.
    reported: (u64, u64),
    /// What was expected and received of earlier sequences.
    before: (u64, u64),
    /// Jitter in sixteenths of a tick, and the last transit time in ticks.
    jitter: i64,
    transit: Option<i64>,
    /// The middle of the last sender report's NTP time, and when it came.
    sender_report: Option<(u32, Duration)>,
}

impl Reception {
    pub(super) fn new(rate_hz: u32, first: u64) -> Self {
        Self {
            rate_hz,
            first,
            newest: first,
            received: 0,
            reported: (0, 0),
            before: (0, 0),
            jitter: 0,
            transit: None,
            sender_report: None,
        }
    }

    /// A packet came for the first time.
    pub(super) fn received(&mut self) {
        self.received += 1;
    }

    /// The newest packet so far has this number and RTP time.
    pub(super) fn newest(&mut self, now: Duration, seq: u64, timestamp: u32) {
        self.newest = seq;
        let arrival = now.as_micros().saturating_mul(u128::from(self.rate_hz)) / 1_000_000;
        let transit = i64::from((arrival as u32).wrapping_sub(timestamp).cast_signed());
        if let Some(last) = self.transit {
            // Only the low 32 bits count; a jump of the timestamps is no jitter of more than a few seconds.
            let most = i64::from(self.rate_hz).saturating_mul(4);
            let change = (transit - last).abs().min(most);
            self.jitter += change - ((self.jitter + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    /// Another sequence begins.
    pub(super) fn restart(&mut self, seq: u64) {
        self.before.0 += self.newest - self.first + 1;
        (self.first, self.newest, self.transit) = (seq, seq, None);
    }

    /// A sender report came.
    pub(super) fn sender_report(&mut self, now: Duration, ntp: u64) {
        self.sender_report = Some((rtcp::compact_ntp(ntp), now));
    }

    /// Mean deviation of the packets' transit time.
    pub(super) fn jitter(&self) -> Duration {
        let ticks = u64::try_from(self.jitter >> 4).unwrap_or(0);
        Duration::from_micros(ticks.saturating_mul(1_000_000) / u64::from(self.rate_hz.max(1)))
    }

    /// The block of a report, and the share of packets lost since the last one, in 256ths.
    pub(super) fn report(&mut self, now: Duration, ssrc: u32) -> ReportBlock {
        let expected = self.before.0 + (self.newest - self.first + 1);
        let lost =
            i64::try_from(expected).unwrap_or(i64::MAX) - i64::try_from(self.received).unwrap_or(i64::MAX);
        let interval = (expected - self.reported.0, self.received - self.reported.1);
        self.reported = (expected, self.received);
        let missing = interval.0.saturating_sub(interval.1);
        let (last_sr, since) =
            self.sender_report.map_or((0, Duration::ZERO), |(sr, at)| (sr, now.saturating_sub(at)));
        ReportBlock {
            ssrc,
            fraction_lost: ((missing << 8) / interval.0.max(1)).min(255) as u8,
            cumulative_lost: lost.clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest_seq: self.newest as u32,
            jitter: u32::try_from(self.jitter >> 4).unwrap_or(0),
            last_sr,
            delay_since_last_sr: u32::try_from((since.as_micros() << 16) / 1_000_000).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_report_says_what_is_lost_since_the_last_one_and_in_all() {
        let mut reception = Reception::new(90_000, 1_000);
        for seq in (1_000..1_100).filter(|seq| seq % 4 != 3) {
            reception.received();
            reception.newest(MS * (seq as u32 - 1_000), seq, (seq as u32 - 1_000) * 90);
        }
        reception.sender_report(500 * MS, 0x1234_5678_9abc_def0);
        let report = reception.report(750 * MS, 7);
        assert_eq!((report.ssrc, report.highest_seq, report.jitter), (7, 1_098, 0));
        // 99 expected, 75 received.
        assert_eq!((report.cumulative_lost, report.fraction_lost), (24, 62));
        assert_eq!((report.last_sr, report.delay_since_last_sr), (0x5678_9abc, 1 << 14));
        let quiet = reception.report(1_000 * MS, 7);
        assert_eq!((quiet.cumulative_lost, quiet.fraction_lost), (24, 0));
    }

    #[test]
    fn a_new_sequence_neither_forgets_losses_nor_makes_any() {
        let mut reception = Reception::new(48_000, 10);
        reception.received();
        reception.newest(MS, 12, 0);
        reception.received();
        reception.restart(900_000);
        reception.received();
        reception.newest(2 * MS, 900_000, 77);
        let report = reception.report(3 * MS, 7);
        assert_eq!((report.cumulative_lost, report.highest_seq), (1, 900_000));
        assert_eq!(reception.jitter(), Duration::ZERO, "transit times of two sequences do not compare");
    }

    #[test]
    fn jitter_follows_the_arrivals() {
        let mut reception = Reception::new(90_000, 0);
        for seq in 0..1_000_u32 {
            reception.received();
            // Every other packet is 10 ms late.
            reception.newest(MS * (seq * 20 + seq % 2 * 10), seq.into(), seq * 1_800);
        }
        let jitter = reception.jitter();
        assert!((9 * MS..=10 * MS).contains(&jitter), "{jitter:?}");
    }
}
