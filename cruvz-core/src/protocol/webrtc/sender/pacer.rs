//! How fast a viewer catches up: what is new goes at once, what is old a little at a time.

use std::time::Duration;

/// Packets older than this are old: they are sent because a viewer joined or was held up.
const FRESH: Duration = Duration::from_millis(40);
/// So many old packets in each span of time: about 30 Mbit/s, which most ways carry and the buffers of the rest soften.
const OLD_PACKETS: u32 = 64;
const SPAN: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pacer {
    /// When the present span ends.
    ends: Duration,
    /// Old packets that may yet be sent in it.
    left: u32,
}

impl Pacer {
    /// Whether a packet that came at `origin` may be sent; if it is old, it is counted.
    pub(super) fn take(&mut self, now: Duration, origin: Duration) -> bool {
        if now <= origin + FRESH {
            return true;
        }
        if now >= self.ends {
            // A little less than a span, as a driver's ticks are not exact.
            *self = Self { ends: now + SPAN * 3 / 4, left: OLD_PACKETS };
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }

    /// When the next old packet may be sent.
    pub(super) fn next(&self) -> Duration {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_is_never_held_back_and_what_is_old_goes_a_little_at_a_time() {
        let mut pacer = Pacer::default();
        let now = Duration::from_secs(5);
        assert!((0..500).all(|_| pacer.take(now, now)));
        assert_eq!((0..500).filter(|_| pacer.take(now, Duration::ZERO)).count(), 64);
        assert!(pacer.next() > now);
        assert_eq!((0..500).filter(|_| pacer.take(now + SPAN, Duration::ZERO)).count(), 64);
        assert!(pacer.take(now + SPAN, now + SPAN));
    }
}
