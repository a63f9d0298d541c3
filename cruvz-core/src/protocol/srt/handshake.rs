//! The handshake packet (§3.2.1).

use core::net::IpAddr;
use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Extension, Reject, Seq, SocketId};

/// Bytes of a handshake without extensions.
pub const HANDSHAKE_LEN: usize = 48;

/// What an induction's answer has in the extension field, to show that it knows version 5.
pub(super) const MAGIC: u16 = 0x4a17;

/// The socket type of a datagram socket, which stands where version 5 has its extension field.
const DATAGRAM: u16 = 2;

/// Why bytes are no handshake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Fewer bytes than a handshake has.
    #[error("handshake of {0} bytes, want 48 at least")]
    TooShort(usize),
    /// An extension that does not fit in the packet, or is no extension of its type.
    #[error("handshake extension of type {kind} with {bytes} bytes")]
    Extension {
        /// The type.
        kind: u16,
        /// The length it declares.
        bytes: usize,
    },
    /// Too many extensions.
    #[error("more than {0} handshake extensions")]
    TooManyExtensions(usize),
}

/// How far a handshake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Rendezvous: anybody there?
    WaveAHand,
    /// A caller asks for a cookie, or a listener gives one.
    Induction,
    /// What is wanted, or what was agreed upon.
    Conclusion,
    /// Rendezvous: the end.
    Agreement,
    /// It is over.
    Reject(Reject),
    /// Anything else.
    Unknown(u32),
}

impl Stage {
    const fn parse(value: u32) -> Self {
        match value.cast_signed() {
            0 => Self::WaveAHand,
            1 => Self::Induction,
            -1 => Self::Conclusion,
            -2 => Self::Agreement,
            _ => match Reject::from_request_type(value) {
                Some(reject) => Self::Reject(reject),
                None => Self::Unknown(value),
            },
        }
    }

    const fn value(self) -> u32 {
        match self {
            Self::WaveAHand => 0,
            Self::Induction => 1,
            Self::Conclusion => u32::MAX,
            Self::Agreement => u32::MAX - 1,
            Self::Reject(reject) => reject.request_type(),
            Self::Unknown(value) => value,
        }
    }
}

/// A handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// 5; 4 in a caller's induction and from peers before SRT 1.3.
    pub version: u32,
    /// The key length that its sender announces, in units of 8 bytes: 0 (none), 2, 3 or 4.
    pub key_length: u16,
    /// Which extensions follow; other things in an induction. [`to_bytes`](Self::to_bytes) fills it in if they follow.
    pub extension_field: u16,
    /// The number of the first packet that its sender will send.
    pub initial_seq: Seq,
    /// The largest IP packet that its sender takes, in bytes.
    pub mtu: u32,
    /// Packets that may be under way to its sender.
    pub flow_window: u32,
    /// How far it is.
    pub stage: Stage,
    /// The socket id of its sender.
    pub socket_id: SocketId,
    /// The cookie.
    pub cookie: Cookie,
    /// The receiver's address as its sender sees it.
    pub address: Address,
    /// What follows.
    pub extensions: Vec<Extension>,
}

/// The number by which a caller shows that it gets what is sent to its address.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Cookie(pub u32);

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// An IP address as four words, each least significant byte first; IPv4 takes one. Nobody needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Address(pub [u8; 16]);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let mut words = [0; 16];
        match address.to_canonical() {
            IpAddr::V4(address) => words[..4].copy_from_slice(&address.octets()),
            IpAddr::V6(address) => words = address.octets(),
        }
        words.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        Self(words)
    }
}

impl Handshake {
    /// Reads the body of a handshake packet.
    ///
    /// # Errors
    /// What is wrong with it. Whether its numbers make sense is for those to say who know what they wait for.
    pub fn parse(mut body: Bytes) -> Result<Self, HandshakeError> {
        let mut handshake = Self::parse_head(&mut body)?;
        handshake.extensions = handshake.parse_extensions(body)?;
        Ok(handshake)
    }

    /// Reads all but the extensions, and leaves these in `body`.
    pub(super) fn parse_head(body: &mut Bytes) -> Result<Self, HandshakeError> {
        if body.len() < HANDSHAKE_LEN {
            return Err(HandshakeError::TooShort(body.len()));
        }
        Ok(Self {
            version: body.get_u32(),
            key_length: body.get_u16(),
            extension_field: body.get_u16(),
            initial_seq: Seq::new(body.get_u32()),
            mtu: body.get_u32(),
            flow_window: body.get_u32(),
            stage: Stage::parse(body.get_u32()),
            socket_id: SocketId(body.get_u32()),
            cookie: Cookie(body.get_u32()),
            address: Address(std::array::from_fn(|_| body.get_u8())),
            extensions: Vec::new(),
        })
    }

