//! H.265: the hvcC record (ISO/IEC 14496-15 §8.3.2.1), what its sequence parameter set says (ISO/IEC 23008-2
//! §7.3.2.2, annex E), and which payloads are keyframes.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, bits::BitReader, nal::unescape, sei};
use crate::{Codec, CodecParams, Format, VideoFormat};

pub use super::nal::{nal_units, to_four_byte_lengths};

/// `nal_unit_type` values (ISO/IEC 23008-2 table 7-1).
mod unit {
    /// The first of the intra random access point types.
    pub(super) const BLA_W_LP: u8 = 16;
    /// The last of them, two reserved ones included.
    pub(super) const RSV_IRAP_VCL23: u8 = 23;
    /// Types below this one are slices.
    pub(super) const VPS: u8 = 32;
    pub(super) const SPS: u8 = 33;
    pub(super) const PPS: u8 = 34;
    pub(super) const PREFIX_SEI: u8 = 39;
    pub(super) const SUFFIX_SEI: u8 = 40;
}

/// Bytes of a NAL unit header.
const HEADER_BYTES: usize = 2;
/// Bytes of an hvcC before its arrays.
const RECORD_BYTES: usize = 23;

/// `nal_unit_type` of a unit, whose header may be cut short.
fn unit_type(nal: &[u8]) -> Option<u8> {
    nal.first_chunk::<HEADER_BYTES>().map(|header| (header[0] >> 1) & 0x3F)
}

/// The decoder configuration record, taken apart. The parameter sets share the record's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Bytes of each NAL length in the payloads this record came with: 1 to 4.
    pub nal_length_size: u8,
    /// Video parameter sets, as NAL units.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets, at least one.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
}

impl Record {
    /// Reads an hvcC. Units of other types than parameter sets (SEI) are passed over.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a version other than 1, [`Error::Missing`] without a sequence parameter set,
    /// [`Error::Truncated`] when the record ends early.
    pub fn parse(config: &Bytes) -> Result<Self, Error> {
        let nal_length_size = nal_length_size(config)?;
        let mut record = Self { nal_length_size, vps: Vec::new(), sps: Vec::new(), pps: Vec::new() };
        let mut at = RECORD_BYTES;
        let mut bytes = |count: usize| {
            let taken = at..at + count;
            let truncated = Error::Truncated { bytes: config.len() };
            config.get(taken.clone()).ok_or(truncated)?;
            at = taken.end;
            Ok(config.slice(taken))
        };
        for _ in 0..config[RECORD_BYTES - 1] {
            let array = bytes(3)?;
            for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
                let length = bytes(2)?;
                let nal = bytes(u16::from_be_bytes([length[0], length[1]]).into())?;
                match array[0] & 0x3F {
                    unit::VPS => record.vps.push(nal),
                    unit::SPS => record.sps.push(nal),
                    unit::PPS => record.pps.push(nal),
                    _ => {}
                }
            }
        }
        if record.sps.is_empty() {
            return Err(Error::Missing("sequence parameter set"));
        }
        Ok(record)
    }
}

/// Bytes of each NAL length in payloads that come with this hvcC: 1 to 4.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Invalid`] when it is no hvcC of version 1.
pub fn nal_length_size(config: &[u8]) -> Result<u8, Error> {
    let record = config.first_chunk::<RECORD_BYTES>().ok_or(Error::Truncated { bytes: config.len() })?;
    match record[0] {
        1 => Ok((record[21] & 3) + 1),
        version => Err(Error::Invalid { field: "hvcC version", value: version.into() }),
    }
}

