//! A publisher and a viewer over SRT that must lose nothing, each behind a tap that knows its socket ids and can speak from
//! its address; and peers made by hand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use cruvz_core::{
    AccessRequest, Decision, Engine, EngineConfig, FileSource, Frame, Protocol, Remote, RemoteState, Role,
    SessionInfo, Subscriber, TrackKind,
    protocol::srt::{
        Caller, CallerConfig, Control, ControlPacket, Established, LinkConfig, Outcome, Packet, Random,
        Reject, SocketId,
    },
};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::live::{name, soon, until};

/// 20 frames of H.264 with B-frames at 25 fps and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");
/// Tests at once. One that measures the memory of the process takes all turns.
const TURNS: u32 = 4;
static TURN: Semaphore = Semaphore::const_new(TURNS as usize);

/// Long, so that a busy machine is no reason for a loss.
const LATENCY: &str = "&latency=1000";

/// Passes datagrams on between a peer and the server, and can say more to the server from the same address.
#[derive(Clone)]
pub struct Tap {
    pub addr: SocketAddr,
    back: Arc<tokio::net::UdpSocket>,
    /// The server's socket id for the peer.
    id: Arc<AtomicU32>,
}

impl Tap {
    pub async fn new(server: SocketAddr) -> Self {
        let front = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = Arc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
        back.connect(server).await.unwrap();
        let (addr, id) = (front.local_addr().unwrap(), Arc::new(AtomicU32::new(0)));
        let tap = Self { addr, back: Arc::clone(&back), id: Arc::clone(&id) };
        tokio::spawn(async move {
            let (mut forth, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
            let mut peer = None;
            loop {
                tokio::select! {
                    Ok((len, from)) = front.recv_from(&mut forth) => {
                        peer = Some(from);
                        if let Some(SocketId(to @ 1..)) = Packet::destination(&forth[..len]) {
                            id.store(to, Relaxed);
                        }
                        let _ = back.send(&forth[..len]).await;
                    }
                    Ok(len) = back.recv(&mut answer) => {
                        if let Some(peer) = peer {
                            let _ = front.send_to(&answer[..len], peer).await;
                        }
                    }
                    else => break,
                }
            }
        });
        tap
    }

    /// The server's socket id for the peer.
    pub fn id(&self) -> u32 {
        self.id.load(Relaxed)
    }

    /// Says something to the server from the peer's address.
    pub async fn say(&self, datagram: &[u8]) {
        self.back.send(datagram).await.unwrap();
    }
}

/// Who must not notice anything.
pub struct Bystanders {
    pub server: Engine,
    pub publisher: Tap,
    pub viewer: Tap,
    source: Engine,
    last: Engine,
    push: Remote,
    pull: Remote,
    frames: Arc<AtomicU64>,
    breaks: Arc<AtomicU64>,
    sessions: Vec<SessionInfo>,
    _turn: SemaphorePermit<'static>,
}

impl Bystanders {
    pub async fn new(change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self::with(change, allow, 1).await
    }

    /// For a test that measures the memory of the process.
    pub async fn measured(change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self::with(change, allow, TURNS).await
    }

    pub async fn authorized(
        change: impl FnOnce(&mut EngineConfig),
        authorizer: impl cruvz_core::Authorizer,
    ) -> Self {
        Self::with(change, authorizer, 1).await
    }

    async fn with(
        change: impl FnOnce(&mut EngineConfig),
        authorizer: impl cruvz_core::Authorizer,
        turns: u32,
    ) -> Self {
        let turn = TURN.acquire_many(turns).await.unwrap();
        let mut config = EngineConfig::default();
        // All share one socket and its task.
        config.srt.shards = 1;
        change(&mut config);
        let server = Engine::builder().config(config).srt("127.0.0.1:0").authorize(authorizer).start();
        let server = server.await.unwrap();
        let source = Engine::builder().start().await.unwrap();
        let last = Engine::builder().start().await.unwrap();
        source.publish_file(name("live/cam"), FileSource::new(CLIP).repeat()).await.unwrap();
        let addr = server.local_addr(Protocol::Srt).unwrap();
        let (publisher, viewer) = (Tap::new(addr).await, Tap::new(addr).await);
        let push = format!("srt://{}?streamid=publish:live/copy{LATENCY}", publisher.addr);
        let push = source.push(name("live/cam"), &push).unwrap();
        let pull = format!("srt://{}?streamid=read:live/copy{LATENCY}", viewer.addr);
        let pull = last.pull(name("live/back"), &pull).unwrap();
        let frames: Arc<AtomicU64> = Arc::default();
        let breaks: Arc<AtomicU64> = Arc::default();
        let mut original = source.subscribe(name("live/cam")).await.unwrap();
        let copy = last.subscribe(name("live/back")).await.unwrap();
        let clip = one_pass(&mut original).await;
        drop(original);
        tokio::spawn(watch(clip, copy, Arc::clone(&frames), Arc::clone(&breaks)));
        until(|| frames.load(Relaxed) > 10 && publisher.id() != 0 && viewer.id() != 0).await;
        let sessions = server.sessions();
        assert_eq!(sessions.len(), 2);
        Self { server, publisher, viewer, source, last, push, pull, frames, breaks, sessions, _turn: turn }
    }

    pub fn addr(&self) -> SocketAddr {
        self.server.local_addr(Protocol::Srt).unwrap()
    }

