//! AV1: the av1C record (AV1-ISOBMFF §2.3), the sequence header (AV1 bitstream specification §5.5), and which
//! temporal units are keyframes.

use std::fmt::Write as _;

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, bits::BitReader, frame_rate};
use crate::{Codec, CodecParams, Format, VideoFormat};

/// Bytes of an av1C before its OBUs.
const RECORD_BYTES: usize = 4;
/// marker 1 and version 1.
const RECORD_MARKER: u8 = 0x81;

/// `obu_type` values (§6.2.2).
mod obu {
    pub(super) const SEQUENCE_HEADER: u8 = 1;
    pub(super) const FRAME_HEADER: u8 = 3;
    pub(super) const FRAME: u8 = 6;
}

/// One open bitstream unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub kind: u8,
    /// The byte of temporal_id and spatial_id behind the header, where it has one.
    pub extension: Option<u8>,
    /// What stands behind header and size.
    pub payload: &'a [u8],
}

/// The OBUs at the front of each other in `bytes`. One without a size field reaches to the end.
///
/// A size that points past the end is one [`Error`], and the iterator ends there.
pub fn obus(bytes: &[u8]) -> Obus<'_> {
    Obus { rest: bytes }
}

/// See [`obus`].
#[derive(Clone, Debug)]
pub struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Obus<'a> {
    /// The unit at the front of `rest` (§5.3), which is not empty.
    fn split(&mut self) -> Result<Obu<'a>, Error> {
        let truncated = Error::Truncated { bytes: self.rest.len() };
        let header = self.rest[0];
        if header & 0x80 != 0 {
            return Err(Error::Invalid { field: "obu_forbidden_bit", value: 1 });
        }
        let header_bytes = if header & 4 == 0 { 1 } else { 2 };
        let extension = self.rest.get(1..header_bytes).and_then(|extension| extension.first()).copied();
        let mut payload = self.rest.get(header_bytes..).ok_or_else(|| truncated.clone())?;
        self.rest = &[];
        if header & 2 != 0 {
            let (size, after) = split_leb128(payload)?;
            (payload, self.rest) = after.split_at_checked(size).ok_or(truncated)?;
        }
        Ok(Obu { kind: (header >> 3) & 0xF, extension, payload })
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Result<Obu<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let unit = self.split();
        if unit.is_err() {
            self.rest = &[];
        }
        Some(unit)
    }
}

/// A number in groups of seven bits, lowest first (§4.10.5): at most eight bytes and 32 bits.
pub(crate) fn split_leb128(bytes: &[u8]) -> Result<(usize, &[u8]), Error> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let size = u32::try_from(value).map_err(|_| Error::Invalid { field: "obu_size", value })?;
            return Ok((size as usize, &bytes[at + 1..]));
        }
    }
    Err(if bytes.len() < 8 {
        Error::Truncated { bytes: bytes.len() }
    } else {
        Error::Invalid { field: "obu_size", value }
    })
}

/// Appends `value` in that form, as short as it can be.
pub(crate) fn put_leb128(record: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        record.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    record.put_u8(value as u8);
}

/// Whether decoding can start at this temporal unit: its first frame is a key frame that is shown at once.
pub fn is_keyframe(payload: &[u8]) -> bool {
    let mut still_picture = false;
    for unit in obus(payload).map_while(Result::ok) {
        match (unit.kind, unit.payload) {
            // reduced_still_picture_header: such a frame has no header bits, and is always a key frame.
            (obu::SEQUENCE_HEADER, [flags, ..]) => still_picture = flags & 0x08 != 0,
            // show_existing_frame 0, frame_type 0 (KEY_FRAME), show_frame 1 (§5.9.2).
            (obu::FRAME | obu::FRAME_HEADER, [flags, ..]) => return still_picture || flags & 0xF0 == 0x10,
            _ => {}
        }
    }
    false
}

