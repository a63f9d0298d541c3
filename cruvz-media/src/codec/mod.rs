//! Codec headers: configuration records and parameter sets, never pixels or samples.
//!
//! [`parse`] turns the record that a container or protocol carries into [`CodecParams`]. It runs when a
//! configuration arrives or changes, never per frame; what runs per frame ([`h264::is_keyframe`], [`nal::nal_units`])
//! looks at a few bytes. Every length, count and number comes from a peer: all reads are checked, all loops bounded.

use bytes::Bytes;

use crate::{Codec, CodecParams};

pub mod aac;
mod bits;
pub mod h264;
pub mod h265;
pub mod nal;
mod sei;

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
    #[error("the header holds no {0}")]
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
/// The record in the result is normalised: for H.264 and H.265 it always announces 4-byte NAL lengths, as the payload of
/// [`crate::Frame`] has them. Where [`h264::nal_length_size`] (or [`h265::nal_length_size`]) of the original says less, payloads must pass
/// [`nal::to_four_byte_lengths`]. A record that is in this form already is handed on without a copy.
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
        Codec::H264 => h264::params(config),
        Codec::H265 => h265::params(config),
        Codec::ScriptData => Ok(CodecParams::script_data()),
        _ => Err(Error::Missing("parser")),
    }
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
