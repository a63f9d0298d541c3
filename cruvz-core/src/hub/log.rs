//! A bounded, append-only log with an index of the places where a reader can start.
//!
//! Frames and wire bytes are both kept in one of these. Readers are sequence numbers, so a reader costs nothing, and
//! one that is too slow finds its place gone and starts again at the newest start.

use std::collections::VecDeque;

/// What a [`Log`] holds.
pub(crate) trait Item {
    /// Its share of the byte limit.
    fn bytes(&self) -> usize;
    /// Its decode time in microseconds.
    fn time_us(&self) -> i64;
    /// Whether a reader can start here.
    fn is_start(&self) -> bool;
}

/// What a log keeps at least and at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Media time kept behind the newest item, from a start on.
    pub(crate) time_us: i64,
    /// Bytes kept at most, whatever the time.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Log<T> {
    items: VecDeque<T>,
    /// Sequence number of the oldest item.
    first: u64,
    starts: VecDeque<Start>,
    bytes: usize,
    retention: Retention,
}

/// An item where a reader can start, with its time: asking the item itself would touch memory that went cold long ago.
#[derive(Clone, Copy, Debug)]
struct Start {
    seq: u64,
    time_us: i64,
}

impl<T: Item> Log<T> {
    pub(crate) fn new(retention: Retention) -> Self {
        Self { items: VecDeque::new(), first: 0, starts: VecDeque::new(), bytes: 0, retention }
    }

    pub(crate) fn push(&mut self, item: T) {
        let now_us = item.time_us();
        if item.is_start() {
            self.starts.push_back(Start { seq: self.end(), time_us: now_us });
        }
        self.bytes += item.bytes();
        self.items.push_back(item);
        // Whole runs from start to start, while the next run alone is long enough.
        while let Some(next) = self.starts.get(1)
            && now_us.saturating_sub(next.time_us) >= self.retention.time_us
        {
            self.drop_before(next.seq);
        }
        while self.bytes > self.retention.bytes && self.items.len() > 1 {
            self.drop_before(self.first + 1);
        }
    }

    fn drop_before(&mut self, seq: u64) {
        while self.first < seq {
            if let Some(item) = self.items.pop_front() {
                self.bytes -= item.bytes();
            }
            self.first += 1;
        }
        while self.starts.front().is_some_and(|start| start.seq < seq) {
            self.starts.pop_front();
        }
    }

    /// The sequence number behind the newest item.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.items.len() as u64
    }

    /// The sequence number of the oldest item.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&T> {
        self.items.get(usize::try_from(seq.checked_sub(self.first)?).ok()?)
    }

    pub(crate) fn newest(&self) -> Option<&T> {
        self.items.back()
    }

    /// Where a reader that joins now begins.
    pub(crate) fn newest_start(&self) -> Option<u64> {
        self.starts.back().map(|start| start.seq)
    }

    /// The oldest start: as far back as a reader can go.
    pub(crate) fn oldest_start(&self) -> Option<u64> {
        self.starts.front().map(|start| start.seq)
    }

    /// Where a reader at `seq` goes on: there, or at the newest start if its place is gone or it is more than `lag_us`
    /// of media behind and a newer start exists.
    pub(crate) fn resume(&self, seq: u64, lag_us: i64) -> Option<u64> {
        let behind = match (self.get(seq), self.newest()) {
            (Some(next), Some(newest)) => newest.time_us().saturating_sub(next.time_us()),
            (None, _) if seq == self.end() => 0,
            _ => i64::MAX,
        };
        if behind <= lag_us {
            return Some(seq);
        }
        match self.newest_start() {
            Some(start) if start > seq => Some(start),
            // No newer start: stay while the place exists, else wait for one.
            _ => (seq >= self.first).then_some(seq),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn iter_from(&self, seq: u64) -> impl Iterator<Item = &T> {
        let skip = usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.items.iter().skip(skip)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Item for (i64, bool) {
        fn bytes(&self) -> usize {
            10
        }
        fn time_us(&self) -> i64 {
            self.0
        }
        fn is_start(&self) -> bool {
            self.1
        }
    }

    const RETENTION: Retention = Retention { time_us: 100, bytes: 1_000 };

    #[test]
    fn it_keeps_the_retention_from_a_start_on() {
        let mut log = Log::new(RETENTION);
        for n in 0..100 {
            log.push((n * 10, n % 8 == 0));
        }
        let oldest = log.oldest_start().unwrap();
        assert_eq!(oldest, log.first());
        let span = log.newest().unwrap().0 - log.get(oldest).unwrap().0;
        assert!((100..100 + 80).contains(&span), "{span}");
    }

    #[test]
    fn a_reader_that_lags_goes_to_the_newest_start_and_may_have_to_again() {
        let mut log = Log::new(RETENTION);
        for n in 0..20 {
            log.push((n * 10, n % 5 == 0));
        }
        assert_eq!(log.resume(18, 50), Some(18));
        assert_eq!(log.resume(20, 50), Some(20));
        assert_eq!(log.resume(2, 50), Some(15));
        for n in 20..60 {
            log.push((n * 10, n % 5 == 0));
        }
        assert_eq!(log.resume(15, 50), Some(55));
    }

    #[test]
    fn without_starts_bytes_are_bounded_and_a_lost_reader_waits() {
        let mut log = Log::new(RETENTION);
        for n in 0..1000 {
            log.push((n, false));
        }
        assert_eq!(log.bytes(), 1_000);
        assert_eq!(log.resume(0, 50), None);
    }

    proptest! {
        #[test]
        fn the_index_always_points_at_starts(items in prop::collection::vec((0i64..40, any::<bool>()), 1..300)) {
            let mut log = Log::new(RETENTION);
            let mut at = 0;
            for (step, start) in items {
                at += step;
                log.push((at, start));
                prop_assert!(log.bytes() <= 1_000);
                prop_assert_eq!(log.bytes(), log.iter_from(0).count() * 10);
                for seq in log.oldest_start().into_iter().chain(log.newest_start()) {
                    prop_assert!(log.get(seq).unwrap().is_start());
                }
                let indexed = log.starts.len();
                prop_assert_eq!(indexed, log.iter_from(0).filter(|item| item.is_start()).count());
            }
        }
    }
}
