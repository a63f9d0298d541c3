//! The accept loop of one listener.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::Router;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

use super::connection::{Connection, turn_away};

/// How long accepting rests when the system has no socket left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a connection may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at once, over all listeners.
    pub(crate) max_connections: usize,
    /// For a request head, a TLS handshake, and the time between requests.
    pub(crate) header_timeout: Duration,
    /// For a write that makes no progress.
    pub(crate) write_timeout: Duration,
    /// The largest request head.
    pub(crate) max_header_bytes: usize,
}

/// How many connections there are and were turned away, over all listeners.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) open: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    pub(crate) turned_away: AtomicU64,
}

/// Counts a connection while it lives.
struct Open(Arc<Connections>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// Accepts connections and serves each in a task of its own.
#[derive(Clone)]
pub(crate) struct Acceptor {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) connections: Arc<Connections>,
    /// Becomes true when the server stops: no further connection or request is taken.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Acceptor {
    /// Accepts on `listener` until the server stops; `tls`: only over TLS.
    pub(crate) async fn run(mut self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.closing.wait_for(|closing| *closing) => return,
            };
            match accepted {
                Ok((socket, remote)) => self.serve(socket, remote, tls.clone()),
                Err(error) => {
                    // Out of file descriptors, or a peer that left before it was accepted: neither ends the server.
                    tracing::warn!(%error, "cannot accept an HTTP connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn serve(&self, socket: TcpStream, remote: std::net::SocketAddr, tls: Option<TlsAcceptor>) {
        let before = self.connections.open.fetch_add(1, Relaxed);
        let open = Open(Arc::clone(&self.connections));
        if before >= self.limits.max_connections {
            self.connections.turned_away.fetch_add(1, Relaxed);
            tokio::spawn(async move {
                turn_away(socket).await;
                drop(open);
            });
            return;
        }
        self.connections.accepted.fetch_add(1, Relaxed);
        let _ = socket.set_nodelay(true);
        let connection = Connection {
            router: self.router.clone(),
            remote,
            limits: self.limits,
            closing: self.closing.clone(),
        };
        tokio::spawn(async move {
            match tls {
                Some(acceptor) => connection.tls(socket, acceptor).await,
                None => connection.plain(socket).await,
            }
            drop(open);
        });
    }
}
