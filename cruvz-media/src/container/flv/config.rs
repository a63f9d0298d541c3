//! Configuration records: the form Enhanced RTMP gives them, and the form [`CodecParams`] keeps.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Codec, CodecParams, codec};

/// What a VP9 record has before it in a sequence header, as in a `vpcC` box: version 1 and flags 0.
const VPCC_VERSION: &[u8; 4] = &[1, 0, 0, 0];

/// A VP8 record with its version and flags: nothing in it says more than that it is 8-bit 4:2:0 of unstated color
/// (VP codec ISO media file format binding §2.2).
const VP8_RECORD: Bytes = Bytes::from_static(&[1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0]);

/// An AV1 temporal delimiter OBU with its size field (AV1 §5.6).
const TEMPORAL_DELIMITER: &[u8; 2] = &[0x12, 0];

/// What the record of `codec` says, and the bytes before each NAL unit of the frames to come.
///
/// The record is copied, for a slice would keep the whole message alive.
pub(super) fn params(codec: Codec, record: &[u8]) -> Result<(CodecParams, u8), codec::Error> {
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

/// Whether a decoder that knows `old` has nothing to learn from `new`. STREAMINFO comes again at the end of a FLAC
/// stream, with the frame sizes, the number of samples and the checksum that turned out: those are no change.
pub(super) fn is_same(old: &CodecParams, new: &CodecParams) -> bool {
    /// Block sizes; then rate, channels and sample size in 28 bits (RFC 9639 §8.2).
    fn decoding(streaminfo: &[u8]) -> Option<(&[u8], &[u8], u8)> {
        Some((streaminfo.get(..4)?, streaminfo.get(10..13)?, streaminfo.get(13)? & 0xf0))
    }
    let both_flac = old.codec == Codec::Flac && new.codec == Codec::Flac;
    old == new || both_flac && decoding(&old.config) == decoding(&new.config)
}

/// What `keyframe` adds to `params`: a size that the record did not state, or, for VP9, whose record never does, one
/// that has changed. `None` where there is nothing new.
pub(super) fn refined(params: &CodecParams, keyframe: &Bytes) -> Option<CodecParams> {
    let video = params.video()?;
    let news = match params.codec {
        Codec::Vp9 => codec::vp9::frame_size(keyframe)? != (video.width, video.height),
        _ => video.width == 0,
    };
    let seen = news.then(|| codec::from_frame(params.codec, keyframe))?.ok()?;
    Some(CodecParams { format: seen.format, ..params.clone() })
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

/// The AV1 record that an AV1 video descriptor stands for (AV1 in MPEG-2 TS §2.2): the same four bytes after tag and
/// length, but for three bits that av1C reserves. The sequence header stays in band. What is no descriptor comes back
/// as it is.
pub(super) fn of_ts_descriptor(descriptor: &[u8]) -> Vec<u8> {
    match *descriptor {
        [0x80, 4, version, profile_level, format, delay] => {
            vec![version, profile_level, format, delay & 0x1f]
        }
        _ => descriptor.to_vec(),
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
    match params.codec {
        Codec::Mp3 if legacy => None,
        Codec::ScriptData | Codec::TsData => None,
        // Nothing but the FourCC (E-RTMP v2 §Enhanced Audio).
        Codec::Ac3 | Codec::Eac3 | Codec::Mp3 => Some(Bytes::new()),
        Codec::Flac => Some(codec::flac::stream_header(&params.config)),
        Codec::Vp9 => Some([VPCC_VERSION, &params.config[..]].concat().into()),
        Codec::Vp8 => Some(VP8_RECORD),
        _ => Some(params.config.clone()),
    }
}
