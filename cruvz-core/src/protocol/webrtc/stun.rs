//! STUN as ICE uses it (RFC 8489, RFC 8445 §7): a peer's binding requests, and our answers.
//!
//! A request is worth an answer once [`Request::is_signed_with`] our password. No answer is longer than its request, so
//! that nobody can have others flooded by us.

use core::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Bytes of a header.
const HEADER_LEN: usize = 20;
/// Bytes of an attribute's type and length.
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// Bytes of a `MESSAGE-INTEGRITY`: HMAC-SHA1.
const INTEGRITY_LEN: usize = 20;
/// The longest request that is looked at, in bytes. Browsers send about 110; RFC 8489 §6.1 keeps requests below 548 where the
/// path is not known.
const MAX_LEN: usize = 1_024;
/// So many attributes that we had to understand but do not are named in an answer.
const MAX_UNKNOWN: usize = 4;
/// The longest `USERNAME` (RFC 8489 §14.3), in bytes.
const MAX_USERNAME: usize = 508;

const COOKIE: u32 = 0x2112_A442;
/// What a CRC-32 is combined with to be a fingerprint (RFC 8489 §14.7): "STUN".
const FINGERPRINT_XOR: u32 = 0x5354_554E;

const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001C;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802A;

/// Why bytes are no request that could be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StunError {
    /// Too short, too long, or lengths that do not fit into each other.
    #[error("STUN message of {0} bytes is malformed")]
    Malformed(usize),
    /// STUN, but no binding request: indications keep a binding alive and want nothing, answers were not asked for.
    #[error("STUN message of type {0:#06x} is not a binding request")]
    Type(u16),
    /// There is a fingerprint, but not that of these bytes.
    #[error("wrong STUN fingerprint")]
    Fingerprint,
    /// Nobody says who asks, or it is not signed.
    #[error("binding request without a username or integrity")]
    Anonymous,
}

/// A binding request. Nothing that it says is proved until it [`is_signed_with`](Self::is_signed_with) our password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    message: &'a [u8],
    username: &'a str,
    /// Where the integrity attribute begins.
    integrity: usize,
    role: Option<IceRole>,
    priority: Option<u32>,
    nominates: bool,
    unknown: Unknown,
}

/// Who decides which path is taken (RFC 8445 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IceRole {
    /// The one that nominates.
    Controlling,
    /// The other one.
    Controlled,
}

/// Attributes below 0x8000 that we do not know: the first few.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Unknown {
    types: [u16; MAX_UNKNOWN],
    count: usize,
}

impl Unknown {
    fn add(&mut self, kind: u16) {
        if let Some(free) = self.types.get_mut(self.count) {
            *free = kind;
            self.count += 1;
        }
    }
}

impl<'a> Request<'a> {
    /// Reads a binding request.
    ///
    /// # Errors
    /// If it is none, is malformed, says nothing of who sent it, or has a wrong fingerprint.
    pub fn parse(message: &'a [u8]) -> Result<Self, StunError> {
        let malformed = StunError::Malformed(message.len());
        let kind = message_type(message).ok_or_else(|| malformed.clone())?;
        if kind != BINDING_REQUEST {
            return Err(StunError::Type(kind));
        }
        let mut request = Self {
            message,
            username: "",
            integrity: 0,
            role: None,
            priority: None,
            nominates: false,
            unknown: Unknown::default(),
        };
        let mut at = HEADER_LEN;
        while at < message.len() {
            let (kind, value) = attribute(&message[at..]).ok_or_else(|| malformed.clone())?;
            request.take(kind, value, at)?;
            at += ATTRIBUTE_HEADER_LEN + value.len().next_multiple_of(4);
        }
        if request.integrity == 0 || request.username.is_empty() {
            return Err(StunError::Anonymous);
        }
        Ok(request)
    }

