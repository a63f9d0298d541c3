//! H.264: the avcC record (ISO/IEC 14496-15 §5.3.3.1), what its sequence parameter set says (ISO/IEC 14496-10
//! §7.3.2.1, annex E), and which payloads are keyframes.

mod references;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, bits::BitReader, frame_rate, nal::unescape, sei, vui::skip_display};
use crate::{Codec, CodecParams, Format, VideoFormat};

pub use self::references::References;
pub use super::nal::{nal_units, to_four_byte_lengths};

/// Profiles whose parameter sets carry chroma format and bit depth (ISO/IEC 14496-10 §7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244];
/// Profiles with which constraint_set3 means intra only (ISO/IEC 14496-10 §E.2.1, max_num_reorder_frames).
const INTRA_PROFILES: [u8; 6] = [44, 86, 100, 110, 122, 244];

/// `nal_unit_type` values (ISO/IEC 14496-10 table 7-1).
mod unit {
    pub(super) const SLICE: u8 = 1;
    pub(super) const SLICE_A: u8 = 2;
    pub(super) const IDR: u8 = 5;
    pub(super) const SEI: u8 = 6;
    pub(super) const SPS: u8 = 7;
    pub(super) const PPS: u8 = 8;
}

/// `nal_unit_type` of a unit; units are never empty where [`nal_units`] made them.
fn unit_type(nal: &[u8]) -> u8 {
    nal.first().map_or(0, |header| header & 0x1F)
}

/// The decoder configuration record, taken apart. The parameter sets share the record's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Bytes of each NAL length in the payloads this record came with: 1 to 4.
    pub nal_length_size: u8,
    /// Sequence parameter sets, at least one, as NAL units.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets, as NAL units.
    pub pps: Vec<Bytes>,
}

impl Record {
    /// Reads an avcC.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a version other than 1, [`Error::Missing`] without a sequence parameter set,
    /// [`Error::Truncated`] when the record ends early.
    pub fn parse(config: &Bytes) -> Result<Self, Error> {
        let nal_length_size = nal_length_size(config)?;
        let mut at = 5;
        let sps = parameter_sets(config, &mut at, 0x1F)?;
        let pps = parameter_sets(config, &mut at, 0xFF)?;
        if sps.is_empty() {
            return Err(Error::Missing("sequence parameter set"));
        }
        Ok(Self { nal_length_size, sps, pps })
    }
}

/// The list at `at`: a count under `mask`, then units behind 2-byte lengths.
fn parameter_sets(config: &Bytes, at: &mut usize, mask: u8) -> Result<Vec<Bytes>, Error> {
    let mut bytes = |count: usize| {
        let taken = *at..*at + count;
        let truncated = Error::Truncated { bytes: config.len() };
        config.get(taken.clone()).ok_or(truncated)?;
        *at = taken.end;
        Ok(config.slice(taken))
    };
    let count = bytes(1)?[0] & mask;
    (0..count)
        .map(|_| {
            let length = bytes(2)?;
            bytes(u16::from_be_bytes([length[0], length[1]]).into())
        })
        .collect()
}

/// Bytes of each NAL length in payloads that come with this avcC: 1 to 4.
///
/// # Errors
/// [`Error::Truncated`] or [`Error::Invalid`] when it is no avcC of version 1.
pub fn nal_length_size(config: &[u8]) -> Result<u8, Error> {
    match config {
        [1, _, _, _, sizes, ..] => Ok((sizes & 3) + 1),
        [version, _, _, _, _, ..] => Err(Error::Invalid { field: "avcC version", value: (*version).into() }),
        _ => Err(Error::Truncated { bytes: config.len() }),
    }
}

/// The avcC with 4-byte lengths that holds these parameter sets (NAL units without start code or length).
///
/// # Errors
/// [`Error::Missing`] without a set of either kind, [`Error::Invalid`] when there are more than 31 (sequence) or 255
/// (picture) or one has 64 KiB or more, and whatever the first sequence parameter set is refused for.
pub fn record_from_parameter_sets<B: AsRef<[u8]>>(sps: &[B], pps: &[B]) -> Result<Bytes, Error> {
    let first = sps.first().ok_or(Error::Missing("sequence parameter set"))?.as_ref();
    if pps.is_empty() {
        return Err(Error::Missing("picture parameter set"));
    }
    let facts = Sps::parse(first)?;
    let mut record = BytesMut::new();
    record.put_slice(&[1, facts.profile_idc, facts.constraints, facts.level_idc, 0xFF]);
    put_parameter_sets(&mut record, sps, 31, 0xE0)?;
    put_parameter_sets(&mut record, pps, 255, 0)?;
    if !matches!(facts.profile_idc, 66 | 77 | 88) {
        let depths = [facts.bit_depth_luma, facts.bit_depth_chroma].map(|depth| 0xF8 | (depth - 8));
        record.put_slice(&[0xFC | facts.chroma_format_idc, depths[0], depths[1], 0]);
    }
    Ok(record.freeze())
}

