//! Bytes to frames to hub: one file per protocol.

pub mod file;
pub(crate) mod flv;
pub(crate) mod lobby;
pub(crate) mod mpegts;
pub(crate) mod pull;
pub(crate) mod rounds;
pub(crate) mod rtmp;
pub(crate) mod srt;
pub mod tcp;
pub(crate) mod webrtc;
