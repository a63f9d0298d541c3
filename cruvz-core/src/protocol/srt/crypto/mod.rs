//! Encryption (§6): keys made by the initiator, wrapped with a key derived from the passphrase, and renewed.
//!
//! A connection begins with one key for both directions, the even one. Each side then renews its own: the next key
//! is announced well before its first packet, is sent until the peer has confirmed it, and is taken into use only
//! then. Which key a packet wants is in its header, so that keys may change under retransmission.

mod data_key;
mod key_material;
mod secret;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use data_key::DataKey;
pub use data_key::TAG_LEN;
pub use key_material::{Cipher, KeyMaterialError};
use key_material::{KeyMaterial, Keys, SALT_LEN};
use secret::WrappingKey;
pub use secret::{KeyLength, Passphrase, PassphraseError};

use super::{DataHeader, KeyFlag, Random, Reject};

/// What a peer's encryption is to be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CryptoChoice {
    /// How payloads are encrypted.
    pub cipher: Cipher,
    /// How long keys are.
    pub length: KeyLength,
}

/// When keys are renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRefresh {
    /// Packets that are sent with one key. Default 2^24, a day at 190 packets per second; at most 2^30.
    pub packets: u32,
    /// How many packets before that the next key is announced. Default 4,096; at most half of `packets`.
    pub announce_packets: u32,
}

impl Default for KeyRefresh {
    fn default() -> Self {
        Self { packets: 1 << 24, announce_packets: 1 << 12 }
    }
}

/// Why a payload cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is not encrypted, on a connection that is.
    #[error("packet {0} is not encrypted")]
    Plain(u32),
    /// It wants a key that was never announced.
    #[error("packet {0} wants a key that has not come")]
    NoKey(u32),
    /// It was changed, or encrypted with another key. Only GCM can tell.
    #[error("packet {0} is not authentic")]
    Forged(u32),
}

/// The keys of one connection.
pub struct Crypto {
    choice: CryptoChoice,
    salt: [u8; SALT_LEN],
    wrapping: WrappingKey,
    random: Random,
    refresh: KeyRefresh,
    send: Sending,
    /// The peer's even and odd key.
    recv: [Option<Arc<DataKey>>; 2],
    /// The key material that the peer sent last, to know it when it comes again.
    last_heard: Bytes,
}

/// Our half.
struct Sending {
    parity: Parity,
    /// The key in use, and its bytes, which go along with the next key.
    key: Arc<DataKey>,
    secret: [u8; 32],
    /// Packets sent with it.
    packets: u32,
    next: Option<Next>,
}

/// A key that is announced and not yet in use.
struct Next {
    key: Arc<DataKey>,
    secret: [u8; 32],
    message: Bytes,
    sent: Option<Duration>,
    confirmed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parity {
    Even,
    Odd,
}

impl Parity {
    const fn other(self) -> Self {
        match self {
            Self::Even => Self::Odd,
            Self::Odd => Self::Even,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Even => 0,
            Self::Odd => 1,
        }
    }
}

/// The least time between two announcements of one key.
const MIN_ANNOUNCE_INTERVAL: Duration = Duration::from_millis(20);

/// States of key exchange that an answer of 4 bytes tells (libsrt `SRT_KM_STATE`).
mod state {
    pub(super) const BAD_SECRET: u8 = 4;
    pub(super) const BAD_CIPHER: u8 = 5;
}

impl Crypto {
    /// The initiator's side: a new key, and the request that carries it.
    pub(super) fn initiate(
        passphrase: &Passphrase,
        choice: CryptoChoice,
        refresh: KeyRefresh,
        mut random: Random,
    ) -> (Self, Bytes) {
        let (salt, secret) = (random.bytes(), random.bytes());
        let wrapping = WrappingKey::derive(passphrase, &salt, choice.length);
        let crypto = Self::new(choice, salt, wrapping, refresh, random, Parity::Even, secret);
        let message = crypto.announce(Keys::Even, &secret[..choice.length.bytes()]);
        (crypto, message)
    }

