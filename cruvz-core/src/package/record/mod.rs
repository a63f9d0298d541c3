//! Recordings: what is being recorded, what was, and the way to both.
//!
//! A recording is the parts of LL-HLS on a disk (`docs/adr/0012-segment-store.md`). [`task`] carries them there while a stream is live; [`catalogue`] knows
//! what is on the disk, mends what a crash left, and lets go of the oldest. `cruvz_media::record` names the files.

mod automatic;
mod catalogue;
pub mod download;
mod task;
pub mod vod;
mod writer;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use cruvz_media::{
    segment::{End, Index, RecordingId},
    vod::span::Span,
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Notify;

use self::download::Clip;
use super::hls::Hls;
use crate::{
    Error, ErrorKind, Event, Result, StreamName,
    runtime::{context::Context, random::random},
    store::{Disk, archive},
};

/// How a stream is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordPolicy {
    /// Media after which the recording ends by itself, in milliseconds. Default 0: when the stream ends, or somebody stops it.
    pub max_duration_ms: u64,
}

/// A recording as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordingInfo {
    /// Its name: `1763800000123-1a2b3c4d`.
    pub id: String,
    /// The stream it is of.
    pub stream: StreamName,
    /// `recording`; `paused`, when it cannot be written now; or `ended`.
    pub state: &'static str,
    /// Why it is paused, or ended.
    pub reason: Option<String>,
    /// When it began, in milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// How much media it has, in milliseconds; while it goes on, in complete segments.
    pub duration_ms: u64,
    /// Its bytes, in complete segments.
    pub bytes: u64,
    /// Its complete segments.
    pub segments: u64,
    /// How many times something that was live is missing.
    pub gaps: u64,
}

/// The recordings of an engine.
#[derive(Clone)]
pub(crate) struct Recordings(Option<Arc<Shared>>);

struct Shared {
    context: Context,
    hls: Hls,
    disk: Disk,
    /// By name, and so by age.
    all: Mutex<BTreeMap<RecordingId, Arc<Entry>>>,
    /// Those that go on.
    running: Mutex<HashMap<StreamName, Arc<Entry>>>,
    /// Those that are beginning or going on.
    tasks: AtomicUsize,
    finished: Notify,
    /// The ended recordings whose index is in memory, in the order of their last use.
    loaded: Mutex<Vec<RecordingId>>,
    /// The MP4 files that were asked for.
    movies: download::Movies,
    /// Held as long as the engine lives.
    _lock: File,
}

/// A recording.
struct Entry {
    id: RecordingId,
    stream: StreamName,
    state: Mutex<State>,
    stop: Notify,
}

#[derive(Default)]
struct State {
    /// Why it is not written now: reason and detail.
    paused: Option<(&'static str, String)>,
    /// Why somebody wants it to end.
    stopping: Option<String>,
    /// Its end, once it has ended.
    end: Option<End>,
    /// What it has: always while it goes on, and after that when somebody plays it.
    index: Option<Index>,
    /// TARGETDURATION of its stream's playlists, in seconds.
    target_duration_s: u32,
    /// The playlist that begins with such a segment and has so many.
    playlist: Option<((u32, usize), Bytes)>,
    /// Whether retention took its oldest segments.
    trimmed: bool,
    /// How many discontinuities went with them.
    trimmed_discontinuities: u64,
}

impl Entry {
    fn new(id: RecordingId, stream: StreamName, state: State) -> Arc<Self> {
        Arc::new(Self { id, stream, state: Mutex::new(state), stop: Notify::new() })
    }

    /// The folder of the recording.
    fn folder(&self) -> String {
        format!("{}/{}", self.stream, self.id)
    }

    /// The folder of its only rendition.
    fn rendition(&self) -> String {
        archive::rendition(&self.folder())
    }

    fn info(&self) -> RecordingInfo {
        let (state, empty) = (self.state.lock(), Index::default());
        let live;
        let (name, reason, end) = match (&state.end, &state.paused) {
            (Some(end), _) => ("ended", Some(end.reason.clone()), end),
            (None, paused) => {
                live = End::new(state.index.as_ref().unwrap_or(&empty), "");
                let reason = paused.as_ref().map(|(_, detail)| detail.clone());
                (if paused.is_some() { "paused" } else { "recording" }, reason, &live)
            }
        };
        RecordingInfo {
            id: self.id.to_string(),
            stream: self.stream.clone(),
            state: name,
            reason,
            started_unix_ms: self.id.started_unix_ms,
            duration_ms: end.duration_ns / 1_000_000,
            bytes: end.bytes,
            segments: end.segments,
            gaps: end.gaps,
        }
    }

    fn has_ended(&self) -> bool {
        self.state.lock().end.is_some()
    }

    fn ask_to_stop(&self, reason: &str) {
        self.state.lock().stopping.get_or_insert_with(|| reason.to_owned());
        self.stop.notify_one();
    }
}

impl Recordings {
    /// Nothing is recorded, and nothing was.
    pub(crate) const fn off() -> Self {
        Self(None)
    }

