//! Hub to bytes: one file per protocol, and the fan-out they share.

pub(crate) mod cursor;
pub(crate) mod fanout;
pub(crate) mod flv;
pub(crate) mod layers;
pub mod live;
pub(crate) mod mpegts;
mod patience;
pub(crate) mod push;
pub(crate) mod ring;
pub(crate) mod rtmp;
pub(crate) mod rtp;
pub(crate) mod shared;
pub(crate) mod srt;
pub(crate) mod tags;
pub(crate) mod webrtc;
pub(crate) mod websocket;
