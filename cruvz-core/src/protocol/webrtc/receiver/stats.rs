//! What a receiver counted.

use std::time::Duration;

use super::source::Source;

/// What came of a publisher, and what was done about what did not. Counts since the start, of all SSRCs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets of media under their own numbers, duplicates counted.
    pub packets: u64,
    /// Bytes of RTP, headers and repeats included.
    pub bytes: u64,
    /// Packets found missing, whether they came later or not.
    pub lost: u64,
    /// Of these, packets that came after all, sent again or merely overtaken.
    pub recovered: u64,
    /// Of these, packets that are not waited for any more.
    pub given_up: u64,
    /// Packets that came on the SSRCs for repeats, probes of the network included.
    pub retransmissions: u64,
    /// Packets that came twice or too late.
    pub belated: u64,
    /// Packets whose number fits to nothing before.
    pub stray: u64,
    /// Packets of SSRCs or payload types that were not negotiated, or of more SSRCs than are received.
    pub foreign: u64,
    /// Packets of RTP or RTCP that cannot be read.
    pub malformed: u64,
    /// Packets asked for, each time counted.
    pub nacks: u64,
    /// Keyframes asked for.
    pub keyframe_requests: u64,
    /// Frames passed on.
    pub frames: u64,
    /// Frames dropped because something of them, or of what they build on, is missing or cannot be read.
    pub dropped_frames: u64,
    /// Frames of layers that are not shown.
    pub other_layers: u64,
    /// Packets that wait behind one that is missing, at the moment.
    pub waiting: usize,
    /// The largest jitter among the sources: the mean deviation of transit times.
    pub jitter: Duration,
    /// The share of packets lost before the last report, in 256ths, of the source that lost most.
    pub fraction_lost: u8,
    /// What the publisher was last told that it may send, in bits per second, if it does not find that out by itself.
    pub estimate_bps: Option<u64>,
    /// The round trip, once a repeated packet told.
    pub rtt: Option<Duration>,
}

impl Stats {
    /// Adds what one source counted.
    pub(super) fn add(&mut self, source: &Source) {
        let (counts, frames) = (source.counts(), source.depacketized());
        self.lost += counts.lost;
        self.recovered += counts.recovered;
        self.given_up += counts.given_up;
        self.belated += counts.belated;
        self.stray += counts.stray;
        self.nacks += counts.nacks;
        self.keyframe_requests += source.keyframes.requests;
        self.dropped_frames += frames.dropped();
    }
}
