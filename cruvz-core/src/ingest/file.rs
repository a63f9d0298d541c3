//! Files played into the hub as if they were live: paced by the engine's clock, once or for ever.
//!
//! Reading is `cruvz-media`'s, a batch at a time on the blocking pool; this module waits until each frame is due and
//! writes it. A file that breaks off, or is broken in places, gives what can be read of it.

use std::{collections::VecDeque, fs, io::BufReader, path::PathBuf, sync::Arc, time::Duration};

use cruvz_media::{
    Frame, Timestamp, Tracks,
    container::file::{self, Limits, Loop},
};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    Error, ErrorKind, Event, Publisher, Result, Role, StreamName,
    runtime::{clock::Clock, context::Context},
};

/// Frames read at a time.
const BATCH_FRAMES: usize = 32;
/// Bytes of payload after which a batch is full.
const BATCH_BYTES: usize = 1 << 20;
/// Errors in a row after which nothing more is expected of the file.
const MAX_ERRORS_IN_A_ROW: u32 = 100;
/// How late a frame may be before the schedule is moved instead of hurrying after it.
const MAX_LATE: Duration = Duration::from_secs(1);
/// The longest wait for the next frame; a longer hole in the file is skipped.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// A media file (MP4, FLV or MPEG-TS, told by content) to be played into a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSource {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it begins again when it ends. Default no. Time goes on without a seam.
    pub repeat: bool,
    /// How fast. Default [`Pace::RealTime`].
    pub pace: Pace,
    /// What the file may make the reader hold.
    pub limits: Limits,
}

/// How fast a file is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// Each frame when its decoding time has come.
    #[default]
    RealTime,
    /// As fast as it can be read: for recorders and tests. Viewers that lag skip.
    Unpaced,
}

impl FileSource {
    /// The file at `path`, played once in real time.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), repeat: false, pace: Pace::default(), limits: Limits::default() }
    }

    /// Plays it for ever.
    #[must_use]
    pub fn repeat(mut self) -> Self {
        self.repeat = true;
        self
    }

    /// Plays it at another pace.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }
}

/// How a file does that is being played.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FileProgress {
    /// Frames written.
    pub frames: u64,
    /// Passes over the file that came to its end.
    pub passes: u64,
    /// Times that something could not be read and was passed over.
    pub errors: u64,
    /// Why it is over, if it is.
    pub ended: Option<String>,
}

/// A file that is being played. Dropping it changes nothing: the file goes on until it ends, its session is ended, or
/// the engine stops.
#[derive(Clone, Debug)]
pub struct FilePlayback {
    progress: Arc<Mutex<FileProgress>>,
    stop: Arc<watch::Sender<bool>>,
    ended: watch::Receiver<bool>,
}

impl FilePlayback {
    /// How it does.
    pub fn progress(&self) -> FileProgress {
        self.progress.lock().clone()
    }

    /// Ends it.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it is over.
    pub async fn wait(&mut self) {
        // An error means that the task is gone, which is an end as well.
        let _ = self.ended.wait_for(|ended| *ended).await;
    }
}

/// A file that was opened, and what it holds.
pub(crate) struct OpenFile {
    source: FileSource,
    reader: file::Reader<BufReader<fs::File>>,
}

impl OpenFile {
    /// Opens the file on the blocking pool.
    ///
    /// # Errors
    /// `NotFound` and `Io` when it cannot be opened; `Unsupported` when it is no file that we read; `Malformed` when
    /// it is broken.
    pub(crate) async fn open(context: &Context, source: FileSource) -> Result<Self> {
        let opened = context.runtime.spawn_blocking(move || Self::open_blocking(source)).await;
        opened
            .map_err(|error| Error::new(ErrorKind::Internal, "opening the file failed").with_source(error))?
    }

    fn open_blocking(source: FileSource) -> Result<Self> {
        let shown = source.path.display();
        let opened = fs::File::open(&source.path).map_err(file::Error::from);
        let reader = opened.and_then(|file| file::Reader::open(BufReader::new(file), source.limits.clone()));
        let reader = reader
            .map_err(|error| Error::new(kind(&error), format!("cannot play {shown}")).with_source(error))?;
        Ok(Self { source, reader })
    }

    pub(crate) fn tracks(&self) -> &Tracks {
        self.reader.tracks()
    }

    /// Plays the file into `publisher`, in a task of its own.
    pub(crate) fn play(self, context: &Context, publisher: Publisher) -> FilePlayback {
        let progress = Arc::<Mutex<FileProgress>>::default();
        let (stop, stopped) = watch::channel(false);
        let (end, ended) = watch::channel(false);
        let player = Player {
            context: context.clone(),
            stream: publisher.stream().name().clone(),
            target: self.source.path.display().to_string(),
            schedule: Schedule { clock: context.clock, pace: self.source.pace, start: None },
            publisher,
            progress: Arc::clone(&progress),
            stopped,
        };
        let feed = Feed::new(self);
        context.runtime.spawn(async move {
            player.run(feed).await;
            end.send_replace(true);
        });
        FilePlayback { progress, stop: Arc::new(stop), ended }
    }
}

fn kind(error: &file::Error) -> ErrorKind {
    match error {
        file::Error::Io(error) if error.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        file::Error::Io(_) => ErrorKind::Io,
        file::Error::UnknownFormat(_) | file::Error::NoTracks => ErrorKind::Unsupported,
        _ => ErrorKind::Malformed,
    }
}

/// What reading gives.
enum Item {
    Frame(Frame),
    Tracks(Tracks),
    /// Something was passed over.
    Damage(String),
    /// A pass is complete.
    Pass,
}

