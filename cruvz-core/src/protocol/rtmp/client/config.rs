//! What a client is told before it connects.

use std::time::Duration;

use crate::protocol::rtmp::{Capabilities, HandshakeKind, Limits};

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Send a stream to the server.
    Publish,
    /// Receive a stream from the server.
    Play,
}

/// Options of a client's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Bounds on what the server may make us hold and do.
    pub limits: Limits,
    /// The form of handshake to open with. Default digest.
    pub handshake: HandshakeKind,
    /// The chunk size that we send with, in bytes. Default 65,536.
    pub chunk_size: u32,
    /// After how many bytes the server is to acknowledge, and we do where it does not say. Default 2,500,000.
    pub window_ack_bytes: u32,
    /// How much a player says it buffers, in milliseconds. Default 1,000. Some servers send that much at once.
    pub buffer_ms: u32,
    /// How long it may take until publishing or playing has started. Default 15 s.
    pub start_timeout: Duration,
    /// After how much silence the server is asked for a sign of life. Default 20 s.
    pub ping_after: Duration,
    /// After how much silence the server is gone. Default 60 s.
    pub idle_timeout: Duration,
    /// What we call ourselves in `connect`. Default `FMLE/3.0 (compatible; FMSc/1.0)`, which servers expect of
    /// an encoder.
    pub flash_ver: String,
    /// What we tell the server that we can do, by Enhanced RTMP.
    pub capabilities: Capabilities,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let capabilities = Capabilities::default();
        let caps_ex = capabilities.caps_ex | super::super::caps_ex::RECONNECT;
        Self {
            limits: Limits::default(),
            handshake: HandshakeKind::default(),
            chunk_size: 65_536,
            window_ack_bytes: 2_500_000,
            buffer_ms: 1_000,
            start_timeout: Duration::from_secs(15),
            ping_after: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            flash_ver: "FMLE/3.0 (compatible; FMSc/1.0)".into(),
            capabilities: Capabilities { caps_ex, ..capabilities },
        }
    }
}
