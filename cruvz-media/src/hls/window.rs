//! The segments that can be asked for, oldest first: those no longer listed, those listed, and the one being filled.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    Config,
    segment::{Part, Segment},
};

/// An initialisation segment under its number.
struct Init {
    number: u32,
    body: Bytes,
    content_type: &'static str,
}

/// Everything a packager keeps. Bounded by count, and by bytes.
#[derive(Default)]
pub(super) struct Window {
    complete: VecDeque<Segment>,
    /// How many of `complete` have left the playlist.
    unlisted: usize,
    /// The segment being filled.
    pub(super) open: Option<Segment>,
    inits: VecDeque<Init>,
    /// The next segment's number.
    next_msn: u64,
    /// How many discontinuities have left the playlist.
    pub(super) discontinuity_sequence: u64,
    bytes: u64,
}

impl Window {
    /// The complete segments of the playlist.
    pub(super) fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> + ExactSizeIterator + Clone {
        self.complete.range(self.unlisted..)
    }

    /// Every complete segment that is still there.
    pub(super) fn complete_segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.complete.iter()
    }

    pub(super) fn listed_len(&self) -> usize {
        self.complete.len() - self.unlisted
    }

    /// How much media the playlist has, the segment being filled included.
    pub(super) fn listed_ns(&self) -> i64 {
        self.listed().chain(&self.open).map(|segment| segment.duration_ns).sum()
    }

    /// A number for a new segment.
    pub(super) const fn take_msn(&mut self) -> u64 {
        let msn = self.next_msn;
        self.next_msn += 1;
        msn
    }

    /// The Media Sequence Number of the first listed segment.
    pub(super) fn media_sequence(&self) -> u64 {
        self.listed().next().map_or_else(|| self.filling_msn(), |segment| segment.msn)
    }

    /// The newest complete segment.
    pub(super) fn last(&self) -> Option<&Segment> {
        self.complete.back()
    }

    /// The number of the segment being filled, or to be filled next.
    pub(super) fn filling_msn(&self) -> u64 {
        self.open.as_ref().map_or(self.next_msn, |open| open.msn)
    }

    /// How many parts the segment being filled has.
    pub(super) fn filling_parts(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.parts.len())
    }

    pub(super) fn segment(&self, msn: u64) -> Option<&Segment> {
        let first = self.complete.front()?.msn;
        self.complete.get(usize::try_from(msn.checked_sub(first)?).ok()?)
    }

    pub(super) fn part(&self, msn: u64, part: u32) -> Option<&Part> {
        let filling = self.open.as_ref().filter(|open| open.msn == msn);
        filling.or_else(|| self.segment(msn))?.parts.get(part as usize)
    }

    pub(super) fn init(&self, number: u32) -> Option<(&Bytes, &'static str)> {
        self.inits.iter().find(|init| init.number == number).map(|init| (&init.body, init.content_type))
    }

    /// The content type of the media that goes with initialisation segment `init`.
    pub(super) fn content_type(&self, init: u32) -> &'static str {
        self.init(init).map_or("video/mp4", |(_, content_type)| content_type)
    }

    /// Keeps `body` and tells its number.
    pub(super) fn add_init(&mut self, body: Bytes, content_type: &'static str) -> u32 {
        let number = self.inits.back().map_or(0, |init| init.number + 1);
        self.inits.push_back(Init { number, body, content_type });
        number
    }

    /// Ends the segment being filled, if it has anything, and lets go of the oldest.
    pub(super) fn complete(&mut self, config: &Config, target_ns: i64) -> Option<&Segment> {
        let mut segment = self.open.take()?;
        segment.join();
        self.bytes += segment.len;
        self.complete.push_back(segment);
        self.trim(config, target_ns);
        self.complete.back()
    }

    /// A playlist never gets shorter than three target durations (bis §6.2.2), unless its segments are absurdly short
    /// or large.
    fn trim(&mut self, config: &Config, target_ns: i64) {
        let mut listed_ns: i64 = self.listed().map(|segment| segment.duration_ns).sum();
        while self.listed_len() > config.window_segments {
            let first_ns = self.complete[self.unlisted].duration_ns;
            if listed_ns - first_ns < 3 * target_ns && self.listed_len() <= 4 * config.window_segments {
                break;
            }
            listed_ns -= first_ns;
            self.unlist();
        }
        while self.unlisted > config.retained_segments {
            self.forget_oldest();
        }
        while self.bytes > config.max_bytes && self.complete.len() > 3 {
            self.forget_oldest();
        }
        let oldest_init = self.complete.front().map_or(0, |segment| segment.init);
        while self.inits.len() > 1 && self.inits[0].number < oldest_init {
            self.inits.pop_front();
        }
    }

    fn unlist(&mut self) {
        self.discontinuity_sequence += u64::from(self.complete[self.unlisted].discontinuity);
        self.unlisted += 1;
    }

    fn forget_oldest(&mut self) {
        if self.unlisted == 0 {
            self.unlist();
        }
        if let Some(segment) = self.complete.pop_front() {
            self.bytes -= segment.len;
            self.unlisted -= 1;
        }
    }
}
