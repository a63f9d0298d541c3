//! WebRTC sessions: agreed on by WHIP or WHEP in plain values, for any HTTP framework to carry, and served by shards that each own one
//! socket on the same port.
//!
//! ```text
//! client ──HTTP──► WebRtc::offer ──► Table: id, ufrag ──► guest waits for its media connection
//!    └───UDP, TCP──► Shard: a signed check names the ufrag ──► the guest is the shard's; its address is known from then on
//! ```
//!
//! A shard is one task that waits for nobody. We are the lite side of ICE: nothing that a peer names is ever dialled.

mod addresses;
mod audience;
mod guest;
mod ice_servers;
mod mail;
mod negotiation;
mod request;
mod shard;
mod table;
mod tcp;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::mpsc};

pub use self::request::{
    IceServer, OfferRequest, PatchRequest, Patched, SessionRequest, WebRtcAnswer, WebRtcRefusal,
};
use self::{
    addresses::Addresses,
    guest::Over,
    mail::{Letter, Mailbox, mailbox},
    shard::Shard,
    table::{Entry, Table, Waiting},
};
use crate::{
    Error, ErrorKind, Protocol,
    egress::rtp::{RtpOptions, RtpRings},
    hub::log::Retention,
    protocol::webrtc::{Certificate, stun},
    runtime::{context::Context, port::Port, socket, udp::UdpSocket},
    session::gate::Refusal,
};

/// How often sessions that wait are looked at.
const CARE: Duration = Duration::from_millis(100);
/// How often our own addresses are found out again.
const REFRESH: Duration = Duration::from_secs(60);
/// The payload of a packet to viewers, in bytes. With headers, extensions, tag and TURN's own it fits into the 1,280 that every
/// network with IPv6 carries.
const PAYLOAD_BYTES: usize = 1_160;
/// Addresses of ours that are named to say where nobody came.
const MAX_NAMED: usize = 2;
/// How many free ports are tried until one is free for UDP and TCP alike.
const PORT_TRIES: usize = 16;

/// WebRTC into and out of an engine: see [`crate::Engine::webrtc`].
#[derive(Clone)]
pub struct WebRtc {
    exchange: Option<Arc<Exchange>>,
}

impl fmt::Debug for WebRtc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebRtc").field("listens", &self.exchange.is_some()).finish()
    }
}

impl WebRtc {
    pub(crate) fn new(exchange: Option<Arc<Exchange>>) -> Self {
        Self { exchange }
    }

    /// Answers an offer: authorises it, and makes a session that waits for its media connection as long as
    /// [`crate::config::WebRtcConfig::connect_timeout_ms`] says. A viewer's waits for its stream first, as long as
    /// [`crate::EngineConfig::subscribe_timeout_ms`] says.
    ///
    /// # Errors
    /// 400 for no SDP, 401 and 403 as the authorizer says, 406 for an offer that has nothing in common with us or the stream, 409 for a
    /// stream that has a publisher already or, for a viewer, none yet, 413, 422 for one that asks for what we do not do, 503 while
    /// draining or full, or without a listener.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the wish.
    pub async fn offer(&self, request: OfferRequest) -> Result<WebRtcAnswer, WebRtcRefusal> {
        self.exchange()?.offer(request).await
    }

    /// Takes candidates (which we need none of), restarts ICE, or takes the answer to our own offer.
    ///
    /// # Errors
    /// 400, 403 for another token than the offer's, 404, 412 for an entity tag that is not the session's, 428 without one.
    pub async fn patch(&self, request: PatchRequest) -> Result<Patched, WebRtcRefusal> {
        self.exchange()?.patch(request).await
    }

    /// Ends a session; its peer is told.
    ///
    /// # Errors
    /// 403 for another token than the offer's, 404.
    pub async fn remove(&self, request: &SessionRequest) -> Result<(), WebRtcRefusal> {
        self.exchange()?.remove(request).await
    }

    fn exchange(&self) -> Result<&Exchange, WebRtcRefusal> {
        let exchange = self.exchange.as_deref();
        exchange
            .ok_or_else(|| WebRtcRefusal::new(503, "unavailable", "this server does not listen for WebRTC"))
    }
}

/// What all WebRTC sessions of an engine share.
pub(crate) struct Exchange {
    context: Context,
    certificate: Arc<Certificate>,
    addresses: Addresses,
    table: Table,
    rings: RtpRings,
    shards: Vec<Mailbox>,
}

