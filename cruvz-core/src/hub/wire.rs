//! Wire bytes made once per stream and format, for all who watch in that format.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use cruvz_media::{Frame, Tracks};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    listener::{Listener, Listeners},
    log::{Item, Log, Retention},
    stream::Entry,
    view::TrackSet,
};

/// A wire format: RTMP messages, FLV tags. Two are the same when their names are.
#[derive(Clone, Copy)]
pub(crate) struct WireFormat {
    pub(crate) name: &'static str,
    /// The tracks that it carries, and that those who read it can be expected to play.
    pub(crate) carries: TrackSet,
    pub(crate) encoder: fn() -> Box<dyn WireEncoder>,
}

impl PartialEq for WireFormat {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for WireFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Turns frames into the bytes of one format, the same for every viewer.
pub(crate) trait WireEncoder: Send {
    /// What a viewer must get before the frame `at` that it starts from: codec configuration, metadata.
    fn configuration(&mut self, tracks: &Tracks, at: &Frame) -> Bytes;

    /// A frame; empty when the format cannot carry it.
    fn frame(&mut self, tracks: &Tracks, frame: &Frame) -> Bytes;
}

/// A frame's bytes on the wire.
#[derive(Clone)]
pub(crate) struct Unit {
    pub(crate) bytes: Bytes,
    /// Its media time.
    pub(crate) time_us: i64,
    /// What a viewer that starts here needs first.
    pub(crate) configuration: Option<Bytes>,
}

impl Item for Unit {
    fn bytes(&self) -> usize {
        self.bytes.len() + self.configuration.as_ref().map_or(0, Bytes::len) + size_of::<Self>()
    }

    fn time_us(&self) -> i64 {
        self.time_us
    }

    fn is_start(&self) -> bool {
        self.configuration.is_some()
    }
}

/// The log of one stream's bytes in one format.
pub(crate) struct WireLog {
    format: WireFormat,
    state: Mutex<State>,
    listeners: Listeners,
    changed: Notify,
}

struct State {
    encoder: Box<dyn WireEncoder>,
    log: Log<Unit>,
    tracks: Tracks,
    ended: Option<Arc<str>>,
}

impl fmt::Debug for WireLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireLog({})", self.format.name)
    }
}

/// A run of units that a viewer is owed, built once for all viewers at the same place.
#[derive(Default)]
pub(crate) struct Window {
    /// Sequence number of the first unit.
    pub(crate) from: u64,
    pub(crate) units: Vec<Bytes>,
    /// The units in one piece: one long write costs the kernel less than many short ones.
    joined: Option<Bytes>,
    bytes: usize,
    /// Whether nothing was behind it when it was made.
    pub(crate) reaches_end: bool,
}

/// Units in one window at most, and its bytes unless a single unit has more.
const WINDOW_UNITS: usize = 64;
const WINDOW_BYTES: usize = 256 << 10;
/// From this many units on, a window is joined.
const JOIN_UNITS: usize = 2;

/// What a viewer at some place does next.
pub(crate) enum Next {
    /// Send this; before it, what a viewer that jumped needs. `missed` units were passed over.
    Send { missed: u64, configuration: Option<Bytes>, window: Window },
    /// Nothing yet.
    Wait,
    /// Everything was sent and the stream is over.
    Ended(Arc<str>),
}

impl WireLog {
    pub(super) fn new(format: WireFormat, retention: Retention) -> Self {
        let state = State {
            encoder: (format.encoder)(),
            log: Log::new(retention),
            tracks: Tracks::empty(),
            ended: None,
        };
        Self { format, state: Mutex::new(state), listeners: Listeners::default(), changed: Notify::new() }
    }

    pub(super) fn format(&self) -> WireFormat {
        self.format
    }

