//! Recordings as MP4 files, as plain values: a request comes in, a head and a body to be read piece by piece go out.
//!
//! Nothing is copied or kept: the head of the file is made of the heads of the recording's parts, and its media is read from the
//! segments when somebody wants it ([`Movie`]). A few heads are remembered, since players ask for a file in many ranges.

mod range;

use std::{collections::VecDeque, fmt, net::SocketAddr, ops::Range, sync::Arc};

use bytes::Bytes;
use cruvz_media::{
    container::mp4::{
        self,
        movie::{Movie, Slice},
    },
    segment::{Crc32c, Index, RecordingId},
    vod::{
        movie::{Assembly, Want},
        span::{Found, Span},
    },
};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::range::Wanted;
use super::{Entry, Shared, vod::Vod};
use crate::{Error, ErrorKind, Result, StreamName, store::SegmentStore};

/// Bytes of one piece of a body at most.
const PIECE_BYTES: u64 = 1 << 20;
/// Heads that are made at the same time: each reads as many small pieces as the recording has parts.
const MADE_AT_ONCE: usize = 2;
/// Heads that are remembered, and their bytes; the newest always is.
const REMEMBERED: usize = 16;
const REMEMBERED_BYTES: usize = 32 << 20;

/// A request for `/vod/<recording>.mp4`, or wherever the embedder mounts it.
#[derive(Clone, Debug)]
pub struct DownloadRequest {
    /// The recording's name.
    pub recording: String,
    /// The query without its question mark: a viewer's key; `from` and `to`, as [`Span`] reads them.
    pub query: String,
    /// The header `Range`, if there is one.
    pub range: Option<String>,
    /// The header `If-Range`, if there is one.
    pub if_range: Option<String>,
    /// Where the viewer is.
    pub remote: SocketAddr,
}

/// An MP4 file, or a range of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Download {
    /// HTTP status: 200; 206 for a range; 416 for one that the file does not have.
    pub status: u16,
    /// ETag: another one whenever the file is another.
    pub etag: String,
    /// A name for the file: `live-cam-1763800000123-1a2b3c4d.mp4`.
    pub file_name: String,
    /// Bytes of the whole file.
    pub file_bytes: u64,
    /// Which of them the body has.
    pub range: Range<u64>,
    /// The body.
    pub body: DownloadBody,
}

/// Bytes of an MP4 file, to be read piece by piece.
pub struct DownloadBody {
    shared: Arc<Shared>,
    movie: Arc<Assembled>,
    /// What is left.
    slices: VecDeque<Slice>,
}

impl fmt::Debug for DownloadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DownloadBody").field("slices", &self.slices.len()).finish_non_exhaustive()
    }
}

/// A part of a recording that plays at once: see [`crate::Engine::clip`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Clip {
    /// The recording that it is of.
    pub recording: String,
    /// Its stream.
    pub stream: StreamName,
    /// How long it is, in milliseconds.
    pub duration_ms: u64,
    /// What makes it of the recording: the query of `index.m3u8`, which shows whole segments and begins at the frame, and of the
    /// MP4, which begins and ends at the frame.
    pub query: String,
}

/// A movie, and where its media is.
struct Assembled {
    movie: Movie,
    /// The keys of its sources.
    keys: Vec<String>,
    etag: String,
}

/// What a movie is of: a recording, the numbers of the first and last segment that it had, and which part of them.
type Key = (RecordingId, (u32, u32), Span);

/// The movies that were made.
pub(super) struct Movies {
    /// In the order of their last use.
    remembered: Mutex<Vec<(Key, Arc<Assembled>)>>,
    making: Semaphore,
}

impl Default for Movies {
    fn default() -> Self {
        Self { remembered: Mutex::default(), making: Semaphore::new(MADE_AT_ONCE) }
    }
}

impl Movies {
    fn find(&self, key: &Key) -> Option<Arc<Assembled>> {
        let mut remembered = self.remembered.lock();
        let at = remembered.iter().position(|(known, _)| known == key)?;
        let found = remembered.remove(at);
        let movie = Arc::clone(&found.1);
        remembered.push(found);
        Some(movie)
    }

    fn remember(&self, key: Key, movie: &Arc<Assembled>) {
        let mut remembered = self.remembered.lock();
        remembered.push((key, Arc::clone(movie)));
        let bytes = |all: &[(Key, Arc<Assembled>)]| -> usize {
            all.iter().map(|(_, movie)| movie.movie.head().len()).sum()
        };
        while remembered.len() > 1 && (remembered.len() > REMEMBERED || bytes(&remembered) > REMEMBERED_BYTES)
        {
            remembered.remove(0);
        }
    }
}

impl Vod {
    /// A recording, or a part of it, as a progressive MP4 file. One that goes on has what is complete by now.
    ///
    /// # Errors
    /// `NotFound`; `InvalidArgument` for a `from` or `to` that is none; those of the authoriser; `Malformed` when files of the
    /// recording are damaged; `Io`.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time.
    pub async fn download(&self, request: DownloadRequest) -> Result<Download> {
        let (shared, entry) = self.recordings.entry(&request.recording)?;
        self.may_play(&entry, &request.query, request.remote).await?;
        let span = span_of(&request.query)?;
        let movie = shared.movie(&entry, span).await?;
        let file_bytes = movie.movie.len();
        let same = request.if_range.is_none_or(|etag| etag == movie.etag);
        let wanted =
            request.range.filter(|_| same).map_or(Wanted::All, |range| Wanted::parse(&range, file_bytes));
        let (status, range) = match wanted {
            Wanted::All => (200, 0..file_bytes),
            Wanted::Part(range) => (206, range),
            Wanted::Nothing => (416, 0..0),
        };
        let slices = movie.movie.slices(range.clone()).collect();
        Ok(Download {
            status,
            etag: movie.etag.clone(),
            file_name: format!("{}-{}.mp4", entry.stream.as_str().replace('/', "-"), entry.id),
            file_bytes,
            range,
            body: DownloadBody { shared: Arc::clone(shared), movie, slices },
        })
    }
}

