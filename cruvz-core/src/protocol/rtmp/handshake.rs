//! The opening exchange of 2 × (1 + 1,536 + 1,536) bytes (RTMP 1.0 §5.2).
//!
//! Two forms are in use. The simple one echoes the peer's random bytes. The digest form, which Flash Player 9
//! brought for H.264 and many peers still start with, hides an HMAC-SHA256 in the random bytes at a place that
//! the bytes themselves name, in one of two layouts. Bytes come in through `receive`, which takes no more than the
//! handshake needs; bytes to send come back. The digest keys are public knowledge: they prove nothing about
//! a peer, and neither do the second packets, which are therefore not checked.

use bytes::{BufMut, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Error;

/// Bytes of C1, S1, C2 and S2 (RTMP 1.0 §5.2.3).
const PACKET: usize = 1536;
/// Bytes of an HMAC-SHA256.
const DIGEST: usize = 32;
/// The only version of plain RTMP (§5.2.1).
const VERSION: u8 = 3;

/// The secret half that both keys share.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e, 0xec,
    0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";

/// Product versions in bytes 4..8 of the first packet; any that is not 0 announces the digest form.
const SERVER_PRODUCT: [u8; 4] = [4, 5, 0, 1];
const CLIENT_PRODUCT: [u8; 4] = [9, 0, 124, 2];

/// Where the digest's place is named: schema 0 has the key block first, schema 1 the digest block.
const SCHEMAS: [usize; 2] = [8 + 764, 8];

/// Random-looking bytes from a seed (SplitMix64). They only need to differ between connections.
struct Filler(u64);

impl Filler {
    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = self.0;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            part.copy_from_slice(&(word ^ (word >> 31)).to_le_bytes()[..part.len()]);
        }
    }
}

fn hmac(key: &[u8], parts: [&[u8]; 2]) -> [u8; DIGEST] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// Where in `packet` the digest is that the four bytes at `base` name.
fn digest_place(packet: &[u8; PACKET], base: usize) -> usize {
    let sum: usize = packet[base..base + 4].iter().copied().map(usize::from).sum();
    base + 4 + sum % 728
}

/// The HMAC over `packet` without the digest at `place`.
fn packet_digest(packet: &[u8; PACKET], place: usize, key: &[u8]) -> [u8; DIGEST] {
    hmac(key, [&packet[..place], &packet[place + DIGEST..]])
}

/// The schema's base and the digest, where `packet` carries a right one made with `key`.
fn find_digest(packet: &[u8; PACKET], key: &[u8]) -> Option<(usize, [u8; DIGEST])> {
    SCHEMAS.into_iter().find_map(|base| {
        let place = digest_place(packet, base);
        let digest = packet_digest(packet, place, key);
        (packet[place..place + DIGEST] == digest).then_some((base, digest))
    })
}

/// A first packet: time 0, product version, filler, and a digest in the schema of `base` where one is wanted.
fn first_packet(filler: &mut Filler, digest: Option<(usize, [u8; 4], &[u8])>) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    filler.fill(&mut packet[8..]);
    if let Some((base, product, key)) = digest {
        packet[4..8].copy_from_slice(&product);
        let place = digest_place(&packet, base);
        let digest = packet_digest(&packet, place, key);
        packet[place..place + DIGEST].copy_from_slice(&digest);
    }
    packet
}

/// A second packet in the digest form: filler signed with a key made from the peer's digest.
fn signed_packet(filler: &mut Filler, key: &[u8], peer_digest: &[u8; DIGEST]) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    filler.fill(&mut packet[..PACKET - DIGEST]);
    let key = hmac(&[key, &KEY_TAIL].concat(), [peer_digest, &[]]);
    let signature = hmac(&key, [&packet[..PACKET - DIGEST], &[]]);
    packet[PACKET - DIGEST..].copy_from_slice(&signature);
    packet
}

const fn check_version(version: u8) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        6 | 8 | 9 => Err(Error::EncryptedHandshake(version)),
        _ => Err(Error::UnsupportedVersion(version)),
    }
}

/// The peer's half as it arrives: version, first packet, then the second packet, which is only counted.
struct Inbox {
    /// Version and first packet. Grows with what has come.
    first: Vec<u8>,
    /// Bytes of the second packet still to come.
    second_left: usize,
}

impl Inbox {
    const fn new() -> Self {
        Self { first: Vec::new(), second_left: PACKET }
    }

