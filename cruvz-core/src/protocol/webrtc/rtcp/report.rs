//! Reports, source descriptions and goodbyes (RFC 3550 §6.4 to §6.6).

use super::{numbers, take_u32};

/// Bytes of a report block.
const BLOCK_BYTES: usize = 24;
/// The source description item that names a source for good (RFC 3550 §6.5.1).
pub(super) const CNAME: u8 = 1;

/// What a sender says of its stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// When, by the sender's wall clock: seconds since 1900, 32 bits of them after the point. See [`super::ntp`].
    pub ntp: u64,
    /// The same moment on the RTP clock of the stream.
    pub rtp_timestamp: u32,
    /// RTP packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// A sender report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderReport<'a> {
    /// Who sends.
    pub ssrc: u32,
    /// What it says of its stream.
    pub info: SenderInfo,
    blocks: &'a [u8],
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = take_u32(body)?;
        let (ntp, rest) = rest.split_first_chunk()?;
        let (rtp_timestamp, rest) = take_u32(rest)?;
        let (packets, rest) = take_u32(rest)?;
        let (octets, rest) = take_u32(rest)?;
        let info = SenderInfo { ntp: u64::from_be_bytes(*ntp), rtp_timestamp, packets, octets };
        Some(Self { ssrc, info, blocks: rest.get(..BLOCK_BYTES * usize::from(count))? })
    }

    /// What it says of the streams it receives.
    pub fn reports(&self) -> impl ExactSizeIterator<Item = ReportBlock> + 'a {
        ReportBlock::all(self.blocks)
    }
}

/// A receiver report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'a [u8],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (ssrc, rest) = take_u32(body)?;
        Some(Self { ssrc, blocks: rest.get(..BLOCK_BYTES * usize::from(count))? })
    }

    /// What it says of the streams it receives.
    pub fn reports(&self) -> impl ExactSizeIterator<Item = ReportBlock> + 'a {
        ReportBlock::all(self.blocks)
    }
}

/// How well one stream arrives (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost since the beginning. Negative when more came than were sent, repeats included. 24 bits.
    pub cumulative_lost: i32,
    /// The highest sequence number, its wraps counted in the upper half.
    pub highest_seq: u32,
    /// Interarrival jitter in units of the RTP clock.
    pub jitter: u32,
    /// The last sender report's [`super::compact_ntp`]; 0: none came yet.
    pub last_sr: u32,
    /// How long ago that was, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    fn all(blocks: &[u8]) -> impl ExactSizeIterator<Item = Self> + '_ {
        blocks.as_chunks().0.iter().map(Self::read)
    }

    fn read(block: &[u8; BLOCK_BYTES]) -> Self {
        let [ssrc, loss, highest_seq, jitter, last_sr, delay_since_last_sr] =
            std::array::from_fn(|at| u32::from_be_bytes(std::array::from_fn(|byte| block[4 * at + byte])));
        let [fraction_lost, ..] = loss.to_be_bytes();
        // The 24 bits below are signed: they move up and come back with their sign.
        let cumulative_lost = (loss << 8).cast_signed() >> 8;
        Self { ssrc, fraction_lost, cumulative_lost, highest_seq, jitter, last_sr, delay_since_last_sr }
    }

    /// The block on the wire. A loss that does not fit in 24 bits says the most that does.
    pub(super) fn to_bytes(self) -> [u8; BLOCK_BYTES] {
        let lost = self.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1).cast_unsigned() & 0x00ff_ffff;
        let loss = u32::from(self.fraction_lost) << 24 | lost;
        let words = [self.ssrc, loss, self.highest_seq, self.jitter, self.last_sr, self.delay_since_last_sr];
        std::array::from_fn(|at| words[at / 4].to_be_bytes()[at % 4])
    }
}

/// Who the sources are: of all that is said here, only the canonical names are read (RFC 3550 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceDescription<'a> {
    chunks: u8,
    body: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn parse(chunks: u8, body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        for _ in 0..chunks {
            chunk(&mut rest)?;
        }
        Some(Self { chunks, body })
    }

    /// Each source that has a canonical name, with it.
    pub fn cnames(&self) -> impl Iterator<Item = (u32, &'a [u8])> + 'a {
        let mut rest = self.body;
        (0..self.chunks).filter_map(move |_| {
            let (ssrc, cname) = chunk(&mut rest)?;
            Some((ssrc, cname?))
        })
    }
}

/// Takes a chunk off `rest`: the source, and its canonical name if there is one.
fn chunk<'a>(rest: &mut &'a [u8]) -> Option<(u32, Option<&'a [u8]>)> {
    let (ssrc, items) = take_u32(rest)?;
    let (mut at, mut cname) = (0, None);
    while let kind @ 1.. = *items.get(at)? {
        let length = usize::from(*items.get(at + 1)?);
        let text = items.get(at + 2..at + 2 + length)?;
        if kind == CNAME {
            cname = Some(text);
        }
        at += 2 + length;
    }
    // The zero that ends the items is followed by more, up to the next word.
    *rest = items.get((at / 4 + 1) * 4..)?;
    Some((ssrc, cname))
}

/// Sources that end (RFC 3550 §6.6). Why is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goodbye<'a> {
    sources: &'a [u8],
}

impl<'a> Goodbye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self { sources: body.get(..4 * usize::from(count))? })
    }

    /// Those sources.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + 'a {
        numbers(self.sources)
    }
}
