//! What happened and how much: events, per-stream samples and totals. No clock, no I/O.

pub mod event;
pub mod mpegts;
pub mod samples;
pub mod srt;
pub mod totals;
pub mod webrtc;
