//! Fan-out over TCP: one task for many sockets.
//!
//! A viewer is a socket, a place in the [`WireLog`] and the rest of a unit, with no task, channel, timer or buffer of its
//! own. Every viewer at the same place gets the same window of bytes. A flush writes until a socket would block and then
//! leaves that viewer to the shard's task, which waits for the socket; nobody waits for it.
//!
//! A small audience is flushed by whoever appended, because waking a task costs more than a dozen writes.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use tokio::{net::TcpStream, time::Sleep};

use crate::{
    Event,
    analytics::event::EventSink,
    config::EgressConfig,
    egress::patience::Patience,
    hub::{
        listener::Listener,
        wire::{Next, Window, WireLog},
    },
    runtime::clock::Clock,
    session::OpenSession,
};

/// Up to this many viewers are flushed at once by whoever appended: below it a wake-up costs more than the writes.
const SMALL_AUDIENCE: usize = 16;
/// Viewers of one shard before another core gets a shard of its own.
const SHARD_VIEWERS: usize = 1024;
/// How often viewers are looked at while nothing is sent, and how long one that is told to go may take for what is half sent.
const TICK: Duration = Duration::from_millis(500);
/// How often, while there is something to send, viewers are asked whether they said anything, and many viewers are looked at:
/// whether they are told to end or stuck, and what they got. They rarely said or are, and asking each at every flush costs as much
/// as a tenth of sending.
const LOOK: Duration = Duration::from_millis(100);
/// Pieces in one write: the rest of a unit, control bytes, configuration and a window.
const PIECES: usize = 16;
/// What one read takes at most.
const READ_BYTES: usize = 4096;
/// Reads from one viewer per look. One that says more waits for the next look: it has no right to everybody's time.
const READS: usize = 4;
/// Pieces that may wait to be sent to a viewer that is still listened to: answers to one that does not take them would pile up.
const MAX_PENDING: usize = 8;

/// The protocol's side of a viewer: what it says is answered, and it is told goodbye.
pub(crate) trait Peer: Send {
    /// Takes what the viewer sent; what is to be answered goes into `out`.
    ///
    /// # Errors
    /// Why the viewer is done: it said goodbye or broke the protocol.
    fn receive(&mut self, bytes: &[u8], out: &mut VecDeque<Bytes>) -> Result<(), String>;

    /// The last bytes, when we end it.
    fn farewell(&mut self, reason: &str) -> Bytes;
}

/// A viewer to be served.
pub(crate) struct Viewer {
    pub(crate) socket: TcpStream,
    /// What is sent before anything of the log.
    pub(crate) head: Bytes,
    pub(crate) peer: Box<dyn Peer>,
    pub(crate) session: OpenSession,
}

/// Serves the viewers of one engine.
#[derive(Clone)]
pub(crate) struct Fanout(Arc<Shared>);

struct Shared {
    clock: Clock,
    config: EgressConfig,
    events: EventSink,
    runtime: tokio::runtime::Handle,
    shards: Mutex<Vec<Arc<Shard>>>,
}

impl Fanout {
    pub(crate) fn new(
        clock: Clock,
        config: EgressConfig,
        events: EventSink,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self(Arc::new(Shared { clock, config, events, runtime, shards: Mutex::default() }))
    }

    /// Serves `viewer` from `log` until one of them ends.
    pub(crate) fn serve(&self, log: &Arc<WireLog>, viewer: Viewer) {
        let seat = Seat {
            socket: viewer.socket,
            next: None,
            pending: if viewer.head.is_empty() { VecDeque::new() } else { VecDeque::from([viewer.head]) },
            peer: viewer.peer,
            session: viewer.session,
            blocked_since: None,
            ending: None,
            patience: Patience::default(),
            sent: (0, 0),
        };
        let mut shards = self.0.shards.lock();
        let room =
            |shard: &&Arc<Shard>| Arc::ptr_eq(&shard.log, log) && shard.viewers.load(Relaxed) < SHARD_VIEWERS;
        let shard = match shards.iter().find(room) {
            Some(shard) => Arc::clone(shard),
            None => {
                let shard = Arc::new(Shard::new(Arc::clone(log), Arc::clone(&self.0)));
                let weak = Arc::downgrade(&shard);
                log.listen(weak);
                shards.push(Arc::clone(&shard));
                let task = Arc::clone(&shard);
                self.0.runtime.spawn(tokio::task::unconstrained(async move { task.run().await }));
                shard
            }
        };
        // Under the lock of the list, so that a shard with a viewer on its way does not end.
        shard.viewers.fetch_add(1, Relaxed);
        shard.joining.lock().push(seat);
        drop(shards);
        shard.wake();
    }
}

