//! RTP header extensions by their URIs (RFC 8285).

/// The ids under which both sides know a header extension; `None`: it is not used. All are 1 to 14, so that the one-byte form
/// of extensions suffices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extensions {
    /// The media section a packet belongs to (RFC 9143 §15.2).
    pub mid: Option<u8>,
    /// The layer of a simulcast (RFC 8852 §3.1).
    pub rid: Option<u8>,
    /// The layer that a retransmission belongs to (RFC 8852 §3.2).
    pub repaired_rid: Option<u8>,
    /// The transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    pub transport_cc: Option<u8>,
    /// When the packet was sent, in 24 bits: 6 of seconds.
    pub abs_send_time: Option<u8>,
    /// How long the player should hold pictures back, at least and at most.
    pub playout_delay: Option<u8>,
}

impl Extensions {
    /// Takes in what an offer says of one, if it is known. Of two for the same, the first holds.
    pub(super) fn offer(&mut self, id: u8, uri: &str) {
        if let Some((_, slot)) = self.slots().into_iter().find(|(known, _)| *known == uri) {
            slot.get_or_insert(id);
        }
    }

    /// Those that both have under the same id.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        for ((_, slot), (_, other)) in self.slots().into_iter().zip(other.slots()) {
            *slot = slot.filter(|id| Some(*id) == *other);
        }
        self
    }

    /// Those whose ids `keep` says yes to.
    pub(super) fn filter(mut self, keep: impl Fn(u8) -> bool) -> Self {
        for (_, slot) in self.slots() {
            *slot = slot.filter(|id| keep(*id));
        }
        self
    }

    /// Each that is used, with its URI.
    pub(super) fn iter(mut self) -> impl Iterator<Item = (u8, &'static str)> {
        let used = self.slots().map(|(uri, slot)| (*slot, uri));
        used.into_iter().filter_map(|(id, uri)| Some((id?, uri)))
    }

    /// All that are known.
    fn slots(&mut self) -> [(&'static str, &mut Option<u8>); 6] {
        [
            ("urn:ietf:params:rtp-hdrext:sdes:mid", &mut self.mid),
            ("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", &mut self.rid),
            ("urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id", &mut self.repaired_rid),
            (
                "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
                &mut self.transport_cc,
            ),
            ("http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time", &mut self.abs_send_time),
            ("http://www.webrtc.org/experiments/rtp-hdrext/playout-delay", &mut self.playout_delay),
        ]
    }
}
