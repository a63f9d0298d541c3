//! AV1 (RTP Payload Format For AV1, v1.0): the OBUs of a temporal unit, or pieces of them, as elements behind an
//! aggregation header.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    depacketizer::{Event, Flaw, Format, InBandParams},
    packetizer::{Writer, even},
};
use crate::{
    Codec, Frame,
    codec::av1::{Obu, obus, put_leb128, split_leb128},
};

/// Bytes of an av1C before its OBUs.
pub(super) const RECORD_BYTES: usize = 4;
/// Flags of the aggregation header (§4.4): the first element continues an OBU, the last one is continued, a coded video
/// sequence begins. Between them the number of elements where the last has no length, else 0.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const COUNT_SHIFT: u32 = 4;
const NEW_SEQUENCE: u8 = 0x08;
/// Flags of an OBU's header (AV1 bitstream specification §5.3.2).
const FORBIDDEN: u8 = 0x80;
const EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
const RESERVED: u8 = 0x01;
/// `obu_type` values.
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
/// Bytes of an element's length, at most: a payload has less than 2 MiB.
const LENGTH_BYTES: usize = 3;

/// Whether OBUs of this type are sent at all (§5).
const fn is_sent(kind: u8) -> bool {
    !matches!(kind, TEMPORAL_DELIMITER | TILE_LIST)
}

/// An OBU as an element: its header without size field, and what follows.
struct Element<'a> {
    header: [u8; 2],
    header_bytes: usize,
    body: &'a [u8],
}

impl<'a> Element<'a> {
    fn of(obu: &Obu<'a>) -> Self {
        let extension = if obu.extension.is_some() { EXTENSION } else { 0 };
        let header = [obu.kind << 3 | extension, obu.extension.unwrap_or(0)];
        Self { header, header_bytes: if obu.extension.is_some() { 2 } else { 1 }, body: obu.payload }
    }

    const fn len(&self) -> usize {
        self.header_bytes + self.body.len()
    }

    /// Puts its bytes `from..to`.
    fn put(&self, from: usize, to: usize, buffer: &mut BytesMut) {
        let header = &self.header[..self.header_bytes];
        buffer.put_slice(&header[from.min(header.len())..to.min(header.len())]);
        buffer.put_slice(&self.body[from.saturating_sub(header.len())..to.saturating_sub(header.len())]);
    }
}

/// Payloads of a temporal unit; `headers` are the OBUs of its track's record, which go before a keyframe without a sequence
/// header of its own.
pub(super) fn packetize(headers: &[u8], frame: &Frame, writer: &mut Writer<'_>) {
    let read = |bytes| obus(bytes).collect::<Result<Vec<_>, _>>();
    let Ok(units) = read(&frame.payload) else { return };
    let has_header = units.iter().any(|obu| obu.kind == SEQUENCE_HEADER);
    let headers = if frame.keyframe && !has_header { read(headers).unwrap_or_default() } else { Vec::new() };
    let units = headers.iter().chain(&units).filter(|obu| is_sent(obu.kind));
    let elements: Vec<_> = units.map(Element::of).collect();
    // With a length before each, whether it gets one or not.
    let bytes = elements.iter().map(|element| element.len() + LENGTH_BYTES).sum::<usize>();
    let most = writer.limit - 1;
    writer.buffer.reserve(bytes + bytes.div_ceil(most) * (1 + LENGTH_BYTES));
    let mut packet = Packet { most: even(bytes, most), new_sequence: frame.keyframe, ..Packet::default() };
    for (at, element) in elements.iter().enumerate() {
        let mut from = 0;
        while from < element.len() {
            let room = packet.room();
            if room == 0 {
                packet.put(&elements, false, writer);
                continue;
            }
            let to = element.len().min(from + room);
            packet.add(at, from, to);
            if to < element.len() {
                packet.put(&elements, true, writer);
            }
            from = to;
        }
    }
    packet.put(&elements, false, writer);
}

/// The elements of one packet.
#[derive(Default)]
struct Packet {
    /// Which elements, and from where to where.
    parts: Vec<(usize, usize, usize)>,
    /// What they take with a length before each.
    bytes: usize,
    /// What they may take.
    most: usize,
    /// The first packet of a coded video sequence is still to come.
    new_sequence: bool,
}

impl Packet {
    /// Bytes that another element may have. A first one needs no length unless another follows it.
    const fn room(&self) -> usize {
        if self.parts.is_empty() { self.most } else { self.most.saturating_sub(self.bytes + LENGTH_BYTES) }
    }

    fn add(&mut self, element: usize, from: usize, to: usize) {
        self.parts.push((element, from, to));
        self.bytes += to - from + LENGTH_BYTES;
    }

