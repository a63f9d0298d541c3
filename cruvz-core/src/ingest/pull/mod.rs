//! Pulling: a stream of another server into the hub, again and again until it is stopped.

pub(crate) mod rtmp;
pub(crate) mod srt;
pub(crate) mod udp;