/// The hvcC with 4-byte lengths that holds these parameter sets (NAL units without start code or length).
///
/// # Errors
/// [`Error::Missing`] without a set of each kind, [`Error::Invalid`] when one has 64 KiB or more, and whatever the
/// first sequence parameter set is refused for.
pub fn record_from_parameter_sets<B: AsRef<[u8]>>(vps: &[B], sps: &[B], pps: &[B]) -> Result<Bytes, Error> {
    let facts = Sps::parse(sps.first().ok_or(Error::Missing("sequence parameter set"))?.as_ref())?;
    let mut record = BytesMut::new();
    record.put_u8(1);
    facts.profile.put(&mut record);
    // min_spatial_segmentation_idc 0 and parallelismType 0: unknown, as are avgFrameRate and constantFrameRate.
    record.put_slice(&[0xF0, 0, 0xFC, 0xFC | facts.chroma_format_idc]);
    record.put_slice(&[0xF8 | (facts.bit_depth_luma - 8), 0xF8 | (facts.bit_depth_chroma - 8), 0, 0]);
    record.put_u8((facts.sub_layers << 3) | (u8::from(facts.temporal_id_nesting) << 2) | 3);
    record.put_u8(3);
    put_array(&mut record, unit::VPS, vps, "video parameter set")?;
    put_array(&mut record, unit::SPS, sps, "sequence parameter set")?;
    put_array(&mut record, unit::PPS, pps, "picture parameter set")?;
    Ok(record.freeze())
}

/// The hvcC of a stream, from a payload that has its parameter sets.
pub(super) fn record_from_keyframe(payload: &[u8]) -> Result<Bytes, Error> {
    let units: Vec<&[u8]> = nal_units(payload).collect::<Result<_, _>>()?;
    let of = |kind: u8| {
        let mut sets: Vec<&[u8]> = units.iter().copied().filter(|nal| unit_type(nal) == Some(kind)).collect();
        sets.dedup();
        sets
    };
    record_from_parameter_sets(&of(unit::VPS), &of(unit::SPS), &of(unit::PPS))
}

fn put_array(
    record: &mut BytesMut,
    kind: u8,
    sets: &[impl AsRef<[u8]>],
    name: &'static str,
) -> Result<(), Error> {
    let too_large = |value: usize| Error::Invalid { field: name, value: value as u64 };
    if sets.is_empty() {
        return Err(Error::Missing(name));
    }
    record.put_u8(0x80 | kind); // array_completeness: none in band
    record.put_u16(u16::try_from(sets.len()).map_err(|_| too_large(sets.len()))?);
    for set in sets {
        let set = set.as_ref();
        record.put_u16(u16::try_from(set.len()).map_err(|_| too_large(set.len()))?);
        record.put_slice(set);
    }
    Ok(())
}

/// Whether decoding can start at this payload: its first slice is of an intra random access point (IDR, CRA, BLA).
///
/// Looks at the units up to the first slice only. A payload with lying lengths is no keyframe.
pub fn is_keyframe(payload: &[u8]) -> bool {
    nal_units(payload)
        .map_while(Result::ok)
        .filter_map(unit_type)
        .find(|kind| *kind < unit::VPS)
        .is_some_and(|kind| (unit::BLA_W_LP..=unit::RSV_IRAP_VCL23).contains(&kind))
}

/// The user_data_unregistered SEI messages of a payload: 16 bytes of UUID, and the bytes under it.
///
/// Lying lengths and messages that break off end it early; use [`nal_units`] to tell why.
pub fn user_data_unregistered(payload: &[u8]) -> impl Iterator<Item = ([u8; 16], Bytes)> {
    nal_units(payload)
        .map_while(Result::ok)
        .filter(|nal| matches!(unit_type(nal), Some(unit::PREFIX_SEI | unit::SUFFIX_SEI)))
        .flat_map(|nal| sei::user_data_unregistered(&nal[HEADER_BYTES..]))
}

/// A prefix SEI NAL unit (no length, no start code) that carries `data` under `uuid`; put it before the first slice.
pub fn user_data_unregistered_nal(uuid: [u8; 16], data: &[u8]) -> Bytes {
    // Layer 0, temporal id 0 (plus 1).
    sei::user_data_unregistered_nal(&[unit::PREFIX_SEI << 1, 1], uuid, data)
}

