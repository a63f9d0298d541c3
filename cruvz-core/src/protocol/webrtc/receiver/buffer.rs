//! Packets of one SSRC, put in order.

use std::{collections::VecDeque, time::Duration};

use cruvz_media::rtp::Packet;

use super::Config;

/// How far behind the newest a sequence number may be and still count as late rather than as a jump.
const MAX_MISORDER: u64 = 1_000;
/// Where extended sequence numbers begin: far enough from zero to go back.
const ORIGIN: u64 = 1 << 32;

/// Holds packets behind a missing one until that comes or is given up, and says which are missing.
///
/// Sequence numbers are extended to 64 bits. A number that fits nowhere is taken for the begin of a new sequence only if
/// the next packet follows it (RFC 3550 appendix A.1), so that one stray packet does no harm.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// The packets from `next` on: the last is the newest that came.
    slots: VecDeque<Slot>,
    /// What is handed on next.
    next: u64,
    /// Slots without a packet.
    missing: usize,
    /// Missing packets before this number are not waited for any more.
    give_up_before: u64,
    /// Whether something was given up before `next`.
    gap: bool,
    /// What follows the last packet that fits nowhere.
    stray: Option<u16>,
    begun: bool,
    counts: Counts,
}

#[derive(Debug)]
enum Slot {
    Packet(Packet),
    Missing(Missing),
}

/// A packet that did not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    since: Duration,
    /// When it was last asked for.
    pub(super) asked: Option<Duration>,
    /// How often.
    pub(super) tries: u32,
}

/// What became of the packets, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Found missing when a later one came.
    pub(super) lost: u64,
    /// Came after all, by retransmission or overtaken.
    pub(super) recovered: u64,
    /// Not waited for any more.
    pub(super) given_up: u64,
    /// Came twice, or when their turn was over.
    pub(super) belated: u64,
    /// Fit nowhere.
    pub(super) stray: u64,
    /// Begins of a new sequence.
    pub(super) restarts: u64,
    /// Requests for packets, as many as packets asked for.
    pub(super) nacks: u64,
}

/// What a packet was to the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// The newest, with its extended number.
    Newest(u64),
    /// The first of a new sequence, with its extended number.
    Restart(u64),
    /// One that was missing.
    Missing(Missing),
    /// Nothing that is needed.
    Useless,
}

/// A packet in order.
#[derive(Debug)]
pub(super) struct Next {
    pub(super) packet: Packet,
    /// Whether packets before it are given up.
    pub(super) after_gap: bool,
}

impl Buffer {
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Packets that wait behind one that is missing.
    pub(super) fn waiting(&self) -> usize {
        self.slots.len() - self.missing
    }

    /// Takes a packet as the source sent it.
    pub(super) fn insert(&mut self, now: Duration, packet: Packet, config: &Config) -> Inserted {
        let wire = packet.header.seq;
        if !self.begun {
            self.begun = true;
            (self.next, self.give_up_before) = (ORIGIN + u64::from(wire), 0);
            self.slots.push_back(Slot::Packet(packet));
            return Inserted::Newest(self.next);
        }
        let seq = self.extend(wire);
        let newest = self.newest();
        if seq <= newest && newest - seq < MAX_MISORDER {
            self.stray = None;
            return self.fill(seq, packet);
        }
        if seq > newest && seq - newest <= config.max_packets as u64 {
            self.stray = None;
            self.advance(now, seq, packet, config);
            return Inserted::Newest(seq);
        }
        if self.stray != Some(wire) {
            self.stray = Some(wire.wrapping_add(1));
            self.counts.stray += 1;
            return Inserted::Useless;
        }
        self.restart(wire, packet)
    }

    /// Takes a packet that was sent again under its old number.
    pub(super) fn insert_again(&mut self, packet: Packet) -> Inserted {
        if !self.begun {
            return Inserted::Useless;
        }
        let seq = self.extend(packet.header.seq);
        if seq > self.newest() {
            self.counts.belated += 1;
            return Inserted::Useless;
        }
        self.fill(seq, packet)
    }

    /// The next packet in order, if it is there or what is missing before it has been waited for since `wait` ago.
    pub(super) fn pop(&mut self, now: Duration, wait: Duration) -> Option<Next> {
        loop {
            if let Slot::Missing(missing) = self.slots.front()?
                && self.next >= self.give_up_before
                && missing.since.saturating_add(wait) > now
            {
                return None;
            }
            let slot = self.slots.pop_front()?;
            self.next += 1;
            match slot {
                Slot::Packet(packet) => {
                    return Some(Next { packet, after_gap: std::mem::take(&mut self.gap) });
                }
                Slot::Missing(_) => {
                    self.missing -= 1;
                    self.counts.given_up += 1;
                    self.gap = true;
                }
            }
        }
    }