    /// The responder's side, from the initiator's request, which is also the answer.
    pub(super) fn respond(
        passphrase: &Passphrase,
        request: &Bytes,
        refresh: KeyRefresh,
        random: Random,
    ) -> Result<Self, Reject> {
        let material = read(request)?;
        let KeyMaterial { cipher, salt, length, .. } = material;
        let wrapping = WrappingKey::derive(passphrase, &salt, length);
        let secrets = wrapping.unwrap(&material.wrapped).ok_or(Reject::BADSECRET)?;
        let parity = if material.keys == Keys::Odd { Parity::Odd } else { Parity::Even };
        let secret = padded(&secrets[..length.bytes()]);
        let choice = CryptoChoice { cipher, length };
        let mut crypto = Self::new(choice, salt, wrapping, refresh, random, parity, secret);
        crypto.install(material.keys, &secrets);
        crypto.last_heard = request.clone();
        Ok(crypto)
    }

    fn new(
        choice: CryptoChoice,
        salt: [u8; SALT_LEN],
        wrapping: WrappingKey,
        refresh: KeyRefresh,
        random: Random,
        parity: Parity,
        secret: [u8; 32],
    ) -> Self {
        let packets = refresh.packets.clamp(2, 1 << 30);
        let announce_packets = refresh.announce_packets.clamp(1, packets / 2);
        let key = Arc::new(DataKey::new(choice.cipher, choice.length, &secret, salt));
        let mut recv = [None, None];
        recv[parity.index()] = Some(key.clone());
        let send = Sending { parity, key, secret, packets: 0, next: None };
        let refresh = KeyRefresh { packets, announce_packets };
        Self { choice, salt, wrapping, random, refresh, send, recv, last_heard: Bytes::new() }
    }

    /// How payloads are encrypted.
    pub const fn choice(&self) -> CryptoChoice {
        self.choice
    }

    /// Bytes that encryption adds to a payload.
    pub const fn overhead(&self) -> usize {
        match self.choice.cipher {
            Cipher::Ctr => 0,
            Cipher::Gcm => TAG_LEN,
        }
    }

    /// Appends a whole packet: `header` with its key flag set, and `payload` encrypted.
    ///
    /// A packet that is sent again must have the same timestamp and message number as at first: with GCM, another
    /// header under the same number would give the key away.
    pub fn seal(&mut self, header: DataHeader, payload: &[u8], out: &mut Vec<u8>) {
        if !header.retransmitted {
            self.count_packet();
        }
        let key = match self.send.parity {
            Parity::Even => KeyFlag::Even,
            Parity::Odd => KeyFlag::Odd,
        };
        let header = DataHeader { key, ..header };
        out.extend_from_slice(&header.encode());
        let start = out.len();
        out.extend_from_slice(payload);
        if let Some(tag) = self.send.key.seal(&header, &mut out[start..]) {
            out.extend_from_slice(&tag);
        }
    }

    /// The payload of a packet in the clear.
    ///
    /// # Errors
    /// If it cannot be had. The packet is to be dropped as if it had never come.
    pub fn open(&self, header: &DataHeader, payload: Bytes) -> Result<Bytes, OpenError> {
        let seq = header.seq.value();
        let parity = match header.key {
            KeyFlag::None => return Err(OpenError::Plain(seq)),
            KeyFlag::Even => Parity::Even,
            KeyFlag::Odd => Parity::Odd,
        };
        let key = self.recv[parity.index()].as_ref().ok_or(OpenError::NoKey(seq))?;
        let mut payload = BytesMut::from(payload);
        let length = key.open(header, &mut payload).ok_or(OpenError::Forged(seq))?;
        payload.truncate(length);
        Ok(payload.freeze())
    }

    /// Key material to be sent as [`Control::KeyMaterialRequest`](super::Control::KeyMaterialRequest), if it is time:
    /// a key that the peer has not confirmed, every one and a half round trips. To be asked at each tick.
    pub fn poll_key_material(&mut self, now: Duration, rtt: Duration) -> Option<Bytes> {
        let next = self.send.next.as_mut().filter(|next| !next.confirmed)?;
        let interval = (rtt * 3 / 2).max(MIN_ANNOUNCE_INTERVAL);
        if next.sent.is_some_and(|sent| now < sent + interval) {
            return None;
        }
        next.sent = Some(now);
        Some(next.message.clone())
    }

    /// Takes a [`Control::KeyMaterialResponse`](super::Control::KeyMaterialResponse).
    pub fn receive_response(&mut self, body: &Bytes) {
        match &mut self.send.next {
            Some(next) if next.message == body => next.confirmed = true,
            // It was refused. Go on with the key that is, and try again when another period has passed.
            Some(next) if body.len() == 4 && !next.confirmed => {
                self.send.next = None;
                self.send.packets = 0;
            }
            _ => {}
        }
    }