/// The viewers of one log that one task serves.
struct Shard {
    log: Arc<WireLog>,
    lag_us: i64,
    shared: Arc<Shared>,
    joining: Mutex<Vec<Seat>>,
    seats: Mutex<Seats>,
    viewers: AtomicUsize,
    gather: Duration,
    /// Whether the task sleeps until the gathering time has passed, and need not be woken before.
    gathering: AtomicBool,
    /// Whether the task was woken because the log grew.
    grown: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

struct Seats {
    seats: Vec<Seat>,
    /// The window most viewers were at, kept while flushing.
    window: Option<Arc<Window>>,
    last_flush: Duration,
    last_listen: Duration,
    last_look: Duration,
}

/// Why a viewer is no more.
enum Gone {
    /// The connection is broken or closed.
    Cut(String),
    /// It said goodbye or broke the protocol.
    Said(String),
}

/// What a viewer is owed.
enum Owed {
    Window(Arc<Window>),
    Nothing,
    /// Its place or its state changed.
    LookAgain,
}

struct Seat {
    socket: TcpStream,
    /// The next unit of the log; `None` before the first.
    next: Option<u64>,
    /// What goes out before that: head, answers, configuration, the rest of a unit.
    pending: VecDeque<Bytes>,
    peer: Box<dyn Peer>,
    session: OpenSession,
    /// Since when the socket has taken nothing.
    blocked_since: Option<Duration>,
    /// Why it ends once `pending` is out.
    ending: Option<Arc<str>>,
    patience: Patience,
    /// Bytes and frames that went out and are not on the session's account yet.
    sent: (usize, u64),
}

impl Listener for Shard {
    fn changed(&self) {
        if self.viewers.load(Relaxed) <= SMALL_AUDIENCE
            && let Some(mut seats) = self.seats.try_lock()
        {
            if self.flush(&mut seats, self.shared.clock.now()) {
                drop(seats);
                self.wake();
            }
            return;
        }
        self.grown.store(true, Relaxed);
        if !self.gathering.load(Relaxed) {
            self.wake();
        }
    }
}

impl Shard {
    fn new(log: Arc<WireLog>, shared: Arc<Shared>) -> Self {
        let seats = Seats {
            seats: Vec::new(),
            window: None,
            last_flush: Duration::ZERO,
            last_listen: Duration::ZERO,
            last_look: Duration::ZERO,
        };
        let gather_ms = shared.config.gather_ms;
        let lag_us = shared.config.max_lag_us();
        Self {
            log,
            lag_us,
            shared,
            joining: Mutex::default(),
            seats: Mutex::new(seats),
            viewers: AtomicUsize::new(0),
            gather: Duration::from_millis(gather_ms),
            gathering: AtomicBool::new(false),
            grown: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }

    async fn run(&self) {
        let mut tick = Box::pin(tokio::time::sleep(TICK));
        let mut gather = Box::pin(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| self.poll(cx, tick.as_mut(), gather.as_mut())).await;
    }

    fn poll(&self, cx: &mut Context<'_>, mut tick: Pin<&mut Sleep>, mut gather: Pin<&mut Sleep>) -> Poll<()> {
        *self.waker.lock() = Some(cx.waker().clone());
        let now = self.shared.clock.now();
        let mut guard = self.seats.lock();
        let seats = &mut *guard;
        let joined = seats.seats.len();
        seats.seats.append(&mut self.joining.lock());
        // Whoever comes is shown a picture at once, gathering or not.
        for seat in &mut seats.seats[joined..] {
            self.drive(seat, &mut None, now);
            seat.account();
        }
        let ticked = tick.as_mut().poll(cx).is_ready();
        if ticked {
            tick.as_mut().reset(self.shared.clock.instant(now + TICK));
            // Registers the timer.
            let _ = tick.as_mut().poll(cx);
        }
        if !self.grown.swap(false, Relaxed) || ticked || now.saturating_sub(seats.last_listen) >= LOOK {
            seats.last_listen = now;
            self.listen(seats, cx);
        }
        self.poll_blocked(seats, cx);
        if self.may_flush(seats, now) {
            while self.flush(seats, now) && self.poll_blocked(seats, cx) {}
        } else if !self.gathering.swap(true, Relaxed) {
            gather.as_mut().reset(self.shared.clock.instant(seats.last_flush + self.gather));
            // Registers the timer; it cannot have run out yet.
            let _ = gather.as_mut().poll(cx);
        }
        if !seats.seats.is_empty() {
            return Poll::Pending;
        }
        let mut shards = self.shared.shards.lock();
        if self.viewers.load(Relaxed) > 0 {
            // One is on its way and has woken this task, or will.
            return Poll::Pending;
        }
        shards.retain(|shard| !std::ptr::eq(&**shard, self));
        Poll::Ready(())
    }

    /// Whether what viewers are owed is sent now, rather than gathered with what comes next.
    fn may_flush(&self, seats: &Seats, now: Duration) -> bool {
        now >= seats.last_flush + self.gather || seats.seats.len() <= SMALL_AUDIENCE
    }

    /// Waits, on behalf of all, for sockets that can be written again. Whether one can.
    fn poll_blocked(&self, seats: &mut Seats, cx: &mut Context<'_>) -> bool {
        let mut writable = false;
        for seat in &mut seats.seats {
            if seat.blocked_since.is_some() && seat.socket.poll_write_ready(cx).is_ready() {
                seat.blocked_since = None;
                writable = true;
            }
        }
        writable
    }

    /// Takes what viewers said, and waits, on behalf of all, for what they say next.
    fn listen(&self, seats: &mut Seats, cx: &mut Context<'_>) {
        let mut gone = false;
        for seat in &mut seats.seats {
            for _ in 0..READS {
                if !seat.listens() || seat.socket.poll_read_ready(cx).is_pending() {
                    break;
                }
                match seat.read() {
                    Ok(()) => {}
                    // It may still listen: what it was promised is finished, and it is answered.
                    Err(Gone::Said(reason)) => seat.end(reason.into()),
                    Err(Gone::Cut(reason)) => {
                        seat.leave(reason);
                        gone = true;
                    }
                }
            }
        }
        if gone {
            self.remove_ended(seats);
        }
    }

    /// Sends every viewer that can take it what it is owed. Whether a viewer is blocked, or a socket needs waiting for.
    fn flush(&self, seats: &mut Seats, now: Duration) -> bool {
        seats.last_flush = now;
        self.gathering.store(false, Relaxed);
        let looks = seats.seats.len() <= SMALL_AUDIENCE || now.saturating_sub(seats.last_look) >= LOOK;
        if looks {
            seats.last_look = now;
        }
        let (mut blocked, mut gone) = (false, false);
        for seat in &mut seats.seats {
            if looks {
                self.look_after(seat, now);
            }
            if seat.blocked_since.is_none() {
                self.drive(seat, &mut seats.window, now);
                blocked |= seat.blocked_since.is_some();
            }
            if looks {
                seat.account();
            }
            gone |= seat.is_done();
        }
        seats.window = None;
        if gone {
            self.remove_ended(seats);
        }
        blocked
    }

    /// Writes to one viewer until it has everything or its socket would block.
    fn drive(&self, seat: &mut Seat, cached: &mut Option<Arc<Window>>, now: Duration) {
        while seat.ending.is_none() || !seat.pending.is_empty() {
            let window = match self.owed(seat, cached, now) {
                Owed::Nothing if seat.pending.is_empty() => return,
                Owed::Nothing => None,
                Owed::Window(window) => Some(window),
                Owed::LookAgain => continue,
            };
            match seat.write(window.as_deref()) {
                // The log was looked at a moment ago; whoever appends to it says so.
                Ok(()) if window.is_some_and(|window| window.reaches_end && seat.is_at_end_of(&window)) => {
                    return;
                }
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    seat.blocked_since = Some(now);
                    return;
                }
                Err(error) => seat.leave(error.to_string()),
            }
        }
    }

