//! Packets that wait for their time or for those before them.

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use bytes::Bytes;

/// The receiver's window: a place for each position from the first that was not delivered to the newest.
///
/// A gap is passed over by whole words of a bitmap, so that no row of gaps makes a packet expensive.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    /// The position of `places[0]`.
    start: u64,
    places: VecDeque<Option<Held>>,
    /// One bit for each position that is held, round and round.
    held: Box<[u64]>,
    /// The first position that is held, if any.
    first_held: Option<u64>,
    packets: usize,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Held {
    payload: Bytes,
    due: Duration,
}

/// The next packet to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next {
    /// How many positions before it are missing.
    pub(super) missing: u64,
    /// When it is to be delivered.
    pub(super) due: Duration,
}

impl Buffer {
    /// An empty window that has room for `capacity` places.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            start: 0,
            places: VecDeque::new(),
            held: vec![0; capacity.div_ceil(64).max(1)].into(),
            first_held: None,
            packets: 0,
            bytes: 0,
        }
    }

    /// How many places the window may have.
    pub(super) fn capacity(&self) -> u64 {
        self.held.len() as u64 * 64
    }

    /// The first position that was neither delivered nor passed over.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// The position behind the newest.
    pub(super) fn end(&self) -> u64 {
        self.start + self.places.len() as u64
    }

    /// Packets held.
    pub(super) fn packets(&self) -> usize {
        self.packets
    }

    /// Bytes of their payloads.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the position is held.
    pub(super) fn holds(&self, position: u64) -> bool {
        self.place(position).is_some_and(Option::is_some)
    }

    /// Time between the packets that are due first and last.
    pub(super) fn span(&self) -> Duration {
        let last = self.places.iter().next_back().and_then(Option::as_ref);
        let first = self.first_held.and_then(|first| self.place(first)).and_then(Option::as_ref);
        last.zip(first).map_or(Duration::ZERO, |(last, first)| last.due.saturating_sub(first.due))
    }

    /// Puts a packet to its place, from [`start`](Self::start) to less than [`capacity`](Self::capacity) behind it.
    pub(super) fn insert(&mut self, position: u64, payload: Bytes, due: Duration) {
        debug_assert!((self.start..self.start + self.capacity()).contains(&position), "the caller looked");
        let index = (position - self.start) as usize;
        if index >= self.places.len() {
            self.places.resize_with(index + 1, || None);
        }
        self.packets += 1;
        self.bytes += payload.len();
        self.places[index] = Some(Held { payload, due });
        self.flip(position);
        self.first_held = Some(self.first_held.map_or(position, |first| first.min(position)));
    }

    /// The first packet that is held.
    pub(super) fn next(&self) -> Option<Next> {
        let first = self.first_held?;
        let held = self.place(first)?.as_ref()?;
        Some(Next { missing: first - self.start, due: held.due })
    }

    /// Takes the first packet that is held, and passes over what is missing before it.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let first = self.first_held?;
        self.skip_gap();
        let held = self.places.pop_front()??;
        self.flip(first);
        self.start = first + 1;
        self.packets -= 1;
        self.bytes -= held.payload.len();
        self.first_held = if self.packets == 0 { None } else { self.find_held() };
        Some(held.payload)
    }

    /// Passes over what is missing before the first packet that is held.
    pub(super) fn skip_gap(&mut self) {
        if let Some(first) = self.first_held {
            self.places.drain(..(first - self.start) as usize);
            self.start = first;
        }
    }

    /// Passes over everything before `position`, where nothing is held.
    pub(super) fn skip_to(&mut self, position: u64) {
        debug_assert_eq!(self.packets, 0, "what is held is not passed over");
        self.places.clear();
        self.start = position;
    }

    fn flip(&mut self, position: u64) {
        let word = (position / 64) as usize % self.held.len();
        self.held[word] ^= 1 << (position % 64);
    }

    /// The first position that is held.
    fn find_held(&self) -> Option<u64> {
        let word_at = |word: u64| self.held[word as usize % self.held.len()];
        let first_word = self.start / 64;
        let ahead = word_at(first_word) & (u64::MAX << (self.start % 64));
        let rest = (first_word + 1..).take(self.held.len()).map(|word| (word, word_at(word)));
        let (word, bits) = iter::once((first_word, ahead)).chain(rest).find(|(_, bits)| *bits != 0)?;
        Some(word * 64 + u64::from(bits.trailing_zeros()))
    }

    fn place(&self, position: u64) -> Option<&Option<Held>> {
        self.places.get(usize::try_from(position.checked_sub(self.start)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn payload(position: u64) -> Bytes {
        Bytes::from(vec![position as u8; 100])
    }

    fn insert(buffer: &mut Buffer, position: u64) {
        buffer.insert(position, payload(position), position as u32 * MS);
    }

    #[test]
    fn packets_come_out_in_order_and_gaps_are_counted() {
        let mut buffer = Buffer::new(128);
        for position in [2, 0, 7, 1] {
            insert(&mut buffer, position);
        }
        assert_eq!((buffer.start(), buffer.end(), buffer.packets(), buffer.bytes()), (0, 8, 4, 400));
        assert_eq!(buffer.span(), 7 * MS);
        for position in 0..3 {
            assert_eq!(buffer.next(), Some(Next { missing: 0, due: position as u32 * MS }));
            assert_eq!(buffer.pop(), Some(payload(position)));
        }
        assert_eq!(buffer.next(), Some(Next { missing: 4, due: 7 * MS }));
        assert!(buffer.holds(7) && !buffer.holds(6) && !buffer.holds(1) && !buffer.holds(8));
        insert(&mut buffer, 5);
        assert_eq!(buffer.next(), Some(Next { missing: 2, due: 5 * MS }));
        assert_eq!(buffer.pop(), Some(payload(5)));
        assert_eq!((buffer.start(), buffer.next().unwrap().missing), (6, 1));
        assert_eq!(buffer.pop(), Some(payload(7)));
        assert_eq!((buffer.pop(), buffer.next(), buffer.start(), buffer.end()), (None, None, 8, 8));
        assert_eq!((buffer.packets(), buffer.bytes(), buffer.span()), (0, 0, Duration::ZERO));
    }

    #[test]
    fn an_empty_buffer_may_skip() {
        let mut buffer = Buffer::new(128);
        buffer.skip_to(1 << 40);
        insert(&mut buffer, (1 << 40) + 1);
        assert_eq!((buffer.start(), buffer.next().unwrap().missing), (1 << 40, 1));
    }

    proptest! {
        /// Against a plain map, all around the window.
        #[test]
        fn the_window_is_a_map(steps in prop::collection::vec((any::<bool>(), 0u64..128), 1..300)) {
            let mut buffer = Buffer::new(100);
            prop_assert_eq!(buffer.capacity(), 128);
            let mut map = std::collections::BTreeMap::new();
            for (insert_it, ahead) in steps {
                let position = buffer.start() + ahead;
                if !insert_it {
                    prop_assert_eq!(buffer.pop(), map.pop_first().map(|(_, payload)| payload));
                } else if !buffer.holds(position) {
                    insert(&mut buffer, position);
                    map.insert(position, payload(position));
                }
                let next = map.first_key_value().map(|(first, _)| first - buffer.start());
                prop_assert_eq!(buffer.next().map(|next| next.missing), next);
                prop_assert_eq!(buffer.packets(), map.len());
                let last = map.last_key_value().map(|(last, _)| last + 1);
                prop_assert!(last.is_none_or(|end| end == buffer.end()));
            }
        }
    }
}
