//! One track of a movie while it is gathered, and the part of it that is shown.

use bytes::Bytes;

use super::super::{table, track::TrackReader};
use crate::{Timescale, Timestamp, TrackKind};

/// Among how many samples in decoding order the one that is shown first, or last, is looked for. Codecs reorder 16 pictures at most.
const REORDERED: usize = 64;

/// A track's samples, and where they lie.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) kind: TrackKind,
    timescale: Timescale,
    dimensions: (u32, u32),
    /// The sample descriptions so far, and the number of the one that holds, from 1.
    entries: Vec<Bytes>,
    entry: u32,
    samples: Vec<Sample>,
    chunks: Vec<Chunk>,
    /// Where the last sample ends, in ticks.
    end: i64,
}

/// One frame, in ticks of its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    dts: i64,
    /// Presentation minus decoding time.
    composition: i32,
    bytes: u32,
    keyframe: bool,
}

/// Where a fragment is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: u32,
    pub(super) fragment: u32,
}

/// Consecutive samples that lie in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) place: Place,
    pub(super) at: u64,
    pub(super) bytes: u64,
    /// The first of its samples, and how many there are.
    first: usize,
    pub(super) samples: u32,
    /// The number of their sample description.
    pub(super) entry: u32,
    /// Where it begins in the media of the movie.
    pub(super) start: u64,
}

/// What of a lane is in a movie.
pub(super) struct Shown<'a> {
    pub(super) lane: &'a Lane,
    pub(super) samples: &'a [Sample],
    pub(super) chunks: Vec<Chunk>,
    /// Where the last sample ends, in ticks.
    end: i64,
    /// When it begins to be shown, after the movie has begun, in its ticks.
    pub(super) delay: u64,
    /// What of its own time is shown first, in ticks after its first sample is decoded.
    pub(super) media_time: u64,
    /// How long it is shown, in ticks.
    pub(super) duration: u64,
    /// What is added to compositions so that none is negative.
    pub(super) shift: i32,
}

