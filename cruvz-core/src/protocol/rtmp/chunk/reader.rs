//! Chunks to messages.

use std::mem;

use bytes::Bytes;

use super::aggregate::Parts;
use super::{EXTENDED, INITIAL_CHUNK_SIZE, MAX_MESSAGE_BYTES, Message, MessageHeader};
use crate::protocol::rtmp::message::{control_value, kind};
use crate::protocol::rtmp::{Error, Limits};

/// Basic header, message header and extended timestamp at their longest (§5.3.1).
const MAX_HEADER: usize = 3 + 11 + 4;
/// The least that is reserved for a message longer than that, in bytes.
const FIRST_RESERVE: usize = 4096;

/// What is remembered of one chunk stream: its last header, and its message as far as it has come.
struct ChunkStream {
    csid: u32,
    timestamp_ms: u32,
    /// The last timestamp field: the delta that a type 3 header repeats (§5.3.1.2.4).
    field: u32,
    extended: bool,
    kind: u8,
    stream_id: u32,
    length: usize,
    /// Whether a message has begun and lacks bytes.
    open: bool,
    payload: Vec<u8>,
}

/// The fields of a chunk header, not yet applied to its chunk stream.
struct ChunkHeader {
    /// Bytes it takes on the wire.
    bytes: usize,
    csid: u32,
    format: u8,
    /// The chunk stream's place, where the chunk stream is known.
    index: Option<usize>,
    field: u32,
    extended: bool,
    length: usize,
    kind: u8,
    stream_id: u32,
}

/// The chunk whose payload is being read.
#[derive(Clone, Copy)]
struct Current {
    index: usize,
    left: usize,
}

/// Bytes that came before they could be understood: the beginning of a chunk header.
#[derive(Default)]
struct Stash {
    bytes: [u8; MAX_HEADER],
    len: usize,
}

impl Stash {
    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Takes from `input` what fits; how much that was.
    fn fill(&mut self, input: &[u8]) -> usize {
        let count = input.len().min(MAX_HEADER - self.len);
        self.bytes[self.len..self.len + count].copy_from_slice(&input[..count]);
        self.len += count;
        count
    }

    fn drop_front(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
    }
}

/// Puts messages together from chunks, in bounded memory and with bounded work.
///
/// Set Chunk Size and Abort are obeyed here and not handed on; an aggregate message is handed on as its parts.
/// After an error the reader must not be used again.
pub struct ChunkReader {
    limits: ReaderLimits,
    chunk_size: usize,
    streams: Vec<ChunkStream>,
    stash: Stash,
    current: Option<Current>,
    parts: Option<Box<Parts>>,
    /// Capacity of all payload buffers.
    buffered_bytes: usize,
    open_messages: usize,
    /// What is left of the work budget, in bytes: each byte earns one, each chunk costs `bytes_per_chunk`.
    credit: u32,
    received_bytes: u64,
}

/// The part of [`Limits`] that the reader needs, for the present phase of the connection.
#[derive(Clone, Copy)]
struct ReaderLimits {
    message_bytes: usize,
    buffered_bytes: usize,
    chunk_streams: usize,
    partial_messages: usize,
    bytes_per_chunk: u32,
    credit: u32,
}

impl ReaderLimits {
    fn new(limits: &Limits, authorized: bool) -> Self {
        let (message_bytes, buffered_bytes) = match authorized {
            true => (limits.message_bytes, limits.buffered_bytes),
            false => (limits.unauthorized_message_bytes, limits.unauthorized_buffered_bytes),
        };
        Self {
            message_bytes: message_bytes.min(MAX_MESSAGE_BYTES),
            buffered_bytes,
            chunk_streams: limits.chunk_streams,
            partial_messages: limits.partial_messages,
            bytes_per_chunk: limits.bytes_per_chunk,
            credit: limits.chunk_burst.saturating_mul(limits.bytes_per_chunk),
        }
    }
}

