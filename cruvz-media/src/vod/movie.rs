//! A recording, or a part of it, as one progressive MP4: the heads of its parts are read, and its media is left where it is.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::span::Found;
use crate::{
    Timescale, Timestamp,
    container::mp4::{
        Error,
        movie::{Builder, Cut, Movie},
    },
    segment::{Index, Join, MediaName, SegmentRecord},
};

/// Bytes of a part that are read at first: more than the `moof` of a fifth of a second has.
const HEAD_BYTES: u64 = 4_096;

/// Makes a [`Movie`] of a recording's files, which somebody else reads: ask what it [wants](Self::wants), and [give](Self::take) it that.
///
/// The numbers of the movie's sources are places in [`Self::files`].
#[derive(Debug)]
pub struct Assembly {
    steps: VecDeque<Step>,
    files: Vec<MediaName>,
    builder: Builder,
    cut: Cut,
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// Which file.
    pub file: MediaName,
    /// Its first byte that is wanted, and the one behind the last; all of it where there are fewer, and where this is `None`.
    pub range: Option<(u64, u64)>,
}

/// What is read next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Init(MediaName),
    Part {
        /// The place of its file.
        source: u32,
        at: u64,
        part_bytes: u64,
        head_bytes: u64,
        /// Whether its source may be another than that of the part before.
        joins: bool,
        /// How far into its segment the movie begins, if it does so in the midst of this one; and ends.
        begins: Option<Offset>,
        ends: Option<Offset>,
    },
}

/// How far into a segment something is, and when that begins, in nanoseconds of the media's own time.
#[derive(Clone, Copy, Debug)]
struct Offset {
    start_ns: u64,
    offset_ns: u64,
}

impl Offset {
    /// The moment in the time of a movie whose present source comes later by `shift`.
    fn in_movie(self, shift: Timestamp) -> Timestamp {
        let ns = self.start_ns.saturating_add(self.offset_ns);
        let us = i64::try_from(ns / 1_000).unwrap_or(i64::MAX);
        Timestamp::new(us.saturating_add(shift.as_micros()), Timescale::MICROS)
    }
}

impl Assembly {
    /// The movie of what was `found` in `index`.
    ///
    /// # Errors
    /// [`Error::Missing`] when the index does not name an initialisation segment.
    pub fn new(index: &Index, found: &Found) -> Result<Self, Error> {
        let (mut steps, mut files) = (VecDeque::new(), Vec::new());
        let mut init = None;
        for at in found.segments.clone() {
            let segment = &index.segments[at];
            if init != Some(segment.name.init) {
                let name = index.init(segment.name.init).ok_or(Error::Missing("initialisation segment"))?;
                steps.push_back(Step::Init(MediaName::Init(name)));
                init = Some(segment.name.init);
            }
            let source = files.len() as u32;
            files.push(MediaName::Segment(segment.name));
            let offset = |(there, offset_ns)| {
                (there == at).then_some(Offset { start_ns: segment.start_ns, offset_ns })
            };
            let begins = offset(found.from).filter(|_| found.from != (0, 0));
            let ends = offset(found.to).filter(|_| found.to != end(index));
            put_parts(&mut steps, segment, source, begins, ends);
        }
        Ok(Self { steps, files, builder: Builder::default(), cut: Cut::default() })
    }

    /// The files that the movie's media lies in.
    pub fn files(&self) -> &[MediaName] {
        &self.files
    }

    /// What has to be read next; nothing once all is there.
    pub fn wants(&self) -> Option<Want> {
        Some(match *self.steps.front()? {
            Step::Init(file) => Want { file, range: None },
            Step::Part { source, at, part_bytes, head_bytes, .. } => {
                let range = Some((at, at + head_bytes.min(part_bytes)));
                Want { file: self.files[source as usize], range }
            }
        })
    }

    /// Takes what was wanted.
    ///
    /// # Errors
    /// [`Error`] when it is not what the index says it is.
    pub fn take(&mut self, bytes: &Bytes) -> Result<(), Error> {
        match self.steps.front_mut() {
            None => return Ok(()),
            Some(Step::Init(_)) => self.builder.init(bytes)?,
            Some(Step::Part { source, at, part_bytes, head_bytes, joins, begins, ends }) => {
                let moof_bytes = u64::from((&bytes[..]).try_get_u32()?);
                if moof_bytes > *part_bytes {
                    return Err(Error::Truncated { requested: moof_bytes, available: *part_bytes });
                }
                if moof_bytes > bytes.len() as u64 && moof_bytes > *head_bytes {
                    *head_bytes = moof_bytes;
                    return Ok(());
                }
                let moof = bytes.slice(..bytes.len().min(moof_bytes as usize));
                if *joins {
                    self.builder.discontinuity();
                }
                self.builder.fragment(*source, *at, &moof)?;
                let shift = self.builder.shift();
                let moment = |offset: &mut Option<Offset>| offset.take().map(|offset| offset.in_movie(shift));
                let (from, to) = (moment(begins), moment(ends));
                self.cut = Cut { from: self.cut.from.or(from), to: self.cut.to.or(to) };
            }
        }
        self.steps.pop_front();
        Ok(())
    }

    /// The movie, once nothing is wanted any more.
    ///
    /// # Errors
    /// [`Error::Missing`] when it would have no frame.
    pub fn finish(self) -> Result<Movie, Error> {
        self.builder.build(self.cut)
    }
}

/// The end of a recording, as [`Found::to`] says it.
fn end(index: &Index) -> (usize, u64) {
    let last = index.segments.len().saturating_sub(1);
    (last, index.segments.get(last).map_or(0, |segment| segment.duration_ns))
}

fn put_parts(
    steps: &mut VecDeque<Step>,
    segment: &SegmentRecord,
    source: u32,
    begins: Option<Offset>,
    ends: Option<Offset>,
) {
    let mut at = 0;
    for (number, part) in segment.parts.iter().enumerate() {
        let part_bytes = part.bytes.into();
        let first = number == 0;
        steps.push_back(Step::Part {
            source,
            at,
            part_bytes,
            head_bytes: HEAD_BYTES,
            joins: first && segment.name.join != Join::Continues,
            begins: begins.filter(|_| first),
            ends: ends.filter(|_| first),
        });
        at += part_bytes;
    }
}
