//! SRT connections: shards that each serve one socket, with publishers and players alike.
//!
//! A shard is one task. It owns its socket, one buffer to send from, and a struct per connection; it waits for nobody. While the
//! authorizer decides about a caller, the request is with a task of its own, bounded in number and time, and the caller's
//! repeated handshakes are passed over. Media of a publisher goes to the hub as it comes; viewers are flushed together, every
//! [`SrtConfig::gather_ms`](crate::config::SrtConfig::gather_ms), each with one send.

mod request;

use std::{
    collections::{HashMap, hash_map::Entry},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::task::{Id, JoinError, JoinSet};

use self::request::{Admitted, Decided, Door};
use super::lobby::Lobby;
use crate::{
    Error, Protocol,
    protocol::srt::{Answer, ControlPacket, Ignored, Listener, Packet, Random, Request, SocketId},
    runtime::{
        context::Context,
        port::Port,
        random::random,
        srt::link::Link,
        udp::{Datagram, Inbox, Route, UdpSocket},
    },
    session::gate::Refusal,
};

/// Up to this many viewers are listened to at once; beyond it only when they are flushed, for being woken by every
/// acknowledgement costs more than all that is sent.
const FEW_VIEWERS: usize = 16;
/// How often the socket is read while there are many viewers and somebody else as well: a publisher, or a caller at the door.
const SOON: Duration = Duration::from_millis(5);
/// How often connections are asked for their figures, and whether their session was told to end.
const CARE: Duration = Duration::from_millis(100);
/// Runs of datagrams in one read.
const RUNS: usize = 16;
/// Reads before timers have their turn again.
const READS: usize = 8;

/// Serves callers on each of `sockets`, which share an address, until the engine stops.
///
/// # Errors
/// `Io` when the system has no random numbers.
pub(crate) fn serve(context: &Context, sockets: Vec<UdpSocket>) -> Result<(), Error> {
    if let Some(bytes) = sockets.first().and_then(UdpSocket::poor_buffer) {
        tracing::info!(
            bytes,
            "the system gives UDP sockets a small buffer; net.core.rmem_max = 8388608 would lose less under load"
        );
    }
    let mut random = Random::new(random()?);
    let max = context.config.max_pending_connections;
    let lobby = Lobby::new(Arc::clone(&context.gate), Protocol::Srt, max);
    for socket in sockets {
        let shard = Shard {
            door: Door::new(context, &lobby),
            listener: Listener::new(random.fork()),
            port: Port::new(context, socket, Protocol::Srt),
            deciding: JoinSet::new(),
            asking: HashMap::new(),
            callers: HashMap::new(),
            guests: HashMap::new(),
            viewers: 0,
            next_flush: Duration::ZERO,
            next_care: Duration::ZERO,
            next_read: Duration::ZERO,
        };
        context.runtime.spawn(shard.run());
    }
    Ok(())
}

/// Who calls: several sockets of a program may share its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Caller {
    remote: SocketAddr,
    id: SocketId,
}

/// A caller that was let in.
struct Guest {
    caller: Caller,
    /// The end of the handshake, for a caller that did not get it.
    reply: ControlPacket,
    started: Duration,
    link: Link,
}

impl Guest {
    /// Tells the caller that it is connected, again if it must be.
    fn reply(&mut self, now: Duration, port: &Port) {
        // Microseconds of 32 bits, which begin anew after 71 minutes (§3).
        self.reply.timestamp_us = now.saturating_sub(self.started).as_micros() as u32;
        port.send(self.link.route, &self.reply.to_bytes());
    }
}

/// One socket and whoever is connected through it.
struct Shard {
    port: Port,
    listener: Listener,
    door: Door,
    /// Callers that are being decided about.
    deciding: JoinSet<Decided>,
    asking: HashMap<Id, Caller>,
    /// Everybody who has concluded a handshake, by the socket we gave them: `None` while it is being decided.
    callers: HashMap<Caller, Option<SocketId>>,
    guests: HashMap<SocketId, Guest>,
    viewers: usize,
    next_flush: Duration,
    next_care: Duration,
    next_read: Duration,
}

