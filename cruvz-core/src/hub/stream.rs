//! One live publication: its log, its publisher and everybody who watches.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cruvz_media::{
    Frame, TrackKind, Tracks,
    time::{Adjustment, Timeline, TimelineConfig},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

mod info;
mod renditions;

use super::{
    keyframe::KeyframeWish,
    listener::{Listener, Listeners},
    log::{Item, Log, Retention},
    name::StreamName,
    registry::HubContext,
    view::{Notes, Slot},
    wire::{WireFormat, WireLog},
};
use crate::{
    Error, ErrorKind, Event,
    analytics::samples::{Meter, Sample},
    config::SecondPublisher,
    session::OpenSession,
};

pub use info::{StreamInfo, TrackInfo};

/// A frame in the log, with what a reader must know to use it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) frame: Frame,
    /// The tracks of the stream at this frame.
    pub(crate) tracks: Tracks,
    /// Whether another source begins here, on the same timeline.
    pub(crate) discontinuity: bool,
    /// When it came, by the engine's clock.
    pub(crate) arrived: Duration,
    /// Whether a reader can start here.
    pub(super) start: bool,
}

impl Item for Entry {
    fn bytes(&self) -> usize {
        self.frame.payload.len() + size_of::<Self>()
    }

    fn time_us(&self) -> i64 {
        self.frame.dts.as_micros()
    }

    fn is_start(&self) -> bool {
        self.start
    }
}

/// One publisher's hold on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublisherId(u64);

/// Who feeds the log.
#[derive(Debug)]
enum Source {
    /// Nobody yet: viewers wait.
    Awaited,
    /// A publisher, perhaps with another standing by.
    Live { active: Holder, backup: Option<Holder> },
    /// The publisher is gone; after this moment of the clock the stream ends.
    Grace { until: Duration },
    /// It is over.
    Ended { reason: Arc<str> },
}

#[derive(Debug)]
struct Holder {
    id: PublisherId,
    session: Option<Arc<crate::session::Session>>,
}

/// One live publication in the hub. Clones are handles to the same stream.
#[derive(Clone, Debug)]
pub struct LiveStream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: StreamName,
    hub: Arc<HubContext>,
    /// What it is a view of, if it is one.
    origin: Option<LiveStream>,
    /// Streams that its publisher brings along.
    renditions: Mutex<Vec<WeakStream>>,
    /// The views of it that are running, and those that were until a moment ago. Locked before `state`, never behind it.
    views: Mutex<Vec<Slot>>,
    state: Mutex<State>,
    /// Told at every change of `state` that a reader may wait for.
    changed: Notify,
    /// Told when somebody begins to wait for a keyframe.
    keyframe_asked: Notify,
    listeners: Listeners,
}

#[derive(Debug)]
struct State {
    log: Log<Entry>,
    tracks: Tracks,
    timeline: Timeline,
    source: Source,
    /// Whether the frames of the source come with their place on the timeline: that of the stream that this is a rendition of.
    placed: bool,
    /// Which of its renditions it shows.
    layer: Option<Arc<str>>,
    last_publisher: u64,
    /// The next frame must be a start: a source begins here.
    gate: Option<Gate>,
    keyframe: KeyframeWish,
    wires: Vec<Arc<WireLog>>,
    meter: Meter,
    interest: usize,
    playable: bool,
}

#[derive(Clone, Copy, Debug)]
struct Gate {
    discontinuity: bool,
}

impl LiveStream {
    pub(super) fn awaited(name: StreamName, hub: Arc<HubContext>) -> Self {
        Self::new(name, hub, None, Tracks::empty())
    }

    /// A view of it, with nothing in it yet: see [`Self::mirror`].
    pub(super) fn derived(&self, tracks: Tracks) -> Self {
        Self::new(self.0.name.clone(), Arc::clone(&self.0.hub), Some(self.clone()), tracks)
    }

