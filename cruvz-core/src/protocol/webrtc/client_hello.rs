//! The first message of a DTLS handshake, read for one thing: which SRTP profiles the peer has.
//!
//! A server may take whichever of them it likes best (RFC 5764 §4.1.1), but has to look before it begins.

use bytes::BytesMut;

use super::srtp::Profile;

const CLIENT_HELLO: u8 = 1;
/// The extension `use_srtp` (RFC 5764 §4.1.1).
const USE_SRTP: u16 = 14;
/// Bytes before a hello's first field of variable length: version and random.
const FIXED_LEN: usize = 34;

/// What we like, the best first: AES-128-GCM is half the work of the counter mode.
pub(super) const PREFERENCE: [(u16, Profile); 3] =
    [(7, Profile::AeadAes128Gcm), (8, Profile::AeadAes256Gcm), (1, Profile::Aes128CmSha1_80)];

/// A client hello that may come in pieces, and the datagrams with them.
#[derive(Default)]
pub(super) struct Greeting {
    pieces: Vec<Piece>,
    datagrams: Vec<BytesMut>,
}

struct Piece {
    offset: usize,
    bytes: Vec<u8>,
}

impl Greeting {
    /// Takes a datagram whose first record has this body. Once the hello is whole, the profile that we like best of those
    /// that the peer has, if any, and all datagrams that it came in.
    ///
    /// The body's message must be sound: whole, or a fragment that ends with the record.
    pub(super) fn take(
        &mut self,
        body: &[u8],
        datagram: BytesMut,
    ) -> Option<(Option<Profile>, Vec<BytesMut>)> {
        let (header, rest) = body.split_first_chunk::<12>()?;
        // Only the first message of a handshake has the number 0.
        if header[0] != CLIENT_HELLO || header[4..6] != [0, 0] {
            return None;
        }
        let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]) as usize;
        let (length, offset) = (number(1), number(6));
        self.pieces.push(Piece { offset, bytes: rest.get(..number(9))?.to_vec() });
        self.datagrams.push(datagram);
        let hello = self.assemble(length)?;
        let offered = srtp_profiles(&hello).unwrap_or_default();
        let best =
            PREFERENCE.into_iter().find(|(id, _)| offered.chunks_exact(2).any(|one| one == id.to_be_bytes()));
        Some((best.map(|(_, profile)| profile), std::mem::take(&mut self.datagrams)))
    }

    /// The hello of `length` bytes, if no piece is missing.
    fn assemble(&mut self, length: usize) -> Option<Vec<u8>> {
        self.pieces.sort_by_key(|piece| piece.offset);
        let mut hello = Vec::new();
        for piece in &self.pieces {
            // A piece may come twice, or overlap the one before.
            let known = hello.len().checked_sub(piece.offset)?;
            hello.extend_from_slice(piece.bytes.get(known..).unwrap_or_default());
        }
        (hello.len() == length).then_some(hello)
    }
}

/// The list in the extension `use_srtp` of a hello (RFC 6347 §4.2.1, RFC 5246 §7.4.1.2), two bytes for each profile.
fn srtp_profiles(hello: &[u8]) -> Option<Vec<u8>> {
    let mut rest = hello.get(FIXED_LEN..)?;
    // Session, cookie, ciphers, compression.
    for width in [1, 1, 2, 1] {
        split_list(&mut rest, width)?;
    }
    let mut extensions = split_list(&mut rest, 2)?;
    while let Some((kind, after)) = extensions.split_first_chunk() {
        extensions = after;
        let mut body = split_list(&mut extensions, 2)?;
        if u16::from_be_bytes(*kind) == USE_SRTP {
            return split_list(&mut body, 2).map(<[u8]>::to_vec);
        }
    }
    None
}

/// Takes a list off `bytes` that its length stands before, in `width` bytes.
fn split_list<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (list, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(list)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A hello with another extension before, and these profiles.
    fn hello(profiles: &[u16]) -> Vec<u8> {
        let mut hello = vec![7; FIXED_LEN];
        hello.extend_from_slice(&[0, 3, 1, 2, 3, 0, 2, 0xC0, 0x2B, 1, 0]);
        let list: Vec<u8> = profiles.iter().flat_map(|id| id.to_be_bytes()).collect();
        let mut extensions = vec![0, 23, 0, 0, 0, 14];
        extensions.extend_from_slice(&(list.len() as u16 + 3).to_be_bytes());
        extensions.extend_from_slice(&(list.len() as u16).to_be_bytes());
        extensions.extend_from_slice(&list);
        extensions.push(0);
        hello.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
        hello.extend_from_slice(&extensions);
        hello
    }

    /// The body of a record with a piece of a hello.
    fn piece(hello: &[u8], range: std::ops::Range<usize>) -> Vec<u8> {
        let mut body = vec![CLIENT_HELLO];
        body.extend_from_slice(&(hello.len() as u32).to_be_bytes()[1..]);
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&(range.start as u32).to_be_bytes()[1..]);
        body.extend_from_slice(&(range.len() as u32).to_be_bytes()[1..]);
        body.extend_from_slice(&hello[range]);
        body
    }

    fn choice(profiles: &[u16]) -> Option<Profile> {
        let hello = hello(profiles);
        let whole = piece(&hello, 0..hello.len());
        Greeting::default().take(&whole, BytesMut::from(&b"datagram"[..])).unwrap().0
    }

    #[test]
    fn our_preference_decides() {
        assert_eq!(choice(&[1, 8, 7]), Some(Profile::AeadAes128Gcm));
        assert_eq!(choice(&[2, 1, 8]), Some(Profile::AeadAes256Gcm));
        assert_eq!(choice(&[2, 1]), Some(Profile::Aes128CmSha1_80));
        assert_eq!(choice(&[2]), None);
        assert_eq!(choice(&[]), None);
    }

    #[test]
    fn a_hello_may_come_in_pieces() {
        let hello = hello(&[1, 7]);
        let end = hello.len();
        let mut greeting = Greeting::default();
        let datagram = |text: &str| BytesMut::from(text.as_bytes());
        assert!(greeting.take(&piece(&hello, 40..end), datagram("end")).is_none());
        assert!(greeting.take(&piece(&hello, 40..end), datagram("again")).is_none());
        let other = piece(&hello, 0..end)
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ u8::from(at == 5))
            .collect::<Vec<_>>();
        assert!(greeting.take(&other, datagram("a later message")).is_none());
        let (profile, datagrams) = greeting.take(&piece(&hello, 0..50), datagram("begin")).unwrap();
        assert_eq!(profile, Some(Profile::AeadAes128Gcm));
        assert_eq!(datagrams, ["end", "again", "begin"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120), cut in 0_usize..120) {
            let _ = srtp_profiles(&bytes);
            let mut whole = hello(&[1, 7, 8]);
            whole.truncate(cut);
            let _ = srtp_profiles(&whole);
            let _ = Greeting::default().take(&bytes, BytesMut::new());
        }
    }
}
