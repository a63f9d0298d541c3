//! Which wall-clock time belongs to which media time.

use crate::Timestamp;

/// By how much frames may come later than media time says before dates follow, in µs.
const TOLERANCE_US: i64 = 1_000_000;

/// Dates segments by media time, so that jitter of arrival does not show.
///
/// A frame can arrive late, never early: the one that came earliest, measured against its media time, tells when the
/// others happened. Where even that one is late by more than a second, the publisher paused or its clock runs slow.
#[derive(Default)]
pub(super) struct WallClock {
    /// Wall clock minus media time, in µs, that dates are made with.
    offset_us: Option<i64>,
    /// The least such difference seen since the last segment began.
    least_us: Option<i64>,
}

impl WallClock {
    /// A frame at `position` arrived at `unix_us`.
    pub(super) fn observe(&mut self, position: Timestamp, unix_us: i64) {
        let offset_us = unix_us.saturating_sub(position.as_micros());
        self.least_us = Some(self.least_us.map_or(offset_us, |least| least.min(offset_us)));
    }

    /// The date of a segment that begins at `position`, µs since 1970.
    pub(super) fn segment_starts(&mut self, position: Timestamp) -> i64 {
        if let Some(least) = self.least_us.take() {
            let offset = self.offset_us.get_or_insert(least);
            if least < *offset || least.saturating_sub(*offset) > TOLERANCE_US {
                *offset = least;
            }
        }
        self.offset_us.unwrap_or(0).saturating_add(position.as_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_media_time_through_jitter_and_the_clock_after_a_pause() {
        let mut clock = WallClock::default();
        let start = |clock: &mut WallClock, ms: i64, arrival_us: i64| {
            clock.observe(Timestamp::from_millis(ms), arrival_us);
            clock.segment_starts(Timestamp::from_millis(ms))
        };
        assert_eq!(start(&mut clock, 0, 5_000_000), 5_000_000);
        assert_eq!(start(&mut clock, 2_000, 7_300_000), 7_000_000);
        assert_eq!(start(&mut clock, 4_000, 12_000_000), 12_000_000);
        assert_eq!(start(&mut clock, 6_000, 14_200_000), 14_000_000);
    }

    #[test]
    fn a_backlog_that_comes_at_once_is_dated_by_its_newest_frame() {
        let mut clock = WallClock::default();
        clock.observe(Timestamp::from_millis(0), 9_000_000);
        assert_eq!(clock.segment_starts(Timestamp::from_millis(0)), 9_000_000);
        clock.observe(Timestamp::from_millis(600), 9_000_000);
        assert_eq!(clock.segment_starts(Timestamp::from_millis(2_000)), 10_400_000);
    }

    #[test]
    fn the_ends_of_time_do_no_harm() {
        let mut clock = WallClock::default();
        clock.observe(Timestamp::from_millis(i64::MIN), i64::MAX);
        clock.segment_starts(Timestamp::from_millis(i64::MAX));
        clock.observe(Timestamp::from_millis(i64::MAX), i64::MIN);
        clock.segment_starts(Timestamp::from_millis(i64::MIN));
    }
}
