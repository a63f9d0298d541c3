//! What becomes of a datagram.

use std::time::Duration;

use crate::Random;

/// How bad one direction of a network is. The default is perfect: everything arrives at once and in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Time from one end to the other.
    pub delay: Duration,
    /// Up to this much more delay, drawn evenly for each datagram. The order is kept: a datagram waits for the one
    /// before it.
    pub jitter: Duration,
    /// Share of datagrams lost, each on its own; 0 to 1.
    pub loss: f64,
    /// Times in which much more is lost.
    pub bursts: Option<Bursts>,
    /// Datagrams that come later than those sent after them.
    pub reordering: Option<Reordering>,
    /// Share of datagrams that arrive twice; 0 to 1.
    pub duplication: f64,
    /// Bits per second that fit through, counted over the lengths given; `None` is no limit.
    pub rate_bps: Option<u64>,
    /// With a rate: how long a datagram may wait for its turn; one that would wait longer is lost. 0 loses
    /// whatever cannot go at once.
    pub queue: Duration,
}

/// The model of Gilbert and Elliott in time: good spells and bad ones by turns.
#[derive(Clone, Debug, PartialEq)]
pub struct Bursts {
    /// How long good spells last.
    pub good: Span,
    /// How long bad spells last.
    pub bad: Span,
    /// Share lost in a bad spell; 0 to 1.
    pub loss: f64,
}

/// How long spells last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    /// Each the same.
    Fixed(Duration),
    /// Drawn for each from the exponential distribution of this mean, so without memory.
    Mean(Duration),
}

/// Datagrams held back so that others overtake them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reordering {
    /// Share of datagrams held back; 0 to 1.
    pub share: f64,
    /// By how much.
    pub by: Duration,
}

/// When a datagram arrives: never, once or twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deliveries {
    times: [Option<Duration>; 2],
}

/// What became of the datagrams so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams given to [`Network::transfer`].
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Lost by chance or in a burst.
    pub lost: u64,
    /// Lost because the rate was exceeded for too long.
    pub overflowed: u64,
    /// Held back.
    pub reordered: u64,
    /// Delivered twice.
    pub duplicated: u64,
}

/// One direction of a network: its conditions, its chances and its memory.
#[derive(Clone, Debug)]
pub struct Network {
    conditions: Conditions,
    random: Random,
    /// Draws the spells, so that they come at the same times whatever is sent.
    spells: Random,
    /// Whether the spell that lasts until `spell_ends` is bad.
    bad: bool,
    spell_ends: Duration,
    /// When the line has sent what it was given.
    line_free: Duration,
    /// Arrival of the last datagram that kept its place.
    last_arrival: Duration,
    tally: Tally,
}

