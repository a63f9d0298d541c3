//! Messages cut into chunks and put together again (RTMP 1.0 §5.3).
//!
//! A [`ChunkReader`] turns bytes into [`Message`]s, whatever the pieces the bytes come in and however the peer
//! interleaves its chunk streams. [`write_message`] turns a message into bytes that do not depend on what was
//! sent before, so that the same bytes serve every viewer.

mod aggregate;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::ChunkReader;
pub use writer::{encoded_len, write_message};

use bytes::Bytes;

/// The value of a 3-byte timestamp field that says that 4 more bytes hold the timestamp (§5.3.1.3).
const EXTENDED: u32 = 0x00ff_ffff;

/// The longest message that a header can declare, in bytes (§5.3.1.2.1).
pub const MAX_MESSAGE_BYTES: usize = 0x00ff_ffff;

/// The chunk size that holds until a Set Chunk Size says otherwise, in bytes (§5.4.1).
pub const INITIAL_CHUNK_SIZE: u32 = 128;

/// What stands before a message's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    /// The chunk stream that carries it, 2..=65,599. Only interleaving depends on it.
    pub csid: u32,
    /// Milliseconds from a start that the sender chose; wraps at 2^32.
    pub timestamp_ms: u32,
    /// The message type id (§5.4, §7.1); see [`kind`](super::message::kind).
    pub kind: u8,
    /// The message stream: 0 for the connection, else what `createStream` gave out.
    pub stream_id: u32,
}

/// One whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its header, with the timestamp made absolute.
    pub header: MessageHeader,
    /// Its payload, in one piece.
    pub payload: Bytes,
}
