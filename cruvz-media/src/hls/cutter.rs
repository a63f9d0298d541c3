//! Where parts and segments end.
//!
//! One lane is the *clock*: video where there is any. Each of its frames is a place where a part may end, decided when
//! the frame there has arrived, so that durations are exact and a hinted part is certain to come. A cut is carried out
//! once the other lane has reached it too, or has stopped.

use std::collections::VecDeque;

use super::{
    Config,
    lane::{Lane, Taken},
    selection::Selection,
};
use crate::{Frame, Timestamp};

const NANOS_PER_MS: i64 = 1_000_000;
/// The longest that anything is taken to be: a day. What is longer is no stream, and lengths can be added up without a thought.
const MAX_SPAN_NS: i64 = 86_400 * 1_000_000_000;
const MAX_STEP_BACK_NS: i64 = 1_000_000_000;

/// How [`Cutter::push`] took a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Held,
    /// It cannot be decoded, there is no room, or its time contradicts the other track's.
    Dropped,
    /// The stream's time does not go on.
    Jumped,
}

/// A finished stretch of media, which becomes a part.
pub(super) struct Piece {
    pub(super) start: Timestamp,
    pub(super) duration_ns: i64,
    /// A run per lane that has frames here, video first.
    pub(super) runs: Vec<Taken>,
    /// Whether a decoder can start with it.
    pub(super) independent: bool,
    /// Whether the segment ends with it.
    pub(super) ends_segment: bool,
}

/// A decided end of a part.
#[derive(Clone, Copy, Debug)]
struct Cut {
    at: Timestamp,
    ends_segment: bool,
}

/// The part and segment that frames are being added to.
#[derive(Clone, Copy, Debug)]
struct Open {
    part_start: Timestamp,
    segment_start: Timestamp,
    /// The last position that was examined for a cut.
    examined: Timestamp,
    /// The last video keyframe.
    keyframe: Timestamp,
}

/// Cuts the frames of one stretch of unbroken time into [`Piece`]s.
pub(super) struct Cutter {
    lanes: Vec<Lane>,
    clock: usize,
    open: Option<Open>,
    cuts: VecDeque<Cut>,
    /// Where the first piece begins.
    began: Timestamp,
    /// Where the next piece begins.
    carried_out: Timestamp,
    /// Payload bytes that came since the segment began.
    segment_bytes: u64,
    /// PART-TARGET; decided from the first frames, then constant.
    part_target_ns: Option<i64>,
    /// The longest a segment may be.
    segment_limit_ns: i64,
    /// The longest a segment was.
    longest_ns: i64,
    /// Frames that were not packaged.
    pub(super) dropped: u64,
    /// Segments that were ended without a keyframe, because none came in time.
    pub(super) split: u64,
}

