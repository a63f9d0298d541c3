//! The clock, spawning and sockets: the only place that reads the time or starts a task.

pub mod clock;
pub(crate) mod context;
pub(crate) mod port;
pub(crate) mod random;
pub mod remote;
pub(crate) mod rtmp_client;
pub(crate) mod shutdown;
pub(crate) mod socket;
pub(crate) mod srt;
pub(crate) mod timers;
pub(crate) mod udp;
pub mod webrtc;
