//! The sample table (ISO/IEC 14496-12 §8.6 and §8.7): where each frame lies and when it is due, walked as it stands
//! in the file.

use bytes::{Buf, Bytes};

use super::{Error, boxes};

/// One frame's place in the file and in time, in ticks of its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) offset: u64,
    pub(super) bytes: u32,
    pub(super) dts: i64,
    /// Presentation minus decoding time.
    pub(super) composition: i64,
    pub(super) keyframe: bool,
}

/// The boxes of an `stbl` that place samples.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// stts: count, delta.
    times: Array,
    /// ctts: count, offset.
    compositions: Option<Array>,
    /// stss: sample numbers from 1, rising. Absent: every sample is a keyframe.
    keyframes: Option<Array>,
    /// stsc: first chunk from 1, samples per chunk, sample description.
    runs: Array,
    sizes: Sizes,
    /// stco or co64.
    chunks: Array,
    /// stsz or stz2's count.
    samples: u32,
}

/// A table of big-endian words, `columns` to a row.
#[derive(Clone, Debug)]
struct Array {
    rows: Bytes,
    columns: usize,
    word_bytes: usize,
}

#[derive(Clone, Debug)]
enum Sizes {
    Constant(u32),
    Each(Array),
    /// Two in a byte (stz2).
    Nibbles(Bytes),
}

impl Array {
    /// A full box with a count and that many rows.
    fn parse(mut data: Bytes, columns: usize, word_bytes: usize) -> Result<Self, Error> {
        boxes::version_and_flags(&mut data)?;
        let rows = u64::from(data.try_get_u32()?);
        Self::rows(&mut data, rows, columns, word_bytes)
    }

    fn rows(data: &mut Bytes, rows: u64, columns: usize, word_bytes: usize) -> Result<Self, Error> {
        let rows = boxes::take(data, rows * (columns * word_bytes) as u64)?;
        Ok(Self { rows, columns, word_bytes })
    }

    fn len(&self) -> usize {
        self.rows.len() / (self.columns * self.word_bytes)
    }

    fn get(&self, row: usize, column: usize) -> Option<u64> {
        let at = row.checked_mul(self.columns)?.checked_add(column)?.checked_mul(self.word_bytes)?;
        let word = self.rows.get(at..at.checked_add(self.word_bytes)?)?;
        Some(word.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)))
    }
}

impl Table {
    /// Reads an `stbl` body.
    pub(super) fn parse(stbl: &Bytes) -> Result<Self, Error> {
        let optional =
            |name, columns| boxes::find(stbl, name)?.map(|body| Array::parse(body, columns, 4)).transpose();
        let (sizes, samples) = Self::sizes(stbl)?;
        let chunks = match boxes::find(stbl, b"stco")? {
            Some(body) => Array::parse(body, 1, 4)?,
            None => Array::parse(boxes::require(stbl, b"co64", "chunk offsets (stco, co64)")?, 1, 8)?,
        };
        let runs = Array::parse(boxes::require(stbl, b"stsc", "sample-to-chunk table (stsc)")?, 3, 4)?;
        if (0..runs.len()).any(|row| runs.get(row, 2).is_some_and(|description| description > 1)) {
            return Err(Error::Unsupported("several sample descriptions in one track"));
        }
        Ok(Self {
            times: Array::parse(boxes::require(stbl, b"stts", "decoding times (stts)")?, 2, 4)?,
            compositions: optional(b"ctts", 2)?,
            keyframes: optional(b"stss", 1)?,
            runs,
            sizes,
            chunks,
            samples,
        })
    }

    fn sizes(stbl: &Bytes) -> Result<(Sizes, u32), Error> {
        if let Some(mut stsz) = boxes::find(stbl, b"stsz")? {
            boxes::version_and_flags(&mut stsz)?;
            let (constant, samples) = (stsz.try_get_u32()?, stsz.try_get_u32()?);
            let sizes = match constant {
                0 => Sizes::Each(Array::rows(&mut stsz, samples.into(), 1, 4)?),
                constant => Sizes::Constant(constant),
            };
            return Ok((sizes, samples));
        }
        let mut stz2 = boxes::require(stbl, b"stz2", "sample sizes (stsz, stz2)")?;
        boxes::version_and_flags(&mut stz2)?;
        let (bits, samples) = (stz2.try_get_u32()? & 0xff, stz2.try_get_u32()?);
        let sizes = match bits {
            4 => Sizes::Nibbles(boxes::take(&mut stz2, u64::from(samples).div_ceil(2))?),
            8 | 16 => Sizes::Each(Array::rows(&mut stz2, samples.into(), 1, bits as usize / 8)?),
            _ => return Err(Error::Unsupported("sample sizes of that many bits")),
        };
        Ok((sizes, samples))
    }

