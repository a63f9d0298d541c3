//! Transport-wide feedback: when each packet of a transport arrived, whatever its stream
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 §3.1).
//!
//! On the wire: the first sequence number and how many follow, a reference time in 64 ms, a count of such packets; then
//! chunks of two bytes that say of each sequence number whether it arrived, and how long its delta is; then the deltas,
//! in 250 µs, each against the arrival before it.

use std::time::Duration;

use super::{RtcpError, feedback::sources, kind};

/// The most packets that one feedback may speak of. At 2,000 packets per second, eight seconds of them.
pub const MAX_STATUSES: u16 = 0x4000;
/// The longest feedback that is written, header included: it must fit in a datagram, with room for its encryption.
pub const MAX_FEEDBACK_BYTES: usize = 1_000;

/// One tick of a delta.
const TICK_US: i64 = 250;
/// Ticks in one step of the reference time.
const REFERENCE_TICKS: i64 = 256;
/// The longest run that a chunk holds.
const MAX_RUN: usize = 0x1fff;

/// Not received.
const LOST: u8 = 0;
/// Received, its delta in one byte, unsigned.
const SMALL: u8 = 1;
/// Received, its delta in two bytes, signed.
const LARGE: u8 = 2;

/// When each packet of a transport arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportFeedback<'a> {
    /// Who says so.
    pub sender: u32,
    /// A stream of the transport; which one means nothing.
    pub media: u32,
    /// The first sequence number, as the transport-wide extension had it.
    pub base: u16,
    /// How many sequence numbers it speaks of, at most [`MAX_STATUSES`].
    pub count: u16,
    /// Counts these packets, so that a lost one is noticed.
    pub feedback: u8,
    /// In 64 ms, of 24 bits, signed.
    reference: i32,
    /// The chunks, and then the deltas.
    chunks: &'a [u8],
    deltas: &'a [u8],
}

impl<'a> TransportFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, RtcpError> {
        let short = RtcpError::Short { kind: kind::TRANSPORT_FEEDBACK, bytes: body.len() };
        let fixed =
            sources(body).and_then(|(sender, media, rest)| Some((sender, media, rest.split_first_chunk()?)));
        let (sender, media, (&[base_high, base_low, high, low, a, b, c, feedback], chunks)) =
            fixed.ok_or(short)?;
        let count = u16::from_be_bytes([high, low]);
        if count > MAX_STATUSES {
            return Err(RtcpError::Statuses(count));
        }
        let (chunk_bytes, delta_bytes) = measure(chunks, count, short)?;
        let (chunks, deltas) = chunks.split_at(chunk_bytes);
        Ok(Self {
            sender,
            media,
            base: u16::from_be_bytes([base_high, base_low]),
            count,
            feedback,
            // Moved up and back, so that the 24 bits keep their sign.
            reference: i32::from_be_bytes([a, b, c, 0]) >> 8,
            chunks,
            deltas: deltas.get(..delta_bytes).ok_or(short)?,
        })
    }

    /// Each sequence number, ascending, and when it arrived: microseconds of the receiver's clock, which begins anywhere and
    /// wraps after 12 days. `None`: not yet, or never.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, Option<i64>)> + 'a {
        let Self { base, count, chunks, mut deltas, .. } = *self;
        let mut ticks = i64::from(self.reference) * REFERENCE_TICKS;
        let symbols = symbols(chunks).take(count.into());
        (0..count).zip(symbols).map(move |(at, symbol)| {
            let delta = match symbol {
                SMALL => deltas.split_off_first().map(|&delta| i64::from(delta)),
                LARGE => {
                    deltas.split_off(..2).map(|delta| i64::from(i16::from_be_bytes([delta[0], delta[1]])))
                }
                _ => None,
            };
            ticks += delta.unwrap_or(0);
            (base.wrapping_add(at), delta.map(|_| ticks * TICK_US))
        })
    }
}

/// The bytes of the chunks that speak of `count` packets, and of the deltas that they announce.
fn measure(bytes: &[u8], count: u16, short: RtcpError) -> Result<(usize, usize), RtcpError> {
    let (mut left, mut chunk_bytes, mut delta_bytes) = (usize::from(count), 0, 0);
    for chunk in bytes.as_chunks().0 {
        if left == 0 {
            break;
        }
        let chunk = Chunk::read(*chunk);
        let speaks_of = chunk.len().min(left);
        left -= speaks_of;
        chunk_bytes += 2;
        delta_bytes += chunk.delta_bytes(speaks_of)?;
    }
    if left > 0 { Err(short) } else { Ok((chunk_bytes, delta_bytes)) }
}

/// The status of each packet in turn. The last chunk may go on behind the last packet.
fn symbols(chunks: &[u8]) -> impl Iterator<Item = u8> + '_ {
    chunks.as_chunks().0.iter().flat_map(|chunk| {
        let chunk = Chunk::read(*chunk);
        (0..chunk.len()).map(move |at| chunk.symbol(at))
    })
}

/// Two bytes that say what became of several packets (§3.1.3, §3.1.4).
#[derive(Clone, Copy)]
enum Chunk {
    /// The same of up to 8,191 packets.
    Run { symbol: u8, length: u16 },
    /// Of 14 packets, whether each arrived with a small delta.
    OneBit(u16),
    /// Of 7 packets.
    TwoBits(u16),
}