impl Network {
    /// A network whose every chance follows from `seed`.
    #[must_use]
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: Random::new(seed),
            spells: Random::new(!seed),
            // The first look at the clock ends this spell of no length and begins a good one.
            bad: true,
            spell_ends: Duration::ZERO,
            line_free: Duration::ZERO,
            last_arrival: Duration::ZERO,
            tally: Tally::default(),
        }
    }

    /// From now on the network is like this.
    pub fn change(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// The present conditions.
    #[must_use]
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Counts since the start.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Sends a datagram of `len` bytes at `now`, which must not go backwards.
    pub fn transfer(&mut self, now: Duration, len: usize) -> Deliveries {
        self.tally.sent += 1;
        self.tally.sent_bytes += len as u64;
        let never = Deliveries { times: [None; 2] };
        let Some(left) = self.leave(now, len) else {
            self.tally.overflowed += 1;
            return never;
        };
        if self.is_lost(now) {
            self.tally.lost += 1;
            return never;
        }
        let first = self.arrive(left);
        let second = self.random.chance(self.conditions.duplication).then_some(first);
        self.tally.duplicated += u64::from(second.is_some());
        Deliveries { times: [Some(first), second] }
    }

    /// When the datagram has left the line's queue; `None` when the queue is too long.
    fn leave(&mut self, now: Duration, len: usize) -> Option<Duration> {
        let Some(rate) = self.conditions.rate_bps else { return Some(now) };
        let start = self.line_free.max(now);
        if start - now > self.conditions.queue {
            return None;
        }
        self.line_free = start + Duration::from_secs_f64(len as f64 * 8.0 / rate.max(1) as f64);
        Some(self.line_free)
    }

    fn is_lost(&mut self, now: Duration) -> bool {
        let by_chance = self.random.chance(self.conditions.loss);
        let Some(bursts) = self.conditions.bursts.clone() else { return by_chance };
        while self.spell_ends <= now {
            self.bad = !self.bad;
            let span = if self.bad { bursts.bad } else { bursts.good };
            // A spell of no length would never bring the clock forward.
            self.spell_ends += span.draw(&mut self.spells).max(Duration::from_nanos(1));
        }
        by_chance || self.bad && self.random.chance(bursts.loss)
    }

    fn arrive(&mut self, left: Duration) -> Duration {
        let jitter = self.conditions.jitter.mul_f64(self.random.unit());
        let in_order = (left + self.conditions.delay + jitter).max(self.last_arrival);
        match self.conditions.reordering {
            Some(Reordering { share, by }) if self.random.chance(share) => {
                self.tally.reordered += 1;
                in_order + by
            }
            _ => {
                self.last_arrival = in_order;
                in_order
            }
        }
    }
}

impl Span {
    fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Fixed(length) => length,
            Self::Mean(mean) => mean.mul_f64(-(1.0 - random.unit()).ln()),
        }
    }
}

