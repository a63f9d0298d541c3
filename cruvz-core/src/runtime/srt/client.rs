//! SRT connections that we open, or that one peer opens to us: what pulling and pushing have in common.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;

use super::link::{Link, Media, Over, Port};
use crate::{
    Error, ErrorKind,
    protocol::srt::{
        Answer, Caller, CallerConfig, CryptoChoice, Established, KeyLength, LinkConfig, Listener, Outcome,
        Packet, Passphrase, Random, Reject, Request, SocketId, Url, UrlMode,
    },
    runtime::{
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
            UrlMode::Caller => call(job).await,
            UrlMode::Listener => listen(job).await,
            UrlMode::Rendezvous => {
                Err(Error::new(ErrorKind::Unsupported, "mode=rendezvous is not supported yet"))
            }
        }
    }

    /// Where the peer is.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.route.to
    }

    /// Carries `media` until one of them ends.
    ///
    /// # Errors
    /// Always, in the end: `Closed` with the reason.
    ///
    /// # Cancel safety
    /// The peer is told nothing when the future is dropped, and finds out by itself.
    pub(crate) async fn carry(self, media: Media) -> Error {
        let Self { mut port, mut inbox, route, established, early } = self;
        let (clock, id) = (port.context.clock, established.local);
        let gather = port.context.srt.gather;
        let mut link = Link::new(clock.now(), &port.context, route, established, media);
        early.into_iter().for_each(|datagram| link.take(clock.now(), datagram));
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
                if datagram.from == route.to && Packet::destination(datagram.bytes) == Some(id) {
                    link.take(now, Bytes::copy_from_slice(datagram.bytes));
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

async fn call(job: &Job<Url>) -> Result<Agreed, Error> {
    let (url, context) = (&job.url, &job.context);
    let remote = resolve(url).await?;
    let any = if remote.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let port = Port::new(context, UdpSocket::bind(SocketAddr::new(any, 0))?);
    let bytes = url.key_bytes().unwrap_or(context.config.srt.key_bytes);
    let length = KeyLength::from_bytes(bytes.into()).unwrap_or_default();
    let config = CallerConfig {
        link: link_config(job)?,
        crypto: CryptoChoice { length, ..CryptoChoice::default() },
        stream_id: Some(url.stream_id()).filter(|id| !id.is_empty()).map(Into::into),
        ..CallerConfig::default()
    };
    let (clock, local_id) = (context.clock, socket_id()?);
    let mut caller = Caller::new(clock.now(), config, remote, local_id, Random::new(random()?));
    let (route, mut inbox) = (Route { to: remote, from: None }, Inbox::new(RUNS));
    loop {
        let mut outcome = caller.handle_timeout(clock.now());
        while let Some(datagram) = caller.poll_transmit(clock.now()) {
            port.send(route, &datagram);
        }
        let mut early = Vec::new();
        if outcome.is_none() {
            let wake = caller.poll_timeout().unwrap_or_default();
            tokio::select! {
                _ = port.socket.readable() => {}
                () = tokio::time::sleep_until(clock.instant(wake)) => continue,
            }
            if !port.socket.receive(&mut inbox)? {
                continue;
            }
            let ours = inbox.datagrams().filter(|datagram| {
                datagram.from == remote && Packet::destination(datagram.bytes) == Some(local_id)
            });
            for datagram in ours {
                let bytes = Bytes::copy_from_slice(datagram.bytes);
                match (&outcome, Packet::parse(bytes.clone())) {
                    (Some(_), _) => early.push(bytes),
                    (None, Ok(Packet::Control(packet))) => outcome = caller.receive(clock.now(), &packet),
                    (None, _) => {}
                }
            }
        }
        match outcome {
            Some(Outcome::Established(established)) => {
                return Ok(Agreed { port, inbox, route, established: *established, early });
            }
            Some(Outcome::Rejected(reason)) => {
                // A peer that thinks we are connected learns better.
                while let Some(datagram) = caller.poll_transmit(clock.now()) {
                    port.send(route, &datagram);
                }
                return Err(rejected(reason));
            }
            None => {}
        }
    }
}

/// Waits for one caller, and lets it in if it knows the passphrase and asks for the stream id, if there is one.
async fn listen(job: &Job<Url>) -> Result<Agreed, Error> {
    let (url, context) = (&job.url, &job.context);
    let addr = match url.host() {
        "" => SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), url.port()),
        _ => resolve(url).await?,
    };
    let port = Port::new(context, UdpSocket::bind(addr)?);
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
                    return Ok(Agreed { port, inbox, route, established, early: Vec::new() });
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

async fn resolve(url: &Url) -> Result<SocketAddr, Error> {
    let unknown = || Error::new(ErrorKind::Unavailable, format!("no address of {}", url.host()));
    let found =
        tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((url.host(), url.port()))).await;
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
