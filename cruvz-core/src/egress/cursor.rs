//! A viewer with a task of its own, for transports a shard cannot write to: TLS, and bodies of HTTP/2.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use crate::{
    Event,
    analytics::event::EventSink,
    config::{EgressConfig, Overflow},
    hub::wire::{Next, WireLog},
    session::OpenSession,
};

/// Reads a [`WireLog`] for one viewer.
pub(crate) struct Cursor {
    log: Arc<WireLog>,
    head: Option<Bytes>,
    next: Option<u64>,
    lag_us: i64,
    overflow: Overflow,
    gather: Duration,
    events: EventSink,
    pub(crate) session: OpenSession,
}

impl Cursor {
    pub(crate) fn new(
        log: Arc<WireLog>,
        head: Bytes,
        config: &EgressConfig,
        events: EventSink,
        session: OpenSession,
    ) -> Self {
        Self {
            log,
            head: Some(head).filter(|head| !head.is_empty()),
            next: None,
            lag_us: i64::try_from(config.max_lag_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            overflow: config.overflow,
            gather: Duration::from_millis(config.gather_ms),
            events,
            session,
        }
    }

    /// The next bytes, or `None` when the stream or the session is over.
    ///
    /// # Cancel safety
    /// No bytes are lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(head) = self.head.take() {
            self.session.sent(head.len(), 0);
            return Some(head);
        }
        loop {
            let log = Arc::clone(&self.log);
            let changed = log.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.session.end_reason().is_some() {
                return None;
            }
            match self.log.next(self.next, self.lag_us) {
                Next::Send { missed, .. } if missed > 0 && self.overflow == Overflow::Disconnect => {
                    self.session.because("too slow for this stream");
                    return None;
                }
                Next::Send { missed, configuration, window } => {
                    self.next = Some(window.end());
                    self.count(missed);
                    let bytes = match (&configuration, window.pieces()) {
                        (None, [piece]) => piece.clone(),
                        (_, pieces) => concat(configuration.iter().chain(pieces)),
                    };
                    self.session.sent(bytes.len(), window.units.len() as u64);
                    return Some(bytes);
                }
                Next::Ended(reason) => {
                    self.session.because(reason);
                    return None;
                }
                Next::Wait => {
                    tokio::select! {
                        () = changed => {}
                        _ = self.session.wait_end() => return None,
                    }
                    if !self.gather.is_zero() {
                        tokio::time::sleep(self.gather).await;
                    }
                }
            }
        }
    }

    fn count(&self, missed: u64) {
        if missed > 0 {
            self.session.skipped(missed);
            let (stream, session) = (self.session.stream.clone(), self.session.id);
            self.events.send(Event::ViewerSkipped { stream, session, dropped_frames: missed });
        }
    }
}

fn concat<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.freeze()
}
