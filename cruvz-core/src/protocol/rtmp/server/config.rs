//! What a server is told once for all its connections.

use std::time::Duration;

use crate::protocol::rtmp::{Capabilities, Limits};

/// Options of a server's connections. Make one, put it in an `Arc`, give it to every
/// [`ServerConnection`](super::ServerConnection).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Bounds on what a peer may make us hold and do.
    pub limits: Limits,
    /// The chunk size that we send with, in bytes. Default 65,536: most frames are then one chunk. Media that is
    /// serialised once for all players must be cut with this size too.
    pub chunk_size: u32,
    /// After how many bytes a peer is to acknowledge, and we do where it does not say. Default 2,500,000.
    pub window_ack_bytes: u32,
    /// How long the handshake and `connect` may take together. Default 5 s.
    pub handshake_timeout: Duration,
    /// How long a peer may take from the start until it asks to publish or play, and again after it was refused or has
    /// ended what it did. Default 15 s.
    pub request_timeout: Duration,
    /// After how much silence a peer is asked for a sign of life. Default 20 s.
    pub ping_after: Duration,
    /// After how much silence a peer is gone. Default 60 s.
    pub idle_timeout: Duration,
    /// How many message streams a peer may have at once. Default 8; real peers use 1.
    pub streams: usize,
    /// How many commands of a peer may be refused before anything was granted to it. Default 32. Afterwards they
    /// are only counted.
    pub rejected_commands: u32,
    /// What we call ourselves in the answer to `connect`. Default `FMS/3,0,1,123`, which old players check.
    pub server_version: String,
    /// What we tell a client of Enhanced RTMP that we can do.
    pub capabilities: Capabilities,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            chunk_size: 65_536,
            window_ack_bytes: 2_500_000,
            handshake_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(15),
            ping_after: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            streams: 8,
            rejected_commands: 32,
            server_version: "FMS/3,0,1,123".into(),
            capabilities: Capabilities::default(),
        }
    }
}
