//! The side that waits (§4.3.1).
//!
//! It keeps no state for anybody. A caller first gets a cookie: a number made of its address, the time and a secret,
//! in a reply no longer than the request. Only who returns it, and so can be reached at that address, becomes a
//! [`Request`]; whether that becomes a connection is up to whoever holds the listener.

use core::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::config::{LinkConfig, payload_bytes};
use super::control::{Control, ControlPacket};
use super::crypto::{self, Crypto, CryptoChoice};
use super::established::Established;
use super::extension::{Extension, Flags, Hello, Version};
use super::handshake::{Address, Cookie, Handshake, HandshakeError, MAGIC, Stage};
use super::{Cipher, Random, Reject, SocketId, StreamIdText};

/// How long a cookie is new; it holds for as long again.
const COOKIE_PERIOD: Duration = Duration::from_secs(30);

/// What a listener makes of a packet.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// Send this to where the packet came from.
    Reply(Bytes),
    /// Somebody wants to connect. It may be the same one again, because our answer was lost: look for a connection
    /// with this address and id first, and repeat its answer.
    Request(Box<Request>),
    /// Somebody wants to connect in a way that cannot be. Send the reply and count the reason.
    Refused {
        /// For the peer.
        reply: Bytes,
        /// Why.
        reason: Reject,
    },
    /// Nothing to be done, and nothing to be said.
    Ignored(Ignored),
}

/// Why a listener does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ignored {
    /// It is no handshake; often what is left of a connection that has ended.
    #[error("not a handshake")]
    NotHandshake,
    /// It is a handshake, but not a caller's.
    #[error("handshake at {0:?}, which is not for a listener")]
    Stage(Stage),
    /// A cookie that is not of this address and time. Its sender may be anybody.
    #[error("wrong cookie")]
    Cookie,
    /// Too short to be a handshake.
    #[error("{0}")]
    Malformed(#[from] HandshakeError),
}

/// The waiting side, without state. See the [module](self).
pub struct Listener {
    secret: Hmac<Sha256>,
    random: Random,
}

impl Listener {
    /// A listener whose cookies and keys come from `random`.
    pub fn new(mut random: Random) -> Self {
        let secret = Hmac::new_from_slice(&random.bytes::<32>()).expect("HMAC takes keys of any length");
        Self { secret, random }
    }

    /// Takes a packet for [`SocketId::LISTENER`], or for a connection that there is not.
    pub fn receive(&mut self, now: Duration, from: SocketAddr, packet: &ControlPacket) -> Answer {
        let Control::Handshake(body) = &packet.body else { return Answer::Ignored(Ignored::NotHandshake) };
        let mut rest = body.clone();
        let handshake = match Handshake::parse_head(&mut rest) {
            Ok(handshake) => handshake,
            Err(error) => return Answer::Ignored(error.into()),
        };
        match handshake.stage {
            Stage::Induction => Answer::Reply(self.give_cookie(now, from, handshake)),
            Stage::Conclusion if !self.is_ours(handshake.cookie, now, from) => {
                Answer::Ignored(Ignored::Cookie)
            }
            Stage::Conclusion => self.conclude(now, from, packet.timestamp_us, handshake, rest),
            stage => Answer::Ignored(Ignored::Stage(stage)),
        }
    }

    /// The reply to an induction: the same with a cookie. It has no extensions, so it is never the longer one.
    fn give_cookie(&self, now: Duration, from: SocketAddr, handshake: Handshake) -> Bytes {
        let reply = Handshake {
            version: 5,
            key_length: 0,
            extension_field: MAGIC,
            cookie: self.cookie(from, period(now)),
            address: from.ip().into(),
            ..handshake
        };
        packet_bytes(handshake.socket_id, &reply)
    }

