//! How fast to send (live congestion control, §5.1.1).

use std::time::Duration;

use super::Bandwidth;
use super::rate::Rate;

/// What may go out at once after a silence: two gathers of 20 ms.
const BURST: Duration = Duration::from_millis(40);

/// And at least this many bytes: a few full packets, whatever the rate.
const LEAST_BURST: f64 = 8.0 * 1_500.0;

/// No rate is slower, so that nothing comes to a stand: 64 kbit/s.
const SLOWEST: f64 = 8_000.0;

/// A bucket of bytes that fills at the bandwidth.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    bandwidth: Bandwidth,
    input: Rate,
    bytes: f64,
    filled: Duration,
}

impl Pacer {
    pub(super) fn new(bandwidth: Bandwidth) -> Self {
        Self { bandwidth, input: Rate::default(), bytes: LEAST_BURST, filled: Duration::ZERO }
    }

    /// A packet was made at `origin`; it counts as input once.
    pub(super) fn input(&mut self, origin: Duration, bytes: usize) {
        self.input.count(origin, bytes);
    }

    /// What the input makes; 0 until known.
    pub(super) fn input_packets_per_second(&self) -> u64 {
        self.input.packets_per_second()
    }

    /// Whether the bandwidth is a limit. What follows the input only smooths: nothing waits for long.
    pub(super) fn is_strict(&self) -> bool {
        matches!(self.bandwidth, Bandwidth::Max(_))
    }

    /// Whether a packet may go out at `now`.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        let Some(rate) = self.rate() else { return true };
        let gained = now.saturating_sub(self.filled).as_secs_f64() * rate;
        self.bytes = (self.bytes + gained).min((BURST.as_secs_f64() * rate).max(LEAST_BURST));
        self.filled = now;
        self.bytes > 0.0
    }

    /// A packet has gone out. One may go that is larger than what was left; the next waits for it.
    pub(super) fn spend(&mut self, bytes: usize) {
        match self.bandwidth {
            Bandwidth::Unlimited => {}
            Bandwidth::Max(_) => self.bytes -= bytes as f64,
            // What went out unasked is not held against those behind it.
            Bandwidth::Input { .. } => self.bytes = (self.bytes - bytes as f64).max(-LEAST_BURST),
        }
    }

    /// When the next packet may go out; `None` for at once.
    pub(super) fn next(&self) -> Option<Duration> {
        let rate = self.rate()?;
        // A microsecond more, as the bucket must hold more than nothing.
        (self.bytes <= 0.0)
            .then(|| self.filled + Duration::from_secs_f64(-self.bytes / rate) + Duration::from_micros(1))
    }

    /// Bytes per second; `None` for no limit, also while the input is not yet measured.
    fn rate(&self) -> Option<f64> {
        let rate = match self.bandwidth {
            Bandwidth::Unlimited => return None,
            Bandwidth::Max(rate) => rate as f64,
            Bandwidth::Input { bytes_per_second, overhead_percent } => {
                let input = bytes_per_second.or_else(|| self.input.bytes_per_second())?;
                input as f64 * (1.0 + f64::from(overhead_percent) / 100.0)
            }
        };
        Some(rate.max(SLOWEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Bytes that go out in a second if 1,000 are always ready.
    fn second(pacer: &mut Pacer, from: Duration) -> usize {
        let mut sent = 0;
        for ms in 0..1_000 {
            while pacer.allows(from + ms * MS) && sent < 10_000_000 {
                pacer.spend(1_000);
                sent += 1_000;
            }
        }
        sent
    }

    #[test]
    fn a_limit_holds_and_leaves_a_burst() {
        let mut pacer = Pacer::new(Bandwidth::Max(500_000));
        let sent = second(&mut pacer, MS);
        assert!((500_000..=525_000).contains(&sent), "{sent}");
        assert!(!pacer.allows(1_000 * MS));
        let next = pacer.next().unwrap();
        assert!(next > 1_000 * MS && next < 1_003 * MS, "{next:?}");
        assert!(pacer.allows(next));
    }

    #[test]
    fn without_a_limit_everything_goes() {
        let mut pacer = Pacer::new(Bandwidth::Unlimited);
        assert_eq!(second(&mut pacer, MS), 10_000_000);
        assert_eq!(pacer.next(), None);
    }

    #[test]
    fn a_measured_input_sets_the_limit() {
        let mut pacer = Pacer::new(Bandwidth::Input { bytes_per_second: None, overhead_percent: 25 });
        assert!(pacer.allows(MS) && pacer.next().is_none());
        (0..2_000).for_each(|at| pacer.input(at * MS, 400));
        let first = second(&mut pacer, 2_000 * MS);
        let sent = second(&mut pacer, 3_000 * MS);
        assert!((495_000..=505_000).contains(&sent), "{first}, then {sent}");
    }

    #[test]
    fn a_given_input_needs_no_measure_and_nothing_stands_still() {
        let given = Bandwidth::Input { bytes_per_second: Some(100_000), overhead_percent: 10 };
        let mut pacer = Pacer::new(given);
        second(&mut pacer, MS);
        let sent = second(&mut pacer, 1_001 * MS);
        assert!((109_000..=111_000).contains(&sent), "{sent}");
        let mut pacer = Pacer::new(Bandwidth::Max(0));
        second(&mut pacer, MS);
        assert_eq!(second(&mut pacer, 1_001 * MS), 8_000);
    }
}
