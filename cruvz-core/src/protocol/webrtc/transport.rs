//! One peer's datagrams, from the first check to the last packet of media.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::dtls::{Certificate, Dtls, DtlsError, DtlsEvent, DtlsRole};
use super::fingerprint::Fingerprint;
use super::ice::{Agent, Credentials};
use super::path::{Kind, Path, is_rtcp};
use super::srtp::{Inbound, KeyingMaterial, OpenError, Outbound, Profile};

/// How long a peer that seems to have said goodbye may be silent: its checks come each 2.5 to 5 s.
const LEAVE_GRACE: Duration = Duration::from_secs(6);

/// What a transport needs to know.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// The engine's.
    pub certificate: Arc<Certificate>,
    /// Ours, of this session and no other.
    pub local: Credentials,
    /// The peer's user fragment. As a lite agent we ask nothing, so that its password is of no use.
    pub remote_ufrag: String,
    /// Of the peer's certificate.
    pub fingerprint: Fingerprint,
    /// Our part in DTLS.
    pub role: DtlsRole,
    /// What the peer may take.
    pub limits: TransportLimits,
}

/// What one peer may take of memory and time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportLimits {
    /// Time from the answer to media, 30 s by default: half-open sessions are gone after it.
    pub setup_timeout: Duration,
    /// Time without a valid check after which the peer counts as gone (RFC 7675 §5.1), 30 s by default.
    pub consent_timeout: Duration,
    /// Bytes that a peer may send to shake hands, 32 KiB by default; a handshake takes 2, and repeats count. What is
    /// beyond is dropped.
    pub handshake_bytes: usize,
    /// Addresses of a peer that are known at a time, 8 by default. The one that was silent longest gives way.
    pub max_paths: usize,
    /// Sources (SSRCs) of RTP, and of RTCP, that a peer may use, 64 by default; packets of others are dropped.
    pub max_sources: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            setup_timeout: Duration::from_secs(30),
            consent_timeout: Duration::from_secs(30),
            handshake_bytes: 32 << 10,
            max_paths: 8,
            max_sources: 64,
        }
    }
}

/// How far a transport is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportState {
    /// No check has come.
    New,
    /// A path is proved; there are no keys yet.
    Connecting,
    /// Media may flow.
    Connected,
    /// It is over.
    Closed(CloseReason),
}

/// Why a transport is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// We closed it.
    #[error("closed")]
    Local,
    /// The peer said goodbye.
    #[error("peer has left")]
    Peer,
    /// Nobody came, or did not finish, in [`TransportLimits::setup_timeout`].
    #[error("not connected in time")]
    SetupTimeout,
    /// No check for [`TransportLimits::consent_timeout`].
    #[error("peer does not answer any more")]
    ConsentLost,
    /// No keys.
    #[error("{0}")]
    Dtls(#[from] DtlsError),
}

/// Media that came, authentic and opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// An RTP packet.
    Rtp {
        /// Its place in its source's packets: 48 bits, of which the low 16 are the sequence number.
        index: u64,
        /// The packet.
        packet: Bytes,
    },
    /// RTCP of any number of packets.
    Rtcp(Bytes),
}

/// Counts of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Checks that were answered.
    pub checks: u64,
    /// STUN messages that were not.
    pub refused_checks: u64,
    /// DTLS and media from addresses that no check had proved, and what is neither; dropped.
    pub strays: u64,
    /// Media before there were keys; dropped.
    pub early: u64,
    /// Packets that came twice or far too late; dropped.
    pub replayed: u64,
    /// Packets that were not authentic, or not packets; dropped.
    pub forged: u64,
}

/// The transport of one peer. See the [module](super).
///
/// Give it every datagram that its user fragment or a proved address belongs to, send what [`Self::poll_transmit`] has
/// after each call, and call [`Self::handle_timeout`] when [`Self::poll_timeout`] says so.
#[derive(Debug)]
pub struct Transport {
    limits: TransportLimits,
    created: Duration,
    ice: Agent,
    dtls: Dtls,
    /// Where the last record of DTLS came from.
    dtls_path: Option<Path>,
    srtp: Option<Box<Srtp>>,
    /// The peer seems to have left: it is taken for gone at this time, unless it shows that it is there.
    leaving: Option<Duration>,
    transmits: VecDeque<(Path, Bytes)>,
    state: TransportState,
    stats: TransportStats,
}

