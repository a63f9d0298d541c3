//! VP8 (RFC 7741): a descriptor before each piece of a frame.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    depacketizer::{Event, Flaw, Format, InBandParams},
    packetizer::Writer,
};
use crate::{Codec, Frame};

/// Flags of the descriptor's first byte (RFC 7741 §4.2), and the bits of the partition's index.
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;
/// Flags of its second: picture id, TL0PICIDX, TID, KEYIDX.
const PICTURE: u8 = 0x80;
const TL0: u8 = 0x40;
const TID: u8 = 0x20;
const KEY: u8 = 0x10;
/// The picture id has 15 bits rather than 7; of a picture id of two bytes, its first bit.
const LONG: u8 = 0x80;
/// Bytes of the descriptors that are written: flags, flags, a long picture id.
const DESCRIPTOR_BYTES: usize = 4;

/// Payloads of a frame: equal pieces, whatever its partitions are, behind its picture id.
pub(super) fn packetize(picture: &mut u16, frame: &Frame, writer: &mut Writer<'_>) {
    let [high, low] = picture.to_be_bytes();
    writer.pieces(&frame.payload, DESCRIPTOR_BYTES, |buffer, first, _| {
        let start = if first { START } else { 0 };
        buffer.put_slice(&[EXTENDED | start, PICTURE, LONG | high, low]);
    });
    *picture = (*picture + 1) & 0x7FFF;
}

/// Whether the payload begins a frame, and what it holds of it; `None` where its descriptor breaks off.
fn split(payload: &[u8]) -> Option<(bool, &[u8])> {
    let (flags, mut rest) = payload.split_first()?;
    if flags & EXTENDED != 0 {
        let (present, after) = rest.split_first()?;
        let is_long = present & PICTURE != 0 && after.first()? & LONG != 0;
        let fields = [present & PICTURE != 0, is_long, present & TL0 != 0, present & (TID | KEY) != 0];
        rest = after.get(fields.into_iter().filter(|field| *field).count()..)?;
    }
    Some((flags & START != 0 && flags & PARTITION == 0, rest))
}

/// Payloads to frames.
#[derive(Debug)]
pub(super) struct Assembler {
    params: InBandParams,
    frame: BytesMut,
}

impl Default for Assembler {
    fn default() -> Self {
        Self { params: InBandParams::new(Codec::Vp8), frame: BytesMut::new() }
    }
}

impl Format for Assembler {
    fn opens(&self, payload: &[u8]) -> bool {
        split(payload).is_some_and(|(begins, _)| begins)
    }

    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), Flaw> {
        let (begins, piece) = split(payload).filter(|(_, piece)| !piece.is_empty()).ok_or(Flaw::Malformed)?;
        if begins != self.frame.is_empty() {
            return Err(Flaw::Malformed);
        }
        if self.frame.len() + piece.len() > limit {
            return Err(Flaw::Oversized);
        }
        self.frame.put_slice(piece);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<Option<Bytes>, Flaw> {
        let frame = std::mem::take(&mut self.frame).freeze();
        self.params.learn(&frame, out)?;
        Ok(Some(frame))
    }

    fn discard(&mut self) {
        self.frame = BytesMut::new();
    }
}
