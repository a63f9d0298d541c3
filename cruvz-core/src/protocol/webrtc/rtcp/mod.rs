//! RTCP: what receivers and senders of RTP tell each other (RFC 3550 §6).
//!
//! Parsing borrows from the datagram and allocates nothing: [`packets`] checks each packet as a whole, after which its
//! iterators cannot fail. Writing appends one packet to a `Vec`; several in a row are a compound packet, and a lone
//! feedback packet is allowed as well (RFC 5506). Extended reports, application packets and feedback of unknown kinds
//! are passed over. What a datagram can make a caller do is bounded by its own length, except for
//! [`TransportFeedback`], which has [`MAX_STATUSES`].

mod feedback;
mod report;
mod transport;
pub mod write;

pub use feedback::{Fir, Nack, Pli, Remb};
pub use report::{Goodbye, ReceiverReport, ReportBlock, SenderInfo, SenderReport, SourceDescription};
pub use transport::{MAX_FEEDBACK_BYTES, MAX_STATUSES, TransportFeedback};

use std::time::Duration;

/// Packet types (RFC 3550 §12.1, RFC 4585 §6.1).
mod kind {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const SOURCE_DESCRIPTION: u8 = 202;
    pub(super) const GOODBYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
}

/// Feedback message types: those of transport feedback (NACK, transport-wide congestion control) and those of payload
/// feedback (RFC 4585 §6.2, §6.3; RFC 5104 §4.3; "application layer feedback" holds REMB).
mod format {
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_WIDE: u8 = 15;
    pub(super) const PLI: u8 = 1;
    pub(super) const FIR: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

/// Why a packet cannot be read. What comes after it in the same datagram is lost with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// The version is not 2: this is no RTCP.
    #[error("RTCP of version {0}")]
    Version(u8),
    /// The packet says that it is longer than what is left of the datagram.
    #[error("RTCP packet of {want} bytes where {left} are left")]
    Truncated {
        /// Bytes it claims, header included.
        want: usize,
        /// Bytes there are.
        left: usize,
    },
    /// The padding is longer than the packet, or empty.
    #[error("RTCP packet padded by {0} bytes")]
    Padding(u8),
    /// The packet ends before what its type or its counters promise.
    #[error("RTCP packet of type {kind} ends too early, after {bytes} bytes")]
    Short {
        /// Packet type.
        kind: u8,
        /// Bytes after the header and before the padding.
        bytes: usize,
    },
    /// Transport-wide feedback on more packets than [`MAX_STATUSES`].
    #[error("feedback on {0} packets, more than {MAX_STATUSES}")]
    Statuses(u16),
    /// Transport-wide feedback with the status symbol that has no meaning.
    #[error("feedback with the reserved status symbol")]
    Symbol,
}

/// One RTCP packet of those that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// What a sender has sent until when.
    SenderReport(SenderReport<'a>),
    /// How well the packets arrive.
    ReceiverReport(ReceiverReport<'a>),
    /// Who the sources are.
    SourceDescription(SourceDescription<'a>),
    /// Sources that end.
    Goodbye(Goodbye<'a>),
    /// Packets that are wanted again.
    Nack(Nack<'a>),
    /// A keyframe is wanted, for the picture is broken.
    Pli(Pli),
    /// A keyframe is wanted.
    Fir(Fir<'a>),
    /// The bit rate that a receiver believes it can take.
    Remb(Remb<'a>),
    /// When each packet of a transport arrived.
    TransportFeedback(TransportFeedback<'a>),
}

/// The packets of `datagram`, in order, without those of unknown type. The first error ends them.
pub const fn packets(datagram: &[u8]) -> Packets<'_> {
    Packets { rest: datagram }
}

/// See [`packets`].
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, RtcpError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let parsed = Raw::split(&mut self.rest).and_then(Raw::parse);
            if parsed.is_err() {
                self.rest = &[];
            }
            if let Some(item) = parsed.transpose() {
                return Some(item);
            }
        }
        None
    }
}

/// A packet whose body has not been looked at.
struct Raw<'a> {
    kind: u8,
    /// The five bits that count, or name the format.
    count: u8,
    /// After the header of four bytes, without padding.
    body: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Takes one packet off `rest` (RFC 3550 §6.4.1).
    fn split(rest: &mut &'a [u8]) -> Result<Self, RtcpError> {
        let [first, kind, high, low, ..] = **rest else {
            return Err(RtcpError::Truncated { want: 4, left: rest.len() });
        };
        if first >> 6 != 2 {
            return Err(RtcpError::Version(first >> 6));
        }
        let want = 4 * (1 + usize::from(u16::from_be_bytes([high, low])));
        let Some((packet, left)) = rest.split_at_checked(want) else {
            return Err(RtcpError::Truncated { want, left: rest.len() });
        };
        let mut body = &packet[4..];
        if first & 0x20 != 0 {
            let padding = body.last().copied().unwrap_or(0);
            let kept = body.len().checked_sub(padding.into()).filter(|_| padding > 0);
            body = &body[..kept.ok_or(RtcpError::Padding(padding))?];
        }
        *rest = left;
        Ok(Self { kind, count: first & 0x1f, body })
    }

    /// What it says; `None` for what is passed over.
    fn parse(self) -> Result<Option<Packet<'a>>, RtcpError> {
        let Self { kind, count, body } = self;
        let packet = match (kind, count) {
            (kind::SENDER_REPORT, _) => SenderReport::parse(count, body).map(Packet::SenderReport),
            (kind::RECEIVER_REPORT, _) => ReceiverReport::parse(count, body).map(Packet::ReceiverReport),
            (kind::SOURCE_DESCRIPTION, _) => {
                SourceDescription::parse(count, body).map(Packet::SourceDescription)
            }
            (kind::GOODBYE, _) => Goodbye::parse(count, body).map(Packet::Goodbye),
            (kind::TRANSPORT_FEEDBACK, format::NACK) => Nack::parse(body).map(Packet::Nack),
            (kind::TRANSPORT_FEEDBACK, format::TRANSPORT_WIDE) => {
                return TransportFeedback::parse(body)
                    .map(|feedback| Some(Packet::TransportFeedback(feedback)));
            }
            (kind::PAYLOAD_FEEDBACK, format::PLI) => Pli::parse(body).map(Packet::Pli),
            (kind::PAYLOAD_FEEDBACK, format::FIR) => Fir::parse(body).map(Packet::Fir),
            (kind::PAYLOAD_FEEDBACK, format::APPLICATION) if Remb::is(body) => {
                Remb::parse(body).map(Packet::Remb)
            }
            _ => return Ok(None),
        };
        packet.map(Some).ok_or(RtcpError::Short { kind, bytes: body.len() })
    }
}

/// The big-endian number that `bytes` begins with, and the rest.
fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// The numbers that `bytes` consists of.
fn numbers(bytes: &[u8]) -> impl ExactSizeIterator<Item = u32> + '_ {
    bytes.as_chunks().0.iter().map(|number| u32::from_be_bytes(*number))
}

/// `unix`, the time since 1970, as an NTP timestamp: seconds since 1900, with 32 bits after the point (RFC 3550 §4).
/// The era wraps in 2036.
pub fn ntp(unix: Duration) -> u64 {
    /// Seconds from 1900 to 1970.
    const EPOCH: u64 = 2_208_988_800;
    let seconds = unix.as_secs().wrapping_add(EPOCH) << 32;
    seconds | ((u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000)
}

/// The middle 32 bits of an NTP timestamp: what reports repeat, in units of 1/65,536 s.
pub const fn compact_ntp(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

#[cfg(test)]
mod tests;
