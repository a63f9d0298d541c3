//! Progressive MP4 out of fragments, with the media left where it is.
//!
//! A [`Builder`] is told of initialisation segments and of the heads of fragments (`moof`) that lie in other files. What it
//! makes is a [`Movie`]: a `moov` in front of everything, so that players start at once and seek by byte ranges, and a list
//! of the places in those files that are its `mdat`. No frame is read, copied or coded again, and any range of the movie
//! can be had without the rest.
//!
//! A [`Cut`] shows a part of the media, from and to any frame: coding begins at the keyframe before, and an edit list says what is
//! to be shown. Tracks keep their distance from each other. Where a new source began and its time steps back, it follows
//! the one before without a gap; a pause that time tells of is kept. Another coding in the midst of a track is a
//! sample description of its own.
//!
//! Source: ISO/IEC 14496-12 §8.

mod lane;
#[cfg(test)]
mod tests;
mod write;

use std::ops::Range;

use bytes::Bytes;

use self::lane::Lane;
use super::{Error, Limits, boxes, fragment, reader, track, track::TrackReader};
use crate::{Timescale, Timestamp};

/// Samples of all tracks that a [`Builder`] holds places of at most: a day of 60 fps video with sound, in some 300 MB.
const MAX_SAMPLES: usize = 10_000_000;

/// What part of the media a movie shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// What is shown first, in the time of the fragments. Default `None`: the beginning.
    pub from: Option<Timestamp>,
    /// What is not shown any more. Default `None`: nothing.
    pub to: Option<Timestamp>,
}

/// Gathers what a [`Movie`] is made of.
///
/// ```
/// # use bytes::Bytes;
/// # use cruvz_media::container::mp4::{Error, movie::{Builder, Cut}};
/// # fn movie(init: Bytes, moof: Bytes) -> Result<(), Error> {
/// let mut builder = Builder::default();
/// builder.init(&init)?; // of the fragments that follow
/// builder.fragment(0, 0, &moof)?; // of file 0, at its beginning
/// let movie = builder.build(Cut::default())?;
/// println!("{} bytes, {:?}", movie.len(), movie.duration());
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Builder {
    limits: Limits,
    /// The tracks of the initialisation segment that holds now.
    readers: Vec<TrackReader>,
    /// To which lane the samples of each reader go.
    lane_of: Vec<usize>,
    lanes: Vec<Lane>,
    /// Fragments so far: media is laid out in their order.
    fragments: u32,
    /// Whether the next fragment begins a new source.
    broken: bool,
    /// By how much the present source comes later than its own time says.
    shift: Option<Timestamp>,
}

/// A progressive MP4 file whose media lies in other files.
#[derive(Clone, Debug)]
pub struct Movie {
    /// Everything up to the media.
    head: Bytes,
    /// The media, in order.
    pieces: Vec<Piece>,
    len: u64,
    duration: std::time::Duration,
}

/// Media of a movie that lies in one piece elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Where it begins in the movie.
    start: u64,
    source: u32,
    at: u64,
    bytes: u64,
}

/// Consecutive bytes of a [`Movie`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slice {
    /// These.
    Head(Bytes),
    /// Those of another file.
    Source {
        /// Its number, as [`Builder::fragment`] was told.
        source: u32,
        /// Which of its bytes.
        range: Range<u64>,
    },
}

impl Builder {
    /// Fragments from here on belong to `init`, an initialisation segment (`ftyp` and `moov`).
    ///
    /// # Errors
    /// [`Error`] when it makes no sense, or describes no track of a known codec.
    pub fn init(&mut self, init: &Bytes) -> Result<(), Error> {
        let moov = boxes::require(init, b"moov", "movie (moov)")?;
        let (mut readers, mut lane_of) = (Vec::new(), Vec::new());
        for child in boxes::children(moov.clone()) {
            let (name, trak) = child?;
            if name.0 != *b"trak" || readers.len() == self.limits.max_tracks {
                continue;
            }
            if let Some(reader) = TrackReader::parse(&trak, Timescale::MILLIS.hz())? {
                lane_of.push(self.lane_for(&reader, &lane_of, &trak)?);
                readers.push(reader);
            }
        }
        if readers.is_empty() {
            return Err(Error::Missing("track of a known codec"));
        }
        if let Some(mvex) = boxes::find(&moov, b"mvex")? {
            reader::extend(&mvex, &mut readers)?;
        }
        (self.readers, self.lane_of) = (readers, lane_of);
        Ok(())
    }

    /// The lane of a track: the first of its kind that no other track of this segment has.
    fn lane_for(&mut self, reader: &TrackReader, taken: &[usize], trak: &Bytes) -> Result<usize, Error> {
        let free = |&at: &usize| self.lanes[at].kind == reader.kind() && !taken.contains(&at);
        let lane = match (0..self.lanes.len()).find(free) {
            Some(lane) => lane,
            None => {
                self.lanes.push(Lane::new(reader));
                self.lanes.len() - 1
            }
        };
        let (name, body) = track::sample_entry(trak)?;
        self.lanes[lane].describe(&write::boxed(name, &body));
        Ok(lane)
    }

