//! DTLS, which does one thing here: it gives both sides the keys of SRTP (RFC 5764) and proves whose they are.
//!
//! The handshake is that of the crate `rtc-dtls`, which nobody outside this file sees. Around it stand
//! - a gate: only records and handshake messages whose lengths fit into each other get in, and of those only as many bytes
//!   as a handshake may take; the crate keeps what it does not need yet and assembles fragments by recursion;
//! - our own repeating: what was last sent is sent again as it was (RFC 6347 §4.2.4), after 250 ms, then half as often,
//!   at least each second. A peer that has it passes it over; the crate's own timer stops at the first repeated message of
//!   the peer and would leave a lost flight lost;
//! - an end: once the keys are there, the handshake's memory is given back. Kept are the last flight, which the peer may
//!   lack, and a close_notify made beforehand.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate as KeyPair;
use rtc_dtls::crypto_provider;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;

use super::client_hello::{Greeting, PREFERENCE};
use super::fingerprint::{Digest, Fingerprint};
use super::srtp::{KeyingMaterial, Profile};

/// What the keys of SRTP are exported under (RFC 5764 §4.2).
const EXPORT_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// When a flight is sent again for the first time.
const FIRST_REPEAT: Duration = Duration::from_millis(250);
/// How long it waits at most between repeats.
const SLOWEST_REPEAT: Duration = Duration::from_secs(1);
/// The last flight is repeated at most this often when the peer asks, and not more than once in [`FIRST_REPEAT`].
const MAX_LAST_FLIGHTS: u32 = 16;
/// The only peer that the crate's endpoint ever has: it knows peers by address, and ours may move.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// Which part of the handshake is ours (RFC 8842 §5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtlsRole {
    /// `a=setup:passive`: the peer begins.
    #[default]
    Passive,
    /// `a=setup:active`: we begin, as soon as a path is proved.
    Active,
}

/// Why there are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DtlsError {
    /// No certificate could be made.
    #[error("no DTLS certificate: {0}")]
    Certificate(String),
    /// The peers have nothing in common, or one does not keep to the rules.
    #[error("DTLS handshake failed: {0}")]
    Handshake(String),
    /// The peer refuses, with this alert (RFC 5246 §7.2).
    #[error("peer ended the DTLS handshake with alert {0}")]
    Alert(u8),
    /// The peer has another certificate than it said.
    #[error("peer has the certificate {presented}, not {expected}")]
    Fingerprint {
        /// What the description said.
        expected: Fingerprint,
        /// What it has.
        presented: Fingerprint,
    },
    /// The peer wants no SRTP, or only profiles that we do not have.
    #[error("no SRTP profile in common")]
    NoSrtp,
}

/// An engine's certificate, with what each of its handshakes shares.
pub struct Certificate {
    /// One for each profile that we may choose, as in [`PREFERENCE`]: the crate would choose as the peer likes.
    passive: [Arc<HandshakeConfig>; PREFERENCE.len()],
    active: Arc<HandshakeConfig>,
    fingerprint: Fingerprint,
    origin: Instant,
}

