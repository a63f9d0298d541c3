//! HLS and LL-HLS as plain values: a request comes in, a response goes out, any HTTP framework carries them.
//!
//! A stream is packaged while somebody asks for it: the first request begins at the oldest keyframe the log still has, and a
//! while after the last one packaging stops, unless a recorder keeps it.

mod keep;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use cruvz_media::hls::{Packager, Reply, Request, Response, Wait};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    AccessRequest, Action, Error, ErrorKind, Protocol, StreamName, Subscriber,
    hub::view::TrackSet,
    runtime::{clock::Clock, context::Context},
    session::{OpenSession, address::WaitingRoom, gate::Refusal},
};

pub(crate) use self::keep::Kept;

/// How often viewers that have gone are looked for.
const TICK: Duration = Duration::from_secs(1);
/// The longest query that is accepted, in bytes.
const MAX_QUERY_BYTES: usize = 2048;

/// A request below `/hls/<app>/<name>/` or wherever the embedder mounts it.
#[derive(Clone, Debug)]
pub struct HlsRequest {
    /// The stream.
    pub stream: StreamName,
    /// The path below the stream's folder: `index.m3u8`, or what a playlist named.
    pub path: String,
    /// The query without its question mark.
    pub query: String,
    /// Where the viewer is. Viewers are told apart by address and query, as HLS has no connection to go by.
    pub remote: SocketAddr,
}

/// The answer to an [`HlsRequest`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HlsResponse {
    /// HTTP status.
    pub status: u16,
    /// Content-Type.
    pub content_type: &'static str,
    /// Cache-Control.
    pub cache_control: &'static str,
    /// Retry-After in seconds, where the status asks for it.
    pub retry_after_s: Option<u32>,
    /// The body, in slices to be sent one after the other without copying.
    pub body: Vec<Bytes>,
}

/// HLS out of an engine: see [`crate::Engine::hls`].
#[derive(Clone)]
pub struct Hls(Arc<Shared>);

struct Shared {
    context: Context,
    streams: Mutex<HashMap<StreamName, Arc<Packaged>>>,
    runs: AtomicU64,
    waiting: Arc<WaitingRoom>,
}

impl fmt::Debug for Hls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hls")
    }
}

/// A stream that is being packaged, or was until a moment ago.
struct Packaged {
    packager: Mutex<Packager>,
    changed: Notify,
    /// Whether the stream has ended: a new one of that name is another run.
    ended: AtomicBool,
    /// When the newest request came, in milliseconds of the clock.
    asked_ms: AtomicU64,
    viewers: Mutex<BTreeMap<(IpAddr, String), Viewer>>,
    /// Recorders that read it. Changed only while the list of streams is locked.
    keepers: AtomicUsize,
}

struct Viewer {
    session: OpenSession,
    seen: Duration,
}

impl Hls {
    pub(crate) fn new(context: Context) -> Self {
        let waiting = WaitingRoom::new(context.config.addresses.clone());
        Self(Arc::new(Shared { context, streams: Mutex::default(), runs: AtomicU64::new(0), waiting }))
    }

    /// Answers a request, waiting where HLS says so: for a stream that has no publisher yet, for the first segments, for a part
    /// that was announced.
    ///
    /// # Cancel safety
    /// The future may be dropped at any time.
    pub async fn respond(&self, request: HlsRequest) -> HlsResponse {
        match self.answer(&request).await {
            Ok(response) => response,
            Err(error) => HlsResponse::refusal(&error),
        }
    }

    async fn answer(&self, request: &HlsRequest) -> Result<HlsResponse, Error> {
        check_query(&request.query).map_err(|error| self.refuse(request, "bad_query", error))?;
        let is_playlist = request.path.ends_with(".m3u8");
        let packaged = match self.0.current(&request.stream) {
            Some(packaged) => packaged,
            None if is_playlist => self.begin(request).await?,
            None => {
                return Err(Error::new(ErrorKind::NotFound, "there is nothing under this name (any more)"));
            }
        };
        let now = self.0.context.clock.now();
        packaged.asked_ms.store(now.as_millis() as u64, Relaxed);
        let own = own_query(&request.query);
        if is_playlist {
            self.see(&packaged, request, &own, now).await?;
        }
        let response = packaged.respond(request, &self.0.waiting).await;
        let response = response.map_err(|full| self.refuse(request, "waiting_limit", full))?;
        let mut response = HlsResponse::from(response);
        packaged.count(request.remote.ip(), &own, response.len());
        if request.path == "index.m3u8" && !own.is_empty() {
            response.body = vec![carry_on(&response.body.concat(), &own)];
        }
        Ok(response)
    }

