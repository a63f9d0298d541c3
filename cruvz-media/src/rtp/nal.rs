//! H.264 (RFC 6184, packetization modes 0 and 1) and H.265 (RFC 7798 without decoding order numbers): the same three forms
//! with different headers. A NAL unit goes as it is, with others in an aggregate, or in fragments.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    depacketizer::{Event, Flaw, Format},
    equal,
    packetizer::{Writer, even},
};
use crate::{
    Codec, CodecParams, Frame,
    codec::{
        self,
        access_unit::{AccessUnit, InBandSets, Role},
    },
};

/// Bytes of the length before each unit of an aggregate.
const LENGTH_BYTES: usize = 2;
/// Flags of a fragment's header (RFC 6184 §5.8, RFC 7798 §4.4.3).
const START: u8 = 0x80;
const END: u8 = 0x40;

/// What the headers look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    H264,
    H265,
}

/// What a payload holds.
enum Kind {
    Single,
    Aggregate,
    Fragment,
    /// What was never agreed to, or does not exist.
    Other,
}

impl Shape {
    const fn codec(self) -> Codec {
        match self {
            Self::H264 => Codec::H264,
            Self::H265 => Codec::H265,
        }
    }

    /// Bytes of a NAL unit's header, and of the payload header that looks like one.
    const fn header_bytes(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    /// `nal_unit_type` by the first byte.
    const fn unit_type(self, header: u8) -> u8 {
        match self {
            Self::H264 => header & 0x1F,
            Self::H265 => header >> 1 & 0x3F,
        }
    }

    const fn is_sps(self, header: u8) -> bool {
        self.unit_type(header) == if matches!(self, Self::H264) { 7 } else { 33 }
    }

    /// What the payload behind this first byte is (RFC 6184 table 1, RFC 7798 §4.4).
    const fn kind(self, header: u8) -> Kind {
        match (self, self.unit_type(header)) {
            (Self::H264, 1..=23) | (Self::H265, 0..=47) => Kind::Single,
            (Self::H264, 24) | (Self::H265, 48) => Kind::Aggregate,
            (Self::H264, 28) | (Self::H265, 49) => Kind::Fragment,
            _ => Kind::Other,
        }
    }

    /// Whether a unit of this header can be the first of a picture: it is no slice but the first one (first_mb_in_slice is 0,
    /// whose code is a single 1, or first_slice_segment_in_pic_flag is set), and nothing that follows slices.
    fn opens(self, header: u8, body: &[u8]) -> bool {
        let is_first = body.first().is_some_and(|byte| byte & 0x80 != 0);
        match (self, self.unit_type(header)) {
            (Self::H264, 1 | 2 | 5) | (Self::H265, 0..32) => is_first,
            // Partitions B and C; end of sequence and stream, filler.
            (Self::H264, 3 | 4 | 10..=12) => false,
            // End of sequence and bitstream, filler, suffix SEI.
            (Self::H265, 36..=38 | 40) => false,
            _ => true,
        }
    }

    /// Puts the header of an aggregate of `units` (RFC 6184 §5.7.1, RFC 7798 §4.4.2).
    fn put_aggregate_header(self, units: &[Bytes], buffer: &mut BytesMut) {
        let headers = units.iter().filter_map(|unit| unit.first_chunk::<2>());
        match self {
            Self::H264 => {
                // The forbidden bit if any unit has it, and the highest nal_ref_idc.
                let flags = |at: u8| headers.clone().map(|header| header[0] & at).max().unwrap_or(0);
                buffer.put_u8(flags(0x80) | flags(0x60) | 24);
            }
            Self::H265 => {
                // The forbidden bit likewise; the lowest layer and the lowest temporal id.
                let headers = headers.map(|header| u16::from_be_bytes(*header));
                let forbidden = headers.clone().map(|header| header & 0x8000).max().unwrap_or(0);
                let lowest = |mask: u16| headers.clone().map(|header| header & mask).min().unwrap_or(0);
                buffer.put_u16(forbidden | 48 << 9 | lowest(0x1F8) | lowest(7));
            }
        }
    }

    /// Puts the headers of a fragment of a unit that has this header.
    fn put_fragment_header(self, unit: [u8; 2], first: bool, last: bool, buffer: &mut BytesMut) {
        match self {
            Self::H264 => buffer.put_u8(unit[0] & 0xE0 | 28),
            Self::H265 => buffer.put_slice(&[unit[0] & 0x81 | 49 << 1, unit[1]]),
        }
        let flags = if first { START } else { 0 } | if last { END } else { 0 };
        buffer.put_u8(flags | self.unit_type(unit[0]));
    }

    /// Flags of a fragment, the header of its unit, and what it holds of the rest.
    fn split_fragment(self, payload: &[u8]) -> Option<(u8, [u8; 2], &[u8])> {
        match (self, payload) {
            (Self::H264, [indicator, flags, rest @ ..]) => {
                Some((*flags, [indicator & 0xE0 | flags & 0x1F, 0], rest))
            }
            (Self::H265, [high, low, flags, rest @ ..]) => {
                Some((*flags, [high & 0x81 | (flags & 0x3F) << 1, *low], rest))
            }
            _ => None,
        }
    }
}

/// Payloads of a frame: as many units as fit go together, and units that do not fit are cut. `sets` go before a keyframe
/// that has no sequence parameter set of its own.
pub(super) fn packetize(shape: Shape, sets: &[Bytes], frame: &Frame, writer: &mut Writer<'_>) {
    let slice = |unit: Result<&[u8], _>| unit.map(|unit| frame.payload.slice_ref(unit));
    let Ok(units) = codec::nal::nal_units(&frame.payload).map(slice).collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let wants_sets = frame.keyframe && !units.iter().any(|unit| shape.is_sps(unit[0]));
    let is_wanted = |unit: &Bytes| {
        // Types that mean something else in a payload cannot be sent.
        unit.len() >= shape.header_bytes()
            && matches!(shape.kind(unit[0]), Kind::Single)
            && Role::of(shape.codec(), unit[0]) != Role::Filling
    };
    let units = units.into_iter().filter(is_wanted);
    let sets = sets.iter().filter(|set| wants_sets && is_wanted(set)).cloned();
    let mut groups: Vec<Group> = Vec::new();
    for unit in sets.chain(units) {
        match groups.last_mut().filter(|group| group.has_room(shape, &unit, writer.limit)) {
            Some(group) => group.add(unit),
            None => groups.push(Group { bytes: LENGTH_BYTES + unit.len(), units: vec![unit] }),
        }
    }
    let header_bytes = shape.header_bytes() + 1;
    let sizes: Vec<_> = groups.iter().map(|group| group.size(shape)).collect();
    let size = equal::payload_size(&sizes, header_bytes, writer.limit);
    let last = groups.len().saturating_sub(1);
    for (at, group) in groups.iter().enumerate() {
        match &group.units[..] {
            [unit] if unit.len() > size => put_fragments(shape, unit, size, at == last, writer),
            [unit] => writer.whole(unit.clone()),
            units => put_aggregate(shape, units, writer),
        }
    }
}

/// Cuts a unit into payloads of `size`. What they lack is best left to the last one of a frame, and to others where one can be
/// padded by that much.
fn put_fragments(shape: Shape, unit: &[u8], size: usize, is_last: bool, writer: &mut Writer<'_>) {
    let (header, body) = unit.split_at(shape.header_bytes());
    let header = [header[0], header.last().copied().unwrap_or(0)];
    let header_bytes = shape.header_bytes() + 1;
    let most = size - header_bytes;
    let lacking = body.len().next_multiple_of(most) - body.len();
    let piece = if is_last || lacking <= equal::MAX_PADDING { most } else { even(body.len(), most) };
    writer.cut(body, piece, header_bytes, |buffer, first, last| {
        shape.put_fragment_header(header, first, last, buffer);
    });
}

fn put_aggregate(shape: Shape, units: &[Bytes], writer: &mut Writer<'_>) {
    shape.put_aggregate_header(units, &mut writer.buffer);
    for unit in units {
        writer.buffer.put_u16(unit.len() as u16); // no longer than a payload
        writer.buffer.put_slice(unit);
    }
    writer.end();
}

/// Units that go in one packet, or one that does not fit.
struct Group {
    units: Vec<Bytes>,
    /// What they take in an aggregate, its header left out.
    bytes: usize,
}

impl Group {
    fn has_room(&self, shape: Shape, unit: &Bytes, limit: usize) -> bool {
        shape.header_bytes() + self.bytes + LENGTH_BYTES + unit.len() <= limit
    }

