//! A task that serves one socket and whoever showed up at it.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::sync::mpsc;

use super::{
    Exchange,
    audience::Audiences,
    guest::{Guest, Over},
    mail::{Content, Letter, Mailbox, Way},
    table::Entry,
};
use crate::{
    protocol::webrtc::{Kind, Path},
    runtime::{
        port::Port,
        timers::Timers,
        udp::{Datagram, Inbox, Route},
    },
};

/// Up to this many viewers are listened to at once; beyond it only when it is time, for being woken by every report costs more than all
/// that is sent.
const FEW_VIEWERS: usize = 16;
/// How often the socket is read while there are many viewers: a repeat that is asked for waits no longer.
const TICK: Duration = Duration::from_millis(20);
/// The same while there is a publisher as well, or somebody at the door.
const SOON: Duration = Duration::from_millis(5);
/// How often sessions are asked for their figures, and whether they were told to end.
const CARE: Duration = Duration::from_millis(100);
/// Runs of datagrams in one read.
const RUNS: usize = 16;
/// Reads, and letters, before timers have their turn again.
const READS: usize = 8;
const LETTERS: usize = 256;

/// One socket and the sessions of its peers.
pub(super) struct Shard {
    exchange: Arc<Exchange>,
    port: Port,
    mailbox: Mailbox,
    letters: mpsc::Receiver<Letter>,
    guests: HashMap<u64, Guest>,
    /// Whose datagrams come from where.
    peers: HashMap<Path, Peer>,
    viewers: usize,
    audiences: Audiences,
    timers: Timers,
    /// Who has something to do: they have their turn when this is looked at.
    called: Vec<u64>,
    next_care: Duration,
    next_read: Duration,
}

/// Whose a path is.
enum Peer {
    /// A guest's of this shard.
    Here(u64),
    /// A guest's of another shard.
    Elsewhere(Arc<Entry>),
}

impl Shard {
    pub(super) fn new(
        exchange: &Arc<Exchange>,
        port: Port,
        mailbox: Mailbox,
        letters: mpsc::Receiver<Letter>,
    ) -> Self {
        Self {
            exchange: Arc::clone(exchange),
            port,
            mailbox,
            letters,
            guests: HashMap::new(),
            peers: HashMap::new(),
            viewers: 0,
            audiences: Audiences::default(),
            timers: Timers::default(),
            called: Vec::new(),
            next_care: Duration::ZERO,
            next_read: Duration::ZERO,
        }
    }

    pub(super) async fn run(mut self) {
        let mut inbox = Inbox::new(RUNS);
        let mut stopped = self.port.context.stopped.clone();
        let clock = self.port.context.clock;
        let bell = self.audiences.bell();
        loop {
            let at_once = self.viewers <= FEW_VIEWERS;
            let wake = self.next_wake(at_once);
            if let Err(error) = self.port.socket.watch(at_once) {
                tracing::error!(%error, "a WebRTC socket cannot be watched");
                break;
            }
            tokio::select! {
                biased;
                () = stopped.wait() => break,
                () = bell.notified() => {}
                Some(letter) = self.letters.recv() => self.open(clock.now(), letter),
                // An error of the socket itself would come back at once, for ever.
                readable = self.port.socket.readable(), if at_once => match readable {
                    Ok(()) => self.read(&mut inbox),
                    Err(_) => self.next_read = clock.now() + SOON,
                },
                () = tokio::time::sleep_until(clock.instant(wake)) => {}
            }
            let now = clock.now();
            if !at_once && now >= self.next_read {
                self.read(&mut inbox);
            }
            self.tend(clock.now());
        }
        for (_, guest) in std::mem::take(&mut self.guests) {
            self.dismiss(guest, Over::shutdown());
        }
    }