/// The avcC of a stream, from a payload that has its parameter sets.
pub(super) fn record_from_keyframe(payload: &[u8]) -> Result<Bytes, Error> {
    let units: Vec<&[u8]> = nal_units(payload).collect::<Result<_, _>>()?;
    let of = |kind: u8| {
        let mut sets: Vec<&[u8]> = units.iter().copied().filter(|nal| unit_type(nal) == kind).collect();
        sets.dedup();
        sets
    };
    record_from_parameter_sets(&of(unit::SPS), &of(unit::PPS))
}

fn put_parameter_sets(
    record: &mut BytesMut,
    sets: &[impl AsRef<[u8]>],
    most: u8,
    reserved: u8,
) -> Result<(), Error> {
    let count = u8::try_from(sets.len()).ok().filter(|count| *count <= most);
    let count =
        count.ok_or(Error::Invalid { field: "number of parameter sets", value: sets.len() as u64 })?;
    record.put_u8(reserved | count);
    for set in sets {
        let set = set.as_ref();
        let length = u16::try_from(set.len())
            .map_err(|_| Error::Invalid { field: "parameter set length", value: set.len() as u64 })?;
        record.put_u16(length);
        record.put_slice(set);
    }
    Ok(())
}

/// Whether decoding can start at this payload: it holds a slice of an IDR picture.
///
/// Looks at the units up to the first slice only. A payload with lying lengths is no keyframe.
pub fn is_keyframe(payload: &[u8]) -> bool {
    nal_units(payload)
        .map_while(Result::ok)
        .map(unit_type)
        .find(|kind| matches!(*kind, unit::SLICE | unit::SLICE_A | unit::IDR))
        .is_some_and(|kind| kind == unit::IDR)
}

/// The user_data_unregistered SEI messages of a payload: 16 bytes of UUID, and the bytes under it.
///
/// Lying lengths and messages that break off end it early; use [`nal_units`] to tell why.
pub fn user_data_unregistered(payload: &[u8]) -> impl Iterator<Item = ([u8; 16], Bytes)> {
    let units = nal_units(payload).map_while(Result::ok).filter(|nal| unit_type(nal) == unit::SEI);
    units.flat_map(|nal| sei::user_data_unregistered(&nal[1..]))
}

/// An SEI NAL unit (no length, no start code) that carries `data` under `uuid`; put it before the first slice.
pub fn user_data_unregistered_nal(uuid: [u8; 16], data: &[u8]) -> Bytes {
    sei::user_data_unregistered_nal(&[unit::SEI], uuid, data)
}

/// What an avcC says of the media, and the record with 4-byte lengths.
pub(super) fn params(config: Bytes) -> Result<CodecParams, Error> {
    let record = Record::parse(&config)?;
    let sps = Sps::parse(&record.sps[0])?;
    let config = if record.nal_length_size == 4 { config } else { with_four_byte_lengths(&config) };
    Ok(CodecParams {
        codec: Codec::H264,
        config,
        format: Format::Video(sps.video_format()),
        rfc6381: format!("avc1.{:02x}{:02x}{:02x}", sps.profile_idc, sps.constraints, sps.level_idc),
    })
}

fn with_four_byte_lengths(config: &[u8]) -> Bytes {
    let mut config = BytesMut::from(config);
    config[4] |= 3;
    config.freeze()
}

/// What a sequence parameter set says, as far as a streaming server needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sps {
    /// The profile.
    pub profile_idc: u8,
    /// constraint_set0_flag (highest bit) to constraint_set5_flag, and two reserved bits.
    pub constraints: u8,
    /// Ten times the level; 9 or 11 for level 1b.
    pub level_idc: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub chroma_format_idc: u8,
    /// Bits of a luma sample, 8 to 14.
    pub bit_depth_luma: u8,
    /// Bits of a chroma sample, 8 to 14.
    pub bit_depth_chroma: u8,
    /// Whether pictures may be coded as fields.
    pub interlaced: bool,
    /// Width in luma samples after cropping.
    pub width: u32,
    /// Height of a frame, not a field, in luma samples after cropping.
    pub height: u32,
    /// Frames (not fields) per second, where the VUI states a timing.
    pub frame_rate: Option<(u32, u32)>,
    /// Frames that may be shown after a later-decoded one, where stated or implied by profile or `poc_type`.
    pub reorder_depth: Option<u8>,
}

