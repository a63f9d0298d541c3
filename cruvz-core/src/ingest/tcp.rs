//! Accepting TCP connections calmly, in plain and over TLS.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::{
    lobby::{Lobby, Pending},
    rounds::RoundSocket,
};
use crate::{
    Error, ErrorKind, Protocol,
    runtime::{context::Context, socket},
    session::gate::Refusal,
};

/// After an error of accept itself (no file descriptor left), so that the loop does not spin.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(5);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct TlsConfig {
    /// The certificate chain, the server's own first.
    pub cert_pem: Vec<u8>,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key_pem: Vec<u8>,
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConfig(***)")
    }
}

impl TlsConfig {
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, Error> {
        use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
        let bad = |what: &str| Error::new(ErrorKind::InvalidConfig, format!("the TLS {what} cannot be used"));
        let certs = CertificateDer::pem_slice_iter(&self.cert_pem).collect::<Result<Vec<_>, _>>();
        let certs = certs.map_err(|error| bad("certificate").with_source(error))?;
        let key =
            PrivateKeyDer::from_pem_slice(&self.key_pem).map_err(|error| bad("key").with_source(error))?;
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certs, key))
            .map_err(|error| bad("certificate and key").with_source(error))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A byte stream that may turn out to be a plain socket.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The plain socket beneath, for a shard to write to; `Err` gives it back where there is TLS between.
    fn into_socket(self) -> Result<TcpStream, Self>
    where
        Self: Sized;

    /// Says whether what comes may wait for the next round. TLS does not know rounds.
    fn rest(&mut self, _resting: bool) {}
}

impl Transport for RoundSocket {
    fn into_socket(self) -> Result<TcpStream, Self> {
        self.into_inner()
    }

    fn rest(&mut self, resting: bool) {
        Self::rest(self, resting);
    }
}

impl Transport for TlsStream<TcpStream> {
    fn into_socket(self) -> Result<TcpStream, Self> {
        Err(self)
    }
}

/// Serves connections of `protocol` on `listener` until the engine stops.
pub(crate) async fn serve<F, Fut>(context: Context, protocol: Protocol, listener: TcpListener, connection: F)
where
    F: Fn(TcpStream, SocketAddr, Pending) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let lobby = Lobby::new(Arc::clone(&context.gate), protocol, context.config.max_pending_connections);
    let mut stopped = context.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped.wait() => return lobby.close(),
        };
        let refuse = |remote, reason, detail: String| {
            context.gate.refused(Refusal { protocol, remote, stream: None, reason, detail });
        };
        let (socket, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refuse(None, "accept_failed", error.to_string());
                if !is_of_one_peer(&error) {
                    tokio::time::sleep(PAUSE).await;
                }
                continue;
            }
        };
        if !context.gate.pace.admits(remote.ip(), context.clock.now()) {
            let per_s = context.config.addresses.connections_per_s;
            refuse(Some(remote), "address_pace", format!("more than {per_s} connections per second"));
            continue;
        }
        if let Err(error) = socket::tune(&socket, context.config.egress.send_buffer_bytes) {
            refuse(Some(remote), "accept_failed", error.to_string());
            continue;
        }
        let pending = lobby.enter(remote);
        let served_by = pending.task();
        served_by(context.runtime.spawn(connection(socket, remote, pending)).abort_handle());
    }
}

/// Whether an error of accept is about the connection that was to be accepted, so that the next may be fine.
fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// The TLS side of a connection that was just accepted.
pub(crate) async fn accept_tls(
    acceptor: &TlsAcceptor,
    socket: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    match tokio::time::timeout(TLS_TIMEOUT, acceptor.accept(socket)).await {
        Ok(accepted) => accepted,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "TLS handshake took too long")),
    }
}