/// What an hvcC says of the media, and the record with 4-byte lengths.
pub(super) fn params(config: Bytes) -> Result<CodecParams, Error> {
    let record = Record::parse(&config)?;
    let sps = Sps::parse(&record.sps[0])?;
    let config = if record.nal_length_size == 4 { config } else { with_four_byte_lengths(&config) };
    Ok(CodecParams {
        codec: Codec::H265,
        config,
        format: Format::Video(VideoFormat {
            width: sps.width,
            height: sps.height,
            frame_rate: sps.frame_rate,
            reorder_depth: Some(sps.reorder_depth),
        }),
        rfc6381: sps.profile.rfc6381(),
    })
}

fn with_four_byte_lengths(config: &[u8]) -> Bytes {
    let mut config = BytesMut::from(config);
    config[21] |= 3;
    config.freeze()
}

/// The general part of profile_tier_level (ISO/IEC 23008-2 §7.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// general_profile_space, 0 so far.
    pub space: u8,
    /// Whether the tier is High rather than Main.
    pub high_tier: bool,
    /// general_profile_idc: 1 Main, 2 Main 10, 4 range extensions.
    pub profile_idc: u8,
    /// The profiles it is compatible with, profile 0 in the highest bit.
    pub compatibility: u32,
    /// The six bytes of constraint flags.
    pub constraints: [u8; 6],
    /// Thirty times the level.
    pub level_idc: u8,
}

impl Profile {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, Error> {
        Ok(Self {
            space: bits.byte(2)?,
            high_tier: bits.flag()?,
            profile_idc: bits.byte(5)?,
            compatibility: bits.read(32)?,
            constraints: {
                let mut constraints = [0; 6];
                for byte in &mut constraints {
                    *byte = bits.byte(8)?;
                }
                constraints
            },
            level_idc: bits.byte(8)?,
        })
    }

    fn put(&self, record: &mut BytesMut) {
        record.put_u8((self.space << 6) | (u8::from(self.high_tier) << 5) | self.profile_idc);
        record.put_u32(self.compatibility);
        record.put_slice(&self.constraints);
        record.put_u8(self.level_idc);
    }

    /// The codec string of ISO/IEC 14496-15 annex E.3, as in `hvc1.1.6.L93.90`.
    pub fn rfc6381(&self) -> String {
        let space = ["", "A", "B", "C"][usize::from(self.space & 3)];
        let tier = if self.high_tier { 'H' } else { 'L' };
        let mut string = format!(
            "hvc1.{space}{}.{:X}.{tier}{}",
            self.profile_idc,
            self.compatibility.reverse_bits(),
            self.level_idc
        );
        let used = self.constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for byte in &self.constraints[..used] {
            let _ = write!(string, ".{byte:X}"); // a String takes all
        }
        string
    }
}

/// What a sequence parameter set says, as far as a streaming server needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// Profile, tier and level.
    pub profile: Profile,
    /// Temporal sub-layers, 1 to 7.
    pub sub_layers: u8,
    /// sps_temporal_id_nesting_flag.
    pub temporal_id_nesting: bool,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample, 8 to 15.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 15.
    pub bit_depth_chroma: u8,
    /// Width in luma samples after cropping.
    pub width: u32,
    /// Height in luma samples after cropping; of a field where fields are coded as pictures.
    pub height: u32,
    /// Pictures per second, where the VUI states a timing.
    pub frame_rate: Option<(u32, u32)>,
    /// sps_max_num_reorder_pics of the highest sub-layer.
    pub reorder_depth: u8,
}

