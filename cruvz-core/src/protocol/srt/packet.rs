//! One datagram: a data packet or a control packet (§3).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::{ControlPacket, Seq};

/// Bytes of the header that every packet begins with.
pub const HEADER_LEN: usize = 16;

/// Why a datagram is no SRT packet. Drop it and count it; it says nothing about the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Fewer bytes than a header.
    #[error("datagram of {0} bytes, want 16 at least")]
    TooShort(usize),
    /// A data packet whose key flag says "both", which only key material may say (§3.1).
    #[error("data packet {0} with both key flags")]
    KeyFlag(Seq),
    /// A control packet whose body is too short for its type.
    #[error("control packet of type {kind} with a body of {bytes} bytes")]
    ControlBody {
        /// The control type.
        kind: u16,
        /// Bytes behind the header.
        bytes: usize,
    },
    /// A loss list or a drop request with a range that has no end, or ends before it begins.
    #[error("range of lost packets at {0}")]
    Range(Seq),
    /// A loss list with more entries than [`control::MAX_LOSSES`](super::control::MAX_LOSSES).
    #[error("loss list of {0} bytes")]
    TooManyLosses(usize),
}

/// A socket id: what tells the connections on one UDP port apart. 0 stands for the listener itself.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId(pub u32);

impl SocketId {
    /// What a caller writes while it does not know the listener's id.
    pub const LISTENER: Self = Self(0);
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// Where a packet stands in its message. Live mode has one packet per message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Boundary {
    /// Neither the first nor the last.
    Middle,
    /// The last.
    Last,
    /// The first.
    First,
    /// The only one.
    #[default]
    Solo,
}

/// Which key a payload is encrypted with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyFlag {
    /// None: it is not encrypted.
    #[default]
    None,
    /// The even key.
    Even,
    /// The odd key.
    Odd,
}

/// The header of a data packet (§3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataHeader {
    /// The packet's number.
    pub seq: Seq,
    /// Where it stands in its message.
    pub boundary: Boundary,
    /// Whether messages are to be delivered in order. Live mode does so whatever it says.
    pub in_order: bool,
    /// What it is encrypted with.
    pub key: KeyFlag,
    /// Whether it was sent before.
    pub retransmitted: bool,
    /// The message's number: 26 bits that wrap.
    pub message: u32,
    /// Microseconds since the sender's connection began; wraps after 71 minutes.
    pub timestamp_us: u32,
    /// The receiver's socket id.
    pub destination: SocketId,
}

impl DataHeader {
    /// The largest message number; the one behind it is 1 in libsrt, and nobody looks.
    pub const MAX_MESSAGE: u32 = (1 << 26) - 1;

    /// The bytes of the header.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let boundary = match self.boundary {
            Boundary::Middle => 0,
            Boundary::Last => 1,
            Boundary::First => 2,
            Boundary::Solo => 3,
        };
        let key = match self.key {
            KeyFlag::None => 0,
            KeyFlag::Even => 1,
            KeyFlag::Odd => 2,
        };
        let message = boundary << 30
            | u32::from(self.in_order) << 29
            | key << 27
            | u32::from(self.retransmitted) << 26
            | self.message & Self::MAX_MESSAGE;
        encode_header([self.seq.value(), message, self.timestamp_us, self.destination.0])
    }

    fn parse([seq, message, timestamp_us, destination]: [u32; 4]) -> Result<Self, PacketError> {
        let seq = Seq::new(seq);
        let boundary = match message >> 30 {
            0 => Boundary::Middle,
            1 => Boundary::Last,
            2 => Boundary::First,
            _ => Boundary::Solo,
        };
        let key = match message >> 27 & 3 {
            0 => KeyFlag::None,
            1 => KeyFlag::Even,
            2 => KeyFlag::Odd,
            _ => return Err(PacketError::KeyFlag(seq)),
        };
        Ok(Self {
            seq,
            boundary,
            in_order: message >> 29 & 1 == 1,
            key,
            retransmitted: message >> 26 & 1 == 1,
            message: message & Self::MAX_MESSAGE,
            timestamp_us,
            destination: SocketId(destination),
        })
    }
}

/// A data packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataPacket {
    /// Its header.
    pub header: DataHeader,
    /// What it carries: in live mode up to 7 TS packets, 1,316 bytes.
    pub payload: Bytes,
}

/// Any packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// It carries media.
    Data(DataPacket),
    /// It steers the connection.
    Control(ControlPacket),
}