/// What a sequence header says, as far as a streaming server needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceHeader {
    /// seq_profile: 0 Main, 1 High, 2 Professional.
    pub profile: u8,
    /// seq_level_idx of operating point 0; 8 is level 4.0, 31 no level.
    pub level_idx: u8,
    /// Whether the tier of operating point 0 is High rather than Main.
    pub high_tier: bool,
    /// How samples are coded.
    pub color: Color,
    /// Largest width of a frame.
    pub width: u32,
    /// Largest height of a frame.
    pub height: u32,
    /// Frames per second, where all are shown for the same time.
    pub frame_rate: Option<(u32, u32)>,
}

/// color_config (§5.5.2). The three codes are those of ISO/IEC 23091-2; 2 is unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color {
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// No chroma at all.
    pub monochrome: bool,
    /// Chroma has half the width.
    pub subsampling_x: bool,
    /// Chroma has half the height.
    pub subsampling_y: bool,
    /// chroma_sample_position.
    pub sample_position: u8,
    /// color_primaries.
    pub primaries: u8,
    /// transfer_characteristics.
    pub transfer: u8,
    /// matrix_coefficients.
    pub matrix: u8,
    /// Samples use the full range.
    pub full_range: bool,
}

impl SequenceHeader {
    /// Reads the payload of a sequence header OBU.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it breaks off, [`Error::Invalid`] for a reserved profile.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(payload);
        let profile = bits.byte(3)?;
        if profile > 2 {
            return Err(Error::Invalid { field: "seq_profile", value: profile.into() });
        }
        bits.skip(1)?; // still_picture
        let reduced = bits.flag()?;
        let points = if reduced {
            OperatingPoints { level_idx: bits.byte(5)?, high_tier: false, frame_rate: None }
        } else {
            OperatingPoints::read(&mut bits)?
        };
        let [width_bits, height_bits] = [bits.read(4)? as usize + 1, bits.read(4)? as usize + 1];
        let [width, height] = [bits.read(width_bits)? + 1, bits.read(height_bits)? + 1];
        skip_tools(&mut bits, reduced)?;
        let color = Color::read(&mut bits, profile)?;
        let OperatingPoints { level_idx, high_tier, frame_rate } = points;
        Ok(Self { profile, level_idx, high_tier, color, width, height, frame_rate })
    }

    /// The first sequence header among the OBUs of `bytes`, a temporal unit or what an av1C holds.
    ///
    /// # Errors
    /// Those of [`Self::parse`] and [`obus`].
    pub fn find(bytes: &[u8]) -> Result<Option<Self>, Error> {
        for unit in obus(bytes) {
            let unit = unit?;
            if unit.kind == obu::SEQUENCE_HEADER {
                return Self::parse(unit.payload).map(Some);
            }
        }
        Ok(None)
    }

    /// The first four bytes of an av1C.
    fn record_head(&self) -> [u8; RECORD_BYTES] {
        let color = &self.color;
        let flags = [
            self.high_tier,
            color.bit_depth > 8,
            color.bit_depth == 12,
            color.monochrome,
            color.subsampling_x,
            color.subsampling_y,
        ];
        let flags = flags.iter().fold(0u8, |bits, flag| (bits << 1) | u8::from(*flag));
        let level = (self.profile << 5) | self.level_idx;
        [RECORD_MARKER, level, (flags << 2) | color.sample_position, 0]
    }

    /// The codec string of AV1-ISOBMFF §5: short where the color is what the short form means.
    fn rfc6381(&self) -> String {
        let Color { bit_depth, primaries, transfer, matrix, full_range, .. } = self.color;
        let mut string = short_string(self.profile, self.level_idx, self.high_tier, bit_depth);
        let unspecified = [2, 2, 2, 0];
        let color = [primaries, transfer, matrix, u8::from(full_range)];
        if !self.color.is_420() || (color != unspecified && color != [1, 1, 1, 0]) {
            let monochrome = u8::from(self.color.monochrome);
            let [x, y] = [self.color.subsampling_x, self.color.subsampling_y].map(u8::from);
            let position = if x == 1 && y == 1 { self.color.sample_position } else { 0 };
            let range = color[3];
            let _ = write!(
                string,
                ".{monochrome}.{x}{y}{position}.{primaries:02}.{transfer:02}.{matrix:02}.{range}"
            ); // a String takes all
        }
        string
    }

    const fn video_format(&self) -> VideoFormat {
        VideoFormat {
            width: self.width,
            height: self.height,
            frame_rate: self.frame_rate,
            reorder_depth: Some(0),
        }
    }
}