#[derive(Debug)]
struct Srtp {
    inbound: Inbound,
    outbound: Outbound,
}

impl Transport {
    /// A transport for the peer of one offer and answer.
    pub fn new(now: Duration, config: TransportConfig) -> Self {
        let TransportConfig { certificate, local, remote_ufrag, fingerprint, role, limits } = config;
        Self {
            ice: Agent::new(local, remote_ufrag, limits.max_paths),
            dtls: Dtls::new(certificate, fingerprint, role, limits.handshake_bytes),
            limits,
            created: now,
            dtls_path: None,
            srtp: None,
            leaving: None,
            transmits: VecDeque::new(),
            state: TransportState::New,
            stats: TransportStats::default(),
        }
    }

    /// How far it is.
    pub fn state(&self) -> &TransportState {
        &self.state
    }

    /// Whether media may flow.
    pub fn is_connected(&self) -> bool {
        self.state == TransportState::Connected
    }

    /// Where media goes: the path that the peer nominated, or before that the one on which it shook hands.
    pub fn path(&self) -> Option<Path> {
        self.ice.selected().or(self.dtls_path)
    }

    /// Whether a check has proved that the peer is at `path`.
    pub fn has_proved(&self, path: Path) -> bool {
        self.ice.has_proved(path)
    }

    /// What seals our media; `None` while not connected.
    pub fn outbound(&mut self) -> Option<&mut Outbound> {
        self.srtp.as_deref_mut().map(|srtp| &mut srtp.outbound)
    }

    /// How media is protected; `None` while not connected.
    pub fn profile(&self) -> Option<Profile> {
        self.srtp.as_deref().map(|srtp| srtp.outbound.profile())
    }

    /// Counts so far.
    pub fn stats(&self) -> TransportStats {
        self.stats
    }

    /// New credentials on both sides (an ICE restart, RFC 8839 §4.4.3). DTLS and media go on, on the old path until the peer
    /// nominates one with the new credentials.
    pub fn restart(&mut self, local: Credentials, remote_ufrag: String) {
        self.ice.restart(local, remote_ufrag);
    }

    /// Takes a datagram that came on `path`.
    pub fn receive(&mut self, now: Duration, path: Path, datagram: BytesMut) -> Option<Incoming> {
        if matches!(self.state, TransportState::Closed(_)) {
            return None;
        }
        match Kind::of(&datagram) {
            Some(Kind::Stun) => {
                self.take_check(now, path, &datagram);
                None
            }
            Some(Kind::Dtls) if self.ice.has_proved(path) => {
                self.take_record(now, path, &datagram);
                None
            }
            Some(Kind::Media) if self.ice.has_proved(path) => self.take_media(datagram),
            _ => {
                self.stats.strays += 1;
                None
            }
        }
    }

    fn take_check(&mut self, now: Duration, path: Path, datagram: &[u8]) {
        let Ok(checked) = self.ice.receive(now, path, datagram) else {
            self.stats.refused_checks += 1;
            return;
        };
        self.stats.checks += 1;
        self.transmits.push_back((path, checked.answer));
        self.leaving = None;
        if checked.new_path && self.state == TransportState::New {
            self.state = TransportState::Connecting;
            let mut out = Vec::new();
            let started = self.dtls.start(now, &mut out);
            self.send(path, out);
            if let Err(error) = started {
                self.end(error.into());
            }
        }
    }

