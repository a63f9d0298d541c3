//! The message that carries keys (§3.2.2).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::secret::{KeyLength, WRAP_LEN};

/// Bytes of a salt.
pub(super) const SALT_LEN: usize = 16;
/// Bytes before the salt.
const HEAD_LEN: usize = 16;
/// Version 1, packet type 2, and "HAI" in five-bit letters (§3.2.2).
const SIGNATURE: [u8; 3] = [0x12, 0x20, 0x29];
/// Stream encapsulation: MPEG-TS over SRT, whatever is really carried.
const ENCAPSULATION: u8 = 2;

/// Why bytes are no key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyMaterialError {
    /// Too short, or longer or shorter than its own lengths say.
    #[error("key material of {0} bytes")]
    Length(usize),
    /// It does not begin as key material of version 1 does, or is not for SRT.
    #[error("key material begins with {0:02x?}")]
    Signature([u8; 3]),
    /// It says that it holds no key.
    #[error("key material without a key")]
    NoKey,
    /// A cipher and an authentication that do not exist or do not go together.
    #[error("cipher {cipher} with authentication {authentication}")]
    Cipher {
        /// The cipher.
        cipher: u8,
        /// The authentication.
        authentication: u8,
    },
    /// A salt that has not 16 bytes.
    #[error("salt of {0} bytes, want 16")]
    Salt(usize),
    /// A key that has not 16, 24 or 32 bytes.
    #[error("key of {0} bytes, want 16, 24 or 32")]
    Key(usize),
}

/// How payloads are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// AES in counter mode: secret, but not safe from change.
    #[default]
    Ctr,
    /// AES-GCM: secret and safe from change, for peers from libsrt 1.5.4 on.
    Gcm,
}

/// Which keys a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Even,
    Odd,
    Both,
}

/// A key material message: one or two keys, wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyMaterial {
    pub(super) keys: Keys,
    pub(super) cipher: Cipher,
    pub(super) salt: [u8; SALT_LEN],
    pub(super) length: KeyLength,
    /// The keys, the even one first if there are two.
    pub(super) wrapped: Bytes,
}

impl KeyMaterial {
    pub(super) fn parse(mut body: Bytes) -> Result<Self, KeyMaterialError> {
        let bytes = body.len();
        if bytes < HEAD_LEN {
            return Err(KeyMaterialError::Length(bytes));
        }
        let signature = [body.get_u8(), body.get_u8(), body.get_u8()];
        let keys = match body.get_u8() & 3 {
            0 => return Err(KeyMaterialError::NoKey),
            1 => Keys::Even,
            2 => Keys::Odd,
            _ => Keys::Both,
        };
        body.advance(4);
        let (cipher, authentication, encapsulation) = (body.get_u8(), body.get_u8(), body.get_u8());
        if signature != SIGNATURE || encapsulation != ENCAPSULATION {
            return Err(KeyMaterialError::Signature(signature));
        }
        let cipher = match (cipher, authentication) {
            (2, 0) => Cipher::Ctr,
            (4, 1) => Cipher::Gcm,
            _ => return Err(KeyMaterialError::Cipher { cipher, authentication }),
        };
        body.advance(3);
        let (salt_len, key_len) = (4 * usize::from(body.get_u8()), 4 * usize::from(body.get_u8()));
        if salt_len != SALT_LEN {
            return Err(KeyMaterialError::Salt(salt_len));
        }
        let length = KeyLength::from_bytes(key_len).ok_or(KeyMaterialError::Key(key_len))?;
        if bytes != HEAD_LEN + SALT_LEN + keys.count() * key_len + WRAP_LEN {
            return Err(KeyMaterialError::Length(bytes));
        }
        let salt = std::array::from_fn(|_| body.get_u8());
        Ok(Self { keys, cipher, salt, length, wrapped: body })
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let (cipher, authentication) = match self.cipher {
            Cipher::Ctr => (2, 0),
            Cipher::Gcm => (4, 1),
        };
        let keys = match self.keys {
            Keys::Even => 1,
            Keys::Odd => 2,
            Keys::Both => 3,
        };
        let mut out = BytesMut::with_capacity(HEAD_LEN + SALT_LEN + self.wrapped.len());
        out.put_slice(&SIGNATURE);
        out.put_slice(&[keys, 0, 0, 0, 0, cipher, authentication, ENCAPSULATION, 0, 0, 0]);
        out.put_slice(&[SALT_LEN as u8 / 4, self.length.bytes() as u8 / 4]);
        out.put_slice(&self.salt);
        out.put_slice(&self.wrapped);
        out.freeze()
    }
}

impl Keys {
    const fn count(self) -> usize {
        match self {
            Self::Even | Self::Odd => 1,
            Self::Both => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message() -> KeyMaterial {
        KeyMaterial {
            keys: Keys::Both,
            cipher: Cipher::Gcm,
            salt: [7; SALT_LEN],
            length: KeyLength::Aes192,
            wrapped: vec![9; 2 * 24 + 8].into(),
        }
    }

    #[test]
    fn each_field_is_checked() {
        let good = message().to_bytes();
        assert_eq!(KeyMaterial::parse(good.clone()), Ok(message()));
        let with = |place: usize, value: u8| {
            let mut bytes = good.to_vec();
            bytes[place] = value;
            KeyMaterial::parse(bytes.into()).unwrap_err().to_string()
        };
        assert_eq!(with(0, 0x32), "key material begins with [32, 20, 29]");
        assert_eq!(with(10, 1), "key material begins with [12, 20, 29]");
        assert_eq!(with(3, 0), "key material without a key");
        assert_eq!(with(3, 1), "key material of 88 bytes");
        assert_eq!(with(8, 2), "cipher 2 with authentication 1");
        assert_eq!(with(14, 255), "salt of 1020 bytes, want 16");
        assert_eq!(with(15, 0), "key of 0 bytes, want 16, 24 or 32");
        assert_eq!(with(15, 8), "key material of 88 bytes");
        for length in 0..good.len() {
            assert_eq!(KeyMaterial::parse(good.slice(..length)), Err(KeyMaterialError::Length(length)));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..120),
            keys in 0u8..4, cipher in 0u8..5, key_words in 0u8..10,
        ) {
            if bytes.len() >= HEAD_LEN {
                bytes[..3].copy_from_slice(&SIGNATURE);
                bytes[3] = keys;
                bytes[8..11].copy_from_slice(&[cipher, cipher / 4, ENCAPSULATION]);
                bytes[14..16].copy_from_slice(&[4, key_words]);
            }
            if let Ok(message) = KeyMaterial::parse(bytes.into()) {
                prop_assert_eq!(KeyMaterial::parse(message.to_bytes()), Ok(message));
            }
        }
    }
}