impl Cutter {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            lanes: Vec::new(),
            clock: 0,
            open: None,
            cuts: VecDeque::new(),
            began: Timestamp::ZERO,
            carried_out: Timestamp::ZERO,
            segment_bytes: 0,
            part_target_ns: None,
            segment_limit_ns: i64::from(config.max_segment_ms) * NANOS_PER_MS,
            longest_ns: 0,
            dropped: 0,
            split: 0,
        }
    }

    /// PART-TARGET in ms, once it is decided.
    pub(super) fn part_target_ms(&self) -> Option<u32> {
        self.part_target_ns.map(|ns| (ns / NANOS_PER_MS) as u32)
    }

    /// From now on no segment is longer than `limit_ns`, where frames allow.
    pub(super) const fn limit_segments(&mut self, limit_ns: i64) {
        self.segment_limit_ns = limit_ns;
    }

    /// Forgets all frames and expects those of `selection`, from a keyframe on.
    pub(super) fn restart(&mut self, selection: &Selection) {
        self.lanes.clear();
        self.widen(selection);
    }

    /// Expects the tracks of `selection`, before any piece was made of those before it: what is held of tracks that
    /// stay is kept.
    pub(super) fn widen(&mut self, selection: &Selection) {
        let (first, clock) = (self.lanes.first().map(Lane::id), self.lanes.get(self.clock).map(Lane::id));
        let mut old = std::mem::take(&mut self.lanes);
        for (track, track_id) in selection.tracks.iter().zip(1..) {
            let kept = old.iter().position(|lane| lane.continues(track)).map(|at| old.swap_remove(at));
            self.lanes.push(kept.unwrap_or_else(|| Lane::new(track)).numbered(track_id));
        }
        let clock = self.lanes.iter().position(|lane| Some(lane.id()) == clock);
        self.clock = clock.unwrap_or(0);
        if clock.is_none()
            || self.lanes.first().map(Lane::id) != first
            || self.lanes.first().is_none_or(|lane| lane.len() == 0)
        {
            self.clock = 0;
            self.open = None;
            self.cuts.clear();
            self.segment_bytes = 0;
        }
    }

    /// Takes a frame. [`Pushed::Jumped`]: its time does not fit; flush, restart and push it again.
    pub(super) fn push(&mut self, frame: &Frame, config: &Config) -> Pushed {
        let found = self.lanes.iter().position(|lane| lane.id() == frame.track);
        let Some((index, position)) = found.and_then(|i| Some((i, self.lanes[i].position_of(frame)?))) else {
            return self.drop_frame();
        };
        if self.is_jump(index, position, config) {
            // The clock tells the time: what alone departs from it is wrong.
            let tells_time = index == 0 || index == self.clock || self.open.is_none();
            return if tells_time { Pushed::Jumped } else { self.drop_frame() };
        }
        let held_bytes: u64 = self.lanes.iter().map(Lane::held_bytes).sum();
        let fits = held_bytes + frame.payload.len() as u64 <= config.max_segment_bytes;
        if !fits || !self.lanes[index].push(frame) {
            return self.drop_frame();
        }
        if self.lanes[index].len() > config.max_held_frames {
            self.lanes[index].drop_oldest();
            self.dropped += 1;
        }
        self.segment_bytes += frame.payload.len() as u64;
        if self.open.is_some() {
            self.dropped += self.lanes[index].drop_before(self.began);
        } else {
            self.open_if_due(index, config);
        }
        self.examine_lane(index, frame.keyframe, config);
        Pushed::Held
    }

    const fn drop_frame(&mut self) -> Pushed {
        self.dropped += 1;
        Pushed::Dropped
    }

    /// Whether a frame at `position` is more than a second back on its track, or far ahead of all tracks. A frame that
    /// would last longer than a segment may is such a break as well.
    fn is_jump(&self, index: usize, position: Timestamp, config: &Config) -> bool {
        // Tracks may begin at different times: until the first part is open, each is measured by itself.
        let newest = match self.open {
            Some(_) => self.lanes.iter().filter_map(Lane::newest).max(),
            None => self.lanes[index].newest(),
        };
        let max_gap_ns = (i64::from(config.max_gap_ms) * NANOS_PER_MS).min(self.segment_limit_ns);
        let ahead = newest.is_some_and(|newest| span_ns(newest, position) > max_gap_ns);
        let back =
            self.lanes[index].newest().is_some_and(|newest| span_ns(position, newest) > MAX_STEP_BACK_NS);
        ahead || back
    }

    /// Begins the first part: at the first video keyframe, at any frame where there is no video, or with sound alone
    /// when the promised video does not come for as long as a segment may grow.
    fn open_if_due(&mut self, index: usize, config: &Config) {
        let lane = &self.lanes[index];
        let first = lane.positions().map(|(position, _)| position).next();
        let (Some(first), Some(newest)) = (first, lane.newest()) else { return };
        let waited_ns = span_ns(first, newest);
        if index != 0 && waited_ns < i64::from(config.max_segment_ms) * NANOS_PER_MS {
            return;
        }
        self.clock = index;
        self.began = first;
        self.carried_out = first;
        self.open = Some(Open { part_start: first, segment_start: first, examined: first, keyframe: first });
        for lane in &mut self.lanes {
            self.dropped += lane.drop_before(first);
        }
    }

    /// Looks for cuts at the frames of lane `index`, if it is or becomes the clock.
    fn examine_lane(&mut self, index: usize, keyframe: bool, config: &Config) {
        let (Some(newest), true) = (self.lanes[index].newest(), self.open.is_some()) else { return };
        if newest >= self.carried_out {
            self.lanes[index].silent = false;
        }
        let mut catch_up = false;
        if self.clock != index {
            // The first lane is the clock whenever it delivers; the other one takes over while it does not.
            let hold = i64::from(config.hold_limit_ms) * NANOS_PER_MS;
            let behind = self.lanes[self.clock].newest().is_none_or(|clock| span_ns(clock, newest) > hold);
            if index != 0 && !behind {
                return;
            }
            self.lanes[self.clock].silent = behind;
            self.clock = index;
            catch_up = true;
        }
        if self.part_target_ns.is_none() {
            if !self.decide_part_target(config) {
                return;
            }
            catch_up = true;
        }
        if catch_up {
            self.examine_all(config);
        } else {
            self.examine(newest, keyframe && self.lanes[index].is_video(), config);
        }
    }

    fn examine_all(&mut self, config: &Config) {
        let lane = &self.lanes[self.clock];
        let video = lane.is_video();
        let positions: Vec<_> = lane.positions().collect();
        for (position, keyframe) in positions {
            self.examine(position, keyframe && video, config);
        }
    }

    /// Chooses PART-TARGET: the whole number of frames that comes closest to what is configured, plus two milliseconds
    /// where frame times are uneven (those of RTMP are rounded to milliseconds). So every part can be as long as it
    /// says, at any frame rate: 85 % of it is what bis §4.4.4.9 asks for.
    fn decide_part_target(&mut self, config: &Config) -> bool {
        let positions: Vec<_> = self.lanes[self.clock].positions().map(|(position, _)| position).collect();
        let mut durations: Vec<_> = positions.windows(2).map(|pair| span_ns(pair[0], pair[1])).collect();
        let (Some(first), Some(last)) = (positions.first(), positions.last()) else { return false };
        durations.sort_unstable();
        let Some(&median) = durations.get(durations.len() / 2) else { return false };
        let nominal = i64::from(config.part_target_ms) * NANOS_PER_MS;
        if durations.len() < 3 || span_ns(*first, *last).saturating_add(median / 2) <= nominal {
            return false;
        }
        // The mean of those that are alike: a hiccup of the first frames does not count.
        durations.retain(|duration| duration.abs_diff(median) <= (median / 2).unsigned_abs());
        let mean = (durations.iter().sum::<i64>() / durations.len().max(1) as i64).max(1);
        let frames = ((nominal + mean / 2) / mean).max(1);
        let uneven = durations.first() != durations.last();
        let jitter = if uneven { 2 * NANOS_PER_MS } else { 0 };
        let target_ms = (frames * mean + jitter + NANOS_PER_MS - 1) / NANOS_PER_MS;
        self.part_target_ns = Some(target_ms * NANOS_PER_MS);
        true
    }

    /// Decides whether a part ends where the clock's frame at `position` begins.
    fn examine(&mut self, position: Timestamp, keyframe: bool, config: &Config) {
        let (Some(mut open), Some(target)) = (self.open, self.part_target_ns) else { return };
        if position <= open.examined {
            return;
        }
        // The frame before turned out too long for what it was added to …
        if span_ns(open.part_start, position) > target && open.examined > open.part_start {
            let ends_segment = span_ns(open.segment_start, position) > self.segment_limit_ns;
            self.split += u64::from(ends_segment);
            let at = open.examined;
            self.cut(&mut open, at, ends_segment);
        }
        // … or longer than a part, which sound can still fill.
        let has_company = self.lanes.iter().enumerate().any(|(i, lane)| i != self.clock && !lane.silent);
        // What was held back of a track that is far from the others is no length to be cut.
        let leaps = span_ns(open.part_start, position) / 2 > i64::from(config.max_segment_ms) * NANOS_PER_MS;
        while has_company && !leaps && span_ns(open.part_start, position) > target {
            let end = later_by_ns(open.part_start, target);
            let ends_segment =
                span_ns(open.segment_start, end).saturating_add(target) > self.segment_limit_ns;
            self.split += u64::from(ends_segment);
            self.cut(&mut open, end, ends_segment);
        }
        let expected = span_ns(open.examined, position).min(target);
        if self.segment_ends(&open, position, keyframe, expected, config) {
            self.cut(&mut open, position, true);
        } else if span_ns(open.part_start, position).saturating_add(expected) > target {
            self.cut(&mut open, position, false);
        }
        if keyframe {
            open.keyframe = position;
        }
        open.examined = position;
        self.open = Some(open);
    }

    fn cut(&mut self, open: &mut Open, at: Timestamp, ends_segment: bool) {
        if at > open.part_start {
            self.cuts.push_back(Cut { at, ends_segment });
            open.part_start = at;
        }
        if ends_segment {
            self.longest_ns = self.longest_ns.max(span_ns(open.segment_start, at));
            open.segment_start = at;
            self.segment_bytes = 0;
        }
    }

    /// The longest segment so far, the one being filled included.
    pub(super) fn longest_segment_ns(&self) -> i64 {
        let filling = self.open.map_or(0, |open| span_ns(open.segment_start, open.examined));
        self.longest_ns.max(filling)
    }

    /// Whether a segment ends at `position`: at the keyframe nearest the target, at any frame where there is only
    /// sound, and where waiting for the next chance would make it longer than allowed.
    fn segment_ends(
        &mut self,
        open: &Open,
        position: Timestamp,
        keyframe: bool,
        expected: i64,
        config: &Config,
    ) -> bool {
        let target = i64::from(config.segment_target_ms) * NANOS_PER_MS;
        let length = span_ns(open.segment_start, position);
        let sound_only = !self.lanes.iter().any(Lane::is_video);
        if keyframe || sound_only {
            let gop = if sound_only { expected } else { span_ns(open.keyframe, position) };
            if length >= target - gop / 2 || length.saturating_add(gop) > self.segment_limit_ns {
                return true;
            }
        }
        let split = length.saturating_add(expected) > self.segment_limit_ns
            || self.segment_bytes > config.max_segment_bytes;
        self.split += u64::from(split);
        split
    }

    /// The next piece, if it is complete.
    pub(super) fn next_piece(&mut self, config: &Config) -> Option<Piece> {
        loop {
            let cut = *self.cuts.front()?;
            if !self.is_reached(cut.at, config) {
                return None;
            }
            self.cuts.pop_front();
            let runs: Vec<_> = self.lanes.iter_mut().filter_map(|lane| lane.take_before(cut.at)).collect();
            // A stretch without a frame is added to the next one, unless a segment must end.
            if !runs.is_empty() || cut.ends_segment {
                return Some(self.piece(cut, runs));
            }
        }
    }

    /// What is left when no more frames come; the last piece ends the segment.
    pub(super) fn flush(&mut self, config: &Config) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let Some(end) = self.lanes.get(self.clock).and_then(Lane::end).filter(|_| self.open.is_some()) else {
            return pieces;
        };
        if self.part_target_ns.is_none() {
            self.part_target_ns = Some(i64::from(config.part_target_ms) * NANOS_PER_MS);
            self.examine_all(config);
        }
        if let (Some(mut open), Some(target)) = (self.open, self.part_target_ns)
            && span_ns(open.part_start, end) > target
        {
            let at = open.examined;
            self.cut(&mut open, at, false);
        }
        for lane in &mut self.lanes {
            lane.silent = true;
        }
        while let Some(piece) = self.next_piece(config) {
            pieces.push(piece);
        }
        let runs: Vec<_> = self.lanes.iter_mut().filter_map(Lane::take_all).collect();
        if !runs.is_empty() {
            let at = end.max(self.carried_out);
            pieces.push(self.piece(Cut { at, ends_segment: true }, runs));
        } else if let Some(last) = pieces.last_mut() {
            last.ends_segment = true;
        }
        self.open = None;
        pieces
    }

    fn piece(&mut self, cut: Cut, runs: Vec<Taken>) -> Piece {
        let start = std::mem::replace(&mut self.carried_out, cut.at);
        let has_video = self.lanes.iter().any(Lane::is_video);
        let independent = runs.first().is_some_and(|run| {
            run.video == has_video && run.samples.first().is_some_and(|sample| sample.keyframe)
        });
        let duration_ns = span_ns(start, cut.at);
        Piece { start, duration_ns, runs, independent, ends_segment: cut.ends_segment }
    }

    /// Whether every lane has delivered what is shown before `position`, or has kept the clock waiting for too long.
    fn is_reached(&mut self, position: Timestamp, config: &Config) -> bool {
        let hold = i64::from(config.hold_limit_ms) * NANOS_PER_MS;
        let waited = self.lanes[self.clock].newest().map_or(0, |newest| span_ns(position, newest));
        for lane in &mut self.lanes {
            if lane.silent || lane.newest().is_some_and(|newest| newest >= position) {
                continue;
            }
            if waited < hold {
                return false;
            }
            lane.silent = true;
        }
        true
    }

    /// The clock's newest position.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.open?;
        self.lanes.get(self.clock)?.newest()
    }
}

/// Nanoseconds from `from` to `to`, rounded down; a day at most.
fn span_ns(from: Timestamp, to: Timestamp) -> i64 {
    let ns = if from.timescale() == to.timescale() {
        to_ns(to.ticks().saturating_sub(from.ticks()), to)
    } else {
        to_ns(to.ticks(), to).saturating_sub(to_ns(from.ticks(), from))
    };
    ns.clamp(-MAX_SPAN_NS, MAX_SPAN_NS)
}

fn to_ns(ticks: i64, of: Timestamp) -> i64 {
    let ns = i128::from(ticks) * 1_000_000_000 / i128::from(of.timescale().hz());
    ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// `at` moved by `ns`, and by one tick at least.
fn later_by_ns(at: Timestamp, ns: i64) -> Timestamp {
    let ticks = i128::from(ns) * i128::from(at.timescale().hz()) / 1_000_000_000;
    at.saturating_add_ticks((ticks as i64).max(1))
}
