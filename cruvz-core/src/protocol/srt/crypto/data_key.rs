//! The keys that payloads are encrypted with.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use aes_gcm::AesGcm;
use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::U12;
use ctr::{Ctr128BE, CtrCore};

use super::key_material::{Cipher, SALT_LEN};
use super::secret::KeyLength;
use crate::protocol::srt::DataHeader;

/// Bytes that GCM adds to a payload.
pub const TAG_LEN: usize = 16;

/// One key with its schedule, ready for use.
pub(super) struct DataKey {
    salt: [u8; SALT_LEN],
    schedule: Schedule,
}

enum Schedule {
    Ctr128(Aes128Enc),
    Ctr192(Aes192Enc),
    Ctr256(Aes256Enc),
    Gcm128(AesGcm<Aes128Enc, U12>),
    Gcm192(AesGcm<Aes192Enc, U12>),
    Gcm256(AesGcm<Aes256Enc, U12>),
}

impl DataKey {
    /// The key in the first bytes of `key`, as many as `length` says.
    pub(super) fn new(cipher: Cipher, length: KeyLength, key: &[u8; 32], salt: [u8; SALT_LEN]) -> Self {
        let k24: &[u8; 24] = key.first_chunk().expect("24 of 32");
        let k16: &[u8; 16] = key.first_chunk().expect("16 of 32");
        let schedule = match (cipher, length) {
            (Cipher::Ctr, KeyLength::Aes128) => Schedule::Ctr128(Aes128Enc::new(k16.into())),
            (Cipher::Ctr, KeyLength::Aes192) => Schedule::Ctr192(Aes192Enc::new(k24.into())),
            (Cipher::Ctr, KeyLength::Aes256) => Schedule::Ctr256(Aes256Enc::new(key.into())),
            (Cipher::Gcm, KeyLength::Aes128) => Schedule::Gcm128(AesGcm::new(k16.into())),
            (Cipher::Gcm, KeyLength::Aes192) => Schedule::Gcm192(AesGcm::new(k24.into())),
            (Cipher::Gcm, KeyLength::Aes256) => Schedule::Gcm256(AesGcm::new(key.into())),
        };
        Self { salt, schedule }
    }

    /// Encrypts `payload` in place; the tag is to be put behind it.
    pub(super) fn seal(&self, header: &DataHeader, payload: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let (nonce, head) = (self.nonce(header).into(), authenticated(header));
        let payload_out = (&mut *payload).into();
        let tag = match &self.schedule {
            Schedule::Gcm128(key) => key.encrypt_inout_detached(&nonce, &head, payload_out),
            Schedule::Gcm192(key) => key.encrypt_inout_detached(&nonce, &head, payload_out),
            Schedule::Gcm256(key) => key.encrypt_inout_detached(&nonce, &head, payload_out),
            _ => {
                self.apply_stream(header, payload);
                return None;
            }
        };
        Some(tag.expect("a payload is far shorter than 64 GiB").into())
    }

    /// Decrypts `payload` in place and returns its length without the tag; `None` if the tag is not right.
    pub(super) fn open(&self, header: &DataHeader, payload: &mut [u8]) -> Option<usize> {
        let (nonce, head) = (self.nonce(header).into(), authenticated(header));
        let gcm = matches!(self.schedule, Schedule::Gcm128(_) | Schedule::Gcm192(_) | Schedule::Gcm256(_));
        if !gcm {
            self.apply_stream(header, payload);
            return Some(payload.len());
        }
        let (text, tag) = payload.split_last_chunk_mut::<TAG_LEN>()?;
        let (length, tag) = (text.len(), (*tag).into());
        let opened = match &self.schedule {
            Schedule::Gcm128(key) => key.decrypt_inout_detached(&nonce, &head, text.into(), &tag),
            Schedule::Gcm192(key) => key.decrypt_inout_detached(&nonce, &head, text.into(), &tag),
            Schedule::Gcm256(key) => key.decrypt_inout_detached(&nonce, &head, text.into(), &tag),
            Schedule::Ctr128(_) | Schedule::Ctr192(_) | Schedule::Ctr256(_) => return None,
        };
        opened.is_ok().then_some(length)
    }

    /// Counter mode, which is the same both ways. The schedule is borrowed, not made anew.
    fn apply_stream(&self, header: &DataHeader, payload: &mut [u8]) {
        let counter = self.counter(header);
        match &self.schedule {
            Schedule::Ctr128(key) => apply(key, counter, payload),
            Schedule::Ctr192(key) => apply(key, counter, payload),
            Schedule::Ctr256(key) => apply(key, counter, payload),
            Schedule::Gcm128(_) | Schedule::Gcm192(_) | Schedule::Gcm256(_) => {}
        }
    }

    /// The first counter block (§6.2.2): the packet's number in bytes 10 to 13, the first 14 bytes of the salt over
    /// it, and 16 bits that count blocks.
    fn counter(&self, header: &DataHeader) -> [u8; 16] {
        let mut counter = [0; 16];
        counter[10..14].copy_from_slice(&header.seq.value().to_be_bytes());
        counter.iter_mut().zip(&self.salt[..14]).for_each(|(byte, salt)| *byte ^= salt);
        counter
    }

    /// The nonce of GCM as libsrt has it since 1.5.4: the packet's number in bytes 8 to 11, the salt over it.
    fn nonce(&self, header: &DataHeader) -> [u8; 12] {
        let mut nonce = [0; 12];
        nonce[8..].copy_from_slice(&header.seq.value().to_be_bytes());
        nonce.iter_mut().zip(&self.salt).for_each(|(byte, salt)| *byte ^= salt);
        nonce
    }
}

/// What GCM authenticates beside the payload: the header as it was sent first.
fn authenticated(header: &DataHeader) -> [u8; 16] {
    DataHeader { retransmitted: false, ..*header }.encode()
}

fn apply<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(
    key: &C,
    counter: [u8; 16],
    payload: &mut [u8],
) {
    Ctr128BE::<&C>::from_core(CtrCore::inner_iv_init(key, &counter.into())).apply_keystream(payload);
}
