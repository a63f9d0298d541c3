//! A source's clock, as wild as it may be, onto the one timeline of a stream.

use std::time::Duration;

use super::{Timescale, Timestamp};
use crate::{Frame, TrackId, TrackKind};

#[cfg(test)]
mod tests;

/// Microseconds, wide enough for any 64-bit timestamp on any timescale.
type Micros = i128;

/// Tracks remembered; the one unheard for longest makes room.
const MAX_TRACKS: usize = 64;
/// The distance between frames of a track that has not shown its own.
const USUAL_STEP: Micros = 33_333;
/// Steps above this are pauses, not the distance between frames.
const MAX_STEP: Micros = 1_000_000;

/// What a [`Timeline`] takes for the source's intent and what for a fault of its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimelineConfig {
    /// The longest step forward within a track that is taken as it is, without asking arrival times. Larger: a
    /// clock that jumps ahead leaves a longer hole. Default 3 s.
    pub max_forward: Duration,
    /// The longest step back within a track that is waited out (its frames are pressed together until the clock
    /// has caught up); beyond it the clock has jumped. Larger: longer freezes. Default 500 ms.
    pub max_backward: Duration,
    /// The longest distance between decoding and presentation. Default 10 s.
    pub max_composition: Duration,
}

impl Default for TimelineConfig {
    fn default() -> Self {
        Self {
            max_forward: Duration::from_secs(3),
            max_backward: Duration::from_millis(500),
            max_composition: Duration::from_secs(10),
        }
    }
}

/// What the timeline did to a frame other than to move it with its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Adjustment {
    /// The source's clock jumped; the timeline continues without the jump. Reported by the track that jumped first.
    Jump {
        /// How far the clock jumped; negative: back. Saturates.
        micros: i64,
    },
    /// The frame would not have come after the one before it, and was moved.
    Backward {
        /// How far its decoding time was moved forward.
        micros: i64,
    },
    /// A hole longer than [`TimelineConfig::max_forward`] that arrival times or another track confirm; it was kept.
    Gap {
        /// The length of the hole.
        micros: i64,
    },
    /// Presentation lay further from decoding than [`TimelineConfig::max_composition`], and was brought nearer.
    Composition,
}

/// How often a [`Timeline`] did what, since the stream began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adjustments {
    /// Jumps of the source's clock, each counted once however many tracks took part.
    pub jumps: u64,
    /// Frames moved because they would not have come after the one before.
    pub backward: u64,
    /// Long holes kept.
    pub gaps: u64,
    /// Frames presented too far from their decoding.
    pub compositions: u64,
}

/// Maps the clock of whoever publishes a stream to the stream's own clock.
///
/// What it promises, whatever comes in:
///
/// - the first frame of the stream decodes at 0 and no time is negative;
/// - decoding times rise strictly within each track;
/// - within one source every track is moved by the same offset, so that the distance of audio to video is the
///   source's; a track whose clock jumps takes the other's new offset when it follows, in either order;
/// - a jump of the clock leaves the distance of one frame, or the time that really passed if that is over a second;
/// - a source that really paused leaves a hole of the length of the pause;
/// - after [`Self::discontinuity`] the next source continues where the timeline would be by arrival time;
/// - memory is bounded.
///
/// Data frames never steer the clock: encoders send them with a time of zero, or any.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    config: TimelineConfig,
    /// Output minus source time, as last anchored; `None` before a source's first frame.
    offset: Option<Micros>,
    tracks: Vec<Progress>,
    /// No track that was forgotten had passed this.
    floor: Option<Timestamp>,
    adjustments: Adjustments,
}

/// How far one track has come.
#[derive(Clone, Debug)]
struct Progress {
    track: TrackId,
    kind: TrackKind,
    /// Its own view of the source's clock; differs from the timeline's while a jump passes through the tracks.
    offset: Option<Micros>,
    /// The last frame's decoding time on the timeline.
    dts: Timestamp,
    /// The distance of its frames.
    step: Micros,
    /// When the last frame arrived.
    arrival: Duration,
}

/// Where a frame belongs by the rules, before strict order is imposed.
struct Mapping {
    offset: Micros,
    adjustment: Option<Adjustment>,
}

