//! `load bare`: the least a server could do, and so the measure for those that do more.
//!
//! One thread, epoll and `writev`: the same bytes to every socket, at once or gathered. It keeps no log, knows no
//! keyframe and no slow viewer, and speaks no protocol: a viewer gets the prologue and then whatever comes.
//! Its source is its own timer, or a publisher's socket, which charges it for an ingest as a real server is.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    net::SocketAddr,
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use cruvz_core::runtime::clock::Clock;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use crate::{
    options::Options,
    publish::PROLOGUE,
    synthetic::{Synthetic, Wire},
};

const VIEWERS: Token = Token(0);
const PUBLISHERS: Token = Token(1);
const PUBLISHER: Token = Token(2);
/// Tokens from here on are viewers.
const FIRST_VIEWER: usize = 3;
/// As many pieces as one `writev` takes.
const MAX_PIECES: usize = 1024;
/// A viewer that is this far behind is dropped.
const MAX_REST_BYTES: usize = 64 << 20;

enum Source {
    Timer { stream: Box<Synthetic>, wire: Wire },
    Socket { listener: TcpListener, publisher: Option<TcpStream>, unread: BytesMut },
}

struct Viewer {
    socket: TcpStream,
    /// What it is owed, when a write fell short.
    rest: VecDeque<u8>,
}

struct Bare {
    clock: Clock,
    poll: Poll,
    listener: TcpListener,
    source: Source,
    prologue: Bytes,
    /// Zero sends at once.
    gather: Duration,
    window: Vec<Bytes>,
    viewers: Vec<Option<Viewer>>,
}

/// Serves until it is ended.
pub(crate) fn run(mut options: Options) -> Result<(), String> {
    let listen: SocketAddr = options.take("listen")?.ok_or("--listen is missing")?;
    let publish: Option<SocketAddr> = options.take("publish")?;
    let gather_ms = options.take("gather-ms")?.unwrap_or(0);
    let wire = match options.take::<String>("wire")?.as_deref() {
        None | Some("chunks") => Wire::Chunks,
        Some("flv") => Wire::Flv,
        Some(other) => return Err(format!("--wire {other}: is neither chunks nor flv")),
    };
    options.finish()?;
    let mut bare =
        Bare::new(listen, publish, wire, Duration::from_millis(gather_ms)).map_err(|e| e.to_string())?;
    bare.serve().map_err(|error| error.to_string())
}

impl Bare {
    fn new(
        listen: SocketAddr,
        publish: Option<SocketAddr>,
        wire: Wire,
        gather: Duration,
    ) -> io::Result<Self> {
        let (clock, poll) = (Clock::start(), Poll::new()?);
        let mut listener = TcpListener::bind(listen)?;
        poll.registry().register(&mut listener, VIEWERS, Interest::READABLE)?;
        let source = match publish {
            None => Source::Timer { stream: Box::new(Synthetic::new(clock.now())), wire },
            Some(addr) => {
                let mut listener = TcpListener::bind(addr)?;
                poll.registry().register(&mut listener, PUBLISHERS, Interest::READABLE)?;
                Source::Socket { listener, publisher: None, unread: BytesMut::new() }
            }
        };
        let prologue = match &source {
            Source::Timer { wire, .. } => wire.prologue().freeze(),
            Source::Socket { .. } => Bytes::new(),
        };
        Ok(Self { clock, poll, listener, source, prologue, gather, window: Vec::new(), viewers: Vec::new() })
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        let mut flush_at = self.clock.now();
        loop {
            let wake = match &self.source {
                Source::Timer { stream, .. } => Some(stream.due().max(flush_at)),
                Source::Socket { .. } if self.window.is_empty() => None,
                Source::Socket { .. } => Some(flush_at),
            };
            let timeout = wake.map(|at| at.saturating_sub(self.clock.now()));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            for event in &events {
                match event.token() {
                    VIEWERS => self.accept()?,
                    PUBLISHERS => self.accept_publisher()?,
                    PUBLISHER => self.read_publisher()?,
                    Token(token) => self.write_to(token - FIRST_VIEWER, false),
                }
            }
            let now = self.clock.now();
            self.make_due(now);
            if now >= flush_at && !self.window.is_empty() {
                (0..self.viewers.len()).for_each(|index| self.write_to(index, true));
                self.window.clear();
                flush_at = now + self.gather;
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some(mut socket) = next_connection(&self.listener)? {
            socket.set_nodelay(true)?;
            let token = Token(self.viewers.len() + FIRST_VIEWER);
            // Nothing is read from viewers: a request or an acknowledgement wakes nobody.
            self.poll.registry().register(&mut socket, token, Interest::WRITABLE)?;
            self.viewers.push(Some(Viewer { socket, rest: self.prologue.iter().copied().collect() }));
        }
        Ok(())
    }

    fn accept_publisher(&mut self) -> io::Result<()> {
        let Source::Socket { listener, publisher, unread } = &mut self.source else { return Ok(()) };
        while let Some(mut socket) = next_connection(listener)? {
            self.poll.registry().register(&mut socket, PUBLISHER, Interest::READABLE)?;
            (*publisher, *unread) = (Some(socket), BytesMut::new());
        }
        self.read_publisher()
    }

    /// Takes whole pieces from the publisher.
    fn read_publisher(&mut self) -> io::Result<()> {
        let Source::Socket { publisher: Some(socket), unread, .. } = &mut self.source else { return Ok(()) };
        let mut scratch = [0; 64 << 10];
        loop {
            match socket.read(&mut scratch) {
                Ok(0) => return Ok(()),
                Ok(count) => unread.extend_from_slice(&scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while let Some(head) = unread.first_chunk() {
            let head = u32::from_be_bytes(*head);
            let length = (head & !PROLOGUE) as usize;
            if unread.len() < 4 + length {
                break;
            }
            unread.advance(4);
            let piece = unread.split_to(length).freeze();
            match head & PROLOGUE {
                0 => self.window.push(piece),
                _ => self.prologue = piece,
            }
        }
        Ok(())
    }

    /// Makes what its own stream has due. Stamped with the time it was due, so gathering shows as latency.
    fn make_due(&mut self, now: Duration) {
        let Source::Timer { stream, wire } = &mut self.source else { return };
        let mut body = Vec::new();
        while stream.due() <= now {
            let due = stream.due();
            let mut piece = BytesMut::new();
            wire.put(&mut piece, &stream.next(self.clock.unix_us(due), &mut body));
            self.window.push(piece.freeze());
        }
    }

    /// Writes the rest that a viewer is owed, and the window's pieces with it if it is time.
    fn write_to(&mut self, index: usize, flush: bool) {
        let Some(viewer) = &mut self.viewers[index] else { return };
        let window = if flush { &self.window[..] } else { &[] };
        if viewer.write(window).is_err() || viewer.rest.len() > MAX_REST_BYTES {
            self.viewers[index] = None;
        }
    }
}

impl Viewer {
    fn write(&mut self, window: &[Bytes]) -> io::Result<()> {
        while !self.rest.is_empty() {
            match self.socket.write(self.rest.as_slices().0) {
                Ok(count) => drop(self.rest.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.rest.extend(window.iter().flatten());
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        for pieces in window.chunks(MAX_PIECES) {
            let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            let total: usize = pieces.iter().map(Bytes::len).sum();
            let sent = match self.socket.write_vectored(&slices) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            if sent < total {
                self.rest.extend(pieces.iter().flatten().skip(sent));
            }
        }
        Ok(())
    }
}

fn next_connection(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((socket, _)) => Ok(Some(socket)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
