//! What the handshake agreed on.

use core::net::SocketAddr;
use std::time::Duration;

use super::{Crypto, Flags, Seq, SocketId, Version};

/// Bytes of the IPv4 and UDP headers that an MTU includes. libsrt takes it for IPv6, too.
pub(super) const UDP_HEADER_LEN: u32 = 28;

/// A connection that the handshake has made: where [`Connection`](super::Connection) starts from.
#[derive(Debug)]
pub struct Established {
    /// Our socket id: what the peer writes as destination.
    pub local: SocketId,
    /// The peer's socket id: what we write as destination.
    pub peer: SocketId,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The number of the first packet that we send.
    pub send_seq: Seq,
    /// The number of the first packet that the peer sends.
    pub receive_seq: Seq,
    /// How long after it was made the peer delivers what we send (TSBPD delay, §4.5).
    pub send_latency: Duration,
    /// How long after it was made we deliver what the peer sends.
    pub receive_latency: Duration,
    /// What the peer can do.
    pub peer_flags: PeerFlags,
    /// The peer's version.
    pub peer_version: Version,
    /// The longest payload that fits in a packet of the agreed MTU, in bytes, without a tag of GCM: 1,456 by
    /// default. Less than 1,316 is possible, and 7 TS packets then do not fit.
    pub payload_bytes: usize,
    /// Packets that the peer's buffer has room for.
    pub flow_window: u32,
    /// The keys; `None` if nothing is encrypted.
    pub crypto: Option<Crypto>,
    /// Our clock's time at timestamp 0 of what we send.
    pub started: Duration,
    /// The timestamp of the handshake packet with the peer's HSREQ or HSRSP, in microseconds, and when it came: the
    /// peer's clock beside ours.
    pub peer_clock: (u32, Duration),
}

/// The flags of the HSREQ or HSRSP extension (§3.2.1.1.1) that the flow of packets depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerFlags {
    /// It drops packets that come too late (TLPKTDROP), so that late ones need not be repeated.
    pub too_late_drop: bool,
    /// It repeats its loss reports (PERIODICNAK), so that silence means that nothing is lost.
    pub periodic_nak: bool,
    /// It marks the packets that it repeats (REXMITFLG).
    pub retransmit_flag: bool,
}

impl From<Flags> for PeerFlags {
    fn from(flags: Flags) -> Self {
        Self {
            too_late_drop: flags.contains(Flags::TOO_LATE_DROP),
            periodic_nak: flags.contains(Flags::PERIODIC_NAK),
            retransmit_flag: flags.contains(Flags::RETRANSMIT_FLAG),
        }
    }
}
