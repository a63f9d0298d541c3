//! What WebRTC knows of its network.

use serde::Serialize;

use crate::protocol::webrtc::{receiver, sender::SenderStats};

/// How a WebRTC session does, as of a moment ago.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WebRtcStats {
    /// The round-trip time, in milliseconds; `None` until it is measured.
    pub rtt_ms: Option<f64>,
    /// How much the times of arrival vary, in milliseconds, the worst of the tracks (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// Media packets, each counted once.
    pub packets: u64,
    /// Packets lost on the way: of a publisher those that never came, of a viewer as it counts them.
    pub lost_packets: u64,
    /// The share of packets lost lately, 0 to 1, the worst of the tracks.
    pub loss: f64,
    /// Packets that were asked for again, by us of a publisher or by a viewer.
    pub nacked_packets: u64,
    /// Packets sent again; of a publisher those that were missing and came after all.
    pub retransmitted_packets: u64,
    /// Keyframes that were asked for, by us of a publisher or by a viewer.
    pub keyframe_requests: u64,
    /// What the way could carry, as its receiver estimates, in bits per second; `None` while unknown.
    pub bandwidth_bps: Option<u64>,
    /// The layer that a viewer of a simulcast is sent, by its name.
    pub layer: Option<String>,
}

impl WebRtcStats {
    /// Of who sends to us.
    pub(crate) fn received(stats: &receiver::Stats) -> Self {
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
        Self {
            rtt_ms: stats.rtt.map(ms),
            jitter_ms: ms(stats.jitter),
            packets: stats.packets,
            lost_packets: stats.given_up,
            loss: f64::from(stats.fraction_lost) / 256.0,
            nacked_packets: stats.nacks,
            retransmitted_packets: stats.recovered,
            keyframe_requests: stats.keyframe_requests,
            bandwidth_bps: stats.estimate_bps,
            layer: None,
        }
    }

    /// Of whom we send to.
    pub(crate) fn sent(stats: &SenderStats) -> Self {
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
        Self {
            rtt_ms: stats.rtt.map(ms),
            jitter_ms: ms(stats.jitter),
            packets: stats.packets,
            lost_packets: stats.lost,
            loss: f64::from(stats.fraction_lost) / 256.0,
            nacked_packets: stats.nacked,
            retransmitted_packets: stats.retransmitted,
            keyframe_requests: stats.keyframe_requests,
            bandwidth_bps: stats.estimate_bps,
            layer: None,
        }
    }
}
