//! What is missing, and when the peer is told.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// The gaps between the packets that came: ranges of positions, each with the time of its next report.
///
/// Work grows with the logarithm of the number of ranges, which the receiver's window bounds.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    /// By first position.
    ranges: BTreeMap<u64, Loss>,
    /// Not later than the next report of any range.
    next_report: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Loss {
    /// Behind the last position.
    end: u64,
    /// When the gap was seen.
    since: Duration,
    /// When what is behind it is delivered, with or without it.
    deadline: Duration,
    /// When the peer is told next; `None` when it has said that it will not repeat these.
    report: Option<Duration>,
}

impl Losses {
    /// The positions `missing` are wanted since `now` and until `deadline`; the first report is due at `report`.
    pub(super) fn insert(
        &mut self,
        missing: Range<u64>,
        now: Duration,
        report: Duration,
        deadline: Duration,
    ) {
        if !missing.is_empty() {
            let loss = Loss { end: missing.end, since: now, deadline, report: Some(report) };
            self.ranges.insert(missing.start, loss);
            self.next_report = Some(self.next_report.map_or(report, |next| next.min(report)));
        }
    }

    /// The first missing position.
    pub(super) fn first(&self) -> Option<u64> {
        self.ranges.first_key_value().map(|(start, _)| *start)
    }

    /// Takes out a position that has come; since when it was missing, if it was.
    pub(super) fn remove(&mut self, position: u64) -> Option<Duration> {
        let (&start, &loss) = self.ranges.range(..=position).next_back()?;
        if position >= loss.end {
            return None;
        }
        self.ranges.remove(&start);
        self.put(start, Loss { end: position, ..loss });
        self.put(position + 1, loss);
        Some(loss.since)
    }

    /// Forgets all before `position`.
    pub(super) fn remove_before(&mut self, position: u64) {
        while let Some(entry) = self.ranges.first_entry()
            && *entry.key() < position
        {
            let loss = entry.remove();
            self.put(position, loss);
        }
    }

    /// The peer will not repeat the positions from `start` to before `end`: they are reported no more.
    pub(super) fn give_up(&mut self, start: u64, end: u64) {
        let first = self.ranges.range(..start).next_back().map_or(start, |(first, _)| *first);
        let touched: Vec<(u64, Loss)> = self
            .ranges
            .range(first..end.max(first))
            .filter(|(_, loss)| loss.end > start)
            .map(|(first, loss)| (*first, *loss))
            .collect();
        for (first, loss) in touched {
            self.ranges.remove(&first);
            self.put(first, Loss { end: loss.end.min(start), ..loss });
            self.put(first.max(start), Loss { end: loss.end.min(end), report: None, ..loss });
            self.put(first.max(end), loss);
        }
    }

    /// When [`report`](Self::report) may have something to say.
    pub(super) fn next_report(&self) -> Option<Duration> {
        self.next_report
    }

    /// The ranges to report at `now`, as first and last position, at most `words` words of a loss list. Each is due
    /// again after what `interval` says of the time that is left for it. What is due within `slack` is taken along.
    pub(super) fn report(
        &mut self,
        now: Duration,
        slack: Duration,
        interval: impl Fn(Duration) -> Duration,
        mut words: usize,
    ) -> Vec<(u64, u64)> {
        let mut reported = Vec::new();
        self.next_report = None;
        let mut next: Option<Duration> = None;
        for (start, loss) in &mut self.ranges {
            let Some(due) = &mut loss.report else { continue };
            let needed = if *start + 1 == loss.end { 1 } else { 2 };
            if *due <= now + slack && words >= needed {
                words -= needed;
                reported.push((*start, loss.end - 1));
                *due = now + interval(loss.deadline.saturating_sub(now));
            }
            next = Some(next.map_or(*due, |next| next.min(*due)));
        }
        self.next_report = next;
        reported
    }