    /// Counts and tells of a request that is answered with `error`.
    fn refuse(&self, request: &HlsRequest, reason: &'static str, error: Error) -> Error {
        self.0.context.gate.refused(Refusal {
            protocol: Protocol::Hls,
            remote: Some(request.remote),
            stream: Some(&request.stream),
            reason,
            detail: error.to_string(),
        });
        error
    }

    /// Starts packaging: the first viewer is authorised before anything is made for it.
    async fn begin(&self, request: &HlsRequest) -> Result<Arc<Packaged>, Error> {
        let context = &self.0.context;
        let mut session = self.admit(request).await?;
        let timeout = Duration::from_millis(context.config.subscribe_timeout_ms);
        let stream = context.hub.playable(&request.stream, timeout).await;
        let stream = stream.inspect_err(|error| context.gate.refused_session(&mut session, error))?;
        let mut subscriber = stream.view(TrackSet::HLS).cursor();
        subscriber.rewind();
        let packaged = self.0.start(&request.stream, subscriber, &mut self.0.streams.lock())?;
        packaged.admitted(request, session, context.clock.now());
        Ok(packaged)
    }

    async fn admit(&self, request: &HlsRequest) -> Result<OpenSession, Error> {
        let (stream, remote) = (request.stream.clone(), request.remote);
        let access = AccessRequest::new(Action::Play, stream, Protocol::Hls, remote, &request.query);
        self.0.context.gate.admit(access).await
    }

    /// Notes that a viewer is still there; one that was not seen before is authorised.
    async fn see(
        &self,
        packaged: &Packaged,
        request: &HlsRequest,
        own: &str,
        now: Duration,
    ) -> Result<(), Error> {
        if let Some(viewer) = packaged.viewers.lock().get_mut(&(request.remote.ip(), own.to_owned())) {
            if let Some(reason) = viewer.session.end_reason() {
                return Err(Error::new(ErrorKind::Forbidden, &*reason));
            }
            viewer.seen = now;
            return Ok(());
        }
        let session = self.admit(request).await?;
        packaged.admitted(request, session, now);
        Ok(())
    }
}

impl Shared {
    /// What is packaged under that name, unless it has ended and another stream of that name has begun.
    fn current(&self, name: &StreamName) -> Option<Arc<Packaged>> {
        let packaged = self.streams.lock().get(name).cloned()?;
        let replaced =
            packaged.ended.load(Relaxed) && self.context.hub.get(name).is_some_and(|live| live.is_playable());
        (!replaced).then_some(packaged)
    }

    /// Packages what `subscriber` reads, unless that is being done already.
    fn start(
        self: &Arc<Self>,
        name: &StreamName,
        subscriber: Subscriber,
        streams: &mut HashMap<StreamName, Arc<Packaged>>,
    ) -> Result<Arc<Packaged>, Error> {
        if let Some(packaged) = streams.get(name).filter(|packaged| !packaged.ended.load(Relaxed)) {
            return Ok(Arc::clone(packaged));
        }
        let context = &self.context;
        let run =
            format!("{:x}-{:x}", context.clock.unix_us(context.clock.now()), self.runs.fetch_add(1, Relaxed));
        let packager = Packager::new(context.config.hls.packager(run)).map_err(|error| {
            Error::new(ErrorKind::InvalidConfig, "the HLS settings cannot be used").with_source(error)
        })?;
        let packaged = Arc::new(Packaged {
            packager: Mutex::new(packager),
            changed: Notify::new(),
            ended: AtomicBool::new(false),
            asked_ms: AtomicU64::new(context.clock.now().as_millis() as u64),
            viewers: Mutex::default(),
            keepers: AtomicUsize::new(0),
        });
        streams.insert(name.clone(), Arc::clone(&packaged));
        context.runtime.spawn(Arc::clone(self).package(name.clone(), Arc::clone(&packaged), subscriber));
        Ok(packaged)
    }

    /// Takes a stream off the list, unless somebody wants it packaged.
    fn leave(&self, name: &StreamName, packaged: &Arc<Packaged>) -> bool {
        let mut streams = self.streams.lock();
        if packaged.keepers.load(Relaxed) > 0 {
            return false;
        }
        if streams.get(name).is_some_and(|listed| Arc::ptr_eq(listed, packaged)) {
            streams.remove(name);
        }
        true
    }