    /// What a viewer gets next. `cached` is the window of the viewer before it, and most viewers are at the same place.
    fn owed(&self, seat: &mut Seat, cached: &mut Option<Arc<Window>>, now: Duration) -> Owed {
        if seat.ending.is_some() {
            return Owed::Nothing;
        }
        if let Some(window) = cached.as_ref().filter(|window| seat.next == Some(window.from)) {
            return Owed::Window(Arc::clone(window));
        }
        match self.log.next(seat.next, self.lag_us) {
            Next::Send { missed, configuration, window } => {
                if missed > 0 && !self.skip(seat, missed, now) {
                    return Owed::LookAgain;
                }
                seat.next = Some(window.from);
                seat.pending.extend(configuration);
                let window = Arc::new(window);
                // A viewer that lags must not cost those at the live edge their shared window.
                if cached.as_ref().is_none_or(|cached| cached.from < window.from) {
                    *cached = Some(Arc::clone(&window));
                }
                Owed::Window(window)
            }
            Next::Wait => Owed::Nothing,
            Next::Ended(reason) => {
                seat.end(reason);
                Owed::LookAgain
            }
        }
    }

    /// A viewer jumped ahead. Whether it may go on.
    fn skip(&self, seat: &mut Seat, missed: u64, now: Duration) -> bool {
        seat.session.skipped(missed);
        let (stream, session) = (seat.session.stream.clone(), seat.session.id);
        self.shared.events.send(Event::ViewerSkipped { stream, session, dropped_frames: missed });
        let bears = seat.patience.bears_skip(self.shared.config.overflow, now);
        if !bears {
            seat.end("too slow for this stream".into());
        }
        bears
    }

