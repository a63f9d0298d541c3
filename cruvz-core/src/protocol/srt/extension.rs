//! What stands behind a handshake in version 5 (§3.2.1.1 to §3.2.1.3).

use std::fmt;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::StreamIdText;
use super::handshake::HandshakeError;

/// The most blocks that a handshake may have; real ones have up to 4.
pub const MAX_EXTENSIONS: usize = 16;

/// The longest text in a block, in bytes: that of a stream id (libsrt `SRTO_STREAMID`).
pub const MAX_TEXT_BYTES: usize = 512;

/// Block types (§3.2.1, table 5).
mod kind {
    pub(super) const HELLO_REQUEST: u16 = 1;
    pub(super) const HELLO_RESPONSE: u16 = 2;
    pub(super) const KEY_MATERIAL_REQUEST: u16 = 3;
    pub(super) const KEY_MATERIAL_RESPONSE: u16 = 4;
    pub(super) const STREAM_ID: u16 = 5;
    pub(super) const CONGESTION: u16 = 6;
    pub(super) const FILTER: u16 = 7;
    pub(super) const GROUP: u16 = 8;
}

/// Bits of a handshake's extension field that announce blocks (§3.2.1, table 4).
mod announced {
    pub(super) const HELLO: u16 = 1;
    pub(super) const KEY_MATERIAL: u16 = 2;
    pub(super) const CONFIG: u16 = 4;
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extension {
    /// What the initiator can do.
    HelloRequest(Hello),
    /// What the responder can do.
    HelloResponse(Hello),
    /// The initiator's key, wrapped.
    KeyMaterialRequest(Bytes),
    /// The same bytes as an answer that it was taken, or 4 bytes that say why not.
    KeyMaterialResponse(Bytes),
    /// What the caller asks for, to be read as a [`StreamId`](super::StreamId).
    StreamId(StreamIdText),
    /// The congestion control; nothing stands for `live`.
    Congestion(String),
    /// The packet filter, as `fec,cols:10`.
    Filter(String),
    /// The socket group that the connection is to belong to.
    Group(Bytes),
    /// Anything else.
    Unknown {
        /// The block's type.
        kind: u16,
        /// Its content.
        body: Bytes,
    },
}

/// What one side can do and how long it wants packets held back (§3.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of its SRT.
    pub version: Version,
    /// What it does.
    pub flags: Flags,
    /// How long it holds back what it receives, in whole milliseconds up to 65,535.
    pub receive_latency: Duration,
    /// How long the other side is to hold back what it receives.
    pub send_latency: Duration,
}

/// A version of SRT, `0x00010504` for 1.5.4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u32);

impl Version {
    /// The first with handshakes of version 5.
    pub const MINIMUM: Self = Self(0x0001_0300);
    /// Whose behaviour this module has. libsrt builds its GCM nonces anew from here on, so it is not just a label.
    pub const OURS: Self = Self(0x0001_0504);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0 >> 16, self.0 >> 8 & 0xff, self.0 & 0xff)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What one side does (§3.2.1.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// It sends with timestamps to be delivered by.
    pub const TSBPD_SEND: Self = Self(1);
    /// It delivers by timestamps.
    pub const TSBPD_RECV: Self = Self(1 << 1);
    /// It can encrypt.
    pub const CRYPT: Self = Self(1 << 2);
    /// It drops what is too late.
    pub const TOO_LATE_DROP: Self = Self(1 << 3);
    /// It repeats its loss reports.
    pub const PERIODIC_NAK: Self = Self(1 << 4);
    /// It knows the flag for what is sent again.
    pub const RETRANSMIT_FLAG: Self = Self(1 << 5);
    /// It wants a stream of bytes, not messages.
    pub const STREAM: Self = Self(1 << 6);
    /// It knows packet filters.
    pub const FILTER: Self = Self(1 << 7);
    /// What we do: all of live mode, without filters.
    pub const OURS: Self = Self(0x3f);

    /// Whether all of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Hello {
    fn parse(mut body: &[u8]) -> Option<Self> {
        let version = Version(body.try_get_u32().ok()?);
        let flags = Flags(body.try_get_u32().ok()?);
        let mut latency = || body.try_get_u16().ok().map(|ms| Duration::from_millis(ms.into()));
        Some(Self { version, flags, receive_latency: latency()?, send_latency: latency()? })
    }

    fn write(&self, out: &mut impl BufMut) {
        let latency = |latency: Duration| u16::try_from(latency.as_millis()).unwrap_or(u16::MAX);
        out.put_u32(self.version.0);
        out.put_u32(self.flags.0);
        out.put_u16(latency(self.receive_latency));
        out.put_u16(latency(self.send_latency));
    }
}

