//! What a segment says of itself: its parts, their times, and how far it is whole.
//!
//! A segment is a row of parts, each a `moof` and the `mdat` behind it; an initialisation segment says in which scale their times are. Only what stands in
//! front of samples is read, never the samples.

use bytes::{Buf, Bytes};

use crate::{
    Timescale,
    container::mp4::{Error, boxes, track},
};

/// Tracks of an initialisation segment that are looked at.
const MAX_TRACKS: usize = 16;
/// Samples of one run that are believed.
const MAX_SAMPLES: u32 = 1 << 16;

/// `tfhd` flags (§8.8.7): what is present.
const BASE_DATA_OFFSET: u32 = 0x01;
const DESCRIPTION: u32 = 0x02;
const DEFAULT_DURATION: u32 = 0x08;
const DEFAULT_SIZE: u32 = 0x10;
const DEFAULT_FLAGS: u32 = 0x20;
/// `trun` flags (§8.8.8): what is present.
const DATA_OFFSET: u32 = 0x01;
const FIRST_FLAGS: u32 = 0x04;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;
const SAMPLE_FLAGS: u32 = 0x400;
const SAMPLE_COMPOSITION: u32 = 0x800;
/// Sample flags (§8.8.3.1): decoding cannot start here.
const NON_SYNC: u32 = 0x1_0000;

/// A track as an initialisation segment tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitTrack {
    /// Its number in fragments.
    pub number: u32,
    /// The scale of its times.
    pub timescale: Timescale,
    /// Whether it is video.
    pub video: bool,
}

/// The tracks of an initialisation segment, in its order. The first is the one that durations are measured by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitInfo {
    /// The tracks, at most 16.
    pub tracks: Vec<InitTrack>,
}

impl InitInfo {
    /// Reads an initialisation segment (`ftyp`, `moov`).
    ///
    /// # Errors
    /// When it has no `moov`, or one without a track, or is cut short.
    pub fn parse(init: &Bytes) -> Result<Self, Error> {
        let moov = boxes::require(init, b"moov", "movie (moov)")?;
        let mut tracks = Vec::new();
        for child in boxes::children(moov) {
            let (name, trak) = child?;
            if name.0 != *b"trak" || tracks.len() == MAX_TRACKS {
                continue;
            }
            let mdia = boxes::require(&trak, b"mdia", "media (mdia)")?;
            tracks.push(InitTrack {
                number: track::number(&trak)?,
                timescale: track::timescale(&mdia)?,
                video: track::handler(&mdia)? == *b"vide",
            });
        }
        if tracks.is_empty() {
            return Err(Error::Missing("track in the initialisation segment"));
        }
        Ok(Self { tracks })
    }

    fn has_video(&self) -> bool {
        self.tracks.iter().any(|track| track.video)
    }
}

/// One part of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRecord {
    /// Its bytes, `moof` and `mdat`.
    pub bytes: u32,
    /// When its first run begins to be decoded, in nanoseconds of the media's own time.
    pub start_ns: u64,
    /// Whether a decoder can start with it.
    pub independent: bool,
}

/// What is in the bytes of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Its whole parts, in their order.
    pub parts: Vec<PartRecord>,
    /// The bytes of those parts: what is behind is cut off, or no part.
    pub whole_bytes: u64,
    /// How long it is, in nanoseconds: by its first track if that has samples here, else by the longest of the others.
    pub duration_ns: u64,
    /// For each track that has samples here, by its place in the initialisation segment: first and last decoding time, in ticks.
    pub spans: Vec<Option<(u64, u64)>>,
}

impl Scan {
    /// When decoding begins, in nanoseconds of the media's own time.
    pub fn start_ns(&self) -> u64 {
        self.parts.first().map_or(0, |part| part.start_ns)
    }

    /// Adds what `body`, which is one part, says of itself.
    ///
    /// # Errors
    /// When it is no whole part: a `moof` and an `mdat` and nothing else.
    pub fn add(&mut self, body: &Bytes, init: &InitInfo) -> Result<PartRecord, Error> {
        let mut rest = body.clone();
        let part = self.take_part(&mut rest, init)?;
        if !rest.is_empty() {
            return Err(Error::Missing("end of a part where it should be"));
        }
        Ok(part)
    }

    /// Takes the next part off `bytes`. Nothing changes on an error.
    fn take_part(&mut self, bytes: &mut Bytes, init: &InitInfo) -> Result<PartRecord, Error> {
        let mut rest = bytes.clone();
        let moof = take_box(&mut rest, *b"moof", "fragment (moof)")?;
        take_box(&mut rest, *b"mdat", "media data (mdat)")?;
        let runs = runs(&moof, init)?;
        let first = runs.first().ok_or(Error::Missing("run of samples in a fragment"))?;
        let timescale = init.tracks[first.track].timescale;
        let part = PartRecord {
            bytes: u32::try_from(bytes.len() - rest.len()).map_err(|_| Error::Missing("sane part size"))?,
            start_ns: to_ns(first.start, timescale),
            independent: first.keyframe && (init.tracks[first.track].video || !init.has_video()),
        };
        self.spans.resize(init.tracks.len(), None);
        for run in &runs {
            let span = self.spans[run.track].get_or_insert((run.start, run.start));
            span.1 = span.1.max(run.end);
        }
        *bytes = rest;
        self.parts.push(part);
        self.whole_bytes += u64::from(part.bytes);
        self.duration_ns = self.measure(init);
        Ok(part)
    }

