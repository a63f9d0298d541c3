//! What a peer may make a connection hold and do.

/// Bounds on one connection, for server and client alike.
///
/// "Before authorisation" is until a publish is accepted (server) or started (client); a player stays there for
/// ever, as it has nothing large to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes. Default 8 MiB; the wire allows 16 MiB. A keyframe must fit.
    pub message_bytes: usize,
    /// The longest message before authorisation, in bytes. Default 64 KiB; a real `connect` takes 1 KiB.
    pub unauthorized_message_bytes: usize,
    /// Memory of unfinished messages together, in bytes. Default 16 MiB. It grows with what has come, never with
    /// what was declared.
    pub buffered_bytes: usize,
    /// The same before authorisation; also how many bytes are kept while a request waits for its decision.
    /// Default 128 KiB.
    pub unauthorized_buffered_bytes: usize,
    /// How many chunk streams a peer may use. Default 64; real ones use up to 6. Each costs about 64 bytes.
    pub chunk_streams: usize,
    /// How many messages may be unfinished at once. Default 8; real peers reach 2.
    pub partial_messages: usize,
    /// Bytes that each chunk must bring on average, its header included. Default 8. A peer that sends chunks of a
    /// few bytes makes us work much for little; one with chunks of 64 bytes is far from the limit.
    pub bytes_per_chunk: u32,
    /// How many chunks may come beyond that average. Default 4,096.
    pub chunk_burst: u32,
    /// Bytes of answers that may wait to be sent. Default 64 KiB.
    pub unsent_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 8 << 20,
            unauthorized_message_bytes: 64 << 10,
            buffered_bytes: 16 << 20,
            unauthorized_buffered_bytes: 128 << 10,
            chunk_streams: 64,
            partial_messages: 8,
            bytes_per_chunk: 8,
            chunk_burst: 4_096,
            unsent_bytes: 64 << 10,
        }
    }
}
