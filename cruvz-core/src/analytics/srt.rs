//! What SRT knows of its network.

use serde::Serialize;

use crate::protocol::srt::Stats;

/// How an SRT session does, as of a moment ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SrtStats {
    /// The round-trip time, in milliseconds; 100 until it is measured.
    pub rtt_ms: f64,
    /// Its mean deviation, in milliseconds.
    pub rtt_variance_ms: f64,
    /// Media packets, each counted once.
    pub packets: u64,
    /// Packets found missing, by us of a publisher's or by a viewer, whether they came later or not.
    pub lost_packets: u64,
    /// Packets sent again.
    pub retransmitted_packets: u64,
    /// Packets that a publisher's network never brought in time, or that a viewer's was too slow for.
    pub dropped_packets: u64,
    /// Packets of a publisher that came when their turn was over, or a second time.
    pub belated_packets: u64,
    /// Media that waits for its time, or for packets that are missing, in milliseconds; of a publisher.
    pub buffer_ms: u64,
    /// What arrives, here or at the viewer, in bits per second.
    pub bitrate_bps: u64,
    /// What the link could carry, as its receiver estimates, in bits per second; 0 while unknown.
    pub bandwidth_bps: u64,
}

impl SrtStats {
    /// Of who sends to us.
    pub(crate) fn received(stats: &Stats) -> Self {
        let received = &stats.received;
        Self {
            packets: received.packets,
            lost_packets: received.lost,
            retransmitted_packets: received.retransmitted,
            dropped_packets: received.dropped,
            belated_packets: received.belated,
            buffer_ms: u64::try_from(received.buffered.as_millis()).unwrap_or(u64::MAX),
            bitrate_bps: received.bps,
            bandwidth_bps: received.link_capacity_bps,
            ..Self::of_both(stats)
        }
    }

    /// Of whom we send to.
    pub(crate) fn sent(stats: &Stats) -> Self {
        let sent = &stats.sent;
        Self {
            packets: sent.packets,
            lost_packets: sent.lost,
            retransmitted_packets: sent.retransmitted,
            dropped_packets: sent.skipped + sent.expired,
            bitrate_bps: sent.delivery_bps,
            bandwidth_bps: sent.link_capacity_bps,
            ..Self::of_both(stats)
        }
    }

    fn of_both(stats: &Stats) -> Self {
        let ms = |duration: std::time::Duration| duration.as_secs_f64() * 1000.0;
        Self { rtt_ms: ms(stats.rtt), rtt_variance_ms: ms(stats.rtt_variance), ..Self::default() }
    }
}