impl ChunkReader {
    /// A reader at the start of a connection, with the limits that hold before authorisation.
    pub fn new(limits: &Limits) -> Self {
        let limits = ReaderLimits::new(limits, false);
        Self {
            limits,
            chunk_size: INITIAL_CHUNK_SIZE as usize,
            streams: Vec::new(),
            stash: Stash::default(),
            current: None,
            parts: None,
            buffered_bytes: 0,
            open_messages: 0,
            credit: limits.credit,
            received_bytes: 0,
        }
    }

    /// Takes the limits of an authorised peer, or goes back to those of one that is not.
    pub fn set_authorized(&mut self, limits: &Limits, authorized: bool) {
        self.limits = ReaderLimits::new(limits, authorized);
    }

    /// Bytes taken from the input since the connection began.
    pub const fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Memory that unfinished messages hold, in bytes.
    pub const fn buffered_bytes(&self) -> usize {
        self.buffered_bytes
    }

    /// The next message, taken from the front of `input`; `None` once all of `input` is used up.
    ///
    /// # Errors
    /// Chunks that break the protocol or a limit; see [`Error`].
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            if let Some(part) = self.next_part()? {
                return Ok(Some(part));
            }
            let whole = match self.current {
                Some(current) => self.read_payload(current, input)?,
                None => self.read_header(input)?,
            };
            match whole {
                Progress::NeedsInput => return Ok(None),
                Progress::Continues => {}
                Progress::Whole(message) => match message.header.kind {
                    kind::SET_CHUNK_SIZE => self.set_chunk_size(control_value(&message)?)?,
                    kind::ABORT => self.abort(control_value(&message)?),
                    kind::AGGREGATE => self.parts = Some(Box::new(Parts::new(message))),
                    _ => return Ok(Some(message)),
                },
            }
        }
    }

    fn next_part(&mut self) -> Result<Option<Message>, Error> {
        let Some(parts) = &mut self.parts else { return Ok(None) };
        let part = parts.next_part()?;
        match part {
            // Each part is as much work as a chunk.
            Some(_) => self.charge()?,
            None => self.parts = None,
        }
        Ok(part)
    }

    /// Reads one chunk header, from the stash where the beginning of one is waiting there.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<Progress, Error> {
        let waiting = self.stash.len;
        let filled = if waiting == 0 { 0 } else { self.stash.fill(input) };
        let view = if waiting == 0 { *input } else { self.stash.as_slice() };
        let Some(header) = self.parse_header(view)? else {
            let count = if waiting == 0 { self.stash.fill(input) } else { filled };
            self.advance(input, count);
            return Ok(Progress::NeedsInput);
        };
        if waiting == 0 {
            self.advance(input, header.bytes);
        } else {
            // Give back what was taken from the input beyond the header; keep what came before it.
            let excess = self.stash.len - header.bytes;
            let given_back = excess.min(filled);
            self.stash.len -= given_back;
            self.stash.drop_front(header.bytes);
            self.advance(input, filled - given_back);
        }
        self.charge()?;
        self.begin_chunk(&header)
    }

    /// Takes `count` bytes off the input and counts them.
    fn advance(&mut self, input: &mut &[u8], count: usize) {
        *input = &input[count..];
        self.received_bytes += count as u64;
        let earned = u32::try_from(count).unwrap_or(u32::MAX);
        self.credit = self.credit.saturating_add(earned).min(self.limits.credit);
    }

    fn charge(&mut self) -> Result<(), Error> {
        let left = self.credit.checked_sub(self.limits.bytes_per_chunk);
        self.credit = left.ok_or(Error::TooManyChunks { bytes: self.received_bytes })?;
        Ok(())
    }

    /// The chunk header at the front of `bytes`; `None` where more bytes are needed to know it.
    fn parse_header(&self, bytes: &[u8]) -> Result<Option<ChunkHeader>, Error> {
        let Some((format, csid, basic)) = parse_basic_header(bytes) else { return Ok(None) };
        let index = self.streams.iter().position(|stream| stream.csid == csid);
        let last = index.map(|index| &self.streams[index]);
        // librtmp opens chunk stream 2 with type 1, so that form is taken without a header before it.
        if last.is_none() && format >= 2 {
            return Err(Error::MissingHeader { csid, format });
        }
        let end = basic + [11, 7, 3, 0][usize::from(format)];
        let Some(fields) = bytes.get(basic..end) else { return Ok(None) };
        let mut header = ChunkHeader {
            bytes: end,
            csid,
            format,
            index,
            field: last.map_or(0, |stream| stream.field),
            extended: last.is_some_and(|stream| stream.extended),
            length: last.map_or(0, |stream| stream.length),
            kind: last.map_or(0, |stream| stream.kind),
            stream_id: last.map_or(0, |stream| stream.stream_id),
        };
        if let [a, b, c, rest @ ..] = fields {
            header.field = u32::from_be_bytes([0, *a, *b, *c]);
            header.extended = header.field == EXTENDED;
            if let [a, b, c, kind, rest @ ..] = rest {
                header.length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
                header.kind = *kind;
                if let [a, b, c, d] = rest {
                    header.stream_id = u32::from_le_bytes([*a, *b, *c, *d]);
                }
            }
        }
        if !header.extended {
            return Ok(Some(header));
        }
        let continued = last.filter(|stream| stream.open && format == 3);
        Ok(extended_timestamp(&bytes[end..], continued).map(|field| {
            if let Some(field) = field {
                header.bytes += 4;
                header.field = field;
            }
            header
        }))
    }

    /// Applies a header to its chunk stream and gets ready for the chunk's payload.
    fn begin_chunk(&mut self, header: &ChunkHeader) -> Result<Progress, Error> {
        let index = match header.index {
            Some(index) => index,
            None => self.add_stream(header.csid)?,
        };
        let stream = &mut self.streams[index];
        if stream.open && header.format != 3 {
            let (received, length) = (stream.payload.len(), stream.length);
            return Err(Error::InterruptedMessage { csid: header.csid, received, length });
        }
        if !stream.open {
            if header.length > self.limits.message_bytes {
                return Err(Error::MessageTooLong { bytes: header.length, limit: self.limits.message_bytes });
            }
            stream.timestamp_ms = match header.format {
                0 => header.field,
                _ => stream.timestamp_ms.wrapping_add(header.field),
            };
            stream.field = header.field;
            stream.extended = header.extended;
            stream.length = header.length;
            stream.kind = header.kind;
            stream.stream_id = header.stream_id;
            if stream.length == 0 {
                return Ok(Progress::Whole(stream.finish()));
            }
            if self.open_messages >= self.limits.partial_messages {
                return Err(Error::TooManyPartialMessages(self.limits.partial_messages));
            }
            stream.open = true;
            self.open_messages += 1;
        }
        let left = self.chunk_size.min(stream.length - stream.payload.len());
        self.current = Some(Current { index, left });
        Ok(Progress::Continues)
    }

    fn add_stream(&mut self, csid: u32) -> Result<usize, Error> {
        if self.streams.len() >= self.limits.chunk_streams {
            return Err(Error::TooManyChunkStreams(self.limits.chunk_streams));
        }
        self.streams.push(ChunkStream {
            csid,
            timestamp_ms: 0,
            field: 0,
            extended: false,
            kind: 0,
            stream_id: 0,
            length: 0,
            open: false,
            payload: Vec::new(),
        });
        Ok(self.streams.len() - 1)
    }

    /// Copies what is there of the current chunk's payload to its message.
    fn read_payload(&mut self, current: Current, input: &mut &[u8]) -> Result<Progress, Error> {
        let stashed = self.stash.len > 0;
        let available = if stashed { self.stash.len } else { input.len() };
        let count = current.left.min(available);
        if count == 0 {
            return Ok(Progress::NeedsInput);
        }
        self.reserve(current.index, count)?;
        let stream = &mut self.streams[current.index];
        if stashed {
            stream.payload.extend_from_slice(&self.stash.as_slice()[..count]);
            self.stash.drop_front(count);
        } else {
            stream.payload.extend_from_slice(&input[..count]);
        }
        let whole = (stream.payload.len() == stream.length).then(|| {
            self.buffered_bytes -= stream.payload.capacity();
            self.open_messages -= 1;
            stream.finish()
        });
        if !stashed {
            self.advance(input, count);
        }
        let left = current.left - count;
        self.current = (left > 0).then_some(Current { left, ..current });
        Ok(whole.map_or(Progress::Continues, Progress::Whole))
    }

    /// Makes room for `count` more bytes: twice what is there, but never more than the message will need, so that
    /// a whole message holds no spare memory.
    fn reserve(&mut self, index: usize, count: usize) -> Result<(), Error> {
        let ChunkStream { payload, length, .. } = &mut self.streams[index];
        let before = payload.capacity();
        let needed = payload.len() + count;
        if needed <= before {
            return Ok(());
        }
        let capacity = needed.max(before * 2).max(FIRST_RESERVE).min(*length);
        let buffered = self.buffered_bytes - before + capacity;
        if buffered > self.limits.buffered_bytes {
            return Err(Error::TooMuchBuffered(self.limits.buffered_bytes));
        }
        payload.reserve_exact(capacity - payload.len());
        self.buffered_bytes = self.buffered_bytes - before + payload.capacity();
        Ok(())
    }

    /// Set Chunk Size (§5.4.1). No message is longer than 16 MiB, so a larger size means no more than that.
    fn set_chunk_size(&mut self, size: u32) -> Result<(), Error> {
        if size == 0 || size > i32::MAX as u32 {
            return Err(Error::ChunkSize(size));
        }
        self.chunk_size = (size as usize).min(MAX_MESSAGE_BYTES);
        Ok(())
    }

    /// Abort Message (§5.4.2): forgets the unfinished message of a chunk stream.
    fn abort(&mut self, csid: u32) {
        let stream = self.streams.iter_mut().find(|stream| stream.csid == csid && stream.open);
        if let Some(stream) = stream {
            self.buffered_bytes -= stream.payload.capacity();
            self.open_messages -= 1;
            stream.payload = Vec::new();
            stream.open = false;
        }
    }
}

