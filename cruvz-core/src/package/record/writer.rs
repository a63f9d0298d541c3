//! From parts to files, on a thread that may block.

use std::io;

use bytes::Bytes;
use cruvz_media::{
    hls::{Cursor, LivePart, Packager, Tail},
    record::{RecordError, Recorder},
    segment::{InitName, Join, SegmentName, SegmentRecord},
};

use crate::{
    config::RecordConfig,
    store::{Disk, disk::RenditionWriter},
};

/// The most bytes that are taken out of a packager at once. One part is always taken.
const BATCH_BYTES: u64 = 8 << 20;

/// The reason of a failure that is a bug.
const INTERNAL: &str = "internal";

/// One thing to be done, and where the cursor is once it is.
pub(super) struct Step {
    work: Work,
    after: Cursor,
}

enum Work {
    Part(LivePart, Bytes),
    SegmentEnd,
    Missed,
}

/// What lies behind `cursor`, up to a bound.
pub(super) fn steps(packager: &Packager, mut cursor: Cursor) -> Vec<Step> {
    let (mut steps, mut bytes) = (Vec::new(), 0);
    while bytes < BATCH_BYTES {
        let work = match packager.tail(&mut cursor) {
            Tail::Part(part) => {
                bytes += part.body.iter().map(|slice| slice.len() as u64).sum::<u64>();
                let init = packager.init(part.init).unwrap_or_default();
                Work::Part(part, init)
            }
            Tail::SegmentEnd => Work::SegmentEnd,
            Tail::Missed => Work::Missed,
            Tail::Wait => break,
        };
        steps.push(Step { work, after: cursor });
    }
    steps
}

/// Why nothing more can be written now.
#[derive(Debug)]
pub(super) struct Failure {
    /// A short stable name.
    pub(super) reason: &'static str,
    pub(super) detail: String,
    /// Whether trying again is of no use.
    pub(super) fatal: bool,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "disk_full",
            _ => "io",
        };
        Self { reason, detail: error.to_string(), fatal: false }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        let reason = if matches!(error, RecordError::TooLong) { "too_long" } else { INTERNAL };
        Self { reason, detail: error.to_string(), fatal: true }
    }
}

/// What came of writing.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Where the cursor is now, if it moved.
    pub(super) cursor: Option<Cursor>,
    pub(super) inits: Vec<InitName>,
    pub(super) records: Vec<SegmentRecord>,
    /// The segments begun behind a gap.
    pub(super) gaps: Vec<SegmentName>,
    pub(super) failure: Option<Failure>,
}

/// Writes one rendition. After a failure it goes on where it was.
pub(super) struct Writer {
    recorder: Recorder,
    files: RenditionWriter,
    disk: Disk,
    min_free_bytes: u64,
    /// A segment that is whole, and has not got its final name yet.
    completing: Option<(SegmentName, SegmentRecord)>,
    /// Whether the last part was none.
    passing_over: bool,
}

impl Writer {
    pub(super) fn new(disk: &Disk, folder: &str, config: &RecordConfig) -> Self {
        Self {
            recorder: Recorder::default(),
            files: RenditionWriter::new(disk, folder, config.sync),
            disk: disk.clone(),
            min_free_bytes: config.min_free_bytes,
            completing: None,
            passing_over: false,
        }
    }

    /// Does one step after the other, until one fails.
    pub(super) fn write(&mut self, steps: &[Step]) -> Outcome {
        let mut outcome = Outcome::default();
        for step in steps {
            if let Err(failure) = self.step(&step.work, &mut outcome) {
                outcome.failure = Some(failure);
                break;
            }
            outcome.cursor = Some(step.after);
        }
        outcome
    }

    fn step(&mut self, work: &Work, outcome: &mut Outcome) -> Result<(), Failure> {
        match work {
            Work::Part(part, init) => {
                if self.recorder.is_done_before(part) {
                    self.complete(outcome)?;
                }
                match self.part(part, init, outcome) {
                    Err(failure) if failure.reason == INTERNAL => self.pass_over(&failure, outcome),
                    written => {
                        self.passing_over &= written.is_err();
                        written
                    }
                }
            }
            Work::SegmentEnd => self.complete(outcome),
            Work::Missed => {
                self.complete(outcome)?;
                self.recorder.broken();
                Ok(())
            }
        }
    }

    /// Goes on behind a part that is none: a bug, but no reason to stop for good.
    fn pass_over(&mut self, failure: &Failure, outcome: &mut Outcome) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.passing_over, true) {
            tracing::error!(detail = failure.detail, "what HLS gets cannot be recorded, and is passed over");
        }
        self.complete(outcome)?;
        self.recorder.broken();
        Ok(())
    }

    fn part(&mut self, part: &LivePart, init: &Bytes, outcome: &mut Outcome) -> Result<(), Failure> {
        self.finish_completing(outcome)?;
        let place = self.recorder.place(part, init)?;
        if let Some((name, body)) = place.init {
            self.files.init(name, &body)?;
            outcome.inits.push(name);
            self.recorder.wrote_init(name);
        }
        let free = self.disk.free_bytes()?;
        if free < self.min_free_bytes {
            let detail = format!("{free} bytes are free, {} are to stay so", self.min_free_bytes);
            return Err(Failure { reason: "disk_full", detail, fatal: false });
        }
        let bytes = Bytes::from(part.body.concat());
        self.recorder.check(&bytes)?;
        self.files.append(place.file, &bytes)?;
        self.recorder.wrote(&bytes)?;
        if place.new && place.file.join == Join::Gap {
            outcome.gaps.push(place.file);
        }
        Ok(())
    }

    /// Ends the file that is being filled.
    pub(super) fn complete(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        self.finish_completing(outcome)?;
        self.completing = self.recorder.complete();
        if self.completing.is_none() {
            self.files.abandon();
        }
        self.finish_completing(outcome)
    }

    fn finish_completing(&mut self, outcome: &mut Outcome) -> Result<(), Failure> {
        let Some((open, record)) = &self.completing else { return Ok(()) };
        match self.files.complete(*open, record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(segment = %open, "a file was removed while it was being recorded");
                self.files.forget();
                self.recorder.broken();
            }
            completed => {
                completed?;
                outcome.records.push(record.clone());
            }
        }
        self.completing = None;
        Ok(())
    }
}

/// A writer that is lent to a thread that may block, and comes back.
pub(super) struct Hand(Option<Box<Writer>>);

impl Hand {
    pub(super) fn new(writer: Writer) -> Self {
        Self(Some(Box::new(writer)))
    }

    /// Has `work` done.
    pub(super) async fn work(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Outcome + Send + 'static,
    ) -> Outcome {
        let gone = || {
            let detail = "writing was cut short".to_owned();
            let failure = Some(Failure { reason: INTERNAL, detail, fatal: true });
            Outcome { failure, ..Outcome::default() }
        };
        let Some(mut writer) = self.0.take() else { return gone() };
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut writer);
            (writer, outcome)
        });
        let Ok((writer, outcome)) = done.await else { return gone() };
        self.0 = Some(writer);
        outcome
    }

    /// Whether the index on the disk lacks something.
    pub(super) fn index_is_stale(&self) -> bool {
        self.0.as_ref().is_none_or(|writer| writer.files.index_is_stale)
    }
}
