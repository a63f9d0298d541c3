//! One recording from its beginning to its end.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cruvz_media::{
    hls::{Cursor, Packager},
    segment::{End, verify::INDEX},
};

use super::{
    Entry, RecordPolicy, Shared,
    writer::{Failure, Hand, Outcome, Writer, steps},
};
use crate::{
    Event,
    package::hls::Kept,
    store::{Disk, archive},
};

/// How often a recording whose stream has ended tries to write the rest.
const LAST_ATTEMPTS: u32 = 10;

impl Shared {
    /// Carries parts to the disk until the stream ends or somebody stops it. Live never waits for this.
    pub(super) async fn run(self: Arc<Self>, entry: Arc<Entry>, kept: Kept, policy: RecordPolicy) {
        let config = &self.context.config.record;
        let mut writer = Hand::new(Writer::new(&self.disk, &entry.rendition(), config));
        let cursor = kept.look(Packager::newest_start);
        let reason = self.record(&entry, &kept, &policy, (&mut writer, cursor)).await;
        drop(kept);
        self.end(&entry, writer, &reason).await;
    }

    /// Returns why it is over.
    async fn record(
        &self,
        entry: &Entry,
        kept: &Kept,
        policy: &RecordPolicy,
        (writer, mut cursor): (&mut Hand, Cursor),
    ) -> String {
        let retry = Duration::from_millis(self.context.config.record.retry_ms.clamp(100, 60_000));
        let mut attempts = 0;
        loop {
            let changed = kept.changed();
            let (steps, finished) = kept.look(|packager| {
                entry.state.lock().target_duration_s = packager.target_duration_s().unwrap_or(0);
                (steps(packager, cursor), packager.is_finished())
            });
            let stopping = entry.state.lock().stopping.clone();
            if steps.is_empty() {
                // What was made until somebody asked is written first.
                if let Some(reason) = stopping {
                    return reason;
                }
                if finished {
                    return "the stream ended".to_owned();
                }
                tokio::select! {
                    () = changed => {}
                    () = entry.stop.notified() => {}
                }
                continue;
            }
            let outcome = writer.work(move |writer| writer.write(&steps)).await;
            cursor = outcome.cursor.unwrap_or(cursor);
            let failure = self.note(entry, outcome);
            if policy.max_duration_ms > 0 && entry.info().duration_ms >= policy.max_duration_ms {
                return "it is as long as it was to be".to_owned();
            }
            match failure {
                None => attempts = 0,
                Some(failure) => {
                    attempts += 1;
                    if failure.fatal || (finished && attempts >= LAST_ATTEMPTS) {
                        return failure.detail;
                    }
                    if let Some(reason) = stopping {
                        return reason;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(retry) => {}
                        () = entry.stop.notified() => {}
                    }
                }
            }
        }
    }

    /// Takes note of what was written, and tells of what changed.
    fn note(&self, entry: &Entry, outcome: Outcome) -> Option<Failure> {
        let Outcome { inits, records, gaps, failure, cursor } = outcome;
        let events = &self.context.events;
        let (stream, recording) = (&entry.stream, entry.id.to_string());
        let mut state = entry.state.lock();
        let index = state.index.get_or_insert_default();
        inits.into_iter().for_each(|init| index.add_init(init));
        let mut ended_ms = index.segments.last().map(|last| last.ends_at_unix_ms());
        for gap in gaps {
            let before = records.iter().rfind(|record| record.name.sequence < gap.sequence);
            ended_ms = before.map(|before| before.ends_at_unix_ms()).or(ended_ms);
            let missing_ms = ended_ms.map_or(0, |ended| gap.starts_at_unix_ms.saturating_sub(ended));
            let (stream, recording) = (stream.clone(), recording.clone());
            events.send(Event::RecordingGap { stream, recording, missing_ms });
        }
        records.into_iter().for_each(|record| index.add(record));
        match &failure {
            Some(Failure { reason, detail, .. }) => {
                let told = state.paused.as_ref().is_some_and(|(before, _)| before == reason);
                state.paused = Some((reason, detail.clone()));
                if !told {
                    tracing::warn!(%stream, recording, reason, %detail, "a recording cannot be written");
                    let (stream, detail) = (stream.clone(), detail.clone());
                    events.send(Event::RecordingFailed { stream, recording, reason, detail });
                }
            }
            None if cursor.is_some() && state.paused.take().is_some() => {
                tracing::info!(%stream, recording, "a recording can be written again");
                events.send(Event::RecordingResumed { stream: stream.clone(), recording });
            }
            None => {}
        }
        failure
    }

    /// Completes what is being filled, and writes the last word.
    async fn end(self: Arc<Self>, entry: &Arc<Entry>, mut writer: Hand, reason: &str) {
        let complete = |writer: &mut Writer| {
            let mut outcome = Outcome::default();
            outcome.failure = writer.complete(&mut outcome).err();
            outcome
        };
        let outcome = writer.work(complete).await;
        self.note(entry, outcome);
        let index = entry.state.lock().index.clone().unwrap_or_default();
        let end = End::new(&index, reason);
        let written = tokio::task::spawn_blocking({
            let (disk, end) = (self.disk.clone(), end.clone());
            let stale = writer.index_is_stale() || entry.state.lock().trimmed;
            let (folder, rendition) = (entry.folder(), entry.rendition());
            move || write_end(&disk, &folder, &rendition, stale.then(|| index.to_string()), &end)
        });
        if let Ok(Err(error)) = written.await {
            // It is mended at the next start.
            tracing::warn!(recording = %entry.id, %error, "the end of a recording was not written");
        }
        let (stream, recording) = (entry.stream.clone(), entry.id.to_string());
        let empty = end.segments == 0;
        {
            let mut state = entry.state.lock();
            (state.end, state.paused, state.playlist) = (Some(end), None, None);
        }
        self.running.lock().remove(&entry.stream);
        if empty {
            // There is nothing to keep.
            let _ = self.remove(entry).await;
        }
        self.used(entry.id);
        self.context.events.send(Event::RecordingStopped { stream, recording, reason: reason.to_owned() });
        self.tasks.fetch_sub(1, Relaxed);
        self.finished.notify_waiters();
    }
}

fn write_end(
    disk: &Disk,
    folder: &str,
    rendition: &str,
    index: Option<String>,
    end: &End,
) -> std::io::Result<()> {
    if let Some(index) = index {
        disk.write(&format!("{rendition}/{INDEX}"), index.as_bytes(), true)?;
    }
    archive::write_end(disk, folder, end)
}