    /// The sum of all durations: where the track ends, in ticks.
    pub(super) fn duration(&self) -> u64 {
        let row = |row| Some((self.times.get(row, 0)?, self.times.get(row, 1)?));
        (0..self.times.len()).filter_map(row).fold(0, |sum, (count, delta)| sum.saturating_add(count * delta))
    }

    /// How far presentation comes before decoding at most, where offsets are negative (ctts version 1).
    pub(super) fn composition_shift(&self) -> i64 {
        let offsets =
            self.compositions.iter().flat_map(|table| (0..table.len()).filter_map(|row| table.get(row, 1)));
        offsets.map(|offset| -i64::from(offset as u32 as i32)).fold(0, i64::max)
    }

    fn size(&self, sample: u32) -> Option<u32> {
        let sample = sample as usize;
        match &self.sizes {
            Sizes::Constant(bytes) => Some(*bytes),
            Sizes::Each(table) => table.get(sample, 0).and_then(|bytes| u32::try_from(bytes).ok()),
            Sizes::Nibbles(pairs) => {
                let pair = u32::from(*pairs.get(sample / 2)?);
                Some(if sample.is_multiple_of(2) { pair >> 4 } else { pair & 0xf })
            }
        }
    }
}

/// A walk over a [`Table`], one sample after another.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// The next sample, from 0.
    sample: u32,
    dts: i64,
    time: Run,
    composition: Run,
    /// The next row of stss.
    keyframe: usize,
    /// The row of stsc that holds for `chunk`.
    run: usize,
    /// The next chunk, from 0.
    chunk: usize,
    left_in_chunk: u64,
    offset: u64,
}

/// A place in a table of runs: count, value.
#[derive(Clone, Debug, Default)]
struct Run {
    row: usize,
    used: u64,
}

impl Run {
    /// The value for the next sample; `None` past the end of the table.
    fn next(&mut self, table: &Array) -> Option<u32> {
        while self.used >= table.get(self.row, 0)? {
            (self.row, self.used) = (self.row + 1, 0);
        }
        self.used += 1;
        table.get(self.row, 1).and_then(|value| u32::try_from(value).ok())
    }
}

impl Cursor {
    /// The next sample, or `None` where any of the tables ends.
    pub(super) fn next(&mut self, table: &Table) -> Option<Sample> {
        if self.sample >= table.samples {
            return None;
        }
        self.enter_chunk(table)?;
        let bytes = table.size(self.sample)?;
        let delta = self.time.next(&table.times)?;
        let composition = match &table.compositions {
            // A table that is too short says nothing of the rest.
            Some(offsets) => self.composition.next(offsets).map_or(0, |offset| i64::from(offset as i32)),
            None => 0,
        };
        let keyframe = self.is_keyframe(table);
        let sample = Sample { offset: self.offset, bytes, dts: self.dts, composition, keyframe };
        self.sample += 1;
        self.left_in_chunk -= 1;
        self.offset = self.offset.saturating_add(bytes.into());
        self.dts = self.dts.saturating_add(delta.into());
        Some(sample)
    }

    /// Moves on to the next chunk that has samples, when this one has no more.
    fn enter_chunk(&mut self, table: &Table) -> Option<()> {
        while self.left_in_chunk == 0 {
            self.offset = table.chunks.get(self.chunk, 0)?;
            let next_run = table.runs.get(self.run + 1, 0);
            if next_run.is_some_and(|first| first <= self.chunk as u64 + 1) {
                self.run += 1;
            }
            self.left_in_chunk = table.runs.get(self.run, 1)?;
            self.chunk += 1;
        }
        Some(())
    }

