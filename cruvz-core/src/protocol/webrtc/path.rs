//! Where datagrams come from, and what they are.

use core::{fmt, net::SocketAddr};

/// One way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// The peer's address as we see it.
    pub remote: SocketAddr,
    /// What carries the datagrams.
    pub carrier: Carrier,
}

/// What carries datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// UDP.
    #[default]
    Udp,
    /// A TCP connection on which each datagram has its length before it (RFC 4571, RFC 6544).
    Tcp,
}

impl Path {
    /// UDP to and from `remote`.
    pub fn udp(remote: SocketAddr) -> Self {
        Self { remote, carrier: Carrier::Udp }
    }

    /// The TCP connection with `remote`.
    pub fn tcp(remote: SocketAddr) -> Self {
        Self { remote, carrier: Carrier::Tcp }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = match self.carrier {
            Carrier::Udp => "UDP",
            Carrier::Tcp => "TCP",
        };
        write!(f, "{} over {over}", self.remote)
    }
}

/// What a datagram is, by its first byte (RFC 7983 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// STUN: 0 to 3.
    Stun,
    /// DTLS: 20 to 63.
    Dtls,
    /// RTP and RTCP, encrypted: 128 to 191.
    Media,
}

impl Kind {
    /// What `datagram` is; `None` for what belongs to nobody.
    pub fn of(datagram: &[u8]) -> Option<Self> {
        match datagram.first()? {
            0..=3 => Some(Self::Stun),
            20..=63 => Some(Self::Dtls),
            128..=191 => Some(Self::Media),
            _ => None,
        }
    }
}

/// Whether a datagram of [`Kind::Media`] is RTCP: packet types 192 to 223, which no RTP payload type may look like
/// (RFC 5761 §4).
pub(super) fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|byte| (192..=223).contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_what_a_datagram_is() {
        let kinds =
            |bytes: std::ops::RangeInclusive<u8>| bytes.map(|byte| Kind::of(&[byte])).collect::<Vec<_>>();
        assert!(kinds(0..=3).iter().all(|kind| *kind == Some(Kind::Stun)));
        assert!(kinds(20..=63).iter().all(|kind| *kind == Some(Kind::Dtls)));
        assert!(kinds(128..=191).iter().all(|kind| *kind == Some(Kind::Media)));
        // ZRTP, TURN channels and what has no meaning.
        assert!(
            [4..=19, 64..=127, 192..=255].into_iter().all(|range| kinds(range).iter().all(Option::is_none))
        );
        assert_eq!(Kind::of(&[]), None);
    }

    #[test]
    fn rtcp_is_told_from_rtp_with_and_without_marker() {
        assert!([192, 200, 201, 205, 206, 207, 223].iter().all(|kind| is_rtcp(&[0x80, *kind])));
        assert!(
            [0, 63, 96, 127, 0x80 | 96, 0x80 | 127, 0x80 | 63].iter().all(|kind| !is_rtcp(&[0x80, *kind]))
        );
        assert!(!is_rtcp(&[0x80]));
    }
}
