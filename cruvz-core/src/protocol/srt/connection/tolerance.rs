//! How long a missing packet may only be late.

use std::time::Duration;

/// How long what was seen counts in full. After it, the wait halves each second.
const MEMORY: Duration = Duration::from_secs(5);

/// The wait before a gap is reported: as long as packets were late that others had overtaken (§4.8.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tolerance {
    wait: Duration,
    seen: Duration,
}

impl Tolerance {
    /// A packet has come `late` behind those that overtook it.
    pub(super) fn observe(&mut self, now: Duration, late: Duration) {
        // A quarter more, so that the next one is not missed by a hair.
        let wait = late + late / 4;
        if wait >= self.wait(now) {
            (self.wait, self.seen) = (wait, now);
        } else if wait >= self.wait / 2 {
            self.seen = now;
        }
    }

    /// How long to wait now.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        let idle = now.saturating_sub(self.seen + MEMORY).as_secs();
        // A wait of ten halvings is over.
        if idle > 10 { Duration::ZERO } else { self.wait / (1 << idle) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    #[test]
    fn it_grows_with_what_is_seen_and_is_forgotten() {
        let mut tolerance = Tolerance::default();
        assert_eq!(tolerance.wait(S), Duration::ZERO);
        tolerance.observe(S, 20 * MS);
        tolerance.observe(2 * S, 4 * MS);
        assert_eq!(tolerance.wait(2 * S), 25 * MS);
        tolerance.observe(5 * S, 16 * MS);
        assert_eq!(tolerance.wait(10 * S), 25 * MS);
        assert_eq!(tolerance.wait(12 * S), 25 * MS / 4);
        assert_eq!(tolerance.wait(60 * S), Duration::ZERO);
        tolerance.observe(60 * S, 8 * MS);
        assert_eq!(tolerance.wait(60 * S), 10 * MS);
    }
}
