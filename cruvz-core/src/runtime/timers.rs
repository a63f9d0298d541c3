//! Who wants a turn when, among the many that one task serves.

use std::{collections::BTreeSet, time::Duration};

/// When each wants its turn, the earliest first. What is asked of it does not grow with those who wait.
///
/// Wishes mostly move on: a wish for later than the one that is known is kept by whoever has it, who is asked again when the
/// earlier time comes.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Duration, u64)>);

/// One's own place among [`Timers`].
#[derive(Debug, Default)]
pub(crate) struct Place(Option<Duration>);

impl Timers {
    /// `number`, whose place this is, wants a turn at `at`.
    pub(crate) fn wish(&mut self, number: u64, place: &mut Place, at: Option<Duration>) {
        let Some(at) = at.filter(|at| place.0.is_none_or(|known| *at < known)) else { return };
        self.forget(number, place);
        self.0.insert((at, number));
        place.0 = Some(at);
    }

    /// `number` is asked no more.
    pub(crate) fn forget(&mut self, number: u64, place: &mut Place) {
        if let Some(known) = place.0.take() {
            self.0.remove(&(known, number));
        }
    }

    /// When the next one wants a turn.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Somebody whose time has come. Its place is to be [forgotten](Self::forget), and its wish heard anew.
    pub(crate) fn take(&mut self, now: Duration) -> Option<u64> {
        self.next().filter(|at| *at <= now)?;
        self.0.pop_first().map(|(_, number)| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn the_earliest_comes_first_and_a_later_wish_is_asked_for_when_the_earlier_time_comes() {
        let (mut timers, mut first, mut second) = (Timers::default(), Place::default(), Place::default());
        timers.wish(1, &mut first, Some(5 * S));
        timers.wish(2, &mut second, Some(3 * S));
        timers.wish(2, &mut second, Some(4 * S));
        assert_eq!((timers.next(), timers.take(2 * S)), (Some(3 * S), None));
        timers.wish(1, &mut first, Some(S));
        timers.wish(1, &mut first, None);
        assert_eq!((timers.take(3 * S), timers.take(3 * S), timers.take(9 * S)), (Some(1), Some(2), None));
        timers.forget(2, &mut second);
        timers.wish(2, &mut second, Some(4 * S));
        assert_eq!(timers.next(), Some(4 * S));
        timers.forget(2, &mut second);
        assert_eq!(timers.next(), None);
    }
}
