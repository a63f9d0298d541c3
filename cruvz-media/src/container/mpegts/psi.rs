//! Program association and program map (ISO/IEC 13818-1 §2.4.4.3, §2.4.4.8), read and written.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    MAX_PID,
    section::{CRC_BYTES, crc32},
};
use crate::CodecParams;

/// The stream that the program association is on.
pub(super) const PAT_PID: u16 = 0;
const PAT_TABLE: u8 = 0;
const PMT_TABLE: u8 = 2;
/// From table_id to last_section_number.
const HEADER_BYTES: usize = 8;

/// stream_type values (table 2-34; 0x81 and up: ATSC A/52 and SCTE 35, as all muxers write them).
pub(super) mod stream_type {
    pub(in super::super) const MPEG1_AUDIO: u8 = 0x03;
    pub(in super::super) const MPEG2_AUDIO: u8 = 0x04;
    pub(in super::super) const PRIVATE_SECTIONS: u8 = 0x05;
    pub(in super::super) const PRIVATE_PES: u8 = 0x06;
    /// The first of four types of DSM-CC, in sections.
    pub(in super::super) const DSMCC_A: u8 = 0x0A;
    pub(in super::super) const DSMCC_D: u8 = 0x0D;
    pub(in super::super) const AAC_ADTS: u8 = 0x0F;
    pub(in super::super) const AAC_LATM: u8 = 0x11;
    pub(in super::super) const METADATA_PES: u8 = 0x15;
    pub(in super::super) const H264: u8 = 0x1B;
    pub(in super::super) const H265: u8 = 0x24;
    pub(in super::super) const AC3: u8 = 0x81;
    pub(in super::super) const SCTE35: u8 = 0x86;
    pub(in super::super) const EAC3: u8 = 0x87;
}

/// Whether streams of this type are sections rather than PES packets.
pub(super) const fn is_section_type(kind: u8) -> bool {
    matches!(
        kind,
        stream_type::PRIVATE_SECTIONS | stream_type::DSMCC_A..=stream_type::DSMCC_D | stream_type::SCTE35
    )
}

/// What a section of the program association says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pat<'a> {
    /// Its place among the sections of the table.
    pub(super) section: u8,
    entries: &'a [u8],
}

impl<'a> Pat<'a> {
    /// Reads a section; `None` when it is no valid program association. One that is not in force yet is valid and empty.
    pub(super) fn parse(section: &'a [u8]) -> Option<Self> {
        let (header, body) = parse_header(section, PAT_TABLE)?;
        Some(Self { section: header[6], entries: if is_current(header) { body } else { &[] } })
    }

    /// Program numbers, and where their maps are. Program 0 is the network's table and no program.
    pub(super) fn programs(&self) -> impl Iterator<Item = (u16, u16)> {
        let entries = self.entries.as_chunks::<4>().0.iter();
        let entries = entries.map(|&[high, low, pid_high, pid_low]| {
            (u16::from_be_bytes([high, low]), u16::from_be_bytes([pid_high, pid_low]) & MAX_PID)
        });
        entries.filter(|(program, _)| *program != 0)
    }
}

/// What the program map says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pmt {
    pub(super) program: u16,
    pub(super) streams: Vec<StreamInfo>,
}

/// A stream as the program map has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamInfo {
    pub(super) stream_type: u8,
    pub(super) pid: u16,
    pub(super) descriptors: Bytes,
}

impl Pmt {
    /// Reads a section; `None` when it is no valid program map, `Some(None)` when it is not in force yet.
    pub(super) fn parse(section: &[u8]) -> Option<Option<Self>> {
        let (header, body) = parse_header(section, PMT_TABLE)?;
        if !is_current(header) {
            return Some(None);
        }
        let program = u16::from_be_bytes([header[3], header[4]]);
        // PCR_PID, program_info_length and the descriptors under it.
        let (fixed, rest) = body.split_first_chunk::<4>()?;
        let (_, mut rest) = rest.split_at_checked(twelve_bits(fixed[2], fixed[3]))?;
        let mut streams = Vec::new();
        while let Some((&[stream_type, pid_high, pid_low, length_high, length_low], after)) =
            rest.split_first_chunk()
        {
            let (descriptors, after) = after.split_at_checked(twelve_bits(length_high, length_low))?;
            let pid = u16::from_be_bytes([pid_high, pid_low]) & MAX_PID;
            let descriptors = Bytes::copy_from_slice(descriptors);
            streams.push(StreamInfo { stream_type, pid, descriptors });
            rest = after;
        }
        rest.is_empty().then_some(Some(Self { program, streams }))
    }
}