impl Lane {
    pub(super) fn new(reader: &TrackReader) -> Self {
        let params = &reader.description.params;
        Self {
            kind: reader.kind(),
            timescale: reader.timescale,
            dimensions: params.video().map_or((0, 0), |video| (video.width, video.height)),
            entries: Vec::new(),
            entry: 0,
            samples: Vec::new(),
            chunks: Vec::new(),
            end: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn dimensions(&self) -> (u32, u32) {
        self.dimensions
    }

    pub(super) fn timescale(&self) -> Timescale {
        self.timescale
    }

    pub(super) fn entries(&self) -> &[Bytes] {
        &self.entries
    }

    /// Where its last sample ends.
    pub(super) fn end(&self) -> Timestamp {
        Timestamp::new(self.end, self.timescale)
    }

    /// Samples from here on are as `entry` says.
    pub(super) fn describe(&mut self, entry: &Bytes) {
        let known = self.entries.iter().position(|known| known == entry);
        let at = known.unwrap_or_else(|| {
            self.entries.push(entry.clone());
            self.entries.len() - 1
        });
        self.entry = at as u32 + 1;
    }

    /// Takes the samples of a fragment that `reader` has read.
    pub(super) fn take(&mut self, reader: &mut TrackReader, place: Place, shift: Option<Timestamp>) {
        let (from, into) = (reader.timescale, self.timescale);
        let shift = shift.map_or(0, |shift| shift.rescale(into).ticks());
        let rescale = |ticks| Timestamp::new(ticks, from).rescale(into).ticks().saturating_add(shift);
        let end = rescale(reader.next_dts);
        let mut chunk: Option<Chunk> = None;
        for table::Sample { offset, bytes, dts, composition, keyframe } in reader.take_pending() {
            if bytes == 0 {
                continue;
            }
            // Time does not go back, whatever a fragment says.
            let earliest = self.samples.last().map_or(i64::MIN, |last| last.dts);
            let dts = rescale(dts).max(earliest);
            let composition = Timestamp::new(composition, from).rescale(into).ticks();
            let composition = composition.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
            match &mut chunk {
                Some(chunk) if chunk.at + chunk.bytes == offset => {
                    chunk.bytes += u64::from(bytes);
                    chunk.samples += 1;
                }
                _ => {
                    self.chunks.extend(chunk.take());
                    let (first, entry) = (self.samples.len(), self.entry);
                    let bytes = bytes.into();
                    chunk = Some(Chunk { place, at: offset, bytes, first, samples: 1, entry, start: 0 });
                }
            }
            self.samples.push(Sample { dts, composition, bytes, keyframe });
        }
        self.chunks.extend(chunk);
        self.end = self.end.max(end);
    }

    /// When its first picture or sound is shown.
    pub(super) fn first_shown(&self) -> Option<Timestamp> {
        // Of pictures that are reordered the first to be shown is among the first to be decoded.
        let first = self.samples.iter().take(REORDERED).map(Sample::pts).min()?;
        Some(Timestamp::new(first, self.timescale))
    }

    /// What of it is in a movie that begins at `zero` and ends at `to`; `None` if nothing is.
    pub(super) fn show(&self, zero: Timestamp, to: Option<Timestamp>) -> Option<Shown<'_>> {
        let (zero, to) =
            (zero.rescale(self.timescale).ticks(), to.map(|to| to.rescale(self.timescale).ticks()));
        let first = self.starts_for(zero);
        let until = match to {
            // Pictures in between are needed by others, even where they are shown later.
            Some(to) => self.samples.iter().rposition(|sample| sample.pts() < to).map_or(0, |last| last + 1),
            None => self.samples.len(),
        };
        let samples = self.samples.get(first..until).filter(|samples| !samples.is_empty())?;
        let end = self.samples.get(until).map_or(self.end, |next| next.dts);
        let begins = samples.iter().take(REORDERED).map(Sample::pts).min()?.max(zero);
        // The picture that is shown last lasts as long as the one that is decoded last.
        let lasts = end.saturating_sub(samples.last()?.dts);
        let ends = samples.iter().rev().take(REORDERED).map(Sample::pts).max()?.saturating_add(lasts);
        let ends = to.map_or(ends, |to| ends.min(to));
        if ends <= begins {
            return None;
        }
        let shift = samples.iter().map(|sample| sample.composition.saturating_neg()).max()?.max(0);
        let media_time = begins.saturating_sub(samples[0].dts).saturating_add(shift.into());
        Some(Shown {
            lane: self,
            samples,
            chunks: self.chunks_of(first, until),
            end,
            delay: begins.abs_diff(zero),
            media_time: u64::try_from(media_time).unwrap_or(0),
            duration: ends.abs_diff(begins),
            shift,
        })
    }

    /// The sample from which on decoding shows what is due at `at`.
    fn starts_for(&self, at: i64) -> usize {
        let begun = self.samples.iter().rposition(|sample| sample.keyframe && sample.pts() <= at);
        begun.or_else(|| self.samples.iter().position(|sample| sample.keyframe)).unwrap_or(0)
    }

    /// The chunks of samples `first..until`, cut where these begin and end.
    fn chunks_of(&self, first: usize, until: usize) -> Vec<Chunk> {
        let from = self.chunks.partition_point(|chunk| chunk.first + chunk.samples as usize <= first);
        let chunks = self.chunks[from..].iter().take_while(|chunk| chunk.first < until);
        let cut = chunks.map(|chunk| {
            let (begins, ends) = (chunk.first.max(first), (chunk.first + chunk.samples as usize).min(until));
            let bytes =
                |samples: &[Sample]| samples.iter().map(|sample| u64::from(sample.bytes)).sum::<u64>();
            Chunk {
                at: chunk.at + bytes(&self.samples[chunk.first..begins]),
                bytes: bytes(&self.samples[begins..ends]),
                first: begins,
                samples: (ends - begins) as u32,
                ..*chunk
            }
        });
        cut.collect()
    }
}

impl Sample {
    fn pts(&self) -> i64 {
        self.dts.saturating_add(self.composition.into())
    }

    pub(super) fn bytes(&self) -> u32 {
        self.bytes
    }

    pub(super) fn composition(&self) -> i32 {
        self.composition
    }

    pub(super) fn is_keyframe(&self) -> bool {
        self.keyframe
    }
}

impl Shown<'_> {
    /// How long each sample lasts until the next is decoded, in ticks.
    pub(super) fn durations(&self) -> impl Iterator<Item = u32> {
        let next = self.samples.iter().skip(1).map(|next| next.dts).chain([self.end]);
        let durations = self.samples.iter().zip(next).map(|(sample, next)| next.saturating_sub(sample.dts));
        durations.map(|ticks| u32::try_from(ticks.max(0)).unwrap_or(u32::MAX))
    }

    /// How long all of its samples last, in ticks.
    pub(super) fn media_duration(&self) -> u64 {
        self.durations().map(u64::from).sum()
    }
}
