//! Access units of H.264 and H.265 that bring their parameter sets in band, as byte streams and packets have them.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, h264, h265, nal::put_unit};
use crate::{Codec, CodecParams};

/// Parameter sets of one access unit that are looked at; real ones have 2 or 3, at most 16 layers of them.
const MAX_SETS: usize = 64;
/// Bytes of the length before each NAL unit.
const LENGTH_BYTES: usize = 4;

/// What a NAL unit is to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It belongs into the configuration record.
    ParameterSet,
    /// Of use in a byte stream only.
    Filling,
    /// All others: slices, and what comes with them.
    Coded,
}

impl Role {
    /// Of a unit of `codec` by the first byte of its header.
    pub(crate) const fn of(codec: Codec, header: u8) -> Self {
        match codec {
            Codec::H265 => match header >> 1 & 0x3F {
                32..=34 => Self::ParameterSet,
                // AUD_NUT, FD_NUT (ISO/IEC 23008-2 table 7-1).
                35 | 38 => Self::Filling,
                _ => Self::Coded,
            },
            _ => match header & 0x1F {
                7 | 8 => Self::ParameterSet,
                // Access unit delimiter, filler data (ISO/IEC 14496-10 table 7-1).
                9 | 12 => Self::Filling,
                _ => Self::Coded,
            },
        }
    }
}

/// The NAL units of one access unit, taken apart: parameter sets, and the rest as a payload with lengths. Delimiters and
/// filler data are left out, as no container has a use for them.
#[derive(Debug)]
pub(crate) struct AccessUnit {
    codec: Codec,
    sets: Vec<Bytes>,
    coded: BytesMut,
    /// Where the length of the unit under way will stand in `coded`.
    begun: Option<usize>,
}