    /// Another publisher, of which nothing is expected.
    pub async fn victim(&self) -> (Tap, Remote) {
        let tap = Tap::new(self.addr()).await;
        let url = format!("srt://{}?streamid=publish:live/victim{LATENCY}", tap.addr);
        let push = self.source.push(name("live/cam"), &url).unwrap();
        until(|| tap.id() != 0).await;
        (tap, push)
    }

    /// Sees that nothing was lost since the beginning: what is said now still has to arrive.
    pub async fn judge(&self) {
        let seen = self.frames.load(Relaxed);
        // What was under way at the end of the attack comes a second later, and some more behind it.
        until(|| self.frames.load(Relaxed) >= seen + 50).await;
        assert_eq!(self.breaks.load(Relaxed), 0, "frames are missing or damaged");
        let running = |remote: &Remote| remote.state() == RemoteState::Running;
        assert!(running(&self.push) && running(&self.pull));
        let now = self.server.sessions();
        for before in &self.sessions {
            let session = now.iter().find(|session| session.id == before.id).expect("it goes on");
            let srt = session.srt.unwrap();
            assert_eq!((srt.dropped_packets, session.skips), (0, 0), "{session:?}");
            if session.role == Role::Publish {
                assert_eq!(session.mpegts.unwrap().continuity_errors, 0, "{session:?}");
            }
        }
    }

    /// Waits until only the bystanders are left, of sessions and of tasks.
    pub async fn alone(&self, tasks: usize) {
        until(|| self.server.sessions().len() == 2).await;
        until(|| alive_tasks() <= tasks).await;
    }
}

async fn allow(request: AccessRequest) -> Decision {
    request.allow()
}

pub fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The video frames of one pass of the clip.
async fn one_pass(subscriber: &mut Subscriber) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    loop {
        let frame = soon(next_picture(subscriber)).await.expect("the stream goes on");
        if frames.first().is_some_and(|first| first.payload == frame.payload) {
            return frames;
        }
        frames.push(frame);
    }
}

async fn next_picture(subscriber: &mut Subscriber) -> Option<Frame> {
    loop {
        let frame = subscriber.next().await?;
        let kind = subscriber.tracks().by_id(frame.track).map(cruvz_core::Track::kind);
        if kind == Some(TrackKind::Video) {
            return Some(frame);
        }
    }
}

/// Counts the frames of a copy of `clip`, and how often one is not the one behind the one before.
async fn watch(clip: Vec<Frame>, mut copy: Subscriber, frames: Arc<AtomicU64>, breaks: Arc<AtomicU64>) {
    let mut next = None;
    while let Some(frame) = next_picture(&mut copy).await {
        let place = clip.iter().position(|original| original.payload == frame.payload);
        let is_next = next.is_none() || place == next;
        breaks.fetch_add(u64::from(!is_next || place.is_none()), Relaxed);
        next = place.map(|place| (place + 1) % clip.len());
        frames.fetch_add(1, Relaxed);
    }
}

/// A socket from which anything may be said.
pub fn socket(addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(addr).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket
}

/// What has come to `socket` by now.
pub fn answers(socket: &UdpSocket) -> Vec<Vec<u8>> {
    socket.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let all =
        std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|len| buffer[..len].to_vec())).collect();
    socket.set_nonblocking(false).unwrap();
    all
}

/// A peer made by hand, after its handshake.
pub struct Peer {
    pub socket: UdpSocket,
    pub established: Established,
}

impl Peer {
    pub async fn connect(addr: SocketAddr, stream_id: &str) -> Result<Self, Reject> {
        Self::with(addr, stream_id, LinkConfig::default()).await
    }

    /// Connects on a thread of its own, as it waits.
    pub async fn with(addr: SocketAddr, stream_id: &str, link: LinkConfig) -> Result<Self, Reject> {
        let config = CallerConfig { link, stream_id: Some(stream_id.into()), ..CallerConfig::default() };
        tokio::task::spawn_blocking(move || Self::call(addr, config)).await.unwrap()
    }

    fn call(addr: SocketAddr, config: CallerConfig) -> Result<Self, Reject> {
        let socket = socket("127.0.0.1:0");
        let local = SocketId(socket.local_addr().unwrap().port().into());
        let random = Random::new([local.0 as u8; 32]);
        let mut caller = Caller::new(Duration::ZERO, config, addr, local, random);
        let mut buffer = vec![0; 1 << 16];
        // Virtual time: one step for each wait.
        for step in 0..60 {
            let now = step * Duration::from_millis(50);
            while let Some(datagram) = caller.poll_transmit(now) {
                socket.send_to(&datagram, addr).unwrap();
            }
            let outcome = match socket.recv(&mut buffer) {
                Ok(len) => match Packet::parse(Bytes::copy_from_slice(&buffer[..len])) {
                    Ok(Packet::Control(packet)) => caller.receive(now, &packet),
                    _ => None,
                },
                Err(_) => caller.handle_timeout(now),
            };
            match outcome {
                Some(Outcome::Established(established)) => {
                    return Ok(Self { socket, established: *established });
                }
                Some(Outcome::Rejected(reason)) => return Err(reason),
                None => {}
            }
        }
        Err(Reject::TIMEOUT)
    }

    pub fn say(&self, packet: &Packet) {
        self.socket.send_to(&packet.to_bytes(), self.established.remote).unwrap();
    }

    pub fn control(&self, body: Control) {
        self.say(&control(self.established.peer, body));
    }
}

pub fn control(destination: SocketId, body: Control) -> Packet {
    Packet::Control(ControlPacket { timestamp_us: 1_000_000, destination, body })
}
