//! The round-trip time.

use std::time::Duration;

/// What is assumed until something is measured (§4.10).
const INITIAL: Duration = Duration::from_millis(100);
const INITIAL_VARIANCE: Duration = Duration::from_millis(50);

/// A sample or a claim beyond this is taken as this much: no path is that long, and a peer may say anything.
const LONGEST: Duration = Duration::from_secs(10);

/// The smoothed round-trip time and its mean deviation (§4.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rtt {
    smoothed: Duration,
    variance: Duration,
    measured: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        Self { smoothed: INITIAL, variance: INITIAL_VARIANCE, measured: false }
    }
}

impl Rtt {
    /// Takes in one measured round trip.
    pub(super) fn sample(&mut self, sample: Duration) {
        let sample = sample.min(LONGEST);
        if self.measured {
            self.variance = (self.variance * 3 + self.smoothed.abs_diff(sample)) / 4;
            self.smoothed = (self.smoothed * 7 + sample) / 8;
        } else {
            (self.smoothed, self.variance, self.measured) = (sample, sample / 2, true);
        }
    }

    /// Takes over what the peer has measured, unless it has measured nothing yet: it then says what both assume.
    pub(super) fn adopt(&mut self, smoothed: Duration, variance: Duration) {
        if (smoothed, variance) != (INITIAL, INITIAL_VARIANCE) {
            (self.smoothed, self.variance) = (smoothed.min(LONGEST), variance.min(LONGEST));
            self.measured = true;
        }
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    pub(super) fn variance(&self) -> Duration {
        self.variance
    }

    /// A round trip that is rarely exceeded: the mean and four deviations.
    pub(super) fn long(&self) -> Duration {
        self.smoothed + 4 * self.variance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_sample_counts_whole_and_later_ones_an_eighth() {
        let mut rtt = Rtt::default();
        assert_eq!((rtt.smoothed(), rtt.variance()), (100 * MS, 50 * MS));
        rtt.sample(40 * MS);
        assert_eq!((rtt.smoothed(), rtt.variance()), (40 * MS, 20 * MS));
        rtt.sample(80 * MS);
        assert_eq!((rtt.smoothed(), rtt.variance(), rtt.long()), (45 * MS, 25 * MS, 145 * MS));
    }

    #[test]
    fn a_peer_that_has_measured_nothing_is_not_believed() {
        let mut rtt = Rtt::default();
        rtt.adopt(100 * MS, 50 * MS);
        rtt.sample(10 * MS);
        rtt.adopt(100 * MS, 50 * MS);
        assert_eq!(rtt.smoothed(), 10 * MS);
        rtt.adopt(30 * MS, 3 * MS);
        assert_eq!((rtt.smoothed(), rtt.variance()), (30 * MS, 3 * MS));
    }

    #[test]
    fn absurd_round_trips_are_cut() {
        let mut rtt = Rtt::default();
        rtt.adopt(Duration::MAX, Duration::MAX);
        rtt.sample(Duration::MAX);
        assert_eq!((rtt.smoothed(), rtt.long()), (LONGEST, LONGEST + 4 * (LONGEST * 3 / 4)));
    }
}