    /// Ends a viewer that was told to go or takes nothing.
    fn look_after(&self, seat: &mut Seat, now: Duration) {
        let limit = Duration::from_millis(self.shared.config.stuck_timeout_ms);
        if seat.blocked_since.is_some_and(|since| now.saturating_sub(since) > limit) {
            seat.leave("took nothing for too long".to_owned());
        } else if let Some(reason) = seat.session.end_reason() {
            match seat.blocked_since {
                None if seat.ending.is_none() => seat.end(reason),
                Some(since) if now.saturating_sub(since) > TICK => seat.leave(reason.to_string()),
                _ => {}
            }
        }
    }

    fn remove_ended(&self, seats: &mut Seats) {
        let before = seats.seats.len();
        seats.seats.retain(|seat| !seat.is_done());
        self.viewers.fetch_sub(before - seats.seats.len(), Relaxed);
    }
}

impl Seat {
    fn listens(&self) -> bool {
        self.ending.is_none() && self.pending.len() <= MAX_PENDING
    }

    fn is_done(&self) -> bool {
        self.ending.is_some() && self.pending.is_empty()
    }

    /// Says goodbye: what is half sent is finished first.
    fn end(&mut self, reason: Arc<str>) {
        let farewell = self.peer.farewell(&reason);
        if !farewell.is_empty() {
            self.pending.push_back(farewell);
        }
        self.session.because(Arc::clone(&reason));
        self.ending = Some(reason);
    }

    /// It is gone, or is to be cut: nothing more is sent.
    fn leave(&mut self, reason: String) {
        self.session.because(reason);
        self.pending.clear();
        self.ending = Some("".into());
    }

    fn is_at_end_of(&self, window: &Window) -> bool {
        self.pending.is_empty() && self.next == Some(window.end())
    }

    /// Takes what the viewer sent.
    fn read(&mut self) -> Result<(), Gone> {
        let mut buffer = [0; READ_BYTES];
        match self.socket.try_read(&mut buffer) {
            Ok(0) => Err(Gone::Cut("viewer left".to_owned())),
            Ok(n) => self.peer.receive(&buffer[..n], &mut self.pending).map_err(Gone::Said),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(Gone::Cut(error.to_string())),
        }
    }

    /// One write of what is pending and of `window` behind it.
    fn write(&mut self, window: Option<&Window>) -> io::Result<()> {
        let units = window.map_or(&[][..], Window::pieces);
        let mut sent = match (self.pending.is_empty(), units) {
            (true, [piece]) => self.socket.try_write(piece)?,
            _ => self.write_pieces(units)?,
        };
        let total = sent;
        while sent > 0
            && let Some(front) = self.pending.front_mut()
        {
            let part = sent.min(front.len());
            front.advance(part);
            sent -= part;
            if !front.is_empty() {
                break;
            }
            self.pending.pop_front();
        }
        let mut frames = 0;
        if let Some(window) = window.filter(|_| sent > 0) {
            let (next, rest) = window.after(sent);
            frames = next - window.from;
            self.next = Some(next);
            self.pending.extend(rest);
        }
        self.sent = (self.sent.0 + total, self.sent.1 + frames);
        Ok(())
    }

    /// Puts what it got to its session's account.
    fn account(&mut self) {
        let (bytes, frames) = std::mem::take(&mut self.sent);
        self.session.sent(bytes, frames);
    }

    fn write_pieces(&self, units: &[Bytes]) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (piece, bytes) in pieces.iter_mut().zip(self.pending.iter().chain(units)) {
            *piece = IoSlice::new(bytes);
            count += 1;
        }
        self.socket.try_write_vectored(&pieces[..count])
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.account();
    }
}

#[cfg(test)]
mod tests;
