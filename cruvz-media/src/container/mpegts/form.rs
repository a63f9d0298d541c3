//! How the frames of each codec stand in a transport stream.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    cue,
    elementary::REGISTRATION,
    opus,
    pes::timestamp_bytes,
    psi::{StreamInfo, is_section_type, stream_type},
};
use crate::{
    Codec, CodecParams, Frame, Timescale,
    codec::{aac::AudioSpecificConfig, h264, h265, nal},
};

/// stream_id values (ISO/IEC 13818-1 table 2-22).
mod stream_id {
    pub(super) const PRIVATE_1: u8 = 0xBD;
    pub(super) const AUDIO: u8 = 0xC0;
    pub(super) const VIDEO: u8 = 0xE0;
    pub(super) const METADATA: u8 = 0xFC;
}

/// Bytes of a PES header's fixed part, and of each timestamp.
const HEADER_BYTES: usize = 9;
const TIMESTAMP_BYTES: usize = 5;

/// What stands before and around the payloads of a track.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// H.264 and H.265: a delimiter, then, at a keyframe, these parameter sets; all behind start codes.
    Video { delimiter: &'static [u8], sets: Bytes, is_h265: bool },
    /// AAC behind ADTS headers.
    Adts(AudioSpecificConfig),
    /// Opus behind control headers; the descriptors that go with it.
    Opus(Bytes),
    /// As it is, under this stream_id.
    Bare(u8),
    /// Sections.
    Sections,
    /// SCTE 35 sections.
    Cues,
}

impl Form {
    /// The form of a track; `None` where it has none.
    pub(super) fn of(params: &CodecParams) -> Option<Self> {
        match params.codec {
            Codec::H264 => {
                let record = h264::Record::parse(&params.config).ok()?;
                // Any picture type follows (ISO/IEC 14496-10 §7.3.2.4).
                let delimiter = &[0, 0, 0, 1, 0x09, 0xF0];
                let sets = annex_b(record.sps.iter().chain(&record.pps));
                Some(Self::Video { delimiter, sets, is_h265: false })
            }
            Codec::H265 => {
                let record = h265::Record::parse(&params.config).ok()?;
                let delimiter = &[0, 0, 0, 1, 0x46, 0x01, 0x50];
                let sets = annex_b(record.vps.iter().chain(&record.sps).chain(&record.pps));
                Some(Self::Video { delimiter, sets, is_h265: true })
            }
            Codec::Aac => {
                let config = AudioSpecificConfig::parse(&params.config).ok()?;
                config.adts_header(0).ok().map(|_| Self::Adts(config))
            }
            Codec::Opus => opus::descriptors(&params.config).map(Self::Opus),
            Codec::Mp3 => Some(Self::Bare(stream_id::AUDIO)),
            Codec::Ac3 | Codec::Eac3 => Some(Self::Bare(stream_id::PRIVATE_1)),
            Codec::TsData => match *params.config.first()? {
                stream_type::SCTE35 => Some(Self::Cues),
                kind if is_section_type(kind) => Some(Self::Sections),
                // Timed ID3 goes as Apple has it; other metadata as ISO/IEC 13818-1 §2.12 has it.
                stream_type::METADATA_PES if !params.config.windows(4).any(|four| four == b"ID3 ") => {
                    Some(Self::Bare(stream_id::METADATA))
                }
                _ => Some(Self::Bare(stream_id::PRIVATE_1)),
            },
            Codec::Av1 | Codec::Flac | Codec::ScriptData | Codec::Vp8 | Codec::Vp9 => None,
        }
    }

    pub(super) const fn is_section(&self) -> bool {
        matches!(self, Self::Sections | Self::Cues)
    }

    /// The track's entry in the program map.
    pub(super) fn stream_info(&self, pid: u16, params: &CodecParams) -> StreamInfo {
        let registered = |name: &[u8; 4]| [&[REGISTRATION, 4][..], name].concat().into();
        let (stream_type, descriptors) = match (params.codec, self) {
            (_, Self::Opus(descriptors)) => (stream_type::PRIVATE_PES, descriptors.clone()),
            (Codec::H264, _) => (stream_type::H264, Bytes::new()),
            (Codec::H265, _) => (stream_type::H265, registered(b"HEVC")),
            (Codec::Ac3, _) => (stream_type::AC3, registered(b"AC-3")),
            (Codec::Eac3, _) => (stream_type::EAC3, registered(b"EAC3")),
            (Codec::Mp3, _) if params.audio().is_some_and(|audio| audio.sample_rate_hz < 32_000) => {
                (stream_type::MPEG2_AUDIO, Bytes::new())
            }
            (Codec::Mp3, _) => (stream_type::MPEG1_AUDIO, Bytes::new()),
            (Codec::TsData, _) => {
                (params.config.first().copied().unwrap_or(stream_type::PRIVATE_PES), params.config.slice(1..))
            }
            _ => (stream_type::AAC_ADTS, Bytes::new()),
        };
        StreamInfo { stream_type, pid, descriptors }
    }

