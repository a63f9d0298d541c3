//! Transport stream files: the demuxer that live streams have, and its frames put in decoding order.

use std::{
    collections::VecDeque,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use super::{
    Error, Limits,
    ts_format::{Demuxer, Event},
};
use crate::{Frame, Timescale, Timestamp, TrackId, TrackKind, Tracks, time::ExactAudio};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Frames looked at to find the next in decoding order. Muxers write sound up to a second before or after its picture.
const LOOK_AHEAD: usize = 128;
/// Bytes read at most to learn of the tracks.
const LONGEST_HEAD_BYTES: usize = 32 << 20;
/// Bytes at the end of the file that are asked when it ends.
const LAST_BYTES: u64 = 512 * 1024;
/// The 33-bit clock.
const CLOCK: i64 = 1 << 33;

#[derive(Debug)]
pub(super) struct Reader<R> {
    source: R,
    limits: Limits,
    demuxer: Demuxer,
    audio: ExactAudio,
    /// Frames of `tracks` that were not handed out yet.
    queue: VecDeque<Frame>,
    /// The tracks of what comes behind the queue, if they are others.
    next_tracks: Option<Tracks>,
    /// The tracks of the frame handed out last.
    tracks: Tracks,
    duration: Option<Duration>,
    ended: bool,
    /// What was damaged so far.
    damage: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn open(source: R, limits: &Limits) -> Result<Self, Error> {
        let mut reader = Self {
            source,
            limits: limits.clone(),
            demuxer: Demuxer::new(limits.mpegts),
            audio: ExactAudio::default(),
            queue: VecDeque::new(),
            next_tracks: None,
            tracks: Tracks::empty(),
            duration: None,
            ended: false,
            damage: 0,
        };
        reader.rewind()?;
        reader.duration = reader.find_duration()?;
        reader.rewind()?;
        Ok(reader)
    }

    pub(super) const fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    pub(super) const fn duration(&self) -> Option<Duration> {
        self.duration
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            self.tell_damage()?;
            self.drain();
            if let Some(at) = self.first_in_order() {
                return Ok(self.queue.remove(at));
            }
            if self.ended {
                return Ok(None);
            }
            self.read_bytes()?;
        }
    }

    pub(super) fn rewind(&mut self) -> Result<(), Error> {
        self.source.seek(SeekFrom::Start(0))?;
        self.demuxer = Demuxer::new(self.limits.mpegts);
        self.audio = ExactAudio::default();
        self.queue.clear();
        self.next_tracks = None;
        self.ended = false;
        self.damage = 0;
        // The demuxer itself waits for all tracks before the first frame.
        let mut left = LONGEST_HEAD_BYTES / READ_BYTES;
        while !self.ended && left > 0 && self.demuxer.tracks().is_empty() {
            left -= 1;
            self.read_bytes()?;
        }
        let before = self.tracks.clone();
        self.drain();
        if *self.tracks == *before {
            self.tracks = before;
        }
        let has = |kind| self.tracks.first(kind).is_some();
        if has(TrackKind::Video) || has(TrackKind::Audio) { Ok(()) } else { Err(Error::NoTracks) }
    }

    /// Takes what the demuxer has, up to where the tracks change.
    fn drain(&mut self) {
        if self.queue.is_empty()
            && let Some(tracks) = self.next_tracks.take()
        {
            self.tracks = self.audio.tracks(&tracks);
        }
        while self.next_tracks.is_none() {
            match self.demuxer.next_event() {
                Some(Event::Frame(mut frame)) => {
                    self.audio.place(&mut frame);
                    self.queue.push_back(frame);
                }
                Some(Event::Tracks(tracks)) if self.queue.is_empty() => {
                    self.tracks = self.audio.tracks(&tracks);
                }
                Some(Event::Tracks(tracks)) => self.next_tracks = Some(tracks),
                None => return,
            }
        }
    }

    /// Where in the queue the frame is that comes next; `None` when that takes more frames to tell.
    fn first_in_order(&self) -> Option<usize> {
        let mut seen: Vec<TrackId> = Vec::new();
        let mut first: Option<usize> = None;
        for (at, frame) in self.queue.iter().enumerate() {
            if seen.contains(&frame.track) {
                continue;
            }
            seen.push(frame.track);
            if first.is_none_or(|first| frame.dts < self.queue[first].dts) {
                first = Some(at);
            }
        }
        let is_awaited = |id, kind| kind != TrackKind::Data && !seen.contains(&id);
        let has_all = !self.tracks.iter().any(|track| is_awaited(track.id, track.kind()));
        let is_full = self.ended || self.next_tracks.is_some() || self.queue.len() >= LOOK_AHEAD;
        first.filter(|_| has_all || is_full)
    }

    /// Reads on.
    fn read_bytes(&mut self) -> Result<(), Error> {
        let mut bytes = vec![0; READ_BYTES];
        let read = self.source.read(&mut bytes)?;
        self.demuxer.push(&bytes[..read]);
        if read == 0 {
            self.ended = true;
            self.demuxer.finish();
        }
        Ok(())
    }

    /// Says once that there is damage in what was read.
    fn tell_damage(&mut self) -> Result<(), Error> {
        let counters = self.demuxer.counters();
        // Before the first keyframe there is nothing to decode with; that is no damage.
        let damage = counters.continuity_errors + counters.dropped() - counters.unconfigured;
        if damage > std::mem::replace(&mut self.damage, damage) {
            return Err(Error::MpegTs { damage });
        }
        Ok(())
    }

    /// From the first frame to the last of the file's end.
    fn find_duration(&mut self) -> Result<Option<Duration>, Error> {
        let first = self.queue.iter().map(|frame| frame.dts).min();
        let end = self.source.seek(SeekFrom::End(0))?;
        self.source.seek(SeekFrom::Start(end.saturating_sub(LAST_BYTES)))?;
        let mut bytes = Vec::new();
        self.source.by_ref().take(LAST_BYTES).read_to_end(&mut bytes)?;
        let mut demuxer = Demuxer::new(self.limits.mpegts);
        demuxer.push(&bytes);
        demuxer.finish();
        let events = std::iter::from_fn(|| demuxer.next_event());
        let last = events.filter_map(|event| match event {
            Event::Frame(frame) => Some(frame.pts),
            Event::Tracks(_) => None,
        });
        let (Some(first), Some(last)) = (first, last.max()) else { return Ok(None) };
        let ticks = last.ticks() - first.rescale(Timescale::MPEG).ticks();
        let length = Timestamp::new(ticks.rem_euclid(CLOCK), Timescale::MPEG);
        Ok(Some(length.duration_since(Timestamp::ZERO)))
    }
}