impl Extension {
    /// Reads the blocks of a handshake; bytes at the end that make no whole word are passed over, as libsrt does.
    pub(super) fn parse_all(mut bytes: Bytes) -> Result<Vec<Self>, HandshakeError> {
        let mut blocks = Vec::new();
        while bytes.len() >= 4 {
            let (kind, words) = (bytes.get_u16(), usize::from(bytes.get_u16()));
            if bytes.len() < 4 * words {
                return Err(HandshakeError::Extension { kind, bytes: 4 * words });
            }
            if blocks.len() == MAX_EXTENSIONS {
                return Err(HandshakeError::TooManyExtensions(MAX_EXTENSIONS));
            }
            blocks.push(Self::parse(kind, bytes.split_to(4 * words))?);
        }
        Ok(blocks)
    }

    fn parse(kind: u16, body: Bytes) -> Result<Self, HandshakeError> {
        let bad = HandshakeError::Extension { kind, bytes: body.len() };
        let hello = || Hello::parse(&body).ok_or_else(|| bad.clone());
        let text = || parse_text(&body).ok_or_else(|| bad.clone());
        Ok(match kind {
            kind::HELLO_REQUEST => Self::HelloRequest(hello()?),
            kind::HELLO_RESPONSE => Self::HelloResponse(hello()?),
            kind::KEY_MATERIAL_REQUEST => Self::KeyMaterialRequest(body),
            kind::KEY_MATERIAL_RESPONSE => Self::KeyMaterialResponse(body),
            kind::STREAM_ID => Self::StreamId(text()?.into()),
            kind::CONGESTION => Self::Congestion(text()?),
            kind::FILTER => Self::Filter(text()?),
            kind::GROUP => Self::Group(body),
            _ => Self::Unknown { kind, body },
        })
    }

    /// Appends the block.
    pub(super) fn write(&self, out: &mut BytesMut) {
        let start = out.len();
        out.put_u16(self.kind());
        out.put_u16(0);
        match self {
            Self::HelloRequest(hello) | Self::HelloResponse(hello) => hello.write(out),
            Self::StreamId(text) => write_text(text.reveal(), out),
            Self::Congestion(text) | Self::Filter(text) => write_text(text, out),
            Self::KeyMaterialRequest(body)
            | Self::KeyMaterialResponse(body)
            | Self::Group(body)
            | Self::Unknown { body, .. } => out.put_slice(body),
        }
        out.put_bytes(0, (out.len() - start).next_multiple_of(4) - (out.len() - start));
        let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
        out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }

