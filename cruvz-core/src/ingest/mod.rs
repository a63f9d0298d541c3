//! Bytes to frames to hub: one file per protocol.

pub mod file;
pub(crate) mod flv;
pub(crate) mod lobby;
pub(crate) mod pull;
pub(crate) mod rtmp;
pub mod tcp;
