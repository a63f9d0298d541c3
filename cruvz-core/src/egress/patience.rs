//! How often a viewer may jump ahead before it is told that it cannot carry the stream.

use std::time::Duration;

use crate::config::Overflow;

/// Jumps within [`WINDOW`] that are borne.
const MAX_SKIPS: u32 = 10;
const WINDOW: Duration = Duration::from_secs(30);

/// Counts one viewer's jumps.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    from: Duration,
    skips: u32,
}

impl Patience {
    /// Whether a viewer that has just jumped may go on.
    pub(crate) fn bears_skip(&mut self, overflow: Overflow, now: Duration) -> bool {
        if now.saturating_sub(self.from) > WINDOW {
            *self = Self { from: now, skips: 0 };
        }
        self.skips += 1;
        overflow == Overflow::DropUntilKeyframe && self.skips <= MAX_SKIPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_jumps_in_half_a_minute_are_borne_and_no_more() {
        let mut patience = Patience::default();
        let mut jump = |s| patience.bears_skip(Overflow::DropUntilKeyframe, Duration::from_secs(s));
        assert!((100..110).all(&mut jump));
        assert!(!jump(110));
        assert!(jump(141), "half a minute later they count anew");
    }

    #[test]
    fn none_is_borne_where_the_policy_is_to_disconnect() {
        assert!(!Patience::default().bears_skip(Overflow::Disconnect, Duration::ZERO));
    }
}
