//! Taking a socket out of HTTP.
//!
//! A live viewer's bytes must not pass through hyper, which costs a fifth more CPU and a task per viewer. So a handler that has
//! decided to serve such a viewer hands over what shall happen to the socket and then stays pending; the connection's task
//! sees that, takes the connection apart and calls it. The router's middleware does not run on the way: whoever takes over writes the whole
//! head of the response.

use std::{convert::Infallible, fmt, sync::Arc};

use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::oneshot};

/// What happens to the socket.
pub(crate) type Handoff = Box<dyn FnOnce(TcpStream) + Send>;

/// The right to take one connection's socket, among the extensions of its requests. Only plain HTTP/1 has it.
#[derive(Clone)]
pub(crate) struct Takeover(Arc<Mutex<Option<oneshot::Sender<Handoff>>>>);

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

impl Takeover {
    /// The right, and where the connection's task learns that it was used.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Handoff>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Takes the socket. The caller is dropped while it waits here, as soon as the connection's task has seen it.
    pub(crate) async fn take(&self, handoff: impl FnOnce(TcpStream) + Send + 'static) -> Infallible {
        // A failed send means that the connection is gone already: `handoff` is dropped, and so is the caller, soon.
        if let Some(sender) = self.0.lock().take() {
            let _ = sender.send(Box::new(handoff));
        }
        std::future::pending().await
    }
}
