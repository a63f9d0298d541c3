//! What a transport stream suffered on its way.

/// How often something was wrong with what a [`super::Demuxer`] was given, since it began.
///
/// A stream without loss has zeros everywhere but in `packets`, and in `duplicates` where its sender repeats packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Transport packets read.
    pub packets: u64,
    /// Times that packets were not where they should have been, and were looked for.
    pub resyncs: u64,
    /// Bytes passed over in that search.
    pub skipped_bytes: u64,
    /// Packets that an earlier link marked as damaged (transport_error_indicator), or whose header is impossible.
    pub damaged_packets: u64,
    /// Packets of our streams whose continuity counter was not the expected one: at least one packet before it is lost.
    pub continuity_errors: u64,
    /// Packets that came twice, as the standard allows.
    pub duplicates: u64,
    /// Packets, or whole PES packets, that are scrambled.
    pub scrambled: u64,
    /// Table sections that were cut short, or whose checksum or syntax is wrong.
    pub bad_sections: u64,
    /// PES packets dropped because a part of them is missing or their header is impossible.
    pub damaged_pes: u64,
    /// PES packets dropped because they went beyond [`super::Limits`].
    pub oversized_pes: u64,
    /// Access units dropped because their codec's syntax is wrong.
    pub malformed: u64,
    /// Access units dropped because they have no time, not even one that follows from those before.
    pub untimed: u64,
    /// Access units dropped because the configuration of their track had not come yet.
    pub unconfigured: u64,
    /// Streams in program maps that are passed over: of a codec we do not carry, or beyond [`super::Limits::streams`].
    pub unsupported_streams: u64,
}

impl Counters {
    /// Access units, or PES packets that may have held several, that did not become frames.
    pub const fn dropped(&self) -> u64 {
        self.damaged_pes + self.oversized_pes + self.malformed + self.untimed + self.unconfigured
    }
}
