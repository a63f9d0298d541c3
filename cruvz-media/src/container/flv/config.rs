//! Configuration records: the form Enhanced RTMP gives them, and the form [`CodecParams`] keeps.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Codec, CodecParams, codec};

/// What a FLAC sequence header has before STREAMINFO: the stream marker and the header of a last metadata block of
/// type 0 and 34 bytes (RFC 9639 §8). FFmpeg leaves it out.
const FLAC_MARKER: &[u8; 8] = b"fLaC\x80\x00\x00\x22";

/// What VP8 and VP9 records have before them where they come as the body of a `vpcC` box: version 1 and flags 0.
const VPCC_VERSION: &[u8; 4] = &[1, 0, 0, 0];

/// An AV1 temporal delimiter OBU with its size field (AV1 §5.6).
const TEMPORAL_DELIMITER: &[u8; 2] = &[0x12, 0];

/// What the record of `codec` says, and the bytes before each NAL unit of the frames to come.
///
/// The record is copied, for a slice would keep the whole message alive.
pub(super) fn params(codec: Codec, record: &[u8]) -> Result<(CodecParams, u8), codec::Error> {
    let record = match codec {
        Codec::Flac if record.starts_with(b"fLaC") => record.get(FLAC_MARKER.len()..).unwrap_or_default(),
        _ => record,
    };
    let nal_length_size = match codec {
        Codec::H264 => codec::h264::nal_length_size(record)?,
        Codec::H265 => codec::h265::nal_length_size(record)?,
        _ => 4,
    };
    let record = match codec {
        Codec::Opus if record.is_empty() => opus_head(2).unwrap_or_default(),
        _ => Bytes::copy_from_slice(record),
    };
    Ok((codec::parse(codec, record)?, nal_length_size))
}

/// Whether each frame of `codec` says all that a decoder needs, so that no record is looked at.
pub(super) const fn is_self_describing(codec: Codec) -> bool {
    matches!(codec, Codec::Ac3 | Codec::Eac3 | Codec::Mp3 | Codec::Vp8)
}

/// What of a frame's header tells that its track changed, for codecs that describe themselves; `None` for the others
/// and for frames that say nothing. The same frame format has the same signature, whatever its bit rate.
pub(super) fn signature(codec: Codec, keyframe: bool, payload: &[u8]) -> Option<[u8; 7]> {
    let mut signature = [0; 7];
    let (fields, mask): (_, &[u8]) = match codec {
        // Sync, version, layer; sampling rate; channel mode (ISO/IEC 11172-3 §2.4.1.3).
        Codec::Mp3 => (payload.get(..4)?, &[0xff, 0xfe, 0x0c, 0xc0]),
        // fscod; bsid, bsmod; acmod to lfeon (ETSI TS 102 366 §4.3).
        Codec::Ac3 => (payload.get(4..7)?, &[0xc0, 0xff, 0xff]),
        // fscod to lfeon; bsid (annex E §E.1.2).
        Codec::Eac3 => (payload.get(4..6)?, &[0xff, 0xf8]),
        // Start code, width, height (RFC 6386 §9.1).
        Codec::Vp8 if keyframe => (payload.get(3..10)?, &[0xff; 7]),
        _ => return None,
    };
    for ((kept, field), mask) in signature.iter_mut().zip(fields).zip(mask) {
        *kept = field & mask;
    }
    Some(signature)
}

/// What a frame of a self-describing codec says.
pub(super) fn params_of_frame(codec: Codec, payload: &[u8]) -> Result<CodecParams, codec::Error> {
    codec::parse(codec, Bytes::copy_from_slice(&payload[..payload.len().min(64)]))
}

/// A frame's payload in the form of [`crate::Frame`].
pub(super) fn payload(codec: Codec, nal_length_size: u8, mut payload: Bytes) -> Result<Bytes, codec::Error> {
    match codec {
        Codec::H264 | Codec::H265 => codec::nal::to_four_byte_lengths(payload, nal_length_size),
        Codec::Av1 => {
            while payload.starts_with(TEMPORAL_DELIMITER) {
                let _ = payload.split_to(TEMPORAL_DELIMITER.len());
            }
            Ok(payload)
        }
        _ => Ok(payload),
    }
}

/// The AV1 record that an AV1 video descriptor holds: the same four bytes after tag and length (AV1 in MPEG-2 TS
/// §2.2). The sequence header stays in band.
pub(super) fn of_ts_descriptor(descriptor: &[u8]) -> &[u8] {
    match descriptor {
        [0x80, 4, record @ ..] => record.get(..4).unwrap_or_default(),
        _ => descriptor,
    }
}

/// The header of an Opus stream of one or two channels, for publishers that send none (RFC 7845 §5.1); `None` for
/// more, which need a mapping that nothing states.
pub(super) fn opus_head(channels: u8) -> Option<Bytes> {
    if !matches!(channels, 1 | 2) {
        return None;
    }
    // Pre-skip of 312 samples, as libopus has; 48 kHz; gain and mapping family 0.
    let mut head = BytesMut::from(&b"OpusHead\x01"[..]);
    head.put_u8(channels);
    head.put_slice(&[0x38, 0x01, 0x80, 0xbb, 0, 0, 0, 0, 0]);
    Some(head.freeze())
}

/// The record of `params` as the payload of a sequence header, or `None` where its form has no sequence header.
pub(super) fn wire_record(params: &CodecParams, legacy: bool) -> Option<Bytes> {
    let prefix: &[u8] = match params.codec {
        Codec::Mp3 if legacy => return None,
        Codec::ScriptData => return None,
        // Nothing but the FourCC (E-RTMP v2 §Enhanced Audio).
        Codec::Ac3 | Codec::Eac3 | Codec::Mp3 => return Some(Bytes::new()),
        Codec::Flac => FLAC_MARKER,
        Codec::Vp8 | Codec::Vp9 if !params.config.is_empty() => VPCC_VERSION,
        _ => return Some(params.config.clone()),
    };
    if params.config.starts_with(prefix) {
        return Some(params.config.clone());
    }
    Some([prefix, &params.config].concat().into())
}
