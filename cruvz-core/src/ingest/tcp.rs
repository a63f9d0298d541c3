//! Accepting TCP connections calmly, in plain and over TLS.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

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
}

impl Transport for TcpStream {
    fn into_socket(self) -> Result<TcpStream, Self> {
        Ok(self)
    }
}

impl Transport for TlsStream<TcpStream> {
    fn into_socket(self) -> Result<TcpStream, Self> {
        Err(self)
    }
}

/// Held by a connection until it has a session: the number of those that have none is bounded.
pub(crate) type Pending = OwnedSemaphorePermit;

/// Serves connections of `protocol` on `listener` until the engine stops.
pub(crate) async fn serve<F, Fut>(context: Context, protocol: Protocol, listener: TcpListener, connection: F)
where
    F: Fn(TcpStream, SocketAddr, Pending) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let pending = Arc::new(Semaphore::new(context.config.max_pending_connections));
    let mut stopped = context.stopped.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped.wait() => return,
        };
        let refuse = |remote, reason, detail: String| {
            context.gate.refused(Refusal { protocol, remote, stream: None, reason, detail });
        };
        let (socket, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                refuse(None, "accept_failed", error.to_string());
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&pending).try_acquire_owned() else {
            refuse(Some(remote), "connection_limit", "too many connections without a session".to_owned());
            continue;
        };
        if socket::tune(&socket, context.config.egress.send_buffer_bytes).is_ok() {
            context.runtime.spawn(connection(socket, remote, permit));
        }
    }
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
