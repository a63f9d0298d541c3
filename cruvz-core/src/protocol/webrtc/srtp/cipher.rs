//! What makes one packet unreadable and unchangeable.

use aes::Aes128Enc;
use aes::cipher::KeyInit;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha1::Sha1;

use super::keys::{Profile, SessionKeys, apply_stream};

/// Bytes of an RTCP packet that stay readable (RFC 3711 §3.4).
pub(super) const RTCP_HEADER_LEN: usize = 8;
/// Bytes of the index that stands in an SRTCP packet.
pub(super) const RTCP_INDEX_LEN: usize = 4;
/// Says of an SRTCP packet that it is encrypted; the other bits are its index.
pub(super) const ENCRYPTED: u32 = 1 << 31;

const GCM_TAG: usize = 16;
const SHA1_TAG: usize = 10;

/// A cipher with the keys of one direction and purpose.
#[expect(clippy::large_enum_variant, reason = "nearly all ciphers are of the larger kind")]
pub(super) enum Cipher {
    Gcm(Gcm),
    CounterMode(CounterMode),
}

pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

pub(super) struct CounterMode {
    key: Aes128Enc,
    authentication: Hmac<Sha1>,
    salt: [u8; 14],
}

impl Cipher {
    pub(super) fn new(keys: &SessionKeys) -> Self {
        let algorithm = match keys.profile {
            Profile::AeadAes128Gcm => &AES_128_GCM,
            Profile::AeadAes256Gcm => &AES_256_GCM,
            Profile::Aes128CmSha1_80 => return Self::CounterMode(CounterMode::new(keys)),
        };
        let key = UnboundKey::new(algorithm, keys.key()).expect("a key as long as the profile says");
        let (salt, _) = keys.salt.split_first_chunk().expect("12 of 14");
        Self::Gcm(Gcm { key: LessSafeKey::new(key), salt: *salt })
    }

    /// Seals the RTP packet that begins at `start` of `out` and has `header_len` bytes of header.
    pub(super) fn seal_rtp(&self, index: u64, out: &mut Vec<u8>, start: usize, header_len: usize) {
        let (header, payload) = out[start..].split_at_mut(header_len);
        let ssrc = ssrc_at(header, 8);
        match self {
            Self::Gcm(cipher) => {
                let tag = cipher.seal(cipher.rtp_nonce(ssrc, index), header, payload);
                out.extend_from_slice(&tag);
            }
            Self::CounterMode(cipher) => {
                apply_stream(&cipher.key, cipher.counter(ssrc, index), payload);
                let tag = cipher.tag(&[&out[start..], &roc(index)]);
                out.extend_from_slice(&tag);
            }
        }
    }

    /// Opens an RTP packet in place; the length without the tag, or `None` if it is not what was sealed.
    pub(super) fn open_rtp(&self, index: u64, packet: &mut [u8], header_len: usize) -> Option<usize> {
        let ssrc = ssrc_at(packet, 8);
        match self {
            Self::Gcm(cipher) => {
                let (header, sealed) = packet.split_at_mut_checked(header_len)?;
                let opened = cipher.open(cipher.rtp_nonce(ssrc, index), header, sealed)?;
                Some(header_len + opened)
            }
            Self::CounterMode(cipher) => {
                let (text, tag) = packet.split_last_chunk_mut::<SHA1_TAG>()?;
                cipher.verify(&[text, &roc(index)], tag)?;
                apply_stream(&cipher.key, cipher.counter(ssrc, index), text.get_mut(header_len..)?);
                Some(text.len())
            }
        }
    }

    /// Seals the RTCP packet that begins at `start` of `out` and has [`RTCP_HEADER_LEN`] bytes or more.
    pub(super) fn seal_rtcp(&self, index: u32, out: &mut Vec<u8>, start: usize) {
        let trailer = (ENCRYPTED | index).to_be_bytes();
        let (header, body) = out[start..].split_at_mut(RTCP_HEADER_LEN);
        let ssrc = ssrc_at(header, 4);
        match self {
            Self::Gcm(cipher) => {
                let tag = cipher.seal(cipher.rtcp_nonce(ssrc, index), &rtcp_aad(header, trailer), body);
                out.extend_from_slice(&tag);
                out.extend_from_slice(&trailer);
            }
            Self::CounterMode(cipher) => {
                apply_stream(&cipher.key, cipher.counter(ssrc, index.into()), body);
                out.extend_from_slice(&trailer);
                let tag = cipher.tag(&[&out[start..]]);
                out.extend_from_slice(&tag);
            }
        }
    }

    /// The index that an SRTCP packet claims to have, with the bit [`ENCRYPTED`].
    pub(super) fn rtcp_trailer(&self, packet: &[u8]) -> Option<u32> {
        let behind = if matches!(self, Self::Gcm(_)) { 0 } else { SHA1_TAG };
        let (before, _) = packet.split_at_checked(packet.len().checked_sub(behind)?)?;
        before.last_chunk().map(|trailer| u32::from_be_bytes(*trailer))
    }

