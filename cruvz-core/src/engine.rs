//! The façade: an engine that is built, runs, and is stopped.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use cruvz_media::Tracks;
use tokio::net::TcpListener;

use crate::{
    Authorizer, EngineConfig, Error, ErrorKind, Events, FilePlayback, FileSource, LiveStream, Protocol,
    Publisher, Result, Role, SessionId, SessionInfo, Span, StreamName, Subscriber,
    analytics::{event::EventSink, totals::Totals},
    egress::{self, fanout::Fanout, live::Live},
    hub::{registry::Hub, stream::StreamInfo},
    ingest::{self, file::OpenFile, tcp::TlsConfig},
    package::{
        hls::Hls,
        record::{RecordPolicy, RecordingInfo, Recordings, download::Clip, vod::Vod},
    },
    protocol::{rtmp, srt, udp},
    runtime::{
        clock::Clock,
        context::Context,
        remote::{self, Job, Remote},
        shutdown::{Stop, Stopped},
        socket,
        srt::Srt,
        udp::UdpSocket,
        webrtc::{Exchange, WebRtc},
    },
    session::{access::PublishFromLoopback, address::Pace, gate::Gate, registry::Sessions},
};

/// How often draining looks whether the publishers have left.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// How long recordings get to be completed when the engine stops.
const RECORDING_PATIENCE: Duration = Duration::from_secs(5);

/// A running engine. Clones are handles to the same one; when the last is dropped, the engine stops.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    context: Context,
    hls: Hls,
    webrtc: WebRtc,
    recordings: Recordings,
    stop: Stop,
    listening: Vec<(Protocol, SocketAddr)>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("listening", &self.0.listening).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.context.gate.drain();
        self.stop.stop();
        self.context.hub.end_all("engine stopped");
    }
}

impl Engine {
    /// An engine to be configured and started.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cruvz_core::Result<()> {
    /// let engine = cruvz_core::Engine::builder().rtmp("127.0.0.1:0").start().await?;
    /// println!("publish to rtmp://{}/live/cam", engine.local_addr(cruvz_core::Protocol::Rtmp).unwrap());
    /// engine.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Where the listener of `protocol` is bound, if there is one.
    pub fn local_addr(&self, protocol: Protocol) -> Option<SocketAddr> {
        self.0.listening.iter().find(|(listening, _)| *listening == protocol).map(|(_, addr)| *addr)
    }

    /// Publishes from code: a handle that frames are written to.
    ///
    /// ```
    /// # use cruvz_core::{Engine, Tracks};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cruvz_core::Result<()> {
    /// let engine = Engine::builder().start().await?;
    /// let publisher = engine.publish("live/cam".parse()?, Tracks::empty()).await?;
    /// assert_eq!(engine.streams().len(), 1);
    /// # drop(publisher); Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `AlreadyExists` when the stream has a publisher and the policy is to refuse; `LimitExceeded`; `Unavailable` while draining.
    pub async fn publish(&self, name: StreamName, tracks: Tracks) -> Result<Publisher> {
        self.publish_as(Protocol::Api, &name, tracks)
    }

    /// Plays a media file into a stream, as if it were live.
    ///
    /// ```no_run
    /// # async fn run(engine: cruvz_core::Engine) -> cruvz_core::Result<()> {
    /// use cruvz_core::FileSource;
    ///
    /// let mut demo = engine.publish_file("live/demo".parse()?, FileSource::new("clip.mp4").repeat()).await?;
    /// demo.wait().await; // until somebody ends it
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `NotFound` and `Io` when the file cannot be opened; `Unsupported` for one that is neither MP4 nor FLV, or whose
    /// codecs are not known; `Malformed` for a broken one; and as [`Self::publish`].
    pub async fn publish_file(&self, name: StreamName, source: FileSource) -> Result<FilePlayback> {
        let context = &self.0.context;
        let file = OpenFile::open(context, source).await?;
        let publisher = self.publish_as(Protocol::File, &name, file.tracks().clone())?;
        Ok(file.play(context, publisher))
    }

    pub(crate) fn publish_as(
        &self,
        protocol: Protocol,
        name: &StreamName,
        tracks: Tracks,
    ) -> Result<Publisher> {
        let context = &self.0.context;
        if context.gate.is_draining() {
            return Err(Error::new(ErrorKind::Unavailable, "the engine is shutting down"));
        }
        let session = context.gate.sessions.open(name, protocol, Role::Publish, None)?;
        context.hub.publish(tracks, session)
    }

