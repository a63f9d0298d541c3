//! Codec headers: configuration records and parameter sets, never pixels or samples.
//!
//! [`parse`] turns the record that a container or protocol carries into [`CodecParams`]. It runs when a
//! configuration arrives or changes, never per frame; what runs per frame ([`h264::is_keyframe`], [`nal::nal_units`])
//! looks at a few bytes. Every length, count and number comes from a peer: all reads are checked, all loops bounded.

use bytes::Bytes;

use crate::{AudioFormat, Codec, CodecParams, Format, VideoFormat};

pub mod aac;
pub mod ac3;
pub(crate) mod access_unit;
pub mod av1;
mod bits;
pub mod flac;
pub mod h264;
pub mod h265;
pub mod latm;
pub mod mp3;
pub mod nal;
pub mod opus;
mod sei;
pub mod vp8;
pub mod vp9;
mod vui;

/// The largest configuration record that [`parse`] looks at. Real ones have 2 to a few hundred bytes.
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// Why a codec header was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field has a value that the codec does not allow.
    #[error("{field} is {value}, which the codec does not allow")]
    Invalid {
        /// The field, in words.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
    /// Something that must be in the header is not.
    #[error("there is no {0}")]
    Missing(&'static str),
    /// A NAL unit claims more bytes than are left.
    #[error("a NAL unit of {length} bytes where {left} are left")]
    NalLength {
        /// Bytes it claims, or the bytes of its length field when not even that is whole.
        length: usize,
        /// Bytes there are.
        left: usize,
    },
    /// The record has more than [`MAX_CONFIG_BYTES`].
    #[error("a configuration record of {bytes} bytes, more than {MAX_CONFIG_BYTES}")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
    },
    /// The header ends in the middle of a field.
    #[error("the header ends too early, after {bytes} bytes")]
    Truncated {
        /// Bytes it has.
        bytes: usize,
    },
    /// A part of the codec that is not supported.
    #[error("{field} {value} is not supported")]
    Unsupported {
        /// The field, in words.
        field: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// What `config`, the decoder configuration record of `codec`, says of the media.
///
/// | codec | `config` may be | `config` of the result |
/// |---|---|---|
/// | H.264, H.265 | avcC, hvcC | the same, announcing 4-byte NAL lengths |
/// | AV1 | av1C | the same |
/// | VP9 | vpcC, with version and flags or without | without |
/// | VP8 | anything | empty |
/// | AAC | AudioSpecificConfig | the same |
/// | Opus | OpusHead, dOps | OpusHead |
/// | FLAC | STREAMINFO, bare, as a block, behind `fLaC`, in a dfLa | bare: 34 bytes |
/// | AC-3, E-AC-3 | dac3, dec3, or a syncframe | dac3, dec3 |
/// | MP3 | a frame | empty |
///
/// A record that is in this form already is handed on without a copy. Where [`h264::nal_length_size`] (or
/// [`h265::nal_length_size`]) of the original is less than 4, payloads must pass [`nal::to_four_byte_lengths`].
///
/// VP8, VP9, and AV1 without a sequence header in its record do not tell the size here: it is 0 by 0 until
/// [`complete`] reads it from a keyframe. A dec3 does not tell which of the half sample rates it means: that is 0, too.
///
/// ```
/// use bytes::Bytes;
/// use cruvz_media::{Codec, codec};
///
/// let params = codec::parse(Codec::Aac, Bytes::from_static(&[0x11, 0x90]))?;
/// assert_eq!(params.rfc6381, "mp4a.40.2");
/// assert_eq!(params.audio().map(|audio| audio.sample_rate_hz), Some(48_000));
/// # Ok::<(), codec::Error>(())
/// ```
///
/// # Errors
/// [`Error`] when the record is cut short, contradicts its standard, or has more than [`MAX_CONFIG_BYTES`].
pub fn parse(codec: Codec, config: Bytes) -> Result<CodecParams, Error> {
    if config.len() > MAX_CONFIG_BYTES {
        return Err(Error::TooLarge { bytes: config.len() });
    }
    match codec {
        Codec::Aac => aac::params(config),
        Codec::Ac3 => ac3::params(&config),
        Codec::Av1 => av1::params(config),
        Codec::Eac3 => ac3::eac3_params(&config),
        Codec::Flac => flac::params(&config),
        Codec::H264 => h264::params(config),
        Codec::H265 => h265::params(config),
        Codec::Mp3 => mp3::params(&config),
        Codec::Opus => opus::params(config),
        Codec::ScriptData => Ok(CodecParams::script_data()),
        Codec::TsData => Ok(CodecParams::ts_data(config)),
        Codec::Vp8 => Ok(vp8::params()),
        Codec::Vp9 => vp9::params(config),
    }
}

/// The parameters of a stream that came without a record, from a frame that says all: a video keyframe with its
/// parameter sets or sequence header in band, or any packet of MP3, AC-3 or E-AC-3. `payload` is as in
/// [`crate::Frame`].
///
/// # Errors
/// [`Error::Missing`] when the frame does not hold what is needed, or the codec never says it in band (AAC, Opus,
/// FLAC); otherwise as [`parse`].
pub fn from_frame(codec: Codec, payload: &Bytes) -> Result<CodecParams, Error> {
    match codec {
        Codec::Ac3 | Codec::Eac3 | Codec::Mp3 => {
            // The header alone: a packet may be longer than a record.
            parse(codec, payload.slice(..payload.len().min(MAX_CONFIG_BYTES)))
        }
        Codec::Av1 => parse(codec, av1::record_from_keyframe(payload)?),
        Codec::H264 => parse(codec, h264::record_from_keyframe(payload)?),
        Codec::H265 => parse(codec, h265::record_from_keyframe(payload)?),
        Codec::ScriptData => Ok(CodecParams::script_data()),
        Codec::Vp8 => sized(vp8::params(), vp8::frame_size(payload)),
        Codec::Vp9 => sized(parse(codec, vp9::record_from_keyframe(payload)?)?, vp9::frame_size(payload)),
        Codec::Aac | Codec::Flac | Codec::Opus | Codec::TsData => {
            Err(Error::Missing("configuration in band"))
        }
    }
}

/// `params` with what only a frame tells, where [`parse`] left it 0: the size, in a keyframe, or E-AC-3's sample rate;
/// otherwise as they are.
///
/// # Errors
/// Those of [`from_frame`]: the next keyframe may do better.
pub fn complete(params: CodecParams, keyframe: &Bytes) -> Result<CodecParams, Error> {
    match params.format {
        Format::Video(VideoFormat { width: 0, .. })
        | Format::Audio(AudioFormat { sample_rate_hz: 0, .. }) => {
            let format = from_frame(params.codec, keyframe)?.format;
            Ok(CodecParams { format, ..params })
        }
        _ => Ok(params),
    }
}

fn sized(mut params: CodecParams, size: Option<(u32, u32)>) -> Result<CodecParams, Error> {
    let (width, height) = size.ok_or(Error::Missing("key frame"))?;
    if let Format::Video(video) = &mut params.format {
        (video.width, video.height) = (width, height);
    }
    Ok(params)
}

/// Whether decoding can start at `payload`, a frame of `codec` as in [`crate::Frame`]. Always true for audio and data.
pub fn is_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Av1 => av1::is_keyframe(payload),
        Codec::H264 => h264::is_keyframe(payload),
        Codec::H265 => h265::is_keyframe(payload),
        Codec::Vp8 => vp8::is_keyframe(payload),
        Codec::Vp9 => vp9::is_keyframe(payload),
        Codec::Aac
        | Codec::Ac3
        | Codec::Eac3
        | Codec::Flac
        | Codec::Mp3
        | Codec::Opus
        | Codec::ScriptData
        | Codec::TsData => true,
    }
}

