//! When a packet is delivered: as long after it was made as the latency says (TSBPD, §4.5).

use std::time::Duration;

/// Samples of the peer's clock that make one estimate of its drift, as in libsrt: about 10 s of acknowledgements.
const SAMPLES: u32 = 1_000;

/// Drift that stays beside the base; what exceeds it moves the base, so that a step of the estimate is a small one.
const LARGEST_DRIFT_US: i64 = 5_000;

/// A packet is held no longer than this beyond the latency, whatever its timestamp says.
const LONGEST_EXTRA: Duration = Duration::from_secs(1);

/// The peer's clock as seen from ours, in microseconds.
///
/// Timestamps have 32 bits and wrap after 71 minutes. Each is read as the time next to where the peer's clock
/// should be by now, so the wrap needs no state.
#[derive(Clone, Debug)]
pub(super) struct Tsbpd {
    /// Our time at the peer's timestamp 0; before the beginning of our clock for an older peer.
    base_us: i64,
    latency: Duration,
    drift_us: i64,
    /// What the base has been moved by.
    moved_us: i64,
    sum_us: i64,
    samples: u32,
    first_rtt: Option<Duration>,
}

impl Tsbpd {
    /// The clock of a peer whose packet with the timestamp `timestamp_us` came at `arrival`.
    pub(super) fn new(timestamp_us: u32, arrival: Duration, latency: Duration) -> Self {
        Self {
            base_us: micros(arrival) - i64::from(timestamp_us),
            latency,
            drift_us: 0,
            moved_us: 0,
            sum_us: 0,
            samples: 0,
            first_rtt: None,
        }
    }

    /// When a packet that came at `now` is to be delivered.
    pub(super) fn due(&self, now: Duration, timestamp_us: u32) -> Duration {
        let due = self.made_us(now, timestamp_us) + self.drift_us + micros(self.latency);
        let due = Duration::from_micros(u64::try_from(due).unwrap_or(0));
        due.min(now + self.latency + LONGEST_EXTRA)
    }

    /// Takes in the timestamp of a packet that was sent at once as an answer, and the round trip that it ended. A
    /// change of the round trip is not drift: half of it is the way here.
    pub(super) fn sample(&mut self, now: Duration, timestamp_us: u32, rtt: Duration) {
        let first = *self.first_rtt.get_or_insert(rtt);
        let sample = micros(now) - self.made_us(now, timestamp_us) - (micros(rtt) - micros(first)) / 2;
        // The timestamp is the peer's: 35 minutes either way at most, so the sum cannot overflow.
        self.sum_us += sample;
        self.samples += 1;
        if self.samples < SAMPLES {
            return;
        }
        self.drift_us = self.sum_us / i64::from(SAMPLES);
        (self.sum_us, self.samples) = (0, 0);
        if self.drift_us.abs() > LARGEST_DRIFT_US {
            let step = LARGEST_DRIFT_US * self.drift_us.signum();
            self.base_us += step;
            self.moved_us += step;
            self.drift_us -= step;
        }
    }

    /// How far the peer's clock has drifted since the start.
    pub(super) fn drift_us(&self) -> i64 {
        self.moved_us + self.drift_us
    }

    /// Our time when the packet was made, give or take the way here.
    fn made_us(&self, now: Duration, timestamp_us: u32) -> i64 {
        let expected = micros(now) - self.base_us;
        // The signed distance on the circle of 32 bits; the casts keep the low bits, which is what is wanted.
        let ahead = timestamp_us.wrapping_sub(expected as u32).cast_signed();
        self.base_us + expected + i64::from(ahead)
    }
}

/// Whole microseconds; enough for 292,000 years.
fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    /// The timestamp of a peer whose clock began at `start`.
    fn timestamp(at: Duration, start: Duration) -> u32 {
        (at - start).as_micros() as u32
    }

    #[test]
    fn a_packet_is_due_the_latency_after_it_was_made_however_late_it_came() {
        let clock = Tsbpd::new(1_000_000, 10 * S, 120 * MS);
        assert_eq!(clock.due(10 * S + 500 * MS, 1_500_000), 10 * S + 620 * MS);
        assert_eq!(clock.due(10 * S + 580 * MS, 1_500_000), 10 * S + 620 * MS);
        assert_eq!(clock.due(11 * S, 1_500_000), 10 * S + 620 * MS);
    }

    #[test]
    fn timestamps_wrap_and_order_across_the_wrap_does_not_matter() {
        let start = 3 * S;
        let clock = Tsbpd::new(0, start, 100 * MS);
        let wrap = start + Duration::from_micros(1 << 32);
        for hours in 0..4 {
            let wrap = wrap + hours * Duration::from_micros(1 << 32);
            for (made, came) in
                [(wrap - 30 * MS, wrap - 20 * MS), (wrap, wrap), (wrap - 5 * MS, wrap + 5 * MS)]
            {
                assert_eq!(clock.due(came, timestamp(made, start)), made + 100 * MS);
            }
        }
    }

    #[test]
    fn a_peer_older_than_our_clock_is_no_trouble() {
        let clock = Tsbpd::new(4_000_000_000, MS, 100 * MS);
        assert_eq!(clock.due(3 * MS, 4_000_002_000), 103 * MS);
    }

    #[test]
    fn no_timestamp_holds_a_packet_for_long() {
        let clock = Tsbpd::new(0, S, 100 * MS);
        assert_eq!(clock.due(2 * S, 600_000_000), 3 * S + 100 * MS);
        // Half the circle away it counts as past.
        assert_eq!(clock.due(2 * S, (1_u32 << 31) + 1_000_000), Duration::ZERO);
    }

    #[test]
    fn drift_is_followed_a_step_at_a_time() {
        let start = 5 * S;
        let mut clock = Tsbpd::new(0, start, 100 * MS);
        // The peer's clock is 0.1 % slow, so it falls 10 ms behind in each 10 s.
        let mut at = start;
        for _ in 0..10 * SAMPLES {
            at += 10 * MS;
            clock.sample(at, ((at - start).as_micros() * 999 / 1_000) as u32, 40 * MS);
        }
        let (drift, behind) = (clock.drift_us(), 100_000);
        // Each estimate is the mean of 10 s, and the base moves by 5 ms for each.
        assert!((45_000..behind).contains(&drift), "{drift}");
        let due = clock.due(at, ((at - start).as_micros() * 999 / 1_000) as u32);
        let error = micros(at) + 100_000 - micros(due);
        assert!((0..50_000).contains(&error), "{error} of {behind} us are not yet made up for");
    }

    #[test]
    fn a_longer_round_trip_is_no_drift() {
        let start = 5 * S;
        let mut clock = Tsbpd::new(0, start, 100 * MS);
        let mut at = start;
        for count in 0..2 * SAMPLES {
            at += 10 * MS;
            let rtt = if count == 0 { 40 * MS } else { 140 * MS };
            // What was made at `at` comes half of the additional round trip later.
            clock.sample(at + (rtt - 40 * MS) / 2, timestamp(at, start), rtt);
        }
        assert_eq!(clock.drift_us(), 0);
    }

    #[test]
    fn absurd_samples_do_not_overflow() {
        let mut clock = Tsbpd::new(0, S, 100 * MS);
        for at in 0..10 * SAMPLES {
            clock.sample(2 * S, at.wrapping_mul(0x9e37_79b9), Duration::from_secs(10));
        }
        assert!(clock.due(2 * S, 0) <= 3 * S + 100 * MS);
    }
}