    fn take_record(&mut self, now: Duration, path: Path, datagram: &[u8]) {
        let mut out = Vec::new();
        let event = self.dtls.receive(now, datagram, &mut out);
        self.dtls_path = Some(path);
        self.send(path, out);
        match event {
            Ok(None) => {}
            Ok(Some(DtlsEvent::Connected(keys))) => self.connect(keys),
            Ok(Some(DtlsEvent::Closed)) => self.end(CloseReason::Peer),
            Ok(Some(DtlsEvent::MaybeClosed)) => {
                self.leaving.get_or_insert(now + LEAVE_GRACE);
            }
            Err(error) => {
                let mut out = Vec::new();
                self.dtls.close(&mut out);
                self.send(path, out);
                self.end(error.into());
            }
        }
    }

    fn connect(&mut self, keys: KeyingMaterial) {
        let (ours, theirs) = match self.dtls.role() {
            DtlsRole::Passive => (keys.server, keys.client),
            DtlsRole::Active => (keys.client, keys.server),
        };
        let inbound = Inbound::new(theirs, self.limits.max_sources);
        self.srtp = Some(Box::new(Srtp { inbound, outbound: Outbound::new(&ours) }));
        self.state = TransportState::Connected;
    }

    fn take_media(&mut self, mut packet: BytesMut) -> Option<Incoming> {
        let Some(srtp) = self.srtp.as_deref_mut() else {
            self.stats.early += 1;
            return None;
        };
        let opened = if is_rtcp(&packet) {
            srtp.inbound.open_rtcp(&mut packet).map(|()| Incoming::Rtcp(packet.freeze()))
        } else {
            srtp.inbound.open_rtp(&mut packet).map(|index| Incoming::Rtp { index, packet: packet.freeze() })
        };
        match opened {
            Ok(incoming) => {
                self.leaving = None;
                Some(incoming)
            }
            Err(OpenError::Replayed { .. }) => {
                self.stats.replayed += 1;
                None
            }
            Err(_) => {
                self.stats.forged += 1;
                None
            }
        }
    }

    fn send(&mut self, path: Path, datagrams: Vec<Bytes>) {
        self.transmits.extend(datagrams.into_iter().map(|datagram| (path, datagram)));
    }

    /// The next datagram to be sent, and where to. What is left when it is closed should still be sent.
    pub fn poll_transmit(&mut self) -> Option<(Path, Bytes)> {
        let next = self.transmits.pop_front();
        if next.is_none() {
            // Most of their life viewers have nothing to say here.
            self.transmits = VecDeque::new();
        }
        next
    }

    /// When to call [`Self::handle_timeout`]; `None` once it is closed.
    pub fn poll_timeout(&self) -> Option<Duration> {
        if matches!(self.state, TransportState::Closed(_)) {
            return None;
        }
        let times = [self.deadline().0, self.dtls.poll_timeout().unwrap_or(Duration::MAX)];
        times.into_iter().min()
    }

    /// When it is over, if nothing happens until then, and why.
    fn deadline(&self) -> (Duration, CloseReason) {
        if self.state != TransportState::Connected {
            return (self.created + self.limits.setup_timeout, CloseReason::SetupTimeout);
        }
        let consent = self.ice.last_check().unwrap_or(self.created) + self.limits.consent_timeout;
        match self.leaving {
            Some(left) if left < consent => (left, CloseReason::Peer),
            _ => (consent, CloseReason::ConsentLost),
        }
    }

    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Duration) {
        if matches!(self.state, TransportState::Closed(_)) {
            return;
        }
        let (deadline, reason) = self.deadline();
        if now >= deadline {
            self.end(reason);
            return;
        }
        if let Some(path) = self.path().or_else(|| self.ice.any_path()) {
            let mut out = Vec::new();
            self.dtls.handle_timeout(now, &mut out);
            self.send(path, out);
        }
    }

    /// Closes it, and tells the peer if it can.
    pub fn close(&mut self) {
        if matches!(self.state, TransportState::Closed(_)) {
            return;
        }
        if let Some(path) = self.path() {
            let mut out = Vec::new();
            self.dtls.close(&mut out);
            self.send(path, out);
        }
        self.end(CloseReason::Local);
    }

    fn end(&mut self, reason: CloseReason) {
        self.state = TransportState::Closed(reason);
        self.srtp = None;
    }
}
