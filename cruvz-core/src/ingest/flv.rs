//! Tag bodies into a publisher: what RTMP publishers, RTMP pulls and FLV files have in common.

use std::collections::HashMap;

use bytes::Bytes;
use cruvz_media::{
    Frame, Timescale, Timestamp, TrackId, TrackKind, Tracks, codec,
    container::flv::{Demuxer, Error, Event, TagKind},
    time::{AudioClock, Unwrapper},
};

/// Turns tag bodies into frames with exact, unwrapped times.
#[derive(Debug)]
pub(crate) struct TagSource {
    demuxer: Demuxer,
    clock: Unwrapper,
    audio: HashMap<TrackId, AudioClock>,
    tracks: Tracks,
}

/// What came of a tag.
#[derive(Debug)]
pub(crate) enum Item {
    Tracks(Tracks),
    Frame(Frame),
}

impl TagSource {
    pub(crate) fn new() -> Self {
        Self {
            demuxer: Demuxer::default(),
            clock: Unwrapper::RTMP,
            audio: HashMap::new(),
            tracks: Tracks::empty(),
        }
    }

    /// Takes a tag body; [`Self::next`] says what came of it.
    ///
    /// # Errors
    /// What was refused of it. The next tag may be fine.
    pub(crate) fn tag(&mut self, kind: TagKind, timestamp_ms: u32, body: Bytes) -> Result<(), Error> {
        let at = self.clock.unwrap(u64::from(timestamp_ms));
        self.demuxer.tag(kind, at, body)
    }

    pub(crate) fn next(&mut self) -> Option<Item> {
        loop {
            return match self.demuxer.next_event()? {
                Event::Tracks(tracks) => {
                    self.tracks = tracks.clone();
                    Some(Item::Tracks(tracks))
                }
                Event::Frame(frame) => Some(Item::Frame(self.exact(frame))),
                _ => continue,
            };
        }
    }

    /// An audio frame's time was rounded to milliseconds; counting samples gives it back.
    fn exact(&mut self, mut frame: Frame) -> Frame {
        let Some(track) = self.tracks.by_id(frame.track).filter(|track| track.kind() == TrackKind::Audio)
        else {
            return frame;
        };
        let rate = track.params.audio().and_then(|audio| Timescale::new(audio.sample_rate_hz));
        let samples = codec::samples(&track.params, &frame.payload);
        if let (Some(rate), Some(samples)) = (rate, samples) {
            let clock = self.audio.entry(frame.track).or_insert_with(|| AudioClock::new(rate));
            let at: Timestamp = clock.place(frame.dts, samples);
            (frame.pts, frame.dts) = (at, at);
        }
        frame
    }
}
