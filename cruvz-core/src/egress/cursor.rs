//! A viewer with a task of its own, for transports a shard cannot write to: TLS, and bodies of HTTP/2.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use super::patience::Patience;
use crate::{
    Event,
    hub::wire::{Next, WireLog},
    runtime::context::Context,
    session::OpenSession,
};

/// Reads a [`WireLog`] for one viewer.
pub(crate) struct Cursor {
    log: Arc<WireLog>,
    head: Option<Bytes>,
    next: Option<u64>,
    lag_us: i64,
    patience: Patience,
    context: Context,
    pub(crate) session: OpenSession,
}

impl Cursor {
    /// A viewer of `log` that is sent `head` first.
    pub(crate) fn new(context: &Context, log: Arc<WireLog>, head: Bytes, session: OpenSession) -> Self {
        Self {
            log,
            head: Some(head).filter(|head| !head.is_empty()),
            next: None,
            lag_us: context.config.egress.max_lag_us(),
            patience: Patience::default(),
            context: context.clone(),
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
                Next::Send { missed, configuration, window } => {
                    if missed > 0 && !self.skip(missed) {
                        self.session.because("too slow for this stream");
                        return None;
                    }
                    self.next = Some(window.end());
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
                    let gather_ms = self.context.config.egress.gather_ms;
                    if gather_ms > 0 {
                        tokio::time::sleep(Duration::from_millis(gather_ms)).await;
                    }
                }
            }
        }
    }

    /// The viewer jumped ahead. Whether it may go on.
    fn skip(&mut self, missed: u64) -> bool {
        self.session.skipped(missed);
        let (stream, session) = (self.session.stream.clone(), self.session.id);
        self.context.events.send(Event::ViewerSkipped { stream, session, dropped_frames: missed });
        self.patience.bears_skip(self.context.config.egress.overflow, self.context.clock.now())
    }
}

fn concat<'a>(pieces: impl Iterator<Item = &'a Bytes>) -> Bytes {
    let mut out = BytesMut::new();
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.freeze()
}
