//! Feedback: what a receiver wants of a sender (RFC 4585, RFC 5104, and REMB, which never became an RFC).

use super::{numbers, take_u32};

/// What a REMB begins with, after its two sources (draft-alvestrand-rmcat-remb-03 §2.2).
pub(super) const REMB: [u8; 4] = *b"REMB";

/// Who says it, about whom, and the rest (RFC 4585 §6.1).
pub(super) fn sources(body: &[u8]) -> Option<(u32, u32, &[u8])> {
    let (sender, rest) = take_u32(body)?;
    let (media, rest) = take_u32(rest)?;
    Some((sender, media, rest))
}

/// Packets that are wanted again (RFC 4585 §6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nack<'a> {
    /// Who wants them.
    pub sender: u32,
    /// The stream they belong to.
    pub media: u32,
    pairs: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, media, pairs) = sources(body)?;
        Some(Self { sender, media, pairs })
    }

    /// The sequence numbers of those packets, as they are listed: at most 17 for each 4 bytes of the datagram.
    pub fn lost(&self) -> impl Iterator<Item = u16> + 'a {
        self.pairs.as_chunks().0.iter().flat_map(|&[high, low, mask_high, mask_low]| {
            let first = u16::from_be_bytes([high, low]);
            let mask = u16::from_be_bytes([mask_high, mask_low]);
            let more = (0..16).filter(move |bit| mask >> bit & 1 == 1);
            std::iter::once(first).chain(more.map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// A keyframe is wanted, for the picture is broken (RFC 4585 §6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pli {
    /// Who wants it.
    pub sender: u32,
    /// The stream.
    pub media: u32,
}

impl Pli {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let (sender, media, _) = sources(body)?;
        Some(Self { sender, media })
    }
}

/// A keyframe is wanted (RFC 5104 §4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fir<'a> {
    /// Who wants it.
    pub sender: u32,
    entries: &'a [u8],
}

impl<'a> Fir<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, _, entries) = sources(body)?;
        Some(Self { sender, entries })
    }

    /// Each stream, with the number of the request: the same number is the same request, repeated.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = (u32, u8)> + 'a {
        self.entries
            .as_chunks()
            .0
            .iter()
            .map(|&[a, b, c, d, number, _, _, _]| (u32::from_be_bytes([a, b, c, d]), number))
    }
}

/// The bit rate that a receiver believes it can take (draft-alvestrand-rmcat-remb-03).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remb<'a> {
    /// Who believes it.
    pub sender: u32,
    /// Bits per second, of all streams together; `u64::MAX` where it would be more.
    pub bitrate_bps: u64,
    sources: &'a [u8],
}

impl<'a> Remb<'a> {
    /// Whether this application's feedback is one.
    pub(super) fn is(body: &[u8]) -> bool {
        body.get(8..12) == Some(&REMB)
    }

    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, _, rest) = sources(body)?;
        let (&[count, scale, high, low], sources) = rest.get(4..)?.split_first_chunk()?;
        let mantissa = u64::from(u32::from_be_bytes([0, scale & 3, high, low]));
        let exponent = u32::from(scale >> 2);
        let bitrate_bps = if mantissa.leading_zeros() < exponent { u64::MAX } else { mantissa << exponent };
        Some(Self { sender, bitrate_bps, sources: sources.get(..4 * usize::from(count))? })
    }

    /// Those streams.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        numbers(self.sources)
    }
}