/// What a query says of a span.
pub(super) fn span_of(query: &str) -> Result<Span> {
    Span::of_query(query).map_err(|error| Error::new(ErrorKind::InvalidArgument, error.to_string()))
}

/// Where a span lies in an index. Good for as long as that is held: retention takes segments away.
pub(super) fn found_in(index: &Index, span: Span) -> Result<Found> {
    span.find(index).map_err(|error| Error::new(ErrorKind::NotFound, error.to_string()))
}

fn not_yet() -> Error {
    Error::new(ErrorKind::NotFound, "the recording has no segment yet")
}

fn damaged(error: mp4::Error) -> Error {
    Error::new(ErrorKind::Malformed, "a file of the recording is damaged").with_source(error)
}

impl Shared {
    /// The clip of `span`, with its moments as they are now.
    pub(super) async fn clip(&self, entry: &Arc<Entry>, span: Span) -> Result<Clip> {
        self.load(entry).await?;
        let state = entry.state.lock();
        let index = state.index.as_ref().ok_or_else(not_yet)?;
        let (found, segments) = (found_in(index, span)?, &index.segments);
        let (from, to) = (found.from, found.to);
        let whole: u64 = segments[from.0..to.0].iter().map(|segment| segment.duration_ns).sum();
        // By the wall clock, since the recording may lose its beginning.
        let at = |(at, offset_ns): (usize, u64)| {
            let ns = segments[at].name.starts_at_unix_ms.saturating_mul(1_000_000) + offset_ns;
            format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
        };
        Ok(Clip {
            recording: entry.id.to_string(),
            stream: entry.stream.clone(),
            duration_ms: (whole + to.1).saturating_sub(from.1) / 1_000_000,
            query: format!("from={}&to={}", at(from), at(to)),
        })
    }

    async fn movie(&self, entry: &Arc<Entry>, span: Span) -> Result<Arc<Assembled>> {
        self.load(entry).await?;
        let numbers = {
            let state = entry.state.lock();
            let segments = &state.index.as_ref().ok_or_else(not_yet)?.segments;
            let (first, last) = segments.first().zip(segments.last()).ok_or_else(not_yet)?;
            (first.name.sequence, last.name.sequence)
        };
        let key = (entry.id, numbers, span);
        if let Some(movie) = self.movies.find(&key) {
            return Ok(movie);
        }
        let closed = |_| Error::new(ErrorKind::Closed, "the engine stopped");
        let _turn = self.movies.making.acquire().await.map_err(closed)?;
        // Somebody else may have wanted the same.
        if let Some(movie) = self.movies.find(&key) {
            return Ok(movie);
        }
        let assembly = {
            let state = entry.state.lock();
            let index = state.index.as_ref().ok_or_else(not_yet)?;
            Assembly::new(index, &found_in(index, span)?).map_err(damaged)?
        };
        let movie = Arc::new(self.assemble(assembly, &entry.rendition()).await?);
        self.movies.remember(key, &movie);
        Ok(movie)
    }

    async fn assemble(&self, mut assembly: Assembly, rendition: &str) -> Result<Assembled> {
        while let Some(Want { file, range }) = assembly.wants() {
            let range = range.map(|(start, end)| start..end);
            let bytes = self.disk.get(&format!("{rendition}/{file}"), range).await?;
            assembly.take(&bytes).map_err(damaged)?;
        }
        let keys = assembly.files().iter().map(|file| format!("{rendition}/{file}")).collect();
        let movie = assembly.finish().map_err(damaged)?;
        let mut checksum = Crc32c::default();
        checksum.update(movie.head());
        let etag = format!("\"{:08x}-{:x}\"", checksum.value(), movie.len());
        Ok(Assembled { movie, keys, etag })
    }
}

impl DownloadBody {
    /// The next piece, of at most a mebibyte; `None` at the end.
    ///
    /// # Errors
    /// `NotFound` when the recording was deleted meanwhile; `Malformed` when a file of it is shorter than it was; `Io`.
    ///
    /// # Cancel safety
    /// A piece may be lost when the future is dropped: read on only after it was ready.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(slice) = self.slices.pop_front() else { return Ok(None) };
        let Slice::Source { source, range } = slice else {
            let Slice::Head(bytes) = slice else { return Ok(None) };
            return Ok(Some(bytes));
        };
        let piece = range.start..range.end.min(range.start + PIECE_BYTES);
        if piece.end < range.end {
            self.slices.push_front(Slice::Source { source, range: piece.end..range.end });
        }
        let missing = || Error::new(ErrorKind::Malformed, "a segment is shorter than it was");
        let key = self.movie.keys.get(source as usize).ok_or_else(missing)?;
        let bytes = self.shared.disk.get(key, Some(piece.clone())).await?;
        if bytes.len() as u64 != piece.end - piece.start {
            return Err(missing());
        }
        Ok(Some(bytes))
    }
}
