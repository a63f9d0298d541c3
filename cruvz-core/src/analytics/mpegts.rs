//! What a publisher's transport stream suffered on its way.

use cruvz_media::container::mpegts::Counters;
use serde::Serialize;

/// What was wrong with a transport stream since its session began. Zeros say that it arrived whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MpegTsStats {
    /// Gaps in the continuity counters: at least so many packets are lost.
    pub continuity_errors: u64,
    /// Packets that an earlier link marked as damaged.
    pub damaged_packets: u64,
    /// Times that packets were not where they should have been.
    pub resyncs: u64,
    /// Sections of tables whose checksum or syntax is wrong.
    pub bad_sections: u64,
    /// Packets that are scrambled.
    pub scrambled: u64,
    /// Access units that did not become frames, those before the first keyframe included.
    pub dropped_units: u64,
}

impl MpegTsStats {
    pub(crate) const fn of(counters: &Counters) -> Self {
        Self {
            continuity_errors: counters.continuity_errors,
            damaged_packets: counters.damaged_packets,
            resyncs: counters.resyncs,
            bad_sections: counters.bad_sections,
            scrambled: counters.scrambled,
            dropped_units: counters.dropped(),
        }
    }
}