    /// Takes the attribute that begins at `at`.
    fn take(&mut self, kind: u16, value: &'a [u8], at: usize) -> Result<(), StunError> {
        let malformed = StunError::Malformed(self.message.len());
        match kind {
            FINGERPRINT => return self.check_fingerprint(value, at),
            // What follows the integrity is not covered by it (RFC 8489 §14.5).
            _ if self.integrity > 0 => {}
            MESSAGE_INTEGRITY if value.len() == INTEGRITY_LEN => self.integrity = at,
            USERNAME if value.len() <= MAX_USERNAME => {
                self.username = std::str::from_utf8(value).map_err(|_| malformed)?;
            }
            PRIORITY => {
                let value = value.try_into().map_err(|_| malformed)?;
                self.priority = Some(u32::from_be_bytes(value));
            }
            USE_CANDIDATE => self.nominates = true,
            ICE_CONTROLLING => self.role = Some(IceRole::Controlling),
            ICE_CONTROLLED => self.role = Some(IceRole::Controlled),
            MESSAGE_INTEGRITY | USERNAME => return Err(malformed),
            MESSAGE_INTEGRITY_SHA256 => {}
            kind if kind < 0x8000 => self.unknown.add(kind),
            _ => {}
        }
        Ok(())
    }

    /// A fingerprint is the last attribute, and right (RFC 8489 §14.7).
    fn check_fingerprint(&self, value: &[u8], at: usize) -> Result<(), StunError> {
        let is_last = at + ATTRIBUTE_HEADER_LEN + 4 == self.message.len();
        let right = fingerprint(&self.message[..at]).to_be_bytes();
        if is_last && value == right { Ok(()) } else { Err(StunError::Fingerprint) }
    }

    /// Whose request this claims to be: the part of the username before the colon, which is ours, for it is we who are
    /// asked (RFC 8445 §7.2.2).
    pub fn local_ufrag(&self) -> &'a str {
        self.username.split_once(':').map_or(self.username, |(local, _)| local)
    }

    /// Who claims to ask: the part behind the colon.
    pub fn remote_ufrag(&self) -> &'a str {
        self.username.split_once(':').map_or("", |(_, remote)| remote)
    }

    /// Who decides, as the peer sees its own part.
    pub fn role(&self) -> Option<IceRole> {
        self.role
    }

    /// The priority of the peer's candidate.
    pub fn priority(&self) -> Option<u32> {
        self.priority
    }

    /// Whether the peer chooses the path on which this came.
    pub fn nominates(&self) -> bool {
        self.nominates
    }

    /// Whether there is anything that we had to understand, but do not.
    pub fn has_unknown(&self) -> bool {
        self.unknown.count > 0
    }

    /// Whether who sent it knows `password`.
    pub fn is_signed_with(&self, password: &str) -> bool {
        let tag = &self.message[self.integrity + ATTRIBUTE_HEADER_LEN..][..INTEGRITY_LEN];
        integrity(&self.message[..self.integrity], password).verify_slice(tag).is_ok()
    }

    /// The answer to a request from `from`; `None` if it would be longer than the request.
    pub fn success(&self, from: SocketAddr, password: &str) -> Option<Bytes> {
        let mut answer = Message::answer(BINDING_SUCCESS, self.transaction());
        answer.address(XOR_MAPPED_ADDRESS, from);
        self.finish(answer, password)
    }

    /// The answer that the roles are the wrong way round: 487 (RFC 8445 §7.3.1.1).
    pub fn role_conflict(&self, password: &str) -> Option<Bytes> {
        let mut answer = Message::answer(BINDING_ERROR, self.transaction());
        answer.attribute(ERROR_CODE, &[0, 0, 4, 87]);
        self.finish(answer, password)
    }

    /// The answer that names what we do not understand: 420 (RFC 8489 §6.3.1).
    pub fn unknown_attributes(&self, password: &str) -> Option<Bytes> {
        let mut answer = Message::answer(BINDING_ERROR, self.transaction());
        answer.attribute(ERROR_CODE, &[0, 0, 4, 20]);
        let types = &self.unknown.types[..self.unknown.count];
        let bytes: Vec<u8> = types.iter().flat_map(|kind| kind.to_be_bytes()).collect();
        answer.attribute(UNKNOWN_ATTRIBUTES, &bytes);
        self.finish(answer, password)
    }

    fn transaction(&self) -> [u8; 12] {
        self.message[8..HEADER_LEN].try_into().expect("12 bytes of a header of 20")
    }

    fn finish(&self, answer: Message, password: &str) -> Option<Bytes> {
        let answer = answer.sign(password);
        (answer.len() <= self.message.len()).then(|| Bytes::from(answer))
    }
}

/// A binding request to be sent, as a full agent does.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    /// Nobody else's.
    pub transaction: [u8; 12],
    /// The username fragment of who is asked.
    pub remote_ufrag: &'a str,
    /// The username fragment of who asks.
    pub local_ufrag: &'a str,
    /// The part of who asks, and its tie-breaker.
    pub role: (IceRole, u64),
    /// Priority that a candidate found by this check would have.
    pub priority: u32,
    /// Whether this path is chosen.
    pub nominates: bool,
}

