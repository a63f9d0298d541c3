//! Which packets have come (RFC 3711 §3.3.1 and §3.3.2).

/// How many packets back an old one is still taken.
pub(super) const WINDOW: u64 = 128;
/// Indices of RTP have 48 bits.
const MAX_INDEX: u64 = (1 << 48) - 1;

/// The windows of the sources that there are.
#[derive(Debug)]
pub(super) struct Windows {
    sources: Vec<(u32, Window)>,
    max_sources: usize,
}

impl Windows {
    pub(super) fn new(max_sources: usize) -> Self {
        Self { sources: Vec::new(), max_sources }
    }

    pub(super) fn of(&self, ssrc: u32) -> Option<&Window> {
        self.sources.iter().find(|(known, _)| *known == ssrc).map(|(_, window)| window)
    }

    /// Whether there is room for the packets of `ssrc`.
    pub(super) fn admits(&self, ssrc: u32) -> bool {
        self.sources.len() < self.max_sources || self.of(ssrc).is_some()
    }

    /// Notes a packet that was found genuine, of a source that [is admitted](Self::admits).
    pub(super) fn note(&mut self, ssrc: u32, index: u64) {
        match self.sources.iter_mut().find(|(known, _)| *known == ssrc) {
            Some((_, window)) => window.note(index),
            None => self.sources.push((ssrc, Window { highest: index, seen: 1 })),
        }
    }
}

/// The last packets of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    highest: u64,
    /// Bit 0 is `highest`, bit 1 the one before.
    seen: u128,
}

impl Window {
    /// The index of the packet with sequence number `seq`: the one nearest to the highest that came. `None` before the
    /// first and behind the last that can be.
    pub(super) fn index_of(&self, seq: u16) -> Option<u64> {
        let distance = seq.wrapping_sub(self.highest as u16).cast_signed();
        self.highest.checked_add_signed(distance.into()).filter(|index| *index <= MAX_INDEX)
    }

    /// Whether the packet of this index has not come yet and is not too old to tell.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.highest.checked_sub(index) {
            None => true,
            Some(age) => age < WINDOW && self.seen >> age & 1 == 0,
        }
    }

    fn note(&mut self, index: u64) {
        match self.highest.checked_sub(index) {
            None => {
                let ahead = index - self.highest;
                self.seen = if ahead < WINDOW { self.seen << ahead | 1 } else { 1 };
                self.highest = index;
            }
            Some(age) if age < WINDOW => self.seen |= 1 << age,
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn noted(indices: &[u64]) -> Window {
        let mut windows = Windows::new(1);
        indices.iter().for_each(|index| windows.note(1, *index));
        *windows.of(1).unwrap()
    }

    #[test]
    fn a_packet_is_new_once() {
        let window = noted(&[100, 103]);
        assert!([101, 102, 104, 1_000_000].into_iter().all(|index| window.is_new(index)));
        assert!([100, 103].into_iter().all(|index| !window.is_new(index)));
    }

    #[test]
    fn what_is_too_old_to_tell_is_not_new() {
        let window = noted(&[1_000]);
        assert!(window.is_new(1_000 - 127) && !window.is_new(1_000 - 128));
        assert!(!noted(&[1_000, 1_127]).is_new(1_000) && noted(&[1_000, 1_127]).is_new(1_001));
        assert!(noted(&[1_000, 1_128]).is_new(1_001) && !noted(&[1_000, 1_128]).is_new(1_000));
    }

    #[test]
    fn the_index_is_the_nearest_to_the_highest() {
        let window = noted(&[0x1_FFFE]);
        assert_eq!(window.index_of(0xFFFF), Some(0x1_FFFF));
        assert_eq!(window.index_of(0x0001), Some(0x2_0001));
        assert_eq!(window.index_of(0x8000), Some(0x1_8000));
        assert_eq!(window.index_of(0x7FFD), Some(0x2_7FFD));
        let begun = noted(&[3]);
        assert_eq!((begun.index_of(0xFFFE), begun.index_of(0)), (None, Some(0)));
        let last = noted(&[MAX_INDEX]);
        assert_eq!((last.index_of(0), last.index_of(0xFFFF)), (None, Some(MAX_INDEX)));
    }

    #[test]
    fn sources_are_bounded() {
        let mut windows = Windows::new(2);
        windows.note(1, 10);
        windows.note(2, 10);
        assert!(windows.admits(1) && windows.admits(2) && !windows.admits(3));
    }

    proptest! {
        /// Against a set of everything that came.
        #[test]
        fn new_is_what_has_not_come(start in 0_u64..1_000, steps in prop::collection::vec(-200_i64..200, 1..200)) {
            let mut came = std::collections::BTreeSet::from([start]);
            let mut windows = Windows::new(1);
            windows.note(1, start);
            let mut at = start;
            for step in steps {
                at = at.saturating_add_signed(step);
                let highest = *came.last().unwrap();
                let expected = !came.contains(&at) && highest.saturating_sub(at) < WINDOW;
                prop_assert_eq!(windows.of(1).unwrap().is_new(at), expected);
                if expected {
                    windows.note(1, at);
                    came.insert(at);
                }
            }
        }
    }
}
