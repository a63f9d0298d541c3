//! What we send.

use super::cipher::{Cipher, ENCRYPTED, RTCP_HEADER_LEN, RTCP_INDEX_LEN};
use super::keys::{MasterKey, Profile, Purpose};

/// Bytes of an RTP header without sources and extensions.
const RTP_HEADER_LEN: usize = 12;

/// Seals RTP and RTCP packets. About 1.4 KB.
pub struct Outbound {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    rtcp_index: u32,
}

impl Outbound {
    /// Seals with keys derived from `master`.
    pub fn new(master: &MasterKey) -> Self {
        Self {
            profile: master.profile(),
            rtp: Cipher::new(&master.derive(Purpose::Rtp)),
            rtcp: Cipher::new(&master.derive(Purpose::Rtcp)),
            rtcp_index: 0,
        }
    }

    /// How packets are protected.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Bytes that an RTP packet grows by.
    pub fn overhead(&self) -> usize {
        self.profile.tag_len()
    }

    /// Bytes that an RTCP packet grows by.
    pub fn rtcp_overhead(&self) -> usize {
        self.profile.tag_len() + RTCP_INDEX_LEN
    }

    /// Appends the sealed packet of `header` and the parts of a payload to `out`, and takes no memory but what `out` lacks.
    ///
    /// `header` is whole, with its sources and extensions. `index` is how many packets this source has sent, counted
    /// from its first sequence number: 48 bits, the low 16 of which are the sequence number in the header. A peer takes
    /// it that the upper ones begin at 0.
    ///
    /// A packet that is sent again under the same index must be the same in every byte; see the [module](super).
    ///
    /// # Panics
    /// If `header` has fewer than 12 bytes.
    pub fn seal_rtp(&self, index: u64, header: &[u8], payload: &[&[u8]], out: &mut Vec<u8>) {
        assert!(header.len() >= RTP_HEADER_LEN, "an RTP header of {} bytes", header.len());
        debug_assert_eq!(
            header[2..4],
            (index as u16).to_be_bytes(),
            "the sequence number is part of the index"
        );
        let start = out.len();
        let payload_len: usize = payload.iter().map(|part| part.len()).sum();
        out.reserve(header.len() + payload_len + self.overhead());
        out.extend_from_slice(header);
        payload.iter().for_each(|part| out.extend_from_slice(part));
        self.rtp.seal_rtp(index, out, start, header.len());
    }

    /// Appends the sealed packet of `compound`, which is RTCP of any number of packets, to `out`.
    ///
    /// A key seals 2^31 of them (RFC 3711 §9.2), a year's worth at 70 per second; nothing is appended after that.
    ///
    /// # Panics
    /// If `compound` has fewer than 8 bytes.
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) {
        assert!(compound.len() >= RTCP_HEADER_LEN, "RTCP of {} bytes", compound.len());
        if self.rtcp_index >= ENCRYPTED {
            return;
        }
        let start = out.len();
        out.reserve(compound.len() + self.rtcp_overhead());
        out.extend_from_slice(compound);
        self.rtcp.seal_rtcp(self.rtcp_index, out, start);
        self.rtcp_index += 1;
    }
}

#[cfg(test)]
impl Outbound {
    pub(super) fn set_rtcp_index(&mut self, index: u32) {
        self.rtcp_index = index;
    }
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Outbound({:?})", self.profile)
    }
}
