//! When packets came, for the congestion control of the publisher (draft-holmer-rmcat-transport-wide-cc-extensions-01).

use std::time::Duration;

use cruvz_media::time::Unwrapper;

/// Arrivals kept between two feedbacks at most: 20,000 packets per second at 50 ms. Those beyond are not reported, which
/// a publisher takes for a loss and sends less.
const MAX_ARRIVALS: usize = 1_024;
/// Where extended numbers begin: a multiple of the wire's range, far enough from zero to go back.
const ORIGIN: i64 = 1 << 32;

/// The arrivals that were not reported yet, by transport-wide sequence number.
#[derive(Debug)]
pub(super) struct Arrivals {
    unwrapper: Unwrapper,
    waiting: Vec<(u64, Duration)>,
    /// The first number that no feedback covered. What comes below it was reported as lost.
    next: u64,
    /// Feedbacks sent.
    feedbacks: u8,
    due: Option<Duration>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self { unwrapper: Unwrapper::new(16), waiting: Vec::new(), next: 0, feedbacks: 0, due: None }
    }

    /// Takes note of a packet; the next feedback is sent `interval` after the first one it covers.
    pub(super) fn record(&mut self, now: Duration, wire: u16, interval: Duration) {
        let seq = self.unwrapper.unwrap(u64::from(wire)).saturating_add(ORIGIN);
        let Ok(seq) = u64::try_from(seq) else { return };
        if seq >= self.next && self.waiting.len() < MAX_ARRIVALS {
            self.waiting.push((seq, now));
            self.due.get_or_insert_with(|| now.saturating_add(interval));
        }
    }

    /// When the next feedback is to be sent.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Writes one feedback if it is time. `write` gets its number, its first sequence number and the arrivals, and says
    /// how many of them it took; the rest are for the next call.
    pub(super) fn feedback(
        &mut self,
        now: Duration,
        write: impl FnOnce(u8, u64, &[(u64, Duration)]) -> usize,
    ) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.waiting.sort_unstable_by_key(|&(seq, _)| seq);
        self.waiting.dedup_by_key(|&mut (seq, _)| seq);
        let Some(&(first, _)) = self.waiting.first() else { return };
        let base = if self.next == 0 { first } else { self.next };
        let taken = write(self.feedbacks, base, &self.waiting).clamp(1, self.waiting.len());
        self.feedbacks = self.feedbacks.wrapping_add(1);
        if let Some((last, _)) = self.waiting.drain(..taken).next_back() {
            self.next = last + 1;
        }
        if self.waiting.is_empty() {
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const INTERVAL: Duration = Duration::from_millis(50);

    /// What one feedback at `now` says: its number, its first sequence number and those that came, on the wire.
    fn feedback(arrivals: &mut Arrivals, now: Duration, most: usize) -> Option<(u8, u16, Vec<u16>)> {
        let mut said = None;
        arrivals.feedback(now, |number, base, arrivals| {
            let taken = arrivals.len().min(most);
            said =
                Some((number, base as u16, arrivals[..taken].iter().map(|&(seq, _)| seq as u16).collect()));
            taken
        });
        said
    }

    #[test]
    fn arrivals_are_reported_in_order_once_each_and_losses_between_feedbacks_are_covered() {
        let mut arrivals = Arrivals::new();
        assert_eq!(arrivals.due(), None);
        for (at, seq) in [(0, 65_534), (1, 65_535), (2, 1), (3, 0), (4, 1)] {
            arrivals.record(at * MS, seq, INTERVAL);
        }
        assert_eq!(arrivals.due(), Some(INTERVAL));
        assert_eq!(feedback(&mut arrivals, 49 * MS, 9), None);
        assert_eq!(feedback(&mut arrivals, 50 * MS, 9), Some((0, 65_534, vec![65_534, 65_535, 0, 1])));
        arrivals.record(60 * MS, 0, INTERVAL);
        arrivals.record(61 * MS, 5, INTERVAL);
        assert_eq!(feedback(&mut arrivals, 111 * MS, 9), Some((1, 2, vec![5])));
        assert_eq!(arrivals.due(), None);
    }

    #[test]
    fn what_one_feedback_has_no_room_for_goes_into_the_next_at_once() {
        let mut arrivals = Arrivals::new();
        (0..5).for_each(|seq| arrivals.record(MS, seq, INTERVAL));
        assert_eq!(feedback(&mut arrivals, 51 * MS, 3), Some((0, 0, vec![0, 1, 2])));
        assert_eq!(feedback(&mut arrivals, 51 * MS, 3), Some((1, 3, vec![3, 4])));
        assert_eq!(feedback(&mut arrivals, 51 * MS, 3), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut arrivals = Arrivals::new();
        (0..u16::MAX).for_each(|seq| arrivals.record(MS, seq, INTERVAL));
        assert_eq!(arrivals.waiting.len(), MAX_ARRIVALS);
    }
}
