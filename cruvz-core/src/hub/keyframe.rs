//! Viewers' wishes for a keyframe, on their way to the publisher.

use std::time::Duration;

/// The least time between two requests that a publisher is told of. A keyframe is many times the size of other frames,
/// so that viewers who ask at will would take the bits from everybody's picture.
const INTERVAL: Duration = Duration::from_millis(300);

/// Whether somebody waits for a keyframe, and when the publisher was last told so.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyframeWish {
    wanted: bool,
    told: Option<Duration>,
    /// Whether the publisher ever looked.
    heeded: bool,
}

impl KeyframeWish {
    /// Somebody needs one. True if nobody did before.
    pub(super) fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.wanted, true)
    }

    /// One came, whoever asked for it.
    pub(super) fn answer(&mut self) {
        self.wanted = false;
    }

    /// The publisher listens for requests.
    pub(super) fn heed(&mut self) {
        self.heeded = true;
    }

    /// Whether the publisher listens for requests.
    pub(super) fn is_heeded(&self) -> bool {
        self.heeded
    }

    /// When the publisher is to be told, if it is.
    pub(super) fn due(&self) -> Option<Duration> {
        self.wanted.then(|| self.told.map_or(Duration::ZERO, |told| told.saturating_add(INTERVAL)))
    }

    /// Whether the publisher is told now; it is told once.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let due = self.due().is_some_and(|due| due <= now);
        if due {
            (self.wanted, self.told) = (false, Some(now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn many_requests_are_told_as_one_and_a_later_one_when_the_interval_is_over() {
        let mut wish = KeyframeWish::default();
        assert!(!wish.take(Duration::ZERO));
        assert!(wish.ask());
        assert!(!wish.ask());
        assert!(wish.take(5 * MS));
        assert!(!wish.take(5 * MS));
        wish.ask();
        assert_eq!(wish.due(), Some(305 * MS));
        assert!(!wish.take(304 * MS));
        assert!(wish.take(305 * MS));
    }

    #[test]
    fn a_keyframe_that_came_answers_the_request() {
        let mut wish = KeyframeWish::default();
        wish.ask();
        wish.answer();
        assert_eq!(wish.due(), None);
        assert!(!wish.take(1_000 * MS));
    }
}
