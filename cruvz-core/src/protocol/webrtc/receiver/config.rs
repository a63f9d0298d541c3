//! How much a receiver holds and how long it waits.

use std::time::Duration;

/// The limits and rhythms of a [`super::Receiver`]. Every one bounds what a peer can make us hold or send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// SSRCs of media that are received at a time; packets of others are counted and dropped. Default 8: sound, three
    /// layers of simulcast, and room for SSRCs that are replaced.
    pub max_sources: usize,
    /// Packets held per SSRC behind one that is missing; beyond them the missing ones are given up. Default 2,048: half a
    /// second at 40 Mbit/s.
    pub max_packets: usize,
    /// Packets per SSRC that may be missing and asked for at a time; with more, all are given up and a keyframe is
    /// requested. Default 512.
    pub max_missing: usize,
    /// How often one packet is asked for. Default 10.
    pub max_nacks: u32,
    /// The longest wait for a packet that was asked for. The wait is five round trips, but at least 150 ms. Larger: more
    /// is recovered on long links, and the picture stands still for longer when it is not. Default 500 ms.
    pub max_wait: Duration,
    /// The wait for a packet that cannot be asked for but may have been overtaken. Default 50 ms.
    pub reorder_wait: Duration,
    /// The round trip that is assumed until one is measured. Default 100 ms.
    pub initial_rtt: Duration,
    /// Time between two transport-wide feedbacks, from which the publisher learns what its network carries. Default 50 ms.
    pub feedback_interval: Duration,
    /// Time between two receiver reports. Default 1 s.
    pub report_interval: Duration,
    /// The age at which a keyframe is succeeded by another on our request: browsers send none by themselves, and viewers
    /// begin, and segments are cut, at keyframes only. Zero: never. Default 2 s.
    pub keyframe_interval: Duration,
    /// The least time between two requests for a keyframe. Each request in vain doubles it, up to eightfold.
    /// Default 300 ms.
    pub keyframe_request_interval: Duration,
    /// How long the first frames wait for the other tracks that were negotiated, so that viewers learn of all at once.
    /// Default 1 s.
    pub gather: Duration,
    /// Bytes of frames that wait so; with more, the stream begins with the tracks that are there. Default 4 MiB.
    pub max_gathered_bytes: usize,
    /// How long the layer that is shown may be silent before another one of the simulcast takes its place, and an SSRC
    /// before another takes its name. Default 1 s.
    pub patience: Duration,
    /// The largest frame, in bytes. Default 4 MiB.
    pub max_frame_bytes: usize,
    /// What a publisher without transport-wide feedback is told that it may send at most, in bits per second (REMB).
    /// Default 20 Mbit/s.
    pub max_bitrate_bps: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_sources: 8,
            max_packets: 2_048,
            max_missing: 512,
            max_nacks: 10,
            max_wait: Duration::from_millis(500),
            reorder_wait: Duration::from_millis(50),
            initial_rtt: Duration::from_millis(100),
            feedback_interval: Duration::from_millis(50),
            report_interval: Duration::from_secs(1),
            keyframe_interval: Duration::from_secs(2),
            keyframe_request_interval: Duration::from_millis(300),
            gather: Duration::from_secs(1),
            max_gathered_bytes: 4 << 20,
            patience: Duration::from_secs(1),
            max_frame_bytes: 4 << 20,
            max_bitrate_bps: 20_000_000,
        }
    }
}
