//! Wire protocols as sans-IO state machines: bytes and time come in as arguments, bytes and events come out.
//!
//! Nothing below this module opens a socket, reads a clock, spawns a task or draws a random number, so every
//! protocol runs in a test on a virtual wire and under any runtime. Every limit is a documented field.

mod params;
pub mod rtmp;
pub mod srt;
pub mod udp;
mod url;
pub mod webrtc;

pub use params::Params;
