//! Audio and video in another codec, by FFmpeg.
//!
//! The work is that of FFmpeg's libraries, which must be installed; nothing else of this crate needs them. Nothing here has a
//! thread of its own or reads a clock: whoever calls pays for the work. Audio is [`AudioTranscoder`]'s, video
//! [`VideoTranscoder`]'s.
//!
//! What comes in is hostile: a packet that cannot be decoded is an error, the next one goes on. FFmpeg's own words about
//! it are silenced for the whole process (`av_log_set_level`) when the first transcoder is made; an application that wants to
//! see them sets the level again.

mod audio;
mod video;

use std::sync::Once;

pub use audio::{AudioOptions, AudioTranscoder, MAX_PACKET_BYTES, SAMPLE_RATE_HZ};
pub use video::{MAX_PICTURE_BYTES, MAX_PIXELS, VideoOptions, VideoTranscoder};

use crate::Codec;

/// Why a track cannot be made into another codec, or a packet of it could not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A packet could not be decoded. The next one may be.
    #[error("{codec} that cannot be decoded: {reason}")]
    Decode {
        /// The codec it comes in.
        codec: Codec,
        /// What FFmpeg says.
        reason: String,
    },
    /// Encoding failed.
    #[error("{codec} cannot be encoded: {reason}")]
    Encode {
        /// The codec it is made into.
        codec: Codec,
        /// What FFmpeg says.
        reason: String,
    },
    /// A sample rate or channel count that no sound has.
    #[error("sound of {channels} channels at {sample_rate_hz} Hz")]
    Format {
        /// Its sample rate.
        sample_rate_hz: u32,
        /// Its channels.
        channels: u16,
    },
    /// The installed FFmpeg cannot read that codec, or the track is of another kind.
    #[error("no decoder for {0}")]
    NoDecoder(Codec),
    /// The installed FFmpeg cannot write that codec, or it is none that is made here.
    #[error("no encoder for {0}")]
    NoEncoder(Codec),
    /// Pictures of less than 2 by 2 pixels, or of more than [`MAX_PIXELS`] in all.
    #[error("pictures of {width} by {height}")]
    Size {
        /// Their width.
        width: u32,
        /// Their height.
        height: u32,
    },
    /// A packet without a byte, or of more than [`MAX_PACKET_BYTES`] of audio or [`MAX_PICTURE_BYTES`] of video.
    #[error("a packet of {bytes} bytes, where 1 to {most} are decoded")]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
        /// Bytes that it may have.
        most: usize,
    },
}

fn decode_error(codec: Codec, reason: impl ToString) -> Error {
    Error::Decode { codec, reason: reason.to_string() }
}

fn encode_error(codec: Codec, reason: impl ToString) -> Error {
    Error::Encode { codec, reason: reason.to_string() }
}

/// Whether FFmpeg means that there is nothing more for now, or at all.
fn is_all(error: ffmpeg_next::Error) -> bool {
    use ffmpeg_next::{Error::Eof, Error::Other, error::EAGAIN};
    matches!(error, Eof | Other { errno: EAGAIN })
}

/// What peers send can be broken, and FFmpeg would say so on stderr for each packet.
fn silence_ffmpeg() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet));
}
