//! The running server: an engine and its listeners.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use cruvz_core::{Engine, Error, ErrorKind, Result, TlsConfig, runtime::clock::Clock};
use parking_lot::Mutex;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::{
    access::KeyAuthorizer,
    api::metrics::{SessionFigures, session_figures},
    config::{Config, TlsFiles, resolve},
    http::{Acceptor, Connections, Limits, listen, tls},
    router::router,
};

/// How long HTTP connections get to finish what they are at once everything else has stopped.
const HTTP_PATIENCE: Duration = Duration::from_secs(1);
const HTTP_POLL: Duration = Duration::from_millis(10);

/// What handlers share.
#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    engine: Engine,
    config: Config,
    clock: Clock,
    connections: Arc<Connections>,
    /// The last figures shown, which the next must not fall below.
    figures: Mutex<SessionFigures>,
}

impl App {
    pub(crate) fn new(engine: Engine, config: Config) -> Self {
        let (clock, connections) = (Clock::start(), Arc::default());
        Self(Arc::new(Shared { engine, config, clock, connections, figures: Mutex::default() }))
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.engine
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    pub(crate) fn session_totals(&self) -> SessionFigures {
        session_figures(&self.0.engine, &mut self.0.figures.lock())
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    app: App,
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    closing: watch::Sender<bool>,
    accepting: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts everything that `config` says, on the current tokio runtime.
    ///
    /// # Errors
    /// `InvalidConfig` when the configuration does not make sense; `Io` when an address cannot be listened on or a certificate
    /// cannot be read. Nothing listens then.
    pub async fn start(config: Config) -> Result<Self> {
        let invalid =
            |error: crate::config::ConfigError| Error::new(ErrorKind::InvalidConfig, error.to_string());
        for warning in config.validate().map_err(invalid)? {
            tracing::warn!("{warning}");
        }
        let certificate = config.tls.as_ref().map(read_certificate).transpose()?;
        let acceptor = certificate.as_ref().map(tls::acceptor).transpose()?;
        let http = bind(&config.http.listen, "HTTP", "http")?;
        let https = bind(&config.https.listen, "HTTPS", "https")?;
        let engine = start_engine(&config, certificate).await?;

        let limits = Limits {
            max_connections: config.http.max_connections,
            header_timeout: Duration::from_millis(config.http.header_timeout_ms),
            write_timeout: Duration::from_millis(config.http.write_timeout_ms),
            max_header_bytes: config.http.max_header_bytes,
        };
        let app = App::new(engine, config);
        let (closing, watching) = watch::channel(false);
        let connections = Arc::clone(app.connections());
        let loops = Acceptor { router: router(app.clone()), limits, connections, closing: watching };
        let mut server = Self { app, http: None, https: None, closing, accepting: Vec::new() };
        server.http = server.accept(&loops, http, None)?;
        server.https = server.accept(&loops, https, acceptor)?;
        Ok(server)
    }

    fn accept(
        &mut self,
        loops: &Acceptor,
        listener: Option<TcpListener>,
        tls: Option<TlsAcceptor>,
    ) -> Result<Option<SocketAddr>> {
        let Some(listener) = listener else { return Ok(None) };
        let addr = listener.local_addr()?;
        self.accepting.push(tokio::spawn(loops.clone().run(listener, tls)));
        Ok(Some(addr))
    }

    /// The engine, for tests and for embedding.
    pub fn engine(&self) -> &Engine {
        self.app.engine()
    }

    /// Where HTTP is bound, if it is.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where HTTPS is bound, if it is.
    pub fn https_addr(&self) -> Option<SocketAddr> {
        self.https
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &Config {
        self.app.config()
    }

    /// Takes nobody in any more (`/readyz` says so), gives publishers until the configured deadline to leave, ends everything
    /// and stops listening.
    pub async fn drain(self) {
        self.engine().drain(Duration::from_millis(self.config().drain.timeout_ms)).await;
        self.stop().await;
    }

    /// The same without the wait for publishers.
    pub async fn shutdown(self) {
        self.engine().shutdown().await;
        self.stop().await;
    }

    async fn stop(self) {
        self.closing.send_replace(true);
        for accepting in self.accepting {
            let _ = accepting.await;
        }
        let open = || self.app.connections().open.load(std::sync::atomic::Ordering::Relaxed);
        let _ = tokio::time::timeout(HTTP_PATIENCE, async {
            while open() > 0 {
                tokio::time::sleep(HTTP_POLL).await;
            }
        })
        .await;
    }
}

async fn start_engine(config: &Config, certificate: Option<TlsConfig>) -> Result<Engine> {
    let addr = |text: &str| resolve(text).map(|addr| addr.to_string());
    let invalid = |text: String| Error::new(ErrorKind::InvalidConfig, text);
    let mut builder = Engine::builder().config(config.engine.clone()).authorize(KeyAuthorizer::new(config));
    if !config.rtmp.listen.is_empty() {
        builder = builder.rtmp(addr(&config.rtmp.listen).map_err(invalid)?);
    }
    if let Some(certificate) = certificate.filter(|_| !config.rtmps.listen.is_empty()) {
        builder = builder.rtmps(addr(&config.rtmps.listen).map_err(invalid)?, certificate);
    }
    if !config.srt.listen.is_empty() {
        builder = builder.srt(addr(&config.srt.listen).map_err(invalid)?);
    }
    if !config.webrtc.listen.is_empty() {
        builder = builder.webrtc(addr(&config.webrtc.listen).map_err(invalid)?);
    }
    builder.start().await.map_err(|error| match error.kind() {
        ErrorKind::Io => Error::new(
            ErrorKind::Io,
            format!("{error}; --rtmp, --rtmps, --srt and --webrtc choose other addresses"),
        ),
        _ => error,
    })
}

/// Binds the listener of one protocol; `flag` is what chooses another address.
fn bind(addr: &str, protocol: &str, flag: &str) -> Result<Option<TcpListener>> {
    if addr.is_empty() {
        return Ok(None);
    }
    let resolved =
        resolve(addr).map_err(|text| Error::new(ErrorKind::InvalidConfig, format!("{addr:?} {text}")))?;
    listen(resolved).map(Some).map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::AddrInUse => "the port is in use",
            io::ErrorKind::PermissionDenied => "this port needs more rights (below 1024)",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "the system refuses",
        };
        let text = format!("cannot listen on {addr} for {protocol}: {what}; --{flag} chooses another");
        Error::new(ErrorKind::Io, text).with_source(error)
    })
}

/// Reads certificate and key.
fn read_certificate(files: &TlsFiles) -> Result<TlsConfig> {
    let read = |path: &Path| {
        let text = format!("cannot read {}", path.display());
        fs::read(path).map_err(|error| Error::new(ErrorKind::Io, text).with_source(error))
    };
    Ok(TlsConfig { cert_pem: read(&files.cert)?, key_pem: read(&files.key)? })
}
