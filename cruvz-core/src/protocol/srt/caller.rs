//! The side that connects (§4.3.1).
//!
//! It asks for a cookie, returns it with all that it wants, and is connected when the answer comes. Both packets are
//! sent again until they are answered.

use core::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::config::{LinkConfig, payload_bytes};
use super::control::{Control, ControlPacket};
use super::crypto::{Crypto, CryptoChoice};
use super::established::Established;
use super::extension::{Extension, Hello};
use super::handshake::{Cookie, Handshake, MAGIC, Stage};
use super::listener::check_peer;
use super::{Random, Reject, Seq, SocketId, StreamIdText};

/// What a caller wants.
#[derive(Clone, Debug)]
pub struct CallerConfig {
    /// What holds for callers and listeners alike.
    pub link: LinkConfig,
    /// The encryption, if there is a passphrase. Default AES-128 in counter mode.
    pub crypto: CryptoChoice,
    /// What it asks for, at most 512 bytes. Default none.
    pub stream_id: Option<StreamIdText>,
    /// How long to wait for each answer before asking again. Default 250 ms.
    pub retry_interval: Duration,
    /// How long to go on asking. Default 3 s.
    pub connect_timeout: Duration,
}

impl Default for CallerConfig {
    fn default() -> Self {
        Self {
            link: LinkConfig::default(),
            crypto: CryptoChoice::default(),
            stream_id: None,
            retry_interval: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(3),
        }
    }
}

/// How an attempt to connect ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is a connection now.
    Established(Box<Established>),
    /// The peer refused, or its answer will not do, or none came ([`Reject::TIMEOUT`]). Send what
    /// `poll_transmit` still gives.
    Rejected(Reject),
}

/// The key that was made for this connection, and the request that carries it.
pub(super) type Offered = Option<(Crypto, Bytes)>;

enum Phase {
    /// Waiting for a cookie.
    Induction,
    /// Waiting for the answer to a conclusion.
    Conclusion(Box<Attempt>),
    Over,
}

struct Attempt {
    conclusion: Handshake,
    offered: Offered,
}

/// The connecting side as a state machine. See the [module](self).
pub struct Caller {
    config: CallerConfig,
    remote: SocketAddr,
    induction: Handshake,
    random: Random,
    started: Duration,
    phase: Phase,
    next_send: Duration,
    /// A last packet, for a peer that thinks we are connected.
    farewell: Option<ControlPacket>,
}

impl Caller {
    /// A caller of `remote` whose packets come to `local_id`.
    pub fn new(
        now: Duration,
        config: CallerConfig,
        remote: SocketAddr,
        local_id: SocketId,
        mut random: Random,
    ) -> Self {
        let LinkConfig { mtu, flow_window, .. } = config.link;
        let induction = Handshake::induction(initial_seq(&mut random), mtu, flow_window, local_id);
        Self {
            config,
            remote,
            induction,
            random,
            started: now,
            phase: Phase::Induction,
            next_send: now,
            farewell: None,
        }
    }

    /// A packet for the peer, if it is time.
    pub fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        if let Some(farewell) = self.farewell.take() {
            return Some(farewell.to_bytes());
        }
        if now < self.next_send {
            return None;
        }
        let handshake = match &self.phase {
            Phase::Induction => &self.induction,
            Phase::Conclusion(attempt) => &attempt.conclusion,
            Phase::Over => return None,
        };
        self.next_send = now + self.config.retry_interval;
        let body = Control::Handshake(handshake.to_bytes());
        let timestamp_us = micros(now.saturating_sub(self.started));
        Some(ControlPacket { timestamp_us, destination: SocketId::LISTENER, body }.to_bytes())
    }

    /// When there is something to send, or to give up, at the earliest; `None` when it is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            Phase::Over => None,
            _ => Some(self.next_send.min(self.deadline())),
        }
    }

    /// Tells the time.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<Outcome> {
        let late = now >= self.deadline() && !matches!(self.phase, Phase::Over);
        late.then(|| self.give_up(Reject::TIMEOUT))
    }

    fn deadline(&self) -> Duration {
        self.started + self.config.connect_timeout
    }

    /// Takes a packet from the peer that was sent to our socket id. What does not belong here is passed over.
    pub fn receive(&mut self, now: Duration, packet: &ControlPacket) -> Option<Outcome> {
        let Control::Handshake(body) = &packet.body else { return None };
        let handshake = Handshake::parse(body.clone()).ok()?;
        match (&self.phase, handshake.stage) {
            (Phase::Over, _) => None,
            (_, Stage::Reject(reason)) => Some(self.give_up(reason)),
            (Phase::Induction, Stage::Induction) => self.take_cookie(now, &handshake),
            (Phase::Conclusion(..), Stage::Conclusion) => Some(self.conclude(now, packet, &handshake)),
            _ => None,
        }
    }

    fn give_up(&mut self, reason: Reject) -> Outcome {
        self.phase = Phase::Over;
        Outcome::Rejected(reason)
    }

    fn take_cookie(&mut self, now: Duration, answer: &Handshake) -> Option<Outcome> {
        if answer.version < 5 || answer.extension_field != MAGIC {
            return Some(self.give_up(Reject::VERSION));
        }
        let offered = offer(&self.config, &mut self.random);
        let conclusion = conclusion(&self.induction, &self.config, answer.cookie, offered.as_ref());
        self.phase = Phase::Conclusion(Box::new(Attempt { conclusion, offered }));
        self.next_send = now;
        None
    }

    fn conclude(&mut self, now: Duration, packet: &ControlPacket, answer: &Handshake) -> Outcome {
        let Phase::Conclusion(attempt) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Outcome::Rejected(Reject::IPE);
        };
        match Answered::read(answer, attempt.offered) {
            Ok(answered) => {
                let local = Local {
                    config: &self.config,
                    remote: self.remote,
                    induction: &self.induction,
                    started: self.started,
                };
                Outcome::Established(Box::new(local.established(now, packet.timestamp_us, answer, answered)))
            }
            Err(reason) => {
                // The peer has a connection by now, and would wait for its end.
                let timestamp_us = micros(now.saturating_sub(self.started));
                let destination = answer.socket_id;
                self.farewell = Some(ControlPacket { timestamp_us, destination, body: Control::Shutdown });
                Outcome::Rejected(reason)
            }
        }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("remote", &self.remote).finish_non_exhaustive()
    }
}

