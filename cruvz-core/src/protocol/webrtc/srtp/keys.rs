//! Where keys come from.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipher};
use aes::{Aes128Enc, Aes256Enc};
use ctr::{Ctr128BE, CtrCore};

/// The longest key of any profile, in bytes.
const MAX_KEY: usize = 32;
/// The longest salt.
const MAX_SALT: usize = 14;

/// How packets are protected (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM`: half the work of the counter mode.
    AeadAes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`.
    AeadAes256Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80`, which everybody must have.
    Aes128CmSha1_80,
}

impl Profile {
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::Aes128CmSha1_80 => 16,
            Self::AeadAes256Gcm => MAX_KEY,
        }
    }

    pub(super) fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::Aes128CmSha1_80 => MAX_SALT,
        }
    }

    /// Bytes that a packet grows by, apart from the index of RTCP.
    pub fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::Aes128CmSha1_80 => 10,
        }
    }

    /// Bytes that both sides' master keys and salts take.
    pub fn keying_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// The key that one side's session keys are derived from.
#[derive(Clone)]
pub struct MasterKey {
    profile: Profile,
    key: [u8; MAX_KEY],
    salt: [u8; MAX_SALT],
}

/// Both sides' master keys, as a DTLS handshake leaves them (RFC 5764 §4.2).
#[derive(Clone)]
pub struct KeyingMaterial {
    /// For what the DTLS client sends.
    pub client: MasterKey,
    /// For what the DTLS server sends.
    pub server: MasterKey,
}

impl KeyingMaterial {
    /// Takes what was exported: client key, server key, client salt, server salt. `None` if it is not
    /// [`Profile::keying_len`] bytes.
    pub fn new(profile: Profile, exported: &[u8]) -> Option<Self> {
        if exported.len() != profile.keying_len() {
            return None;
        }
        let (keys, salts) = exported.split_at(2 * profile.key_len());
        let (client_key, server_key) = keys.split_at(profile.key_len());
        let (client_salt, server_salt) = salts.split_at(profile.salt_len());
        let client = MasterKey::new(profile, client_key, client_salt)?;
        let server = MasterKey::new(profile, server_key, server_salt)?;
        Some(Self { client, server })
    }
}

/// What a session key is for; its number is the label of its derivation (RFC 3711 §4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Rtp = 0,
    Rtcp = 3,
}

/// The keys of one direction and purpose.
pub(super) struct SessionKeys {
    pub(super) profile: Profile,
    key: [u8; MAX_KEY],
    /// For [`Profile::Aes128CmSha1_80`] only.
    pub(super) authentication: [u8; 20],
    /// As long as the profile's; zeros after that.
    pub(super) salt: [u8; MAX_SALT],
}

#[cfg(test)]
impl SessionKeys {
    /// Keys that were derived elsewhere.
    pub(super) fn raw(profile: Profile, key: &[u8], salt: &[u8]) -> Self {
        let MasterKey { key, salt, .. } = MasterKey::raw(profile, key, salt);
        Self { profile, key, authentication: [0; 20], salt }
    }
}

impl SessionKeys {
    pub(super) fn key(&self) -> &[u8] {
        &self.key[..self.profile.key_len()]
    }
}

impl MasterKey {
    /// A key and a salt as long as `profile` has them; `None` if they are not.
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Option<Self> {
        let fit = (key.len(), salt.len()) == (profile.key_len(), profile.salt_len());
        fit.then(|| Self::raw(profile, key, salt))
    }

    /// A key and a salt of any length up to the longest.
    pub(super) fn raw(profile: Profile, key: &[u8], salt: &[u8]) -> Self {
        let mut master = Self { profile, key: [0; MAX_KEY], salt: [0; MAX_SALT] };
        master.key[..key.len()].copy_from_slice(key);
        master.salt[..salt.len()].copy_from_slice(salt);
        master
    }

    /// The profile that it is for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    pub(super) fn derive(&self, purpose: Purpose) -> SessionKeys {
        let (profile, label) = (self.profile, purpose as u8);
        let mut keys =
            SessionKeys { profile, key: [0; MAX_KEY], authentication: [0; 20], salt: [0; MAX_SALT] };
        self.expand(label, &mut keys.key[..profile.key_len()]);
        self.expand(label + 1, &mut keys.authentication);
        self.expand(label + 2, &mut keys.salt[..profile.salt_len()]);
        keys
    }

    /// Key derivation without renewal (RFC 3711 §4.3.1 and §4.3.3, RFC 6188 §3): the key stream of the master key from
    /// the counter that the salt and the label make. A salt of 12 bytes stands at the left (RFC 7714 §11).
    fn expand(&self, label: u8, out: &mut [u8]) {
        let mut counter = [0; 16];
        counter[..MAX_SALT].copy_from_slice(&self.salt);
        counter[7] ^= label;
        let (short, _) = self.key.split_first_chunk::<16>().expect("16 of 32");
        match self.profile {
            Profile::AeadAes256Gcm => apply_stream(&Aes256Enc::new(&self.key.into()), counter, out),
            _ => apply_stream(&Aes128Enc::new(short.into()), counter, out),
        }
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MasterKey({:?}, ***)", self.profile)
    }
}

impl std::fmt::Debug for KeyingMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyingMaterial({:?}, ***)", self.client.profile)
    }
}

/// Counter mode, which is the same both ways. The key schedule is borrowed, not made anew for each packet.
pub(super) fn apply_stream<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(
    key: &C,
    counter: [u8; 16],
    bytes: &mut [u8],
) {
    Ctr128BE::<&C>::from_core(CtrCore::inner_iv_init(key, &counter.into())).apply_keystream(bytes);
}