    const fn kind(&self) -> u16 {
        match self {
            Self::HelloRequest(_) => kind::HELLO_REQUEST,
            Self::HelloResponse(_) => kind::HELLO_RESPONSE,
            Self::KeyMaterialRequest(_) => kind::KEY_MATERIAL_REQUEST,
            Self::KeyMaterialResponse(_) => kind::KEY_MATERIAL_RESPONSE,
            Self::StreamId(_) => kind::STREAM_ID,
            Self::Congestion(_) => kind::CONGESTION,
            Self::Filter(_) => kind::FILTER,
            Self::Group(_) => kind::GROUP,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// The bit of the extension field that announces this block.
    pub(super) const fn announced(&self) -> u16 {
        match self.kind() {
            kind::HELLO_REQUEST | kind::HELLO_RESPONSE => announced::HELLO,
            kind::KEY_MATERIAL_REQUEST | kind::KEY_MATERIAL_RESPONSE => announced::KEY_MATERIAL,
            _ => announced::CONFIG,
        }
    }
}

/// Text is sent as little-endian words, so that each four bytes are the wrong way round (§3.2.1.3), with zeros behind.
fn parse_text(body: &[u8]) -> Option<String> {
    if body.is_empty() || body.len() > MAX_TEXT_BYTES {
        return None;
    }
    let mut text: Vec<u8> =
        body.as_chunks::<4>().0.iter().flat_map(|word| word.iter().rev()).copied().collect();
    text.truncate(text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    String::from_utf8(text).ok()
}

fn write_text(text: &str, out: &mut BytesMut) {
    if text.is_empty() {
        // A block of no words is refused, by libsrt as well.
        out.put_u32(0);
    }
    for chunk in text.as_bytes().chunks(4) {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        word.reverse();
        out.put_slice(&word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(extension: &Extension) -> Bytes {
        let mut out = BytesMut::new();
        extension.write(&mut out);
        out.freeze()
    }

    #[test]
    fn each_block_is_read_as_it_was_written() {
        let hello = Hello {
            version: Version::OURS,
            flags: Flags::OURS,
            receive_latency: Duration::from_millis(120),
            send_latency: Duration::from_millis(65_535),
        };
        let blocks = vec![
            Extension::HelloRequest(hello),
            Extension::HelloResponse(hello),
            Extension::KeyMaterialRequest(Bytes::from_static(&[1; 8])),
            Extension::KeyMaterialResponse(Bytes::from_static(&[0, 0, 0, 3])),
            Extension::StreamId("publish:live/cam".into()),
            Extension::StreamId("".into()),
            Extension::Congestion("file".into()),
            Extension::Filter("fec,cols:10,rows:5".into()),
            Extension::Group(Bytes::from_static(&[2; 8])),
            Extension::Unknown { kind: 99, body: Bytes::new() },
        ];
        let bytes: BytesMut = blocks.iter().map(written).collect::<Vec<_>>().concat().as_slice().into();
        assert_eq!(Extension::parse_all(bytes.freeze()), Ok(blocks));
    }

    #[test]
    fn text_is_turned_round_word_by_word() {
        let bytes = written(&Extension::StreamId("live/c".into()));
        assert_eq!(bytes[..], *b"\x00\x05\x00\x02evil\x00\x00c/");
    }

    #[test]
    fn a_block_must_not_lie_about_its_length() {
        for (kind, words, body) in [(5, 3, 8), (1, 2, 8), (0, 0xffff, 0), (5, 129, 516), (6, 0, 0)] {
            let mut bytes = BytesMut::new();
            bytes.put_u16(kind);
            bytes.put_u16(words);
            bytes.put_bytes(b'a', body);
            let error = Extension::parse_all(bytes.freeze()).unwrap_err();
            assert_eq!(error, HandshakeError::Extension { kind, bytes: 4 * usize::from(words) });
        }
        let not_text = Bytes::from_static(&[0, 5, 0, 1, 0xff, 0xfe, 0xff, 0xfe]);
        assert_eq!(
            Extension::parse_all(not_text).unwrap_err().to_string(),
            "handshake extension of type 5 with 4 bytes"
        );
    }

    #[test]
    fn blocks_are_bounded() {
        assert_eq!(
            Extension::parse_all(vec![0; 4 * MAX_EXTENSIONS].into()).map(|blocks| blocks.len()),
            Ok(16)
        );
        let error = Extension::parse_all(vec![0; 4 * MAX_EXTENSIONS + 4].into()).unwrap_err();
        assert_eq!(error, HandshakeError::TooManyExtensions(16));
    }

    #[test]
    fn versions_read_as_people_write_them() {
        assert_eq!(Version::OURS.to_string(), "1.5.4");
        assert_eq!(format!("{:?}", Version::MINIMUM), "1.3.0");
        assert!(Version(0x0001_0503) < Version::OURS);
    }
}