/// Where packet numbers begin: anywhere, but far from the wrap, so that an early loss does not meet it.
pub(super) fn initial_seq(random: &mut Random) -> Seq {
    Seq::new(random.number() >> 2)
}

/// A new key, if there is to be one.
pub(super) fn offer(config: &CallerConfig, random: &mut Random) -> Offered {
    let passphrase = config.link.passphrase.as_ref()?;
    Some(Crypto::initiate(passphrase, config.crypto, config.link.key_refresh, random.fork()))
}

/// What the initiator says.
pub(super) fn conclusion(
    induction: &Handshake,
    config: &CallerConfig,
    cookie: Cookie,
    offered: Option<&(Crypto, Bytes)>,
) -> Handshake {
    let extensions = [
        Some(Extension::HelloRequest(config.link.hello())),
        config.stream_id.clone().filter(|text| !text.reveal().is_empty()).map(Extension::StreamId),
        offered.map(|(_, message)| Extension::KeyMaterialRequest(message.clone())),
    ];
    Handshake {
        version: 5,
        key_length: offered.map_or(0, |(crypto, _)| crypto.choice().length.announced()),
        extension_field: 0,
        stage: Stage::Conclusion,
        cookie,
        extensions: extensions.into_iter().flatten().collect(),
        ..induction.clone()
    }
}

/// What a responder's extensions say, if they will do.
pub(super) struct Answered {
    hello: Hello,
    crypto: Option<Crypto>,
}

impl Answered {
    pub(super) fn read(answer: &Handshake, offered: Offered) -> Result<Self, Reject> {
        if answer.version < 5 {
            return Err(Reject::VERSION);
        }
        if !answer.is_sane() {
            return Err(Reject::ROGUE);
        }
        let (mut hello, mut key_answer) = (None, None);
        for extension in &answer.extensions {
            match extension {
                Extension::HelloResponse(said) => hello = Some(*said),
                Extension::KeyMaterialResponse(body) => key_answer = Some(body),
                Extension::Congestion(name) if name != "live" => return Err(Reject::CONGESTION),
                Extension::Filter(_) => return Err(Reject::FILTER),
                Extension::Group(_) => return Err(Reject::GROUP),
                _ => {}
            }
        }
        let hello = hello.ok_or(Reject::ROGUE)?;
        check_peer(&hello)?;
        let crypto = match (offered, key_answer) {
            (None, None) => None,
            (Some((crypto, message)), Some(body)) if message == body => Some(crypto),
            // 4 bytes say why it was not taken: 4 is a wrong passphrase, in either byte order.
            (Some(_), Some(body)) if body.len() == 4 && !body.contains(&4) => return Err(Reject::UNSECURE),
            (Some(_), Some(_)) => return Err(Reject::BADSECRET),
            (Some(_), None) | (None, Some(_)) => return Err(Reject::UNSECURE),
        };
        Ok(Self { hello, crypto })
    }
}

/// What an initiator knows when the answer comes.
pub(super) struct Local<'a> {
    pub(super) config: &'a CallerConfig,
    pub(super) remote: SocketAddr,
    pub(super) induction: &'a Handshake,
    pub(super) started: Duration,
}

impl Local<'_> {
    pub(super) fn established(
        &self,
        now: Duration,
        timestamp_us: u32,
        answer: &Handshake,
        answered: Answered,
    ) -> Established {
        let Answered { hello, crypto } = answered;
        // The responder has made the larger wish of each direction hold; a smaller one would be its fault.
        let agreed = self.config.link.answer(&hello);
        Established {
            local: self.induction.socket_id,
            peer: answer.socket_id,
            remote: self.remote,
            send_seq: self.induction.initial_seq,
            receive_seq: answer.initial_seq,
            send_latency: agreed.send_latency,
            receive_latency: agreed.receive_latency,
            peer_flags: hello.flags.into(),
            peer_version: hello.version,
            payload_bytes: payload_bytes(self.config.link.agreed_mtu(answer)),
            flow_window: answer.flow_window,
            crypto,
            started: self.started,
            peer_clock: (timestamp_us, now),
        }
    }
}

/// Microseconds as a timestamp, which wraps.
pub(super) fn micros(elapsed: Duration) -> u32 {
    elapsed.as_micros() as u32
}