/// The file as one endless, or finite, sequence. Runs on the blocking pool.
struct Feed {
    file: OpenFile,
    passes: Loop,
    tracks: Tracks,
    errors: u32,
    /// Why there is no more, once there is none.
    over: Option<String>,
}

impl Feed {
    fn new(file: OpenFile) -> Self {
        let tracks = file.tracks().clone();
        Self { file, passes: Loop::default(), tracks, errors: 0, over: None }
    }

    /// The next few items; none once it is over.
    fn read(mut self) -> (Self, VecDeque<Item>) {
        let mut items = VecDeque::new();
        let mut bytes = 0;
        while self.over.is_none() && items.len() < BATCH_FRAMES && bytes < BATCH_BYTES {
            let next = self.file.reader.next_frame();
            if !self.file.reader.tracks().same(&self.tracks) {
                self.tracks = self.file.reader.tracks().clone();
                items.push_back(Item::Tracks(self.tracks.clone()));
            }
            match next {
                Ok(Some(mut frame)) => {
                    self.errors = 0;
                    bytes += frame.payload.len();
                    self.passes.place(&mut frame);
                    items.push_back(Item::Frame(frame));
                }
                Ok(None) => {
                    items.push_back(Item::Pass);
                    self.begin_again();
                }
                Err(error) => {
                    self.errors += 1;
                    if self.errors >= MAX_ERRORS_IN_A_ROW {
                        self.over = Some(format!("too many errors: {error}"));
                    }
                    items.push_back(Item::Damage(error.to_string()));
                }
            }
        }
        (self, items)
    }

    fn begin_again(&mut self) {
        if !self.file.source.repeat {
            self.over = Some("file ended".to_owned());
        } else if !self.passes.restart() {
            self.over = Some("the file holds no frame".to_owned());
        } else if let Err(error) = self.file.reader.rewind() {
            self.over = Some(format!("cannot begin again: {error}"));
        }
    }
}

/// Writes frames when they are due.
struct Player {
    context: Context,
    stream: StreamName,
    target: String,
    schedule: Schedule,
    publisher: Publisher,
    progress: Arc<Mutex<FileProgress>>,
    stopped: watch::Receiver<bool>,
}

impl Player {
    async fn run(mut self, feed: Feed) {
        self.tell("running", "");
        let reason = self.play(feed).await;
        self.tell("stopped", &reason);
        self.progress.lock().ended = Some(reason.clone());
        self.publisher.finish(&reason);
    }

    /// Plays until there is no more, and says why.
    async fn play(&mut self, mut feed: Feed) -> String {
        let mut told = false;
        loop {
            let read = self.context.runtime.spawn_blocking(move || feed.read()).await;
            let items = match read {
                Ok((next, items)) => {
                    feed = next;
                    items
                }
                Err(error) => return format!("reading failed: {error}"),
            };
            for item in items {
                match item {
                    Item::Frame(frame) => {
                        if let Err(reason) = self.write(frame).await {
                            return reason;
                        }
                    }
                    Item::Tracks(tracks) => self.publisher.set_tracks(tracks),
                    Item::Damage(detail) => {
                        self.progress.lock().errors += 1;
                        // One event per pass says it; the count says how often.
                        if !std::mem::replace(&mut told, true) {
                            tracing::warn!(stream = %self.stream, file = %self.target, %detail, "file is damaged");
                            self.tell("running", &detail);
                        }
                    }
                    Item::Pass => {
                        self.progress.lock().passes += 1;
                        told = false;
                    }
                }
            }
            if let Some(reason) = &feed.over {
                return reason.clone();
            }
        }
    }

    /// Waits until the frame is due and writes it; says why if there is nothing more to write.
    async fn write(&mut self, frame: Frame) -> Result<(), String> {
        if let Some(due) = self.schedule.due(frame.dts) {
            let mut engine = self.context.stopped.clone();
            tokio::select! {
                () = tokio::time::sleep_until(self.context.clock.instant(due)) => {}
                reason = self.publisher.session().wait_end() => return Err(reason.to_string()),
                () = engine.wait() => return Err("engine stopped".to_owned()),
                Ok(_) = self.stopped.wait_for(|stopped| *stopped) => return Err("stopped".to_owned()),
            }
        } else if *self.stopped.borrow() {
            return Err("stopped".to_owned());
        }
        self.publisher.write(frame).map_err(|error| error.to_string())?;
        self.progress.lock().frames += 1;
        Ok(())
    }

    fn tell(&self, state: &'static str, detail: &str) {
        self.context.events.send(Event::RemoteState {
            stream: self.stream.clone(),
            role: Role::Publish,
            target: self.target.clone(),
            state,
            detail: detail.to_owned(),
        });
    }
}

/// When frames are due, by the clock.
struct Schedule {
    clock: Clock,
    pace: Pace,
    /// A decoding time, and when it is due.
    start: Option<(Timestamp, Duration)>,
}

impl Schedule {
    /// When the frame with this decoding time is due; `None`: now.
    fn due(&mut self, dts: Timestamp) -> Option<Duration> {
        if self.pace == Pace::Unpaced {
            return None;
        }
        let now = self.clock.now();
        let due = self.start.map(|(start, at)| at + dts.duration_since(start));
        // A machine that slept, a disk that hung, a hole in the file: the schedule begins anew.
        match due.filter(|&due| due + MAX_LATE >= now && due <= now + MAX_WAIT) {
            Some(due) => Some(due),
            None => {
                self.start = Some((dts, now));
                Some(now)
            }
        }
    }
}
