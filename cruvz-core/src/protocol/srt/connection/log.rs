//! Where a sender's packets are.

use std::time::Duration;

/// The packets of one stream, shared by all who send it: a window over an endless row of payloads.
///
/// A connection that sends keeps no packet of its own. It remembers where in the row it is; what is lost is read
/// here once more. A payload and its time must not change, as a packet is repeated as it was.
pub trait PacketLog {
    /// The oldest index that is still there, or [`end`](Self::end) if none is.
    fn first(&self) -> u64;

    /// The index behind the newest.
    fn end(&self) -> u64;

    /// The payload of one packet, and when it was made on the engine's clock. `None` outside of the window.
    ///
    /// Payloads have 7 TS packets, 1,316 bytes, or less. One that is longer than the connection's
    /// [`payload_bytes`](crate::protocol::srt::Established::payload_bytes) is passed over.
    fn packet(&self, index: u64) -> Option<(&[u8], Duration)>;

    /// The newest index at which a viewer may begin: a key frame's first packet. Viewers start here, and those who
    /// fall behind go on here.
    fn restart(&self) -> u64 {
        self.first()
    }

    /// A packet that a viewer who begins at `index` gets before it, not longer than the others.
    fn preface(&self, index: u64) -> Option<bytes::Bytes> {
        let _ = index;
        None
    }
}

/// A log with nothing in it, for a connection that sends no media.
impl PacketLog for () {
    fn first(&self) -> u64 {
        0
    }

    fn end(&self) -> u64 {
        0
    }

    fn packet(&self, _: u64) -> Option<(&[u8], Duration)> {
        None
    }
}
