//! What the peer has lost, and what of it was sent again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Packets remembered as wanted or as repeated; beyond it reports are passed over. The peer repeats them.
const MOST: usize = 4_096;

/// The time between a packet that was lost again and its echo: enough to be out of the same burst of losses.
const ECHO_WAIT: Duration = Duration::from_millis(10);

/// The positions to send again, each at most once in a while, and all together not more than was sent.
///
/// A packet that was lost twice is sent twice from then on: there is little time left for it, and so few need it
/// that it costs next to nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Repeats {
    wanted: BTreeSet<u64>,
    repeated: BTreeMap<u64, Repeated>,
    /// Packets to send once more without being asked, and when.
    echoes: VecDeque<(Duration, u64)>,
    /// How many may be sent again: each new packet earns one.
    credit: u32,
    most_credit: u32,
}

#[derive(Clone, Copy, Debug)]
struct Repeated {
    /// When it was sent again last.
    at: Duration,
    /// Whether the echo is to be sent now.
    echo_due: bool,
}

impl Repeats {
    /// Nothing lost, and `burst` packets that may be repeated.
    pub(super) fn new(burst: u32) -> Self {
        Self { credit: burst, most_credit: burst, ..Self::default() }
    }

    /// The peer reports the packet as lost. True if it does so for the first time.
    pub(super) fn report(&mut self, position: u64) -> bool {
        let new = self.wanted.len() < MOST && self.wanted.insert(position);
        new && !self.repeated.contains_key(&position)
    }

    /// Takes all that were repeated `age` ago or earlier, and are not yet acknowledged, as lost again.
    pub(super) fn report_again(&mut self, now: Duration, age: Duration) {
        let old = self.repeated.iter().filter(|(_, last)| last.at + age <= now);
        self.wanted.extend(old.map(|(position, _)| *position));
    }

    /// How long ago a packet was sent again, if it was.
    pub(super) fn age(&self, now: Duration, position: u64) -> Option<Duration> {
        Some(now.saturating_sub(self.repeated.get(&position)?.at))
    }

    /// Whether the packet is due without being asked for.
    pub(super) fn is_echo(&self, position: u64) -> bool {
        self.repeated.get(&position).is_some_and(|last| last.echo_due)
    }

    /// A packet was sent for the first time.
    pub(super) fn earn(&mut self) {
        self.credit = (self.credit + 1).min(self.most_credit);
    }

    /// The first packet to repeat at `now`.
    pub(super) fn first(&mut self, now: Duration) -> Option<u64> {
        while let Some((_, position)) = self.echoes.pop_front_if(|(due, _)| *due <= now) {
            // What has come since is no longer among the repeated.
            if let Some(last) = self.repeated.get_mut(&position) {
                last.echo_due = true;
                self.wanted.insert(position);
            }
        }
        self.wanted.first().copied().filter(|_| self.credit > 0)
    }

    /// When there will be something to repeat; zero for at once.
    pub(super) fn next(&self) -> Option<Duration> {
        let wanted = self.wanted.first().map(|_| Duration::ZERO);
        wanted.or_else(|| self.echoes.front().map(|(due, _)| *due)).filter(|_| self.credit > 0)
    }

    /// The first is sent at `now`.
    pub(super) fn sent(&mut self, now: Duration) {
        let Some(position) = self.wanted.pop_first() else { return };
        self.credit = self.credit.saturating_sub(1);
        let again = self.repeated.get(&position).is_some_and(|last| !last.echo_due);
        if again && self.echoes.len() < MOST {
            self.echoes.push_back((now + ECHO_WAIT, position));
        }
        self.repeated.insert(position, Repeated { at: now, echo_due: false });
        if self.repeated.len() > MOST {
            self.repeated.pop_first();
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
        let mut all = Vec::new();
        while let Some(first) = repeats.first(now) {
            all.push(first);
            repeats.sent(now);
        }
        all
    }

    #[test]
    fn what_is_wanted_comes_in_order_and_once() {
        let mut repeats = Repeats::new(10);
        assert!(repeats.report(7) && repeats.report(5));
        assert!(!repeats.report(7));
        assert_eq!(all(&mut repeats, 3 * MS), [5, 7]);
        assert_eq!((repeats.age(9 * MS, 7), repeats.age(9 * MS, 6)), (Some(6 * MS), None));
        assert!(!repeats.report(7));
        assert_eq!(all(&mut repeats, 53 * MS), [7]);
    }

    #[test]
    fn a_packet_that_was_lost_again_has_an_echo() {
        let mut repeats = Repeats::new(10);
        for at in [0, 100, 200] {
            repeats.report(7);
            assert_eq!(all(&mut repeats, at * MS), [7]);
            assert_eq!(all(&mut repeats, at * MS + ECHO_WAIT - MS), [0_u64; 0]);
            let due = (at > 0).then_some(at * MS + ECHO_WAIT);
            assert_eq!(repeats.next(), due);
            assert_eq!(repeats.first(at * MS + ECHO_WAIT), due.map(|_| 7));
            assert_eq!(repeats.is_echo(7), at > 0);
            assert_eq!(all(&mut repeats, at * MS + ECHO_WAIT).len(), usize::from(at > 0));
            assert_eq!(repeats.next(), None);
        }
        repeats.report(7);
        assert_eq!(all(&mut repeats, 300 * MS), [7]);
        repeats.acknowledge(8);
        assert_eq!(all(&mut repeats, 400 * MS), [0_u64; 0]);
    }

    #[test]
    fn what_has_come_is_not_repeated() {
        let mut repeats = Repeats::new(10);
        (0..6).for_each(|position| assert!(repeats.report(position)));
        repeats.acknowledge(4);
        repeats.discard();
        assert_eq!(all(&mut repeats, MS), [5]);
        repeats.acknowledge(6);
        assert!(repeats.repeated.is_empty());
    }

    #[test]
    fn what_was_repeated_in_vain_is_wanted_again() {
        let mut repeats = Repeats::new(10);
        for position in [3, 5, 7] {
            repeats.report(position);
            all(&mut repeats, position as u32 * MS);
        }
        repeats.acknowledge(5);
        repeats.report_again(56 * MS, 50 * MS);
        assert_eq!(all(&mut repeats, 56 * MS), [5]);
    }

    #[test]
    fn no_more_is_repeated_than_was_sent() {
        let mut repeats = Repeats::new(2);
        (0..6).for_each(|position| assert!(repeats.report(position)));
        let credit = |repeats: &mut Repeats| all(repeats, MS).len();
        assert_eq!(credit(&mut repeats), 2);
        repeats.earn();
        assert_eq!(credit(&mut repeats), 1);
        (0..5).for_each(|_| repeats.earn());
        assert_eq!(credit(&mut repeats), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let mut repeats = Repeats::new(u32::MAX);
        for position in 0..3 * MOST as u64 {
            repeats.report(position);
        }
        assert_eq!(repeats.wanted.len(), MOST);
        for position in 0..3 * MOST as u64 {
            repeats.report(position);
            repeats.sent(MS);
        }
        assert_eq!((repeats.repeated.len(), repeats.echoes.len()), (MOST, 0));
    }
}
