//! SRT connections that we open, or that one peer opens to us: what pulling and pushing have in common.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

use super::link::{Link, Media, Over};
use crate::{
    Error, ErrorKind, Protocol,
    protocol::srt::{
        Answer, Caller, CallerConfig, Control, ControlPacket, CryptoChoice, Established, KeyLength,
        LinkConfig, Listener, Outcome, Packet, Passphrase, Random, Reject, Rendezvous, Request, SocketId,
        Url, UrlMode,
    },
    runtime::{
        port::Port,
        random::random,
        remote::Job,
        udp::{Datagram, Inbox, Route, UdpSocket},
    },
};

/// How often a connection is looked after, and how long a turn waits at most.
const CARE: Duration = Duration::from_millis(100);
/// Runs of datagrams in one read.
const RUNS: usize = 4;
/// How long finding out the address of a host may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A socket with one peer, agreed with and not yet used.
pub(crate) struct Agreed {
    port: Port,
    inbox: Inbox,
    route: Route,
    established: Established,
    /// What the peer was told, if it called, and is told again if it did not hear it.
    reply: Option<Bytes>,
    /// The datagrams that came behind the handshake.
    early: Vec<Bytes>,
}

impl Agreed {
    /// Connects to where the job's URL points, or waits until somebody calls.
    ///
    /// # Errors
    /// `Unavailable` when nobody answers; `Unauthorized`, `Forbidden`, `NotFound` and the like when the peer refuses so.
    pub(crate) async fn with(job: &Job<Url>) -> Result<Self, Error> {
        match job.url.mode() {
            UrlMode::Caller | UrlMode::Rendezvous => dial(job).await,
            UrlMode::Listener => listen(job).await,
        }
    }

    /// Where the peer is.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.route.to
    }

    /// Carries `media` until one of them ends; sends at most `max_bps`, if that is said.
    ///
    /// # Errors
    /// Always, in the end: `Closed` with the reason.
    ///
    /// # Cancel safety
    /// The peer is told nothing when the future is dropped, and finds out by itself.
    pub(crate) async fn carry(self, media: Media, max_bps: Option<u64>) -> Error {
        let Self { mut port, mut inbox, route, established, reply, early } = self;
        let (clock, id) = (port.context.clock, established.local);
        let gather = port.context.srt.gather;
        let config = port.context.srt.connection(&media, max_bps);
        let mut link = Link::new(clock.now(), config, route, established, media);
        for datagram in early {
            link.take(clock.now(), datagram);
        }
        let (mut next_care, mut next_flush) = (Duration::ZERO, Duration::ZERO);
        loop {
            let now = clock.now();
            let mut turn = Ok(());
            if link.is_due(now) || now >= next_flush {
                next_flush = now + if link.is_viewer() { gather } else { CARE };
                turn = link.serve(now, &mut port);
            }
            if turn.is_ok() && now >= next_care {
                next_care = now + CARE;
                turn = link.care(now, &mut port);
            }
            if let Err(Over(reason)) = turn {
                return Error::new(ErrorKind::Closed, reason);
            }
            let deadline = link.deadline().into_iter().fold(next_flush.min(next_care), Duration::min);
            tokio::select! {
                _ = port.socket.readable() => {}
                () = tokio::time::sleep_until(clock.instant(deadline)) => continue,
            }
            let read = port.socket.receive(&mut inbox);
            if !read.unwrap_or(false) {
                continue;
            }
            let now = clock.now();
            for datagram in inbox.datagrams() {
                match (&reply, Packet::destination(datagram.bytes)) {
                    _ if datagram.from != route.to => {}
                    (Some(reply), Some(SocketId::LISTENER)) => port.send(route, reply),
                    (_, Some(to)) if to == id => {
                        if !link.take(now, Bytes::copy_from_slice(datagram.bytes)) {
                            port.context.totals.rejected(Protocol::Srt, "malformed_packet");
                        }
                    }
                    _ => port.context.totals.rejected(Protocol::Srt, "stray_datagram"),
                }
            }
        }
    }
}

/// What we want of a connection, as the URL and the configuration say.
fn link_config(job: &Job<Url>) -> Result<LinkConfig, Error> {
    let (url, mut config) = (&job.url, job.context.srt.link.clone());
    let passphrase = url.passphrase().map(Passphrase::new).transpose();
    config.passphrase =
        passphrase.map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))?;
    if let Some(ms) = url.latency_ms() {
        config.receive_latency = Duration::from_millis(ms.into());
        config.send_latency = config.receive_latency;
    }
    Ok(config)
}