    /// Opens an RTCP packet of at least [`RTCP_HEADER_LEN`] bytes in place, whose index is `index`; the length that is
    /// left.
    pub(super) fn open_rtcp(&self, index: u32, packet: &mut [u8]) -> Option<usize> {
        let ssrc = ssrc_at(packet, 4);
        match self {
            Self::Gcm(cipher) => {
                let (rest, trailer) = packet.split_last_chunk_mut::<RTCP_INDEX_LEN>()?;
                let (header, sealed) = rest.split_at_mut_checked(RTCP_HEADER_LEN)?;
                let aad = rtcp_aad(header, *trailer);
                let opened = cipher.open(cipher.rtcp_nonce(ssrc, index), &aad, sealed)?;
                Some(RTCP_HEADER_LEN + opened)
            }
            Self::CounterMode(cipher) => {
                let (text, tag) = packet.split_last_chunk_mut::<SHA1_TAG>()?;
                cipher.verify(&[text], tag)?;
                let (plain, _) = text.split_last_chunk_mut::<RTCP_INDEX_LEN>()?;
                let body = plain.get_mut(RTCP_HEADER_LEN..)?;
                apply_stream(&cipher.key, cipher.counter(ssrc, index.into()), body);
                Some(plain.len())
            }
        }
    }
}

impl Gcm {
    /// RFC 7714 §8.1: source, roll-over counter and sequence number in bytes 2 to 11, the salt over it.
    fn rtp_nonce(&self, ssrc: [u8; 4], index: u64) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc);
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        self.salted(nonce)
    }

    /// RFC 7714 §9.1: source in bytes 2 to 5, index in bytes 8 to 11, the salt over it.
    fn rtcp_nonce(&self, ssrc: [u8; 4], index: u32) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc);
        nonce[8..].copy_from_slice(&index.to_be_bytes());
        self.salted(nonce)
    }

    fn salted(&self, mut nonce: [u8; 12]) -> [u8; 12] {
        nonce.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        nonce
    }

    fn seal(&self, nonce: [u8; 12], aad: &[u8], text: &mut [u8]) -> [u8; GCM_TAG] {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), text);
        let tag = sealed.expect("a packet is far shorter than 64 GiB");
        *tag.as_ref().first_chunk().expect("tags of GCM have 16 bytes")
    }

    fn open(&self, nonce: [u8; 12], aad: &[u8], sealed: &mut [u8]) -> Option<usize> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.open_in_place(nonce, Aad::from(aad), sealed).ok().map(|text| text.len())
    }
}

impl CounterMode {
    fn new(keys: &SessionKeys) -> Self {
        let (key, _) = keys.key().split_first_chunk::<16>().expect("a key as long as the profile says");
        let authentication =
            Hmac::new_from_slice(&keys.authentication).expect("HMAC takes keys of any length");
        Self { key: Aes128Enc::new(key.into()), authentication, salt: keys.salt }
    }

    /// RFC 3711 §4.1.1: source in bytes 4 to 7, index in bytes 8 to 13, the salt over it, and 16 bits that count blocks.
    fn counter(&self, ssrc: [u8; 4], index: u64) -> [u8; 16] {
        let mut counter = [0; 16];
        counter[4..8].copy_from_slice(&ssrc);
        counter[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        counter.iter_mut().zip(self.salt).for_each(|(byte, salt)| *byte ^= salt);
        counter
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha1> {
        parts.iter().fold(self.authentication.clone(), |mac, part| mac.chain_update(part))
    }

    fn tag(&self, parts: &[&[u8]]) -> [u8; SHA1_TAG] {
        let full: [u8; 20] = self.mac(parts).finalize().into_bytes().into();
        *full.first_chunk().expect("10 of 20")
    }

    fn verify(&self, parts: &[&[u8]], tag: &[u8; SHA1_TAG]) -> Option<()> {
        self.mac(parts).verify_truncated_left(tag).ok()
    }
}

/// The source in a header, which the caller has found to be long enough.
fn ssrc_at(header: &[u8], at: usize) -> [u8; 4] {
    header[at..at + 4].try_into().expect("4 bytes")
}

/// How often the sequence number of `index` has begun anew.
fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// What GCM authenticates of an RTCP packet beside its body (RFC 7714 §9.2).
fn rtcp_aad(header: &[u8], trailer: [u8; RTCP_INDEX_LEN]) -> [u8; RTCP_HEADER_LEN + RTCP_INDEX_LEN] {
    let mut aad = [0; RTCP_HEADER_LEN + RTCP_INDEX_LEN];
    aad[..RTCP_HEADER_LEN].copy_from_slice(header);
    aad[RTCP_HEADER_LEN..].copy_from_slice(&trailer);
    aad
}