    fn new(name: StreamName, hub: Arc<HubContext>, origin: Option<Self>, tracks: Tracks) -> Self {
        let retention = Retention {
            time_us: i64::try_from(hub.config.log_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            bytes: hub.config.log_max_bytes,
        };
        let state = State {
            log: Log::new(retention),
            tracks,
            timeline: Timeline::new(TimelineConfig::default()),
            source: Source::Awaited,
            placed: false,
            layer: None,
            last_publisher: 0,
            gate: None,
            keyframe: KeyframeWish::default(),
            wires: Vec::new(),
            meter: Meter::default(),
            interest: 0,
            playable: false,
        };
        Self(Arc::new(Inner {
            name,
            hub,
            origin,
            renditions: Mutex::default(),
            views: Mutex::default(),
            state: Mutex::new(state),
            changed: Notify::new(),
            keyframe_asked: Notify::new(),
            listeners: Listeners::default(),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &StreamName {
        &self.0.name
    }

    /// Its tracks now; empty before the publisher said.
    pub fn tracks(&self) -> Tracks {
        self.0.state.lock().tracks.clone()
    }

    /// What it is and how it does.
    pub fn info(&self) -> StreamInfo {
        let now = self.0.hub.clock.now();
        let Notes { left_out, transcoded } = self.notes();
        let mut state = self.0.state.lock();
        let publisher = match &state.source {
            Source::Live { active, .. } => active.session.as_ref().map(|session| session.id),
            Source::Awaited | Source::Grace { .. } | Source::Ended { .. } => None,
        };
        StreamInfo {
            name: self.0.name.clone(),
            rendition_of: self.0.name.rendition_of().map(|(origin, _)| origin),
            layer: state.layer.as_deref().map(str::to_owned),
            state: match state.source {
                Source::Awaited => "awaited",
                Source::Live { .. } => "live",
                Source::Grace { .. } => "grace",
                Source::Ended { .. } => "ended",
            },
            publisher,
            tracks: state.tracks.iter().map(TrackInfo::of).collect(),
            totals: state.meter.totals(),
            latest: state.meter.latest(now),
            log_bytes: state.log.bytes(),
            left_out,
            transcoded,
        }
    }

    /// One sample per second for the last fifteen minutes, oldest first.
    pub fn samples(&self) -> Vec<Sample> {
        let now = self.0.hub.clock.now();
        self.0.state.lock().meter.samples(now)
    }

    /// Whether a viewer that comes now gets a picture (or sound) at once.
    pub fn is_playable(&self) -> bool {
        let state = self.0.state.lock();
        state.playable && !matches!(state.source, Source::Ended { .. })
    }

    /// Asks whoever publishes for a keyframe: somebody needs one to begin or to go on. Never waits.
    ///
    /// However many ask, the publisher is told at most every 300 ms; a request that comes sooner is told when that time is
    /// over, unless a keyframe comes first. Publishers of protocols without such a request (RTMP, SRT, files) go on as they
    /// are; see [`crate::Publisher::keyframe_requested`] for those from code.
    ///
    /// Whether the present publisher listens for requests: if not, a viewer need not wait for what it asked for.
    pub fn request_keyframe(&self) -> bool {
        let source = self.origin();
        let (first, heeded) = {
            let keyframe = &mut source.0.state.lock().keyframe;
            (keyframe.ask(), keyframe.is_heeded())
        };
        if first {
            source.0.keyframe_asked.notify_waiters();
        }
        heeded
    }

    /// Ends the stream for everybody: publisher and viewers.
    pub fn end(&self, reason: &str) {
        let wires = {
            let mut state = self.0.state.lock();
            let reason: Arc<str> = reason.into();
            match std::mem::replace(&mut state.source, Source::Ended { reason: Arc::clone(&reason) }) {
                Source::Ended { reason: before } => {
                    state.source = Source::Ended { reason: before };
                    return;
                }
                Source::Live { active, backup } => {
                    for session in
                        [Some(active), backup].into_iter().flatten().filter_map(|holder| holder.session)
                    {
                        session.end(&reason);
                    }
                }
                Source::Awaited | Source::Grace { .. } => {}
            }
            std::mem::take(&mut state.wires)
        };
        for wire in &wires {
            wire.end(reason);
        }
        self.0.changed.notify_waiters();
        self.0.listeners.tell();
        if self.0.origin.is_some() {
            return;
        }
        for rendition in self.renditions() {
            rendition.end(reason);
        }
        self.0.hub.forget(self);
        tracing::info!(stream = %self.0.name, reason, "stream ended");
        self.0.hub.events.send(Event::StreamEnded { stream: self.0.name.clone(), reason: reason.to_owned() });
    }

    /// Whether both are handles to one and the same.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether somebody publishes it now.
    pub(super) fn is_published(&self) -> bool {
        matches!(self.0.state.lock().source, Source::Live { .. })
    }

    /// Whether it is over.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.0.state.lock().source, Source::Ended { .. })
    }

    /// Whether nobody has published it yet.
    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.0.state.lock().source, Source::Awaited)
    }

    /// Whether nobody publishes and nobody waits for somebody to.
    pub(super) fn is_unused(&self) -> bool {
        let state = self.0.state.lock();
        matches!(state.source, Source::Awaited) && state.interest == 0
    }
}

/// The publisher's side.
impl LiveStream {
    /// Lets a publisher in, as the configured policy for second publishers says.
    pub(super) fn attach(&self, session: Option<&OpenSession>) -> Result<PublisherId, Error> {
        let mut state = self.0.state.lock();
        state.last_publisher += 1;
        let id = PublisherId(state.last_publisher);
        let holder = Holder { id, session: session.map(|session| Arc::clone(session)) };
        let session_id = holder.session.as_ref().map(|session| session.id);
        let stream = self.0.name.clone();
        let policy = self.0.hub.config.second_publisher;
        let event = match &mut state.source {
            Source::Ended { reason } => {
                return Err(Error::new(ErrorKind::Closed, format!("{stream} just ended: {reason}")));
            }
            Source::Awaited => Event::PublisherConnected { stream, session: session_id },
            Source::Grace { .. } => Event::PublisherReturned { stream, session: session_id },
            Source::Live { active, backup } => match policy {
                SecondPublisher::TakeOver => {
                    for old in std::iter::once(&*active)
                        .chain(backup.as_ref())
                        .filter_map(|old| old.session.as_ref())
                    {
                        old.end("another publisher took over");
                    }
                    Event::PublisherReturned { stream, session: session_id }
                }
                SecondPublisher::Backup if backup.is_none() => {
                    *backup = Some(holder);
                    return Ok(id);
                }
                SecondPublisher::Backup | SecondPublisher::Refuse => {
                    return Err(Error::new(
                        ErrorKind::AlreadyExists,
                        format!("{stream} has a publisher already"),
                    ));
                }
            },
        };
        let fresh = matches!(state.source, Source::Awaited);
        state.begin_source(holder, !fresh);
        drop(state);
        self.0.changed.notify_waiters();
        self.0.hub.events.send(event);
        Ok(id)
    }

    /// The publisher is gone: its backup takes over, or the grace begins.
    pub(super) fn detach(&self, id: PublisherId, goodbye: bool) {
        let mut state = self.0.state.lock();
        let Source::Live { active, backup } = &mut state.source else { return };
        let stream = self.0.name.clone();
        if active.id != id {
            if backup.as_ref().is_some_and(|backup| backup.id == id) {
                *backup = None;
            }
            return;
        }
        if let Some(backup) = backup.take() {
            let session = backup.session.as_ref().map(|session| session.id);
            state.begin_source(backup, true);
            drop(state);
            self.0.hub.events.send(Event::PublisherReturned { stream, session });
            return;
        }
        let config = &self.0.hub.config;
        let grace_ms = if goodbye && config.end_on_unpublish { 0 } else { config.grace_ms };
        let until = self.0.hub.clock.now() + Duration::from_millis(grace_ms);
        let is_rendition = state.placed;
        state.source = Source::Grace { until };
        drop(state);
        if grace_ms == 0 {
            self.end("publisher left");
            return;
        }
        if !is_rendition {
            self.0.hub.events.send(Event::PublisherLost { stream, grace_ms });
        }
        let (stream, at) = (self.clone(), self.0.hub.clock.instant(until));
        self.0.hub.runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            stream.end_after_grace(until);
        });
    }