    /// Reads a stream, from its newest keyframe on. Waits for its publisher's first keyframe (or first sound, without
    /// video) as long as [`EngineConfig::subscribe_timeout_ms`] says: whoever writes and reads must do both at once.
    ///
    /// # Errors
    /// `NotFound` when nobody published in time, or nothing that can be started from; `Closed` when the stream ended meanwhile; `LimitExceeded`.
    ///
    /// # Cancel safety
    /// Dropping the future forgets the wish.
    pub async fn subscribe(&self, name: StreamName) -> Result<Subscriber> {
        let context = &self.0.context;
        let session = context.gate.sessions.open(&name, Protocol::Api, Role::Play, None)?;
        let timeout = Duration::from_millis(context.config.subscribe_timeout_ms);
        context.hub.subscribe(&name, timeout, Some(session)).await
    }

    /// The stream of that name, if it is live, in its grace, or awaited by a viewer.
    pub fn stream(&self, name: &StreamName) -> Option<LiveStream> {
        self.0.context.hub.get(name)
    }

    /// Every stream, by name.
    pub fn streams(&self) -> Vec<LiveStream> {
        self.0.context.hub.list()
    }

    /// What every stream is and how it does, by name.
    pub fn stream_infos(&self) -> Vec<StreamInfo> {
        self.streams().iter().map(LiveStream::info).collect()
    }

    /// How many viewers a stream has.
    pub fn viewers(&self, name: &StreamName) -> usize {
        self.0.context.gate.sessions.viewers(name)
    }

