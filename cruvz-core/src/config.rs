//! Typed configuration of the engine. Every field has a unit, a default and, where it matters, a bound.

pub(crate) mod record;
mod webrtc;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::{
    record::{Durability, RecordConfig},
    webrtc::{TurnConfig, WebRtcConfig},
};
pub use crate::protocol::srt::Passphrase;

/// How an engine behaves. `Default` suits most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EngineConfig {
    /// How long a viewer waits for a stream that has no publisher yet, in milliseconds. Default 10,000; 0 refuses at once.
    pub subscribe_timeout_ms: u64,
    /// How long the [`crate::Authorizer`] may take, in milliseconds; later is a no. Default 2,000.
    pub authorize_timeout_ms: u64,
    /// Sessions open at once. Default 100,000. No viewer is let in beyond it; publishers are, up to [`HubConfig::max_streams`], so
    /// that an audience cannot keep out what it came for.
    pub max_sessions: usize,
    /// Connections of one listener that have no session yet. Default 1,000. When one more comes, the one that has waited
    /// longest is closed.
    pub max_pending_connections: usize,
    /// What one address may take.
    pub addresses: AddressConfig,
    /// Events kept for a reader that is slow. Default 1,024.
    pub event_capacity: usize,
    /// Streams and their logs.
    pub hub: HubConfig,
    /// What viewers get.
    pub egress: EgressConfig,
    /// HLS and LL-HLS.
    pub hls: HlsConfig,
    /// SRT.
    pub srt: SrtConfig,
    /// WebRTC.
    pub webrtc: WebRtcConfig,
    /// Recording.
    pub record: RecordConfig,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            subscribe_timeout_ms: 10_000,
            authorize_timeout_ms: 2_000,
            max_sessions: 100_000,
            max_pending_connections: 1_000,
            addresses: AddressConfig::default(),
            event_capacity: 1_024,
            hub: HubConfig::default(),
            egress: EgressConfig::default(),
            hls: HlsConfig::default(),
            srt: SrtConfig::default(),
            webrtc: WebRtcConfig::default(),
            record: RecordConfig::default(),
        }
    }
}

/// What one address may take, so that one machine cannot take everything. An IPv6 host counts as its /64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AddressConfig {
    /// RTMP(S), SRT and WebRTC connections per second. Default 20; 0 is no limit.
    pub connections_per_s: u32,
    /// Connections that may come at once, before that pace holds. Default 100: an audience behind one router.
    pub connection_burst: u32,
    /// Sessions open at once. Default 1,000; 0 is no limit. Set it higher when viewers come through a proxy or a CDN whose address
    /// they all share.
    pub max_sessions: usize,
    /// HLS requests that wait at once for a playlist or part that is not there yet. Default 2,000, two for each session: a player
    /// waits for one of either. 0 is no limit.
    pub max_waiting: usize,
    /// Whether these limits hold for peers on this machine too. Default false: proxies, encoders and relays run there.
    pub limit_loopback: bool,
}

impl Default for AddressConfig {
    fn default() -> Self {
        Self {
            connections_per_s: 20,
            connection_burst: 100,
            max_sessions: 1_000,
            max_waiting: 2_000,
            limit_loopback: false,
        }
    }
}

/// What happens when a second publisher comes for a live stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondPublisher {
    /// It is turned away.
    #[default]
    Refuse,
    /// It replaces the first, whose session ends.
    TakeOver,
    /// It stands by, and takes over at its next keyframe when the first goes away. One backup per stream.
    Backup,
}