impl Shard {
    async fn run(mut self) {
        let mut inbox = Inbox::new(RUNS);
        let mut stopped = self.port.context.stopped.clone();
        let clock = self.port.context.clock;
        loop {
            let now = clock.now();
            let (at_once, wake) = (self.listens_at_once(), self.next_wake(now));
            if let Err(error) = self.port.socket.watch(at_once) {
                tracing::error!(%error, "an SRT socket cannot be watched");
                break;
            }
            tokio::select! {
                biased;
                () = stopped.wait() => break,
                decided = self.deciding.join_next_with_id(), if !self.deciding.is_empty() => {
                    if let Some(decided) = decided {
                        self.settle(clock.now(), decided);
                    }
                }
                // An error of the socket itself would come back at once, for ever.
                readable = self.port.socket.readable(), if at_once => match readable {
                    Ok(()) => self.read(&mut inbox),
                    Err(_) => self.next_read = now + SOON,
                },
                () = tokio::time::sleep_until(clock.instant(wake)) => {
                    if !at_once && clock.now() >= self.next_read {
                        self.read(&mut inbox);
                    }
                }
            }
            self.tend(clock.now());
        }
        self.door.close();
        let now = clock.now();
        for guest in self.guests.values_mut() {
            guest.link.end(now, "server is shutting down".into(), &mut self.port);
        }
    }

    /// Whether every datagram is read as it comes.
    fn listens_at_once(&self) -> bool {
        self.viewers <= FEW_VIEWERS
    }

    fn next_wake(&self, now: Duration) -> Duration {
        if self.guests.is_empty() {
            return now + CARE;
        }
        let publishers = self.guests.values().filter(|guest| !guest.link.is_viewer());
        let publishers = publishers.filter_map(|guest| guest.link.deadline()).min();
        let flush = (self.viewers > 0).then_some(self.next_flush);
        let read = (!self.listens_at_once()).then_some(self.next_read);
        publishers.into_iter().chain(flush).chain(read).fold(self.next_care, Duration::min)
    }

    /// Takes what has come.
    fn read(&mut self, inbox: &mut Inbox) {
        let now = self.port.context.clock.now();
        let mut is_empty = false;
        for _ in 0..READS {
            match self.port.socket.receive(inbox) {
                Ok(true) => inbox.datagrams().for_each(|datagram| self.take(now, &datagram)),
                Ok(false) => is_empty = true,
                Err(error) => {
                    tracing::debug!(%error, "an SRT socket cannot be read");
                    is_empty = true;
                }
            }
            if is_empty {
                break;
            }
        }
        let others = self.guests.len() > self.viewers || !self.deciding.is_empty();
        let gather = self.port.context.srt.gather;
        // What is still there, of many viewers or of a flood, must not fill the socket while this waits.
        let pause = if others { SOON.min(gather) } else { gather };
        self.next_read = if is_empty { now + pause } else { now };
    }

    /// Finds out whom a datagram is for before it is kept: a flood of what is for nobody is thrown away where it lies.
    fn take(&mut self, now: Duration, datagram: &Datagram<'_>) {
        let bytes = || Bytes::copy_from_slice(datagram.bytes);
        match Packet::destination(datagram.bytes) {
            Some(SocketId::LISTENER) => self.shake_hands(now, datagram, bytes()),
            Some(id) => match self.guests.get_mut(&id) {
                // Whoever guesses a socket id is not believed unless it also has the address.
                Some(guest) if guest.caller.remote == datagram.from => {
                    if !guest.link.take(now, bytes()) {
                        self.count("malformed_packet");
                    }
                }
                _ => self.count("stray_datagram"),
            },
            None => self.count("stray_datagram"),
        }
    }

    /// Counts a datagram that is answered by nothing; there may be too many to tell of each.
    fn count(&self, reason: &'static str) {
        self.port.context.totals.rejected(Protocol::Srt, reason);
    }