    /// The cookie of an address in a period.
    fn cookie(&self, from: SocketAddr, period: u64) -> Cookie {
        let address = match from.ip() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let mut mac = self.secret.clone();
        mac.update(&address.octets());
        mac.update(&from.port().to_be_bytes());
        mac.update(&period.to_be_bytes());
        let bytes = mac.finalize().into_bytes();
        Cookie(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn is_ours(&self, cookie: Cookie, now: Duration, from: SocketAddr) -> bool {
        let period = period(now);
        cookie == self.cookie(from, period)
            || period.checked_sub(1).is_some_and(|last| cookie == self.cookie(from, last))
    }

    fn conclude(
        &mut self,
        now: Duration,
        from: SocketAddr,
        timestamp_us: u32,
        handshake: Handshake,
        extensions: Bytes,
    ) -> Answer {
        match Offer::of(&handshake, extensions) {
            Ok(offer) => Answer::Request(Box::new(Request {
                remote: from,
                handshake,
                offer,
                arrived: now,
                timestamp_us,
                random: self.random.fork(),
            })),
            Err(reason) => Answer::Refused { reply: refusal(&handshake, reason), reason },
        }
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

fn period(now: Duration) -> u64 {
    now.as_secs() / COOKIE_PERIOD.as_secs()
}

/// A handshake as a packet whose time is 0, which is when the connection begins.
pub(super) fn packet(destination: SocketId, handshake: &Handshake) -> ControlPacket {
    ControlPacket { timestamp_us: 0, destination, body: Control::Handshake(handshake.to_bytes()) }
}

fn packet_bytes(destination: SocketId, handshake: &Handshake) -> Bytes {
    packet(destination, handshake).to_bytes()
}

/// The refusal of a conclusion: the same without extensions, so never the longer one, and without an id of ours.
fn refusal(handshake: &Handshake, reason: Reject) -> Bytes {
    let stage = Stage::Reject(reason);
    let reply = Handshake { stage, extension_field: 0, extensions: Vec::new(), ..handshake.clone() };
    packet_bytes(handshake.socket_id, &reply)
}

/// What a peer's extensions say, if they make sense to us.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) hello: Hello,
    pub(super) key_material: Option<Bytes>,
    pub(super) choice: Option<CryptoChoice>,
    pub(super) stream_id: Option<StreamIdText>,
}

impl Offer {
    /// Reads the extensions of an initiator's conclusion.
    pub(super) fn of(handshake: &Handshake, extensions: Bytes) -> Result<Self, Reject> {
        if !handshake.is_sane() {
            return Err(Reject::ROGUE);
        }
        if handshake.version != 5 {
            return Err(Reject::VERSION);
        }
        let extensions = handshake.parse_extensions(extensions).map_err(|_| Reject::ROGUE)?;
        Self::read(extensions)
    }

    /// The keys that the initiator sent, if both sides have a passphrase, and the same.
    pub(super) fn unlock(&self, config: &LinkConfig, random: Random) -> Result<Option<Crypto>, Reject> {
        match (&config.passphrase, &self.key_material) {
            (None, None) => Ok(None),
            (Some(passphrase), Some(body)) => {
                Crypto::respond(passphrase, body, config.key_refresh, random).map(Some)
            }
            _ => Err(Reject::UNSECURE),
        }
    }

    /// What a responder says: its hello, and the initiator's key material to show that it was taken.
    pub(super) fn answer(&self, hello: Hello) -> Vec<Extension> {
        let key_material = self.key_material.clone().map(Extension::KeyMaterialResponse);
        [Some(Extension::HelloResponse(hello)), key_material].into_iter().flatten().collect()
    }

    /// The key length that goes with it.
    pub(super) fn announced_key_length(&self) -> u16 {
        self.choice.map_or(0, |choice| choice.length.announced())
    }

    pub(super) fn read(extensions: Vec<Extension>) -> Result<Self, Reject> {
        let (mut hello, mut key_material, mut stream_id) = (None, None, None);
        let mut unsupported = None;
        for extension in extensions {
            match extension {
                Extension::HelloRequest(said) if hello.is_none() => hello = Some(said),
                Extension::StreamId(text) if stream_id.is_none() => stream_id = Some(text),
                // A caller that has just made a new key sends both; the first is the one in use. A copy: a slice would keep
                // the whole datagram, which may be padded to 64 KiB, as long as the connection lasts.
                Extension::KeyMaterialRequest(body) => {
                    key_material = key_material.or_else(|| Some(Bytes::copy_from_slice(&body)));
                }
                Extension::Congestion(name) if name == "live" => {}
                Extension::Congestion(_) => unsupported = unsupported.or(Some(Reject::CONGESTION)),
                Extension::Filter(_) => unsupported = unsupported.or(Some(Reject::FILTER)),
                Extension::Group(_) => unsupported = unsupported.or(Some(Reject::GROUP)),
                Extension::Unknown { .. } => {}
                Extension::HelloRequest(_)
                | Extension::StreamId(_)
                | Extension::HelloResponse(_)
                | Extension::KeyMaterialResponse(_) => return Err(Reject::ROGUE),
            }
        }
        let hello = hello.ok_or(Reject::ROGUE)?;
        check_peer(&hello)?;
        if let Some(reason) = unsupported {
            return Err(reason);
        }
        let choice = key_material.as_ref().map(|body| crypto_choice(&hello, body)).transpose()?;
        Ok(Self { hello, key_material, choice, stream_id })
    }
}

/// Refuses peers that we cannot talk with.
pub(super) const fn check_peer(hello: &Hello) -> Result<(), Reject> {
    if hello.version.0 < Version::MINIMUM.0 {
        return Err(Reject::ROGUE);
    }
    if hello.flags.contains(Flags::STREAM) {
        return Err(Reject::MESSAGEAPI);
    }
    Ok(())
}

/// The encryption that a request wants, if we can do it.
fn crypto_choice(hello: &Hello, body: &Bytes) -> Result<CryptoChoice, Reject> {
    let choice = crypto::wish(body)?;
    // Before 1.5.4, libsrt leaves half of the packet's number out of the nonce, which then soon repeats.
    if choice.cipher == Cipher::Gcm && hello.version < Version::OURS {
        return Err(Reject::CRYPTO);
    }
    Ok(choice)
}

/// A caller that can be reached at its address and asks for a connection.
#[derive(Debug)]
pub struct Request {
    remote: SocketAddr,
    handshake: Handshake,
    offer: Offer,
    arrived: Duration,
    timestamp_us: u32,
    random: Random,
}

impl Request {
    /// Where the caller is.
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The caller's socket id. Together with [`remote`](Self::remote) it names the caller.
    pub const fn peer_id(&self) -> SocketId {
        self.handshake.socket_id
    }

    /// What the caller asks for, to be read as a [`StreamId`](super::StreamId). Often with a secret.
    pub fn stream_id(&self) -> Option<&str> {
        self.offer.stream_id.as_ref().map(StreamIdText::reveal)
    }

    /// The encryption that the caller wants; `None` if it wants none.
    pub const fn crypto(&self) -> Option<CryptoChoice> {
        self.offer.choice
    }

    /// The caller's version, abilities and latencies.
    pub const fn hello(&self) -> &Hello {
        &self.offer.hello
    }

    /// Makes it a connection whose packets come to `local_id`, and the packet that tells the caller.
    ///
    /// Keep that packet: if the conclusion comes again, send it again, with a `timestamp_us` of the time since
    /// [`Established::started`]. With a passphrase this takes about a millisecond.
    ///
    /// # Errors
    /// If only one side has a passphrase or they differ. Answer with [`reject`](Self::reject).
    pub fn accept(
        &self,
        now: Duration,
        local_id: SocketId,
        config: &LinkConfig,
    ) -> Result<(Established, ControlPacket), Reject> {
        let offer = &self.offer;
        let crypto = offer.unlock(config, self.random.clone())?;
        let answer = config.answer(&offer.hello);
        let mtu = config.agreed_mtu(&self.handshake);
        let reply = self.reply(local_id, config.flow_window, mtu, answer);
        let established = Established {
            local: local_id,
            peer: self.peer_id(),
            remote: self.remote,
            send_seq: self.handshake.initial_seq,
            receive_seq: self.handshake.initial_seq,
            send_latency: answer.send_latency,
            receive_latency: answer.receive_latency,
            peer_flags: offer.hello.flags.into(),
            peer_version: offer.hello.version,
            payload_bytes: payload_bytes(mtu),
            flow_window: self.handshake.flow_window,
            crypto,
            started: now,
            peer_clock: (self.timestamp_us, self.arrived),
        };
        Ok((established, packet(self.peer_id(), &reply)))
    }

    /// The answer to the conclusion. Like libsrt, we number our packets from where the caller numbers its own.
    fn reply(&self, local_id: SocketId, flow_window: u32, mtu: u32, answer: Hello) -> Handshake {
        Handshake {
            version: 5,
            key_length: self.offer.announced_key_length(),
            extension_field: 0,
            initial_seq: self.handshake.initial_seq,
            mtu,
            flow_window,
            stage: Stage::Conclusion,
            socket_id: local_id,
            cookie: self.handshake.cookie,
            address: Address::from(self.remote.ip()),
            extensions: self.offer.answer(answer),
        }
    }

    /// The packet that refuses.
    pub fn reject(&self, reason: Reject) -> Bytes {
        refusal(&self.handshake, reason)
    }
}