/// Streams and their logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HubConfig {
    /// How long a stream outlives its publisher, in milliseconds. Default 10,000. A publisher that is back by then goes on with
    /// the same timeline and the same viewers.
    pub grace_ms: u64,
    /// Whether a publisher that says goodbye ends the stream at once, without the grace. Default false: encoders say goodbye
    /// when they are restarted, too.
    pub end_on_unpublish: bool,
    /// What happens to a second publisher. Default `refuse`.
    pub second_publisher: SecondPublisher,
    /// Media time a log keeps behind the live edge, in milliseconds, rounded up to whole GOPs. Default 2,000. A larger value
    /// lets slow viewers fall further behind before they skip, and costs memory.
    pub log_ms: u64,
    /// Bytes a log keeps at most. Default 64 MiB.
    pub log_max_bytes: usize,
    /// Streams at once. Default 10,000. Names that viewers wait for and nobody publishes count for viewers, not for publishers.
    pub max_streams: usize,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            grace_ms: 10_000,
            end_on_unpublish: false,
            second_publisher: SecondPublisher::default(),
            log_ms: 2_000,
            log_max_bytes: 64 << 20,
            max_streams: 10_000,
        }
    }
}

/// What a viewer gets that does not keep up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// It jumps ahead to the newest keyframe, and what it missed is counted.
    #[default]
    DropUntilKeyframe,
    /// Its session ends.
    Disconnect,
}

/// What viewers get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct EgressConfig {
    /// How long frames are gathered before they are sent to RTMP and FLV viewers, in milliseconds. Default 0: each at
    /// once. 33 halves the CPU per viewer, 100 halves it again. Up to 16 viewers of a stream are served at once all the same:
    /// there is nothing to gain.
    pub gather_ms: u64,
    /// How far a viewer may fall behind the live edge, in milliseconds of media, before `overflow` applies. Default 2,000.
    pub max_lag_ms: u64,
    /// What happens then. Default `drop_until_keyframe`.
    pub overflow: Overflow,
    /// How long a viewer may take nothing at all before its session ends, in milliseconds. Default 15,000.
    pub stuck_timeout_ms: u64,
    /// The kernel's send buffer per viewer, in bytes. Default 131,072; 0 leaves it to the kernel, which takes up to 3 MB for a
    /// viewer that does not read. It must hold the bit rate times the round-trip time.
    pub send_buffer_bytes: usize,
    /// Whether audio that the players of a protocol cannot be expected to play is made into audio that they can. Default true. If
    /// not, it is sent as it is where the format has room for it, and left out where not. Of no effect in a build without the
    /// feature `transcode`, which never does.
    pub transcode_audio: bool,
    /// The bit rate of audio that is made for viewers who cannot play the publisher's, in bits per second for stereo. Default
    /// 128,000; 16,000 to 510,000. Mono gets half.
    pub audio_bitrate_bps: u32,
    /// Whether video that the players of a protocol cannot be expected to play is made into H.264 that they can: pictures with
    /// B-frames for WebRTC, VP8 for HLS, VP8, VP9 and AV1 for MPEG-TS. Default true; it takes up to a core for 1080p30, while
    /// somebody watches. If not, it is left out where the format has no room for it, and of a stream with B-frames WebRTC
    /// viewers get the few pictures that can do without. Of no effect in a build without the feature `transcode`, which never does.
    pub transcode_video: bool,
    /// Streams whose video is made so at once, at most. Default 0: two for each core of the machine. Viewers of further ones get what
    /// they would without.
    pub max_video_transcodes: usize,
    /// The bit rate of video that is made so, in bits per second, 200,000 to 50,000,000. Default 0: a constant quality, and at
    /// most 0.12 bits per pixel, which is 3.3 Mbit/s for 720p30.
    pub video_bitrate_bps: u32,
}

impl EgressConfig {
    /// [`Self::max_lag_ms`] in microseconds.
    pub(crate) fn max_lag_us(&self) -> i64 {
        i64::try_from(self.max_lag_ms.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            gather_ms: 0,
            max_lag_ms: 2_000,
            overflow: Overflow::default(),
            stuck_timeout_ms: 15_000,
            send_buffer_bytes: 131_072,
            transcode_audio: true,
            audio_bitrate_bps: 128_000,
            transcode_video: true,
            max_video_transcodes: 0,
            video_bitrate_bps: 0,
        }
    }
}