impl StreamInfo {
    /// What a muxer needs to write the stream again, for data that is handed on as it is.
    pub(super) fn data_params(&self) -> CodecParams {
        let mut config = BytesMut::with_capacity(1 + self.descriptors.len());
        config.put_u8(self.stream_type);
        config.put_slice(&self.descriptors);
        CodecParams::ts_data(config.freeze())
    }

    /// Tags and contents of its descriptors, up to one that is cut short.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &self.descriptors[..];
        std::iter::from_fn(move || {
            let (&[tag, length], after) = rest.split_first_chunk()?;
            let (content, after) = after.split_at_checked(length.into())?;
            rest = after;
            Some((tag, content))
        })
    }
}

/// The header of a long section and its body, when table and checksum are right.
fn parse_header(section: &[u8], table: u8) -> Option<(&[u8; HEADER_BYTES], &[u8])> {
    let (header, rest) = section.split_first_chunk::<HEADER_BYTES>()?;
    let body = &rest[..rest.len().checked_sub(CRC_BYTES)?];
    // Fuzzers would never guess a checksum.
    let is_sound = cfg!(fuzzing) || crc32(section) == 0;
    (header[0] == table && header[1] & 0x80 != 0 && is_sound).then_some((header, body))
}

/// current_next_indicator.
const fn is_current(header: &[u8; HEADER_BYTES]) -> bool {
    header[5] & 1 == 1
}

const fn twelve_bits(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high & 0x0F, low]) as usize
}

/// The section of a program association with this one program.
pub(super) fn pat(program: u16, pmt_pid: u16) -> Bytes {
    let mut body = BytesMut::new();
    body.put_u16(program);
    body.put_u16(0xE000 | pmt_pid);
    // transport_stream_id 1, as good as any.
    section(PAT_TABLE, 1, 0, &body)
}

/// The section of a program map, `None` when the streams do not fit.
pub(super) fn pmt(program: u16, version: u8, pcr_pid: u16, streams: &[StreamInfo]) -> Option<Bytes> {
    /// §2.4.4.9: section_length is at most 1,021.
    const MAX_BODY_BYTES: usize = 1_021 + 3 - HEADER_BYTES - CRC_BYTES;
    let mut body = BytesMut::new();
    body.put_u16(0xE000 | pcr_pid);
    body.put_u16(0xF000);
    for stream in streams {
        body.put_u8(stream.stream_type);
        body.put_u16(0xE000 | stream.pid);
        body.put_u16(0xF000 | u16::try_from(stream.descriptors.len()).ok().filter(|length| *length < 1_024)?);
        body.put_slice(&stream.descriptors);
    }
    (body.len() <= MAX_BODY_BYTES).then(|| section(PMT_TABLE, program, version, &body))
}

fn section(table: u8, id: u16, version: u8, body: &[u8]) -> Bytes {
    let mut section = BytesMut::with_capacity(HEADER_BYTES + body.len() + CRC_BYTES);
    section.put_u8(table);
    // section_syntax_indicator, '0', reserved; then what follows.
    section.put_u16(0xB000 | (HEADER_BYTES - 3 + body.len() + CRC_BYTES) as u16);
    section.put_u16(id);
    // reserved, version_number, current_next_indicator; the only section.
    section.put_slice(&[0xC1 | (version & 0x1F) << 1, 0, 0]);
    section.put_slice(body);
    let crc = crc32(&section);
    section.put_u32(crc);
    section.freeze()
}