    /// Feeds the packager until the stream ends or nobody has asked for a while.
    async fn package(self: Arc<Self>, name: StreamName, packaged: Arc<Packaged>, mut subscriber: Subscriber) {
        let clock = self.context.clock;
        let idle = Duration::from_millis(self.context.config.hls.idle_ms);
        let mut tick = tokio::time::interval(TICK);
        let mut live = true;
        loop {
            tokio::select! {
                entry = subscriber.next_entry(), if live => match entry {
                    Some(entry) => packaged.write(&entry, &clock),
                    None => {
                        live = false;
                        packaged.end();
                    }
                },
                _ = tick.tick() => {
                    let now = clock.now();
                    packaged.forget_viewers(now.saturating_sub(idle));
                    let asked = Duration::from_millis(packaged.asked_ms.load(Relaxed));
                    if now.saturating_sub(asked) > idle && self.leave(&name, &packaged) {
                        break;
                    }
                }
            }
        }
    }
}

impl Packaged {
    fn write(&self, entry: &crate::hub::stream::Entry, clock: &Clock) {
        let version = {
            let mut packager = self.packager.lock();
            let before = packager.version();
            if entry.discontinuity {
                packager.discontinuity();
            }
            packager.write(&entry.tracks, &entry.frame, clock.unix_us(entry.arrived));
            packager.version() != before
        };
        if version {
            self.changed.notify_waiters();
        }
    }

    fn end(&self) {
        self.packager.lock().finish();
        self.ended.store(true, Relaxed);
        self.changed.notify_waiters();
    }

    /// Answers `request` as soon as its time has come.
    ///
    /// # Errors
    /// When too many requests of its address wait already.
    async fn respond(&self, request: &HlsRequest, waiting: &Arc<WaitingRoom>) -> Result<Response, Error> {
        let asked = Request { path: &request.path, query: &request.query, siblings: &[] };
        let mut seat_and_deadline = None;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let reply = self.packager.lock().respond(&asked);
            let Wait { longest, expired } = match reply {
                Reply::Ready(response) => return Ok(response),
                Reply::Wait(wait) => wait,
            };
            let (_, deadline) = match &mut seat_and_deadline {
                Some(waiting) => waiting,
                none => {
                    none.insert((waiting.enter(request.remote.ip())?, Box::pin(tokio::time::sleep(longest))))
                }
            };
            tokio::select! {
                () = changed => {}
                () = deadline => return Ok(expired),
            }
        }
    }

    fn admitted(&self, request: &HlsRequest, session: OpenSession, seen: Duration) {
        let key = (request.remote.ip(), own_query(&request.query));
        self.viewers.lock().entry(key).or_insert(Viewer { session, seen });
    }

    /// Counts what was sent to the viewer that asked: by address alone for media, whose URLs are the same for all.
    fn count(&self, ip: IpAddr, own: &str, bytes: usize) {
        let viewers = self.viewers.lock();
        let exact = viewers.get(&(ip, own.to_owned()));
        let viewer = exact.or_else(|| viewers.range((ip, String::new())..).next().map(|(_, viewer)| viewer));
        if let Some(viewer) = viewer {
            viewer.session.sent(bytes, 0);
        }
    }

    fn forget_viewers(&self, before: Duration) {
        let gone: Vec<_> = {
            let mut viewers = self.viewers.lock();
            viewers.extract_if(.., |_, viewer| viewer.seen < before).collect()
        };
        for (_, mut viewer) in gone {
            viewer.session.because("viewer stopped asking");
        }
    }
}

/// Whether `query` may stand in a playlist.
pub(crate) fn check_query(query: &str) -> Result<(), Error> {
    let clean = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    if query.len() <= MAX_QUERY_BYTES && query.bytes().all(clean) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, "this query cannot be carried on into a playlist"))
}

/// The query without what HLS itself put there.
fn own_query(query: &str) -> String {
    let own = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("_HLS_"));
    own.collect::<Vec<_>>().join("&")
}

impl HlsResponse {
    pub(crate) fn refusal(error: &Error) -> Self {
        let status = error.kind().http_status();
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            cache_control: "no-store",
            retry_after_s: matches!(status, 404 | 429 | 503).then_some(1),
            body: vec![Bytes::from(format!("{error}\n"))],
        }
    }

    fn len(&self) -> usize {
        self.body.iter().map(Bytes::len).sum()
    }
}

/// Lets a viewer's own query (its key) go on into the playlists that a Multivariant Playlist names.
pub(crate) fn carry_on(playlist: &[u8], own: &str) -> Bytes {
    let mut out = String::with_capacity(playlist.len() + own.len() + 1);
    for line in String::from_utf8_lossy(playlist).lines() {
        out.push_str(line);
        if !line.is_empty() && !line.starts_with('#') && !own.is_empty() {
            out.push(if line.contains('?') { '&' } else { '?' });
            out.push_str(own);
        }
        out.push('\n');
    }
    out.into()
}

impl From<Response> for HlsResponse {
    fn from(response: Response) -> Self {
        let Response { status, content_type, cache_control, retry_after_s, body } = response;
        Self { status, content_type, cache_control, retry_after_s, body }
    }
}