impl Chunk {
    fn read(bytes: [u8; 2]) -> Self {
        let bits = u16::from_be_bytes(bytes);
        match bits >> 14 {
            0 | 1 => Self::Run { symbol: bytes[0] >> 5 & 3, length: bits & 0x1fff },
            2 => Self::OneBit(bits & 0x3fff),
            _ => Self::TwoBits(bits & 0x3fff),
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Run { length, .. } => length.into(),
            Self::OneBit(_) => 14,
            Self::TwoBits(_) => 7,
        }
    }

    fn symbol(self, at: usize) -> u8 {
        match self {
            Self::Run { symbol, .. } => symbol,
            Self::OneBit(bits) => u8::from(bits >> (13 - at) & 1 == 1),
            Self::TwoBits(bits) => [LOST, SMALL, LARGE, 3][usize::from(bits >> (12 - 2 * at) & 3)],
        }
    }

    /// Bytes of the deltas of its first `speaks_of` packets.
    fn delta_bytes(self, speaks_of: usize) -> Result<usize, RtcpError> {
        let bytes = |symbol| if symbol > LARGE { Err(RtcpError::Symbol) } else { Ok(usize::from(symbol)) };
        match self {
            Self::Run { symbol, .. } => bytes(symbol).map(|each| each * speaks_of),
            _ => (0..speaks_of).map(|at| bytes(self.symbol(at))).sum(),
        }
    }
}

/// What [`super::write::transport_feedback`] puts between the sources and the padding, and of how many `arrivals` it speaks.
pub(super) fn body(feedback: u8, base: u64, arrivals: &[(u64, Duration)]) -> (Vec<u8>, usize) {
    let Some(&(first, arrival)) = arrivals.first() else { return (Vec::new(), 0) };
    // What was lost before the first arrival is reported as far back as a feedback reaches.
    let base = base.clamp(first.saturating_sub(u64::from(MAX_STATUSES) - 1), first);
    let reference = ticks(arrival).div_euclid(REFERENCE_TICKS);
    let mut draft = Draft { next: base, at: reference * REFERENCE_TICKS, ..Draft::default() };
    let taken = arrivals.iter().take_while(|(seq, arrival)| draft.add(*seq, ticks(*arrival))).count();

    let mut body = Vec::with_capacity(MAX_FEEDBACK_BYTES);
    // Sequence numbers and the reference time wrap.
    body.extend((base as u16).to_be_bytes());
    body.extend((draft.symbols.len() as u16).to_be_bytes());
    body.extend(&(reference as u32).to_be_bytes()[1..]);
    body.push(feedback);
    write_chunks(&draft.symbols, &mut body);
    body.extend(draft.deltas);
    (body, taken)
}

fn ticks(arrival: Duration) -> i64 {
    i64::try_from(arrival.as_micros()).unwrap_or(i64::MAX) / TICK_US
}

/// A feedback that grows.
#[derive(Default)]
struct Draft {
    /// The sequence number after the last one spoken of.
    next: u64,
    /// The tick of the last arrival.
    at: i64,
    symbols: Vec<u8>,
    deltas: Vec<u8>,
    /// Sevenths of a chunk: the most that the symbols can take, as a chunk holds seven of any and a gap of many needs few.
    sevenths: usize,
}

impl Draft {
    /// Takes in an arrival, and all losses before it. False if it does not fit.
    fn add(&mut self, seq: u64, tick: i64) -> bool {
        /// The most that a gap costs: the chunk it begins in, three runs and the one it ends in, and some more.
        const MAX_GAP_SEVENTHS: usize = 42;
        /// Header, sources, the fixed fields, padding; and two chunks begun.
        const FIXED_BYTES: usize = 4 + 8 + 8 + 3 + 4;

        let Some(gap) = seq.checked_sub(self.next) else { return true };
        let statuses = gap.saturating_add(1).saturating_add(self.symbols.len() as u64);
        if statuses > MAX_STATUSES.into() {
            return false;
        }
        let Ok(delta) = i16::try_from(tick - self.at) else { return false };
        let symbol = if u8::try_from(delta).is_ok() { SMALL } else { LARGE };
        let sevenths = self.sevenths + (gap + 1).min(MAX_GAP_SEVENTHS as u64) as usize;
        let delta_bytes = self.deltas.len() + usize::from(symbol);
        if FIXED_BYTES + 2 * sevenths.div_ceil(7) + delta_bytes > MAX_FEEDBACK_BYTES {
            return false;
        }
        self.symbols.resize(statuses as usize - 1, LOST);
        self.symbols.push(symbol);
        self.deltas.extend(&delta.to_be_bytes()[2 - usize::from(symbol)..]);
        (self.next, self.at, self.sevenths) = (seq + 1, tick, sevenths);
        true
    }
}

/// Writes chunks, each the one that holds the most of what is left.
fn write_chunks(mut symbols: &[u8], out: &mut Vec<u8>) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take(MAX_RUN).take_while(|symbol| **symbol == first).count();
        let small = symbols.iter().take(14).take_while(|symbol| **symbol < LARGE).count();
        // Only the last chunk may be filled up.
        let one_bit = if small == symbols.len().min(14) { small } else { 0 };
        let two_bits = symbols.len().min(7);
        let held = run.max(one_bit).max(two_bits);
        let (head, rest) = symbols.split_at(held);
        let chunk = if held == run {
            u16::from(first) << 13 | run as u16
        } else {
            let (kind, bits, slots) = if held == one_bit { (0x8000, 1, 14) } else { (0xc000, 2, 7) };
            let slot = |at: usize| head.get(at).copied().unwrap_or(LOST);
            kind | (0..slots).fold(0, |vector, at| vector << bits | u16::from(slot(at)))
        };
        out.extend(chunk.to_be_bytes());
        symbols = rest;
    }
}
