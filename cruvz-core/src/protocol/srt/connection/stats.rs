//! What a connection has seen and done.

use std::time::Duration;

/// Counts since the start of a connection, and how it is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The round-trip time; 100 ms until it is measured.
    pub rtt: Duration,
    /// Its mean deviation.
    pub rtt_variance: Duration,
    /// What was sent.
    pub sent: SendStats,
    /// What was received.
    pub received: ReceiveStats,
}

/// The sending half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendStats {
    /// Media packets sent for the first time.
    pub packets: u64,
    /// Bytes of all media packets sent, with SRT headers, repeated ones too.
    pub bytes: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Packets that the peer reported as lost, each once.
    pub lost: u64,
    /// Packets of the log that were passed over because the peer or the network was too slow.
    pub skipped: u64,
    /// Packets that the peer wanted again when it was too late or they were gone.
    pub expired: u64,
    /// Packets on their way: sent and not yet acknowledged.
    pub in_flight: u64,
    /// When the peer last acknowledged any of them, or the first was sent; `None` while none is on its way.
    pub waits_since: Option<Duration>,
    /// Acknowledgements received.
    pub acks: u64,
    /// Loss reports received.
    pub naks: u64,
    /// Acknowledgements and loss reports of what was never sent, and other nonsense.
    pub absurd: u64,
    /// What the peer says that the link could carry, in bits per second; 0 if it did not say.
    pub link_capacity_bps: u64,
    /// What the peer says that arrives, in bits per second.
    pub delivery_bps: u64,
}

/// The receiving half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveStats {
    /// Media packets that were new.
    pub packets: u64,
    /// Bytes of all media packets that came, with SRT headers.
    pub bytes: u64,
    /// Packets found missing, whether they came later or not.
    pub lost: u64,
    /// Packets that came as repeated ones.
    pub retransmitted: u64,
    /// Packets that never came in time.
    pub dropped: u64,
    /// Packets that came when their turn was over: too late, or a second time.
    pub belated: u64,
    /// Packets that came a second time while the first was waiting.
    pub duplicates: u64,
    /// Packets that came out of order without having been lost.
    pub reordered: u64,
    /// Packets with numbers that cannot be, or for which there was no room.
    pub refused: u64,
    /// Packets that could not be decrypted.
    pub undecrypted: u64,
    /// Packets of media that a peer sent to a connection that takes none.
    pub unwanted: u64,
    /// Loss reports sent.
    pub naks: u64,
    /// Packets waiting for their time.
    pub buffered_packets: u64,
    /// Time between the oldest and the newest packet that wait.
    pub buffered: Duration,
    /// What arrives, in bits per second.
    pub bps: u64,
    /// What the link could carry, in bits per second; 0 while unknown.
    pub link_capacity_bps: u64,
    /// How far the peer's clock has drifted from ours since the start, in microseconds.
    pub drift_us: i64,
}