/// The side of a handshake that speaks first.
enum Dialling {
    Calling(Caller),
    Meeting(Rendezvous),
}

impl Dialling {
    fn poll_transmit(&mut self, now: Duration) -> Option<Bytes> {
        match self {
            Self::Calling(caller) => caller.poll_transmit(now),
            Self::Meeting(rendezvous) => rendezvous.poll_transmit(now),
        }
    }

    fn poll_timeout(&self) -> Option<Duration> {
        match self {
            Self::Calling(caller) => caller.poll_timeout(),
            Self::Meeting(rendezvous) => rendezvous.poll_timeout(),
        }
    }

    fn handle_timeout(&mut self, now: Duration) -> Option<Outcome> {
        match self {
            Self::Calling(caller) => caller.handle_timeout(now),
            Self::Meeting(rendezvous) => rendezvous.handle_timeout(now),
        }
    }

    fn receive(&mut self, now: Duration, packet: Packet) -> Option<Outcome> {
        match (self, packet) {
            (Self::Calling(caller), Packet::Control(packet)) => caller.receive(now, &packet),
            (Self::Calling(_), Packet::Data(_)) => None,
            (Self::Meeting(rendezvous), Packet::Control(packet)) => rendezvous.receive(now, &packet),
            // Media shows that the peer is connected, as a sign of life does.
            (Self::Meeting(rendezvous), Packet::Data(packet)) => {
                let (destination, body) = (packet.header.destination, Control::KeepAlive);
                let timestamp_us = packet.header.timestamp_us;
                rendezvous.receive(now, &ControlPacket { timestamp_us, destination, body })
            }
        }
    }
}

/// Connects, or meets the peer half-way.
async fn dial(job: &Job<Url>) -> Result<Agreed, Error> {
    let (url, context) = (&job.url, &job.context);
    let remote = resolve(url.host(), url.port()).await?;
    let port = Port::new(context, UdpSocket::bind(local_addr(url, remote).await?)?, Protocol::Srt);
    let bytes = url.key_bytes().unwrap_or(context.config.srt.key_bytes);
    let length = KeyLength::from_bytes(bytes.into()).unwrap_or_default();
    let config = CallerConfig {
        link: link_config(job)?,
        crypto: CryptoChoice { length, cipher: url.cipher() },
        stream_id: Some(url.stream_id()).filter(|id| !id.is_empty()).map(Into::into),
        ..CallerConfig::default()
    };
    let (now, local_id, random) = (context.clock.now(), socket_id()?, Random::new(random()?));
    let dialling = match url.mode() {
        UrlMode::Rendezvous => Dialling::Meeting(Rendezvous::new(now, config, remote, local_id, random)),
        _ => Dialling::Calling(Caller::new(now, config, remote, local_id, random)),
    };
    shake_hands(port, dialling, Route { to: remote, from: None }).await
}

/// The address of ours that we call from. Who meets does so at the same port.
async fn local_addr(url: &Url, remote: SocketAddr) -> Result<SocketAddr, Error> {
    let same = if url.mode() == UrlMode::Rendezvous { remote.port() } else { 0 };
    let port = url.local_port().unwrap_or(same);
    match (url.local_host(), remote) {
        (Some(host), _) => resolve(host, port).await,
        (None, SocketAddr::V4(_)) => Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
        (None, SocketAddr::V6(_)) => Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)),
    }
}

async fn shake_hands(port: Port, mut dialling: Dialling, route: Route) -> Result<Agreed, Error> {
    let (clock, mut inbox) = (port.context.clock, Inbox::new(RUNS));
    loop {
        let mut outcome = dialling.handle_timeout(clock.now());
        let mut early = Vec::new();
        for datagram in inbox.datagrams().filter(|datagram| datagram.from == route.to) {
            match (&outcome, Packet::parse(Bytes::copy_from_slice(datagram.bytes))) {
                // What comes behind the handshake is the connection's.
                (Some(_), _) => early.push(Bytes::copy_from_slice(datagram.bytes)),
                (None, Ok(packet)) => outcome = dialling.receive(clock.now(), packet),
                (None, Err(_)) => {}
            }
        }
        inbox.clear();
        // Also at the end: a peer that thinks we are connected learns better, or one that does not, that we are.
        while let Some(datagram) = dialling.poll_transmit(clock.now()) {
            port.send(route, &datagram);
        }
        match outcome {
            Some(Outcome::Established(established)) => {
                return Ok(Agreed { port, inbox, route, established: *established, reply: None, early });
            }
            Some(Outcome::Rejected(reason)) => return Err(rejected(reason)),
            None => {}
        }
        let wake = dialling.poll_timeout().unwrap_or_default();
        tokio::select! {
            _ = port.socket.readable() => port.socket.receive(&mut inbox).map(drop)?,
            () = tokio::time::sleep_until(clock.instant(wake)) => {}
        }
    }
}