impl Timeline {
    /// A timeline at its beginning.
    pub fn new(config: TimelineConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Moves `frame` onto the timeline and says what had to be mended, if anything.
    ///
    /// `arrival` is when the frame came in, on any clock that only goes forward. Frames must come in decoding order
    /// within their track, as the source sent them; the timescale of `dts` is kept, and `pts` is brought to it.
    pub fn place(&mut self, frame: &mut Frame, kind: TrackKind, arrival: Duration) -> Option<Adjustment> {
        let composition = self.composition(frame);
        let mapping = self.mapping(frame, kind, arrival);
        let (dts, moved) = self.in_order(frame, mapping.offset);
        let ideal_pts = shift(frame.dts, mapping.offset).saturating_add_ticks(composition.ticks);
        let least_pts = dts.ticks().saturating_add(composition.ticks.min(0)).max(0);
        frame.dts = dts;
        frame.pts = Timestamp::new(ideal_pts.ticks().max(least_pts), dts.timescale());
        self.remember(frame, kind, &mapping, moved.is_some(), arrival);
        let adjustment = mapping.adjustment.or(moved).or(composition.adjustment);
        self.adjustments.count(adjustment);
        adjustment
    }

    /// The next frames come from another source (the publisher returned, or another took over): its first frame
    /// continues after the last one by the time that passed between their arrivals.
    pub fn discontinuity(&mut self) {
        self.offset = None;
        for track in &mut self.tracks {
            track.offset = None;
        }
    }

    /// What was mended so far.
    pub const fn adjustments(&self) -> Adjustments {
        self.adjustments
    }

    /// The offset that `frame` is to be moved by.
    fn mapping(&mut self, frame: &Frame, kind: TrackKind, arrival: Duration) -> Mapping {
        let source = micros(frame.dts);
        if kind == TrackKind::Data {
            return self.data_mapping(source, arrival);
        }
        let own = self.progress(frame.track).filter(|own| own.offset.is_some());
        let fits = match own {
            Some(own) => self.known_track_offset(own, source, arrival),
            None => self.new_track_offset(source, arrival),
        };
        if let Some(mapping) = fits {
            return mapping;
        }
        let before = own.and_then(|own| own.offset).or(self.offset);
        let target = match (own.or_else(|| self.front()), before) {
            (None, _) => 0,
            (Some(last), Some(_)) => last.next(arrival),
            (Some(last), None) => last.resume(arrival),
        };
        let offset = target - source;
        self.offset = Some(offset);
        let jump = before.map(|before| Adjustment::Jump { micros: saturate(before - offset) });
        Mapping { offset, adjustment: jump }
    }

    /// The offset under which `source` continues a track, if its own or a newer one does.
    fn known_track_offset(&self, own: &Progress, source: Micros, arrival: Duration) -> Option<Mapping> {
        let current = own.offset?;
        let expected = micros(own.dts) + own.step;
        let distance = |offset: Micros| (source + offset - expected).abs();
        // While a jump passes through the tracks, the nearer of the old and the new clock is meant.
        let offset = self.offset.filter(|&new| distance(new) < distance(current)).unwrap_or(current);
        let step = source + offset - micros(own.dts);
        if (-self.max_backward()..=self.max_forward()).contains(&step) {
            return Some(Mapping { offset, adjustment: None });
        }
        if self.is_pause(own, step, arrival) || (step > 0 && self.has_company(own, source, offset)) {
            return Some(Mapping { offset, adjustment: Some(Adjustment::Gap { micros: saturate(step) }) });
        }
        let others = self.tracks.iter().filter_map(|track| track.offset);
        others
            .filter(|offset| {
                let step = source + offset - micros(own.dts);
                (-self.max_backward()..=self.max_forward()).contains(&step)
            })
            .min_by_key(|&offset| distance(offset))
            .map(|offset| Mapping { offset, adjustment: None })
    }

    /// The source's offset, if a track's first frame at `source` is anywhere near the others under it.
    fn new_track_offset(&self, source: Micros, arrival: Duration) -> Option<Mapping> {
        let offset = self.offset?;
        let front = self.front()?;
        let step = source + offset - micros(front.dts);
        let near = step.abs() <= self.max_forward() || self.is_pause(front, step, arrival);
        near.then_some(Mapping { offset, adjustment: None })
    }

    /// Data goes where its source says if that is near the front, else to the front.
    fn data_mapping(&self, source: Micros, arrival: Duration) -> Mapping {
        let offset = match (self.offset, self.front()) {
            (Some(offset), Some(front))
                if (source + offset - micros(front.dts)).abs() <= self.max_forward() =>
            {
                offset
            }
            (None, Some(front)) => front.resume(arrival) - source,
            (Some(_), Some(front)) => micros(front.dts) - source,
            (_, None) => -source,
        };
        Mapping { offset, adjustment: None }
    }

    /// Whether a step forward is a pause of the source: as much time passed here as there.
    fn is_pause(&self, last: &Progress, step: Micros, arrival: Duration) -> bool {
        step > 0 && (step - last.since(arrival)).abs() <= self.max_forward()
    }

    /// Whether another track of the same clock has come about as far: this one merely lost frames.
    fn has_company(&self, own: &Progress, source: Micros, offset: Micros) -> bool {
        self.tracks.iter().any(|other| {
            other.track != own.track
                && other.offset == Some(offset)
                && (source + offset - micros(other.dts)).abs() <= self.max_forward()
        })
    }

    /// The decoding time of `frame` moved by `offset`, but after the frame before it and not below zero.
    fn in_order(&self, frame: &Frame, offset: Micros) -> (Timestamp, Option<Adjustment>) {
        let mapped = shift(frame.dts, offset);
        let last = self.progress(frame.track).map(|own| own.dts).or(self.floor);
        let least = last.map_or(0, |last| last.rescale(mapped.timescale()).ticks().saturating_add(1)).max(0);
        if mapped.ticks() >= least {
            return (mapped, None);
        }
        let dts = Timestamp::new(least, mapped.timescale());
        (dts, Some(Adjustment::Backward { micros: saturate(micros(dts) - micros(mapped)) }))
    }

    fn composition(&self, frame: &Frame) -> Composition {
        let scale = frame.dts.timescale();
        let ticks = frame.pts.rescale(scale).ticks().saturating_sub(frame.dts.ticks());
        let limit = saturate(ticks_of(as_micros(self.config.max_composition), scale));
        let within = ticks.clamp(-limit, limit);
        Composition { ticks: within, adjustment: (within != ticks).then_some(Adjustment::Composition) }
    }

    fn remember(
        &mut self,
        frame: &Frame,
        kind: TrackKind,
        mapping: &Mapping,
        moved: bool,
        arrival: Duration,
    ) {
        let offset = (kind != TrackKind::Data).then_some(mapping.offset);
        if let Some(own) = self.tracks.iter_mut().find(|own| own.track == frame.track) {
            let step = micros(frame.dts) - micros(own.dts);
            if !moved && mapping.adjustment.is_none() && own.offset == offset && step <= MAX_STEP {
                own.step = step;
            }
            (own.kind, own.offset, own.dts, own.arrival) = (kind, offset, frame.dts, arrival);
            return;
        }
        if self.tracks.len() >= MAX_TRACKS {
            self.forget_one();
        }
        let step = USUAL_STEP;
        self.tracks.push(Progress { track: frame.track, kind, offset, dts: frame.dts, step, arrival });
    }

    fn forget_one(&mut self) {
        let oldest = (0..self.tracks.len()).min_by_key(|&index| self.tracks[index].arrival);
        if let Some(index) = oldest {
            let forgotten = self.tracks.swap_remove(index).dts;
            self.floor = self.floor.max(Some(forgotten));
        }
    }

    fn progress(&self, track: TrackId) -> Option<&Progress> {
        self.tracks.iter().find(|own| own.track == track)
    }

    /// The track that has come furthest of those that steer the clock.
    fn front(&self) -> Option<&Progress> {
        self.tracks.iter().filter(|track| track.kind != TrackKind::Data).max_by_key(|track| track.dts)
    }

    fn max_forward(&self) -> Micros {
        as_micros(self.config.max_forward)
    }

    fn max_backward(&self) -> Micros {
        as_micros(self.config.max_backward)
    }
}

/// How far a frame's presentation lies from its decoding, in ticks of its decoding time.
struct Composition {
    ticks: i64,
    adjustment: Option<Adjustment>,
}

impl Progress {
    /// Where another source's first frame belongs: at the pace of the wall clock.
    fn resume(&self, arrival: Duration) -> Micros {
        micros(self.dts) + self.since(arrival).max(self.step)
    }