    /// Takes a [`Control::KeyMaterialRequest`](super::Control::KeyMaterialRequest) and returns the body of the
    /// answer.
    ///
    /// Salt, cipher and length stay as they were: a new salt would make each packet a millisecond of work.
    pub fn receive_request(&mut self, body: &Bytes) -> Bytes {
        if *body == self.last_heard {
            return body.clone();
        }
        let Ok(material) = KeyMaterial::parse(body.clone()) else { return refusal(state::BAD_SECRET) };
        if (CryptoChoice { cipher: material.cipher, length: material.length }) != self.choice {
            return refusal(state::BAD_CIPHER);
        }
        let secrets = self.wrapping.unwrap(&material.wrapped).filter(|_| material.salt == self.salt);
        let Some(secrets) = secrets else { return refusal(state::BAD_SECRET) };
        self.install(material.keys, &secrets);
        self.last_heard = body.clone();
        body.clone()
    }

    /// Makes the peer's keys ready, unless they are the ones that are there.
    fn install(&mut self, keys: Keys, secrets: &[u8]) {
        let length = self.choice.length.bytes();
        let parities: &[Parity] = match keys {
            Keys::Even => &[Parity::Even],
            Keys::Odd => &[Parity::Odd],
            Keys::Both => &[Parity::Even, Parity::Odd],
        };
        for (parity, secret) in parities.iter().zip(secrets.chunks(length)) {
            self.recv[parity.index()] = Some(Arc::new(self.data_key(&padded(secret))));
        }
    }

    fn data_key(&self, secret: &[u8; 32]) -> DataKey {
        DataKey::new(self.choice.cipher, self.choice.length, secret, self.salt)
    }

    fn announce(&self, keys: Keys, secrets: &[u8]) -> Bytes {
        let CryptoChoice { cipher, length } = self.choice;
        let wrapped = self.wrapping.wrap(secrets).into();
        KeyMaterial { keys, cipher, salt: self.salt, length, wrapped }.to_bytes()
    }

    /// Counts a packet that is about to be sent, and moves on to the next key when it is time.
    fn count_packet(&mut self) {
        self.send.packets = self.send.packets.saturating_add(1);
        if self.send.packets > self.refresh.packets
            && let Some(next) = self.send.next.take_if(|next| next.confirmed)
        {
            self.send.parity = self.send.parity.other();
            self.send.key = next.key;
            self.send.secret = next.secret;
            self.send.packets = 1;
        }
        if self.send.packets > self.refresh.packets - self.refresh.announce_packets
            && self.send.next.is_none()
        {
            self.send.next = Some(self.make_next());
        }
    }

    fn make_next(&mut self) -> Next {
        let secret = self.random.bytes();
        let length = self.choice.length.bytes();
        let (even, odd) = match self.send.parity {
            Parity::Even => (&self.send.secret, &secret),
            Parity::Odd => (&secret, &self.send.secret),
        };
        let message = self.announce(Keys::Both, &[&even[..length], &odd[..length]].concat());
        Next { key: Arc::new(self.data_key(&secret)), secret, message, sent: None, confirmed: false }
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto").field("choice", &self.choice).finish_non_exhaustive()
    }
}

/// What a request's key material asks for, without the secret.
pub(super) fn wish(request: &Bytes) -> Result<CryptoChoice, Reject> {
    read(request).map(|material| CryptoChoice { cipher: material.cipher, length: material.length })
}

/// Reads a request; libsrt, too, takes one that it cannot read for that of somebody without the secret.
fn read(request: &Bytes) -> Result<KeyMaterial, Reject> {
    KeyMaterial::parse(request.clone()).map_err(|error| match error {
        KeyMaterialError::Cipher { .. } => Reject::CRYPTO,
        _ => Reject::BADSECRET,
    })
}

/// An answer that refuses. libsrt writes it in the order of its own machine, which nearly always is this one.
fn refusal(state: u8) -> Bytes {
    Bytes::copy_from_slice(&[state, 0, 0, 0])
}

/// A key with zeros behind it.
fn padded(secret: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    key[..secret.len()].copy_from_slice(secret);
    key
}

#[cfg(test)]
mod tests;