impl Certificate {
    /// A new self-signed certificate (ECDSA on P-256), for all connections of an engine.
    ///
    /// `origin` is any moment: the crate beneath wants one for timers that are not used.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn generate(origin: Instant) -> Result<Arc<Self>, DtlsError> {
        let failed = |error: &dyn std::fmt::Display| DtlsError::Certificate(error.to_string());
        let provider = crypto_provider::default_provider().map_err(|error| failed(&error))?;
        let pair = KeyPair::generate_self_signed(vec!["webrtc".to_owned()], provider.crypto())
            .map_err(|error| failed(&error))?;
        let fingerprint = pair.certificate.first().map(|der| Fingerprint::of(Digest::Sha256, der));
        let fingerprint = fingerprint.ok_or_else(|| failed(&"it is empty"))?;
        let config = |is_client, profiles: &[Profile]| {
            ConfigBuilder::default()
                .with_crypto_provider(provider.clone())
                .with_certificates(vec![pair.clone()])
                .with_srtp_protection_profiles(profiles.iter().map(|profile| theirs(*profile)).collect())
                .with_client_auth(ClientAuthType::RequireAnyClientCert)
                // Certificates are self-signed: what counts is the fingerprint, which we compare ourselves.
                .with_insecure_skip_verify(true)
                .with_server_name("webrtc".to_owned())
                .with_extended_master_secret(ExtendedMasterSecretType::Require)
                .build(is_client, None)
                .map(Arc::new)
                .map_err(|error| failed(&error))
        };
        let all = PREFERENCE.map(|(_, profile)| profile);
        let [first, second, third] = all.map(|profile| config(false, &[profile]));
        let passive = [first?, second?, third?];
        Ok(Arc::new(Self { passive, active: config(true, &all)?, fingerprint, origin }))
    }

    /// What a handshake with this profile is begun with. Without one that we have, the last one refuses as well as any.
    fn passive(&self, profile: Option<Profile>) -> Arc<HandshakeConfig> {
        let [.., last] = &self.passive;
        let found = PREFERENCE.iter().zip(&self.passive).find(|((_, known), _)| Some(*known) == profile);
        found.map_or(last, |(_, config)| config).clone()
    }

    /// What a description says of it.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.fingerprint)
    }
}

/// What a datagram brought about.
#[derive(Debug)]
pub(super) enum DtlsEvent {
    /// The handshake is over.
    Connected(KeyingMaterial),
    /// The peer is gone.
    Closed,
    /// Something that may be a close_notify; there are no keys any more to tell.
    MaybeClosed,
}

/// The DTLS of one peer.
pub(super) struct Dtls {
    certificate: Arc<Certificate>,
    expected: Fingerprint,
    role: DtlsRole,
    /// Bytes that the peer may still send for its handshake.
    budget: usize,
    phase: Phase,
}

enum Phase {
    Idle,
    /// The peer has begun to say hello.
    Greeting(Box<Greeting>),
    Handshaking(Box<Handshaking>),
    Done(Box<Done>),
}

struct Handshaking {
    endpoint: Endpoint,
    flight: Flight,
}

/// What we said last, until the peer answers.
#[derive(Default)]
struct Flight {
    datagrams: Vec<Bytes>,
    repeats: u32,
    next: Option<Duration>,
}

struct Done {
    /// Datagrams that the peer needs to be done as well.
    last_flight: Vec<Bytes>,
    repeats: u32,
    not_before: Duration,
    /// A close_notify, encrypted.
    farewell: Vec<Bytes>,
}

impl Dtls {
    /// The DTLS of a peer whose certificate has the fingerprint `expected`, and which may take `budget` bytes to
    /// shake hands.
    pub(super) fn new(
        certificate: Arc<Certificate>,
        expected: Fingerprint,
        role: DtlsRole,
        budget: usize,
    ) -> Self {
        Self { certificate, expected, role, budget, phase: Phase::Idle }
    }

    /// Our part.
    pub(super) fn role(&self) -> DtlsRole {
        self.role
    }

    /// Begins the handshake if that is our part; what is to be sent goes to `out`.
    pub(super) fn start(&mut self, now: Duration, out: &mut Vec<Bytes>) -> Result<(), DtlsError> {
        if !matches!((&self.phase, self.role), (Phase::Idle, DtlsRole::Active)) {
            return Ok(());
        }
        let mut handshaking = Handshaking::new(None);
        let config = self.certificate.active.clone();
        let begun = handshaking.endpoint.connect(self.certificate.origin, PEER, config, None);
        begun.map_err(|error| DtlsError::Handshake(error.to_string()))?;
        handshaking.send(now, out);
        self.phase = Phase::Handshaking(Box::new(handshaking));
        Ok(())
    }

