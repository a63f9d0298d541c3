//! How long the publisher takes to answer.

use std::time::Duration;

/// The shortest time between two requests for the same packet: below it, jitter alone looks like a loss.
const LEAST_REPEAT: Duration = Duration::from_millis(20);
/// The least wait for a packet that was asked for, and how many round trips it is otherwise.
const LEAST_WAIT: Duration = Duration::from_millis(150);
const ROUND_TRIPS: u32 = 5;
/// No round trip is taken for longer than this.
const LONGEST: Duration = Duration::from_secs(2);
/// How often the time to a repeat grows by half while answers are ambiguous: to five times.
const MAX_DOUBT: u32 = 4;

/// The round trip, smoothed as RFC 6298 §2 does it: a receiver sees it only from a request to what it brings.
///
/// What was requested twice tells nothing, for either request may have brought it. Requests that are repeated too early would
/// never tell, therefore, so that the time to a repeat grows with each such answer until one tells (Karn's algorithm).
#[derive(Clone, Debug)]
pub(super) struct Rtt {
    smoothed: Duration,
    variance: Duration,
    measured: bool,
    doubt: u32,
}

impl Rtt {
    pub(super) fn new(assumed: Duration) -> Self {
        Self { smoothed: assumed.min(LONGEST), variance: Duration::ZERO, measured: false, doubt: 0 }
    }

    /// An answer came to something that was requested more than once.
    pub(super) fn doubt(&mut self) {
        self.doubt = (self.doubt + 1).min(MAX_DOUBT);
    }

    /// Takes a measurement.
    pub(super) fn sample(&mut self, rtt: Duration) {
        let rtt = rtt.min(LONGEST);
        self.doubt = 0;
        if std::mem::replace(&mut self.measured, true) {
            self.variance = (self.variance * 3 + self.smoothed.abs_diff(rtt)) / 4;
            self.smoothed = (self.smoothed * 7 + rtt) / 8;
        } else {
            (self.smoothed, self.variance) = (rtt, rtt / 4);
        }
    }

    /// The round trip, once it is measured.
    pub(super) fn measured(&self) -> Option<Duration> {
        self.measured.then_some(self.smoothed)
    }

    /// After which time without an answer a request is repeated.
    pub(super) fn repeat(&self) -> Duration {
        let usual = (self.smoothed + self.variance * 2).max(LEAST_REPEAT);
        usual * 3_u32.pow(self.doubt) / 2_u32.pow(self.doubt)
    }

    /// How long a packet that was asked for is waited for.
    pub(super) fn wait(&self, longest: Duration) -> Duration {
        (self.repeat() * ROUND_TRIPS).max(LEAST_WAIT).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_first_measurement_replaces_the_assumption_and_later_ones_are_smoothed() {
        let mut rtt = Rtt::new(100 * MS);
        assert_eq!((rtt.measured(), rtt.repeat()), (None, 100 * MS));
        rtt.sample(40 * MS);
        assert_eq!((rtt.measured(), rtt.repeat()), (Some(40 * MS), 60 * MS));
        rtt.sample(120 * MS);
        assert_eq!(rtt.measured(), Some(50 * MS));
    }

    #[test]
    fn ambiguous_answers_make_requests_rarer_until_one_tells() {
        let mut rtt = Rtt::new(100 * MS);
        rtt.doubt();
        assert_eq!((rtt.measured(), rtt.repeat()), (None, 150 * MS));
        (0..9).for_each(|_| rtt.doubt());
        assert_eq!(rtt.repeat(), MS * 50_625 / 100);
        rtt.sample(120 * MS);
        assert_eq!(rtt.repeat(), 180 * MS);
    }

    #[test]
    fn waits_are_bounded_on_both_sides() {
        let mut rtt = Rtt::new(100 * MS);
        rtt.sample(MS / 10);
        assert_eq!((rtt.repeat(), rtt.wait(500 * MS)), (20 * MS, 150 * MS));
        rtt.sample(Duration::MAX);
        assert_eq!(rtt.wait(500 * MS), 500 * MS);
    }
}