    fn end_after_grace(&self, deadline: Duration) {
        // A publisher that came back and left again began another grace.
        let due = matches!(self.0.state.lock().source, Source::Grace { until } if until == deadline);
        if due {
            self.end("publisher did not come back");
        }
    }

    /// Takes a frame of publisher `id`, whose tracks are `tracks`, without telling readers yet: see [`Self::flush`]. Its number, if it
    /// has its place in the stream.
    pub(super) fn append(
        &self,
        id: PublisherId,
        tracks: &Tracks,
        mut frame: Frame,
    ) -> Result<Option<u64>, Error> {
        let now = self.0.hub.clock.now();
        let mut state = self.0.state.lock();
        match &state.source {
            Source::Live { active, .. } if active.id == id => {}
            Source::Live { backup: Some(backup), .. } if backup.id == id => return Ok(None),
            _ => {
                return Err(Error::new(
                    ErrorKind::Closed,
                    format!("{} has another publisher now", self.0.name),
                ));
            }
        }
        let Some(kind) = tracks.by_id(frame.track).map(cruvz_media::Track::kind) else {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("no track {}", frame.track)));
        };
        let start = tracks.starts_at(frame.track, frame.keyframe);
        if state.gate.is_some() && !start {
            // Nothing can be decoded before the first keyframe of a source; what a data track says may matter.
            if kind != TrackKind::Data {
                state.meter.dropped(now);
                return Ok(None);
            }
        }
        let placing = !state.placed;
        if let Some(adjustment) = placing.then(|| state.timeline.place(&mut frame, kind, now)).flatten() {
            state.meter.mended(now);
            self.tell_of(adjustment);
        }
        state.meter.frame(now, kind, frame.dts, frame.keyframe, frame.payload.len());
        let retracked = !state.tracks.same(tracks);
        let discontinuity = start && state.gate.take().is_some_and(|gate| gate.discontinuity);
        let mut moving = Vec::new();
        if retracked {
            state.tracks = tracks.clone();
            let takes =
                |wire: &Arc<WireLog>| wire.format().carries.under(&self.0.hub.egress).takes_all(tracks);
            moving = state.wires.extract_if(.., |wire| !takes(wire)).collect();
        }
        let first = start && !state.playable;
        if start {
            state.keyframe.answer();
        }
        let seq = state.push(Entry { frame, tracks: tracks.clone(), discontinuity, arrived: now, start });
        drop(state);
        for wire in moving {
            self.rehome(wire, seq);
        }
        if retracked {
            self.0.hub.events.send(Event::TracksChanged { stream: self.0.name.clone() });
        }
        if first {
            self.0.hub.events.send(Event::StreamPlayable { stream: self.0.name.clone() });
        }
        Ok(Some(seq))
    }

    /// A step back is mended frame by frame and only counted; what happens once is told.
    fn tell_of(&self, adjustment: Adjustment) {
        if matches!(adjustment, Adjustment::Backward { .. }) {
            return;
        }
        let (stream, detail) = (self.0.name.clone(), format!("{adjustment:?}"));
        tracing::debug!(%stream, %detail, "timeline mended");
        self.0.hub.events.send(Event::TimelineMended { stream, detail });
    }

    /// Counts a frame that came but could not be used.
    pub(super) fn count_dropped(&self) {
        let now = self.0.hub.clock.now();
        self.0.state.lock().meter.dropped(now);
    }

    /// Whether publisher `id`, if it is the one that feeds the log, is to make a keyframe now. Each request is told once.
    pub(super) fn take_keyframe_request(&self, id: PublisherId) -> bool {
        let now = self.0.hub.clock.now();
        let mut state = self.0.state.lock();
        if !state.is_fed_by(id) {
            return false;
        }
        state.keyframe.heed();
        state.keyframe.take(now)
    }

    /// Waits until [`Self::take_keyframe_request`] says so.
    pub(super) async fn keyframe_requested(&self, id: PublisherId) {
        loop {
            let asked = self.0.keyframe_asked.notified();
            tokio::pin!(asked);
            asked.as_mut().enable();
            if self.take_keyframe_request(id) {
                return;
            }
            let due = {
                let state = self.0.state.lock();
                state.keyframe.due().filter(|_| state.is_fed_by(id))
            };
            match due {
                Some(due) => tokio::time::sleep_until(self.0.hub.clock.instant(due)).await,
                None => asked.await,
            }
        }
    }

    /// Whether anybody waits for its next frame.
    pub(crate) fn is_watched(&self) -> bool {
        let state = self.0.state.lock();
        state.interest > 0 || state.wires.iter().any(|wire| Arc::strong_count(wire) > 1)
    }

    /// Tells readers that frames were appended.
    pub(super) fn flush(&self) {
        self.0.changed.notify_waiters();
        self.0.listeners.tell();
        let wires = self.0.state.lock().wires.clone();
        for wire in wires {
            wire.flush();
        }
    }
}