    /// Takes a datagram that came on a proved path; what is to be sent goes to `out`.
    pub(super) fn receive(
        &mut self,
        now: Duration,
        datagram: &[u8],
        out: &mut Vec<Bytes>,
    ) -> Result<Option<DtlsEvent>, DtlsError> {
        if let Phase::Done(done) = &mut self.phase {
            return Ok(done.receive(now, datagram, out));
        }
        let Some(admitted) = admit(datagram, &mut self.budget) else { return Ok(None) };
        for admitted in self.greet(admitted) {
            if let Some(event) = self.read(now, admitted, out)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Waits for the whole of a peer's hello, and begins with it. What is to be read now.
    fn greet(&mut self, datagram: BytesMut) -> Vec<BytesMut> {
        if matches!((&self.phase, self.role), (Phase::Idle, DtlsRole::Passive)) {
            self.phase = Phase::Greeting(Box::default());
        }
        match &mut self.phase {
            Phase::Handshaking(_) => vec![datagram],
            Phase::Greeting(greeting) => {
                let first = records(&datagram).next().filter(|record| record[0] == HANDSHAKE);
                let body = first.map(|record| record[RECORD_HEADER_LEN..].to_vec());
                let Some((profile, datagrams)) = body.and_then(|body| greeting.take(&body, datagram)) else {
                    return Vec::new();
                };
                let handshaking = Handshaking::new(Some(self.certificate.passive(profile)));
                self.phase = Phase::Handshaking(Box::new(handshaking));
                datagrams
            }
            // Who is to be passive has nothing to say before we began.
            Phase::Idle | Phase::Done(_) => Vec::new(),
        }
    }

    fn read(
        &mut self,
        now: Duration,
        datagram: BytesMut,
        out: &mut Vec<Bytes>,
    ) -> Result<Option<DtlsEvent>, DtlsError> {
        let alert = alert(&datagram);
        let Phase::Handshaking(handshaking) = &mut self.phase else { return Ok(None) };
        let read = handshaking.endpoint.read(self.certificate.origin, PEER, None, datagram);
        handshaking.send(now, out);
        match read {
            Err(error) => Err(alert.unwrap_or_else(|| DtlsError::Handshake(error.to_string()))),
            Ok(events) if events.iter().any(|event| matches!(event, EndpointEvent::PeerClosed)) => {
                Ok(Some(DtlsEvent::Closed))
            }
            Ok(events) if events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete)) => {
                self.finish(now).map(Some)
            }
            Ok(_) => Ok(None),
        }
    }

    /// Takes the keys, and gives the handshake's memory back.
    fn finish(&mut self, now: Duration) -> Result<DtlsEvent, DtlsError> {
        let Phase::Handshaking(mut handshaking) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Err(DtlsError::Handshake("it never began".to_owned()));
        };
        let keys = handshaking.keys(&self.expected);
        let farewell = handshaking.farewell(self.certificate.origin);
        let last_flight = match self.role {
            // It is the peer that had the last word.
            DtlsRole::Active => Vec::new(),
            DtlsRole::Passive => handshaking.flight.datagrams,
        };
        self.phase = Phase::Done(Box::new(Done { last_flight, repeats: 0, not_before: now, farewell }));
        keys.map(DtlsEvent::Connected)
    }

    /// When to call [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Handshaking(handshaking) => handshaking.flight.next,
            Phase::Idle | Phase::Greeting(_) | Phase::Done(_) => None,
        }
    }

    /// Says again what the peer has not answered, if it is time.
    pub(super) fn handle_timeout(&mut self, now: Duration, out: &mut Vec<Bytes>) {
        if let Phase::Handshaking(handshaking) = &mut self.phase
            && handshaking.flight.next.is_some_and(|next| next <= now)
        {
            handshaking.flight.repeat(now, out);
        }
    }

    /// Says goodbye.
    pub(super) fn close(&mut self, out: &mut Vec<Bytes>) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Idle | Phase::Greeting(_) => {}
            Phase::Handshaking(mut handshaking) => out.extend(handshaking.farewell(self.certificate.origin)),
            Phase::Done(done) => out.extend(done.farewell),
        }
        // Nothing begins anew after that.
        self.budget = 0;
    }
}