impl Iterator for Deliveries {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.times[0].take().or_else(|| self.times[1].take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sends a datagram of 1,000 bytes each millisecond; its arrivals beside the time it was sent.
    fn send(network: &mut Network, count: u32) -> Vec<(Duration, Vec<Duration>)> {
        (0..count).map(|at| (at * MS, network.transfer(at * MS, 1_000).collect())).collect()
    }

    fn lost(sent: &[(Duration, Vec<Duration>)]) -> usize {
        sent.iter().filter(|(_, arrivals)| arrivals.is_empty()).count()
    }

    #[test]
    fn a_perfect_network_delivers_after_its_delay() {
        let mut network = Network::new(Conditions { delay: 50 * MS, ..Conditions::default() }, 1);
        for (at, arrivals) in send(&mut network, 100) {
            assert_eq!(arrivals, [at + 50 * MS]);
        }
        assert_eq!(network.tally(), Tally { sent: 100, sent_bytes: 100_000, ..Tally::default() });
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let conditions = Conditions {
            jitter: 9 * MS,
            loss: 0.2,
            bursts: Some(Bursts { good: Span::Mean(200 * MS), bad: Span::Mean(20 * MS), loss: 0.9 }),
            duplication: 0.1,
            ..Conditions::default()
        };
        let run = |seed| send(&mut Network::new(conditions.clone(), seed), 2_000);
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn independent_loss_takes_its_share() {
        let mut network = Network::new(Conditions { loss: 0.05, ..Conditions::default() }, 2);
        let lost = lost(&send(&mut network, 20_000));
        assert!((900..1_100).contains(&lost), "{lost} of 20,000");
        assert_eq!(network.tally().lost, lost as u64);
    }

    #[test]
    fn jitter_delays_but_keeps_the_order() {
        let conditions = Conditions { delay: 10 * MS, jitter: 30 * MS, ..Conditions::default() };
        let sent = send(&mut Network::new(conditions, 3), 1_000);
        let arrivals: Vec<Duration> = sent.iter().flat_map(|(_, arrivals)| arrivals.clone()).collect();
        assert!(arrivals.is_sorted());
        assert!(sent.iter().all(|(at, arrivals)| (10 * MS..=40 * MS).contains(&(arrivals[0] - *at))));
        assert!(sent.iter().any(|(at, arrivals)| arrivals[0] - *at > 30 * MS));
    }

    #[test]
    fn bursts_lose_runs_of_their_length() {
        let bursts = Bursts { good: Span::Fixed(450 * MS), bad: Span::Fixed(50 * MS), loss: 1.0 };
        let mut network = Network::new(Conditions { bursts: Some(bursts), ..Conditions::default() }, 4);
        let sent = send(&mut network, 5_000);
        let runs: Vec<usize> = sent
            .chunk_by(|a, b| a.1.is_empty() == b.1.is_empty())
            .filter(|run| run[0].1.is_empty())
            .map(<[_]>::len)
            .collect();
        assert_eq!(runs, [50; 10]);
    }

    #[test]
    fn spells_without_memory_have_their_mean() {
        let bursts = Bursts { good: Span::Mean(90 * MS), bad: Span::Mean(10 * MS), loss: 1.0 };
        let mut network = Network::new(Conditions { bursts: Some(bursts), ..Conditions::default() }, 5);
        let lost = lost(&send(&mut network, 100_000));
        assert!((8_500..11_500).contains(&lost), "{lost} of 100,000 lost where a tenth of the time is bad");
    }

    #[test]
    fn spells_do_not_depend_on_what_is_sent() {
        let bursts = Bursts { good: Span::Mean(90 * MS), bad: Span::Mean(10 * MS), loss: 1.0 };
        let conditions = Conditions { bursts: Some(bursts), jitter: MS, ..Conditions::default() };
        let mut sparse = Network::new(conditions.clone(), 5);
        let mut dense = Network::new(conditions, 5);
        for at in (0..2_000).map(|at| at * MS) {
            let lost = dense.transfer(at, 1).next().is_none();
            dense.transfer(at, 1);
            if at.as_millis() % 7 == 0 {
                assert_eq!(sparse.transfer(at, 1).next().is_none(), lost);
            }
        }
    }

    #[test]
    fn what_is_held_back_is_overtaken() {
        let reordering = Some(Reordering { share: 0.1, by: 30 * MS });
        let mut network = Network::new(Conditions { delay: 5 * MS, reordering, ..Conditions::default() }, 6);
        let sent = send(&mut network, 1_000);
        let late = sent.iter().filter(|(at, arrivals)| arrivals[0] == *at + 35 * MS).count();
        let on_time = sent.iter().filter(|(at, arrivals)| arrivals[0] == *at + 5 * MS).count();
        assert_eq!(late + on_time, 1_000);
        assert!((70..130).contains(&late), "{late} of 1,000 held back");
        assert_eq!(network.tally().reordered, late as u64);
    }

    #[test]
    fn duplicates_come_twice() {
        let mut network = Network::new(Conditions { duplication: 0.25, ..Conditions::default() }, 7);
        let twice = send(&mut network, 1_000).iter().filter(|(_, arrivals)| arrivals.len() == 2).count();
        assert!((200..300).contains(&twice), "{twice} of 1,000");
    }

    #[test]
    fn a_rate_spreads_a_burst_and_its_queue_is_bounded() {
        // 1,000 bytes take 8 ms at 1 Mbit/s; 40 ms hold five of them beside the one on the line.
        let conditions = Conditions { rate_bps: Some(1_000_000), queue: 40 * MS, ..Conditions::default() };
        let mut network = Network::new(conditions, 8);
        let arrivals: Vec<Duration> = (0..10).flat_map(|_| network.transfer(Duration::ZERO, 1_000)).collect();
        let expected: Vec<Duration> = (1..=6).map(|nth| nth * 8 * MS).collect();
        assert_eq!(arrivals, expected);
        assert_eq!(network.tally().overflowed, 4);
    }

    #[test]
    fn conditions_may_change_on_the_way() {
        let mut network = Network::new(Conditions { loss: 1.0, ..Conditions::default() }, 9);
        assert_eq!(lost(&send(&mut network, 10)), 10);
        network.change(Conditions { delay: 20 * MS, ..Conditions::default() });
        assert_eq!(network.transfer(10 * MS, 1).collect::<Vec<_>>(), [30 * MS]);
    }
}