impl Sps {
    /// Reads a sequence parameter set, a NAL unit without start code or length.
    ///
    /// What stands behind the reordering is read for the frame rate alone, which is absent where that part breaks off.
    ///
    /// # Errors
    /// [`Error::Missing`] when the unit is of another type, [`Error::Truncated`] and [`Error::Invalid`] when it
    /// breaks off or contradicts the standard.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        if unit_type(nal) != Some(unit::SPS) {
            return Err(Error::Missing("sequence parameter set"));
        }
        let rbsp = unescape(&nal[HEADER_BYTES..]);
        let mut bits = BitReader::new(&rbsp);
        bits.skip(4)?; // sps_video_parameter_set_id
        let sub_layers = bits.byte(3)? + 1;
        if sub_layers > 7 {
            return Err(Error::Invalid { field: "sps_max_sub_layers_minus1", value: 7 });
        }
        let temporal_id_nesting = bits.flag()?;
        let profile = Profile::read(&mut bits)?;
        skip_sub_layer_profiles(&mut bits, sub_layers - 1)?;
        bits.ue_up_to(15, "sps_seq_parameter_set_id")?;
        let chroma_format_idc = bits.ue_up_to(3, "chroma_format_idc")? as u8;
        let planes_apart = chroma_format_idc == 3 && bits.flag()?;
        let (width, height) = read_size(&mut bits, if planes_apart { 0 } else { chroma_format_idc })?;
        let bit_depth_luma = bits.ue_up_to(7, "bit_depth_luma_minus8")? as u8 + 8;
        let bit_depth_chroma = bits.ue_up_to(7, "bit_depth_chroma_minus8")? as u8 + 8;
        let poc_bits = bits.ue_up_to(12, "log2_max_pic_order_cnt_lsb_minus4")? + 4;
        let reorder_depth = read_reorder_depth(&mut bits, sub_layers)?;
        let frame_rate = timing::read(&mut bits, poc_bits).unwrap_or(None);
        Ok(Self {
            profile,
            sub_layers,
            temporal_id_nesting,
            chroma_format_idc,
            bit_depth_luma,
            bit_depth_chroma,
            width,
            height,
            frame_rate,
            reorder_depth,
        })
    }
}

/// The rest of profile_tier_level: what is said of each of the lower sub-layers.
fn skip_sub_layer_profiles(bits: &mut BitReader<'_>, lower_layers: u8) -> Result<(), Error> {
    let mut skipped = 0;
    for _ in 0..lower_layers {
        let [profile_present, level_present] = [bits.flag()?, bits.flag()?];
        skipped += if profile_present { 88 } else { 0 } + if level_present { 8 } else { 0 };
    }
    if lower_layers > 0 {
        bits.skip(2 * usize::from(8 - lower_layers))?; // reserved_zero_2bits
    }
    bits.skip(skipped)
}

/// The picture's size less the conformance window.
fn read_size(bits: &mut BitReader<'_>, chroma_array_type: u8) -> Result<(u32, u32), Error> {
    let width = bits.ue_up_to(65_535, "pic_width_in_luma_samples")?;
    let height = bits.ue_up_to(65_535, "pic_height_in_luma_samples")?;
    let mut crop = [0; 4];
    if bits.flag()? {
        for offset in &mut crop {
            *offset = u64::from(bits.ue()?);
        }
    }
    // SubWidthC and SubHeightC of table 6-1.
    let unit_x = if matches!(chroma_array_type, 1 | 2) { 2 } else { 1 };
    let unit_y = if chroma_array_type == 1 { 2 } else { 1 };
    let [left, right, top, bottom] = crop;
    Ok((cropped(width, (left + right) * unit_x)?, cropped(height, (top + bottom) * unit_y)?))
}

fn cropped(size: u32, crop: u64) -> Result<u32, Error> {
    let left = u64::from(size).checked_sub(crop).filter(|left| *left > 0);
    let left = left.ok_or(Error::Invalid { field: "conformance window", value: crop })?;
    Ok(u32::try_from(left).expect("not larger than the size"))
}

/// sps_max_num_reorder_pics of the highest sub-layer, which is the last written.
fn read_reorder_depth(bits: &mut BitReader<'_>, sub_layers: u8) -> Result<u8, Error> {
    let written = if bits.flag()? { sub_layers } else { 1 };
    let mut depth = 0;
    for _ in 0..written {
        bits.ue_up_to(15, "sps_max_dec_pic_buffering_minus1")?;
        depth = bits.ue_up_to(15, "sps_max_num_reorder_pics")?;
        bits.ue()?; // sps_max_latency_increase_plus1
    }
    Ok(depth as u8)
}

mod timing;

#[cfg(test)]
mod tests;