impl State {
    fn begin_source(&mut self, active: Holder, resumed: bool) {
        self.source = Source::Live { active, backup: None };
        self.placed = false;
        self.gate = Some(Gate { discontinuity: resumed });
        self.keyframe = KeyframeWish::default();
        self.timeline.discontinuity();
    }

    fn is_fed_by(&self, id: PublisherId) -> bool {
        matches!(&self.source, Source::Live { active, .. } if active.id == id)
    }

    /// Its number.
    fn push(&mut self, entry: Entry) -> u64 {
        // A format that nobody watches any more is not made any more.
        self.wires.retain(|wire| Arc::strong_count(wire) > 1);
        for wire in &self.wires {
            wire.append(&entry);
        }
        self.playable |= entry.start;
        let seq = self.log.end();
        self.log.push(entry);
        seq
    }
}

/// The viewers' side.
impl LiveStream {
    pub(super) fn add_interest(&self) {
        self.0.state.lock().interest += 1;
    }

    pub(super) fn remove_interest(&self) {
        self.0.state.lock().interest -= 1;
        self.0.hub.forget_if(self, Self::is_unused);
    }

    /// The entry at `next`, or further on if the reader lags more than `lag_us`, with the number of frames passed over.
    pub(super) fn read(&self, next: Option<u64>, lag_us: i64) -> Read {
        let state = self.0.state.lock();
        let from = match next {
            Some(seq) => state.log.resume(seq, lag_us),
            None => state.log.newest_start(),
        };
        match from.and_then(|seq| Some((seq, state.log.get(seq)?))) {
            Some((seq, entry)) => Read::Entry {
                seq,
                missed: next.map_or(0, |next| seq.saturating_sub(next)),
                entry: entry.clone(),
            },
            None => match &state.source {
                Source::Ended { reason } => Read::Ended(Arc::clone(reason)),
                Source::Awaited | Source::Live { .. } | Source::Grace { .. } => Read::Wait,
            },
        }
    }