    /// Every open session, oldest first.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.0.context.gate.sessions.list()
    }

    /// Ends a session; its peer is told `reason` as far as its protocol can. `false` when there is none of that id.
    pub fn end_session(&self, id: SessionId, reason: &str) -> bool {
        self.0.context.gate.sessions.end(id, reason)
    }

    /// What happens from now on.
    ///
    /// ```
    /// # use cruvz_core::{Engine, Event, Tracks};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cruvz_core::Result<()> {
    /// let engine = Engine::builder().start().await?;
    /// let mut events = engine.events();
    /// let _publisher = engine.publish("live/cam".parse()?, Tracks::empty()).await?;
    /// assert!(matches!(events.next().await, Some(Event::SessionOpened { .. })));
    /// # Ok(()) }
    /// ```
    pub fn events(&self) -> Events {
        self.0.context.events.subscribe()
    }

    /// Counters over the life of the engine.
    pub fn totals(&self) -> Arc<Totals> {
        Arc::clone(&self.0.context.totals)
    }

    /// The configuration it was started with.
    pub fn config(&self) -> &EngineConfig {
        &self.0.context.config
    }

    /// Sends a stream to another server, `rtmp://`, `rtmps://` or `srt://`, whenever it is live, again and again until it is stopped.
    /// Nothing that happens there touches the source.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cruvz_core::Result<()> {
    /// # let engine = cruvz_core::Engine::builder().start().await?;
    /// let push = engine.push("live/cam".parse()?, "rtmp://127.0.0.1/live2/secret")?;
    /// println!("{} {:?}", push.target(), push.state());
    /// push.stop();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that is none of RTMP or SRT.
    pub fn push(&self, name: StreamName, url: &str) -> Result<Remote> {
        let (context, role) = (&self.0.context, Role::Push);
        Ok(match RemoteUrl::parse(url)? {
            RemoteUrl::Rtmp(url) => Job::start(context, name, url, role, egress::push::rtmp::attempt),
            RemoteUrl::Srt(url) => Job::start(context, name, url, role, egress::push::srt::attempt),
            RemoteUrl::Udp(_) => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    "nothing is sent over bare UDP, only taken in",
                ));
            }
        })
    }

    /// Brings a stream of another server here, `rtmp://`, `rtmps://` or `srt://`, again and again until it is stopped. With
    /// `srt://:9000?mode=listener` it waits for somebody to call, with `udp://0.0.0.0:5000` for MPEG-TS in datagrams (see
    /// [`udp::Url`]).
    ///
    /// # Errors
    /// `InvalidArgument` for a URL that is none of RTMP, SRT or UDP.
    pub fn pull(&self, name: StreamName, url: &str) -> Result<Remote> {
        let (context, role) = (&self.0.context, Role::Pull);
        Ok(match RemoteUrl::parse(url)? {
            RemoteUrl::Rtmp(url) => Job::start(context, name, url, role, ingest::pull::rtmp::attempt),
            RemoteUrl::Srt(url) => Job::start(context, name, url, role, ingest::pull::srt::attempt),
            RemoteUrl::Udp(url) => Job::start(context, name, url, role, ingest::pull::udp::attempt),
        })
    }

    /// Records a stream, from its newest keyframe on, until it ends or [`Self::stop_recording`]. Waits for its publisher as
    /// [`Self::subscribe`] does. The publisher may go away and come back within its grace: that is a gap, not an end.
    ///
    /// ```
    /// # use cruvz_core::{Engine, EngineConfig, RecordPolicy};
    /// # async fn run(mut config: EngineConfig) -> cruvz_core::Result<()> {
    /// config.record.folder = "recordings".into();
    /// let engine = Engine::builder().rtmp(":1935").config(config).start().await?;
    /// let recording = engine.record("live/cam".parse()?, RecordPolicy::default()).await?;
    /// println!("/vod/{}/index.m3u8", recording.id);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` when no folder is configured; `AlreadyExists` when the stream is being recorded; `NotFound` when nobody published in
    /// time; `LimitExceeded`.
    pub async fn record(&self, name: StreamName, policy: RecordPolicy) -> Result<RecordingInfo> {
        self.0.recordings.record(&name, policy).await
    }

    /// Every recording, oldest first, those included that go on.
    pub fn recordings(&self) -> Vec<RecordingInfo> {
        self.0.recordings.list()
    }

    /// The recording of that name.
    pub fn recording(&self, id: &str) -> Option<RecordingInfo> {
        self.0.recordings.get(id)
    }

    /// Ends a recording, and waits until it is whole. One that has ended stays as it is.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn stop_recording(&self, id: &str) -> Result<RecordingInfo> {
        self.0.recordings.stop(id, "stopped").await
    }

    /// Removes a recording for good; one that goes on is stopped first.
    ///
    /// # Errors
    /// `NotFound`; `Io` when it cannot be removed.
    pub async fn delete_recording(&self, id: &str) -> Result<()> {
        self.0.recordings.delete(id).await
    }

    /// A part of a recording, as a view of it that plays at once: nothing is copied. Of a recording that goes on, what is complete by now.
    ///
    /// ```no_run
    /// # async fn run(engine: cruvz_core::Engine, recording: &str) -> cruvz_core::Result<()> {
    /// use cruvz_core::{Moment, Span};
    ///
    /// let last_half_minute = Span { from: Some(Moment::BeforeEnd(30_000_000_000)), to: None };
    /// let clip = engine.clip(recording, last_half_minute).await?;
    /// println!("/vod/{recording}/index.m3u8?{} /vod/{recording}.mp4?{}", clip.query, clip.query);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `NotFound` when there is no such recording, or nothing in that time; `Io`.
    pub async fn clip(&self, recording: &str, span: Span) -> Result<Clip> {
        self.0.recordings.clip(recording, span).await
    }

    /// Recordings as HLS and MP4, for any HTTP framework to mount.
    pub fn vod(&self) -> Vod {
        Vod::new(self.0.context.clone(), self.0.recordings.clone())
    }

    /// FLV over HTTP and WebSocket, and MPEG-TS over HTTP, for any HTTP framework to mount.
    pub fn live(&self) -> Live {
        Live::new(self.0.context.clone())
    }

    /// HLS and LL-HLS, for any HTTP framework to mount.
    pub fn hls(&self) -> Hls {
        self.0.hls.clone()
    }

    /// WHIP and WHEP, for any HTTP framework to mount.
    pub fn webrtc(&self) -> WebRtc {
        self.0.webrtc.clone()
    }

    /// Whether the engine takes nobody in any more.
    pub fn is_draining(&self) -> bool {
        self.0.context.gate.is_draining()
    }

    /// Waits until the engine is shut down.
    pub async fn run(&self) {
        let mut stopped = self.0.context.stopped.clone();
        stopped.wait().await;
    }

    /// Takes nobody in any more, waits until the publishers have left or `deadline` has passed, and shuts down.
    pub async fn drain(&self, deadline: Duration) {
        let context = &self.0.context;
        context.gate.drain();
        let until = context.clock.now() + deadline;
        let publishing = |session: &SessionInfo| session.role == Role::Publish && session.remote.is_some();
        while context.clock.now() < until && context.gate.sessions.list().iter().any(publishing) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        self.shutdown().await;
    }

    /// Ends every stream and session, tells peers so, and stops listening.
    pub async fn shutdown(&self) {
        let context = &self.0.context;
        context.gate.drain();
        context.hub.end_all("server is shutting down");
        for role in [Role::Play, Role::Publish, Role::Pull, Role::Push] {
            context.gate.sessions.end_all(role, "server is shutting down");
        }
        // Peers get a moment to be told; whoever does not listen is cut. Viewers of HLS learn it from the playlist.
        let patience = context.clock.now() + Duration::from_secs(1);
        let connected = |session: &SessionInfo| session.protocol != Protocol::Hls;
        while context.clock.now() < patience && context.gate.sessions.list().iter().any(connected) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.0.recordings.finish(RECORDING_PATIENCE).await;
        self.0.stop.stop();
    }

    #[cfg(test)]
    pub(crate) fn context(&self) -> &Context {
        &self.0.context
    }
}