    fn put(&mut self, start: u64, loss: Loss) {
        if start < loss.end {
            self.ranges.insert(start, loss);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const WORDS: usize = 100;

    /// All that would ever be reported.
    fn all(losses: &Losses) -> Vec<(u64, u64)> {
        losses.clone().report(1_000_000 * MS, MS, |_| MS, 10_000)
    }

    fn three() -> Losses {
        let mut losses = Losses::default();
        losses.insert(10..20, MS, MS, 50 * MS);
        losses.insert(30..31, 2 * MS, 5 * MS, 50 * MS);
        losses.insert(40..45, 3 * MS, 9 * MS, 50 * MS);
        losses
    }

    #[test]
    fn what_comes_is_missing_no_more() {
        let mut losses = three();
        assert_eq!(losses.remove(15), Some(MS));
        assert_eq!(losses.remove(15), None);
        assert_eq!(losses.remove(10), Some(MS));
        assert_eq!(losses.remove(44), Some(3 * MS));
        assert_eq!(losses.remove(30), Some(2 * MS));
        assert_eq!((losses.remove(9), losses.remove(20), losses.remove(99)), (None, None, None));
        assert_eq!(all(&losses), [(11, 14), (16, 19), (40, 43)]);
        assert_eq!(losses.first(), Some(11));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut losses = three();
        losses.remove_before(31);
        assert_eq!(all(&losses), [(40, 44)]);
        losses.remove_before(42);
        assert_eq!(all(&losses), [(42, 44)]);
        losses.remove_before(45);
        assert_eq!(losses.first(), None);
    }

    #[test]
    fn what_is_given_up_stays_missing_but_is_not_reported() {
        let mut losses = three();
        losses.give_up(15, 42);
        assert_eq!(all(&losses), [(10, 14), (42, 44)]);
        assert_eq!(losses.remove(17), Some(MS));
        losses.remove_before(15);
        assert_eq!(losses.first(), Some(15));
        losses.give_up(50, 60);
        assert_eq!(all(&losses), [(42, 44)]);
    }

    #[test]
    fn reports_come_when_they_are_due_and_again_after_the_interval() {
        let mut losses = three();
        assert_eq!(losses.next_report(), Some(MS));
        assert_eq!(losses.report(MS, Duration::ZERO, |_| 10 * MS, WORDS), [(10, 19)]);
        assert_eq!(losses.next_report(), Some(5 * MS));
        // 30 is due, and 40 soon enough to go along.
        assert_eq!(losses.report(5 * MS, 4 * MS, |_| 10 * MS, WORDS), [(30, 30), (40, 44)]);
        assert_eq!(losses.report(6 * MS, Duration::ZERO, |_| 10 * MS, WORDS), []);
        assert_eq!(losses.next_report(), Some(11 * MS));
        assert_eq!(losses.report(11 * MS, Duration::ZERO, |_| 10 * MS, WORDS), [(10, 19)]);
    }

    #[test]
    fn the_time_that_is_left_decides_when_the_next_report_is() {
        let mut losses = three();
        losses.report(9 * MS, Duration::ZERO, |left| left / 2, WORDS);
        assert_eq!(losses.next_report(), Some(9 * MS + 41 * MS / 2));
    }

    #[test]
    fn what_does_not_fit_stays_due() {
        let mut losses = three();
        assert_eq!(losses.report(9 * MS, Duration::ZERO, |_| 10 * MS, 3), [(10, 19), (30, 30)]);
        assert_eq!(losses.next_report(), Some(9 * MS));
        assert_eq!(losses.report(9 * MS, Duration::ZERO, |_| 10 * MS, 3), [(40, 44)]);
    }

    proptest! {
        /// Against a plain set of positions.
        #[test]
        fn ranges_are_a_set_of_positions(steps in prop::collection::vec((0u8..3, 0u64..60, 1u64..20), 1..40)) {
            let mut losses = Losses::default();
            let mut missing = std::collections::BTreeSet::new();
            let mut end = 0;
            for (step, a, b) in steps {
                match step {
                    0 => {
                        losses.insert(end + b..end + b + a, MS, MS, MS);
                        missing.extend(end + b..end + b + a);
                        end += a + b;
                    }
                    1 => prop_assert_eq!(losses.remove(a).is_some(), missing.remove(&a)),
                    _ => {
                        losses.remove_before(b);
                        missing.retain(|position| *position >= b);
                    }
                }
                let reported: Vec<u64> = all(&losses).into_iter().flat_map(|(first, last)| first..=last).collect();
                prop_assert_eq!(reported, missing.iter().copied().collect::<Vec<_>>());
                prop_assert_eq!(losses.first(), missing.first().copied());
            }
        }
    }
}