    /// The fragment that comes next may be of another source: should its time step back, it follows what came before.
    pub const fn discontinuity(&mut self) {
        self.broken = true;
    }

    /// Takes the fragment that begins with `moof`, a whole box, at byte `at` of file `source`.
    ///
    /// # Errors
    /// [`Error`] when it makes no sense, and [`Error::Limit`] with more samples than a movie may have. What was taken before
    /// stays.
    pub fn fragment(&mut self, source: u32, at: u64, moof: &Bytes) -> Result<(), Error> {
        let body = boxes::require(moof, b"moof", "fragment (moof)")?;
        fragment::read(body, at, &mut self.readers, &self.limits)?;
        if std::mem::take(&mut self.broken) {
            self.rejoin();
        }
        self.fragments += 1;
        let place = lane::Place { source, fragment: self.fragments };
        for (reader, lane) in self.readers.iter_mut().zip(&self.lane_of) {
            self.lanes[*lane].take(reader, place, self.shift);
        }
        let samples: usize = self.lanes.iter().map(Lane::len).sum();
        if samples > MAX_SAMPLES {
            let (value, limit) = (samples as u64, MAX_SAMPLES as u64);
            return Err(Error::Limit { what: "samples of a movie", value, limit });
        }
        Ok(())
    }

    /// Lets what is pending begin where everything before has ended, unless its own time is later.
    fn rejoin(&mut self) {
        let begins = self.readers.iter().filter_map(TrackReader::pending_from).min();
        let ended = self.lanes.iter().filter(|lane| lane.len() > 0).map(Lane::end).max();
        if let Some((begins, ended)) = begins.zip(ended) {
            let behind_us = ended.micros_since(begins);
            self.shift = (behind_us > 0).then(|| Timestamp::new(behind_us, Timescale::MICROS));
        }
    }

    /// By how much the source that was taken last comes later than its own time says.
    pub fn shift(&self) -> Timestamp {
        self.shift.unwrap_or(Timestamp::ZERO)
    }

    /// The movie of all that was taken, or of a part of it.
    ///
    /// # Errors
    /// [`Error::Missing`] when it would have no frame.
    pub fn build(self, cut: Cut) -> Result<Movie, Error> {
        let zero = cut.from.or_else(|| self.lanes.iter().filter_map(Lane::first_shown).min());
        let zero = zero.ok_or(Error::Missing("frame"))?;
        let mut tracks: Vec<_> = self.lanes.iter().filter_map(|lane| lane.show(zero, cut.to)).collect();
        if tracks.is_empty() {
            return Err(Error::Missing("frame in that time"));
        }
        let (mut pieces, bytes) = lay_out(&mut tracks);
        let (head, duration) = write::head(&mut tracks, bytes);
        let head_bytes = head.len() as u64;
        pieces.iter_mut().for_each(|piece| piece.start += head_bytes);
        Ok(Movie { head, pieces, len: head_bytes + bytes, duration })
    }
}

/// Gives every chunk its place in the media, in the order of fragments and, within one, of the file it lies in.
fn lay_out(tracks: &mut [lane::Shown<'_>]) -> (Vec<Piece>, u64) {
    let mut chunks: Vec<_> = tracks.iter_mut().flat_map(|track| &mut track.chunks).collect();
    chunks.sort_by_key(|chunk| (chunk.place.fragment, chunk.at));
    let (mut pieces, mut end) = (Vec::<Piece>::new(), 0);
    for chunk in chunks {
        chunk.start = end;
        end += chunk.bytes;
        match pieces.last_mut() {
            Some(last) if last.source == chunk.place.source && last.at + last.bytes == chunk.at => {
                last.bytes += chunk.bytes;
            }
            _ => pieces.push(Piece {
                start: chunk.start,
                source: chunk.place.source,
                at: chunk.at,
                bytes: chunk.bytes,
            }),
        }
    }
    (pieces, end)
}

impl Movie {
    /// How many bytes it has.
    #[expect(clippy::len_without_is_empty, reason = "it always has a head")]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Everything in front of the media.
    pub const fn head(&self) -> &Bytes {
        &self.head
    }

    /// How long it plays.
    pub const fn duration(&self) -> std::time::Duration {
        self.duration
    }

    /// What the bytes of `range` are, in order. What lies beyond its end is left out.
    pub fn slices(&self, range: Range<u64>) -> impl Iterator<Item = Slice> {
        let head_bytes = self.head.len() as u64;
        let of_head = range.start.min(head_bytes)..range.end.min(head_bytes);
        let head = (!of_head.is_empty())
            .then(|| Slice::Head(self.head.slice(of_head.start as usize..of_head.end as usize)));
        let first = self.pieces.partition_point(|piece| piece.start + piece.bytes <= range.start);
        let pieces = self.pieces[first..].iter().take_while(move |piece| piece.start < range.end);
        let end = range.end;
        head.into_iter().chain(pieces.map(move |piece| {
            let skipped = range.start.saturating_sub(piece.start);
            let kept = piece.bytes.min(end - piece.start);
            Slice::Source { source: piece.source, range: piece.at + skipped..piece.at + kept }
        }))
    }
}