impl Packet {
    /// Reads one datagram. Payloads share its memory.
    ///
    /// # Errors
    /// What is wrong with it; unknown control types are no error.
    pub fn parse(mut datagram: Bytes) -> Result<Self, PacketError> {
        let words = header_words(&datagram).ok_or(PacketError::TooShort(datagram.len()))?;
        let rest = datagram.split_off(HEADER_LEN);
        if words[0] >> 31 == 1 {
            return ControlPacket::parse(words, rest).map(Self::Control);
        }
        let header = DataHeader::parse(words)?;
        Ok(Self::Data(DataPacket { header, payload: rest }))
    }

    /// The receiver's socket id of a datagram, by which it finds its connection; `None` if it is too short.
    pub fn destination(datagram: &[u8]) -> Option<SocketId> {
        header_words(datagram).map(|words| SocketId(words[3]))
    }

    /// Appends the bytes of the packet.
    pub fn write(&self, out: &mut impl BufMut) {
        match self {
            Self::Data(packet) => {
                out.put_slice(&packet.header.encode());
                out.put_slice(&packet.payload);
            }
            Self::Control(packet) => packet.write(out),
        }
    }

    /// The bytes of the packet.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + 64);
        self.write(&mut out);
        out.freeze()
    }
}

/// The four words of a header.
fn header_words(datagram: &[u8]) -> Option<[u32; 4]> {
    let header = datagram.first_chunk::<HEADER_LEN>()?;
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(header.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    Some(words)
}

/// The bytes of a header's four words.
pub(super) fn encode_header(words: [u32; 4]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    for (bytes, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_be_bytes();
    }
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::srt::Control;

    /// The first data packet of `ffmpeg -f mpegts srt://…?passphrase=…` (libsrt 1.5), its payload cut short.
    const ENCRYPTED: [u8; 20] =
        [0x1e, 0x4e, 0xb7, 0xb1, 0xe8, 0, 0, 1, 0, 0, 0x2a, 0xf3, 0x0f, 0x33, 0x86, 0xd8, 1, 2, 3, 4];

    #[test]
    fn a_data_packet_is_read_field_by_field() {
        let Ok(Packet::Data(packet)) = Packet::parse(Bytes::from_static(&ENCRYPTED)) else {
            panic!("no data packet")
        };
        let header = DataHeader {
            seq: Seq::new(0x1e4e_b7b1),
            boundary: Boundary::Solo,
            in_order: true,
            key: KeyFlag::Even,
            retransmitted: false,
            message: 1,
            timestamp_us: 0x2af3,
            destination: SocketId(0x0f33_86d8),
        };
        assert_eq!(packet, DataPacket { header, payload: Bytes::from_static(&[1, 2, 3, 4]) });
        assert_eq!(Packet::Data(packet).to_bytes(), ENCRYPTED[..]);
        assert_eq!(Packet::destination(&ENCRYPTED), Some(header.destination));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for length in 0..HEADER_LEN {
            let datagram = Bytes::copy_from_slice(&ENCRYPTED[..length]);
            assert_eq!(Packet::parse(datagram), Err(PacketError::TooShort(length)));
        }
        let mut both_keys = ENCRYPTED;
        both_keys[4] = 0xf8;
        let error = Packet::parse(Bytes::copy_from_slice(&both_keys)).unwrap_err();
        assert_eq!(error.to_string(), "data packet 508475313 with both key flags");
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(datagram in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..10) {
            for first in [None, Some(0x80)] {
                let mut datagram = datagram.clone();
                if let (Some(first), [a, b, ..]) = (first, &mut datagram[..]) {
                    (*a, *b) = (first, kind);
                }
                let Ok(packet) = Packet::parse(datagram.clone().into()) else { continue };
                let written = packet.to_bytes();
                prop_assert_eq!(Packet::parse(written.clone()), Ok(packet.clone()));
                if matches!(packet, Packet::Data(_)) {
                    prop_assert_eq!(&written[..], &datagram[..]);
                }
            }
        }

        #[test]
        fn a_user_defined_type_of_any_kind_is_no_error(subtype in any::<u16>(), body in prop::collection::vec(any::<u8>(), 0..40)) {
            // One such datagram ends the listener of a crate that slices without looking.
            let mut datagram = vec![0xff, 0xff];
            datagram.extend(subtype.to_be_bytes());
            datagram.extend([0; 12]);
            datagram.extend(&body);
            let Ok(Packet::Control(packet)) = Packet::parse(datagram.into()) else { panic!("refused") };
            match packet.body {
                Control::KeyMaterialRequest(bytes) => prop_assert_eq!((subtype, &bytes[..]), (3, &body[..])),
                Control::KeyMaterialResponse(bytes) => prop_assert_eq!((subtype, &bytes[..]), (4, &body[..])),
                Control::Unknown { kind, subtype: same, body: bytes, .. } => {
                    prop_assert_eq!((kind, same, &bytes[..]), (0x7fff, subtype, &body[..]));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
