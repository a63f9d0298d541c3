//! What live media *is*: [`Frame`]s on a timeline, the [`Track`]s they belong to, the headers of their codecs,
//! and the containers that carry them.
//!
//! This crate turns bytes into frames and frames into bytes. It opens no socket, reads no clock, spawns nothing
//! and knows no hub: `cruvz-core` does that. Bytes from outside never panic; every parser has limits.

pub mod amf0;
pub mod codec;
pub mod container;
pub mod frame;
pub mod hls;
pub mod record;
pub mod rtp;
pub mod segment;
pub mod time;
pub mod track;
#[cfg(feature = "transcode")]
pub mod transcode;
pub mod vod;

pub use frame::Frame;
pub use time::{Timescale, Timestamp};
pub use track::{AudioFormat, Codec, CodecParams, Format, Track, TrackId, TrackKind, Tracks, VideoFormat};