    fn add(&mut self, unit: Bytes) {
        self.bytes += LENGTH_BYTES + unit.len();
        self.units.push(unit);
    }

    fn size(&self, shape: Shape) -> equal::Unit {
        let header = shape.header_bytes();
        match &self.units[..] {
            [unit] => equal::Unit { body: unit.len() - header, whole_header: header },
            // It is never cut, but that happens to a slice alone.
            _ => equal::Unit { body: self.bytes, whole_header: header },
        }
    }
}

/// Payloads to access units.
#[derive(Debug)]
pub(super) struct Assembler {
    shape: Shape,
    sets: InBandSets,
    /// Parameters that were learned and not given out yet.
    learned: Option<CodecParams>,
    unit: AccessUnit,
    /// The type of the unit whose fragments are coming.
    fragmented: u8,
}

impl Assembler {
    pub(super) fn new(shape: Shape, sets: InBandSets) -> Self {
        let unit = AccessUnit::with_capacity(shape.codec(), 0);
        Self { shape, sets, learned: None, unit, fragmented: 0 }
    }

    /// Takes the parameter sets of the access unit for the track's.
    fn learn(&mut self) -> Result<(), Flaw> {
        let learned = self.sets.learn(&self.unit).map_err(|_| Flaw::Malformed)?;
        self.learned = learned.or_else(|| self.learned.take());
        Ok(())
    }