impl Exchange {
    /// Listens on `addr`, over UDP and, if configured, TCP. Says where.
    ///
    /// # Errors
    /// `Io` when it cannot; `InvalidConfig` for a TURN server without a secret.
    pub(crate) async fn start(context: &Context, addr: SocketAddr) -> Result<(Arc<Self>, SocketAddr), Error> {
        let config = &context.config.webrtc;
        if let Some(turn) = config.turn.iter().find(|turn| turn.secret.is_empty() || turn.urls.is_empty()) {
            let text = format!("the TURN server {:?} needs urls and a secret", turn.urls);
            return Err(Error::new(ErrorKind::InvalidConfig, text));
        }
        let (sockets, listener) = bind(addr, config.shards, config.tcp).map_err(|error| {
            Error::new(ErrorKind::Io, format!("cannot listen for WebRTC on {addr}")).with_source(error)
        })?;
        let bound = sockets.first().map_or(addr, UdpSocket::local_addr);
        let origin = context.clock.instant(Duration::ZERO).into_std();
        let certificate = Certificate::generate(origin).map_err(|error| {
            Error::new(ErrorKind::Internal, "no DTLS certificate can be made").with_source(error)
        })?;
        let (shards, letters): (Vec<_>, Vec<_>) = sockets.iter().map(|_| mailbox()).unzip();
        let retention = Retention {
            time_us: i64::try_from(context.config.hub.log_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            bytes: context.config.hub.log_max_bytes,
        };
        let options = RtpOptions { payload_bytes: PAYLOAD_BYTES, retention };
        let exchange = Arc::new(Self {
            context: context.clone(),
            certificate,
            addresses: Addresses::new(bound, config).await,
            table: Table::new(config.max_pending, Duration::from_millis(config.connect_timeout_ms)),
            rings: RtpRings::new(options, context.clock, context.events.clone()),
            shards,
        });
        exchange.serve(sockets, letters, listener);
        Ok((exchange, bound))
    }

    fn serve(
        self: &Arc<Self>,
        sockets: Vec<UdpSocket>,
        letters: Vec<mpsc::Receiver<Letter>>,
        listener: Option<TcpListener>,
    ) {
        let runtime = &self.context.runtime;
        for ((socket, letters), mailbox) in sockets.into_iter().zip(letters).zip(&self.shards) {
            let port = Port::new(&self.context, socket, Protocol::WebRtc);
            runtime.spawn(Shard::new(self, port, mailbox.clone(), letters).run());
        }
        if let Some(listener) = listener {
            runtime.spawn(tcp::serve(Arc::clone(self), listener));
        }
        runtime.spawn(Arc::clone(self).care());
    }

    /// Looks after those who wait, and after our addresses, until the engine stops.
    async fn care(self: Arc<Self>) {
        let (clock, mut stopped) = (self.context.clock, self.context.stopped.clone());
        let mut next_refresh = clock.now() + REFRESH;
        loop {
            tokio::select! {
                () = stopped.wait() => break,
                () = tokio::time::sleep(CARE) => {}
            }
            let now = clock.now();
            for waiting in self.table.expire(now) {
                let why = match waiting.is_offer() {
                    true => "our offer was not answered in time".to_owned(),
                    false => format!("its media connection was not made in time: {}", self.unreached()),
                };
                self.give_up(waiting, "connect_timeout", &why);
            }
            if now >= next_refresh {
                next_refresh = now + REFRESH;
                let this = Arc::clone(&self);
                self.context.runtime.spawn(async move { this.addresses.refresh().await });
            }
        }
        for waiting in self.table.close() {
            waiting.leave(Over::shutdown());
        }
    }

    /// What a peer that never showed up is likely to have met.
    fn unreached(&self) -> String {
        let addresses = self.addresses.list();
        let named: Vec<_> = addresses.iter().take(MAX_NAMED).map(SocketAddr::to_string).collect();
        let more = if addresses.len() > MAX_NAMED { " or others" } else { "" };
        let over = if self.context.config.webrtc.tcp { "UDP or TCP" } else { "UDP" };
        format!(
            "nothing of it came over {over}. Do clients reach this server at {}{more}? See engine.webrtc.public_addresses",
            named.join(", ")
        )
    }

    /// Lets a session go that nobody came for.
    fn give_up(&self, waiting: Waiting, reason: &'static str, detail: &str) {
        let session = waiting.session();
        if let Some(reason) = session.end_reason() {
            return waiting.leave(Over::because(reason));
        }
        let (protocol, remote, stream) = (session.protocol, session.remote, Some(&session.stream));
        self.context.gate.refused(Refusal { protocol, remote, stream, reason, detail: detail.into() });
        waiting.leave(Over::because(detail));
    }

    /// The session whose peer signed this datagram, if it is a connectivity check.
    fn prove(&self, datagram: &[u8]) -> Option<Arc<Entry>> {
        let check = stun::Request::parse(datagram).ok()?;
        let entry = self.table.of_ufrag(check.local_ufrag())?;
        let password = entry.password(check.local_ufrag())?;
        check.is_signed_with(&password).then_some(entry)
    }

    /// Where sessions go whose peers come to no shard of themselves.
    fn some_shard(&self, number: u64) -> Option<&Mailbox> {
        let at = number.checked_rem(self.shards.len() as u64)?;
        self.shards.get(at as usize)
    }

    /// Counts a datagram that is nobody's.
    fn count_stray(&self) {
        self.context.totals.rejected(Protocol::WebRtc, "stray_datagram");
    }
}

/// The sockets of one listener, `shards` of them or one per core for 0, and a TCP listener on the same port.
fn bind(
    addr: SocketAddr,
    shards: usize,
    tcp: bool,
) -> std::io::Result<(Vec<UdpSocket>, Option<TcpListener>)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = if shards == 0 { cores } else { shards };
    let mut tries = if addr.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        let sockets = UdpSocket::bind_shards(addr, shards)?;
        let bound = sockets.first().map_or(addr, UdpSocket::local_addr);
        match tcp.then(|| socket::listen(bound)).transpose() {
            Ok(listener) => return Ok((sockets, listener)),
            Err(error) if tries <= 1 => return Err(error),
            // The port that the system chose is taken over TCP.
            Err(_) => tries -= 1,
        }
    }
}
