//! What is on the disk: looked at when the engine starts, mended where a crash left it, and kept within its limits.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use cruvz_media::segment::{Join, RecordingId, verify::recover};

use super::{Entry, Shared, State};
use crate::{
    Error, ErrorKind, Result,
    runtime::context::Context,
    store::{
        Disk, SegmentStore,
        archive::{self, Place},
    },
};

/// Indexes of ended recordings that stay in memory.
const MAX_LOADED: usize = 32;
/// How often old recordings are looked for.
const TICK: Duration = Duration::from_secs(10);

/// Every recording on `disk`. Those that have no end are mended and get one.
pub(super) fn open(disk: &Disk) -> Result<Vec<Arc<Entry>>> {
    let places = archive::places(disk)?;
    Ok(places.into_iter().filter_map(|place| open_one(disk, place)).collect())
}

fn open_one(disk: &Disk, place: Place) -> Option<Arc<Entry>> {
    let folder = place.folder();
    let end =
        archive::read_end(disk, &folder).map_or_else(|| archive::mend(disk, &folder), |end| Ok(Some(end)));
    match end {
        Ok(end) => {
            let state = State { end: Some(end?), ..State::default() };
            Some(Entry::new(place.id, place.stream, state))
        }
        Err(error) => {
            tracing::error!(recording = folder, %error, "a recording could not be opened");
            None
        }
    }
}

impl Shared {
    /// Removes a recording that has ended.
    pub(super) async fn remove(&self, entry: &Arc<Entry>) -> Result<()> {
        let (disk, folder) = (self.disk.clone(), entry.folder());
        let removed = tokio::task::spawn_blocking(move || disk.remove_folder(&folder)).await;
        removed.map_err(|_| closed())??;
        self.all.lock().remove(&entry.id);
        Ok(())
    }

    /// Has the index of `entry` in memory.
    pub(super) async fn load(&self, entry: &Arc<Entry>) -> Result<()> {
        self.used(entry.id);
        if entry.state.lock().index.is_some() {
            return Ok(());
        }
        let (disk, rendition) = (self.disk.clone(), entry.rendition());
        let read = tokio::task::spawn_blocking(move || archive::look(&disk, &rendition, recover)).await;
        let index = read.map_err(|_| closed())??.index;
        entry.state.lock().index = Some(index);
        Ok(())
    }

    /// Notes that an ended recording is played, and lets go of the index of the one that was not for longest.
    pub(super) fn used(&self, id: RecordingId) {
        let mut loaded = self.loaded.lock();
        loaded.retain(|other| *other != id);
        loaded.push(id);
        if loaded.len() <= MAX_LOADED {
            return;
        }
        let oldest = loaded.remove(0);
        if let Some(entry) = self.all.lock().get(&oldest) {
            let mut state = entry.state.lock();
            if state.end.is_some() {
                (state.index, state.playlist) = (None, None);
            }
        }
    }

    /// Takes from recordings that go on what is too old at `now_unix_ms`, and of the oldest as much as all are too large.
    async fn trim(&self, now_unix_ms: u64) -> Result<()> {
        let config = &self.context.config.record;
        let all: Vec<_> = self.all.lock().values().cloned().collect();
        let total: u64 = all.iter().map(|entry| entry.info().bytes).sum();
        let mut surplus_bytes =
            if config.keep_bytes == 0 { 0 } else { total.saturating_sub(config.keep_bytes) };
        for entry in all {
            let mut taken = Vec::new();
            if let mut state = entry.state.lock()
                && state.end.is_none()
                && let Some(index) = &mut state.index
            {
                taken = index.trim(|segment| {
                    let age_s = now_unix_ms.saturating_sub(segment.ends_at_unix_ms()) / 1000;
                    let surplus = (config.keep_s > 0 && age_s >= config.keep_s) || surplus_bytes > 0;
                    if surplus {
                        surplus_bytes = surplus_bytes.saturating_sub(segment.bytes);
                    }
                    surplus
                });
                let joins = taken.iter().filter(|segment| segment.name.join != Join::Continues);
                state.trimmed_discontinuities += joins.count() as u64;
                state.trimmed |= !taken.is_empty();
            }
            for segment in taken {
                self.disk.delete(&format!("{}/{}", entry.rendition(), segment.name)).await?;
            }
        }
        Ok(())
    }

    /// The ended recordings that are too old, or too much, at `now_unix_ms`.
    fn surplus(&self, now_unix_ms: u64) -> Vec<Arc<Entry>> {
        let config = &self.context.config.record;
        let all: Vec<_> = self.all.lock().values().cloned().collect();
        let infos: Vec<_> = all.iter().map(|entry| entry.info()).collect();
        let mut bytes: u64 = infos.iter().map(|info| info.bytes).sum();
        let mut surplus = Vec::new();
        for (entry, info) in all.into_iter().zip(infos) {
            let Some(ended) = entry.state.lock().end.as_ref().map(|end| end.ended_unix_ms) else { continue };
            let old = config.keep_s > 0 && ended.saturating_add(config.keep_s * 1000) <= now_unix_ms;
            if old || (config.keep_bytes > 0 && bytes > config.keep_bytes) {
                bytes -= info.bytes;
                surplus.push(entry);
            }
        }
        surplus
    }
}

/// Removes what is older, or more, than configured: ended recordings, then the oldest segments of those that go on.
pub(super) async fn keep_within_limits(shared: Weak<Shared>, context: Context) {
    let mut stopped = context.stopped.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = stopped.wait() => return,
        }
        let Some(shared) = shared.upgrade() else { return };
        let now = u64::try_from(context.clock.unix_us(context.clock.now()) / 1000).unwrap_or(0);
        for entry in shared.surplus(now) {
            tracing::info!(recording = %entry.id, stream = %entry.stream, "an old recording is removed");
            if let Err(error) = shared.remove(&entry).await {
                tracing::warn!(recording = %entry.id, %error, "an old recording cannot be removed");
            }
        }
        if let Err(error) = shared.trim(now).await {
            tracing::warn!(%error, "old segments cannot be removed");
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the runtime is shutting down")
}
