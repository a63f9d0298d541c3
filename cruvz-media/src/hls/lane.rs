//! The frames of one track that wait to be cut into parts.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Frame, Timescale, Timestamp, Track, TrackId, TrackKind, container::cmaf::Sample};

/// Ticks beyond this are refused: arithmetic below it cannot overflow.
const FARTHEST_TICK: i64 = 1 << 56;

/// A frame in its track's CMAF timescale.
struct Held {
    dts: i64,
    composition_offset: i32,
    payload: Bytes,
    keyframe: bool,
}

/// Consecutive samples taken from a lane.
pub(super) struct Taken {
    pub(super) track_id: u32,
    pub(super) base_dts: i64,
    pub(super) timescale: Timescale,
    pub(super) samples: Vec<Sample>,
    pub(super) video: bool,
}

/// One track's frames in decoding order. The duration of a frame is known when the next one is there.
///
/// A frame's *position* is where it stands on the timeline that all lanes share: its presentation time, as it would be
/// without reordering. Parts are cut by position, so that audio and video in a part are shown at the same time.
pub(super) struct Lane {
    track: Track,
    track_id: u32,
    timescale: Timescale,
    video: bool,
    held: VecDeque<Held>,
    held_bytes: u64,
    newest_dts: Option<i64>,
    last_duration: u32,
    /// From decoding to presentation of the first keyframe; `None` until there is one.
    delay: Option<i64>,
    /// No frame came for so long that parts no longer wait for this track.
    pub(super) silent: bool,
}

impl Lane {
    pub(super) fn new(track: &Track) -> Self {
        let video = track.kind() == TrackKind::Video;
        Self {
            track: track.clone(),
            track_id: 0,
            timescale: crate::container::cmaf::timescale(track),
            video,
            held: VecDeque::new(),
            held_bytes: 0,
            newest_dts: None,
            last_duration: 0,
            delay: (!video).then_some(0),
            silent: false,
        }
    }

    /// This lane under the MP4 track id `track_id`.
    pub(super) const fn numbered(mut self, track_id: u32) -> Self {
        self.track_id = track_id;
        self
    }

    pub(super) const fn id(&self) -> TrackId {
        self.track.id
    }

    /// Whether it is the lane of `track`, coded as before.
    pub(super) fn continues(&self, track: &Track) -> bool {
        self.track == *track
    }

    pub(super) const fn is_video(&self) -> bool {
        self.video
    }

    pub(super) const fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    fn at(&self, ticks: i64) -> Timestamp {
        Timestamp::new(ticks, self.timescale)
    }

    fn position(&self, held: &Held) -> Timestamp {
        self.at(held.dts + self.delay.unwrap_or(0))
    }

    /// Position and keyframe flag of each held frame.
    pub(super) fn positions(&self) -> impl Iterator<Item = (Timestamp, bool)> {
        self.held.iter().map(|held| (self.position(held), held.keyframe))
    }

    /// The position of the newest frame ever pushed.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        Some(self.at(self.newest_dts? + self.delay?))
    }

    /// Where the newest frame ends, as far as can be told: it lasts as long as the one before it.
    pub(super) fn end(&self) -> Option<Timestamp> {
        self.newest().map(|newest| newest.saturating_add_ticks(self.last_duration.max(1).into()))
    }

    /// Where `frame` would stand; `None` where its time is beyond all reason.
    pub(super) fn position_of(&self, frame: &Frame) -> Option<Timestamp> {
        let reasonable = -FARTHEST_TICK..=FARTHEST_TICK;
        let dts = frame.dts.rescale(self.timescale).ticks();
        let pts = frame.pts.rescale(self.timescale).ticks();
        let reasonable = reasonable.contains(&dts) && reasonable.contains(&pts);
        reasonable.then(|| self.at(self.delay.map_or(pts, |delay| dts + delay)))
    }

    /// Appends `frame`, which must be of this track and have a position. Tells whether it was taken: video is from its
    /// first keyframe on.
    pub(super) fn push(&mut self, frame: &Frame) -> bool {
        let mut dts = frame.dts.rescale(self.timescale).ticks();
        let pts = frame.pts.rescale(self.timescale).ticks();
        if let Some(newest) = self.newest_dts {
            dts = dts.max(newest + 1);
        }
        if self.delay.is_none() {
            if !frame.keyframe {
                return false;
            }
            self.delay = Some(pts - dts);
        }
        if let Some(newest) = self.newest_dts {
            self.last_duration = u32::try_from(dts - newest).unwrap_or(u32::MAX);
        }
        self.newest_dts = Some(dts);
        self.held_bytes += frame.payload.len() as u64;
        self.held.push_back(Held {
            dts,
            composition_offset: i32::try_from(pts - dts).unwrap_or(0),
            payload: frame.payload.clone(),
            keyframe: frame.keyframe,
        });
        true
    }

    /// Drops the frames before `position` and tells how many there were.
    pub(super) fn drop_before(&mut self, position: Timestamp) -> u64 {
        let mut dropped = 0;
        while self.held.front().is_some_and(|held| self.position(held) < position) {
            self.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some(held) = self.held.pop_front() {
            self.held_bytes -= held.payload.len() as u64;
        }
    }

    /// Takes the frames before `position` whose duration is known.
    pub(super) fn take_before(&mut self, position: Timestamp) -> Option<Taken> {
        let before = self.held.iter().take_while(|held| self.position(held) < position).count();
        self.take(before.min(self.held.len().saturating_sub(1)))
    }

    /// Takes every frame; the last one lasts as long as the one before it.
    pub(super) fn take_all(&mut self) -> Option<Taken> {
        self.take(self.held.len())
    }

    fn take(&mut self, count: usize) -> Option<Taken> {
        let base_dts = self.held.front().filter(|_| count > 0)?.dts;
        let samples: Vec<_> = (0..count).filter_map(|_| self.take_first()).collect();
        Some(Taken {
            track_id: self.track_id,
            base_dts,
            timescale: self.timescale,
            samples,
            video: self.video,
        })
    }

    fn take_first(&mut self) -> Option<Sample> {
        let held = self.held.pop_front()?;
        self.held_bytes -= held.payload.len() as u64;
        let duration = match self.held.front() {
            Some(next) => u32::try_from(next.dts - held.dts).unwrap_or(u32::MAX),
            None => self.last_duration,
        };
        Some(Sample {
            duration,
            composition_offset: held.composition_offset,
            keyframe: held.keyframe,
            payload: held.payload,
        })
    }
}
