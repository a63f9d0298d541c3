//! WebRTC: WHIP in, WHEP out.

use std::fmt;

use serde::{Deserialize, Serialize};

/// WebRTC. Where it listens is [`crate::EngineBuilder::webrtc`]'s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WebRtcConfig {
    /// The addresses under which peers reach this machine: IP addresses, or host names, which are looked up every minute. Set it
    /// behind NAT or in a container. Default none: the addresses of this machine's interfaces, or the one that is listened on.
    pub public_addresses: Vec<String>,
    /// Further addresses that are offered beside those. Default none.
    pub extra_addresses: Vec<String>,
    /// Whether media may also go over TCP (ICE-TCP), on the same port number as UDP, for peers whose network blocks UDP. Default
    /// true.
    pub tcp: bool,
    /// Sessions at once that were agreed on over HTTP and whose media connection is not there yet. Default 1,000. When one more
    /// comes, the oldest is dropped.
    pub max_pending: usize,
    /// How long such a session waits for its media connection, in milliseconds. Default 30,000.
    pub connect_timeout_ms: u64,
    /// How long a publisher may send no media before its session ends, in milliseconds. Default 5,000. Its stream then has its
    /// grace, as everywhere.
    pub stall_timeout_ms: u64,
    /// The age at which a publisher's keyframe is followed by another on our request, in milliseconds; 0: never. Default 2,000.
    /// Browsers send none by themselves, and viewers begin, and HLS segments are cut, at keyframes only.
    pub keyframe_interval_ms: u64,
    /// What a publisher is told that it may send at most, in bits per second, where it does not find that out by itself. Default
    /// 20,000,000.
    pub max_bitrate_bps: u64,
    /// The longest SDP that is read, in bytes. Default 65,536.
    pub max_sdp_bytes: usize,
    /// Sockets, each with a task, that share the work. Default 0: one per core.
    pub shards: usize,
    /// STUN servers that clients are told of, as in `stun:stun.example.org:3478`. Default none: with a public address here, clients
    /// need none.
    pub stun: Vec<String>,
    /// TURN servers that clients are told of, for those who can reach nothing but a relay. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub turn: Vec<TurnConfig>,
}

impl Default for WebRtcConfig {
    fn default() -> Self {
        Self {
            public_addresses: Vec::new(),
            extra_addresses: Vec::new(),
            tcp: true,
            max_pending: 1_000,
            connect_timeout_ms: 30_000,
            stall_timeout_ms: 5_000,
            keyframe_interval_ms: 2_000,
            max_bitrate_bps: 20_000_000,
            max_sdp_bytes: 65_536,
            shards: 0,
            stun: Vec::new(),
            turn: Vec::new(),
        }
    }
}

/// A TURN server and the secret that we share with it (`static-auth-secret` of coturn): clients get a user name that expires and a
/// password made of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TurnConfig {
    /// Its URLs, as in `turn:turn.example.org:3478?transport=udp`.
    pub urls: Vec<String>,
    /// The shared secret.
    #[serde(default, skip_serializing)]
    pub secret: String,
    /// How long a user name is valid, in seconds. Default 86,400. The server asks for it again and again while it relays: it must
    /// outlast a session.
    #[serde(default = "day")]
    pub ttl_s: u32,
}

const fn day() -> u32 {
    86_400
}

impl TurnConfig {
    /// A server at `urls` that knows `secret`.
    pub fn new(urls: Vec<String>, secret: impl Into<String>) -> Self {
        Self { urls, secret: secret.into(), ttl_s: day() }
    }
}

impl fmt::Debug for TurnConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TurnConfig")
            .field("urls", &self.urls)
            .field("ttl_s", &self.ttl_s)
            .finish_non_exhaustive()
    }
}