impl Check<'_> {
    /// The request, signed with the password of who is asked.
    pub fn to_bytes(&self, password: &str) -> Vec<u8> {
        let mut message = Message::answer(BINDING_REQUEST, self.transaction);
        message.attribute(USERNAME, format!("{}:{}", self.remote_ufrag, self.local_ufrag).as_bytes());
        let kind = if self.role.0 == IceRole::Controlling { ICE_CONTROLLING } else { ICE_CONTROLLED };
        message.attribute(kind, &self.role.1.to_be_bytes());
        message.attribute(PRIORITY, &self.priority.to_be_bytes());
        if self.nominates {
            message.attribute(USE_CANDIDATE, &[]);
        }
        message.sign(password)
    }
}

/// A message that is being written.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn answer(kind: u16, transaction: [u8; 12]) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&COOKIE.to_be_bytes());
        bytes.extend_from_slice(&transaction);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len()).expect("attributes that we write are short");
        self.bytes.extend_from_slice(&kind.to_be_bytes());
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.set_length(self.bytes.len());
    }

    /// An address with the cookie and the transaction over it (RFC 8489 §14.2).
    fn address(&mut self, kind: u16, address: SocketAddr) {
        let mask: [u8; 16] = self.bytes[4..HEADER_LEN].try_into().expect("16 bytes of a header of 20");
        let mut value = vec![0, 0];
        value.extend_from_slice(&address.port().to_be_bytes());
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                value[1] = 1;
                value.extend_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                value[1] = 2;
                value.extend_from_slice(&ip.octets());
            }
        }
        value[2..4].iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        value[4..].iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        self.attribute(kind, &value);
    }

    /// Writes the length of a message that is to end at `end`.
    fn set_length(&mut self, end: usize) {
        let length = u16::try_from(end - HEADER_LEN).expect("messages that we write are short");
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }

    /// Adds integrity and fingerprint.
    fn sign(mut self, password: &str) -> Vec<u8> {
        let tag: [u8; INTEGRITY_LEN] = integrity(&self.bytes, password).finalize().into_bytes().into();
        self.attribute(MESSAGE_INTEGRITY, &tag);
        self.set_length(self.bytes.len() + ATTRIBUTE_HEADER_LEN + 4);
        let crc = fingerprint(&self.bytes);
        self.attribute(FINGERPRINT, &crc.to_be_bytes());
        self.bytes
    }
}

/// The type of a message whose header is sound.
fn message_type(message: &[u8]) -> Option<u16> {
    let header: &[u8; HEADER_LEN] = message.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let sound = header[0] < 4
        && header[4..8] == COOKIE.to_be_bytes()
        && length.is_multiple_of(4)
        && HEADER_LEN + length == message.len()
        && message.len() <= MAX_LEN;
    sound.then(|| u16::from_be_bytes([header[0], header[1]]))
}

/// The type and value of the attribute that `bytes` begin with.
fn attribute(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (&[a, b, c, d], rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([c, d]));
    rest.get(..length.next_multiple_of(4))?;
    Some((u16::from_be_bytes([a, b]), &rest[..length]))
}

/// The integrity of a message whose attributes so far are `before`. Its length counts the integrity itself, and nothing
/// that follows (RFC 8489 §14.5).
fn integrity(before: &[u8], password: &str) -> Hmac<Sha1> {
    let end = before.len() + ATTRIBUTE_HEADER_LEN + INTEGRITY_LEN;
    let length = u16::try_from(end - HEADER_LEN).expect("at most MAX_LEN");
    let key = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("HMAC takes keys of any length");
    key.chain_update(&before[..2]).chain_update(length.to_be_bytes()).chain_update(&before[4..])
}

fn fingerprint(before: &[u8]) -> u32 {
    crc32(before) ^ FINGERPRINT_XOR
}

