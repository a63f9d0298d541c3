//! Passphrases, and the key that wraps keys.

use std::fmt;

use aes::cipher::KeyInit;
use aes_kw::{KwAes128, KwAes192, KwAes256};
use sha1::Sha1;

use super::key_material::SALT_LEN;

/// Rounds of the derivation (§6.1.4, libsrt `HAICRYPT_PBKDF2_ITER_CNT`): about a millisecond of work.
const ROUNDS: u32 = 2_048;
/// Bytes of the salt that the derivation uses: the last ones.
const DERIVATION_SALT_LEN: usize = 8;
/// Bytes that wrapping adds (RFC 3394 §2.2).
pub(super) const WRAP_LEN: usize = 8;

/// A passphrase is too short or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("passphrase of {0} bytes, want 10 to 79")]
pub struct PassphraseError(pub usize);

/// What both sides must know: 10 to 79 bytes. Never shown: `Debug` says `Passphrase(***)`.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(String);

impl Passphrase {
    /// This passphrase.
    ///
    /// # Errors
    /// If it has less than 10 bytes or more than 79, which other peers would not take.
    pub fn new(text: impl Into<String>) -> Result<Self, PassphraseError> {
        let text = text.into();
        if (10..=79).contains(&text.len()) { Ok(Self(text)) } else { Err(PassphraseError(text.len())) }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

/// The length of an AES key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyLength {
    /// 128 bits.
    #[default]
    Aes128,
    /// 192 bits.
    Aes192,
    /// 256 bits.
    Aes256,
}

impl KeyLength {
    /// The length of `bytes` bytes: 16, 24 or 32.
    pub const fn from_bytes(bytes: usize) -> Option<Self> {
        match bytes {
            16 => Some(Self::Aes128),
            24 => Some(Self::Aes192),
            32 => Some(Self::Aes256),
            _ => None,
        }
    }

    /// As a handshake announces it: in units of 8 bytes (§3.2.1, table 2).
    pub(in crate::protocol::srt) const fn announced(self) -> u16 {
        self.bytes() as u16 / 8
    }

    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }
}

/// The key that wraps keys, derived from a passphrase and the last 8 bytes of the salt (§6.1.4).
pub(super) enum WrappingKey {
    Aes128(KwAes128),
    Aes192(KwAes192),
    Aes256(KwAes256),
}

impl WrappingKey {
    /// Derives it. It costs about a millisecond: only for peers whose address is known to be theirs.
    pub(super) fn derive(passphrase: &Passphrase, salt: &[u8; SALT_LEN], length: KeyLength) -> Self {
        let salt = &salt[SALT_LEN - DERIVATION_SALT_LEN..];
        let passphrase = passphrase.0.as_bytes();
        match length {
            KeyLength::Aes128 => Self::Aes128(KwAes128::new(&derive::<16>(passphrase, salt).into())),
            KeyLength::Aes192 => Self::Aes192(KwAes192::new(&derive::<24>(passphrase, salt).into())),
            KeyLength::Aes256 => Self::Aes256(KwAes256::new(&derive::<32>(passphrase, salt).into())),
        }
    }

    /// `keys` wrapped; their length is a multiple of 8.
    pub(super) fn wrap(&self, keys: &[u8]) -> Vec<u8> {
        let mut wrapped = vec![0; keys.len() + WRAP_LEN];
        let done = match self {
            Self::Aes128(key) => key.wrap_key(keys, &mut wrapped),
            Self::Aes192(key) => key.wrap_key(keys, &mut wrapped),
            Self::Aes256(key) => key.wrap_key(keys, &mut wrapped),
        };
        done.expect("one or two keys, and room for them");
        wrapped
    }

    /// What was wrapped; `None` if the passphrase was another.
    pub(super) fn unwrap(&self, wrapped: &[u8]) -> Option<Vec<u8>> {
        let mut keys = vec![0; wrapped.len().checked_sub(WRAP_LEN)?];
        let done = match self {
            Self::Aes128(key) => key.unwrap_key(wrapped, &mut keys),
            Self::Aes192(key) => key.unwrap_key(wrapped, &mut keys),
            Self::Aes256(key) => key.unwrap_key(wrapped, &mut keys),
        };
        done.is_ok().then_some(keys)
    }
}

fn derive<const N: usize>(passphrase: &[u8], salt: &[u8]) -> [u8; N] {
    pbkdf2::pbkdf2_hmac_array::<Sha1, N>(passphrase, salt, ROUNDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_has_ten_to_seventy_nine_bytes() {
        assert_eq!(Passphrase::new("123456789"), Err(PassphraseError(9)));
        assert!(Passphrase::new("1234567890").is_ok() && Passphrase::new("x".repeat(79)).is_ok());
        assert_eq!(
            Passphrase::new("x".repeat(80)).unwrap_err().to_string(),
            "passphrase of 80 bytes, want 10 to 79"
        );
        assert_eq!(format!("{:?}", Passphrase::new("1234567890")), "Ok(Passphrase(***))");
    }

    #[test]
    fn wrapped_keys_come_back_with_the_same_passphrase_only() {
        let (right, wrong) =
            (Passphrase::new("right horse").unwrap(), Passphrase::new("wrong horse").unwrap());
        let salt = std::array::from_fn(|n| n as u8);
        for length in [KeyLength::Aes128, KeyLength::Aes192, KeyLength::Aes256] {
            assert_eq!(KeyLength::from_bytes(length.bytes()), Some(length));
            let keys: Vec<u8> = (0..2 * length.bytes()).map(|n| n as u8).collect();
            let wrapped = WrappingKey::derive(&right, &salt, length).wrap(&keys);
            assert_eq!(wrapped.len(), keys.len() + 8);
            assert_eq!(WrappingKey::derive(&right, &salt, length).unwrap(&wrapped), Some(keys));
            assert_eq!(WrappingKey::derive(&wrong, &salt, length).unwrap(&wrapped), None);
            assert_eq!(WrappingKey::derive(&right, &salt, length).unwrap(&wrapped[..7]), None);
            assert_eq!(WrappingKey::derive(&right, &salt, length).unwrap(&wrapped[..11]), None);
        }
        assert_eq!(KeyLength::from_bytes(20), None);
    }
}