    /// When [`Self::pop`] gives up the first missing packet.
    pub(super) fn gives_up_at(&self, wait: Duration) -> Option<Duration> {
        match self.slots.front()? {
            Slot::Missing(missing) => Some(missing.since.saturating_add(wait)),
            Slot::Packet(_) => None,
        }
    }

    /// Adds the numbers to ask for now to `out`, in order, until it has `limit`: at once, then each time `repeat` has
    /// passed in vain.
    pub(super) fn nacks(
        &mut self,
        now: Duration,
        repeat: Duration,
        config: &Config,
        limit: usize,
        out: &mut Vec<u16>,
    ) {
        if self.missing == 0 {
            return;
        }
        for (seq, slot) in (self.next..).zip(&mut self.slots) {
            if out.len() >= limit {
                return;
            }
            if let Slot::Missing(missing) = slot
                && missing.due(repeat, config).is_some_and(|due| due <= now)
            {
                (missing.asked, missing.tries) = (Some(now), missing.tries + 1);
                self.counts.nacks += 1;
                out.push(seq as u16);
            }
        }
    }

    /// When [`Self::nacks`] has something to ask for.
    pub(super) fn nacks_at(&self, repeat: Duration, config: &Config) -> Option<Duration> {
        if self.missing == 0 {
            return None;
        }
        self.slots.iter().filter_map(|slot| slot.missing()?.due(repeat, config)).min()
    }

    /// The newest number that came.
    fn newest(&self) -> u64 {
        (self.next + self.slots.len() as u64).saturating_sub(1)
    }

    /// The extended number nearest to the newest.
    fn extend(&self, wire: u16) -> u64 {
        let newest = self.newest();
        let ahead = wire.wrapping_sub(newest as u16).cast_signed();
        newest.saturating_add_signed(i64::from(ahead))
    }

    /// A packet that is not the newest.
    fn fill(&mut self, seq: u64, packet: Packet) -> Inserted {
        let index = seq.checked_sub(self.next).and_then(|index| usize::try_from(index).ok());
        let Some(slot) = index.and_then(|index| self.slots.get_mut(index)) else {
            self.counts.belated += 1;
            return Inserted::Useless;
        };
        let Some(&missing) = slot.missing() else {
            self.counts.belated += 1;
            return Inserted::Useless;
        };
        *slot = Slot::Packet(packet);
        self.missing -= 1;
        self.counts.recovered += 1;
        Inserted::Missing(missing)
    }

    /// A packet ahead of the newest: what lies between is missing.
    fn advance(&mut self, now: Duration, seq: u64, packet: Packet, config: &Config) {
        let between = usize::try_from(seq - self.newest() - 1).unwrap_or(usize::MAX);
        let crowded = self.slots.len() + between >= config.max_packets;
        if crowded || self.missing + between > config.max_missing {
            self.give_up_before = seq;
        }
        let missing = Missing { since: now, asked: None, tries: 0 };
        self.slots.extend(std::iter::repeat_with(|| Slot::Missing(missing)).take(between));
        self.slots.push_back(Slot::Packet(packet));
        self.missing += between;
        self.counts.lost += between as u64;
    }

    /// Another sequence begins: the old one is over, with all that is missing of it.
    fn restart(&mut self, wire: u16, packet: Packet) -> Inserted {
        let seq = ((self.newest() >> 16) + 2) << 16 | u64::from(wire);
        self.counts.given_up += self.missing as u64;
        self.counts.restarts += 1;
        self.slots.clear();
        self.slots.push_back(Slot::Packet(packet));
        (self.next, self.missing, self.gap, self.stray) = (seq, 0, true, None);
        Inserted::Restart(seq)
    }
}

impl Slot {
    fn missing(&self) -> Option<&Missing> {
        match self {
            Self::Missing(missing) => Some(missing),
            Self::Packet(_) => None,
        }
    }
}

impl Missing {
    /// When it is to be asked for.
    fn due(&self, repeat: Duration, config: &Config) -> Option<Duration> {
        match self.asked {
            None => Some(self.since),
            Some(asked) => (self.tries < config.max_nacks).then(|| asked.saturating_add(repeat)),
        }
    }
}