    fn put(&mut self, elements: &[Element<'_>], continued: bool, writer: &mut Writer<'_>) {
        let Some((_, from, _)) = self.parts.first() else { return };
        let flags = [(*from > 0, CONTINUES), (continued, CONTINUED), (self.new_sequence, NEW_SEQUENCE)];
        let flags = flags.iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag);
        // One element alone needs no length.
        let alone = self.parts.len() == 1;
        writer.buffer.put_u8(flags | u8::from(alone) << COUNT_SHIFT);
        for (element, from, to) in self.parts.drain(..) {
            if !alone {
                put_leb128(&mut writer.buffer, to - from);
            }
            elements[element].put(from, to, &mut writer.buffer);
        }
        writer.end();
        (self.bytes, self.new_sequence) = (0, false);
    }
}

/// Payloads to temporal units.
#[derive(Debug)]
pub(super) struct Assembler {
    params: InBandParams,
    unit: BytesMut,
    /// The OBU whose pieces are coming.
    obu: BytesMut,
    /// The OBU goes on in the next payload.
    is_open: bool,
}

impl Default for Assembler {
    fn default() -> Self {
        let params = InBandParams::new(Codec::Av1);
        Self { params, unit: BytesMut::new(), obu: BytesMut::new(), is_open: false }
    }
}

/// The elements of a payload behind its aggregation header; an error ends them.
fn elements(aggregation: u8, mut rest: &[u8]) -> impl Iterator<Item = Result<&[u8], Flaw>> {
    let count = aggregation >> COUNT_SHIFT & 3;
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            let missing = number < count;
            number = count;
            return missing.then_some(Err(Flaw::Malformed));
        }
        number = if count == 0 { 0 } else { number + 1 };
        if count > 0 && number == count {
            return Some(Ok(std::mem::take(&mut rest)));
        }
        let split = split_leb128(rest).ok().and_then(|(length, after)| after.split_at_checked(length));
        rest = split.map_or(&[], |(_, after)| after);
        number = if split.is_none() { count } else { number };
        Some(split.map(|(element, _)| element).ok_or(Flaw::Malformed))
    })
}

impl Assembler {
    /// Puts the OBU, which is whole, into the temporal unit with a size field.
    fn close(&mut self) -> Result<(), Flaw> {
        let obu = std::mem::take(&mut self.obu);
        let Some(header) = obu.first().copied() else { return Ok(()) };
        let header_bytes = if header & EXTENSION == 0 { 1 } else { 2 };
        if obu.len() < header_bytes || header & FORBIDDEN != 0 {
            return Err(Flaw::Malformed);
        }
        let (head, mut body) = obu.split_at(header_bytes);
        if header & HAS_SIZE != 0 {
            let (size, after) = split_leb128(body).map_err(|_| Flaw::Malformed)?;
            body = after.get(..size).ok_or(Flaw::Malformed)?;
        }
        if is_sent(header >> 3 & 0xF) {
            self.unit.put_u8(header & !RESERVED | HAS_SIZE);
            self.unit.put_slice(&head[1..]);
            put_leb128(&mut self.unit, body.len());
            self.unit.put_slice(body);
        }
        Ok(())
    }
}

impl Format for Assembler {
    fn opens(&self, payload: &[u8]) -> bool {
        let Some((aggregation, rest)) = payload.split_first() else { return false };
        let first = elements(*aggregation, rest).next();
        let kind =
            first.and_then(Result::ok).and_then(|element| element.first()).map(|header| header >> 3 & 0xF);
        let begins = matches!(kind, Some(SEQUENCE_HEADER | TEMPORAL_DELIMITER));
        aggregation & CONTINUES == 0 && (aggregation & NEW_SEQUENCE != 0 || begins)
    }

    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), Flaw> {
        let (aggregation, rest) = payload.split_first().ok_or(Flaw::Malformed)?;
        if self.is_open != (aggregation & CONTINUES != 0) {
            return Err(Flaw::Malformed);
        }
        // A size field of one byte where an element had a length of one.
        if self.unit.len() + self.obu.len() + 2 * payload.len() > limit {
            return Err(Flaw::Oversized);
        }
        self.is_open = false;
        let mut elements = elements(*aggregation, rest).peekable();
        while let Some(element) = elements.next() {
            self.obu.put_slice(element?);
            self.is_open = elements.peek().is_none() && aggregation & CONTINUED != 0;
            if !self.is_open {
                self.close()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<Option<Bytes>, Flaw> {
        if self.is_open {
            return Err(Flaw::Malformed);
        }
        let unit = std::mem::take(&mut self.unit).freeze();
        if unit.is_empty() {
            return Ok(None);
        }
        self.params.learn(&unit, out)?;
        Ok(Some(unit))
    }

    fn discard(&mut self) {
        (self.unit, self.obu, self.is_open) = (BytesMut::new(), BytesMut::new(), false);
    }
}
