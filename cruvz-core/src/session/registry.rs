//! The list of open sessions.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{Counters, Protocol, Role, Session, SessionId, SessionInfo, address, address::count_off};
use crate::{
    Error, ErrorKind, Event, StreamName,
    analytics::{event::EventSink, totals::Totals},
    config::AddressConfig,
    runtime::clock::Clock,
};

/// Every open session of an engine.
#[derive(Debug)]
pub(crate) struct Sessions {
    clock: Clock,
    events: EventSink,
    totals: Arc<Totals>,
    max: usize,
    addresses: AddressConfig,
    next_id: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    sessions: BTreeMap<SessionId, Arc<Session>>,
    /// How many of them are peers' at one address, where that is limited.
    addresses: HashMap<IpAddr, usize>,
    /// How many of them play each stream: asked for by every page that lists streams.
    viewers: HashMap<StreamName, usize>,
}

/// Why there is no room for a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Full {
    #[error("all {0} sessions are in use")]
    All(usize),
    #[error("all {max} sessions of {address} are in use")]
    Address { address: IpAddr, max: usize },
}

impl Full {
    /// A short stable name, as used in metrics.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::All(_) => "session_limit",
            Self::Address { .. } => "address_limit",
        }
    }
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Self::new(ErrorKind::LimitExceeded, full.to_string())
    }
}

impl Open {
    fn insert(&mut self, session: &Arc<Session>, address: Option<IpAddr>) {
        self.sessions.insert(session.id, Arc::clone(session));
        if let Some(address) = address {
            *self.addresses.entry(address).or_default() += 1;
        }
        if session.role == Role::Play {
            *self.viewers.entry(session.stream.clone()).or_default() += 1;
        }
    }

    fn remove(&mut self, session: &Session, address: Option<IpAddr>) {
        self.sessions.remove(&session.id);
        if let Some(address) = address {
            count_off(&mut self.addresses, &address);
        }
        if session.role == Role::Play {
            count_off(&mut self.viewers, &session.stream);
        }
    }
}

impl Sessions {
    pub(crate) fn new(
        clock: Clock,
        events: EventSink,
        totals: Arc<Totals>,
        max: usize,
        addresses: AddressConfig,
    ) -> Arc<Self> {
        let (next_id, open) = (AtomicU64::new(1), Mutex::default());
        Arc::new(Self { clock, events, totals, max, addresses, next_id, open })
    }

    /// The address that a session counts for. What we opened ourselves counts for none.
    fn address_of(&self, session: &Session) -> Option<IpAddr> {
        let asked = matches!(session.role, Role::Play | Role::Publish) && self.addresses.max_sessions > 0;
        address::key(session.remote.filter(|_| asked)?.ip(), &self.addresses)
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When as many are open as the configuration allows.
    pub(crate) fn open(
        self: &Arc<Self>,
        stream: &StreamName,
        protocol: Protocol,
        role: Role,
        remote: Option<SocketAddr>,
    ) -> Result<OpenSession, Full> {
        let session = Arc::new(Session {
            id: SessionId(self.next_id.fetch_add(1, Relaxed)),
            stream: stream.clone(),
            protocol,
            role,
            remote,
            opened_at: self.clock.now(),
            counters: Counters::default(),
            ending: false.into(),
            end: Mutex::new(None),
            ended: tokio::sync::Notify::new(),
        });
        {
            let (address, max) = (self.address_of(&session), self.addresses.max_sessions);
            let mut open = self.open.lock();
            if role == Role::Play && open.sessions.len() >= self.max {
                return Err(Full::All(self.max));
            }
            if let Some(address) = address.filter(|address| open.addresses.get(address) >= Some(&max)) {
                return Err(Full::Address { address, max });
            }
            open.insert(&session, address);
        }
        self.totals.session_opened(protocol, role);
        tracing::info!(session = session.id.0, %protocol, %role, %stream, remote = remote.map(tracing::field::display), "session opened");
        self.events.send(Event::SessionOpened {
            session: session.id,
            stream: stream.clone(),
            protocol,
            role,
            remote,
        });
        Ok(OpenSession { session, registry: Arc::clone(self), outcome: None })
    }

    /// Every open session, oldest first.
    pub(crate) fn list(&self) -> Vec<SessionInfo> {
        let now = self.clock.now();
        self.open.lock().sessions.values().map(|session| session.info(now)).collect()
    }

    /// How many sessions play `stream`.
    pub(crate) fn viewers(&self, stream: &StreamName) -> usize {
        self.open.lock().viewers.get(stream).copied().unwrap_or(0)
    }

    /// Tells one session to end; `false` when there is none of that id.
    pub(crate) fn end(&self, id: SessionId, reason: &str) -> bool {
        let session = self.open.lock().sessions.get(&id).cloned();
        session.is_some_and(|session| {
            session.end(reason);
            true
        })
    }

    /// Tells every session of `role` to end.
    pub(crate) fn end_all(&self, role: Role, reason: &str) {
        for session in self.open.lock().sessions.values().filter(|session| session.role == role) {
            session.end(reason);
        }
    }
}

impl Session {
    pub(crate) fn info(&self, now: Duration) -> SessionInfo {
        SessionInfo {
            id: self.id,
            stream: self.stream.clone(),
            protocol: self.protocol,
            role: self.role,
            remote: self.remote,
            age_ms: u64::try_from(now.saturating_sub(self.opened_at).as_millis()).unwrap_or(u64::MAX),
            bytes: self.counters.bytes.load(Relaxed),
            frames: self.counters.frames.load(Relaxed),
            dropped_frames: self.counters.dropped_frames.load(Relaxed),
            skips: self.counters.skips.load(Relaxed),
            srt: *self.counters.srt.lock(),
            mpegts: *self.counters.mpegts.lock(),
            webrtc: self.counters.webrtc.lock().clone(),
        }
    }
}

/// Keeps a session open; dropping it closes the session, logs it and makes the event.
#[derive(Debug)]
pub(crate) struct OpenSession {
    session: Arc<Session>,
    registry: Arc<Sessions>,
    outcome: Option<Arc<str>>,
}

impl OpenSession {
    /// Says why the session ends, for the log and the event. The first reason stays.
    pub(crate) fn because(&mut self, reason: impl Into<Arc<str>>) {
        self.outcome.get_or_insert_with(|| reason.into());
    }

    /// Why the session ends, as far as that is known.
    pub(crate) fn outcome(&self) -> Option<Arc<str>> {
        self.outcome.clone().or_else(|| self.session.end_reason())
    }
}

impl std::ops::Deref for OpenSession {
    type Target = Arc<Session>;

    fn deref(&self) -> &Arc<Session> {
        &self.session
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let address = self.registry.address_of(&self.session);
        self.registry.open.lock().remove(&self.session, address);
        let reason = self.outcome().unwrap_or_else(|| "connection closed".into());
        let info = self.session.info(self.registry.clock.now());
        self.registry.totals.session_ended(&info);
        tracing::info!(
            session = info.id.0, protocol = %info.protocol, role = %info.role, stream = %info.stream,
            seconds = info.age_ms as f64 / 1000.0, bytes = info.bytes, frames = info.frames,
            dropped = info.dropped_frames, %reason, "session ended"
        );
        self.registry.events.send(Event::SessionEnded { info: Box::new(info), reason: reason.to_string() });
    }
}
