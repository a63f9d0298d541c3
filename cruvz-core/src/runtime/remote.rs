//! Connections that we open: how they are dialled, kept up and told to stop.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use crate::{
    Error, ErrorKind, Event, Role, StreamName,
    protocol::rtmp::Url,
    runtime::{context::Context, socket},
};

/// How long connecting and the TLS handshake may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The first pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that ran this long was a good one: the next pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(10);

/// What a push or a pull is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoteState {
    /// It waits for the stream, or opens the connection.
    Connecting,
    /// Media flows.
    Running,
    /// It tries again in a moment.
    Waiting {
        /// Why the last try ended.
        reason: String,
    },
    /// It is over.
    Stopped,
}

impl RemoteState {
    fn name(&self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Waiting { .. } => "waiting",
            Self::Stopped => "stopped",
        }
    }
}

/// A push or a pull that goes on until it is stopped. Dropping the handle does not stop it.
#[derive(Clone, Debug)]
pub struct Remote {
    stream: StreamName,
    target: Arc<str>,
    state: watch::Receiver<RemoteState>,
    stop: Arc<watch::Sender<bool>>,
}

impl Remote {
    /// The stream.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The other end, without secrets.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What it is doing.
    pub fn state(&self) -> RemoteState {
        self.state.borrow().clone()
    }

    /// Waits until `condition` holds, or it has stopped; says what it is doing then.
    pub async fn wait_for(&self, mut condition: impl FnMut(&RemoteState) -> bool) -> RemoteState {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| condition(state) || *state == RemoteState::Stopped).await;
        reached.map_or(RemoteState::Stopped, |state| state.clone())
    }

    /// Ends it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// The task's side of a [`Remote`] at `U`, a URL that shows no secrets.
pub(crate) struct Job<U> {
    pub(crate) context: Context,
    pub(crate) stream: StreamName,
    pub(crate) url: U,
    role: Role,
    target: Arc<str>,
    state: watch::Sender<RemoteState>,
    stop: watch::Receiver<bool>,
    trust: Arc<ClientConfig>,
}

impl<U: fmt::Display + Send + Sync + 'static> Job<U> {
    /// Starts `attempt` again and again, with a growing pause after failures, until the handle or the engine stops it.
    pub(crate) fn start<F, Fut>(
        context: &Context,
        stream: StreamName,
        url: U,
        role: Role,
        attempt: F,
    ) -> Remote
    where
        F: Fn(Arc<Self>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Error>> + Send,
    {
        let (state, states) = watch::channel(RemoteState::Connecting);
        let (stop, stops) = watch::channel(false);
        let target: Arc<str> = url.to_string().into();
        let handle = Remote {
            stream: stream.clone(),
            target: Arc::clone(&target),
            state: states,
            stop: Arc::new(stop),
        };
        let trust = Arc::clone(&context.trust);
        let job =
            Arc::new(Self { context: context.clone(), stream, url, role, target, state, stop: stops, trust });
        let keep_stop = Arc::clone(&handle.stop);
        context.runtime.spawn(async move {
            let (mut stopped, mut stop) = (job.context.stopped.clone(), job.stop.clone());
            tokio::select! {
                () = job.keep_going(attempt) => {}
                () = stopped.wait() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
            job.set(RemoteState::Stopped);
            drop(keep_stop);
        });
        handle
    }

    async fn keep_going<F, Fut>(self: &Arc<Self>, attempt: F)
    where
        F: Fn(Arc<Self>) -> Fut,
        Fut: Future<Output = Result<(), Error>>,
    {
        let clock = self.context.clock;
        let mut pause = FIRST_PAUSE;
        loop {
            self.set(RemoteState::Connecting);
            let began = clock.now();
            let ended = attempt(Arc::clone(self)).await;
            if clock.now().saturating_sub(began) > GOOD_RUN {
                pause = FIRST_PAUSE;
            }
            let reason = match ended {
                Ok(()) => "the stream ended".to_owned(),
                Err(error) => error.to_string(),
            };
            self.set(RemoteState::Waiting { reason });
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    pub(crate) fn set(&self, state: RemoteState) {
        let detail = match &state {
            RemoteState::Waiting { reason } => reason.clone(),
            _ => String::new(),
        };
        let (stream, target) = (self.stream.clone(), self.target.to_string());
        tracing::info!(%stream, role = %self.role, %target, state = state.name(), detail);
        self.context.events.send(Event::RemoteState {
            stream,
            role: self.role,
            target,
            state: state.name(),
            detail,
        });
        self.state.send_replace(state);
    }
}

impl Job<Url> {
    /// Connects to where the URL points.
    pub(crate) async fn dial(&self) -> Result<Dialled, Error> {
        let url = &self.url;
        let unreachable = |error: std::io::Error| {
            Error::new(ErrorKind::Unavailable, format!("cannot connect to {}:{}", url.host(), url.port()))
                .with_source(error)
        };
        let connect = async {
            let socket = TcpStream::connect((url.host(), url.port())).await?;
            socket::tune(&socket, 0)?;
            let addr = socket.peer_addr()?;
            if !url.is_tls() {
                return Ok(Dialled { stream: Box::new(socket), addr });
            }
            let name = ServerName::try_from(url.host().to_owned()).map_err(std::io::Error::other)?;
            let stream = TlsConnector::from(Arc::clone(&self.trust)).connect(name, socket).await?;
            Ok(Dialled { stream: Box::new(stream), addr })
        };
        match tokio::time::timeout(DIAL_TIMEOUT, connect).await {
            Ok(dialled) => dialled.map_err(unreachable),
            Err(_) => Err(unreachable(std::io::ErrorKind::TimedOut.into())),
        }
    }
}

/// A byte stream in both directions.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open connection.
pub(crate) struct Dialled {
    pub(crate) stream: Box<dyn Duplex>,
    pub(crate) addr: std::net::SocketAddr,
}

impl fmt::Debug for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialled({})", self.addr)
    }
}

/// What is believed of servers: the usual roots, and those in `extra_pem`.
pub(crate) fn trust(extra_pem: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
    let bad = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::InvalidConfig, "the trusted certificates cannot be used").with_source(error)
    };
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in CertificateDer::pem_slice_iter(extra_pem) {
        let certificate = certificate.map_err(|error| bad(error.into()))?;
        roots.add(certificate).map_err(|error| bad(error.into()))?;
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config =
        config.map_err(|error| bad(error.into()))?.with_root_certificates(roots).with_no_client_auth();
    Ok(Arc::new(config))
}
