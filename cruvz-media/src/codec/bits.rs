//! Bits of a header, most significant first, with every read checked against the end.

use super::Error;

/// Reads bits from bytes that a peer sent: past the end is [`Error::Truncated`], never a panic.
#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far; at most `8 * bytes.len()`.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bits not yet read.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len() * 8 - self.position
    }

    /// Bits read so far.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// One bit.
    pub(super) fn flag(&mut self) -> Result<bool, Error> {
        Ok(self.read(1)? == 1)
    }

    /// The next `count` bits, at most 32, as a number.
    pub(super) fn read(&mut self, count: usize) -> Result<u32, Error> {
        debug_assert!(count <= 32, "a field has at most 32 bits");
        if count > self.left() {
            return Err(Error::Truncated { bytes: self.bytes.len() });
        }
        let mut value = 0u64;
        let mut wanted = count;
        while wanted > 0 {
            let (byte, used) = (self.bytes[self.position / 8], self.position % 8);
            let taken = wanted.min(8 - used);
            let chunk = (u64::from(byte) >> (8 - used - taken)) & ((1 << taken) - 1);
            value = (value << taken) | chunk;
            self.position += taken;
            wanted -= taken;
        }
        Ok(u32::try_from(value).expect("at most 32 bits were read"))
    }

    /// The next `count` bits, at most 8, as a byte.
    pub(super) fn byte(&mut self, count: usize) -> Result<u8, Error> {
        debug_assert!(count <= 8, "a byte has at most 8 bits");
        Ok(u8::try_from(self.read(count)?).expect("at most 8 bits were read"))
    }

    /// Passes over `count` bits.
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Error> {
        if count > self.left() {
            return Err(Error::Truncated { bytes: self.bytes.len() });
        }
        self.position += count;
        Ok(())
    }

    /// Passes over what is left of a byte begun.
    pub(super) const fn align(&mut self) {
        self.position = self.position.next_multiple_of(8);
    }

    /// An unsigned Exp-Golomb number, `ue(v)` of ISO/IEC 14496-10 §9.1: 0 to 2^32 - 2.
    pub(super) fn ue(&mut self) -> Result<u32, Error> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return Err(Error::Invalid { field: "Exp-Golomb prefix", value: zeros });
            }
        }
        let suffix = self.read(usize::try_from(zeros).expect("at most 31"))?;
        Ok(((1u32 << zeros) - 1) + suffix)
    }

    /// An `ue(v)` that must be at most `most`.
    pub(super) fn ue_up_to(&mut self, most: u32, field: &'static str) -> Result<u32, Error> {
        let value = self.ue()?;
        if value > most { Err(Error::Invalid { field, value: value.into() }) } else { Ok(value) }
    }

    /// A signed Exp-Golomb number, `se(v)` of ISO/IEC 14496-10 §9.1.1.
    pub(super) fn se(&mut self) -> Result<i64, Error> {
        let code = i64::from(self.ue()?);
        Ok(if code % 2 == 1 { code / 2 + 1 } else { -(code / 2) })
    }
}

/// Gathers bits into bytes, most significant first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits written so far.
    position: usize,
}

impl BitWriter {
    /// Appends the lowest `count` bits of `value`.
    pub(super) fn write(&mut self, count: usize, value: u32) {
        for shift in (0..count).rev() {
            if self.position.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = u8::from((value >> shift) & 1 == 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.position % 8);
            }
            self.position += 1;
        }
    }

    /// The bytes, the last one filled up with zero bits.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_the_standard() {
        // Table 9-2 of ISO/IEC 14496-10: 1, 010, 011, 00100, 00101, 00110, 00111.
        let bytes = [0b1010_0110, 0b0100_0010, 0b1001_1000, 0b1110_0000];
        let mut bits = BitReader::new(&bytes);
        let codes: Vec<u32> = (0..7).map(|_| bits.ue().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6]);
        let mut bits = BitReader::new(&bytes);
        let codes: Vec<i64> = (0..7).map(|_| bits.se().unwrap()).collect();
        assert_eq!(codes, [0, 1, -1, 2, -2, 3, -3]);
    }

    #[test]
    fn the_largest_exp_golomb_code_fits_and_a_longer_one_is_refused() {
        let mut longest = vec![0, 0, 0, 1];
        longest.extend([0xFF; 4]);
        assert_eq!(BitReader::new(&longest).ue(), Ok(u32::MAX - 1));
        let endless = [0; 8];
        assert!(matches!(BitReader::new(&endless).ue(), Err(Error::Invalid { value: 32, .. })));
    }

    #[test]
    fn reading_past_the_end_is_an_error_and_takes_nothing() {
        let mut bits = BitReader::new(&[0xA5]);
        assert_eq!(bits.read(9), Err(Error::Truncated { bytes: 1 }));
        assert_eq!(bits.read(8), Ok(0xA5));
        assert!(bits.flag().is_err() && bits.skip(1).is_err() && bits.ue().is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec((1usize..=32, any::<u32>()), 0..40)) {
            let mut writer = BitWriter::default();
            for &(count, value) in &fields {
                writer.write(count, value);
            }
            let bytes = writer.into_bytes();
            let mut reader = BitReader::new(&bytes);
            for &(count, value) in &fields {
                let kept = if count == 32 { value } else { value & ((1 << count) - 1) };
                prop_assert_eq!(reader.read(count), Ok(kept));
            }
            prop_assert!(reader.left() < 8);
            reader.align();
            prop_assert_eq!(reader.left(), 0);
        }
    }
}
