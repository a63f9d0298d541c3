//! Hub to bytes: one file per protocol, and the fan-out they share.

pub(crate) mod cursor;
pub(crate) mod fanout;
pub mod flv;
#[allow(dead_code, reason = "the drivers that use it follow")]
pub(crate) mod mpegts;
pub(crate) mod patience;
pub(crate) mod push;
pub(crate) mod rtmp;
pub(crate) mod tags;
pub(crate) mod websocket;