    fn next_wake(&self, at_once: bool) -> Duration {
        let read = (!at_once).then_some(self.next_read);
        let times = [self.timers.next(), self.audiences.next(), read];
        times.into_iter().flatten().fold(self.next_care, Duration::min)
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
                    tracing::debug!(%error, "a WebRTC socket cannot be read");
                    is_empty = true;
                }
            }
            if is_empty {
                break;
            }
        }
        let pause =
            if self.guests.len() > self.viewers || self.exchange.table.is_awaiting() { SOON } else { TICK };
        // What is still there, of many viewers or of a flood, must not fill the socket while this waits.
        self.next_read = if is_empty { now + pause } else { now };
    }

    /// Finds out whose a datagram is before it is kept: what is nobody's is thrown away where it lies.
    fn take(&mut self, now: Duration, datagram: &Datagram<'_>) {
        let from = SocketAddr::new(datagram.from.ip().to_canonical(), datagram.from.port());
        let path = Path::udp(from);
        let way = Way::Udp(Route { to: datagram.from, from: datagram.at });
        let peer = match Kind::of(datagram.bytes) {
            // A peer's address may be another session's now: checks say whose it is.
            Some(Kind::Stun) => match self.exchange.prove(datagram.bytes) {
                Some(entry) => self.introduce(path, &way, entry),
                None => self.peers.get(&path),
            },
            Some(_) => self.peers.get(&path),
            None => None,
        };
        match peer {
            Some(Peer::Here(number)) => {
                let number = *number;
                self.hand(now, number, path, BytesMut::from(datagram.bytes));
            }
            Some(Peer::Elsewhere(entry)) => {
                let bytes = BytesMut::from(datagram.bytes);
                let content = Content::Datagram { path, way: Some(way), bytes };
                if let Err(Some(mailbox)) = entry.at(|_| ()) {
                    // A shard that does not keep up loses it, as a full socket would.
                    let _ = mailbox.try_send(Letter { to: entry.number, content });
                }
            }
            None => self.exchange.count_stray(),
        }
    }

    /// Learns whose a path is, from a check that is signed as it should be.
    fn introduce(&mut self, path: Path, way: &Way, entry: Arc<Entry>) -> Option<&Peer> {
        if let Some(guest) = self.exchange.table.claim(&entry, &self.mailbox) {
            self.adopt(guest);
        }
        let number = entry.number;
        let peer = if self.guests.contains_key(&number) {
            self.acquaint(number, path, way.clone());
            Peer::Here(number)
        } else {
            Peer::Elsewhere(entry)
        };
        self.peers.insert(path, peer);
        self.peers.get(&path)
    }

    fn acquaint(&mut self, number: u64, path: Path, way: Way) {
        let forgotten = self.guests.get_mut(&number).and_then(|guest| guest.know(path, way));
        if let Some(forgotten) = forgotten {
            self.peers.remove(&forgotten);
        }
    }

    fn adopt(&mut self, guest: Box<Guest>) {
        self.called.push(guest.entry.number);
        self.guests.insert(guest.entry.number, *guest);
    }

    /// Gives a datagram to its guest.
    fn hand(&mut self, now: Duration, number: u64, path: Path, bytes: BytesMut) {
        let Self { guests, audiences, .. } = self;
        let Some(guest) = guests.get_mut(&number) else { return };
        let was_viewer = guest.is_viewer();
        let taken = guest.take(now, path, bytes, |ring| audiences.seat(ring, number));
        self.called.push(number);
        self.viewers += usize::from(!was_viewer && guest.is_viewer());
        if let Err(over) = taken {
            self.remove(number, over);
        }
    }

    /// Reads a letter, and those behind it.
    fn open(&mut self, now: Duration, first: Letter) {
        self.read_letter(now, first);
        for _ in 0..LETTERS {
            let Ok(letter) = self.letters.try_recv() else { break };
            self.read_letter(now, letter);
        }
    }

    fn read_letter(&mut self, now: Duration, letter: Letter) {
        let number = letter.to;
        match letter.content {
            Content::Guest(guest) => self.adopt(guest),
            Content::Datagram { path, way, bytes } => {
                if let Some(way) = way {
                    self.acquaint(number, path, way);
                }
                self.hand(now, number, path, bytes);
            }
            Content::End(done) => {
                if let Some(guest) = self.guests.get(&number) {
                    let over = Over::told(&guest.entry);
                    self.remove(number, over);
                }
                // Whoever asked may have gone.
                let _ = done.send(());
            }
            Content::Restart { local, remote_ufrag } => {
                if let Some(guest) = self.guests.get_mut(&number) {
                    guest.restart(local, remote_ufrag);
                }
            }
        }
    }

    /// Gives every session its turn whose time has come.
    fn tend(&mut self, now: Duration) {
        let Self { guests, audiences, timers, called, .. } = self;
        audiences.due(now, |number| {
            if let Some(guest) = guests.get_mut(&number) {
                guest.touch();
                called.push(number);
            }
        });
        while let Some(number) = timers.take(now) {
            if let Some(guest) = guests.get_mut(&number) {
                timers.forget(number, &mut guest.place);
                called.push(number);
            }
        }
        let mut called = std::mem::take(called);
        called.drain(..).for_each(|number| self.turn(now, number));
        // For its memory.
        self.called = called;
        if now >= self.next_care {
            self.next_care = now + CARE;
            self.care(now);
        }
    }

    fn turn(&mut self, now: Duration, number: u64) {
        let Some(guest) = self.guests.get_mut(&number) else { return };
        let served = if guest.is_due(now) { guest.serve(now, &mut self.port) } else { Ok(()) };
        match served {
            Ok(()) => {
                let deadline = guest.deadline();
                self.timers.wish(number, &mut guest.place, deadline);
                if let Some(rings) = guest.take_seats() {
                    self.audiences.leave(number);
                    rings.iter().for_each(|ring| self.audiences.seat(ring, number));
                }
            }
            Err(over) => self.remove(number, over),
        }
    }

    /// Looks after what changes rarely.
    fn care(&mut self, now: Duration) {
        let Self { guests, port, .. } = self;
        let over = |(number, guest): (&u64, &mut Guest)| Some((*number, guest.care(now, port).err()?));
        let gone: Vec<_> = guests.iter_mut().filter_map(over).collect();
        for (number, over) in gone {
            self.remove(number, over);
        }
        self.audiences.tidy();
        self.peers.retain(|_, peer| match peer {
            Peer::Here(_) => true,
            Peer::Elsewhere(entry) => matches!(entry.at(|_| ()), Err(Some(_))),
        });
    }

    fn remove(&mut self, number: u64, over: Over) {
        if let Some(mut guest) = self.guests.remove(&number) {
            self.timers.forget(number, &mut guest.place);
            self.audiences.leave(number);
            self.viewers -= usize::from(guest.is_viewer());
            self.dismiss(guest, over);
        }
    }

    fn dismiss(&mut self, guest: Guest, over: Over) {
        self.exchange.table.remove(&guest.entry);
        let number = guest.entry.number;
        for path in guest.paths() {
            // It may be another's by now.
            if matches!(self.peers.get(&path), Some(Peer::Here(whose)) if *whose == number) {
                self.peers.remove(&path);
            }
        }
        guest.end(over, &mut self.port);
    }
}