    /// Reads what stands behind the head.
    pub(super) fn parse_extensions(&self, rest: Bytes) -> Result<Vec<Extension>, HandshakeError> {
        match self.stage {
            Stage::Conclusion | Stage::Agreement if self.version >= 5 => Extension::parse_all(rest),
            _ => Ok(Vec::new()),
        }
    }

    /// The bytes of the body.
    pub fn to_bytes(&self) -> Bytes {
        let announced = self.extensions.iter().fold(0, |all, extension| all | extension.announced());
        let mut out = BytesMut::with_capacity(HANDSHAKE_LEN + 256);
        out.put_u32(self.version);
        out.put_u16(self.key_length);
        out.put_u16(if announced == 0 { self.extension_field } else { announced });
        out.put_u32(self.initial_seq.value());
        out.put_u32(self.mtu);
        out.put_u32(self.flow_window);
        out.put_u32(self.stage.value());
        out.put_u32(self.socket_id.0);
        out.put_u32(self.cookie.0);
        out.put_slice(&self.address.0);
        self.extensions.iter().for_each(|extension| extension.write(&mut out));
        out.freeze()
    }

    /// A caller's induction, which is of version 4 to suit the listeners of old.
    pub(super) fn induction(initial_seq: Seq, mtu: u32, flow_window: u32, socket_id: SocketId) -> Self {
        Self {
            version: 4,
            key_length: 0,
            extension_field: DATAGRAM,
            initial_seq,
            mtu,
            flow_window,
            stage: Stage::Induction,
            socket_id,
            cookie: Cookie::default(),
            address: Address::default(),
            extensions: Vec::new(),
        }
    }

    /// Whether its numbers make sense (libsrt's rule for a conclusion).
    pub(super) const fn is_sane(&self) -> bool {
        self.version >= 4 && self.mtu >= 32 && self.flow_window >= 2
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_one_or_four_words() {
        let v4 = Address::from("127.0.0.2".parse::<IpAddr>().unwrap());
        assert_eq!(v4.0, [2, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Address::from("::ffff:127.0.0.2".parse::<IpAddr>().unwrap()), v4);
        let v6 = Address::from("2001:db8::1".parse::<IpAddr>().unwrap());
        assert_eq!(v6.0, [0xb8, 0x0d, 1, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_short_one_is_refused() {
        for length in 0..HANDSHAKE_LEN {
            assert_eq!(Handshake::parse(vec![0; length].into()), Err(HandshakeError::TooShort(length)));
        }
    }

    #[test]
    fn an_old_one_has_no_extensions_whatever_follows() {
        let mut bytes =
            BytesMut::from(&Handshake::induction(Seq::new(7), 1500, 8192, SocketId(1)).to_bytes()[..]);
        bytes.put_slice(&[0xff; 40]);
        let handshake = Handshake::parse(bytes.freeze()).unwrap();
        assert_eq!(handshake, Handshake::induction(Seq::new(7), 1500, 8192, SocketId(1)));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_so_that_it_reads_the_same(
            head in prop::collection::vec(any::<u8>(), HANDSHAKE_LEN),
            blocks in prop::collection::vec((0u16..12, prop::collection::vec(any::<u8>(), 0..40)), 0..5),
            cut in 0usize..8,
        ) {
            let mut bytes = head;
            bytes[..4].copy_from_slice(&[0, 0, 0, 5]);
            bytes[20..24].copy_from_slice(&[0xff; 4]);
            for (kind, body) in blocks {
                let body = &body[..body.len() / 4 * 4];
                bytes.extend(kind.to_be_bytes());
                bytes.extend((body.len() as u16 / 4).to_be_bytes());
                bytes.extend(body);
            }
            bytes.truncate(bytes.len() - cut);
            if let Ok(handshake) = Handshake::parse(bytes.into()) {
                let again = Handshake::parse(handshake.to_bytes()).unwrap();
                prop_assert_eq!(&again.extensions, &handshake.extensions);
                prop_assert_eq!(again.to_bytes(), handshake.to_bytes());
            }
        }
    }
}
