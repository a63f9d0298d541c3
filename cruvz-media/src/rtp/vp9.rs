//! VP9 (RFC 9628): a descriptor before each piece of a frame, or of each layer of a picture.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    depacketizer::{Event, Flaw, Format, InBandParams},
    packetizer::Writer,
};
use crate::{Codec, Frame, codec::vp9::is_keyframe};

/// Flags of the descriptor's first byte (RFC 9628 §4.2): picture id, inter-picture predicted, layer indices, flexible mode,
/// begin and end of a layer's frame, scalability structure.
const PICTURE: u8 = 0x80;
const INTER: u8 = 0x40;
const LAYERS: u8 = 0x20;
const FLEXIBLE: u8 = 0x10;
const BEGIN: u8 = 0x08;
const END: u8 = 0x04;
const STRUCTURE: u8 = 0x02;
/// Of a picture id of two bytes, its first bit.
const LONG: u8 = 0x80;
/// Of the byte of layer indices, the spatial layer.
const SPATIAL: u8 = 0x0E;
/// Pictures that a picture may say it refers to (§4.2, P_DIFF).
const MAX_REFERENCES: usize = 3;
/// Bytes of the descriptors that are written: flags and a long picture id.
const DESCRIPTOR_BYTES: usize = 3;
/// Frames that the index of a superframe has room for (VP9 bitstream specification annex B).
const MAX_LAYERS: usize = 8;

/// Payloads of a frame: equal pieces behind its picture id. There are no layers, and each frame but a keyframe is said to
/// refer to others, which says that it takes all of those before it.
pub(super) fn packetize(picture: &mut u16, frame: &Frame, writer: &mut Writer<'_>) {
    let inter = if is_keyframe(&frame.payload) { 0 } else { INTER };
    let [high, low] = picture.to_be_bytes();
    writer.pieces(&frame.payload, DESCRIPTOR_BYTES, |buffer, first, last| {
        let ends = if first { BEGIN } else { 0 } | if last { END } else { 0 };
        buffer.put_slice(&[PICTURE | inter | ends, LONG | high, low]);
    });
    *picture = (*picture + 1) & 0x7FFF;
}

/// What a payload's descriptor says.
struct Piece<'a> {
    /// It begins the frame of a layer.
    begins: bool,
    /// Spatial layer, 0 where there are none.
    layer: u8,
    bytes: &'a [u8],
}

impl<'a> Piece<'a> {
    /// `None` where the descriptor breaks off or contradicts the standard.
    fn split(payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload;
        let flags = rest.try_get_u8().ok()?;
        if flags & PICTURE != 0 && rest.try_get_u8().ok()? & LONG != 0 {
            rest.try_get_u8().ok()?;
        }
        let mut layer = 0;
        if flags & LAYERS != 0 {
            layer = (rest.try_get_u8().ok()? & SPATIAL) >> 1;
            if flags & FLEXIBLE == 0 {
                rest.try_get_u8().ok()?; // TL0PICIDX
            }
        }
        if flags & FLEXIBLE != 0 && flags & INTER != 0 {
            let mut references = 1;
            // P_DIFF, and whether another follows.
            while rest.try_get_u8().ok()? & 1 != 0 {
                references += 1;
                if references > MAX_REFERENCES {
                    return None;
                }
            }
        }
        if flags & STRUCTURE != 0 {
            skip_structure(&mut rest)?;
        }
        Some(Self { begins: flags & BEGIN != 0, layer, bytes: rest })
    }
}

/// Passes over the scalability structure (§4.2.1): the keyframe says itself how large it is.
fn skip_structure(rest: &mut &[u8]) -> Option<()> {
    let flags = rest.try_get_u8().ok()?;
    let (has_sizes, has_pictures) = (flags & 0x10 != 0, flags & 0x08 != 0);
    if has_sizes {
        let layers = usize::from(flags >> 5) + 1;
        *rest = rest.get(4 * layers..)?;
    }
    if has_pictures {
        for _ in 0..rest.try_get_u8().ok()? {
            let references = rest.try_get_u8().ok()? >> 2 & 3;
            *rest = rest.get(usize::from(references)..)?;
        }
    }
    Some(())
}

/// Payloads to frames, and the layers of a picture to superframes.
#[derive(Debug)]
pub(super) struct Assembler {
    params: InBandParams,
    picture: BytesMut,
    /// Where the frame of each layer begins in it.
    layers: Vec<usize>,
}

impl Default for Assembler {
    fn default() -> Self {
        Self { params: InBandParams::new(Codec::Vp9), picture: BytesMut::new(), layers: Vec::new() }
    }
}

impl Assembler {
    /// Puts the index of a superframe behind the frames of several layers (annex B), by which decoders tell them apart.
    fn put_index(&mut self) {
        let ends = self.layers.iter().skip(1).copied().chain([self.picture.len()]);
        let sizes: Vec<usize> = self.layers.iter().zip(ends).map(|(begin, end)| end - begin).collect();
        let largest = sizes.iter().copied().max().unwrap_or(0);
        let size_bytes = (1..4).find(|bytes| largest >> (8 * bytes) == 0).unwrap_or(4);
        // Both numbers are small: 1 to 4, and at most 8.
        let marker = 0b1100_0000 | ((size_bytes - 1) as u8) << 3 | (sizes.len() - 1) as u8;
        self.picture.put_u8(marker);
        for size in sizes {
            self.picture.put_uint_le(size as u64, size_bytes);
        }
        self.picture.put_u8(marker);
    }
}

impl Format for Assembler {
    fn opens(&self, payload: &[u8]) -> bool {
        Piece::split(payload).is_some_and(|piece| piece.begins && piece.layer == 0)
    }

    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), Flaw> {
        let piece = Piece::split(payload).filter(|piece| !piece.bytes.is_empty()).ok_or(Flaw::Malformed)?;
        if piece.begins {
            self.layers.push(self.picture.len());
        }
        if !(1..=MAX_LAYERS).contains(&self.layers.len()) {
            return Err(Flaw::Malformed);
        }
        if self.picture.len() + piece.bytes.len() > limit {
            return Err(Flaw::Oversized);
        }
        self.picture.put_slice(piece.bytes);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<Option<Bytes>, Flaw> {
        if self.layers.len() > 1 {
            self.put_index();
        }
        let picture = std::mem::take(&mut self.picture).freeze();
        self.layers.clear();
        self.params.learn(&picture, out)?;
        Ok(Some(picture))
    }

    fn discard(&mut self) {
        self.picture = BytesMut::new();
        self.layers.clear();
    }
}