    /// The entries from `next` on (`None`, or gone: from the newest start), the place behind them, and why there will be no
    /// more, for those who make something else of them.
    pub(crate) fn entries(&self, next: Option<u64>) -> Entries {
        let state = self.0.state.lock();
        let from = match next {
            Some(seq) => state.log.resume(seq, i64::MAX),
            None => state.log.newest_start(),
        };
        let entries = from.map_or_else(Vec::new, |from| state.log.iter_from(from).cloned().collect());
        let ended = match &state.source {
            Source::Ended { reason } => Some(Arc::clone(reason)),
            Source::Awaited | Source::Live { .. } | Source::Grace { .. } => None,
        };
        Entries { entries, next: from.map(|_| state.log.end()).or(next), ended }
    }

    /// Tells `listener` from now on whenever entries were flushed, and when it ends.
    pub(crate) fn listen(&self, listener: Weak<dyn Listener>) {
        self.0.listeners.add(listener);
    }

    /// Where the oldest start is, for readers that want the past as well.
    pub(super) fn oldest_start(&self) -> Option<u64> {
        self.0.state.lock().log.oldest_start()
    }

    /// Waits until a viewer gets a picture (or sound) at once: `true`; `false` when the stream ends first.
    pub(super) async fn wait_playable(&self) -> bool {
        loop {
            let changed = self.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.0.state.lock();
                if matches!(state.source, Source::Ended { .. }) {
                    return false;
                }
                if state.playable {
                    return true;
                }
            }
            changed.await;
        }
    }

    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.changed.notified()
    }

    /// The wire log of `format`, made from the newest start on if there is none yet: whatever of the tracks the format carries.
    /// [`Self::wire`] is what an egress wants.
    ///
    /// # Errors
    /// `Closed` once the stream has ended.
    pub(super) fn wire_of_its_own(&self, format: WireFormat) -> Result<Arc<WireLog>, Error> {
        let mut state = self.0.state.lock();
        if let Source::Ended { reason } = &state.source {
            return Err(Error::new(ErrorKind::Closed, format!("{} ended: {reason}", self.0.name)));
        }
        if let Some(wire) = state.wires.iter().find(|wire| wire.format() == format) {
            return Ok(Arc::clone(wire));
        }
        let hub = &self.0.hub;
        let retention = Retention {
            time_us: i64::try_from(hub.config.log_ms.saturating_mul(1000)).unwrap_or(i64::MAX),
            bytes: hub.config.log_max_bytes,
        };
        let wire = Arc::new(WireLog::new(format, retention));
        if let Some(start) = state.log.newest_start() {
            for entry in state.log.iter_from(start) {
                wire.append(entry);
            }
        }
        state.wires.push(Arc::clone(&wire));
        Ok(wire)
    }
}

