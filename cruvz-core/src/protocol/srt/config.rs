//! What a side wants of a connection.

use std::time::Duration;

use super::established::UDP_HEADER_LEN;
use super::packet::HEADER_LEN;
use super::{Flags, Handshake, Hello, KeyRefresh, Passphrase, Version};

/// The wishes of one side; what holds is agreed upon in the handshake.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// The secret that both sides must know; `None` for a connection without encryption. A side that has one refuses
    /// a peer that has none, and the other way round.
    pub passphrase: Option<Passphrase>,
    /// How long we hold back what the peer sends, so that lost packets can be sent again in time. Default 120 ms;
    /// four round trips are good. The larger one of the two sides' wishes holds. At most 65,535 ms.
    pub receive_latency: Duration,
    /// How long the peer is to hold back what we send. Default 120 ms, with the same rule.
    pub send_latency: Duration,
    /// The largest IP packet, in bytes. Default 1,500. The smaller one of the two sides' holds.
    pub mtu: u32,
    /// Packets that may be under way to us. Default 8,192, or 86 Mbit/s at a second's latency.
    pub flow_window: u32,
    /// When we renew our key.
    pub key_refresh: KeyRefresh,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            passphrase: None,
            receive_latency: Duration::from_millis(120),
            send_latency: Duration::from_millis(120),
            mtu: 1_500,
            flow_window: 8_192,
            key_refresh: KeyRefresh::default(),
        }
    }
}

impl LinkConfig {
    /// What we say to begin with.
    pub(super) const fn hello(&self) -> Hello {
        Hello {
            version: Version::OURS,
            flags: Flags::OURS,
            receive_latency: self.receive_latency,
            send_latency: self.send_latency,
        }
    }

    /// What we answer to `hello`, and the latencies that hold from then on: the larger wish for each direction.
    pub(super) fn answer(&self, hello: &Hello) -> Hello {
        Hello {
            receive_latency: self.receive_latency.max(hello.send_latency),
            send_latency: self.send_latency.max(hello.receive_latency),
            ..self.hello()
        }
    }

    /// The MTU that suits both sides.
    pub(super) fn agreed_mtu(&self, peer: &Handshake) -> u32 {
        self.mtu.min(peer.mtu)
    }
}

/// The longest payload in a packet of `mtu` bytes.
pub(super) const fn payload_bytes(mtu: u32) -> usize {
    mtu.saturating_sub(UDP_HEADER_LEN + HEADER_LEN as u32) as usize
}
