//! What is told to the viewer of the clock, and what it tells of what arrives (RFC 3550 §6.4).

use std::time::Duration;

use super::{lane::Lane, log::MediaClock};
use crate::protocol::webrtc::rtcp::{self, ReportBlock, SenderInfo, write};

/// How one track arrives, as the viewer last said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reception {
    /// The share lost since the report before, in 1/256.
    pub(super) fraction_lost: u8,
    /// Lost since the start, those that came later taken off.
    pub(super) lost: i32,
    /// How much the times of arrival vary.
    pub(super) jitter: Duration,
}

impl Reception {
    pub(super) fn of(block: &ReportBlock, clock_rate: u32) -> Self {
        let jitter_us = u64::from(block.jitter) * 1_000_000 / u64::from(clock_rate.max(1));
        Self {
            fraction_lost: block.fraction_lost,
            lost: block.cumulative_lost,
            jitter: Duration::from_micros(jitter_us),
        }
    }
}

/// The round trip that a report block shows, which names the sender report that it answers and how long ago that came.
pub(super) fn round_trip(block: &ReportBlock, clock: &MediaClock, now: Duration) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let arrived = rtcp::compact_ntp(rtcp::ntp(clock.unix(now)));
    let trip = arrived.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    // In 1/65,536 s. A clock that was set back, or a lie, shows as a trip of hours.
    (trip < (60 << 16)).then(|| Duration::from_micros((u64::from(trip) * 1_000_000) >> 16))
}

/// Appends the reports of `lanes`, all from one look at the clock: by them the viewer plays sound and pictures together.
pub(super) fn write_sender_reports<'a>(
    out: &mut Vec<u8>,
    lanes: impl Iterator<Item = &'a Lane> + Clone,
    clock: &MediaClock,
    now: Duration,
    cname: &str,
) {
    for lane in lanes.clone() {
        let info = SenderInfo {
            ntp: rtcp::ntp(clock.unix(now)),
            rtp_timestamp: clock.rtp_timestamp(now, lane.config.clock_rate),
            packets: lane.packets,
            octets: lane.octets,
        };
        write::sender_report(out, lane.config.ssrc, &info, &[]);
    }
    for lane in lanes {
        write::cname(out, lane.config.ssrc, cname);
    }
}