    /// Where the next frame of the same source belongs when its own time says nothing. Arrival times jitter, so
    /// only a pause is taken from them.
    fn next(&self, arrival: Duration) -> Micros {
        let passed = self.since(arrival);
        micros(self.dts) + if passed > MAX_STEP { passed } else { self.step }
    }

    fn since(&self, arrival: Duration) -> Micros {
        as_micros(arrival.saturating_sub(self.arrival))
    }
}

impl Adjustments {
    const fn count(&mut self, adjustment: Option<Adjustment>) {
        match adjustment {
            None => {}
            Some(Adjustment::Jump { .. }) => self.jumps += 1,
            Some(Adjustment::Backward { .. }) => self.backward += 1,
            Some(Adjustment::Gap { .. }) => self.gaps += 1,
            Some(Adjustment::Composition) => self.compositions += 1,
        }
    }
}

/// `time` moved by `offset`, rounded once per offset so that the ticks between frames stay exact.
fn shift(time: Timestamp, offset: Micros) -> Timestamp {
    let ticks = i128::from(time.ticks()) + ticks_of(offset, time.timescale());
    Timestamp::new(saturate(ticks), time.timescale())
}

/// Floors, so that a time there and back never gains a tick.
fn micros(time: Timestamp) -> Micros {
    (i128::from(time.ticks()) * 1_000_000).div_euclid(i128::from(time.timescale().hz()))
}

/// To the nearest tick.
fn ticks_of(micros: Micros, timescale: Timescale) -> i128 {
    (micros * i128::from(timescale.hz()) + 500_000).div_euclid(1_000_000)
}

fn as_micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

fn saturate(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}
