//! Fragments: a `moof` that says what is in the `mdat` behind it. The hot path: one call per part of a stream.

use bytes::{BufMut, Bytes};

use super::{
    Error,
    boxes::{put_box, put_full_box},
};

/// `tfhd` flags (§8.8.7): offsets count from the `moof`; defaults for duration and flags present.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
const DEFAULT_DURATION: u32 = 0x08;
const DEFAULT_FLAGS: u32 = 0x20;

/// `trun` flags (§8.8.8): what is present, for the run and for each sample.
const DATA_OFFSET: u32 = 0x01;
const FIRST_SAMPLE_FLAGS: u32 = 0x04;
const SAMPLE_DURATION: u32 = 0x100;
const SAMPLE_SIZE: u32 = 0x200;
const SAMPLE_FLAGS: u32 = 0x400;
const SAMPLE_COMPOSITION_OFFSET: u32 = 0x800;

/// Sample flags (§8.8.3.1): depends on no other sample.
const SYNC: u32 = 0x0200_0000;
/// Depends on others, and decoding cannot start here.
const NON_SYNC: u32 = 0x0101_0000;

/// One frame as a fragment carries it, in ticks of its track's [`super::timescale`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// From its decoding time to that of the next.
    pub duration: u32,
    /// From decoding to presentation; negative values are allowed.
    pub composition_offset: i32,
    /// Whether decoding can start here.
    pub keyframe: bool,
    /// The coded bytes.
    pub payload: Bytes,
}

/// Consecutive samples of one track.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The track id in the initialisation segment: 1 for the first.
    pub track_id: u32,
    /// Decoding time of the first sample.
    pub base_dts: u64,
    /// The samples; a run without any is left out.
    pub samples: &'a [Sample],
}

/// A `moof` and `mdat` of `runs`: first the heads of both, then every payload, shared.
///
/// # Errors
/// [`Error::FragmentTooLarge`] when the payloads exceed 2 GiB.
pub fn fragment(sequence_number: u32, runs: &[Run<'_>]) -> Result<Vec<Bytes>, Error> {
    let samples = || runs.iter().flat_map(|run| run.samples);
    let payload_len: u64 = samples().map(|sample| sample.payload.len() as u64).sum();
    let sample_count = samples().count();

    let mut head = Vec::with_capacity(64 + 96 * runs.len() + 16 * sample_count);
    let mut data_offsets = Vec::with_capacity(runs.len());
    put_box(&mut head, b"moof", |out| {
        put_full_box(out, b"mfhd", 0, 0, |out| out.put_u32(sequence_number));
        for run in runs.iter().filter(|run| !run.samples.is_empty()) {
            let offset_at = put_track_fragment(out, run);
            data_offsets.push((offset_at, run));
        }
    });
    let mdat_len = payload_len + 8;
    if head.len() as u64 + mdat_len > i32::MAX as u64 {
        return Err(Error::FragmentTooLarge(payload_len));
    }
    let mut data_offset = head.len() + 8;
    for (at, run) in data_offsets {
        head[at..at + 4].copy_from_slice(&(data_offset as u32).to_be_bytes());
        data_offset += run.samples.iter().map(|sample| sample.payload.len()).sum::<usize>();
    }
    head.put_u32(mdat_len as u32);
    head.put_slice(b"mdat");

    let mut slices = Vec::with_capacity(1 + sample_count);
    slices.push(head.into());
    slices.extend(samples().map(|sample| sample.payload.clone()));
    Ok(slices)
}

/// Appends a `traf` and tells where its data offset stands, to be filled in.
fn put_track_fragment(out: &mut Vec<u8>, run: &Run<'_>) -> usize {
    let shape = Shape::of(run.samples);
    let mut offset_at = 0;
    put_box(out, b"traf", |out| {
        let duration_flag = if shape.duration.is_some() { DEFAULT_DURATION } else { 0 };
        put_full_box(out, b"tfhd", 0, DEFAULT_BASE_IS_MOOF | DEFAULT_FLAGS | duration_flag, |out| {
            out.put_u32(run.track_id);
            if let Some(duration) = shape.duration {
                out.put_u32(duration);
            }
            out.put_u32(shape.default_flags);
        });
        put_full_box(out, b"tfdt", 1, 0, |out| out.put_u64(run.base_dts));
        // Version 1: composition offsets are signed.
        put_full_box(out, b"trun", 1, shape.run_flags(), |out| {
            out.put_u32(run.samples.len() as u32);
            offset_at = out.len();
            out.put_u32(0);
            if shape.flags == FlagsIn::First {
                out.put_u32(flags_of(&run.samples[0]));
            }
            for sample in run.samples {
                put_sample(out, sample, &shape);
            }
        });
    });
    offset_at
}

fn put_sample(out: &mut Vec<u8>, sample: &Sample, shape: &Shape) {
    if shape.duration.is_none() {
        out.put_u32(sample.duration);
    }
    out.put_u32(sample.payload.len() as u32);
    if shape.flags == FlagsIn::Each {
        out.put_u32(flags_of(sample));
    }
    if shape.reordered {
        out.put_i32(sample.composition_offset);
    }
}

const fn flags_of(sample: &Sample) -> u32 {
    if sample.keyframe { SYNC } else { NON_SYNC }
}

/// Where a run states its samples' flags: as its default, beside it for the first, or with every sample.
#[derive(PartialEq)]
enum FlagsIn {
    Default,
    First,
    Each,
}

/// What the samples of a run have in common, which is said once.
struct Shape {
    /// The duration of all of them, if it is the same.
    duration: Option<u32>,
    default_flags: u32,
    flags: FlagsIn,
    /// Whether any is shown at another time than it is decoded.
    reordered: bool,
}

impl Shape {
    fn of(samples: &[Sample]) -> Self {
        let (first, rest) =
            samples.split_first().map_or((None, samples), |(first, rest)| (Some(first), rest));
        let duration = first.map_or(0, |sample| sample.duration);
        let first_flags = first.map_or(SYNC, flags_of);
        let default_flags = rest.first().map_or(first_flags, flags_of);
        let flags = if rest.iter().any(|sample| flags_of(sample) != default_flags) {
            FlagsIn::Each
        } else if first_flags != default_flags {
            FlagsIn::First
        } else {
            FlagsIn::Default
        };
        Self {
            duration: rest.iter().all(|sample| sample.duration == duration).then_some(duration),
            default_flags,
            flags,
            reordered: samples.iter().any(|sample| sample.composition_offset != 0),
        }
    }

    const fn run_flags(&self) -> u32 {
        let mut flags = DATA_OFFSET | SAMPLE_SIZE;
        if self.duration.is_none() {
            flags |= SAMPLE_DURATION;
        }
        match self.flags {
            FlagsIn::Default => {}
            FlagsIn::First => flags |= FIRST_SAMPLE_FLAGS,
            FlagsIn::Each => flags |= SAMPLE_FLAGS,
        }
        if self.reordered {
            flags |= SAMPLE_COMPOSITION_OFFSET;
        }
        flags
    }
}
