//! Bytes to frames to hub: one file per protocol.

pub(crate) mod flv;
pub(crate) mod rtmp;
pub mod tcp;