fn short_string(profile: u8, level_idx: u8, high_tier: bool, bit_depth: u8) -> String {
    let tier = if high_tier { 'H' } else { 'M' };
    format!("av01.{profile}.{level_idx:02}{tier}.{bit_depth:02}")
}

/// The first operating point and the timing before it.
struct OperatingPoints {
    level_idx: u8,
    high_tier: bool,
    frame_rate: Option<(u32, u32)>,
}

impl OperatingPoints {
    fn read(bits: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut delay_bits = None;
        let mut rate = None;
        if bits.flag()? {
            rate = read_frame_rate(bits)?;
            if bits.flag()? {
                delay_bits = Some(bits.read(5)? as usize + 1);
                bits.skip(32 + 5 + 5)?; // num_units_in_decoding_tick and two lengths
            }
        }
        let initial_delay_present = bits.flag()?;
        let mut first = None;
        for _ in 0..=bits.read(5)? {
            bits.skip(12)?; // operating_point_idc
            let level_idx = bits.byte(5)?;
            let high_tier = level_idx > 7 && bits.flag()?;
            if let Some(delay_bits) = delay_bits
                && bits.flag()?
            {
                bits.skip(2 * delay_bits + 1)?; // operating_parameters_info
            }
            if initial_delay_present && bits.flag()? {
                bits.skip(4)?; // initial_display_delay_minus_1
            }
            first.get_or_insert((level_idx, high_tier));
        }
        let (level_idx, high_tier) = first.expect("the loop runs at least once");
        Ok(Self { level_idx, high_tier, frame_rate: rate })
    }
}

/// timing_info (§5.5.3).
fn read_frame_rate(bits: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, Error> {
    let (units_in_tick, time_scale) = (bits.read(32)?, bits.read(32)?);
    if !bits.flag()? {
        return Ok(None); // equal_picture_interval 0: the pictures have no common rate
    }
    let ticks = u64::from(bits.ue()?) + 1; // num_ticks_per_picture_minus_1, as Exp-Golomb (uvlc)
    let Some(denominator) = ticks.checked_mul(units_in_tick.into()) else { return Ok(None) };
    Ok(frame_rate(time_scale.into(), denominator))
}

/// What stands between the size and the color.
fn skip_tools(bits: &mut BitReader<'_>, reduced: bool) -> Result<(), Error> {
    if !reduced && bits.flag()? {
        bits.skip(4 + 3)?; // frame id lengths
    }
    bits.skip(3)?; // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    if !reduced {
        bits.skip(4)?; // inter tools
        let order_hint = bits.flag()?;
        if order_hint {
            bits.skip(2)?; // enable_jnt_comp, enable_ref_frame_mvs
        }
        // seq_choose_screen_content_tools, or else whether they are forced.
        let screen_content = bits.flag()? || bits.flag()?;
        // seq_choose_integer_mv, or else the choice.
        if screen_content && !bits.flag()? {
            bits.skip(1)?;
        }
        if order_hint {
            bits.skip(3)?; // order_hint_bits_minus_1
        }
    }
    bits.skip(3) // enable_superres, enable_cdef, enable_restoration
}

