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
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57, 0x6e,
    0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
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
            let c2 = digest.map_or(s1, |(_, digest)| signed_packet(&mut self.filler, CLIENT_KEY, &digest));
            out.extend_from_slice(&c2);
            self.stage = Stage::Second;
        }
        if matches!(self.stage, Stage::Second) && self.inbox.take_second(input) {
            self.stage = Stage::Done;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};

    use super::*;

    /// Feeds `bytes` in pieces of `step` and returns what was left over.
    fn feed(
        bytes: &[u8],
        step: usize,
        mut receive: impl FnMut(&mut &[u8]) -> Result<(), Error>,
    ) -> Result<Vec<u8>, Error> {
        let mut left = Vec::new();
        for piece in bytes.chunks(step) {
            let mut input = piece;
            receive(&mut input)?;
            left.extend_from_slice(input);
        }
        Ok(left)
    }

    /// Runs our client against our server in pieces of `step` bytes; S0S1S2 and C2.
    fn shake(kind: HandshakeKind, step: usize) -> (BytesMut, BytesMut) {
        let (mut to_server, mut to_client, mut rest) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        let mut client = ClientHandshake::new(kind, 1, &mut to_server);
        let mut server = ServerHandshake::new(2);
        assert_eq!(to_server.len(), 1 + PACKET);
        assert_eq!(feed(&to_server, step, |input| server.receive(input, &mut to_client)), Ok(vec![]));
        assert_eq!(to_client.len(), 1 + 2 * PACKET);
        assert!(!server.is_done() && !client.is_done());
        to_client.extend_from_slice(b"chunks of the server");
        let left = feed(&to_client, step, |input| client.receive(input, &mut rest));
        assert_eq!(left.unwrap(), b"chunks of the server");
        assert!(client.is_done());
        assert_eq!(rest.len(), PACKET);
        let c2 = rest.clone();
        rest.extend_from_slice(b"chunks of the client");
        let left = feed(&rest, step, |input| server.receive(input, &mut BytesMut::new()));
        assert_eq!(left.unwrap(), b"chunks of the client");
        assert!(server.is_done());
        (to_client, c2)
    }

    #[test]
    fn both_kinds_complete_in_pieces_of_any_size() {
        for kind in [HandshakeKind::Digest, HandshakeKind::Simple] {
            for step in [1, 7, 1535, 1536, 1537, 10_000] {
                shake(kind, step);
            }
        }
    }

    #[test]
    fn the_simple_form_echoes_and_the_digest_form_signs() {
        let (simple, c2) = shake(HandshakeKind::Simple, 4096);
        assert_eq!(simple[5..9], [0; 4]);
        assert_eq!(c2, simple[1..=PACKET]);
        let (signed, c2) = shake(HandshakeKind::Digest, 4096);
        assert_eq!(signed[5..9], SERVER_PRODUCT);
        let s1 = signed[1..=PACKET].try_into().unwrap();
        let (base, digest) = find_digest(s1, SERVER_KEY).unwrap();
        assert_eq!(base, SCHEMAS[0], "the schema of the client is answered");
        let key = hmac(&[CLIENT_KEY, &KEY_TAIL].concat(), [&digest, &[]]);
        assert_eq!(c2[PACKET - DIGEST..], hmac(&key, [&c2[..PACKET - DIGEST], &[]]));
    }

    #[test]
    fn either_schema_is_found_and_answered_in_kind() {
        for base in SCHEMAS {
            let mut filler = Filler(7);
            let c1 = first_packet(&mut filler, Some((base, CLIENT_PRODUCT, CLIENT_KEY)));
            let mut out = BytesMut::new();
            ServerHandshake::new(3).receive(&mut [&[3][..], &c1].concat().as_slice(), &mut out).unwrap();
            let s1 = out[1..=PACKET].try_into().unwrap();
            assert_eq!(find_digest(s1, SERVER_KEY).map(|(base, _)| base), Some(base));
        }
    }

    #[test]
    fn a_product_version_without_a_digest_is_echoed() {
        let mut c1 = [0x55; PACKET];
        c1[4..8].copy_from_slice(&[128, 0, 7, 2]);
        let mut out = BytesMut::new();
        ServerHandshake::new(3).receive(&mut [&[3][..], &c1].concat().as_slice(), &mut out).unwrap();
        assert_eq!(out[1 + PACKET..], c1);
    }

    #[test]
    fn other_versions_are_named_at_the_first_byte() {
        for (first, error) in [
            (b'G', Error::UnsupportedVersion(b'G')),
            (0x16, Error::UnsupportedVersion(0x16)),
            (6, Error::EncryptedHandshake(6)),
        ] {
            let mut out = BytesMut::new();
            assert_eq!(ServerHandshake::new(0).receive(&mut &[first][..], &mut out), Err(error.clone()));
            let mut client = ClientHandshake::new(HandshakeKind::Simple, 0, &mut out);
            assert_eq!(client.receive(&mut &[first][..], &mut out), Err(error));
        }
    }

    #[test]
    fn an_independent_client_and_server_complete_with_us() {
        let mut theirs = Handshake::new(PeerType::Client);
        let mut ours = ServerHandshake::new(11);
        let mut out = BytesMut::new();
        ours.receive(&mut &theirs.generate_outbound_p0_and_p1().unwrap()[..], &mut out).unwrap();
        let HandshakeProcessResult::Completed { response_bytes, .. } = theirs.process_bytes(&out).unwrap()
        else {
            panic!("the client wants more");
        };
        ours.receive(&mut &response_bytes[..], &mut out).unwrap();
        assert!(ours.is_done());

        let mut theirs = Handshake::new(PeerType::Server);
        let (mut c0c1, mut c2) = (BytesMut::new(), BytesMut::new());
        let mut ours = ClientHandshake::new(HandshakeKind::Digest, 12, &mut c0c1);
        let HandshakeProcessResult::InProgress { response_bytes } = theirs.process_bytes(&c0c1).unwrap()
        else {
            panic!("the server is done early");
        };
        ours.receive(&mut &response_bytes[..], &mut c2).unwrap();
        assert!(ours.is_done());
        assert!(matches!(theirs.process_bytes(&c2), Ok(HandshakeProcessResult::Completed { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..4000), step in 1..4000usize) {
            let mut out = BytesMut::new();
            let mut server = ServerHandshake::new(0);
            let _ = feed(&[&[3], &bytes[..]].concat(), step, |input| server.receive(input, &mut out));
            let mut client = ClientHandshake::new(HandshakeKind::Digest, 0, &mut out);
            let _ = feed(&[&[3], &bytes[..]].concat(), step, |input| client.receive(input, &mut out));
            prop_assert_eq!(server.is_done(), bytes.len() >= 2 * PACKET);
            prop_assert_eq!(client.is_done(), bytes.len() >= 2 * PACKET);
        }
    }
}