    /// Writes `frame` as a PES packet, its times moved by `delay` ticks, or as a section; `None` where its payload is broken.
    pub(super) fn put(&self, frame: &Frame, delay: i64, out: &mut BytesMut) -> Option<()> {
        if frame.payload.is_empty() {
            return None;
        }
        let stream_id = match self {
            Self::Sections => {
                out.put_slice(&frame.payload);
                return Some(());
            }
            Self::Cues => {
                let at = frame.pts.rescale(Timescale::MPEG).ticks().saturating_add(delay);
                out.put_slice(&cue::moved(&frame.payload, at)?);
                return Some(());
            }
            Self::Video { .. } => stream_id::VIDEO,
            Self::Adts(_) => stream_id::AUDIO,
            Self::Opus(_) => stream_id::PRIVATE_1,
            Self::Bare(stream_id) => *stream_id,
        };
        put_pes_header(stream_id, frame, delay, out);
        match self {
            Self::Video { delimiter, sets, is_h265 } => {
                put_access_unit(delimiter, sets, *is_h265, frame, out)?;
            }
            Self::Adts(config) => {
                out.put_slice(&config.adts_header(frame.payload.len()).ok()?);
                out.put_slice(&frame.payload);
            }
            Self::Opus(_) => {
                opus::put_header(&frame.payload, out);
                out.put_slice(&frame.payload);
            }
            Self::Bare(_) | Self::Sections | Self::Cues => out.put_slice(&frame.payload),
        }
        // PES_packet_length: 0 where it does not fit, which only video may have.
        match u16::try_from(out.len() - 6) {
            Ok(length) => out[4..6].copy_from_slice(&length.to_be_bytes()),
            Err(_) if stream_id != stream_id::VIDEO => return None,
            Err(_) => {}
        }
        Some(())
    }
}

/// Writes the header of a PES packet, without its length.
fn put_pes_header(stream_id: u8, frame: &Frame, delay: i64, out: &mut BytesMut) {
    let wire = |time: crate::Timestamp| {
        time.rescale(Timescale::MPEG).ticks().saturating_add(delay).rem_euclid(1 << 33) as u64
    };
    let (pts, dts) = (wire(frame.pts), wire(frame.dts));
    out.put_slice(&[0, 0, 1, stream_id, 0, 0]);
    // '10', not scrambled, data_alignment_indicator.
    out.put_u8(0x84);
    if pts == dts {
        out.put_slice(&[0x80, TIMESTAMP_BYTES as u8]);
        out.put_slice(&timestamp_bytes(0b0010, pts));
    } else {
        out.put_slice(&[0xC0, 2 * TIMESTAMP_BYTES as u8]);
        out.put_slice(&timestamp_bytes(0b0011, pts));
        out.put_slice(&timestamp_bytes(0b0001, dts));
    }
    debug_assert!(out.len() >= HEADER_BYTES + TIMESTAMP_BYTES, "all of it is written");
}

/// Writes an access unit with what a byte stream needs before it, unless it brings that itself.
fn put_access_unit(
    delimiter: &[u8],
    sets: &[u8],
    is_h265: bool,
    frame: &Frame,
    out: &mut BytesMut,
) -> Option<()> {
    // NAL unit types: delimiter and sequence parameter set.
    let kind = |unit: &[u8]| if is_h265 { unit[0] >> 1 & 0x3F } else { unit[0] & 0x1F };
    let (delimiter_kind, set_kind) = if is_h265 { (35, 33) } else { (9, 7) };
    let units = || nal::nal_units(&frame.payload);
    let first = units().next()?.ok()?;
    let mut rest = units();
    if kind(first) == delimiter_kind {
        put_unit(first, out);
        rest.next();
    } else {
        out.put_slice(delimiter);
    }
    if frame.keyframe && !units().map_while(Result::ok).any(|unit| kind(unit) == set_kind) {
        out.put_slice(sets);
    }
    for unit in rest {
        put_unit(unit.ok()?, out);
    }
    Some(())
}

fn put_unit(unit: &[u8], out: &mut BytesMut) {
    out.put_u32(1);
    out.put_slice(unit);
}

fn annex_b<'a>(units: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut stream = BytesMut::new();
    for unit in units.filter(|unit| !unit.is_empty()) {
        put_unit(unit, &mut stream);
    }
    stream.freeze()
}
