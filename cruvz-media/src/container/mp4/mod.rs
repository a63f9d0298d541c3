//! MP4 files (ISO/IEC 14496-12, -14, -15 and QuickTime's): reading them, progressive and fragmented, and writing
//! progressive ones out of fragments ([`movie`]).
//!
//! [`Reader`] opens anything that reads and seeks, says which [`crate::Tracks`] it holds, and yields their
//! [`crate::Frame`]s in decoding order across tracks. Only the `moov` box is held in memory, as it is in the file:
//! sample tables are walked, never unfolded. Frames come out in the one form that each codec has here.
//!
//! Nothing in a file is believed: each count and size is checked against the bytes there are and against
//! [`Limits`], and a table that lies ends its track early or is an [`Error`]. What is not read: encrypted tracks,
//! several sample descriptions in one track, references to other files, and edits other than a shifted start.

pub(crate) mod boxes;
mod fragment;
pub mod movie;
mod reader;
mod sample_entry;
mod table;
pub(crate) mod track;

use bytes::TryGetError;

pub use self::{boxes::FourCc, reader::Reader};
use crate::codec;

/// What a [`Reader`] accepts from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one frame. Default 32 MiB.
    pub max_frame_bytes: u32,
    /// Bytes of the `moov` box, which is held in memory, and of one `moof` box. Default 64 MiB: a day of 60 fps
    /// video with audio.
    pub max_moov_bytes: u64,
    /// Frames of a fragmented file whose places are held while one track waits for another. Default 65,536.
    pub max_pending_frames: usize,
    /// Boxes passed over in a row at the top level of the file. Default 4,096.
    pub max_skipped_boxes: u32,
    /// Tracks read; further ones are left out. Default 16.
    pub max_tracks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame_bytes: 32 << 20,
            max_moov_bytes: 64 << 20,
            max_pending_frames: 1 << 16,
            max_skipped_boxes: 4_096,
            max_tracks: 16,
        }
    }
}

/// Why a file, or the rest of it, cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A box says it has a size that it cannot have.
    #[error("box {name} with an impossible size of {bytes} bytes")]
    BoxSize {
        /// Its four-character code.
        name: FourCc,
        /// The size it states.
        bytes: u64,
    },
    /// A codec's header was refused.
    #[error("track {track}: {source}")]
    Codec {
        /// The number of the track in the file.
        track: u32,
        /// What is wrong with the header.
        source: codec::Error,
    },
    /// Reading or seeking failed.
    #[error("cannot read the file: {0}")]
    Io(#[from] std::io::Error),
    /// Something is larger than [`Limits`] allow.
    #[error("{what} of {value}, more than {limit}")]
    Limit {
        /// What it is.
        what: &'static str,
        /// How large it is.
        value: u64,
        /// How large it may be.
        limit: u64,
    },
    /// Something that must be there is not.
    #[error("no {0}")]
    Missing(&'static str),
    /// A time is beyond 64 bits.
    #[error("a time of {0} ticks")]
    Time(u64),
    /// A box or a frame ends before what it must hold.
    #[error("ends early: {requested} bytes needed, {available} left")]
    Truncated {
        /// Bytes needed.
        requested: u64,
        /// Bytes there are.
        available: u64,
    },
    /// A frame lies outside the file.
    #[error("a frame of {bytes} bytes at {offset}, in a file of {file_bytes}")]
    OutsideFile {
        /// Where it is said to begin.
        offset: u64,
        /// How long it is said to be.
        bytes: u32,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// A feature that is not supported.
    #[error("{0} are not supported")]
    Unsupported(&'static str),
}

impl From<TryGetError> for Error {
    fn from(short: TryGetError) -> Self {
        Self::Truncated { requested: short.requested as u64, available: short.available as u64 }
    }
}