    fn measure(&self, init: &InitInfo) -> u64 {
        let spans = self.spans.iter().zip(&init.tracks).filter_map(|(span, track)| {
            let (start, end) = (*span)?;
            Some(to_ns(end, track.timescale).saturating_sub(to_ns(start, track.timescale)))
        });
        match self.spans.first() {
            Some(Some(_)) => spans.take(1).sum(),
            _ => spans.max().unwrap_or(0),
        }
    }
}

/// Reads the parts of `bytes` as far as they are whole. What ended that, if it was not the end, is the error beside it.
pub fn scan(bytes: &Bytes, init: &InitInfo) -> (Scan, Option<Error>) {
    let (mut scan, mut rest) = (Scan::default(), bytes.clone());
    while !rest.is_empty() {
        if let Err(error) = scan.take_part(&mut rest, init) {
            return (scan, Some(error));
        }
    }
    (scan, None)
}

/// Consecutive samples of one track.
struct Run {
    /// The track's place in the initialisation segment.
    track: usize,
    start: u64,
    end: u64,
    /// Whether the first can be decoded alone.
    keyframe: bool,
}

fn take_box(rest: &mut Bytes, name: [u8; 4], what: &'static str) -> Result<Bytes, Error> {
    let header = boxes::Header::parse(rest, rest.len() as u64)?;
    // A size of 0, "to the end of the file", is nothing that is written here, and could not be told from one cut short.
    if header.name.0 != name || rest[..4] == [0; 4] {
        return Err(Error::Missing(what));
    }
    boxes::take(rest, header.header_bytes)?;
    boxes::take(rest, header.body_bytes)
}

fn runs(moof: &Bytes, init: &InitInfo) -> Result<Vec<Run>, Error> {
    let mut runs = Vec::new();
    for child in boxes::children(moof.clone()) {
        let (name, traf) = child?;
        if name.0 == *b"traf" && runs.len() < MAX_TRACKS {
            runs.push(run(&traf, init)?);
        }
    }
    Ok(runs)
}

/// The samples of a `traf` body.
fn run(traf: &Bytes, init: &InitInfo) -> Result<Run, Error> {
    let mut tfhd = boxes::require(traf, b"tfhd", "track fragment header (tfhd)")?;
    let (_, flags) = boxes::version_and_flags(&mut tfhd)?;
    let number = tfhd.try_get_u32()?;
    let track = init.tracks.iter().position(|track| track.number == number);
    let track = track.ok_or(Error::Missing("track that a fragment is of"))?;
    boxes::take(&mut tfhd, if flags & BASE_DATA_OFFSET == 0 { 0 } else { 8 })?;
    let mut field = |flag| if flags & flag == 0 { Ok(0) } else { tfhd.try_get_u32() };
    let (_, duration) = (field(DESCRIPTION)?, field(DEFAULT_DURATION)?);
    let (_, sample_flags) = (field(DEFAULT_SIZE)?, field(DEFAULT_FLAGS)?);
    let mut tfdt = boxes::require(traf, b"tfdt", "decoding time (tfdt)")?;
    let (version, _) = boxes::version_and_flags(&mut tfdt)?;
    let start = boxes::sized(&mut tfdt, version)?;
    let trun = boxes::require(traf, b"trun", "run of samples (trun)")?;
    let (ticks, flags) = samples(trun, duration, sample_flags)?;
    Ok(Run { track, start, end: start.saturating_add(ticks), keyframe: flags & NON_SYNC == 0 })
}

/// How many ticks the samples of a `trun` body last, and the flags of the first.
fn samples(mut trun: Bytes, duration: u32, sample_flags: u32) -> Result<(u64, u32), Error> {
    let (_, flags) = boxes::version_and_flags(&mut trun)?;
    let count = trun.try_get_u32()?;
    if count > MAX_SAMPLES {
        let (value, limit) = (count.into(), MAX_SAMPLES.into());
        return Err(Error::Limit { what: "samples in a run", value, limit });
    }
    boxes::take(&mut trun, if flags & DATA_OFFSET == 0 { 0 } else { 4 })?;
    let mut first = if flags & FIRST_FLAGS == 0 { None } else { Some(trun.try_get_u32()?) };
    let mut ticks = 0_u64;
    for _ in 0..count {
        let mut field = |flag, default| if flags & flag == 0 { Ok(default) } else { trun.try_get_u32() };
        ticks += u64::from(field(SAMPLE_DURATION, duration)?);
        field(SAMPLE_SIZE, 0)?;
        let own = field(SAMPLE_FLAGS, sample_flags)?;
        field(SAMPLE_COMPOSITION, 0)?;
        first.get_or_insert(own);
    }
    Ok((ticks, first.unwrap_or(sample_flags)))
}

fn to_ns(ticks: u64, timescale: Timescale) -> u64 {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.hz());
    u64::try_from(ns).unwrap_or(u64::MAX)
}
