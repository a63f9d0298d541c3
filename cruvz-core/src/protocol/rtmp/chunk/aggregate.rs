//! The aggregate message, several messages in one (RTMP 1.0 §7.1.6).

use bytes::{Buf, Bytes};

use super::{Message, MessageHeader};
use crate::protocol::rtmp::Error;

/// Type, length, timestamp and stream id of a part, as in an FLV tag.
const PART_HEADER: usize = 11;
/// The length of the part before, which closes each part.
const BACK_POINTER: usize = 4;

/// The parts of an aggregate message, in order; their payloads share its memory.
pub(super) struct Parts {
    aggregate: MessageHeader,
    /// What the parts' own clock must be moved by; known once the first part is.
    offset_ms: Option<u32>,
    rest: Bytes,
}

impl Parts {
    pub(super) fn new(message: Message) -> Self {
        Self { aggregate: message.header, offset_ms: None, rest: message.payload }
    }

    /// The next part. The first one takes the aggregate's timestamp, the others keep their distance from it;
    /// all take its message stream.
    pub(super) fn next_part(&mut self) -> Result<Option<Message>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        if self.rest.len() < PART_HEADER {
            return Err(Error::Aggregate);
        }
        let kind = self.rest.get_u8();
        let length = self.rest.get_uint(3) as usize;
        let low = self.rest.get_uint(3) as u32;
        let timestamp_ms = u32::from(self.rest.get_u8()) << 24 | low;
        self.rest.advance(3);
        if self.rest.len() < length {
            return Err(Error::Aggregate);
        }
        let payload = self.rest.split_to(length);
        // Some writers leave out the last back pointer.
        self.rest.advance(BACK_POINTER.min(self.rest.len()));
        let first_offset_ms = self.aggregate.timestamp_ms.wrapping_sub(timestamp_ms);
        let timestamp_ms = timestamp_ms.wrapping_add(*self.offset_ms.get_or_insert(first_offset_ms));
        Ok(Some(Message { header: MessageHeader { timestamp_ms, kind, ..self.aggregate }, payload }))
    }
}