    fn is_keyframe(&mut self, table: &Table) -> bool {
        let Some(keyframes) = &table.keyframes else { return true };
        let number = u64::from(self.sample) + 1;
        while keyframes.get(self.keyframe, 0).is_some_and(|keyframe| keyframe < number) {
            self.keyframe += 1;
        }
        keyframes.get(self.keyframe, 0) == Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full box of `words`.
    fn full_box(name: &[u8; 4], words: &[u32]) -> Vec<u8> {
        let mut out = (12 + 4 * words.len() as u32).to_be_bytes().to_vec();
        out.extend_from_slice(name);
        out.extend_from_slice(&[0; 4]);
        out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        out
    }

    fn walk(boxes: &[Vec<u8>]) -> Vec<Sample> {
        let table = Table::parse(&Bytes::from(boxes.concat())).unwrap();
        let mut cursor = Cursor::default();
        std::iter::from_fn(|| cursor.next(&table)).collect()
    }

    fn sample(offset: u64, bytes: u32, dts: i64, composition: i64, keyframe: bool) -> Sample {
        Sample { offset, bytes, dts, composition, keyframe }
    }

    #[test]
    fn runs_chunks_and_keyframes_are_joined() {
        let samples = walk(&[
            full_box(b"stts", &[2, 2, 10, 3, 20]),
            full_box(b"ctts", &[2, 1, 5, 1, (-5_i32) as u32]),
            full_box(b"stss", &[2, 1, 4]),
            full_box(b"stsc", &[2, 1, 2, 1, 3, 1, 1]),
            full_box(b"stsz", &[0, 5, 11, 12, 13, 14, 15]),
            full_box(b"stco", &[3, 100, 200, 300]),
        ]);
        assert_eq!(
            samples,
            [
                sample(100, 11, 0, 5, true),
                sample(111, 12, 10, -5, false),
                sample(200, 13, 20, 0, false),
                sample(213, 14, 40, 0, true),
                sample(300, 15, 60, 0, false),
            ]
        );
    }

    #[test]
    fn constant_sizes_without_keyframe_table() {
        let samples = walk(&[
            full_box(b"stts", &[1, 3, 7]),
            full_box(b"stsc", &[1, 1, 2, 1]),
            full_box(b"stsz", &[9, 3]),
            full_box(b"co64", &[2, 1, 0, 1, 500]),
        ]);
        let at = 1 << 32;
        assert_eq!(
            samples,
            [sample(at, 9, 0, 0, true), sample(at + 9, 9, 7, 0, true), sample(at + 500, 9, 14, 0, true)]
        );
    }

    #[test]
    fn compact_sizes_of_4_8_and_16_bits() {
        for (bits, rows) in
            [(4, vec![0x1230_0000]), (8, vec![0x0102_0300]), (16, vec![0x0001_0002, 0x0003_0000])]
        {
            let sizes = full_box(b"stz2", &[vec![bits, 3], rows].concat());
            let samples = walk(&[
                full_box(b"stts", &[1, 3, 1]),
                full_box(b"stsc", &[1, 1, 3, 1]),
                sizes,
                full_box(b"stco", &[1, 50]),
            ]);
            assert_eq!(
                samples.iter().map(|sample| sample.bytes).collect::<Vec<_>>(),
                [1, 2, 3],
                "{bits} bits"
            );
        }
    }

    #[test]
    fn tables_that_claim_more_than_there_is_end_early_or_are_refused() {
        let table = |stsz: &[u32], stts: &[u32], stsc: &[u32]| {
            [
                full_box(b"stts", stts),
                full_box(b"stsc", stsc),
                full_box(b"stsz", stsz),
                full_box(b"stco", &[1, 50]),
            ]
        };
        assert_eq!(walk(&table(&[9, u32::MAX], &[1, 4, 1], &[1, 1, 3, 1])).len(), 3);
        assert_eq!(walk(&table(&[9, u32::MAX], &[1, 2, 1], &[1, 1, 3, 1])).len(), 2);
        assert_eq!(walk(&table(&[9, u32::MAX], &[1, 4, 1], &[1, 1, 0, 1])).len(), 0);
        let lying = table(&[0, u32::MAX, 1], &[1, 4, 1], &[1, 1, 3, 1]).concat();
        assert!(matches!(
            Table::parse(&lying.into()),
            Err(Error::Truncated { requested: 17_179_869_180, .. })
        ));
        let several = table(&[9, 1], &[1, 4, 1], &[1, 1, 3, 2]).concat();
        assert!(matches!(Table::parse(&several.into()), Err(Error::Unsupported(_))));
    }
}
