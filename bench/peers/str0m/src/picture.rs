//! As much of H.264 as tells one picture from another.

use std::hash::{DefaultHasher, Hash, Hasher};

/// The NAL units of a byte stream (ISO/IEC 14496-10 Annex B), without their start codes.
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, window)| *window == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    let ends: Vec<usize> = starts.iter().skip(1).map(|next| next - 3).chain([stream.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| {
        let unit = &stream[start..end];
        // A start code may be of four bytes, and zeros may follow a unit.
        &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
    })
}

const fn kind(unit: &[u8]) -> u8 {
    match unit {
        [first, ..] => *first & 0x1F,
        [] => 0,
    }
}

/// The access units of a file that has a delimiter (NAL unit type 9) before each.
pub fn access_units(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let place = |unit: &[u8]| unit.as_ptr() as usize - file.as_ptr() as usize;
    let mut starts: Vec<usize> =
        units(file).filter(|unit| kind(unit) == 9).map(|unit| place(unit) - 3).collect();
    starts.push(file.len());
    let pairs: Vec<_> = starts.windows(2).map(|pair| (pair[0], pair[1])).collect();
    pairs.into_iter().map(|(start, end)| &file[start..end])
}

/// Digests of the coded slices (types 1 to 5) of one access unit.
pub fn slices(unit: &[u8]) -> impl Iterator<Item = u64> {
    units(unit).filter(|unit| (1..=5).contains(&kind(unit))).map(|slice| {
        let mut hasher = DefaultHasher::new();
        slice.hash(&mut hasher);
        // What fits into a number of JSON.
        hasher.finish() >> 12
    })
}
