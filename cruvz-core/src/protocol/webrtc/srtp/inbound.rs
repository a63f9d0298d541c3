//! What a peer sends.

use bytes::BytesMut;

use super::cipher::{Cipher, ENCRYPTED, RTCP_HEADER_LEN};
use super::keys::{MasterKey, Purpose};
use super::replay::Windows;

/// Bytes of an RTP header without sources and extensions.
const RTP_HEADER_LEN: usize = 12;

/// Why a packet was not opened. Nothing has changed then, apart from the bytes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not a packet.
    #[error("packet of {0} bytes is malformed")]
    Malformed(usize),
    /// It came before, or is too old to tell.
    #[error("packet {seq} of source {ssrc:#010x} came before")]
    Replayed {
        /// Its source.
        ssrc: u32,
        /// Its sequence number, or the low 16 bits of its index if it is RTCP.
        seq: u16,
    },
    /// It is not what its sender sealed, or was sealed by somebody else.
    #[error("packet of source {0:#010x} is not authentic")]
    Forged(u32),
    /// RTCP in the clear.
    #[error("control packet of source {0:#010x} is not encrypted")]
    Clear(u32),
    /// There are as many sources as there may be.
    #[error("source {0:#010x} is one too many")]
    TooManySources(u32),
}

/// Opens RTP and RTCP packets. About 1.5 KB, half of that only once RTP has come, and 48 bytes per source.
pub struct Inbound {
    master: MasterKey,
    /// Made when the first packet comes: viewers send none.
    rtp: Option<Box<Cipher>>,
    rtcp: Cipher,
    rtp_windows: Windows,
    rtcp_windows: Windows,
}

impl Inbound {
    /// Opens with keys derived from `master`, for at most `max_sources` sources.
    pub fn new(master: MasterKey, max_sources: usize) -> Self {
        Self {
            rtp: None,
            rtcp: Cipher::new(&master.derive(Purpose::Rtcp)),
            rtp_windows: Windows::new(max_sources),
            rtcp_windows: Windows::new(max_sources),
            master,
        }
    }

    /// Opens an RTP packet in place and returns its index: 48 bits, of which the low 16 are its sequence number.
    ///
    /// The upper ones are guessed from what came before (RFC 3711 §3.3.1), and begin at 0 for a new source.
    ///
    /// # Errors
    /// If it is malformed, not authentic, came before, or is of one source too many.
    pub fn open_rtp(&mut self, packet: &mut BytesMut) -> Result<u64, OpenError> {
        let malformed = OpenError::Malformed(packet.len());
        let header_len = rtp_header_len(packet).ok_or(malformed)?;
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = ssrc_at(packet, 8);
        if !self.rtp_windows.admits(ssrc) {
            return Err(OpenError::TooManySources(ssrc));
        }
        let index = match self.rtp_windows.of(ssrc) {
            None => Some(seq.into()),
            Some(window) => window.index_of(seq).filter(|index| window.is_new(*index)),
        };
        let index = index.ok_or(OpenError::Replayed { ssrc, seq })?;
        let cipher = self.rtp.get_or_insert_with(|| Box::new(Cipher::new(&self.master.derive(Purpose::Rtp))));
        let length = cipher.open_rtp(index, packet, header_len).ok_or(OpenError::Forged(ssrc))?;
        packet.truncate(length);
        self.rtp_windows.note(ssrc, index);
        Ok(index)
    }

    /// Opens an RTCP packet in place; what is left is RTCP of any number of packets.
    ///
    /// # Errors
    /// If it is malformed, in the clear, not authentic, came before, or is of one source too many.
    pub fn open_rtcp(&mut self, packet: &mut BytesMut) -> Result<(), OpenError> {
        let malformed = OpenError::Malformed(packet.len());
        if packet.len() < RTCP_HEADER_LEN || packet[0] >> 6 != 2 {
            return Err(malformed);
        }
        let ssrc = ssrc_at(packet, 4);
        let trailer = self.rtcp.rtcp_trailer(&packet[RTCP_HEADER_LEN..]).ok_or(malformed)?;
        if trailer & ENCRYPTED == 0 {
            return Err(OpenError::Clear(ssrc));
        }
        if !self.rtcp_windows.admits(ssrc) {
            return Err(OpenError::TooManySources(ssrc));
        }
        let index = trailer & !ENCRYPTED;
        let replayed = self.rtcp_windows.of(ssrc).is_some_and(|window| !window.is_new(index.into()));
        if replayed {
            return Err(OpenError::Replayed { ssrc, seq: index as u16 });
        }
        let length = self.rtcp.open_rtcp(index, packet).ok_or(OpenError::Forged(ssrc))?;
        packet.truncate(length);
        self.rtcp_windows.note(ssrc, index.into());
        Ok(())
    }
}

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inbound({:?})", self.master.profile())
    }
}

/// Bytes before the payload (RFC 3550 §5.1); `None` if that is no RTP packet, or they are not all there.
fn rtp_header_len(packet: &[u8]) -> Option<usize> {
    let fixed: &[u8; RTP_HEADER_LEN] = packet.first_chunk()?;
    let sources = RTP_HEADER_LEN + 4 * usize::from(fixed[0] & 0x0F);
    let has_extension = fixed[0] & 0x10 != 0;
    let length = if has_extension {
        let extension: &[u8; 4] = packet.get(sources..)?.first_chunk()?;
        sources + 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]))
    } else {
        sources
    };
    (fixed[0] >> 6 == 2 && length <= packet.len()).then_some(length)
}

/// The source in a header, which the caller has found to be long enough.
fn ssrc_at(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(packet[at..at + 4].try_into().expect("4 bytes"))
}