/// An engine in the making. Each protocol is one line; leave it out and it is not there.
pub struct EngineBuilder {
    config: EngineConfig,
    authorizer: Arc<dyn Authorizer>,
    rtmp: Option<String>,
    rtmps: Option<(String, TlsConfig)>,
    srt: Option<String>,
    webrtc: Option<String>,
    trust_pem: Vec<u8>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            config: EngineConfig::default(),
            authorizer: Arc::new(PublishFromLoopback),
            rtmp: None,
            rtmps: None,
            srt: None,
            webrtc: None,
            trust_pem: Vec::new(),
        }
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("config", &self.config)
            .field("rtmp", &self.rtmp)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Configures everything that has no line of its own.
    #[must_use]
    pub fn config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// Decides who may publish and play. Default: everybody may play, only this machine may publish.
    #[must_use]
    pub fn authorize(mut self, authorizer: impl Authorizer) -> Self {
        self.authorizer = Arc::new(authorizer);
        self
    }

    /// Listens for RTMP on `addr`, as in `0.0.0.0:1935`. Port 0 takes any free port: see [`Engine::local_addr`].
    #[must_use]
    pub fn rtmp(mut self, addr: impl Into<String>) -> Self {
        self.rtmp = Some(addr.into());
        self
    }

    /// Listens for RTMP over TLS on `addr`.
    #[must_use]
    pub fn rtmps(mut self, addr: impl Into<String>, tls: TlsConfig) -> Self {
        self.rtmps = Some((addr.into(), tls));
        self
    }

    /// Listens for SRT on `addr`, over UDP, as in `0.0.0.0:8890`. How it behaves is in [`EngineConfig::srt`].
    #[must_use]
    pub fn srt(mut self, addr: impl Into<String>) -> Self {
        self.srt = Some(addr.into());
        self
    }

    /// Takes and sends the media of WebRTC on `addr`, over UDP and TCP, as in `0.0.0.0:8189`. Sessions are agreed on through
    /// [`Engine::webrtc`]; how they behave is in [`EngineConfig::webrtc`].
    #[must_use]
    pub fn webrtc(mut self, addr: impl Into<String>) -> Self {
        self.webrtc = Some(addr.into());
        self
    }

    /// Believes servers with these certificates (PEM) too when pushing or pulling over TLS, beside the usual authorities.
    #[must_use]
    pub fn trust(mut self, certificates_pem: impl Into<Vec<u8>>) -> Self {
        self.trust_pem = certificates_pem.into();
        self
    }

    /// Starts the engine on the current tokio runtime.
    ///
    /// # Errors
    /// `InvalidArgument` for an address that is none; `Io` when it cannot be listened on.
    pub async fn start(self) -> Result<Engine> {
        let (stop, stopped) = Stop::new();
        let context = Context::start(self.config, self.authorizer, remote::trust(&self.trust_pem)?, stopped);
        let hls = Hls::new(context.clone());
        let recordings = Recordings::start(&context, &hls).await?;
        let config = Arc::new(egress::rtmp::server_config());
        let acceptor = self.rtmps.as_ref().map(|(_, tls)| tls.acceptor()).transpose()?;
        let plain = self.rtmp.map(|addr| (Protocol::Rtmp, addr, None));
        let secure = self.rtmps.map(|(addr, _)| (Protocol::Rtmps, addr, acceptor));
        let mut listening = Vec::new();
        for (protocol, addr, acceptor) in plain.into_iter().chain(secure) {
            let listener = bind(protocol, &addr)?;
            listening.push((protocol, listener.local_addr()?));
            context.runtime.spawn(ingest::rtmp::serve(
                context.clone(),
                listener,
                Arc::clone(&config),
                acceptor,
            ));
        }
        if let Some(addr) = self.srt {
            let sockets = bind_srt(&addr, context.config.srt.shards)?;
            listening.extend(sockets.first().map(|socket| (Protocol::Srt, socket.local_addr())));
            ingest::srt::serve(&context, sockets)?;
        }
        let exchange = match self.webrtc {
            Some(addr) => Some(Exchange::start(&context, resolve(&addr)?).await?),
            None => None,
        };
        listening.extend(exchange.as_ref().map(|(_, addr)| (Protocol::WebRtc, *addr)));
        let webrtc = WebRtc::new(exchange.map(|(exchange, _)| exchange));
        Ok(Engine(Arc::new(Inner { hls, webrtc, recordings, context, stop, listening })))
    }
}