impl ChunkStream {
    /// Hands over the message and gets ready for the next one.
    fn finish(&mut self) -> Message {
        self.open = false;
        let header = MessageHeader {
            csid: self.csid,
            timestamp_ms: self.timestamp_ms,
            kind: self.kind,
            stream_id: self.stream_id,
        };
        Message { header, payload: Bytes::from(mem::take(&mut self.payload)) }
    }
}

enum Progress {
    NeedsInput,
    Continues,
    Whole(Message),
}

/// Format, chunk stream id and length of the basic header (§5.3.1.1).
fn parse_basic_header(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let format = first >> 6;
    match first & 0x3f {
        0 => Some((format, 64 + u32::from(*bytes.get(1)?), 2)),
        1 => Some((format, 64 + u32::from(u16::from_le_bytes([*bytes.get(1)?, *bytes.get(2)?])), 3)),
        csid => Some((format, csid.into(), 1)),
    }
}

/// The extended timestamp at the front of `bytes` (§5.3.1.3): `None` where more bytes are needed,
/// `Some(None)` where the peer left it out.
///
/// The specification asks for it in type 3 chunks too; some peers leave it out there. So inside a message
/// (`continued`) it is taken only if it repeats what the message began with.
fn extended_timestamp(bytes: &[u8], continued: Option<&ChunkStream>) -> Option<Option<u32>> {
    let head = bytes.first_chunk::<4>().copied();
    let Some(stream) = continued else {
        return head.map(|head| Some(u32::from_be_bytes(head)));
    };
    // Some peers repeat the absolute timestamp where the header had a delta.
    let known = [stream.field, stream.timestamp_ms].map(u32::to_be_bytes);
    match head {
        Some(head) if known.contains(&head) => Some(Some(stream.field)),
        None if known.iter().any(|known| known.starts_with(bytes)) => None,
        _ => Some(None),
    }
}
