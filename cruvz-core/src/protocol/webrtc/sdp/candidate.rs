//! Where this side can be reached (RFC 8839 §5.1, RFC 6544).

use std::{fmt, net::SocketAddr};

/// How an address is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CandidateTransport {
    /// By datagrams.
    Udp,
    /// By a TCP connection that the peer opens.
    TcpPassive,
}

/// An address of this side. All are host candidates: a public address that a router or a container host maps to this one is
/// said as if it were ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// How it is reached.
    pub transport: CandidateTransport,
    /// The address.
    pub address: SocketAddr,
}

impl Candidate {
    /// What follows `a=candidate:`, for the candidate at `rank` in the order of preference. Only RTP has a component, as RTCP
    /// goes with it.
    pub(super) fn value(&self, rank: usize) -> impl fmt::Display + use<> {
        let (ip, port) = (self.address.ip(), self.address.port());
        let rank = u32::try_from(rank).unwrap_or(u32::MAX);
        let foundation = rank.saturating_add(1);
        let (transport, suffix) = match self.transport {
            CandidateTransport::Udp => ("udp", ""),
            CandidateTransport::TcpPassive => ("tcp", " tcptype passive"),
        };
        let priority = self.priority(rank);
        fmt::from_fn(move |f| write!(f, "{foundation} 1 {transport} {priority} {ip} {port} typ host{suffix}"))
    }

    /// RFC 8445 §5.1.2.1 with 126 as preference of host candidates; RFC 6544 §4.2 with less for TCP, and 4 for passive ones.
    fn priority(&self, rank: u32) -> u32 {
        let (kind, local) = match self.transport {
            CandidateTransport::Udp => (126, 0xffff - rank.min(0xffff)),
            CandidateTransport::TcpPassive => (90, 4 << 13 | (0x1fff - rank.min(0x1fff))),
        };
        kind << 24 | local << 8 | 0xff
    }
}