impl Handshaking {
    /// A handshake that a peer begins, if there is a configuration for it.
    fn new(config: Option<Arc<HandshakeConfig>>) -> Self {
        Self { endpoint: Endpoint::new(PEER, TransportProtocol::UDP, config), flight: Flight::default() }
    }

    /// Sends what the endpoint has to say, and remembers it.
    fn send(&mut self, now: Duration, out: &mut Vec<Bytes>) {
        let datagrams = self.drain();
        if !datagrams.is_empty() {
            out.extend(datagrams.iter().cloned());
            self.flight = Flight { datagrams, repeats: 0, next: Some(now + FIRST_REPEAT) };
        }
    }

    fn drain(&mut self) -> Vec<Bytes> {
        let transmits = std::iter::from_fn(|| self.endpoint.poll_transmit());
        transmits.map(|transmit| transmit.message.freeze()).collect()
    }

    /// The keys, if the peer is the one we expect.
    fn keys(&self, expected: &Fingerprint) -> Result<KeyingMaterial, DtlsError> {
        let failed = |reason: String| DtlsError::Handshake(reason);
        let state = self.endpoint.get_connection_state(PEER);
        let state = state.ok_or_else(|| failed("it is gone".to_owned()))?;
        let certificate = state.peer_certificates.first();
        let certificate = certificate.ok_or_else(|| failed("peer has no certificate".to_owned()))?;
        if !expected.matches(certificate) {
            let presented = Fingerprint::of(expected.digest(), certificate);
            return Err(DtlsError::Fingerprint { expected: expected.clone(), presented });
        }
        let chosen = state.srtp_protection_profile();
        let ours = PREFERENCE.into_iter().map(|(_, profile)| profile).find(|ours| theirs(*ours) == chosen);
        let profile = ours.ok_or(DtlsError::NoSrtp)?;
        let exported = state.export_keying_material(EXPORT_LABEL, &[], profile.keying_len());
        let exported = exported.map_err(|error| failed(error.to_string()))?;
        KeyingMaterial::new(profile, exported.as_ref())
            .ok_or_else(|| failed("wrong length of keys".to_owned()))
    }

    /// Ends the connection; what says so to the peer.
    fn farewell(&mut self, origin: Instant) -> Vec<Bytes> {
        self.endpoint.stop(origin, PEER);
        self.drain()
    }
}

/// What the crate calls a profile.
fn theirs(profile: Profile) -> SrtpProtectionProfile {
    match profile {
        Profile::AeadAes128Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
        Profile::AeadAes256Gcm => SrtpProtectionProfile::Srtp_Aead_Aes_256_Gcm,
        Profile::Aes128CmSha1_80 => SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
    }
}

impl Flight {
    fn repeat(&mut self, now: Duration, out: &mut Vec<Bytes>) {
        out.extend(self.datagrams.iter().cloned());
        self.repeats += 1;
        self.next = Some(now + (FIRST_REPEAT * (1 << self.repeats.min(3))).min(SLOWEST_REPEAT));
    }
}

