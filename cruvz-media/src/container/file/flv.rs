//! FLV files, by way of the tags that RTMP knows too.

use std::{
    collections::VecDeque,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use super::{
    Error, Limits,
    flv_format::{Demuxer, Event, file},
};
use crate::{
    Frame, TrackKind, Tracks,
    time::{ExactAudio, Unwrapper},
};

/// Bytes read at a time.
const READ_BYTES: usize = 64 * 1024;
/// Frames looked at to learn of all tracks before the first is handed out.
const LOOK_AHEAD: usize = 64;
/// Tags at the end of the file that are asked when it ends: the very last may be a note of the encoder's.
const LAST_TAGS: usize = 16;

#[derive(Debug)]
pub(super) struct Reader<R> {
    source: R,
    limits: Limits,
    file: file::Reader,
    demuxer: Demuxer,
    clock: Unwrapper,
    audio: ExactAudio,
    /// What was read and not handed out yet.
    events: VecDeque<Event>,
    /// The tracks of the frame handed out last.
    tracks: Tracks,
    duration: Option<Duration>,
    ended: bool,
}

impl<R: Read + Seek> Reader<R> {
    pub(super) fn open(mut source: R, limits: &Limits) -> Result<Self, Error> {
        let end = end_ms(&mut source)?;
        let mut reader = Self {
            source,
            limits: limits.clone(),
            file: file::Reader::new(limits.flv),
            demuxer: Demuxer::new(limits.flv_tracks),
            clock: Unwrapper::RTMP,
            audio: ExactAudio::default(),
            events: VecDeque::new(),
            tracks: Tracks::empty(),
            duration: end.map(|end| Duration::from_millis(end.into())).filter(|end| !end.is_zero()),
            ended: false,
        };
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
            match self.events.pop_front() {
                Some(Event::Frame(mut frame)) => {
                    self.audio.place(&mut frame);
                    return Ok(Some(frame));
                }
                Some(Event::Tracks(tracks)) => self.tracks = self.audio.tracks(&tracks),
                Some(_) => {}
                None if self.ended => return Ok(None),
                None => self.read_tag()?,
            }
        }
    }

    pub(super) fn rewind(&mut self) -> Result<(), Error> {
        self.source.seek(SeekFrom::Start(0))?;
        self.file = file::Reader::new(self.limits.flv);
        self.demuxer = Demuxer::new(self.limits.flv_tracks);
        self.clock = Unwrapper::RTMP;
        self.audio = ExactAudio::default();
        self.events.clear();
        self.ended = false;
        self.look_ahead()
    }

    /// Reads on until audio and video are known, or no more is to be expected.
    fn look_ahead(&mut self) -> Result<(), Error> {
        let known = |tracks: &Tracks, kind| tracks.first(kind).is_some();
        while !self.ended && self.events.len() < LOOK_AHEAD {
            let tracks = self.demuxer.tracks();
            if known(tracks, TrackKind::Audio) && known(tracks, TrackKind::Video) {
                break;
            }
            self.read_tag()?;
        }
        let tracks = self.demuxer.tracks();
        if !known(tracks, TrackKind::Audio) && !known(tracks, TrackKind::Video) {
            return Err(Error::NoTracks);
        }
        // What was learnt counts from the first frame on.
        self.events.retain(|event| !matches!(event, Event::Tracks(_)));
        let tracks = self.audio.tracks(tracks);
        if *self.tracks != *tracks {
            self.tracks = tracks;
        }
        Ok(())
    }

    /// Takes the next tag apart. At the end of the file, and when its structure is lost, the reader has ended.
    fn read_tag(&mut self) -> Result<(), Error> {
        let tag = match self.file.next_tag() {
            Ok(tag) => tag,
            Err(error) => {
                self.ended = true;
                return Err(error.into());
            }
        };
        let Some(tag) = tag else { return self.read_bytes() };
        let at = self.clock.unwrap(tag.timestamp_ms.into());
        let outcome = self.demuxer.tag(tag.kind, at, tag.body);
        self.events.extend(std::iter::from_fn(|| self.demuxer.next_event()));
        Ok(outcome?)
    }

    /// A file that ends inside a tag ends before it: recordings are cut off like that.
    fn read_bytes(&mut self) -> Result<(), Error> {
        let mut bytes = vec![0; READ_BYTES];
        let read = self.source.read(&mut bytes)?;
        self.ended = read == 0;
        self.file.push(&bytes[..read]);
        Ok(())
    }
}

/// The time at which the file ends, as its last tags have it; `None` where the sizes behind them lead nowhere.
fn end_ms<R: Read + Seek>(source: &mut R) -> Result<Option<u32>, Error> {
    let mut end = source.seek(SeekFrom::End(0))?;
    let mut latest = None;
    for _ in 0..LAST_TAGS {
        let Some((start, at)) = tag_before(source, end)? else { break };
        latest = latest.max(Some(at));
        end = start;
    }
    Ok(latest)
}

/// Where the tag begins whose trailing size ends at `end`, and its time.
fn tag_before<R: Read + Seek>(source: &mut R, end: u64) -> Result<Option<(u64, u32)>, Error> {
    let Some(trailer) = end.checked_sub(4) else { return Ok(None) };
    let mut size = [0; 4];
    source.seek(SeekFrom::Start(trailer))?;
    source.read_exact(&mut size)?;
    let Some(start) = trailer.checked_sub(u32::from_be_bytes(size).into()) else { return Ok(None) };
    let mut tag = Vec::new();
    source.seek(SeekFrom::Start(start))?;
    source.take(8).read_to_end(&mut tag)?;
    let &[8 | 9 | 18, ref body @ .., low2, low1, low0, high] = &tag[..] else { return Ok(None) };
    let body = body.iter().fold(0_u64, |size, &byte| size << 8 | u64::from(byte));
    let at = u32::from_be_bytes([high, low2, low1, low0]);
    Ok((start + 11 + body == trailer).then_some((start, at)))
}
