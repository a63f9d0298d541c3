//! What may be set for a connection.

use std::time::Duration;

/// Limits and manners of one connection. The defaults suit live media over the internet.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Whether to take media from the peer. A player that sends media is not listened to: its packets are counted
    /// and cost nothing. Default `true`.
    pub receive: bool,
    /// Packets that the receiver holds, from the first that was not delivered to the newest. More delay or more
    /// bitrate needs more; what is beyond is passed over. Default 8,192: 2 s at 40 Mbit/s.
    pub receive_packets: usize,
    /// Bytes of payload that the receiver holds. Default 16 MiB.
    pub receive_bytes: usize,
    /// The longest that a loss report waits for a packet that may only be late. The wait grows from 0 as packets
    /// are seen to overtake each other, and shrinks again; it never takes more than an eighth of the latency, as
    /// that is taken from the time for repeating. Default 50 ms; 0 reports at once, as libsrt does.
    pub reorder_tolerance: Duration,
    /// How fast to send. Default [`Bandwidth::Unlimited`].
    pub bandwidth: Bandwidth,
    /// Packets repeated beyond those sent for the first time: repeating may at most double the traffic, apart from
    /// this. Also the most that one loss report may ask for. Default 512.
    pub repeat_burst: u32,
    /// How long the driver gathers packets before it sends; a packet is repeated once in this time at most, even if
    /// the round trip is shorter. Default 20 ms.
    pub gather: Duration,
    /// How long media waits for a sign that the peer is ready: it may not have our last handshake packet yet, and
    /// what comes before is lost. It is asked at each `gather`, and answers within a round trip. Default 500 ms.
    pub start_patience: Duration,
    /// The most segments of one send: the kernel takes 64 at most. Default 48: 64 KiB of full packets.
    pub run_segments: usize,
    /// Silence after which the peer is gone. Default 5 s, as in libsrt.
    pub peer_idle: Duration,
    /// Our own silence after which we send a keep-alive. Default 1 s, as in libsrt.
    pub keep_alive: Duration,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            receive: true,
            receive_packets: 8_192,
            receive_bytes: 16 << 20,
            reorder_tolerance: Duration::from_millis(50),
            bandwidth: Bandwidth::default(),
            repeat_burst: 512,
            gather: Duration::from_millis(20),
            start_patience: Duration::from_millis(500),
            run_segments: 48,
            peer_idle: Duration::from_secs(5),
            keep_alive: Duration::from_secs(1),
        }
    }
}

/// How fast a sender may be (live congestion control, §5.1.1). Bytes count payload and SRT headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bandwidth {
    /// As fast as packets come, key frames in one burst (libsrt's default, `maxbw=-1`).
    #[default]
    Unlimited,
    /// At most this many bytes per second (`maxbw`).
    Max(u64),
    /// As fast as the input, and more by a share for what is repeated (`inputbw` and `oheadbw`). It spreads key
    /// frames, but not for longer than an eighth of the latency, and holds back nothing that is repeated: the time
    /// would be missing for mending losses.
    Input {
        /// The input's bytes per second; `None` measures them.
        bytes_per_second: Option<u64>,
        /// The share for what is repeated and for bursts. libsrt has 25 by default.
        overhead_percent: u32,
    },
}
