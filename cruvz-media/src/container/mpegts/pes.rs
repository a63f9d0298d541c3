//! PES packets (ISO/IEC 13818-1 §2.4.3.6), gathered from transport packets.

use bytes::{Buf, Bytes, BytesMut};

/// packet_start_code_prefix.
const PREFIX: [u8; 3] = [0, 0, 1];
/// Bytes before what PES_packet_length counts.
const FIXED_BYTES: usize = 6;

/// A PES packet that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pes {
    /// 33 bits.
    pub(super) pts: Option<u64>,
    /// 33 bits; absent where it is the same as `pts`.
    pub(super) dts: Option<u64>,
    /// Whether the transport layer says that decoding can start here.
    pub(super) random_access: bool,
    pub(super) payload: Bytes,
}

/// What came of gathering.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Gathered {
    Whole(Pes),
    /// Its end is missing, or its header is impossible.
    Damaged,
    Scrambled,
}

/// Gathers the PES packets of one stream.
#[derive(Debug, Default)]
pub(super) struct PesBuffer {
    bytes: BytesMut,
    /// Whether `bytes` is the beginning of a packet.
    open: bool,
    random_access: bool,
}

impl PesBuffer {
    /// Bytes it holds.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the packet under way, and says whether there was one.
    pub(super) fn lose(&mut self) -> bool {
        self.bytes = BytesMut::new();
        std::mem::take(&mut self.open)
    }

    /// Begins a packet. The one before must have been taken with [`Self::finish`].
    pub(super) fn start(&mut self, random_access: bool) {
        self.open = true;
        self.random_access = random_access;
    }

    /// Adds the payload of a transport packet, unless no packet is under way; gives the packet if that was all of it.
    pub(super) fn push(&mut self, payload: &[u8]) -> Option<Gathered> {
        if !self.open {
            return None;
        }
        self.bytes.extend_from_slice(payload);
        let whole = self.declared().is_some_and(|declared| self.bytes.len() >= declared);
        if whole { self.finish() } else { None }
    }

    /// Ends the packet under way, if there is one, as the next begins.
    pub(super) fn finish(&mut self) -> Option<Gathered> {
        if !std::mem::take(&mut self.open) {
            return None;
        }
        let declared = self.declared();
        let mut bytes = std::mem::take(&mut self.bytes).freeze();
        if let Some(declared) = declared {
            if bytes.len() < declared {
                return Some(Gathered::Damaged);
            }
            bytes.truncate(declared);
        }
        Some(parse(bytes, self.random_access))
    }

    /// Bytes of the whole packet; `None` before that is known, and where it ends only when the next begins.
    fn declared(&self) -> Option<usize> {
        let &[_, _, _, _, high, low] = self.bytes.first_chunk::<FIXED_BYTES>()?;
        match u16::from_be_bytes([high, low]) {
            0 => None,
            length => Some(FIXED_BYTES + usize::from(length)),
        }
    }
}

fn parse(mut bytes: Bytes, random_access: bool) -> Gathered {
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Gathered::Damaged };
    if fixed[..3] != PREFIX {
        return Gathered::Damaged;
    }
    let has_header = !is_bare(fixed[3]);
    bytes.advance(FIXED_BYTES);
    if !has_header {
        return Gathered::Whole(Pes { pts: None, dts: None, random_access, payload: bytes });
    }
    let Some(&[control, flags, length]) = bytes.first_chunk() else { return Gathered::Damaged };
    let Some(fields) = bytes.get(3..3 + usize::from(length)) else { return Gathered::Damaged };
    // '10', PES_scrambling_control.
    match control >> 4 {
        0b1000 => {}
        0b1001..=0b1011 => return Gathered::Scrambled,
        _ => return Gathered::Damaged,
    }
    let stamp = |at: usize| fields.get(at..).and_then(<[u8]>::first_chunk).copied().and_then(timestamp);
    let (pts, dts) = match flags >> 6 {
        0b10 => (stamp(0), None),
        0b11 => (stamp(0), stamp(5)),
        _ => (None, None),
    };
    bytes.advance(3 + usize::from(length));
    Gathered::Whole(Pes { pts, dts, random_access, payload: bytes })
}

/// Whether payload follows the length at once (table 2-21): program_stream_map, padding_stream, private_stream_2, ECM,
/// EMM, DSM-CC, H.222.1 type E and the directory.
const fn is_bare(stream_id: u8) -> bool {
    matches!(stream_id, 0xBC | 0xBE | 0xBF | 0xF0..=0xF2 | 0xF8 | 0xFF)
}

/// 33 bits with marker bits between them; `None` when one of those is missing.
fn timestamp(bytes: [u8; 5]) -> Option<u64> {
    let marked = bytes[0] & bytes[2] & bytes[4] & 1 == 1;
    let [a, b, c, d, e] = bytes.map(u64::from);
    marked.then_some((a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1)
}

/// The five bytes of a timestamp behind the four bits `prefix`.
pub(super) fn timestamp_bytes(prefix: u8, ticks: u64) -> [u8; 5] {
    [
        prefix << 4 | (ticks >> 29) as u8 & 0x0E | 1,
        (ticks >> 22) as u8,
        (ticks >> 14) as u8 | 1,
        (ticks >> 7) as u8,
        (ticks << 1) as u8 | 1,
    ]
}
