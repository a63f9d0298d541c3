//! MPEG-2 transport streams (ISO/IEC 13818-1): bytes to frames and frames to bytes.
//!
//! Bytes come from SRT, UDP, HTTP or a file, cut anywhere; [`Demuxer`] turns them into [`crate::Frame`]s and
//! [`crate::Tracks`], [`Muxer`] turns those into whole packets that every viewer of a stream shares. Nothing that
//! arrives is an error: what is damaged is dropped whole, counted in [`Counters`], and never joined to what follows.
//! No clock, no socket; memory is bounded by [`Limits`]. `docs/protocols/mpegts.md` lists each clause.
//!
//! Tracks have stable ids, so that a publisher that comes back finds its own: the first video stream of the program is
//! [`crate::TrackId::VIDEO`], the first audio stream [`crate::TrackId::AUDIO`], further ones `0x100 + n` and
//! `0x200 + n`, data streams `0x400 + n`, each counted in the order of the program map.

mod audio;
mod counters;
mod cue;
mod demux;
mod elementary;
mod form;
mod mux;
mod opus;
mod packet;
mod pes;
mod program;
mod psi;
mod section;
mod sync;
#[cfg(test)]
mod tests;
mod video;
mod write;

pub use counters::Counters;
pub use demux::{Demuxer, Event, Limits};
pub use mux::{MuxOptions, Muxer, carries};

/// Whether `bytes` begin with transport packets, bare, with a time code before or with parity behind each; about three of
/// them must be there to tell.
pub fn is_stream(bytes: &[u8]) -> bool {
    /// The time code of Blu-ray.
    const MOST_BEFORE: usize = 4;
    let found = sync::find(bytes);
    found.stride.is_some() && found.skipped <= MOST_BEFORE
}

/// Bytes of a transport packet.
pub const PACKET_BYTES: usize = 188;

/// The largest packet id: 13 bits.
const MAX_PID: u16 = 0x1FFF;
