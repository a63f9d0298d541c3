//! The messages that the protocol itself uses, typed.

use bytes::{BufMut, Bytes, BytesMut};

use super::Error;
use super::chunk::{Message, MessageHeader};

/// Message type ids (RTMP 1.0 §5.4, §6.2, §7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control Message.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW_ACK_SIZE: u8 = 5;
    /// Set Peer Bandwidth.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data in AMF3, which real peers begin with a 0 byte and go on with in AMF0.
    pub const DATA_AMF3: u8 = 15;
    /// Command in AMF3, of which the same holds.
    pub const COMMAND_AMF3: u8 = 17;
    /// Data in AMF0.
    pub const DATA: u8 = 18;
    /// Command in AMF0.
    pub const COMMAND: u8 = 20;
    /// Aggregate.
    pub const AGGREGATE: u8 = 22;
}

/// The chunk streams that we send on. Only 2 is fixed (§5.4); the others are what players are used to.
pub mod csid {
    /// Protocol control and user control messages.
    pub const CONTROL: u32 = 2;
    /// Commands.
    pub const COMMAND: u32 = 3;
    /// Audio.
    pub const AUDIO: u32 = 4;
    /// Data.
    pub const DATA: u32 = 5;
    /// Video.
    pub const VIDEO: u32 = 6;
}

/// The three kinds of message that a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// The body of an FLV audio tag.
    Audio,
    /// The body of an FLV video tag.
    Video,
    /// The body of an FLV script tag: AMF0, `onMetaData` and the like.
    Data,
}

impl MediaKind {
    /// The kind of a message type id; AMF3 data counts as data.
    pub const fn from_message_kind(kind: u8) -> Option<Self> {
        match kind {
            kind::AUDIO => Some(Self::Audio),
            kind::VIDEO => Some(Self::Video),
            kind::DATA | kind::DATA_AMF3 => Some(Self::Data),
            _ => None,
        }
    }

    /// The header of such a message as we send it, to be given to [`write_message`](super::chunk::write_message).
    ///
    /// The same bytes fit every connection whose `stream_id` is the same, which is 1 for nearly every player.
    pub const fn header(self, timestamp_ms: u32, stream_id: u32) -> MessageHeader {
        let (csid, kind) = match self {
            Self::Audio => (csid::AUDIO, kind::AUDIO),
            Self::Video => (csid::VIDEO, kind::VIDEO),
            Self::Data => (csid::DATA, kind::DATA),
        };
        MessageHeader { csid, timestamp_ms, kind, stream_id }
    }
}

/// One audio, video or data message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaMessage {
    /// The message stream it came on.
    pub stream_id: u32,
    /// What it is.
    pub kind: MediaKind,
    /// Milliseconds as on the wire: any start, wraps at 2^32, may jump.
    pub timestamp_ms: u32,
    /// An FLV tag's body, never empty. `@setDataFrame` and the AMF3 marker byte are taken off data.
    pub payload: Bytes,
}

/// `@setDataFrame` as an AMF0 string: what publishers put before the metadata that a server is to keep.
pub(super) const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
/// How metadata itself begins.
pub(super) const META_DATA: &[u8] = b"\x02\x00\x0aonMetaData";
/// How the permission for Flash players begins that servers send before the first frame; it is no media.
pub(super) const SAMPLE_ACCESS: &[u8] = b"\x02\x00\x11|RtmpSampleAccess";
/// How servers announce data with a data message; no media either.
pub(super) const DATA_STATUS: &[u8] = b"\x02\x00\x08onStatus";
/// What asks the server to forget it again.
const CLEAR_DATA_FRAME: &[u8] = b"\x02\x00\x0f@clearDataFrame";

impl MediaMessage {
    /// The media in a message; `None` for other kinds, for empty messages and for `@clearDataFrame`.
    pub(super) fn from_message(message: Message) -> Option<Self> {
        let kind = MediaKind::from_message_kind(message.header.kind)?;
        let mut payload = message.payload;
        if message.header.kind == kind::DATA_AMF3 && payload.first() == Some(&0) {
            payload = payload.slice(1..);
        }
        if kind == MediaKind::Data {
            if payload.starts_with(SET_DATA_FRAME) {
                payload = payload.slice(SET_DATA_FRAME.len()..);
            } else if payload.starts_with(CLEAR_DATA_FRAME) {
                return None;
            }
        }
        let MessageHeader { stream_id, timestamp_ms, .. } = message.header;
        (!payload.is_empty()).then_some(Self { stream_id, kind, timestamp_ms, payload })
    }
}

/// User control events (§7.1.7); others exist and are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserControl {
    StreamBegin(u32),
    StreamEof(u32),
    /// Message stream and milliseconds. Only sent.
    SetBufferLength(u32, u32),
    PingRequest(u32),
    PingResponse(u32),
    Other,
}

impl UserControl {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Error> {
        let short = Error::ControlMessage { kind: kind::USER_CONTROL, bytes: payload.len() };
        let (event, rest) = payload.split_first_chunk::<2>().ok_or_else(|| short.clone())?;
        let make = match u16::from_be_bytes(*event) {
            0 => Self::StreamBegin,
            1 => Self::StreamEof,
            6 => Self::PingRequest,
            7 => Self::PingResponse,
            _ => return Ok(Self::Other),
        };
        rest.first_chunk().map(|value| make(u32::from_be_bytes(*value))).ok_or(short)
    }

    /// The bytes of an event that we send.
    pub(super) fn encode(self) -> BytesMut {
        let (event, value, more) = match self {
            Self::StreamBegin(stream_id) => (0, stream_id, None),
            Self::StreamEof(stream_id) => (1, stream_id, None),
            Self::SetBufferLength(stream_id, buffer_ms) => (3, stream_id, Some(buffer_ms)),
            Self::PingRequest(moment) => (6, moment, None),
            Self::PingResponse(moment) => (7, moment, None),
            Self::Other => return BytesMut::new(),
        };
        let mut payload = BytesMut::with_capacity(10);
        payload.put_u16(event);
        payload.put_u32(value);
        if let Some(more) = more {
            payload.put_u32(more);
        }
        payload
    }
}

/// The four bytes that a control message begins with, as a number.
pub(super) fn control_value(message: &Message) -> Result<u32, Error> {
    let head = message.payload.first_chunk::<4>();
    let (kind, bytes) = (message.header.kind, message.payload.len());
    head.map(|head| u32::from_be_bytes(*head)).ok_or(Error::ControlMessage { kind, bytes })
}

/// The payload of Set Peer Bandwidth with the limit type "dynamic" (§5.4.5).
pub(super) fn peer_bandwidth(bytes: u32) -> BytesMut {
    let mut payload = BytesMut::with_capacity(5);
    payload.put_u32(bytes);
    payload.put_u8(2);
    payload
}
