//! What the SRT connections of an engine share.

pub(crate) mod client;
pub(crate) mod link;

use self::link::Media;
use std::{sync::Arc, time::Duration};

use crate::{
    EngineConfig,
    egress::ring::{RingOptions, Rings},
    hub::log::Retention,
    protocol::srt::{Bandwidth, ConnectionConfig, LinkConfig},
};

/// The share of a stream's rate that repeats may have on top.
const OVERHEAD_PERCENT: u32 = 25;

/// The packets of streams, and the options of connections.
#[derive(Clone)]
pub(crate) struct Srt {
    pub(crate) rings: Rings,
    /// What we want of a connection.
    pub(crate) link: LinkConfig,
    /// How long packets are gathered before they are sent.
    pub(crate) gather: Duration,
    receiving: Arc<ConnectionConfig>,
    sending: Arc<ConnectionConfig>,
}

impl Srt {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let srt = &config.srt;
        let gather = Duration::from_millis(srt.gather_ms.clamp(1, 100).into());
        let retention = Retention {
            time_us: i64::try_from(config.hub.log_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            bytes: config.hub.log_max_bytes,
        };
        let payload_bytes = srt.payload_bytes.clamp(188, 1_316) / 188 * 188;
        let rings = Rings::new(RingOptions { payload_bytes: payload_bytes.into(), gather, retention });
        let bandwidth = match srt.max_bandwidth_bps {
            0 => Bandwidth::Input { bytes_per_second: None, overhead_percent: OVERHEAD_PERCENT },
            bps => Bandwidth::Max(bps.div_ceil(8)),
        };
        let receiving = ConnectionConfig {
            receive_packets: srt.flow_window_packets.clamp(32, 65_536) as usize,
            bandwidth,
            gather,
            peer_idle: Duration::from_millis(srt.peer_timeout_ms),
            ..ConnectionConfig::default()
        };
        let sending = ConnectionConfig { receive: false, ..receiving.clone() };
        let latency = Duration::from_millis(srt.latency_ms.into());
        let link = LinkConfig {
            passphrase: srt.passphrase.clone(),
            receive_latency: latency,
            send_latency: latency,
            flow_window: srt.flow_window_packets.clamp(32, 65_536),
            ..LinkConfig::default()
        };
        Self { rings, link, gather, receiving: Arc::new(receiving), sending: Arc::new(sending) }
    }

    /// The options of a connection that brings us `media`, or takes it; that sends at most `max_bps`, if that is said.
    pub(crate) fn connection(&self, media: &Media, max_bps: Option<u64>) -> Arc<ConnectionConfig> {
        let config = match media {
            Media::In(_) => &self.receiving,
            Media::Out(_) => &self.sending,
        };
        match max_bps.filter(|bps| *bps > 0) {
            None => Arc::clone(config),
            Some(bps) => Arc::new(ConnectionConfig {
                bandwidth: Bandwidth::Max(bps.div_ceil(8)),
                ..(**config).clone()
            }),
        }
    }
}
