//! The server's configuration: a TOML file, then the environment, then flags, each over the one before.

mod load;
mod secret;
mod validate;

use std::path::PathBuf;

use cruvz_core::EngineConfig;
use serde::{Deserialize, Serialize};

pub(crate) use self::validate::resolve;
pub use self::{
    load::{ConfigError, load},
    secret::Secret,
};

/// Everything that can be configured. An empty file is a good one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// RTMP.
    pub rtmp: RtmpConfig,
    /// RTMP over TLS; needs `[tls]`.
    pub rtmps: RtmpsConfig,
    /// SRT.
    pub srt: SrtListenConfig,
    /// WebRTC.
    pub webrtc: WebRtcListenConfig,
    /// HTTP: pages, HLS, FLV, API, metrics.
    pub http: HttpConfig,
    /// The same over TLS; needs `[tls]`.
    pub https: HttpsConfig,
    /// The certificate of RTMPS and HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Who may publish and who may manage.
    pub access: AccessConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// What is logged and how.
    pub log: LogConfig,
    /// How the server stops.
    pub drain: DrainConfig,
    /// The keys that may publish from other machines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub publish: Vec<PublishKey>,
    /// The engine: streams, viewers, limits.
    pub engine: EngineConfig,
}

/// RTMP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RtmpConfig {
    /// Where to listen, as in `:1935` (every interface) or `127.0.0.1:1935`. Default `:1935`; empty: not at all.
    pub listen: String,
}

impl Default for RtmpConfig {
    fn default() -> Self {
        Self { listen: ":1935".into() }
    }
}

/// RTMP over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RtmpsConfig {
    /// Where to listen, as in `:1936`. Default empty: not at all.
    pub listen: String,
}

/// SRT. How it behaves is in [`EngineConfig::srt`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SrtListenConfig {
    /// Where to listen, over UDP, as in `:8890`. Default `:8890`; empty: not at all.
    pub listen: String,
}

impl Default for SrtListenConfig {
    fn default() -> Self {
        Self { listen: ":8890".into() }
    }
}

/// WebRTC: the media. WHIP and WHEP are HTTP's. How it behaves is in [`EngineConfig::webrtc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WebRtcListenConfig {
    /// Where to listen, over UDP and TCP alike, as in `:8189`. Default `:8189`; empty: not at all.
    pub listen: String,
}

impl Default for WebRtcListenConfig {
    fn default() -> Self {
        Self { listen: ":8189".into() }
    }
}

/// HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Where to listen, as in `:8080` or `127.0.0.1:8080`. Default `:8080`; empty: not at all.
    pub listen: String,
    /// Connections at once over HTTP and HTTPS, FLV viewers not counted. Default 10,000. More are told 503 and closed.
    pub max_connections: usize,
    /// How long a peer may take to send a request head, the TLS handshake and idle time between requests included, in
    /// milliseconds. Default 10,000.
    pub header_timeout_ms: u64,
    /// How long a peer may take nothing of an answer that is ready, in milliseconds. Default 15,000, over HTTP/2 up to twice
    /// as long. For FLV viewers on plain HTTP/1,
    /// `engine.egress.stuck_timeout_ms` counts.
    pub write_timeout_ms: u64,
    /// The largest head of a request, in bytes. Default 16,384; at least 8,192.
    pub max_header_bytes: usize,
    /// The largest body of a request, in bytes. Default 65,536.
    pub body_limit_bytes: usize,
    /// The origins whose pages may read HLS and FLV. Default `["*"]`: all. Credentials are never allowed.
    pub cors_origins: Vec<String>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: ":8080".into(),
            max_connections: 10_000,
            header_timeout_ms: 10_000,
            write_timeout_ms: 15_000,
            max_header_bytes: 16_384,
            body_limit_bytes: 65_536,
            cors_origins: vec!["*".into()],
        }
    }
}

/// HTTP over TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpsConfig {
    /// Where to listen, as in `:8443`. Default empty: not at all.
    pub listen: String,
}

/// The certificate of RTMPS and HTTPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsFiles {
    /// The certificate chain, PEM, leaf first.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Who may publish and who may manage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AccessConfig {
    /// Whether this machine needs a key or token like any other. Default false. Set it behind a reverse proxy, where every
    /// peer looks like this machine.
    pub require_key: bool,
    /// The token with which other machines may use the managing part of the API (`Authorization: Bearer …`). Default none:
    /// only this machine may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_token: Option<Secret>,
}

/// A key that may publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PublishKey {
    /// The secret: `?key=…` behind the stream's name.
    pub key: Secret,
    /// The streams it may publish, `*` standing for any text. Default `["*"]`: all.
    #[serde(default = "every_stream")]
    pub streams: Vec<String>,
}

fn every_stream() -> Vec<String> {
    vec!["*".into()]
}

/// Metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MetricsConfig {
    /// Whether `/metrics` also has one series per stream, labelled with its name. Default false: publishers choose the names,
    /// and every name is a new series.
    pub per_stream: bool,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// `text` or `json`. Default `text`.
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`, which has the last word: `info`, `cruvz_core=debug,info`. Default `info`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into() }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// How the server stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DrainConfig {
    /// How long publishers get to leave after SIGTERM or SIGINT, in milliseconds. Default 5,000. A second signal cuts it short.
    pub timeout_ms: u64,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self { timeout_ms: 5_000 }
    }
}
