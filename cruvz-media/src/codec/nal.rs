//! NAL units, the packets of H.264 and H.265: behind 4-byte lengths as [`crate::Frame`] carries them, between start
//! codes as MPEG-TS carries them (Annex B), and with or without emulation prevention.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;

/// Bytes of the length before each NAL unit of a frame's payload.
const LENGTH_BYTES: usize = 4;

/// The NAL units of a payload with 4-byte lengths, in order and without their lengths.
///
/// Empty units are passed over. A length that points past the end, or a rest too short for a length, is one
/// [`Error::NalLength`], and the iterator ends there. Zero-copy: `Bytes::slice_ref` makes a shared unit of an item.
pub fn nal_units(payload: &[u8]) -> NalUnits<'_> {
    NalUnits { rest: payload, length_bytes: LENGTH_BYTES }
}

/// See [`nal_units`].
#[derive(Clone, Debug)]
pub struct NalUnits<'a> {
    rest: &'a [u8],
    length_bytes: usize,
}

impl<'a> NalUnits<'a> {
    /// The unit at the front of `rest`, which is not empty.
    fn split(&mut self) -> Result<&'a [u8], Error> {
        let left = self.rest.len();
        let (length, after) = self
            .rest
            .split_at_checked(self.length_bytes)
            .ok_or(Error::NalLength { length: self.length_bytes, left })?;
        let length = length.iter().fold(0usize, |length, byte| (length << 8) | usize::from(*byte));
        let (unit, rest) =
            after.split_at_checked(length).ok_or(Error::NalLength { length, left: after.len() })?;
        self.rest = rest;
        Ok(unit)
    }
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.split() {
                Ok([]) => {}
                Ok(unit) => return Some(Ok(unit)),
                Err(error) => {
                    self.rest = &[];
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

/// `payload`, whose lengths have `from` bytes (1 to 4, as its configuration record said), with 4-byte lengths.
///
/// Free where `from` is 4: the payload is handed back as it came, unchecked.
///
/// # Errors
/// [`Error::Invalid`] when `from` is not 1 to 4, [`Error::NalLength`] when a length points past the end.
pub fn to_four_byte_lengths(payload: Bytes, from: u8) -> Result<Bytes, Error> {
    match from {
        4 => return Ok(payload),
        1..=3 => {}
        _ => return Err(Error::Invalid { field: "NAL unit length size", value: from.into() }),
    }
    let mut converted = BytesMut::with_capacity(payload.len() + payload.len() / 64 + 16);
    for unit in (NalUnits { rest: &payload, length_bytes: from.into() }) {
        put_unit(&mut converted, unit?)?;
    }
    Ok(converted.freeze())
}

/// The NAL units of an Annex B byte stream (ISO/IEC 14496-10 Annex B), without start codes and trailing zeros.
///
/// Bytes before the first start code belong to no unit and are passed over.
pub fn annex_b_units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(stream).map(|at| &stream[at + 3..]);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let (unit, after) = match start_code(bytes) {
            Some(at) => (&bytes[..at], Some(&bytes[at + 3..])),
            None => (bytes, None),
        };
        rest = after;
        Some(without_trailing_zeros(unit))
    })
    .filter(|unit| !unit.is_empty())
}

/// An Annex B byte stream as a frame's payload: the same units behind 4-byte lengths.
///
/// # Errors
/// [`Error::NalLength`] when a unit has 4 GiB or more.
pub fn from_annex_b(stream: &[u8]) -> Result<Bytes, Error> {
    let mut payload = BytesMut::with_capacity(stream.len() + 16);
    for unit in annex_b_units(stream) {
        put_unit(&mut payload, unit)?;
    }
    Ok(payload.freeze())
}

/// A frame's payload as an Annex B byte stream, each unit behind the start code `00 00 00 01`.
///
/// # Errors
/// [`Error::NalLength`] when a length points past the end.
pub fn to_annex_b(payload: &[u8]) -> Result<Bytes, Error> {
    let mut stream = BytesMut::with_capacity(payload.len());
    for unit in nal_units(payload) {
        stream.put_u32(1);
        stream.put_slice(unit?);
    }
    Ok(stream.freeze())
}

/// Appends `unit` behind its 4-byte length.
pub(super) fn put_unit(payload: &mut BytesMut, unit: &[u8]) -> Result<(), Error> {
    let length = u32::try_from(unit.len()).map_err(|_| Error::NalLength { length: unit.len(), left: 0 })?;
    payload.put_u32(length);
    payload.put_slice(unit);
    Ok(())
}

/// `nal` without its emulation prevention bytes: 00 00 03 becomes 00 00 (ISO/IEC 14496-10 §7.4.1).
pub(super) fn unescape(nal: &[u8]) -> Cow<'_, [u8]> {
    let mut clean: Option<Vec<u8>> = None;
    let mut zeros = 0;
    for (at, &byte) in nal.iter().enumerate() {
        if zeros >= 2 && byte == 3 {
            clean.get_or_insert_with(|| nal[..at].to_vec());
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        if let Some(clean) = &mut clean {
            clean.push(byte);
        }
    }
    clean.map_or(Cow::Borrowed(nal), Cow::Owned)
}