    fn shake_hands(&mut self, now: Duration, datagram: &Datagram<'_>, bytes: Bytes) {
        let route = Route { to: datagram.from, from: datagram.at };
        let Ok(Packet::Control(packet)) = Packet::parse(bytes) else { return self.count("stray_datagram") };
        match self.listener.receive(now, datagram.from, &packet) {
            Answer::Reply(reply) => self.port.send(route, &reply),
            Answer::Request(request) => self.ask(now, route, *request),
            Answer::Refused { reply, reason } => {
                refused(&self.port.context, route.to, "handshake", reason.to_string());
                self.port.send(route, &reply);
            }
            Answer::Ignored(Ignored::Cookie) => self.count("wrong_cookie"),
            Answer::Ignored(_) => self.count("stray_datagram"),
        }
    }

    /// Lets a caller's wish be decided.
    fn ask(&mut self, now: Duration, route: Route, request: Request) {
        let caller = Caller { remote: route.to, id: request.peer_id() };
        match self.callers.entry(caller) {
            Entry::Occupied(known) => {
                // Our answer was lost, or it is still being decided.
                if let Some(guest) = known.get().and_then(|id| self.guests.get_mut(&id)) {
                    guest.reply(now, &self.port);
                }
            }
            Entry::Vacant(vacant) => match self.door.knock(now, route, request, &mut self.deciding) {
                Ok(task) => {
                    self.asking.insert(task, caller);
                    vacant.insert(None);
                }
                Err(refusal) => self.port.send(route, &refusal),
            },
        }
    }

    /// Somebody was let in, or not.
    fn settle(&mut self, now: Duration, decided: Result<(Id, Decided), JoinError>) {
        let (task, decided) = match decided {
            Ok((task, decided)) => (task, Some(decided)),
            // It had to make room: its caller is told nothing and tries again.
            Err(error) => (error.id(), None),
        };
        let Some(caller) = self.asking.remove(&task) else { return };
        let Some(Decided { route, outcome }) = decided else {
            self.callers.remove(&caller);
            return;
        };
        match outcome {
            Ok(admitted) => self.connect(now, caller, route, admitted),
            Err(refusal) => {
                self.callers.remove(&caller);
                self.port.send(route, &refusal);
            }
        }
    }

    fn connect(&mut self, now: Duration, caller: Caller, route: Route, admitted: Admitted) {
        let Admitted { established, reply, media } = admitted;
        let (id, started) = (established.local, established.started);
        // Two of four billion that meet: the newcomer tries again.
        if self.guests.contains_key(&id) {
            self.callers.remove(&caller);
            return;
        }
        let config = self.port.context.srt.connection(&media, None);
        let link = Link::new(now, config, route, established, media);
        let mut guest = Guest { caller, reply, started, link };
        guest.reply(now, &self.port);
        self.viewers += usize::from(guest.link.is_viewer());
        self.callers.insert(caller, Some(id));
        self.guests.insert(id, guest);
    }

    /// Gives every connection its turn whose time has come.
    fn tend(&mut self, now: Duration) {
        let (flush, care) = (now >= self.next_flush, now >= self.next_care);
        if flush {
            self.next_flush = now + self.port.context.srt.gather;
        }
        if care {
            self.next_care = now + CARE;
        }
        let Self { guests, port, callers, viewers, .. } = self;
        guests.retain(|_, Guest { caller, link, .. }| {
            let due = if link.is_viewer() { flush || link.lacks() } else { link.is_due(now) };
            let goes_on = (!due || link.serve(now, port).is_ok()) && (!care || link.care(now, port).is_ok());
            if !goes_on {
                callers.remove(caller);
                *viewers -= usize::from(link.is_viewer());
            }
            goes_on
        });
    }
}

/// Tells of a caller that was turned away before it had a session.
fn refused(context: &Context, remote: SocketAddr, reason: &'static str, detail: String) {
    context.gate.refused(Refusal {
        protocol: Protocol::Srt,
        remote: Some(remote),
        stream: None,
        reason,
        detail,
    });
}