impl Done {
    fn receive(&mut self, now: Duration, datagram: &[u8], out: &mut Vec<Bytes>) -> Option<DtlsEvent> {
        match *datagram.first()? {
            HANDSHAKE if self.repeats < MAX_LAST_FLIGHTS && now >= self.not_before => {
                out.extend(self.last_flight.iter().cloned());
                self.repeats += 1;
                self.not_before = now + FIRST_REPEAT;
                None
            }
            // One in the clear is of no value now.
            ALERT if datagram.get(3..5) != Some(&[0, 0]) => Some(DtlsEvent::MaybeClosed),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Dtls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let phase = match &self.phase {
            Phase::Idle => "idle",
            Phase::Greeting(_) => "greeting",
            Phase::Handshaking(_) => "handshaking",
            Phase::Done(_) => "done",
        };
        write!(f, "Dtls({:?}, {phase})", self.role)
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Bytes of a record's header: type, version, epoch, number, length (RFC 6347 §4.1).
const RECORD_HEADER_LEN: usize = 13;
/// Bytes of a handshake message's header: type, length, number, offset and length of the fragment (RFC 6347 §4.2.2).
const MESSAGE_HEADER_LEN: usize = 12;
/// The longest handshake message: a certificate with its chain.
const MAX_MESSAGE_LEN: usize = 1 << 14;
/// The longest encrypted handshake record: a Finished has 24 bytes, and no cipher adds more than this.
const MAX_ENCRYPTED_LEN: usize = 128;
/// What a record, and each message in it, costs of the budget at least: there is a structure for each.
const RECORD_COST: usize = 128;
/// What an encrypted one costs, whose fragments the gate cannot see.
const ENCRYPTED_COST: usize = 1_024;

/// The records of a datagram that may be looked at, or `None` if there are none or the budget is used up.
fn admit(datagram: &[u8], budget: &mut usize) -> Option<BytesMut> {
    let mut admitted = BytesMut::new();
    for record in records(datagram) {
        let is_encrypted = record[3..5] != [0, 0];
        let body = &record[RECORD_HEADER_LEN..];
        let cost = match record[0] {
            CHANGE_CIPHER_SPEC if body.len() == 1 => RECORD_COST,
            ALERT if is_encrypted || body.len() == 2 => RECORD_COST,
            HANDSHAKE if is_encrypted && body.len() <= MAX_ENCRYPTED_LEN => ENCRYPTED_COST,
            HANDSHAKE if !is_encrypted => match count_messages(body) {
                Some(messages) => record.len().max(messages * RECORD_COST),
                None => continue,
            },
            _ => continue,
        };
        *budget = budget.checked_sub(cost)?;
        admitted.extend_from_slice(record);
    }
    (!admitted.is_empty()).then_some(admitted)
}

/// The records of a datagram, with their headers, up to the first that is cut short.
fn records(mut datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let header: &[u8; RECORD_HEADER_LEN] = datagram.first_chunk()?;
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        // DTLS 1.0 to 1.2, as the first hello is sent in the name of an older version.
        let sound = header[1] == 0xFE && header[2] >= 0xFD && length > 0;
        let (record, rest) = datagram.split_at_checked(RECORD_HEADER_LEN + length).filter(|_| sound)?;
        datagram = rest;
        Some(record)
    })
}

/// How many handshake messages the body of a record is; `None` if their lengths do not fit. All but the last must be whole.
fn count_messages(mut body: &[u8]) -> Option<usize> {
    let mut count = 0;
    while let Some((header, rest)) = body.split_first_chunk::<MESSAGE_HEADER_LEN>() {
        let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]) as usize;
        let (length, offset, fragment) = (number(1), number(6), number(9));
        let is_whole = offset == 0 && fragment == length;
        let fits = length <= MAX_MESSAGE_LEN && offset + fragment <= length && fragment <= rest.len();
        if !fits || (!is_whole && (fragment == 0 || fragment != rest.len())) {
            return None;
        }
        body = &rest[fragment..];
        count += 1;
    }
    body.is_empty().then_some(count)
}

/// The alert in the clear that a datagram begins with, if it is one that ends a handshake.
fn alert(datagram: &[u8]) -> Option<DtlsError> {
    let record = records(datagram).next().filter(|record| record[0] == ALERT && record[3..5] == [0, 0])?;
    record.get(RECORD_HEADER_LEN + 1).map(|description| DtlsError::Alert(*description))
}