/// `rbsp` with emulation prevention bytes, so that no start code appears within it.
pub(super) fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut nal = Vec::with_capacity(rbsp.len() + rbsp.len() / 32 + 1);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            nal.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        nal.push(byte);
    }
    nal
}

/// Where the next start code prefix 00 00 01 begins. Eight bytes without a zero are passed over at once, as most are.
fn start_code(bytes: &[u8]) -> Option<usize> {
    let begins = |at: &usize| bytes[*at..].starts_with(&[0, 0, 1]);
    let mut at = 0;
    while let Some(eight) = bytes[at..].first_chunk() {
        let end = at + eight.len();
        if has_zero(u64::from_ne_bytes(*eight))
            && let Some(found) = (at..end).find(begins)
        {
            return Some(found);
        }
        at = end;
    }
    (at..bytes.len()).find(begins)
}

/// Whether one of the eight bytes is zero: only then does taking one from each borrow into a top bit that was clear.
const fn has_zero(eight: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xFF;
    eight.wrapping_sub(ONES) & !eight & (ONES << 7) != 0
}

fn without_trailing_zeros(unit: &[u8]) -> &[u8] {
    let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &unit[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_end_with_an_error_where_a_length_lies() {
        let payload = [0, 0, 0, 2, 0x65, 0x88, 0, 0, 0, 0, 0, 0, 0, 9, 0x41];
        let units: Vec<_> = nal_units(&payload).collect();
        assert_eq!(units, [Ok(&[0x65, 0x88][..]), Err(Error::NalLength { length: 9, left: 1 })]);
        let short: Vec<_> = nal_units(&[0, 0]).collect();
        assert_eq!(short, [Err(Error::NalLength { length: 4, left: 2 })]);
    }

    #[test]
    fn annex_b_units_lose_start_codes_and_trailing_zeros() {
        let stream = [0xAA, 0, 0, 0, 1, 0x67, 1, 0, 0, 0, 0, 1, 0x68, 0, 0, 1, 0, 0, 1, 0x65, 0, 0, 2, 0];
        let units: Vec<_> = annex_b_units(&stream).collect();
        assert_eq!(units, [&[0x67, 1][..], &[0x68], &[0x65, 0, 0, 2]]);
        assert_eq!(annex_b_units(&[1, 2, 3]).count(), 0);
    }

    #[test]
    fn short_lengths_grow_to_four_bytes_and_four_byte_payloads_are_not_touched() {
        let two = Bytes::from_static(&[0, 1, 0x65, 0, 2, 0x41, 0x9A]);
        let four = to_four_byte_lengths(two, 2).unwrap();
        assert_eq!(&four[..], [0, 0, 0, 1, 0x65, 0, 0, 0, 2, 0x41, 0x9A]);
        let same = to_four_byte_lengths(four.clone(), 4).unwrap();
        assert_eq!(same.as_ptr(), four.as_ptr());
        assert_eq!(
            to_four_byte_lengths(four.clone(), 5),
            Err(Error::Invalid { field: "NAL unit length size", value: 5 })
        );
        assert!(to_four_byte_lengths(Bytes::from_static(&[7, 0x65]), 1).is_err());
    }

    #[test]
    fn emulation_prevention_is_that_of_the_standard() {
        assert_eq!(
            escape(&[0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4]),
            [0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 3, 0, 0, 4]
        );
        assert!(matches!(unescape(&[0, 3, 0, 1]), Cow::Borrowed(_)));
        assert_eq!(*unescape(&[9, 0, 0, 3, 1, 0, 0, 3]), [9, 0, 0, 1, 0, 0]);
    }

    /// A unit as an encoder makes it: never ends in zero, holds no start code.
    fn unit() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(1), Just(3), any::<u8>()];
        proptest::collection::vec(byte, 0..40).prop_map(|mut bytes| {
            bytes.push(0x80);
            escape(&bytes)
        })
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, from: u8) {
            let _ = nal_units(&bytes).count();
            let _ = annex_b_units(&bytes).count();
            let _ = to_four_byte_lengths(Bytes::from(bytes), from);
        }

        #[test]
        fn start_codes_are_found_where_they_are(
            bytes in proptest::collection::vec(prop_oneof![3 => Just(0u8), 2 => Just(1), 3 => any::<u8>()], 0..60),
        ) {
            prop_assert_eq!(start_code(&bytes), bytes.windows(3).position(|three| three == [0, 0, 1]));
        }

        #[test]
        fn annex_b_and_back_is_the_same(units in proptest::collection::vec(unit(), 0..6)) {
            let mut payload = BytesMut::new();
            for unit in &units {
                put_unit(&mut payload, unit).unwrap();
            }
            let stream = to_annex_b(&payload).unwrap();
            prop_assert_eq!(from_annex_b(&stream).unwrap(), payload.freeze());
        }

        #[test]
        fn escaping_and_back_is_the_same_and_leaves_no_start_code(
            bytes in proptest::collection::vec(0u8..5, 0..60),
        ) {
            let nal = escape(&bytes);
            prop_assert_eq!(start_code(&nal), None);
            prop_assert_eq!(&*unescape(&nal), &bytes[..]);
        }
    }
}
