//! One connection: which HTTP it speaks, its requests, and the end of it.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, time::Duration};

use axum::{Router, body::Body, extract::Request, response::Response};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{accept::Limits, body::PatientBody, patience::Patient, sniff::Sniffed, takeover::Takeover};

/// Requests of one HTTP/2 connection at once. A player needs two or three.
const H2_STREAMS: u32 = 64;
/// How often an HTTP/2 peer is asked whether it is still there.
const H2_PING: Duration = Duration::from_secs(20);

/// Who sent a request and how, among its extensions.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Where it is connected from.
    pub(crate) remote: SocketAddr,
    /// The right to take the socket, on plain HTTP/1.
    pub(crate) takeover: Option<Takeover>,
}

type Answer = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Serves requests with `router`, which learns of `peer`.
fn service(
    router: Router,
    peer: Peer,
) -> impl Service<hyper::Request<Incoming>, Response = Response, Error = Infallible, Future = Answer> {
    let router = TowerToHyperService::new(router);
    service_fn(move |request: hyper::Request<Incoming>| -> Answer {
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(peer.clone());
        Box::pin(router.call(request))
    })
}

/// A connection with everything it needs.
pub(crate) struct Connection {
    pub(crate) router: Router,
    pub(crate) remote: SocketAddr,
    pub(crate) limits: Limits,
    /// Becomes true when no further request shall be taken.
    pub(crate) closing: watch::Receiver<bool>,
}

impl Connection {
    /// Serves a plain socket, HTTP/1 or HTTP/2 with prior knowledge, until its peer is done.
    pub(crate) async fn plain(self, socket: TcpStream) {
        let socket = Patient::new(socket, self.limits.write_timeout);
        let Ok(Ok((io, is_h2))) = timeout(self.limits.header_timeout, Sniffed::version(socket)).await else {
            return;
        };
        let peer = Peer { remote: self.remote, takeover: None };
        if is_h2 {
            return self.h2(io, peer).await;
        }
        let (takeover, mut taken) = Takeover::new();
        let peer = Peer { takeover: Some(takeover), ..peer };
        let mut connection =
            self.http1().serve_connection(TokioIo::new(io), service(self.router.clone(), peer));
        let mut closing = self.closing.clone();
        let mut closed = false;
        loop {
            tokio::select! {
                // An error is the peer's: it left, or sent what is no HTTP, and has been told.
                _ = &mut connection => return,
                Ok(handoff) = &mut taken => {
                    let (socket, unread) = connection.into_parts().io.into_inner().into_parts();
                    // A peer that went on speaking before it had an answer is not one to stream to.
                    if unread.is_empty() {
                        handoff(socket.into_inner());
                    }
                    return;
                }
                () = closes(&mut closing), if !closed => {
                    closed = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
        }
    }

    /// Serves a socket over TLS, HTTP/2 or HTTP/1 as the handshake agrees.
    pub(crate) async fn tls(self, socket: TcpStream, acceptor: TlsAcceptor) {
        let socket = Patient::new(socket, self.limits.write_timeout);
        let Ok(Ok(io)) = timeout(self.limits.header_timeout, acceptor.accept(socket)).await else { return };
        let peer = Peer { remote: self.remote, takeover: None };
        if io.get_ref().1.alpn_protocol() == Some(b"h2") {
            return self.h2(io, peer).await;
        }
        let connection = self
            .http1()
            .serve_connection(TokioIo::new(io), service(self.router.clone(), peer))
            .with_upgrades();
        let mut closing = self.closing;
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = closes(&mut closing) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn h2(self, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, peer: Peer) {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_PING)
            .keep_alive_timeout(self.limits.header_timeout)
            .max_concurrent_streams(H2_STREAMS)
            .max_header_list_size(u32::try_from(self.limits.max_header_bytes).unwrap_or(u32::MAX));
        let (limit, requests) = (self.limits.write_timeout, service(self.router, peer));
        let patient = service_fn(move |request| {
            let answer = requests.call(request);
            async move { answer.await.map(|answer| answer.map(|body| PatientBody::new(body, limit))) }
        });
        let connection = builder.serve_connection(TokioIo::new(io), patient);
        let mut closing = self.closing;
        tokio::pin!(connection);
        tokio::select! {
            _ = &mut connection => return,
            () = closes(&mut closing) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(self.limits.max_header_bytes);
        builder
    }
}

async fn closes(closing: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which closes as well.
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Tells a peer that there is no room, as far as the kernel takes it at once, and closes.
pub(crate) async fn turn_away(mut socket: TcpStream) {
    const BODY: &str = r#"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"too many connections"}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
         Retry-After: 5\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let _ = socket.try_write(answer.as_bytes());
    let _ = socket.shutdown().await;
}