    pub(super) fn append(&self, entry: &Entry) {
        let state = &mut *self.state.lock();
        let mut bytes = state.encoder.frame(&entry.tracks, &entry.frame);
        let start = entry.is_start();
        let retracked = !state.tracks.same(&entry.tracks);
        let mut configuration = None;
        if retracked || start {
            let made = state.encoder.configuration(&entry.tracks, &entry.frame);
            if retracked && state.log.end() > 0 {
                // Those who are watching learn of the new tracks in line.
                bytes = [&made[..], &bytes[..]].concat().into();
            }
            state.tracks = entry.tracks.clone();
            configuration = start.then_some(made);
        }
        if !bytes.is_empty() {
            state.log.push(Unit { bytes, time_us: entry.time_us(), configuration });
        }
    }

    /// Tells everybody who watches that there is more.
    pub(super) fn flush(&self) {
        self.changed.notify_waiters();
        self.listeners.tell();
    }

    pub(super) fn end(&self, reason: &str) {
        self.state.lock().ended = Some(reason.into());
        self.flush();
    }

    pub(crate) fn listen(&self, listener: Weak<dyn Listener>) {
        self.listeners.add(listener);
    }

    /// Waits until [`Self::next`] may say something else.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// The units from `next` on (`None`, or gone: from the newest start), the place behind them, and why there will be no more,
    /// for those who make something else of them.
    pub(crate) fn read(&self, next: Option<u64>) -> (Vec<Unit>, Option<u64>, Option<Arc<str>>) {
        let state = self.state.lock();
        let from = match next {
            Some(seq) => state.log.resume(seq, i64::MAX),
            None => state.log.newest_start(),
        };
        let units = from.map_or_else(Vec::new, |from| state.log.iter_from(from).cloned().collect());
        (units, from.map(|_| state.log.end()).or(next), state.ended.clone())
    }

    /// What a viewer whose next unit is `next` (`None`: it has not started) does now.
    pub(crate) fn next(&self, next: Option<u64>, lag_us: i64) -> Next {
        let state = self.state.lock();
        let log = &state.log;
        let from = match next {
            Some(seq) => log.resume(seq, lag_us),
            None => log.newest_start(),
        };
        let Some((seq, first)) = from.and_then(|seq| Some((seq, log.get(seq)?))) else {
            return state.ended.clone().map_or(Next::Wait, Next::Ended);
        };
        let jumped = next != Some(seq);
        let configuration = if jumped { first.configuration.clone() } else { None };
        let missed = next.map_or(0, |next| seq.saturating_sub(next));
        let window = Window::of(log, seq);
        Next::Send { missed, configuration, window }
    }
}

impl Window {
    fn of(log: &Log<Unit>, from: u64) -> Self {
        let mut window = Self { from, ..Self::default() };
        for unit in log.iter_from(from).take(WINDOW_UNITS) {
            if window.bytes > 0 && window.bytes + unit.bytes.len() > WINDOW_BYTES {
                break;
            }
            window.bytes += unit.bytes.len();
            window.units.push(unit.bytes.clone());
        }
        if window.units.len() >= JOIN_UNITS {
            window.joined = Some(window.units.concat().into());
        }
        window.reaches_end = window.end() == log.end();
        window
    }

    /// The sequence number behind its last unit.
    pub(crate) fn end(&self) -> u64 {
        self.from + self.units.len() as u64
    }

    /// Its bytes, in as few pieces as they were made into.
    pub(crate) fn pieces(&self) -> &[Bytes] {
        self.joined.as_ref().map_or(&self.units, std::slice::from_ref)
    }

    /// Where a viewer stands that has got `sent` bytes of it: the sequence number of its next whole unit, and the rest of
    /// the unit it is in.
    pub(crate) fn after(&self, mut sent: usize) -> (u64, Option<Bytes>) {
        for (seq, unit) in (self.from..).zip(&self.units) {
            if sent == 0 {
                return (seq, None);
            }
            if sent < unit.len() {
                return (seq + 1, Some(unit.slice(sent..)));
            }
            sent -= unit.len();
        }
        (self.end(), None)
    }
}