/// CRC-32 of ISO-HDLC, as in Ethernet and zip.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)])
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 5769 §2.1.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae\
        802200105354554e207465737420636c69656e74\
        002400046e0001ff\
        80290008932ff9b151263b36\
        000600096576746a3a68367659202020\
        000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2\
        80280004e57a3bcf";
    /// RFC 5769 §2.2.
    const RESPONSE: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae\
        8022000b7465737420766563746f7220\
        002000080001a147e112a643\
        000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7\
        80280004c07d4c96";
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn check() -> Check<'static> {
        Check {
            transaction: *b"a check of 1",
            remote_ufrag: "ours",
            local_ufrag: "theirs",
            role: (IceRole::Controlling, 77),
            priority: 5,
            nominates: true,
        }
    }

    /// A check with one more attribute, signed.
    fn check_with(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut message = Message::answer(BINDING_REQUEST, [1; 12]);
        message.attribute(USERNAME, b"ours:theirs");
        message.attribute(kind, value);
        message.attribute(PRIORITY, &[0; 4]);
        message.sign(PASSWORD)
    }

    /// The value of an attribute, of a message that is whole and signed with [`PASSWORD`].
    fn value(message: &[u8], wanted: u16) -> Option<Vec<u8>> {
        assert!(message_type(message).is_some());
        let (mut at, mut found, mut signed) = (HEADER_LEN, None, 0);
        while at < message.len() {
            let (kind, value) = attribute(&message[at..]).unwrap();
            match kind {
                MESSAGE_INTEGRITY => {
                    integrity(&message[..at], PASSWORD).verify_slice(value).unwrap();
                    signed += 1;
                }
                FINGERPRINT => {
                    assert_eq!(value, fingerprint(&message[..at]).to_be_bytes());
                    signed += 1;
                }
                _ => {}
            }
            if kind == wanted {
                found = Some(value.to_vec());
            }
            at += ATTRIBUTE_HEADER_LEN + value.len().next_multiple_of(4);
        }
        assert_eq!(signed, 2);
        found
    }

    #[test]
    fn the_request_of_rfc_5769_is_read() {
        let message = bytes(REQUEST);
        let request = Request::parse(&message).unwrap();
        assert_eq!((request.local_ufrag(), request.remote_ufrag()), ("evtj", "h6vY"));
        assert_eq!((request.role(), request.priority()), (Some(IceRole::Controlled), Some(0x6E00_01FF)));
        assert!(!request.nominates() && !request.has_unknown());
        assert!(request.is_signed_with(PASSWORD) && !request.is_signed_with("VOkJxbRl1RmTxUk/WvJxBT"));
    }

    #[test]
    fn the_response_of_rfc_5769_is_what_we_would_say() {
        let expected = bytes(RESPONSE);
        let address = value(&expected, XOR_MAPPED_ADDRESS);
        let message = bytes(REQUEST);
        let request = Request::parse(&message).unwrap();
        let answer = request.success("192.0.2.1:32853".parse().unwrap(), PASSWORD).unwrap();
        assert_eq!(value(&answer, XOR_MAPPED_ADDRESS), address);
        assert_eq!((&answer[..2], &answer[4..20]), (&expected[..2], &expected[4..20]));
        // §2.3, and an IPv4 address as a dual-stack socket sees it.
        let v6 = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let answer = request.success(v6, PASSWORD).unwrap();
        let expected = bytes("0002a1470113a9faa5d3f179bc25f4b5bed2b9d9");
        assert_eq!(value(&answer, XOR_MAPPED_ADDRESS), Some(expected));
        let mapped = request.success("[::ffff:192.0.2.1]:32853".parse().unwrap(), PASSWORD).unwrap();
        assert_eq!(value(&mapped, XOR_MAPPED_ADDRESS), address);
    }

    #[test]
    fn a_check_is_read_as_it_was_written() {
        let message = check().to_bytes(PASSWORD);
        let request = Request::parse(&message).unwrap();
        assert_eq!((request.local_ufrag(), request.remote_ufrag()), ("ours", "theirs"));
        assert_eq!((request.role(), request.priority()), (Some(IceRole::Controlling), Some(5)));
        assert!(request.nominates() && request.is_signed_with(PASSWORD));
        let passive = Check { nominates: false, ..check() }.to_bytes(PASSWORD);
        assert!(!Request::parse(&passive).unwrap().nominates());
    }

    #[test]
    fn what_is_changed_is_noticed() {
        let message = check().to_bytes(PASSWORD);
        // All that the integrity covers; the fingerprint behind it may as well be missing.
        for at in 0..message.len() - 8 {
            let mut changed = message.clone();
            changed[at] ^= 1;
            let taken = Request::parse(&changed).is_ok_and(|request| request.is_signed_with(PASSWORD));
            assert!(!taken, "byte {at}");
        }
    }

    #[test]
    fn an_unsigned_request_and_other_messages_are_none() {
        let mut unsigned = Message::answer(BINDING_REQUEST, [0; 12]);
        unsigned.attribute(USERNAME, b"a:b");
        assert_eq!(Request::parse(&unsigned.bytes), Err(StunError::Anonymous));
        let nameless = Message::answer(BINDING_REQUEST, [0; 12]).sign(PASSWORD);
        assert_eq!(Request::parse(&nameless), Err(StunError::Anonymous));
        let indication = Message::answer(0x0011, [0; 12]).sign(PASSWORD);
        assert_eq!(Request::parse(&indication), Err(StunError::Type(0x0011)));
        assert_eq!(Request::parse(&bytes(RESPONSE)), Err(StunError::Type(BINDING_SUCCESS)));
        assert_eq!(Request::parse(&[]), Err(StunError::Malformed(0)));
        let mut long = Message::answer(BINDING_REQUEST, [0; 12]);
        long.attribute(0x8022, &[b'x'; MAX_LEN]);
        assert_eq!(Request::parse(&long.bytes), Err(StunError::Malformed(long.bytes.len())));
    }

    #[test]
    fn what_follows_the_integrity_has_no_say() {
        let mut message = Message { bytes: check().to_bytes(PASSWORD) };
        message.bytes.truncate(message.bytes.len() - 8);
        message.attribute(USERNAME, b"evil:evil");
        message.attribute(0x7FFF, b"understand this");
        let request = Request::parse(&message.bytes).unwrap();
        assert!(request.is_signed_with(PASSWORD) && !request.has_unknown());
        assert_eq!(request.local_ufrag(), "ours");
    }

    #[test]
    fn what_we_do_not_understand_is_named() {
        let message = check_with(0x7FFE, b"what?");
        let request = Request::parse(&message).unwrap();
        assert!(request.has_unknown());
        let answer = request.unknown_attributes(PASSWORD).unwrap();
        assert_eq!(value(&answer, ERROR_CODE), Some(vec![0, 0, 4, 20]));
        assert_eq!(value(&answer, UNKNOWN_ATTRIBUTES), Some(vec![0x7F, 0xFE]));
        // What may be passed over is.
        let message = check_with(0xC057, &[0; 4]);
        assert!(!Request::parse(&message).unwrap().has_unknown());
    }

    #[test]
    fn a_role_conflict_is_answered_with_487() {
        let message = bytes(REQUEST);
        let answer = Request::parse(&message).unwrap().role_conflict(PASSWORD).unwrap();
        assert_eq!(value(&answer, ERROR_CODE), Some(vec![0, 0, 4, 87]));
        assert_eq!(answer[..2], [0x01, 0x11]);
    }

    #[test]
    fn no_answer_is_longer_than_its_request() {
        let mut message = Message::answer(BINDING_REQUEST, [0; 12]);
        message.attribute(USERNAME, b"a:b");
        let short = message.sign(PASSWORD);
        let request = Request::parse(&short).unwrap();
        assert_eq!(short.len(), 60);
        assert_eq!(request.success("192.0.2.1:1".parse().unwrap(), PASSWORD), None);
        let message = check().to_bytes(PASSWORD);
        let answer = Request::parse(&message).unwrap().success("[2001:db8::1]:1".parse().unwrap(), PASSWORD);
        assert!(answer.unwrap().len() <= message.len());
    }

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(message in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::parse(&message);
        }

        #[test]
        fn any_attributes_are_read_or_refused(
            attributes in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            cut in 0_usize..40,
        ) {
            let mut message = Message::answer(BINDING_REQUEST, [9; 12]);
            message.attribute(USERNAME, b"ours:theirs");
            attributes.iter().for_each(|(kind, value)| message.attribute(*kind, value));
            let mut bytes = message.sign(PASSWORD);
            if let Ok(request) = Request::parse(&bytes) {
                for answer in [
                    request.success("192.0.2.1:1".parse().unwrap(), PASSWORD),
                    request.role_conflict(PASSWORD),
                    request.unknown_attributes(PASSWORD),
                ] {
                    prop_assert!(answer.is_none_or(|answer| answer.len() <= bytes.len()));
                }
            }
            bytes.truncate(bytes.len() - cut);
            let _ = Request::parse(&bytes);
        }
    }
}