/// What views need: see [`super::view`].
impl LiveStream {
    /// What it is a view of, or itself.
    pub(crate) fn origin(&self) -> &Self {
        self.0.origin.as_ref().unwrap_or(self)
    }

    pub(super) fn hub(&self) -> &HubContext {
        &self.0.hub
    }

    /// The time of its newest frame, in µs.
    pub(super) fn newest_us(&self) -> i64 {
        self.0.state.lock().log.newest().map_or(0, Item::time_us)
    }

    pub(super) fn views(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.0.views.lock()
    }

    /// Takes an entry that has its place on the timeline, without telling readers yet: see [`Self::flush`].
    pub(super) fn mirror(&self, entry: Entry) {
        let mut state = self.0.state.lock();
        if !state.tracks.same(&entry.tracks) {
            state.tracks = entry.tracks.clone();
        }
        state.push(entry);
    }

    /// Feeds a log that was another's until now.
    pub(super) fn adopt(&self, wire: Arc<WireLog>) {
        let mut state = self.0.state.lock();
        match &state.source {
            Source::Ended { reason } => wire.end(reason),
            Source::Awaited | Source::Live { .. } | Source::Grace { .. } => state.wires.push(wire),
        }
    }

    /// Why it is over, once it is.
    pub(super) fn end_reason(&self) -> Option<Arc<str>> {
        match &self.0.state.lock().source {
            Source::Ended { reason } => Some(Arc::clone(reason)),
            Source::Awaited | Source::Live { .. } | Source::Grace { .. } => None,
        }
    }

    pub(super) fn downgrade(&self) -> WeakStream {
        WeakStream(Arc::downgrade(&self.0))
    }
}

/// A stream, as long as somebody else holds it.
#[derive(Debug)]
pub(super) struct WeakStream(Weak<Inner>);

impl WeakStream {
    pub(super) fn upgrade(&self) -> Option<LiveStream> {
        self.0.upgrade().map(LiveStream)
    }
}

/// What [`LiveStream::entries`] finds.
pub(crate) struct Entries {
    pub(crate) entries: Vec<Entry>,
    /// The place behind them.
    pub(crate) next: Option<u64>,
    pub(crate) ended: Option<Arc<str>>,
}

/// What a reader finds.
pub(super) enum Read {
    Entry { seq: u64, missed: u64, entry: Entry },
    Wait,
    Ended(Arc<str>),
}
