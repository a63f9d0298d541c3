//! Why an RTMP connection cannot go on.

use cruvz_media::amf0;

/// What a peer sent, or asked of us, that ends its connection.
///
/// Anything that RTMP can answer (an unknown command, a refused name) is answered and is not an error here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The handshake starts with a version other than 3 (RTMP 1.0 §5.2.1). Often it is HTTP or TLS on our port.
    #[error("handshake version {0}, want 3")]
    UnsupportedVersion(u8),
    /// The peer asks for RTMPE, whose encryption protects nothing; RTMPS does.
    #[error("encrypted handshake (RTMPE, version {0}) is not supported; use RTMPS")]
    EncryptedHandshake(u8),
    /// A Set Chunk Size of 0 or with its top bit set (RTMP 1.0 §5.4.1).
    #[error("chunk size {0}")]
    ChunkSize(u32),
    /// More chunk streams than [`Limits::chunk_streams`](super::Limits::chunk_streams).
    #[error("more than {0} chunk streams")]
    TooManyChunkStreams(usize),
    /// More unfinished messages at once than [`Limits::partial_messages`](super::Limits::partial_messages).
    #[error("more than {0} unfinished messages")]
    TooManyPartialMessages(usize),
    /// A message longer than the limit that holds at this point of the connection.
    #[error("message of {bytes} bytes, limit {limit}")]
    MessageTooLong {
        /// Its declared length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Unfinished messages take more memory than [`Limits::buffered_bytes`](super::Limits::buffered_bytes).
    #[error("unfinished messages of more than {0} bytes")]
    TooMuchBuffered(usize),
    /// More chunks for the bytes received than the work budget of [`Limits`](super::Limits) allows.
    #[error("too many chunks for {bytes} bytes received")]
    TooManyChunks {
        /// Bytes received on this connection after the handshake.
        bytes: u64,
    },
    /// A chunk that refers to an earlier header of its chunk stream, where there was none.
    #[error("chunk format {format} on chunk stream {csid} without a header before it")]
    MissingHeader {
        /// The chunk stream.
        csid: u32,
        /// The chunk format: 2 or 3.
        format: u8,
    },
    /// A new message header inside an unfinished message of the same chunk stream.
    #[error("new header on chunk stream {csid} after {received} of {length} bytes")]
    InterruptedMessage {
        /// The chunk stream.
        csid: u32,
        /// Bytes of the message that had come.
        received: usize,
        /// The length it had declared.
        length: usize,
    },
    /// A chunk stream id outside 2..=65,599, which has no form on the wire.
    #[error("chunk stream id {0}")]
    ChunkStreamId(u32),
    /// A protocol control message that is too short for its type.
    #[error("control message of type {kind} with {bytes} bytes")]
    ControlMessage {
        /// The message type id.
        kind: u8,
        /// Its length.
        bytes: usize,
    },
    /// An aggregate message whose parts do not fit in it.
    #[error("aggregate message ends inside a part")]
    Aggregate,
    /// A command that is not AMF0 within limits.
    #[error("command: {0}")]
    Command(#[from] amf0::Error),
    /// The first command was not `connect`, or `connect` came twice.
    #[error("command {0:?} out of place")]
    CommandOutOfPlace(String),
    /// More rejected commands than [`ServerConfig::rejected_commands`](super::ServerConfig::rejected_commands).
    #[error("more than {0} rejected commands")]
    TooManyRejectedCommands(u32),
    /// More came while a decision was pending than is kept.
    #[error("more than {0} bytes before the request was decided")]
    TooMuchBeforeDecision(usize),
    /// The peer asks faster than it reads our answers.
    #[error("more than {0} bytes of answers not taken")]
    TooMuchUnsent(usize),
    /// The peer did not do in time what the connection waits for.
    #[error("{0} timed out")]
    Timeout(&'static str),
    /// The server answered a call in a way that leads nowhere.
    #[error("unexpected answer: {0}")]
    UnexpectedAnswer(String),
    /// Media was to be sent where nothing is being published.
    #[error("nothing is being published on this connection")]
    NotStarted,
}
