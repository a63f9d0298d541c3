//! What a sender has done, and what its viewer tells.

use std::time::Duration;

/// Counts since the start of a [`Sender`](super::Sender), and how it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderStats {
    /// Media packets sent for the first time.
    pub packets: u64,
    /// Frames of which the first packet was sent.
    pub frames: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Packets that the viewer wanted again.
    pub nacked: u64,
    /// Of these, those that were not sent again: gone, never sent, or beyond what repeats may take.
    pub refused: u64,
    /// Keyframes that the viewer asked for.
    pub keyframe_requests: u64,
    /// Times that it jumped ahead.
    pub skips: u64,
    /// The round-trip time, once it is measured.
    pub rtt: Option<Duration>,
    /// Packets lost on the way as the viewer counts them, those that came later when sent again included.
    pub lost: u64,
    /// The share lost since its last report, in 1/256, the worst of its tracks.
    pub fraction_lost: u8,
    /// How much the times of arrival vary, the worst of its tracks (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// What the viewer, or what it tells of arrivals, says that the way could carry, in bits per second.
    pub estimate_bps: Option<u64>,
}