impl AccessUnit {
    /// An empty one, with room for `bytes` of payload.
    pub(crate) fn with_capacity(codec: Codec, bytes: usize) -> Self {
        Self { codec, sets: Vec::new(), coded: BytesMut::with_capacity(bytes), begun: None }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.coded.len() + self.sets.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is no unit but parameter sets.
    pub(crate) fn is_empty(&self) -> bool {
        self.coded.is_empty()
    }

    /// Whether it brought parameter sets.
    pub(crate) const fn has_sets(&self) -> bool {
        !self.sets.is_empty()
    }

    /// Whether a unit was begun and not ended.
    pub(crate) const fn is_open(&self) -> bool {
        self.begun.is_some()
    }

    /// Adds a whole unit.
    pub(crate) fn push(&mut self, unit: &[u8]) {
        self.begin();
        self.extend(unit);
        self.end();
    }

    /// Begins a unit that comes in pieces.
    pub(crate) fn begin(&mut self) {
        self.end();
        self.begun = Some(self.coded.len());
        self.coded.put_bytes(0, LENGTH_BYTES);
    }

    /// Adds to the unit under way.
    pub(crate) fn extend(&mut self, piece: &[u8]) {
        self.coded.put_slice(piece);
    }

    /// Puts the unit under way where it belongs.
    pub(crate) fn end(&mut self) {
        let Some(at) = self.begun.take() else { return };
        let unit = &self.coded[at + LENGTH_BYTES..];
        let role = unit.first().map_or(Role::Filling, |header| Role::of(self.codec, *header));
        match (role, u32::try_from(unit.len())) {
            (Role::ParameterSet, _) if self.sets.len() < MAX_SETS => {
                if !self.sets.iter().any(|set| set == unit) {
                    self.sets.push(Bytes::copy_from_slice(unit));
                }
                self.coded.truncate(at);
            }
            (Role::ParameterSet | Role::Coded, Ok(length)) => {
                self.coded[at..at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
            }
            (Role::Filling, _) | (_, Err(_)) => self.coded.truncate(at),
        }
    }
}

/// The parameter sets of a track that come in band, and the configuration record that they make.
#[derive(Debug)]
pub(crate) struct InBandSets {
    codec: Codec,
    /// The parameter sets that `params` was made of.
    sets: Vec<Bytes>,
    params: Option<CodecParams>,
}

impl InBandSets {
    /// None have come yet.
    pub(crate) const fn new(codec: Codec) -> Self {
        Self { codec, sets: Vec::new(), params: None }
    }

    /// Those of `params`, which came another way.
    pub(crate) fn of(params: CodecParams) -> Self {
        let sets = match params.codec {
            Codec::H265 => h265::Record::parse(&params.config)
                .map(|record| [record.vps, record.sps, record.pps].concat()),
            _ => h264::Record::parse(&params.config).map(|record| [record.sps, record.pps].concat()),
        };
        Self { codec: params.codec, sets: sets.unwrap_or_default(), params: Some(params) }
    }

    /// The track's parameters, once there were sets that make them.
    pub(crate) const fn params(&self) -> Option<&CodecParams> {
        self.params.as_ref()
    }

    /// Takes the sets of `unit` for the track's from now on, if they are complete. What comes of them, if it is new.
    ///
    /// # Errors
    /// Those of [`super::from_frame`], except that sets of one kind alone say nothing: the others did not change.
    pub(crate) fn learn(&mut self, unit: &AccessUnit) -> Result<Option<CodecParams>, Error> {
        if unit.sets.iter().all(|set| self.sets.contains(set)) {
            return Ok(None);
        }
        let mut payload = BytesMut::new();
        for set in &unit.sets {
            put_unit(&mut payload, set)?;
        }
        let params = match super::from_frame(self.codec, &payload.freeze()) {
            Ok(params) => params,
            Err(Error::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        self.sets.clone_from(&unit.sets);
        if self.params.as_ref() == Some(&params) {
            return Ok(None);
        }
        self.params = Some(params.clone());
        Ok(Some(params))
    }

    /// The payload of `unit`, behind those of its parameter sets that the track's configuration does not hold.
    pub(crate) fn payload(&self, mut unit: AccessUnit) -> Bytes {
        unit.end();
        let AccessUnit { sets, coded, .. } = unit;
        if sets.iter().all(|set| self.sets.contains(set)) {
            // Where most was filling, the room for it would be kept as long as the frame.
            let is_tight = coded.len() >= coded.capacity() / 2;
            return if is_tight { coded.freeze() } else { Bytes::copy_from_slice(&coded) };
        }
        let mut payload = BytesMut::with_capacity(
            coded.len() + sets.iter().map(|set| set.len() + LENGTH_BYTES).sum::<usize>(),
        );
        for set in sets.iter().filter(|set| !self.sets.contains(set)) {
            payload.put_u32(set.len() as u32); // shorter than its access unit, whose lengths were checked
            payload.put_slice(set);
        }
        payload.put_slice(&coded);
        payload.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(codec: Codec, nals: &[&[u8]]) -> AccessUnit {
        let mut unit = AccessUnit::with_capacity(codec, 0);
        nals.iter().for_each(|nal| unit.push(nal));
        unit
    }

    #[test]
    fn a_small_picture_in_much_filling_keeps_little_memory() {
        let mut unit = AccessUnit::with_capacity(Codec::H264, 1 << 20);
        unit.push(&[0x65; 100]);
        let held = InBandSets::new(Codec::H264).payload(unit).try_into_mut().expect("nobody else has it");
        assert!(held.len() == 104 && held.capacity() < 1_000, "{} bytes", held.capacity());
    }

    #[test]
    fn units_go_where_they_belong_in_pieces_as_in_one() {
        let mut whole = unit(
            Codec::H264,
            &[&[9, 0xF0], &[0x67, 1], &[0x68, 2], &[0x67, 1], &[0x65, 3, 4], &[12, 0xFF], &[]],
        );
        let mut pieces = AccessUnit::with_capacity(Codec::H264, 0);
        for nal in [&[9, 0xF0][..], &[0x67, 1], &[0x68, 2], &[0x65, 3, 4]] {
            pieces.begin();
            nal.chunks(1).for_each(|piece| pieces.extend(piece));
            assert!(pieces.is_open());
        }
        for unit in [&mut whole, &mut pieces] {
            unit.end();
            assert_eq!(unit.sets, [&[0x67, 1][..], &[0x68, 2]]);
            assert_eq!(unit.coded[..], [0, 0, 0, 3, 0x65, 3, 4]);
            assert_eq!(unit.bytes(), 11);
        }
        let h265 = unit(
            Codec::H265,
            &[&[0x46, 1, 0x50], &[0x40, 1], &[0x42, 1], &[0x44, 1], &[0x4C, 1], &[0x26, 1, 5]],
        );
        assert_eq!(
            (h265.sets.len(), h265.coded.len(), h265.has_sets(), h265.is_empty()),
            (3, 7, true, false)
        );
    }

    #[test]
    fn more_sets_than_anyone_has_stay_in_the_payload() {
        let mut unit = AccessUnit::with_capacity(Codec::H264, 0);
        (0..=MAX_SETS as u8).for_each(|id| unit.push(&[0x68, id]));
        assert_eq!((unit.sets.len(), unit.coded.len()), (MAX_SETS, 6));
    }
}
