//! RTP (RFC 3550): packets, and how the frames of each codec go in them.
//!
//! [`Packetizer`] cuts a stream's frames into payloads once, for all viewers; each viewer's header is written in front
//! ([`Header::write`]). [`Depacketizer`] puts the packets of one source, in order, together to frames again. No clock, no
//! socket, no encryption, no reordering: `cruvz-core` has those. Nothing that arrives panics or grows memory beyond
//! [`Limits`]; a frame of which something is missing is dropped whole and counted. `docs/protocols/rtp.md` lists each clause.

use crate::{Codec, Timescale};

mod av1;
mod depacketizer;
mod discard;
mod equal;
mod nal;
mod opus;
mod order;
mod packet;
mod packetizer;
#[cfg(test)]
mod tests;
mod vp8;
mod vp9;

pub use depacketizer::{Counters, Depacketizer, Event, Limits};
pub use discard::is_discardable;
pub use opus::params as opus_params;
pub use order::Order;
pub use packet::{Extensions, Header, Packet};
pub use packetizer::{DEFAULT_PAYLOAD_BYTES, MIN_PAYLOAD_BYTES, Packetizer, Payload};

/// Why bytes are no RTP packet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The padding at the end claims more than there is, or nothing.
    #[error("{padding} bytes of padding where {left} are left")]
    Padding {
        /// Bytes it claims.
        padding: u8,
        /// Bytes there are.
        left: usize,
    },
    /// The packet ends within its header.
    #[error("the packet ends too early, after {bytes} bytes")]
    Truncated {
        /// Bytes it has.
        bytes: usize,
    },
    /// Another version than 2.
    #[error("version {0} of RTP is not supported")]
    Version(u8),
}

/// The scale of a codec's RTP timestamps; `None` where it has no payload format here.
pub const fn clock_rate(codec: Codec) -> Option<Timescale> {
    match codec {
        Codec::Av1 | Codec::H264 | Codec::H265 | Codec::Vp8 | Codec::Vp9 => Some(Timescale::MPEG),
        // RFC 7587 §4.1: whatever the encoder's rate is.
        Codec::Opus => Timescale::new(48_000),
        _ => None,
    }
}
