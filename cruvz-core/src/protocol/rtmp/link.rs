//! What server and client share after the handshake: chunks both ways, acknowledgements and pings.

use std::mem;

use bytes::{Bytes, BytesMut};
use cruvz_media::amf0::Value;

use super::chunk::{ChunkReader, INITIAL_CHUNK_SIZE, Message, MessageHeader, write_message};
use super::command::Command;
use super::message::{UserControl, control_value, csid, kind, peer_bandwidth};
use super::{Error, Limits};

/// An acknowledgement is sent after this part of the peer's window, so that it comes before the peer waits for it.
const ACKS_PER_WINDOW: u64 = 2;
/// Windows below this are treated as this many bytes: one must not be able to ask for an answer to every byte.
const MIN_WINDOW: u32 = 4096;

/// One connection's chunk layer.
pub(super) struct Link {
    reader: ChunkReader,
    out: BytesMut,
    out_chunk_size: u32,
    /// Bytes of answers in `out`; media of our own is not counted.
    unsent: usize,
    unsent_limit: usize,
    /// Bytes after which the peer wants an acknowledgement.
    window: u32,
    /// The peer's Set Peer Bandwidth that was answered last.
    bandwidth: u32,
    acknowledged: u64,
}

impl Link {
    pub(super) fn new(limits: &Limits, window: u32) -> Self {
        Self {
            reader: ChunkReader::new(limits),
            out: BytesMut::new(),
            out_chunk_size: INITIAL_CHUNK_SIZE,
            unsent: 0,
            unsent_limit: limits.unsent_bytes,
            window,
            bandwidth: 0,
            acknowledged: 0,
        }
    }

    pub(super) const fn reader(&mut self) -> &mut ChunkReader {
        &mut self.reader
    }

    pub(super) const fn received_bytes(&self) -> u64 {
        self.reader.received_bytes()
    }

    /// What is to be sent, for the handshake to append to.
    pub(super) const fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Takes what is to be sent: whole messages, and no memory stays behind.
    pub(super) fn take_out(&mut self) -> Option<Bytes> {
        self.unsent = 0;
        (!self.out.is_empty()).then(|| mem::take(&mut self.out).freeze())
    }

    /// The next message from `input` that is not for this layer.
    ///
    /// # Errors
    /// Besides those of the chunks: [`Error::TooMuchUnsent`], judged before each message.
    pub(super) fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        while let Some(message) = self.reader.read(input)? {
            if self.unsent > self.unsent_limit {
                return Err(Error::TooMuchUnsent(self.unsent_limit));
            }
            if let Some(message) = self.control(message)? {
                return Ok(Some(message));
            }
        }
        self.acknowledge();
        Ok(None)
    }

    /// Obeys protocol control messages; hands on the others.
    fn control(&mut self, message: Message) -> Result<Option<Message>, Error> {
        match message.header.kind {
            kind::ACKNOWLEDGEMENT => {}
            kind::WINDOW_ACK_SIZE => self.window = control_value(&message)?.max(MIN_WINDOW),
            kind::SET_PEER_BANDWIDTH => {
                let bandwidth = control_value(&message)?;
                // §5.4.5: answered by a Window Acknowledgement Size where the value is new.
                if bandwidth != mem::replace(&mut self.bandwidth, bandwidth) {
                    self.send_control(kind::WINDOW_ACK_SIZE, &bandwidth.to_be_bytes());
                }
            }
            kind::USER_CONTROL => match UserControl::parse(&message.payload)? {
                UserControl::PingRequest(moment) => {
                    self.send_user_control(UserControl::PingResponse(moment));
                }
                UserControl::StreamEof(_) => return Ok(Some(message)),
                _ => {}
            },
            _ => return Ok(Some(message)),
        }
        Ok(None)
    }

    /// Acknowledges all bytes received so far, modulo 2^32, once enough have come (§5.4.3).
    fn acknowledge(&mut self) {
        let received = self.reader.received_bytes();
        if received - self.acknowledged >= u64::from(self.window) / ACKS_PER_WINDOW {
            self.acknowledged = received;
            self.send_control(kind::ACKNOWLEDGEMENT, &(received as u32).to_be_bytes());
        }
    }

    /// Tells the peer a new chunk size and uses it from then on.
    pub(super) fn set_out_chunk_size(&mut self, chunk_size: u32) {
        let chunk_size = chunk_size.clamp(1, i32::MAX as u32);
        self.send_control(kind::SET_CHUNK_SIZE, &chunk_size.to_be_bytes());
        self.out_chunk_size = chunk_size;
    }

    pub(super) fn send_window(&mut self, bytes: u32) {
        self.send_control(kind::WINDOW_ACK_SIZE, &bytes.to_be_bytes());
    }

    pub(super) fn send_peer_bandwidth(&mut self, bytes: u32) {
        self.send_control(kind::SET_PEER_BANDWIDTH, &peer_bandwidth(bytes));
    }

    pub(super) fn send_user_control(&mut self, event: UserControl) {
        self.send_control(kind::USER_CONTROL, &event.encode());
    }

    fn send_control(&mut self, kind: u8, payload: &[u8]) {
        self.send(&MessageHeader { csid: csid::CONTROL, timestamp_ms: 0, kind, stream_id: 0 }, &[payload]);
    }

    pub(super) fn send_command(&mut self, stream_id: u32, command: &Command) {
        let header = MessageHeader { csid: csid::COMMAND, timestamp_ms: 0, kind: kind::COMMAND, stream_id };
        self.send(&header, &[&command.encode()]);
    }

    /// Sends `_result` or `_error`, unless the call asked for no answer.
    pub(super) fn send_answer(&mut self, name: &str, transaction_id: f64, values: Vec<Value>) {
        if transaction_id != 0.0 {
            self.send_command(0, &Command::new(name, transaction_id, values));
        }
    }

    /// Appends a message of ours. Its header and chunk size are always valid, and commands are far below the
    /// longest message.
    fn send(&mut self, header: &MessageHeader, parts: &[&[u8]]) {
        let before = self.out.len();
        let sent = write_message(&mut self.out, header, parts, self.out_chunk_size);
        debug_assert_eq!(sent, Ok(()));
        self.unsent += self.out.len() - before;
    }

    /// Appends a media message, whose length the caller decides.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`].
    pub(super) fn send_media(&mut self, header: &MessageHeader, parts: &[&[u8]]) -> Result<(), Error> {
        write_message(&mut self.out, header, parts, self.out_chunk_size)
    }
}
