//! Sample entries: the codec's four-character code, the shape of the media, and the decoder configuration record.

use bytes::{Buf, BufMut};

use super::{
    Error,
    boxes::{put_box, put_full_box},
};
use crate::{AudioFormat, Codec, CodecParams, VideoFormat};

/// A FLAC STREAMINFO block (RFC 9639 §8.2) without its header.
const STREAMINFO_LEN: usize = 34;

/// Appends the sample entry for `params`.
pub(super) fn put_sample_entry(out: &mut Vec<u8>, params: &CodecParams) -> Result<(), Error> {
    let config = &params.config[..];
    match params.codec {
        Codec::H264 => {
            let record = with_length_size_4(params, 4, 7)?;
            put_visual(out, b"avc1", params, |out| put_box(out, b"avcC", |out| out.put_slice(&record)));
        }
        Codec::H265 => {
            let record = with_length_size_4(params, 21, 23)?;
            put_visual(out, b"hvc1", params, |out| put_box(out, b"hvcC", |out| out.put_slice(&record)));
        }
        Codec::Av1 => {
            need(params, config, 4)?;
            put_visual(out, b"av01", params, |out| put_box(out, b"av1C", |out| out.put_slice(config)));
        }
        Codec::Vp9 => {
            let record = vpx_record(config);
            need(params, record, 8)?;
            put_visual(out, b"vp09", params, |out| {
                put_full_box(out, b"vpcC", 1, 0, |out| out.put_slice(record));
            });
        }
        Codec::Aac => {
            need(params, config, 2)?;
            put_audio(out, b"mp4a", params, 16, |out| put_esds(out, 0x40, config));
        }
        Codec::Mp3 => {
            // MPEG-2's half sample rates have an object type of their own (ISO/IEC 14496-1 §7.2.6.6.2).
            let mpeg1 = params.audio().is_none_or(|audio| audio.sample_rate_hz >= 32_000);
            let object_type = if mpeg1 { 0x6B } else { 0x69 };
            put_audio(out, b"mp4a", params, 16, |out| put_esds(out, object_type, &[]));
        }
        Codec::Opus => {
            let specific = opus_specific(params)?;
            put_audio(out, b"Opus", params, 16, |out| put_box(out, b"dOps", |out| out.put_slice(&specific)));
        }
        Codec::Flac => put_flac(out, params)?,
        Codec::Ac3 => {
            need(params, config, 3)?;
            put_audio(out, b"ac-3", params, 16, |out| put_box(out, b"dac3", |out| out.put_slice(config)));
        }
        Codec::Eac3 => {
            need(params, config, 5)?;
            put_audio(out, b"ec-3", params, 16, |out| put_box(out, b"dec3", |out| out.put_slice(config)));
        }
        codec @ (Codec::ScriptData | Codec::TsData | Codec::Vp8) => {
            return Err(Error::UnsupportedCodec(codec));
        }
    }
    Ok(())
}

/// Refuses a record shorter than its fixed fields.
fn need(params: &CodecParams, record: &[u8], at_least: usize) -> Result<(), Error> {
    if record.len() < at_least {
        return Err(Error::ShortConfig { codec: params.codec, len: record.len() });
    }
    Ok(())
}

/// The avcC or hvcC record, saying at `at` that NAL units stand behind 4-byte lengths, as they do in every
/// [`crate::Frame`] whatever the publisher's record said.
fn with_length_size_4(params: &CodecParams, at: usize, at_least: usize) -> Result<Vec<u8>, Error> {
    need(params, &params.config, at_least)?;
    let mut record = params.config.to_vec();
    record[at] |= 3;
    Ok(record)
}

/// The VPCodecConfigurationRecord, without the version and flags of the full box some publishers leave before it.
fn vpx_record(config: &[u8]) -> &[u8] {
    match config {
        [1, 0, 0, 0, record @ ..] if record.len() >= 8 => record,
        record => record,
    }
}

/// A VisualSampleEntry (ISO/IEC 14496-12 §12.1.3).
fn put_visual(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    params: &CodecParams,
    configuration: impl FnOnce(&mut Vec<u8>),
) {
    let VideoFormat { width, height, .. } = params.video().copied().unwrap_or_default();
    put_box(out, kind, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1); // data reference
        out.put_bytes(0, 16);
        out.put_u16(width.min(0xFFFF) as u16);
        out.put_u16(height.min(0xFFFF) as u16);
        out.put_u32(0x48_0000); // 72 dpi across
        out.put_u32(0x48_0000); // and down
        out.put_u32(0);
        out.put_u16(1); // frames per sample
        out.put_bytes(0, 32); // compressor name: none
        out.put_u16(0x18); // colour, no alpha
        out.put_i16(-1);
        configuration(out);
    });
}