    fn whole(&mut self, unit: &[u8]) -> Result<(), Flaw> {
        let kind = unit.first().map(|header| self.shape.kind(*header));
        if self.unit.is_open()
            || !matches!(kind, Some(Kind::Single))
            || unit.len() < self.shape.header_bytes()
        {
            return Err(Flaw::Malformed);
        }
        self.unit.push(unit);
        Ok(())
    }

    fn aggregate(&mut self, payload: &[u8]) -> Result<(), Flaw> {
        let mut rest = payload.get(self.shape.header_bytes()..).ok_or(Flaw::Malformed)?;
        while let [high, low, after @ ..] = rest {
            let length = u16::from_be_bytes([*high, *low]);
            let (unit, after) = after.split_at_checked(length.into()).ok_or(Flaw::Malformed)?;
            self.whole(unit)?;
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(Flaw::Malformed) }
    }

    fn fragment(&mut self, payload: &[u8]) -> Result<(), Flaw> {
        let (flags, header, piece) = self.shape.split_fragment(payload).ok_or(Flaw::Malformed)?;
        let unit_type = self.shape.unit_type(header[0]);
        let is_start = flags & START != 0;
        let is_unit = matches!(self.shape.kind(header[0]), Kind::Single);
        if !is_unit || is_start == self.unit.is_open() || (!is_start && unit_type != self.fragmented) {
            return Err(Flaw::Malformed);
        }
        if is_start {
            self.fragmented = unit_type;
            self.unit.begin();
            self.unit.extend(&header[..self.shape.header_bytes()]);
        }
        self.unit.extend(piece);
        if flags & END != 0 {
            self.unit.end();
        }
        Ok(())
    }
}

impl Format for Assembler {
    fn opens(&self, payload: &[u8]) -> bool {
        let (shape, header_bytes) = (self.shape, self.shape.header_bytes());
        let opens = |unit: &[u8]| match unit.split_at_checked(header_bytes) {
            Some((header, body)) => shape.opens(header[0], body),
            None => false,
        };
        match payload.first().map(|header| shape.kind(*header)) {
            Some(Kind::Single) => opens(payload),
            Some(Kind::Aggregate) => payload.get(header_bytes + LENGTH_BYTES..).is_some_and(opens),
            Some(Kind::Fragment) => shape
                .split_fragment(payload)
                .is_some_and(|(flags, header, piece)| flags & START != 0 && shape.opens(header[0], piece)),
            Some(Kind::Other) | None => false,
        }
    }

    fn push(&mut self, payload: &[u8], limit: usize) -> Result<(), Flaw> {
        // Lengths of 4 bytes where aggregates have 2, and no unit is smaller than its header: at most twice as much.
        if self.unit.bytes() + 2 * payload.len() > limit {
            return Err(Flaw::Oversized);
        }
        match self.shape.kind(*payload.first().ok_or(Flaw::Malformed)?) {
            Kind::Single => self.whole(payload),
            Kind::Aggregate => self.aggregate(payload),
            Kind::Fragment => self.fragment(payload),
            Kind::Other => Err(Flaw::Malformed),
        }
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<Option<Bytes>, Flaw> {
        if self.unit.is_open() {
            return Err(Flaw::Malformed);
        }
        self.learn()?;
        out.extend(self.learned.take().map(Event::Params));
        if self.unit.is_empty() {
            // Parameter sets that came before their picture, with a marker or a time of their own: kept for it.
            return Ok(None);
        }
        let unit = std::mem::replace(&mut self.unit, AccessUnit::with_capacity(self.shape.codec(), 0));
        if self.sets.params().is_none() {
            return Err(Flaw::Unconfigured);
        }
        Ok(Some(self.sets.payload(unit)))
    }

    fn discard(&mut self) {
        // What is missing of a frame takes nothing from its parameter sets, and there are senders that send them once.
        let _ = self.learn();
        self.unit = AccessUnit::with_capacity(self.shape.codec(), 0);
    }
}