impl Color {
    fn read(bits: &mut BitReader<'_>, profile: u8) -> Result<Self, Error> {
        let high_bit_depth = bits.flag()?;
        let bit_depth = match (high_bit_depth, profile) {
            (true, 2) if bits.flag()? => 12,
            (true, _) => 10,
            (false, _) => 8,
        };
        let monochrome = profile != 1 && bits.flag()?;
        let [mut primaries, mut transfer, mut matrix] = [2; 3];
        if bits.flag()? {
            [primaries, transfer, matrix] = [bits.byte(8)?, bits.byte(8)?, bits.byte(8)?];
        }
        // sRGB is always 4:4:4 and of full range.
        let srgb = !monochrome && [primaries, transfer, matrix] == [1, 13, 0];
        let full_range = srgb || bits.flag()?;
        let [subsampling_x, subsampling_y] = match (profile, bit_depth) {
            _ if monochrome => [true, true],
            _ if srgb => [false, false],
            (0, _) => [true, true],
            (1, _) => [false, false],
            (_, 12) => {
                let x = bits.flag()?;
                [x, x && bits.flag()?]
            }
            _ => [true, false],
        };
        let positioned = subsampling_x && subsampling_y && !monochrome;
        let sample_position = if positioned { bits.byte(2)? } else { 0 };
        Ok(Self {
            bit_depth,
            monochrome,
            subsampling_x,
            subsampling_y,
            sample_position,
            primaries,
            transfer,
            matrix,
            full_range,
        })
    }

    const fn is_420(&self) -> bool {
        self.subsampling_x && self.subsampling_y && !self.monochrome
    }
}

/// The av1C of a stream, from one of its sequence header OBUs, with or without size field.
///
/// # Errors
/// [`Error::Missing`] when `obu` is no sequence header, and those of [`SequenceHeader::parse`].
pub fn record_from_sequence_header(obu: &[u8]) -> Result<Bytes, Error> {
    let unit = obus(obu).next().transpose()?.filter(|unit| unit.kind == obu::SEQUENCE_HEADER);
    let unit = unit.ok_or(Error::Missing("sequence header OBU"))?;
    record(unit.payload)
}

fn record(sequence_header: &[u8]) -> Result<Bytes, Error> {
    let mut record = BytesMut::new();
    record.put_slice(&SequenceHeader::parse(sequence_header)?.record_head());
    record.put_u8((obu::SEQUENCE_HEADER << 3) | 2); // has_size_field
    put_leb128(&mut record, sequence_header.len());
    record.put_slice(sequence_header);
    Ok(record.freeze())
}

/// The av1C of a stream, from a temporal unit that has its sequence header.
pub(super) fn record_from_keyframe(payload: &[u8]) -> Result<Bytes, Error> {
    for unit in obus(payload) {
        let unit = unit?;
        if unit.kind == obu::SEQUENCE_HEADER {
            return record(unit.payload);
        }
    }
    Err(Error::Missing("sequence header OBU"))
}

/// What an av1C says of the media. Without a sequence header in it, the size is 0 by 0.
pub(super) fn params(config: Bytes) -> Result<CodecParams, Error> {
    let head = config.first_chunk::<RECORD_BYTES>().ok_or(Error::Truncated { bytes: config.len() })?;
    if head[0] != RECORD_MARKER {
        return Err(Error::Invalid { field: "av1C marker and version", value: head[0].into() });
    }
    let header = SequenceHeader::find(&config[RECORD_BYTES..])?;
    let (format, rfc6381) = match &header {
        Some(header) => (header.video_format(), header.rfc6381()),
        None => {
            let bit_depth = [8, 8, 10, 12][usize::from((head[2] >> 5) & 3)];
            let string = short_string(head[1] >> 5, head[1] & 0x1F, head[2] & 0x80 != 0, bit_depth);
            (VideoFormat { reorder_depth: Some(0), ..VideoFormat::default() }, string)
        }
    };
    Ok(CodecParams { codec: Codec::Av1, config, format: Format::Video(format), rfc6381 })
}

#[cfg(test)]
mod tests;