/// An AudioSampleEntry of version 0 (ISO/IEC 14496-12 §12.2.3).
fn put_audio(
    out: &mut Vec<u8>,
    kind: &[u8; 4],
    params: &CodecParams,
    sample_bits: u16,
    configuration: impl FnOnce(&mut Vec<u8>),
) {
    let AudioFormat { sample_rate_hz, channels, .. } = params.audio().copied().unwrap_or_default();
    // Rates beyond 16 bits are written divided until they fit (FLAC in ISOBMFF §3.3.2).
    let mut rate = if params.codec == Codec::Opus { 48_000 } else { sample_rate_hz };
    while rate > 0xFFFF {
        rate /= 2;
    }
    put_box(out, kind, |out| {
        out.put_bytes(0, 6);
        out.put_u16(1);
        out.put_u64(0);
        out.put_u16(u16::from(channels));
        out.put_u16(sample_bits);
        out.put_u32(0);
        out.put_u32(rate << 16);
        configuration(out);
    });
}

/// The elementary stream descriptor of AAC and MP3 (ISO/IEC 14496-14 §6.7.2, 14496-1 §7.2.6).
fn put_esds(out: &mut Vec<u8>, object_type: u8, specific: &[u8]) {
    let mut decoder = vec![object_type, 0x15]; // stream type 5, audio, in the upper six bits; one reserved bit
    decoder.put_bytes(0, 11); // buffer size, bit rates: not stated
    if !specific.is_empty() {
        put_descriptor(&mut decoder, 0x05, specific);
    }
    let mut stream = vec![0, 0, 0]; // stream id (none in files), flags
    put_descriptor(&mut stream, 0x04, &decoder);
    put_descriptor(&mut stream, 0x06, &[2]); // sync layer: as in MP4
    put_full_box(out, b"esds", 0, 0, |out| put_descriptor(out, 0x03, &stream));
}

/// A descriptor: tag, length in groups of seven bits, body (ISO/IEC 14496-1 §8.3.3).
fn put_descriptor(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.put_u8(tag);
    for shift in [21, 14, 7] {
        if body.len() >> shift != 0 {
            out.put_u8(0x80 | (body.len() >> shift) as u8 & 0x7F);
        }
    }
    out.put_u8(body.len() as u8 & 0x7F);
    out.put_slice(body);
}

/// OpusHead (RFC 7845 §5.1, little-endian) as the big-endian OpusSpecificBox.
fn opus_specific(params: &CodecParams) -> Result<Vec<u8>, Error> {
    let head = params.config.strip_prefix(b"OpusHead").unwrap_or(&params.config);
    need(params, head, 11)?;
    let mut head = head;
    let mut out = vec![0]; // version of the box
    head.advance(1);
    out.put_u8(head.get_u8()); // channels
    out.put_u16(head.get_u16_le()); // pre-skip
    out.put_u32(head.get_u32_le()); // sample rate of the source
    out.put_i16(head.get_i16_le()); // gain
    out.put_slice(head); // mapping family and its table
    Ok(out)
}

/// FLAC's STREAMINFO, whether the record is the bare block, has its block header, or begins with `fLaC`.
fn put_flac(out: &mut Vec<u8>, params: &CodecParams) -> Result<(), Error> {
    let blocks = params.config.strip_prefix(b"fLaC").unwrap_or(&params.config);
    let info = match blocks {
        [0 | 0x80, 0, 0, 34, info @ ..] => info,
        info => info,
    };
    need(params, info, STREAMINFO_LEN)?;
    let info = &info[..STREAMINFO_LEN];
    let sample_bits = u16::from((info[12] & 1) << 4 | info[13] >> 4) + 1;
    put_audio(out, b"fLaC", params, sample_bits, |out| {
        put_full_box(out, b"dfLa", 0, 0, |out| {
            out.put_u32(0x8000_0000 | STREAMINFO_LEN as u32); // the last block, of type STREAMINFO
            out.put_slice(info);
        });
    });
    Ok(())
}