/// Samples in an audio packet, counted at the track's [`crate::AudioFormat::sample_rate_hz`]: what the packet's own
/// header says, or the constant of its track where packets have none (AAC, AC-3). `None` for video, data and packets
/// that are broken.
pub fn samples(params: &CodecParams, packet: &[u8]) -> Option<u32> {
    match params.codec {
        Codec::Eac3 => ac3::eac3_samples(packet),
        Codec::Flac => flac::samples(packet),
        Codec::Mp3 => mp3::samples(packet),
        Codec::Opus => opus::samples(packet),
        _ => params.audio()?.samples_per_frame,
    }
}

/// What of a frame's header tells that its track changed, for codecs that describe themselves; `None` for the others
/// and for frames that say nothing. The same frame format has the same signature, whatever its bit rate.
pub(crate) fn signature(codec: Codec, keyframe: bool, payload: &[u8]) -> Option<[u8; 7]> {
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
    // A bit rate that there is not: such a frame is like no other, so that it is looked at, and refused.
    if codec == Codec::Mp3 && fields[2] >> 4 == 0xf {
        signature[2] |= 0xf0;
    }
    Some(signature)
}

/// `numerator / denominator` in lowest terms, or `None` where either is zero or does not fit.
fn frame_rate(numerator: u64, denominator: u64) -> Option<(u32, u32)> {
    let (mut a, mut b) = (numerator, denominator);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    if numerator == 0 || denominator == 0 {
        return None;
    }
    Some((u32::try_from(numerator / a).ok()?, u32::try_from(denominator / a).ok()?))
}

/// The bytes written as `digits` in a test.
#[cfg(test)]
fn hex(digits: &str) -> Bytes {
    let digit = |at: usize| digits.as_bytes()[at].to_ascii_lowercase();
    let value = |digit: u8| if digit > b'9' { digit - b'a' + 10 } else { digit - b'0' };
    (0..digits.len() / 2).map(|at| (value(digit(2 * at)) << 4) | value(digit(2 * at + 1))).collect()
}

#[cfg(test)]
mod tests;