impl Sps {
    /// Reads a sequence parameter set, a NAL unit without start code or length.
    ///
    /// The VUI does not affect decoding, and encoders are known that cut it short: what it says up to there counts.
    ///
    /// # Errors
    /// [`Error::Missing`] when the unit is of another type, [`Error::Truncated`] and [`Error::Invalid`] when it
    /// breaks off before the VUI or contradicts the standard.
    pub fn parse(nal: &[u8]) -> Result<Self, Error> {
        if unit_type(nal) != unit::SPS {
            return Err(Error::Missing("sequence parameter set"));
        }
        let rbsp = unescape(&nal[1..]);
        let mut bits = BitReader::new(&rbsp);
        let [profile_idc, constraints, level_idc] = [bits.byte(8)?, bits.byte(8)?, bits.byte(8)?];
        bits.ue_up_to(31, "seq_parameter_set_id")?;
        let chroma = Chroma::read(&mut bits, profile_idc)?;
        bits.ue_up_to(12, "log2_max_frame_num_minus4")?;
        let poc_type = read_poc_type(&mut bits)?;
        bits.ue_up_to(16, "max_num_ref_frames")?;
        bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
        let picture = Picture::read(&mut bits, &chroma)?;
        let mut vui = Vui::default();
        if bits.flag()? {
            // Cut short: see above.
            let _ = vui.read(&mut bits);
        }
        let intra_only = INTRA_PROFILES.contains(&profile_idc) && constraints & 0x10 != 0;
        let in_order = profile_idc == 66 || poc_type == 2 || intra_only;
        Ok(Self {
            profile_idc,
            constraints,
            level_idc,
            chroma_format_idc: chroma.format_idc,
            bit_depth_luma: chroma.bit_depth_luma,
            bit_depth_chroma: chroma.bit_depth_chroma,
            interlaced: picture.interlaced,
            width: picture.width,
            height: picture.height,
            frame_rate: vui.frame_rate,
            reorder_depth: vui.reorder_depth.or(if in_order { Some(0) } else { None }),
        })
    }

    const fn video_format(&self) -> VideoFormat {
        VideoFormat {
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            reorder_depth: self.reorder_depth,
        }
    }
}

/// How samples are stored.
struct Chroma {
    /// As ChromaArrayType: 0 also where the three planes are coded apart.
    array_type: u8,
    format_idc: u8,
    bit_depth_luma: u8,
    bit_depth_chroma: u8,
}

impl Chroma {
    fn read(bits: &mut BitReader<'_>, profile_idc: u8) -> Result<Self, Error> {
        if !HIGH_PROFILES.contains(&profile_idc) {
            return Ok(Self { array_type: 1, format_idc: 1, bit_depth_luma: 8, bit_depth_chroma: 8 });
        }
        let format_idc = bits.ue_up_to(3, "chroma_format_idc")? as u8;
        let planes_apart = format_idc == 3 && bits.flag()?;
        let bit_depth_luma = bits.ue_up_to(6, "bit_depth_luma_minus8")? as u8 + 8;
        let bit_depth_chroma = bits.ue_up_to(6, "bit_depth_chroma_minus8")? as u8 + 8;
        bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            for list in 0..if format_idc == 3 { 12 } else { 8 } {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        let array_type = if planes_apart { 0 } else { format_idc };
        Ok(Self { array_type, format_idc, bit_depth_luma, bit_depth_chroma })
    }
}

/// ISO/IEC 14496-10 §7.3.2.1.1.1; its numbers do not matter here.
fn skip_scaling_list(bits: &mut BitReader<'_>, size: usize) -> Result<(), Error> {
    let mut last = 8;
    for _ in 0..size {
        let next = (last + bits.se()?).rem_euclid(256);
        if next == 0 {
            return Ok(());
        }
        last = next;
    }
    Ok(())
}

fn read_poc_type(bits: &mut BitReader<'_>) -> Result<u32, Error> {
    let poc_type = bits.ue_up_to(2, "pic_order_cnt_type")?;
    match poc_type {
        0 => {
            bits.ue_up_to(12, "log2_max_pic_order_cnt_lsb_minus4")?;
        }
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.se()?; // offset_for_non_ref_pic
            bits.se()?; // offset_for_top_to_bottom_field
            for _ in 0..bits.ue_up_to(255, "num_ref_frames_in_pic_order_cnt_cycle")? {
                bits.se()?;
            }
        }
        _ => {}
    }
    Ok(poc_type)
}

