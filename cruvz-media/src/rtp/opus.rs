//! Opus (RFC 7587): a payload is a packet of Opus, no more and no less.

use bytes::Bytes;

use super::depacketizer::{Event, Flaw, Format};
use crate::{Codec, CodecParams, codec};

/// The parameters of an Opus track that came by RTP, which has no OpusHead: 1 or 2 channels as `stereo` or `sprop-stereo`
/// of its SDP have it, and nothing to skip, as a stream joined in its midst has none. `None` for other numbers.
pub fn params(channels: u8) -> Option<CodecParams> {
    let head = codec::opus::Head {
        channels,
        pre_skip: 0,
        input_sample_rate_hz: 48_000,
        output_gain: 0,
        mapping_family: 0,
        mapping: Bytes::new(),
    };
    codec::parse(Codec::Opus, head.to_bytes()).ok()
}

/// Payloads to packets of Opus.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    packet: Bytes,
    /// The parameters are known to whoever asks.
    is_known: bool,
}

impl Assembler {
    /// For a track whose parameters are known.
    pub(super) const fn known() -> Self {
        Self { packet: Bytes::new(), is_known: true }
    }
}

impl Format for Assembler {
    fn opens(&self, _: &[u8]) -> bool {
        true
    }

    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), Flaw> {
        if payload.len() > limit {
            return Err(Flaw::Oversized);
        }
        codec::opus::samples(payload).ok_or(Flaw::Malformed)?;
        // A copy: a slice would keep the datagram, of which this may be a small part.
        self.packet = Bytes::copy_from_slice(payload);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<Option<Bytes>, Flaw> {
        if !std::mem::replace(&mut self.is_known, true) {
            // SDP always names two channels (RFC 7587 §4.1), and a decoder makes two of one.
            out.extend(params(2).map(Event::Params));
        }
        Ok(Some(std::mem::take(&mut self.packet)))
    }

    fn discard(&mut self) {
        self.packet.clear();
    }
}