impl Context {
    fn start(
        config: EngineConfig,
        authorizer: Arc<dyn Authorizer>,
        trust: Arc<tokio_rustls::rustls::ClientConfig>,
        stopped: Stopped,
    ) -> Self {
        let clock = Clock::start();
        let runtime = tokio::runtime::Handle::current();
        let events = EventSink::new(config.event_capacity);
        let totals = Arc::new(Totals::default());
        let (max, addresses) = (config.max_sessions, config.addresses.clone());
        let sessions = Sessions::new(clock, events.clone(), Arc::clone(&totals), max, addresses.clone());
        let pace = Pace::new(addresses);
        let deadline = Duration::from_millis(config.authorize_timeout_ms);
        let gate =
            Gate::new(sessions, pace, Arc::clone(&totals), events.clone(), clock, authorizer, deadline);
        let hub = Hub::new(clock, config.hub.clone(), config.egress.clone(), events.clone(), runtime.clone());
        let fanout = Fanout::new(clock, config.egress.clone(), events.clone(), runtime.clone());
        let srt = Srt::new(&config);
        let (config, gate) = (Arc::new(config), Arc::new(gate));
        Self { clock, config, events, totals, gate, hub, fanout, srt, runtime, trust, stopped }
    }
}

/// Where a stream is pushed to or pulled from.
enum RemoteUrl {
    Rtmp(rtmp::Url),
    Srt(srt::Url),
    Udp(udp::Url),
}

impl RemoteUrl {
    fn parse(url: &str) -> Result<Self> {
        let no = |what| Error::new(ErrorKind::InvalidArgument, what);
        let scheme = url.trim_start().split(':').next().unwrap_or_default().to_ascii_lowercase();
        match &scheme[..] {
            "srt" => url.parse().map(Self::Srt).map_err(|error| no("no SRT URL").with_source(error)),
            "udp" => url.parse().map(Self::Udp).map_err(|error| no("no UDP URL").with_source(error)),
            _ => url.parse().map(Self::Rtmp).map_err(|error| no("no RTMP URL").with_source(error)),
        }
    }
}

fn bind(protocol: Protocol, addr: &str) -> Result<TcpListener> {
    let addr = resolve(addr)?;
    socket::listen(addr).map_err(|error| {
        Error::new(ErrorKind::Io, format!("cannot listen for {protocol} on {addr}")).with_source(error)
    })
}

/// The sockets of one SRT listener: `shards` of them, or one per core for 0.
fn bind_srt(addr: &str, shards: usize) -> Result<Vec<UdpSocket>> {
    let addr = resolve(addr)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = if shards == 0 { cores } else { shards };
    UdpSocket::bind_shards(addr, shards).map_err(|error| {
        Error::new(ErrorKind::Io, format!("cannot listen for SRT on {addr}")).with_source(error)
    })
}

fn resolve(addr: &str) -> Result<SocketAddr> {
    let bad = || {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{addr:?} is no address to listen on, as in 0.0.0.0:1935"),
        )
    };
    // `:1935` means every interface, as in most servers.
    let full = if addr.starts_with(':') { format!("[::]{addr}") } else { addr.to_owned() };
    full.to_socket_addrs().ok().and_then(|mut addrs| addrs.next()).ok_or_else(bad)
}