    /// Takes version and first packet from `input`; the packet once it is whole.
    fn take_first(&mut self, input: &mut &[u8]) -> Result<Option<[u8; PACKET]>, Error> {
        let (taken, rest) = input.split_at((1 + PACKET - self.first.len()).min(input.len()));
        self.first.extend_from_slice(taken);
        *input = rest;
        if let Some(version) = self.first.first() {
            check_version(*version)?;
        }
        let packet = self.first.get(1..).and_then(|bytes| bytes.try_into().ok());
        if packet.is_some() {
            self.first = Vec::new();
        }
        Ok(packet)
    }

    /// Takes the second packet from `input`; whether all of it has come.
    fn take_second(&mut self, input: &mut &[u8]) -> bool {
        let count = self.second_left.min(input.len());
        *input = &input[count..];
        self.second_left -= count;
        self.second_left == 0
    }
}

enum Stage {
    First,
    Second,
    Done,
}

/// The server's side: waits for C0 and C1, answers S0, S1 and S2, waits for C2.
pub struct ServerHandshake {
    inbox: Inbox,
    stage: Stage,
    filler: Filler,
}

impl ServerHandshake {
    /// A handshake whose packets are filled from `seed`, which should differ between connections.
    pub const fn new(seed: u64) -> Self {
        Self { inbox: Inbox::new(), stage: Stage::First, filler: Filler(seed) }
    }

    /// Whether the peer's part is complete.
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Takes what the handshake needs from the front of `input` and appends what is to be sent to `out`.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] or [`Error::EncryptedHandshake`], at the first byte.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if matches!(self.stage, Stage::First)
            && let Some(c1) = self.inbox.take_first(input)?
        {
            self.answer(&c1, out);
            self.stage = Stage::Second;
        }
        if matches!(self.stage, Stage::Second) && self.inbox.take_second(input) {
            self.stage = Stage::Done;
        }
        Ok(())
    }

    /// S0, S1 and S2: digests for a peer that sent one, an echo for any other.
    fn answer(&mut self, c1: &[u8; PACKET], out: &mut BytesMut) {
        let digest = if c1[4..8] == [0; 4] { None } else { find_digest(c1, CLIENT_KEY) };
        let (s1, s2) = match digest {
            Some((base, digest)) => (
                first_packet(&mut self.filler, Some((base, SERVER_PRODUCT, SERVER_KEY))),
                signed_packet(&mut self.filler, SERVER_KEY, &digest),
            ),
            None => (first_packet(&mut self.filler, None), *c1),
        };
        out.reserve(1 + 2 * PACKET);
        out.put_u8(VERSION);
        out.extend_from_slice(&s1);
        out.extend_from_slice(&s2);
    }
}

/// The first packet that a client opens with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeKind {
    /// The digest form, which every server takes: old ones echo it.
    #[default]
    Digest,
    /// The simple form of the specification, for servers that misread the digest form.
    Simple,
}

/// The client's side: sends C0 and C1, waits for S0 and S1, answers C2, waits for S2.
pub struct ClientHandshake {
    inbox: Inbox,
    stage: Stage,
    filler: Filler,
    kind: HandshakeKind,
}

impl ClientHandshake {
    /// A handshake of `kind` filled from `seed`, with C0 and C1 appended to `out`.
    pub fn new(kind: HandshakeKind, seed: u64, out: &mut BytesMut) -> Self {
        let mut filler = Filler(seed);
        let digest = match kind {
            HandshakeKind::Digest => Some((SCHEMAS[0], CLIENT_PRODUCT, CLIENT_KEY)),
            HandshakeKind::Simple => None,
        };
        out.put_u8(VERSION);
        out.extend_from_slice(&first_packet(&mut filler, digest));
        Self { inbox: Inbox::new(), stage: Stage::First, filler, kind }
    }

    /// Whether the peer's part is complete.
    pub const fn is_done(&self) -> bool {
        matches!(self.stage, Stage::Done)
    }

    /// Takes what the handshake needs from the front of `input` and appends what is to be sent to `out`.
    ///
    /// # Errors
    /// [`Error::UnsupportedVersion`] or [`Error::EncryptedHandshake`], at the first byte.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<(), Error> {
        if matches!(self.stage, Stage::First)
            && let Some(s1) = self.inbox.take_first(input)?
        {
            let digest = match self.kind {
                HandshakeKind::Digest => find_digest(&s1, SERVER_KEY),
                HandshakeKind::Simple => None,
            };
            let c2 =
                digest.map_or(s1, |(_, digest)| signed_packet(&mut self.filler, CLIENT_KEY, &digest));
            out.extend_from_slice(&c2);
            self.stage = Stage::Second;
        }
        if matches!(self.stage, Stage::Second) && self.inbox.take_second(input) {
            self.stage = Stage::Done;
        }
        Ok(())
    }
}
