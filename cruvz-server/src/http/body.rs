//! A response body whose reader may not stop reading: HTTP/2 has windows for each answer, so that a peer can leave one unread
//! while its connection lives on.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::{task::AbortHandle, time::sleep};

/// A body that is given up when its next piece is there and nobody asks for it.
#[derive(Debug)]
pub(crate) struct PatientBody {
    shared: Arc<Mutex<Shared>>,
    watch: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    /// `None` when it was given up.
    body: Option<Body>,
    /// How often it was asked for more.
    asked: u64,
    /// Whether it waits for its reader, not the reader for it.
    ready: bool,
}

impl PatientBody {
    /// `body`, which is dropped when nobody asks for more of it for `limit`, or up to twice as long, although there may be more.
    pub(crate) fn new(body: Body, limit: Duration) -> Self {
        let shared = Arc::new(Mutex::new(Shared { body: Some(body), asked: 0, ready: true }));
        let watch = tokio::spawn(watch(Arc::clone(&shared), limit)).abort_handle();
        Self { shared, watch }
    }
}

async fn watch(shared: Arc<Mutex<Shared>>, limit: Duration) {
    let mut seen = 0;
    loop {
        sleep(limit).await;
        let mut now = shared.lock();
        if now.ready && now.asked == seen {
            let given_up = now.body.take();
            drop(now);
            drop(given_up);
            return;
        }
        seen = now.asked;
    }
}

impl Drop for PatientBody {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl HttpBody for PatientBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut shared = self.shared.lock();
        shared.asked += 1;
        shared.ready = false;
        let Some(body) = &mut shared.body else {
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut)))));
        };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        shared.ready = true;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.shared.lock().body.as_ref().is_some_and(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.shared.lock().body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}