/// Waits for one caller, and lets it in if it knows the passphrase and asks for the stream id, if there is one.
async fn listen(job: &Job<Url>) -> Result<Agreed, Error> {
    let (url, context) = (&job.url, &job.context);
    let addr = match url.host() {
        "" => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), url.port()),
        host => resolve(host, url.port()).await?,
    };
    let port = Port::new(context, UdpSocket::bind(addr)?, Protocol::Srt);
    let mut listener = Listener::new(Random::new(random()?));
    let (config, mut inbox) = (link_config(job)?, Inbox::new(RUNS));
    loop {
        port.socket.readable().await?;
        if !port.socket.receive(&mut inbox)? {
            continue;
        }
        let now = context.clock.now();
        let answer = |datagram: Datagram<'_>| {
            let route = Route { to: datagram.from, from: datagram.at };
            let Ok(Packet::Control(packet)) = Packet::parse(Bytes::copy_from_slice(datagram.bytes)) else {
                return None;
            };
            let answer = match listener.receive(now, datagram.from, &packet) {
                Answer::Reply(reply) | Answer::Refused { reply, .. } => Err(reply),
                Answer::Request(request) => {
                    admit(url, &request, now, &config).map_err(|reason| request.reject(reason))
                }
                _ => return None,
            };
            Some((route, answer))
        };
        for (route, answer) in inbox.datagrams().filter_map(answer).collect::<Vec<_>>() {
            match answer {
                Err(reply) => port.send(route, &reply),
                Ok((established, reply)) => {
                    port.send(route, &reply);
                    let (reply, early) = (Some(reply), Vec::new());
                    return Ok(Agreed { port, inbox, route, established, reply, early });
                }
            }
        }
    }
}

fn admit(
    url: &Url,
    request: &Request,
    now: Duration,
    config: &LinkConfig,
) -> Result<(Established, Bytes), Reject> {
    if !url.stream_id().is_empty() && request.stream_id() != Some(url.stream_id()) {
        return Err(Reject::FORBIDDEN);
    }
    let id = socket_id().map_err(|_| Reject::SYSTEM)?;
    let (established, reply) = request.accept(now, id, config)?;
    Ok((established, reply.to_bytes()))
}

async fn resolve(host: &str, port: u16) -> Result<SocketAddr, Error> {
    let unknown = || Error::new(ErrorKind::Unavailable, format!("no address of {host}"));
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host, port))).await;
    let mut found = found.map_err(|_| unknown())?.map_err(|error| unknown().with_source(error))?;
    found.next().ok_or_else(unknown)
}

/// A socket id of ours: any number but 0, which is a listener's.
pub(crate) fn socket_id() -> std::io::Result<SocketId> {
    Ok(SocketId(u32::from_ne_bytes(random()?).max(1)))
}

/// A refusal as our errors say it.
fn rejected(reason: Reject) -> Error {
    let kind = match reason {
        Reject::TIMEOUT => ErrorKind::Unavailable,
        Reject::UNAUTHORIZED | Reject::BADSECRET | Reject::UNSECURE => ErrorKind::Unauthorized,
        Reject::FORBIDDEN => ErrorKind::Forbidden,
        Reject::NOTFOUND => ErrorKind::NotFound,
        Reject::CONFLICT => ErrorKind::AlreadyExists,
        Reject::DOWN | Reject::OVERLOAD => ErrorKind::Unavailable,
        _ => ErrorKind::Unsupported,
    };
    let text = match reason {
        Reject::TIMEOUT => "nobody answers".to_owned(),
        _ => format!("the peer refused: {reason}"),
    };
    Error::new(kind, text)
}