/// The size of the picture as shown.
struct Picture {
    width: u32,
    height: u32,
    interlaced: bool,
}

impl Picture {
    fn read(bits: &mut BitReader<'_>, chroma: &Chroma) -> Result<Self, Error> {
        // 4,096 macroblocks are 65,536 samples, beyond every level and every container's 16 bits.
        let width_mbs = bits.ue_up_to(4_095, "pic_width_in_mbs_minus1")? + 1;
        let height_units = bits.ue_up_to(4_095, "pic_height_in_map_units_minus1")? + 1;
        let frames_only = bits.flag()?;
        if !frames_only {
            bits.skip(1)?; // mb_adaptive_frame_field_flag
        }
        bits.skip(1)?; // direct_8x8_inference_flag
        let fields = if frames_only { 1 } else { 2 };
        let [mut width, mut height] = [width_mbs * 16, height_units * 16 * fields];
        if bits.flag()? {
            // Table 6-1 and equations 7-19 to 7-22.
            let unit_x = if matches!(chroma.array_type, 1 | 2) { 2 } else { 1 };
            let unit_y = fields * if chroma.array_type == 1 { 2 } else { 1 };
            width = cropped(bits, width, unit_x)?;
            height = cropped(bits, height, unit_y)?;
        }
        Ok(Self { width, height, interlaced: !frames_only })
    }
}

/// `size` less the two crop offsets that follow, in `unit`s.
fn cropped(bits: &mut BitReader<'_>, size: u32, unit: u32) -> Result<u32, Error> {
    let crop = (u64::from(bits.ue()?) + u64::from(bits.ue()?)) * u64::from(unit);
    let left = u64::from(size).checked_sub(crop).filter(|left| *left > 0);
    let left = left.ok_or(Error::Invalid { field: "frame cropping", value: crop })?;
    Ok(u32::try_from(left).expect("not larger than the size"))
}

/// What the video usability information says (annex E).
#[derive(Default)]
struct Vui {
    frame_rate: Option<(u32, u32)>,
    reorder_depth: Option<u8>,
}

impl Vui {
    /// Fills in what it reads; on an error, what came before it stays.
    fn read(&mut self, bits: &mut BitReader<'_>) -> Result<(), Error> {
        skip_display(bits)?;
        if bits.flag()? {
            let (units_in_tick, time_scale) = (bits.read(32)?, bits.read(32)?);
            bits.skip(1)?; // fixed_frame_rate_flag
            // A tick is a field, whether the pictures are fields or frames (§E.2.1).
            self.frame_rate = frame_rate(time_scale.into(), 2 * u64::from(units_in_tick));
        }
        let nal_hrd = bits.flag()?;
        if nal_hrd {
            skip_hrd(bits)?;
        }
        let vcl_hrd = bits.flag()?;
        if vcl_hrd {
            skip_hrd(bits)?;
        }
        if nal_hrd || vcl_hrd {
            bits.skip(1)?; // low_delay_hrd_flag
        }
        bits.skip(1)?; // pic_struct_present_flag
        if bits.flag()? {
            bits.skip(1)?; // motion_vectors_over_pic_boundaries_flag
            for _ in 0..4 {
                bits.ue()?; // max_bytes_per_pic_denom to log2_max_mv_length_vertical
            }
            self.reorder_depth = Some(bits.ue_up_to(16, "max_num_reorder_frames")? as u8);
        }
        Ok(())
    }
}

/// ISO/IEC 14496-10 §E.1.2.
fn skip_hrd(bits: &mut BitReader<'_>) -> Result<(), Error> {
    let count = bits.ue_up_to(31, "cpb_cnt_minus1")? + 1;
    bits.skip(8)?; // bit_rate_scale, cpb_size_scale
    for _ in 0..count {
        bits.ue()?; // bit_rate_value_minus1
        bits.ue()?; // cpb_size_value_minus1
        bits.skip(1)?; // cbr_flag
    }
    bits.skip(20) // four lengths of 5 bits
}

#[cfg(test)]
mod tests;