    /// Looks at what is in the configured folder, and mends what a crash left behind. From then on the folder is this engine's.
    ///
    /// # Errors
    /// `Unavailable` when another process has the folder; `Io` when it cannot be used.
    pub(crate) async fn start(context: &Context, hls: &Hls) -> Result<Self> {
        let config = &context.config.record;
        if config.folder.as_os_str().is_empty() {
            return Ok(Self::off());
        }
        let disk = Disk::new(&config.folder);
        let opened = context.runtime.spawn_blocking({
            let disk = disk.clone();
            move || Ok::<_, Error>((disk.lock()?, catalogue::open(&disk)?))
        });
        let closed = |_| Error::new(ErrorKind::Closed, "the runtime is shutting down");
        let (lock, entries) = opened.await.map_err(closed)??;
        let shared = Arc::new(Shared {
            context: context.clone(),
            hls: hls.clone(),
            disk,
            all: Mutex::new(entries.into_iter().map(|entry| (entry.id, entry)).collect()),
            running: Mutex::default(),
            tasks: AtomicUsize::new(0),
            finished: Notify::new(),
            loaded: Mutex::default(),
            movies: download::Movies::default(),
            _lock: lock,
        });
        context.runtime.spawn(automatic::record(Arc::downgrade(&shared), context.clone()));
        context.runtime.spawn(catalogue::keep_within_limits(Arc::downgrade(&shared), context.clone()));
        Ok(Self(Some(shared)))
    }

    fn shared(&self) -> Result<&Arc<Shared>> {
        let off = || Error::new(ErrorKind::Unsupported, "recording is off: record.folder is not configured");
        self.0.as_ref().ok_or_else(off)
    }

    fn entry(&self, id: &str) -> Result<(&Arc<Shared>, Arc<Entry>)> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no recording {id:.40}"));
        let id: RecordingId = id.parse().map_err(|_| missing())?;
        let shared = self.0.as_ref().ok_or_else(missing)?;
        let entry = shared.all.lock().get(&id).cloned().ok_or_else(missing)?;
        Ok((shared, entry))
    }

    /// Begins to record a stream: see [`crate::Engine::record`].
    pub(crate) async fn record(&self, stream: &StreamName, policy: RecordPolicy) -> Result<RecordingInfo> {
        let shared = self.shared()?;
        let timeout = Duration::from_millis(shared.context.config.subscribe_timeout_ms);
        Arc::clone(shared).begin(stream, policy, timeout).await.map(|entry| entry.info())
    }

    /// Every recording, oldest first.
    pub(crate) fn list(&self) -> Vec<RecordingInfo> {
        let all = self.0.as_ref().map(|shared| shared.all.lock().values().cloned().collect::<Vec<_>>());
        all.unwrap_or_default().iter().map(|entry| entry.info()).collect()
    }

    pub(crate) fn get(&self, id: &str) -> Option<RecordingInfo> {
        self.entry(id).ok().map(|(_, entry)| entry.info())
    }

    /// Ends a recording and waits until it is whole.
    pub(crate) async fn stop(&self, id: &str, reason: &str) -> Result<RecordingInfo> {
        let (shared, entry) = self.entry(id)?;
        entry.ask_to_stop(reason);
        shared.until(|| entry.has_ended()).await;
        Ok(entry.info())
    }

    /// Removes a recording; one that goes on is stopped first.
    pub(crate) async fn delete(&self, id: &str) -> Result<()> {
        self.stop(id, "deleted").await?;
        let (shared, entry) = self.entry(id)?;
        shared.remove(&entry).await
    }

    /// A part of a recording: see [`crate::Engine::clip`].
    pub(crate) async fn clip(&self, id: &str, span: Span) -> Result<Clip> {
        let (shared, entry) = self.entry(id)?;
        shared.clip(&entry, span).await
    }

    /// Waits until every recording has ended, as they do when their streams have, but no longer than `patience`: those that cannot be
    /// written are told to stop in the middle of it.
    pub(crate) async fn finish(&self, patience: Duration) {
        let Some(shared) = &self.0 else { return };
        let done = || tokio::time::timeout(patience / 2, shared.until(|| shared.tasks.load(Relaxed) == 0));
        if done().await.is_ok() {
            return;
        }
        for entry in shared.running.lock().values() {
            entry.ask_to_stop("server is shutting down");
        }
        if done().await.is_err() {
            tracing::warn!("recordings were not ended in time; they are mended at the next start");
        }
    }
}

impl Shared {
    /// Waits for `condition`, which only the end of a recording changes.
    async fn until(&self, condition: impl Fn() -> bool) {
        loop {
            let finished = self.finished.notified();
            if condition() {
                return;
            }
            finished.await;
        }
    }

    /// Begins to record `stream`, at the newest keyframe there is.
    async fn begin(
        self: Arc<Self>,
        stream: &StreamName,
        policy: RecordPolicy,
        timeout: Duration,
    ) -> Result<Arc<Entry>> {
        let kept = self.hls.keep(stream, timeout).await?;
        let clock = self.context.clock;
        let chance = random::<4>().map_err(Error::from)?;
        let entry = {
            let mut running = self.running.lock();
            if running.contains_key(stream) {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("{stream} is being recorded")));
            }
            let limit = self.context.config.record.max_running;
            if running.len() >= limit {
                return Err(Error::new(
                    ErrorKind::LimitExceeded,
                    format!("{limit} streams are being recorded"),
                ));
            }
            let started_unix_ms = u64::try_from(clock.unix_us(clock.now()) / 1000).unwrap_or(0);
            let id = RecordingId { started_unix_ms, random: u32::from_be_bytes(chance) };
            let state = State { index: Some(Index::default()), ..State::default() };
            let entry = Entry::new(id, stream.clone(), state);
            running.insert(stream.clone(), Arc::clone(&entry));
            entry
        };
        self.all.lock().insert(entry.id, Arc::clone(&entry));
        self.tasks.fetch_add(1, Relaxed);
        let (stream, recording) = (stream.clone(), entry.id.to_string());
        self.context.events.send(Event::RecordingStarted { stream, recording });
        let runtime = self.context.runtime.clone();
        runtime.spawn(self.run(Arc::clone(&entry), kept, policy));
        Ok(entry)
    }
}
