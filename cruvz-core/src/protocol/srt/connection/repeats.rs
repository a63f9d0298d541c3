//! What the peer has lost, and what of it was sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Packets remembered as wanted or as repeated; beyond it reports are passed over. The peer repeats them.
const MOST: usize = 4_096;

/// The positions to send again, each at most once in a while, and all together not more than was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    wanted: BTreeSet<u64>,
    /// When a packet was sent again last.
    repeated: BTreeMap<u64, Duration>,
    /// How many may be sent again: each new packet earns one.
    credit: u32,
    most_credit: u32,
}

impl Repeats {
    /// Nothing lost, and `burst` packets that may be repeated.
    pub(super) fn new(burst: u32) -> Self {
        Self { credit: burst, most_credit: burst, ..Self::default() }
    }

    /// The peer reports the packet as lost. False if it was repeated less than `hold` ago: the report was then most
    /// likely sent before the repeated packet came.
    pub(super) fn report(&mut self, now: Duration, position: u64, hold: Duration) -> bool {
        let recent = self.repeated.get(&position).is_some_and(|at| now < *at + hold);
        !recent && self.wanted.len() < MOST && self.wanted.insert(position)
    }

    /// A packet was sent for the first time.
    pub(super) fn earn(&mut self) {
        self.credit = (self.credit + 1).min(self.most_credit);
    }

    /// The first packet to repeat.
    pub(super) fn first(&self) -> Option<u64> {
        self.wanted.first().copied().filter(|_| self.credit > 0)
    }

    /// The first is sent at `now`.
    pub(super) fn sent(&mut self, now: Duration) {
        if let Some(position) = self.wanted.pop_first() {
            self.credit = self.credit.saturating_sub(1);
            self.repeated.insert(position, now);
            if self.repeated.len() > MOST {
                self.repeated.pop_first();
            }
        }
    }

    /// The first cannot be sent.
    pub(super) fn discard(&mut self) {
        self.wanted.pop_first();
    }

    /// The peer has everything before `position`, or gave it up.
    pub(super) fn acknowledge(&mut self, position: u64) {
        while self.wanted.first().is_some_and(|first| *first < position) {
            self.wanted.pop_first();
        }
        while let Some(entry) = self.repeated.first_entry()
            && *entry.key() < position
        {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn all(repeats: &mut Repeats, now: Duration) -> Vec<u64> {
        std::iter::from_fn(|| repeats.first().inspect(|_| repeats.sent(now))).collect()
    }

    #[test]
    fn a_packet_is_repeated_once_in_a_while() {
        let mut repeats = Repeats::new(10);
        assert!(repeats.report(MS, 7, 50 * MS));
        assert!(repeats.report(MS, 5, 50 * MS));
        assert!(!repeats.report(2 * MS, 7, 50 * MS));
        assert_eq!(all(&mut repeats, 3 * MS), [5, 7]);
        assert!(!repeats.report(52 * MS, 7, 50 * MS));
        assert!(repeats.report(53 * MS, 7, 50 * MS));
        assert_eq!(all(&mut repeats, 53 * MS), [7]);
    }

    #[test]
    fn what_has_come_is_not_repeated() {
        let mut repeats = Repeats::new(10);
        (0..6).for_each(|position| assert!(repeats.report(MS, position, MS)));
        repeats.acknowledge(4);
        repeats.discard();
        assert_eq!(all(&mut repeats, MS), [5]);
        repeats.acknowledge(6);
        assert!(repeats.repeated.is_empty());
    }

    #[test]
    fn no_more_is_repeated_than_was_sent() {
        let mut repeats = Repeats::new(2);
        (0..6).for_each(|position| assert!(repeats.report(MS, position, MS)));
        assert_eq!(all(&mut repeats, MS), [0, 1]);
        repeats.earn();
        assert_eq!(all(&mut repeats, MS), [2]);
        (0..5).for_each(|_| repeats.earn());
        assert_eq!(all(&mut repeats, MS), [3, 4]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::new(u32::MAX);
        for position in 0..3 * MOST as u64 {
            repeats.report(MS, position, MS);
        }
        assert_eq!(repeats.wanted.len(), MOST);
        for position in 0..3 * MOST as u64 {
            repeats.report(MS, position, MS);
            repeats.sent(MS);
        }
        assert_eq!(repeats.repeated.len(), MOST);
    }
}
