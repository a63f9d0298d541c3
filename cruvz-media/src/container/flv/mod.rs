//! FLV tags, which are also the audio, video and data messages of RTMP: bodies to frames and frames to bodies.
//!
//! Bytes come from an RTMP message or from [`file::Reader`]; [`Demuxer`] turns tag bodies into [`crate::Frame`]s and
//! [`crate::Tracks`], [`Muxer`] turns them back. The payload of a frame is a slice of the body it came in, and the
//! payload of a tag is the frame's: nothing is copied on the way. No clock, no socket, no RTMP: time comes in with
//! each tag, unwrapped to 64 bits by whoever read it.
//!
//! Legacy forms (Adobe FLV 10.1 annex E) for H.264, AAC and MP3, read also for H.265 under codec id 12; Enhanced RTMP
//! v1 and v2 (Veovera) for the rest, with multitrack and ModEx. `docs/protocols/flv.md` lists each clause.
//!
//! Tracks have stable ids, so that a publisher that comes back finds its own ([`track_id`]):
//!
//! | what | [`TrackId`] |
//! |---|---|
//! | video track 0 and video outside multitrack | [`TrackId::VIDEO`] |
//! | audio track 0 and audio outside multitrack | [`TrackId::AUDIO`] |
//! | script tags, and the metadata of video track 0 (`colorInfo`) | [`TrackId::DATA`] |
//! | video track *n* | `0x100 + n` |
//! | audio track *n* | `0x200 + n` |
//! | the metadata of video track *n* | `0x300 + n` |

mod audio;
mod config;
mod demux;
mod enhanced;
pub mod file;
mod fourcc;
mod metadata;
mod mux;
mod packet;
mod script;
#[cfg(test)]
mod tests;
mod video;

pub use demux::{Demuxer, Event, Ignored, Limits};
pub use fourcc::FourCc;
pub use metadata::on_metadata;
pub use mux::{MuxOptions, Muxer, Tag, TagHeader};
pub use script::script_name;

use crate::{TrackId, TrackKind, codec};

/// What a tag carries; the value is the tag type of FLV and the message type id of RTMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TagKind {
    /// Sound.
    Audio = 8,
    /// Pictures.
    Video = 9,
    /// AMF0 values: `onMetaData` and its kin.
    Script = 18,
}

impl TagKind {
    /// The kind of this tag type or message type id.
    pub const fn from_type(tag_type: u8) -> Option<Self> {
        match tag_type {
            8 => Some(Self::Audio),
            9 => Some(Self::Video),
            18 => Some(Self::Script),
            _ => None,
        }
    }

    /// Its tag type or message type id.
    pub const fn to_type(self) -> u8 {
        self as u8
    }
}

/// The id of `number`, the multitrack id on the wire, among the tracks of `kind`: see the table of this module.
pub const fn track_id(kind: TrackKind, number: u8) -> TrackId {
    match (kind, number) {
        (TrackKind::Video, 0) => TrackId::VIDEO,
        (TrackKind::Audio, 0) => TrackId::AUDIO,
        (TrackKind::Data, 0) => TrackId::DATA,
        (TrackKind::Video, number) => TrackId(0x100 + number as u32),
        (TrackKind::Audio, number) => TrackId(0x200 + number as u32),
        (TrackKind::Data, number) => TrackId(0x300 + number as u32),
    }
}

/// The number that [`track_id`] made `id` of, where it is one of the further tracks of `kind`.
const fn track_number(kind: TrackKind, id: TrackId) -> Option<u8> {
    let base = track_id(kind, u8::MAX).0 - u8::MAX as u32;
    match id.0.wrapping_sub(base) {
        number @ 1..=255 => Some(number as u8),
        _ => None,
    }
}

/// Why the body of a tag was refused. The next one may be fine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration of a track says something that its codec does not allow.
    #[error("configuration of track {track}: {source}")]
    Codec {
        /// The track.
        track: TrackId,
        /// What is wrong.
        source: codec::Error,
    },
    /// A multitrack type or packet type inside a multitrack message that Enhanced RTMP reserves.
    #[error("reserved multitrack type {0:#04x}")]
    Multitrack(u8),
    /// More parts in one multitrack message than there are track ids.
    #[error("more than {0} parts in one multitrack message")]
    Parts(usize),
    /// A packet type that neither FLV nor Enhanced RTMP defines.
    #[error("unknown {kind:?} packet type {value}")]
    PacketType {
        /// Audio or video.
        kind: TagKind,
        /// The type.
        value: u8,
    },
    /// A script tag that does not begin with a name.
    #[error("script tag without a name")]
    Script,
    /// The body ends inside a field.
    #[error("tag ends inside its {0}")]
    Truncated(&'static str),
    /// More tracks than [`Limits::tracks`].
    #[error("more than {0} tracks")]
    Tracks(usize),
    /// A codec that we do not carry.
    #[error("unsupported codec: {0}")]
    UnsupportedCodec(CodecId),
}

/// A codec as the wire names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecId {
    /// The SoundFormat of a legacy audio tag (FLV 10.1 §E.4.2.1).
    Audio(u8),
    /// The FourCC of an Enhanced RTMP message.
    FourCc(FourCc),
    /// The CodecID of a legacy video tag (FLV 10.1 §E.4.3.1).
    Video(u8),
}

impl std::fmt::Display for CodecId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, id, name) = match *self {
            Self::FourCc(fourcc) => return write!(f, "FourCC '{fourcc}'"),
            Self::Audio(id) => ("audio", id, audio::legacy_name(id)),
            Self::Video(id) => ("video", id, video::legacy_name(id)),
        };
        write!(f, "{name} (FLV {kind} codec {id})")
    }
}
