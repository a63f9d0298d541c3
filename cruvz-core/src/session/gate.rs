//! The one door into the engine: authorisation with a deadline, limits, and the account of who was turned away.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    OpenSession, Protocol, Role,
    access::{AccessRequest, Action, Authorizer, Decision},
    address::Pace,
    registry::Sessions,
};
use crate::{
    Error, ErrorKind, Event, StreamName,
    analytics::{event::EventSink, totals::Totals},
    runtime::clock::Clock,
};

/// Refusals logged per second; the rest is counted and told in one line.
const LOG_LINES_PER_SECOND: u32 = 50;
/// The most of a refusal's detail that is kept: a peer may have had a hand in it.
const DETAIL_CHARS: usize = 200;

/// Lets peers in or turns them away.
pub(crate) struct Gate {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) pace: Pace,
    totals: Arc<Totals>,
    events: EventSink,
    clock: Clock,
    authorizer: Arc<dyn Authorizer>,
    deadline: Duration,
    draining: AtomicBool,
    log: Mutex<LogBudget>,
}

#[derive(Default)]
struct LogBudget {
    second: u64,
    lines: u32,
    suppressed: u64,
}

/// Who was turned away and why.
pub(crate) struct Refusal<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) remote: Option<SocketAddr>,
    pub(crate) stream: Option<&'a StreamName>,
    /// A short stable name, as used in metrics.
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

impl Gate {
    pub(crate) fn new(
        sessions: Arc<Sessions>,
        pace: Pace,
        totals: Arc<Totals>,
        events: EventSink,
        clock: Clock,
        authorizer: Arc<dyn Authorizer>,
        deadline: Duration,
    ) -> Self {
        let (draining, log) = (AtomicBool::new(false), Mutex::default());
        Self { sessions, pace, totals, events, clock, authorizer, deadline, draining, log }
    }

    /// From now on nobody is let in.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Asks the authorizer and opens the session.
    ///
    /// # Errors
    /// `Unauthorized` or `Forbidden` when the authorizer says no, takes too long or fails; `Unavailable` while draining;
    /// `LimitExceeded` when there are too many sessions. Every one is counted, logged and an event.
    pub(crate) async fn admit(&self, request: AccessRequest) -> Result<OpenSession, Error> {
        let (stream, protocol, remote) = (request.stream.clone(), request.protocol, request.remote);
        let role = match request.action {
            Action::Play => Role::Play,
            Action::Publish => Role::Publish,
        };
        let answer = match self.decide(request).await {
            Ok(()) => self
                .sessions
                .open(&stream, protocol, role, Some(remote))
                .map_err(|full| (full.reason(), full.into())),
            Err(refusal) => Err(refusal),
        };
        answer.map_err(|(reason, error)| {
            let (remote, stream, detail) = (Some(remote), Some(&stream), error.to_string());
            self.refused(Refusal { protocol, remote, stream, reason, detail });
            error
        })
    }

    /// Asks the authorizer, for what needs no session.
    ///
    /// # Errors
    /// As [`Self::admit`], but for the number of sessions.
    pub(crate) async fn ask(&self, request: AccessRequest) -> Result<(), Error> {
        let (stream, protocol, remote) = (request.stream.clone(), request.protocol, request.remote);
        self.decide(request).await.map_err(|(reason, error)| {
            let (remote, stream, detail) = (Some(remote), Some(&stream), error.to_string());
            self.refused(Refusal { protocol, remote, stream, reason, detail });
            error
        })
    }

    async fn decide(&self, mut request: AccessRequest) -> Result<(), (&'static str, Error)> {
        if self.is_draining() {
            return Err(("draining", Error::new(ErrorKind::Unavailable, "the server is shutting down")));
        }
        if let Some((origin, _)) = request.stream.rendition_of() {
            if request.action == Action::Publish {
                let detail =
                    format!("{} is a rendition of {origin}, whose publisher brings it", request.stream);
                return Err(("rendition", Error::new(ErrorKind::Forbidden, detail)));
            }
            // Whoever may see the stream may see it smaller; who may not must find no way round.
            request.stream = origin;
        }
        let denied = if request.key.is_some() { ErrorKind::Forbidden } else { ErrorKind::Unauthorized };
        // In a task of its own, so that an authorizer that panics says no instead of ending the connection's task.
        // The deadline is in there too: it holds although the peer may have left and nobody waits for the answer.
        let asked = tokio::spawn(tokio::time::timeout(self.deadline, self.authorizer.authorize(request)));
        match asked.await {
            Ok(Ok(Decision::Allow)) => Ok(()),
            Ok(Ok(Decision::Deny { reason })) => Err(("denied", Error::new(denied, reason))),
            Ok(Err(_)) => Err(("authorizer_timeout", Error::new(denied, "the authorizer took too long"))),
            Err(_) => Err(("authorizer_failed", Error::new(denied, "the authorizer failed"))),
        }
    }

    /// Counts, logs and tells of a peer that was turned away.
    pub(crate) fn refused(&self, refusal: Refusal<'_>) {
        let Refusal { protocol, remote, stream, reason, detail } = refusal;
        let detail = printable(&detail);
        self.totals.rejected(protocol, reason);
        if let Some(suppressed) = self.may_log() {
            let remote = remote.map(tracing::field::display);
            let stream = stream.map(tracing::field::display);
            tracing::warn!(%protocol, remote, stream, reason, %detail, suppressed, "refused");
        }
        self.events.send(Event::Refused { protocol, remote, stream: stream.cloned(), reason, detail });
    }

    /// Counts, logs and tells of a peer whose session came to nothing because of `error`.
    pub(crate) fn refused_session(&self, session: &mut OpenSession, error: &Error) {
        let (protocol, remote, stream) = (session.protocol, session.remote, session.stream.clone());
        let (reason, detail) = (error.kind().name(), error.to_string());
        self.refused(Refusal { protocol, remote, stream: Some(&stream), reason, detail });
        session.because(error.to_string());
    }

    /// Whether a line may be written now, with the number of lines that were not since the last.
    fn may_log(&self) -> Option<u64> {
        let mut log = self.log.lock();
        let second = self.clock.now().as_secs();
        if log.second != second {
            (log.second, log.lines) = (second, 0);
        }
        log.lines += 1;
        if log.lines > LOG_LINES_PER_SECOND {
            log.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut log.suppressed))
    }
}

/// `text` in one line of bounded length, with nothing in it that a terminal obeys.
fn printable(text: &str) -> String {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(DETAIL_CHARS).map(clean).collect()
}
