//! One track of a file: what its frames are, and the walk over where they lie.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::{
    Error,
    boxes::{self, FourCc},
    fragment::Defaults,
    sample_entry::{self, Description},
    table::{Cursor, Sample, Table},
};
use crate::{Timescale, Timestamp, TrackKind};

/// A track that can be read.
#[derive(Debug)]
pub(super) struct TrackReader {
    /// Its number in the file.
    pub(super) number: u32,
    pub(super) timescale: Timescale,
    pub(super) description: Description,
    /// What a fragment need not say.
    pub(super) defaults: Defaults,
    /// Ticks by which the edit list moves the track.
    edit: i64,
    /// Ticks by which decoding is brought forward so that no frame is presented before it is decoded.
    shift: i64,
    table: Table,
    cursor: Cursor,
    /// The next sample, if it was looked at.
    head: Option<Sample>,
    /// Samples of the fragments read so far.
    pending: VecDeque<Sample>,
    /// Where a fragment without a time of its own begins.
    pub(super) next_dts: i64,
}

impl TrackReader {
    /// Reads a `trak` body; `None` for a track that is no audio or video of a known codec.
    pub(super) fn parse(trak: &Bytes, movie_timescale: u32) -> Result<Option<Self>, Error> {
        let mdia = boxes::require(trak, b"mdia", "media (mdia)")?;
        let number = number(trak)?;
        let handler = handler(&mdia)?;
        let stbl = sample_table(&mdia)?;
        let stsd = boxes::require(&stbl, b"stsd", "sample descriptions (stsd)")?;
        let kind = match &handler {
            b"vide" => TrackKind::Video,
            b"soun" => TrackKind::Audio,
            _ => return Ok(None),
        };
        let Some(description) =
            sample_entry::parse(&stsd, number)?.filter(|it| it.params.codec.kind() == kind)
        else {
            return Ok(None);
        };
        let timescale = timescale(&mdia)?;
        let table = Table::parse(&stbl)?;
        Ok(Some(Self {
            number,
            timescale,
            description,
            defaults: Defaults::default(),
            edit: edit(trak, timescale, movie_timescale)?,
            shift: table.composition_shift(),
            next_dts: i64::try_from(table.duration()).unwrap_or(i64::MAX),
            table,
            cursor: Cursor::default(),
            head: None,
            pending: VecDeque::new(),
        }))
    }

    pub(super) const fn kind(&self) -> TrackKind {
        self.description.params.codec.kind()
    }

    /// Where the sample table ends, in ticks after the edit list; fragments come on top.
    pub(super) fn table_end(&self) -> i64 {
        i64::try_from(self.table.duration()).unwrap_or(i64::MAX).saturating_add(self.edit)
    }

    /// The next sample, if its place is known yet. Its times are as the edit list moves them.
    pub(super) fn peek(&mut self) -> Option<Sample> {
        if self.head.is_none() {
            let sample = self.cursor.next(&self.table).or_else(|| self.pending.pop_front())?;
            self.head = Some(Sample {
                dts: sample.dts.saturating_add(self.edit).saturating_sub(self.shift),
                composition: sample.composition + self.shift,
                ..sample
            });
        }
        self.head
    }

    /// Passes over the sample that [`Self::peek`] showed.
    pub(super) const fn advance(&mut self) {
        self.head = None;
    }

    /// Appends a fragment's sample.
    pub(super) fn push(&mut self, sample: Sample) {
        self.shift = self.shift.max(-sample.composition);
        self.pending.push_back(sample);
    }

    /// Takes the samples that fragments have told of, as they stand there.
    pub(super) fn take_pending(&mut self) -> impl Iterator<Item = Sample> {
        self.pending.drain(..)
    }

    /// The decoding time of the first of them, as it stands there.
    pub(super) fn pending_from(&self) -> Option<Timestamp> {
        self.pending.front().map(|sample| Timestamp::new(sample.dts, self.timescale))
    }

    /// Samples that fragments have told of and nobody has read.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn rewind(&mut self) {
        self.cursor = Cursor::default();
        self.head = None;
        self.pending.clear();
        self.next_dts = i64::try_from(self.table.duration()).unwrap_or(i64::MAX);
    }
}

fn sample_table(mdia: &Bytes) -> Result<Bytes, Error> {
    let minf = boxes::require(mdia, b"minf", "media information (minf)")?;
    boxes::require(&minf, b"stbl", "sample table (stbl)")
}

/// The first sample description of a `trak` body: its code and its body.
pub(super) fn sample_entry(trak: &Bytes) -> Result<(FourCc, Bytes), Error> {
    let mdia = boxes::require(trak, b"mdia", "media (mdia)")?;
    let mut stsd = boxes::require(&sample_table(&mdia)?, b"stsd", "sample descriptions (stsd)")?;
    boxes::take(&mut stsd, 8)?; // version, flags, count
    boxes::children(stsd).next().ok_or(Error::Missing("sample description"))?
}