/// HLS and LL-HLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HlsConfig {
    /// Whether parts of segments are offered (LL-HLS). Default true; players that do not know them take whole segments.
    pub low_latency: bool,
    /// How long a part is, in milliseconds, 50 to 2,000. Default 200. Shorter: less latency, more requests.
    pub part_ms: u32,
    /// How long a segment is, in milliseconds, 500 to 60,000; cut at keyframes near it. Default 2,000.
    pub segment_ms: u32,
    /// How many segments a playlist lists, 3 to 10,000. Default 7: how far a viewer can seek back.
    pub window_segments: usize,
    /// How long packaging goes on without a request, in milliseconds, and how long a viewer counts that asks no more.
    /// Default 15,000.
    pub idle_ms: u64,
}

impl Default for HlsConfig {
    fn default() -> Self {
        Self { low_latency: true, part_ms: 200, segment_ms: 2_000, window_segments: 7, idle_ms: 15_000 }
    }
}

/// SRT, for those who connect to us and for those we connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SrtConfig {
    /// How long packets wait for repeats of those that were lost, in milliseconds. Default 120, at most 60,000. A peer that
    /// asks for more gets more. Four times the round-trip time rides out 5 % loss.
    pub latency_ms: u16,
    /// The passphrase everybody must have, 10 to 79 bytes. Default none: nothing is encrypted, and whoever encrypts is refused.
    #[serde(skip_serializing, deserialize_with = "passphrase")]
    pub passphrase: Option<Passphrase>,
    /// How long the AES key is where we choose it, in bytes: 16, 24 or 32. Default 16. Who connects to us chooses.
    pub key_bytes: u8,
    /// How long packets are gathered before they are sent to viewers, in milliseconds, 1 to 100. Default 20; 10 costs half as
    /// much CPU again, and 33 a fifth less.
    pub gather_ms: u16,
    /// The payload of a packet, in bytes: whole packets of MPEG-TS, 188 to 1,316. Default 1,316. Less where a tunnel on the way
    /// carries less.
    pub payload_bytes: u16,
    /// The most that is sent to one viewer or target, repeats included, in bits per second. Default 0: as much as the stream has,
    /// and a quarter more for repeats.
    pub max_bandwidth_bps: u64,
    /// Packets on their way to one peer at most, and what is kept of one publisher while a lost one is missing, 32 to 65,536.
    /// Default 8,192: with 1,316 bytes, 86 Mbit/s over a second.
    pub flow_window_packets: u32,
    /// How long a peer may say nothing before it is gone, in milliseconds. Default 5,000. Peers say something every second.
    pub peer_timeout_ms: u64,
    /// Sockets, each with a task, that share the work of the listener. Default 0: one per core.
    pub shards: usize,
}

impl Default for SrtConfig {
    fn default() -> Self {
        Self {
            latency_ms: 120,
            passphrase: None,
            key_bytes: 16,
            gather_ms: 20,
            payload_bytes: 1_316,
            max_bandwidth_bps: 0,
            flow_window_packets: 8_192,
            peer_timeout_ms: 5_000,
            shards: 0,
        }
    }
}

fn passphrase<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Passphrase>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(Passphrase::new).transpose().map_err(serde::de::Error::custom)
}

impl HlsConfig {
    pub(crate) fn packager(&self, run: String) -> cruvz_media::hls::Config {
        let mut config = cruvz_media::hls::Config::new(run);
        config.low_latency = self.low_latency;
        config.part_target_ms = self.part_ms;
        config.segment_target_ms = self.segment_ms;
        config.window_segments = self.window_segments;
        // A viewer may hold a playlist as old as it is long (bis §6.2.2).
        config.retained_segments = self.window_segments.max(config.retained_segments).min(10_000);
        config
    }
}
