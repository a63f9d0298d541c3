//! When the sender is told what has come, and what its answers say about the round trip.

use std::time::Duration;

/// Time between full acknowledgements (§3.2.4, §4.8.1).
const INTERVAL: Duration = Duration::from_millis(10);

/// Packets after which a light acknowledgement goes out before the next full one is due.
const LIGHT_PACKETS: u32 = 64;

/// Acknowledgements whose answers are waited for: 5 s of them.
const WINDOW: usize = 512;

/// The acknowledgements sent, and what of them was answered. Positions count packets from the connection's first.
#[derive(Clone, Debug)]
pub(super) struct Acks {
    /// The number of the last full one; they count from 1.
    number: u32,
    /// When each of the last ones was sent, by number; `None` once answered.
    sent: Box<[Option<(Duration, u64)>]>,
    /// When the last full one was sent.
    last: Option<Duration>,
    /// What it acknowledged.
    position: u64,
    /// What the peer is known to know.
    confirmed: u64,
    /// Packets that came since the last full one, and light ones sent since.
    packets: u32,
    light: u32,
    /// Whether the last one said that there is no room.
    full: bool,
}

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A light one.
    Light,
    /// A full one with this number.
    Full(u32),
}

impl Acks {
    pub(super) fn new() -> Self {
        Self {
            number: 0,
            sent: vec![None; WINDOW].into(),
            last: None,
            position: 0,
            confirmed: 0,
            packets: 0,
            light: 0,
            full: false,
        }
    }

    /// A packet has come.
    pub(super) fn arrive(&mut self) {
        self.packets = self.packets.saturating_add(1);
    }

    /// When the next full acknowledgement is due, if all before `position` have come and the buffer has `room`. An
    /// unanswered one is repeated after `patience`.
    pub(super) fn next(&self, position: u64, room: bool, patience: Duration) -> Option<Duration> {
        let after = |wait| self.last.map_or(Duration::ZERO, |last| last + wait);
        if position > self.position || (self.full && room) {
            Some(after(INTERVAL))
        } else if self.confirmed < self.position {
            Some(after(patience.max(INTERVAL)))
        } else {
            None
        }
    }

    /// What is due at `now`, which is taken as sent.
    pub(super) fn send(
        &mut self,
        now: Duration,
        position: u64,
        room: bool,
        patience: Duration,
    ) -> Option<Due> {
        if self.next(position, room, patience).is_some_and(|due| due <= now) {
            self.number = self.number.wrapping_add(1);
            let slot = self.number as usize % WINDOW;
            self.sent[slot] = Some((now, position));
            (self.last, self.position, self.full) = (Some(now), position, !room);
            (self.packets, self.light) = (0, 0);
            return Some(Due::Full(self.number));
        }
        if position > self.position && self.packets >= LIGHT_PACKETS * (self.light + 1) {
            self.light += 1;
            return Some(Due::Light);
        }
        None
    }

    /// Whether a light acknowledgement is due before the next full one.
    pub(super) fn light_due(&self, position: u64) -> bool {
        position > self.position && self.packets >= LIGHT_PACKETS * (self.light + 1)
    }

    /// The answer to acknowledgement `number` has come: the round trip it measures. `None` for one that was not
    /// sent, or long ago, or answered before.
    pub(super) fn answer(&mut self, now: Duration, number: u32) -> Option<Duration> {
        if self.number.wrapping_sub(number) as usize >= WINDOW {
            return None;
        }
        let (sent, position) = self.sent[number as usize % WINDOW].take()?;
        self.confirmed = self.confirmed.max(position);
        now.checked_sub(sent).filter(|rtt| !rtt.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PATIENCE: Duration = Duration::from_millis(100);

    #[test]
    fn a_full_one_goes_out_each_10_ms_while_packets_come() {
        let mut acks = Acks::new();
        assert_eq!(acks.next(0, true, PATIENCE), None);
        assert_eq!(acks.send(5 * MS, 1, true, PATIENCE), Some(Due::Full(1)));
        assert_eq!(acks.send(6 * MS, 2, true, PATIENCE), None);
        assert_eq!(acks.next(2, true, PATIENCE), Some(15 * MS));
        assert_eq!(acks.send(15 * MS, 3, true, PATIENCE), Some(Due::Full(2)));
    }

    #[test]
    fn an_unanswered_one_is_repeated_and_an_answered_one_is_not() {
        let mut acks = Acks::new();
        acks.send(Duration::ZERO, 1, true, PATIENCE);
        assert_eq!(acks.next(1, true, PATIENCE), Some(100 * MS));
        assert_eq!(acks.send(100 * MS, 1, true, PATIENCE), Some(Due::Full(2)));
        assert_eq!(acks.answer(130 * MS, 2), Some(30 * MS));
        assert_eq!(acks.next(1, true, PATIENCE), None);
        // Each answer counts once, and only for what was asked.
        assert_eq!(acks.answer(130 * MS, 2), None);
        assert_eq!((acks.answer(130 * MS, 3), acks.answer(130 * MS, u32::MAX)), (None, None));
        assert_eq!(acks.answer(131 * MS, 1), Some(131 * MS));
    }

    #[test]
    fn the_record_of_those_sent_is_bounded() {
        let mut acks = Acks::new();
        for count in 1..=WINDOW as u32 + 1 {
            acks.send(count * 10 * MS, count.into(), true, PATIENCE);
        }
        assert_eq!(acks.answer(10_000 * MS, 1), None);
        assert!(acks.answer(10_000 * MS, 2).is_some());
    }

    #[test]
    fn light_ones_go_out_between_when_much_comes() {
        let mut acks = Acks::new();
        assert_eq!(acks.send(MS, 1, true, PATIENCE), Some(Due::Full(1)));
        (0..64).for_each(|_| acks.arrive());
        assert!(acks.light_due(65));
        assert_eq!(acks.send(2 * MS, 65, true, PATIENCE), Some(Due::Light));
        assert_eq!(acks.send(2 * MS, 65, true, PATIENCE), None);
        (0..64).for_each(|_| acks.arrive());
        // With nothing new to say they are silent.
        assert_eq!(acks.send(3 * MS, 1, true, PATIENCE), None);
        assert_eq!(acks.send(3 * MS, 129, true, PATIENCE), Some(Due::Light));
    }

    #[test]
    fn room_again_is_told_without_a_packet() {
        let mut acks = Acks::new();
        acks.send(Duration::ZERO, 8, false, PATIENCE);
        acks.answer(MS, 1);
        assert_eq!(acks.next(8, false, PATIENCE), None);
        assert_eq!(acks.next(8, true, PATIENCE), Some(10 * MS));
        assert_eq!(acks.send(10 * MS, 8, true, PATIENCE), Some(Due::Full(2)));
    }
}