/// The track's number, from its header (tkhd, ISO/IEC 14496-12 §8.3.2).
pub(crate) fn number(trak: &Bytes) -> Result<u32, Error> {
    let mut tkhd = boxes::require(trak, b"tkhd", "track header (tkhd)")?;
    let (version, _) = boxes::version_and_flags(&mut tkhd)?;
    boxes::take(&mut tkhd, if version == 0 { 8 } else { 16 })?; // created, modified
    Ok(tkhd.try_get_u32()?)
}

/// What kind of track it says to be (hdlr, §8.4.3).
pub(crate) fn handler(mdia: &Bytes) -> Result<[u8; 4], Error> {
    let mut hdlr = boxes::require(mdia, b"hdlr", "handler (hdlr)")?;
    boxes::take(&mut hdlr, 8)?;
    let mut handler = [0; 4];
    hdlr.try_copy_to_slice(&mut handler)?;
    Ok(handler)
}

/// Ticks per second (mdhd, §8.4.2).
pub(crate) fn timescale(mdia: &Bytes) -> Result<Timescale, Error> {
    let mut mdhd = boxes::require(mdia, b"mdhd", "media header (mdhd)")?;
    let (version, _) = boxes::version_and_flags(&mut mdhd)?;
    boxes::take(&mut mdhd, if version == 0 { 8 } else { 16 })?;
    Timescale::new(mdhd.try_get_u32()?).ok_or(Error::Missing("timescale"))
}

/// By how many ticks the edit list (elst, §8.6.6) moves the track: empty edits delay it, and the first other edit
/// says which moment of the media comes first. What lies before that moment comes before zero and is played as well:
/// a live viewer cannot be told to decode without showing. Later edits are not applied.
fn edit(trak: &Bytes, timescale: Timescale, movie_timescale: u32) -> Result<i64, Error> {
    let Some(edts) = boxes::find(trak, b"edts")? else { return Ok(0) };
    let Some(mut elst) = boxes::find(&edts, b"elst")? else { return Ok(0) };
    let (version, _) = boxes::version_and_flags(&mut elst)?;
    let mut delay = 0_u64;
    for _ in 0..elst.try_get_u32()? {
        let duration = boxes::sized(&mut elst, version)?;
        let media_time = match version {
            0 => i64::from(elst.try_get_i32()?),
            _ => elst.try_get_i64()?,
        };
        elst.try_get_u32()?; // rate
        if media_time >= 0 {
            let movie_hz = u128::from(movie_timescale.max(1));
            let delay = (u128::from(delay) * u128::from(timescale.hz()) + movie_hz / 2) / movie_hz;
            let delay = i64::try_from(delay).map_err(|_| Error::Time(u64::MAX))?;
            return Ok(delay.saturating_sub(media_time));
        }
        delay = delay.saturating_add(duration);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `trak` with an edit list of version 0 or 1, of (duration, media time).
    fn trak(version: u8, edits: &[(u32, i32)]) -> Bytes {
        let mut elst = vec![version, 0, 0, 0];
        elst.extend((edits.len() as u32).to_be_bytes());
        for &(duration, media_time) in edits {
            if version == 0 {
                elst.extend(duration.to_be_bytes());
                elst.extend(media_time.to_be_bytes());
            } else {
                elst.extend(u64::from(duration).to_be_bytes());
                elst.extend(i64::from(media_time).to_be_bytes());
            }
            elst.extend([0, 1, 0, 0]);
        }
        let boxed =
            |name: &[u8; 4], body: &[u8]| [&(8 + body.len() as u32).to_be_bytes()[..], name, body].concat();
        boxed(b"edts", &boxed(b"elst", &elst)).into()
    }

    #[test]
    fn edits_delay_and_shift_a_track() {
        let edit = |edits: &[(u32, i32)]| {
            [0, 1].map(|version| edit(&trak(version, edits), Timescale::MPEG, 600).unwrap())
        };
        assert_eq!(edit(&[(6_000, 1_024)]), [-1_024; 2]);
        assert_eq!(edit(&[(300, -1), (6_000, 0)]), [45_000; 2]);
        assert_eq!(edit(&[(300, -1), (300, -1), (6_000, 3_000), (1, 9)]), [87_000; 2]);
        assert_eq!(edit(&[(300, -1)]), [0; 2], "no media at all");
        assert_eq!(edit(&[]), [0; 2]);
    }

    #[test]
    fn an_edit_list_that_claims_more_than_it_has_is_refused() {
        let mut cut = trak(0, &[(300, -1), (6_000, 0)]).to_vec();
        cut.truncate(cut.len() - 12);
        let length = cut.len() as u32;
        cut[..4].copy_from_slice(&length.to_be_bytes());
        cut[8..12].copy_from_slice(&(length - 8).to_be_bytes());
        assert!(matches!(edit(&cut.into(), Timescale::MPEG, 600), Err(Error::Truncated { .. })));
    }
}
