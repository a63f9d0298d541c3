//! A running engine and peers on real sockets: a stage from code, a viewer that counts, and peers made by hand.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use cruvz_core::{
    Codec, CodecParams, Engine, EngineConfig, Event, Events, Format, Frame, Protocol, Publisher, StreamName,
    Timescale, Timestamp, Track, TrackId, Tracks, VideoFormat,
    protocol::rtmp::{ClientConfig, ClientConnection, ClientEvent, MediaMessage, Status, Url, client::Role},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

pub const KEYFRAME_EVERY: i64 = 25;
/// Stands before a frame's number, at its end.
const MARK: &[u8] = b"frame number ";

pub fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// What must come, in a time that only a broken engine needs.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
}

/// Looks until `done`.
pub async fn until(mut done: impl FnMut() -> bool) {
    soon(async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub async fn engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    change(&mut config);
    Engine::builder().config(config).rtmp("127.0.0.1:0").start().await.unwrap()
}

pub fn rtmp_addr(engine: &Engine) -> SocketAddr {
    engine.local_addr(Protocol::Rtmp).unwrap()
}

/// How many peers were refused for `reason`.
pub fn refusals(engine: &Engine, protocol: Protocol, reason: &str) -> u64 {
    let all = engine.totals().refusals();
    let of =
        |(by, why, count): &(&str, &str, u64)| (*by == protocol.name() && *why == reason).then_some(*count);
    all.iter().find_map(of).unwrap_or(0)
}

/// The next refusal: its reason and its words.
pub async fn next_refusal(events: &mut Events) -> (&'static str, String) {
    soon(async {
        loop {
            if let Event::Refused { reason, detail, .. } = events.next().await.expect("the engine runs") {
                return (reason, detail);
            }
        }
    })
    .await
}

/// Publishes numbered frames of 40 ms from code.
pub struct Stage {
    pub publisher: Publisher,
    pub written: i64,
    /// What stands before the mark in a frame.
    pub payload: Vec<u8>,
}

impl Stage {
    pub async fn new(engine: &Engine, stream: &str, frame_bytes: usize) -> Self {
        let params = CodecParams {
            codec: Codec::Vp8,
            config: Bytes::new(),
            format: Format::Video(VideoFormat { width: 640, height: 360, ..VideoFormat::default() }),
            rfc6381: "vp8".into(),
        };
        let tracks = Tracks::new(vec![Track { id: TrackId::VIDEO, timescale: Timescale::MILLIS, params }]);
        let publisher = engine.publish(name(stream), tracks).await.unwrap();
        let mut stage = Self { publisher, written: 0, payload: vec![b'.'; frame_bytes] };
        stage.write(1);
        stage
    }

    pub fn write(&mut self, frames: usize) {
        for _ in 0..frames {
            let at = Timestamp::from_millis(self.written * 40);
            let mut payload = self.payload.clone();
            payload.extend_from_slice(MARK);
            payload.extend_from_slice(&self.written.to_be_bytes());
            let (keyframe, payload) = (self.written % KEYFRAME_EVERY == 0, payload.into());
            let frame = Frame { track: TrackId::VIDEO, pts: at, dts: at, keyframe, payload };
            self.publisher.write(frame).unwrap();
            self.written += 1;
        }
    }
}

/// An RTMP client on a real socket.
pub struct Peer<S = TcpStream> {
    pub socket: S,
    pub rtmp: ClientConnection,
    /// The numbers of the frames it got.
    pub frames: Vec<i64>,
}

impl Peer {
    /// Connects and asks; what the server says to it.
    pub async fn ask(addr: SocketAddr, role: Role, path: &str) -> Result<Self, Status> {
        let socket = TcpStream::connect(addr).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self::ask_on(socket, addr, role, path).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub async fn ask_on(socket: S, addr: SocketAddr, role: Role, path: &str) -> Result<Self, Status> {
        let url: Url = format!("rtmp://{addr}/{path}").parse().unwrap();
        let rtmp = ClientConnection::new(ClientConfig::default(), url, role, 7);
        let mut peer = Self { socket, rtmp, frames: Vec::new() };
        match soon(peer.event()).await.expect("an answer") {
            ClientEvent::Started { .. } => Ok(peer),
            ClientEvent::Rejected(status) => Err(status),
            other => panic!("{other:?}"),
        }
    }

    /// The next event; `None` when the server has closed the connection.
    pub async fn event(&mut self) -> Option<ClientEvent> {
        let mut buffer = [0; 16 << 10];
        loop {
            if let Some(event) = self.rtmp.poll_event() {
                return Some(event);
            }
            self.send().await;
            match self.socket.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.rtmp.receive(&buffer[..n]).unwrap(),
            }
        }
    }

    /// Sends what there is to say, as far as the server still listens.
    pub async fn send(&mut self) {
        while let Some(bytes) = self.rtmp.poll_transmit() {
            let _ = self.socket.write_all(&bytes).await;
        }
    }

    /// Reads frames up to number `last`.
    pub async fn watch(&mut self, last: i64) {
        while self.frames.last().is_none_or(|newest| *newest < last) {
            match soon(self.event()).await.expect("the stream goes on") {
                ClientEvent::Message(media) => self.frames.extend(number(&media)),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether no frame is missing between the first and the last.
    pub fn lost_nothing(&self) -> bool {
        self.frames.windows(2).all(|pair| pair[1] == pair[0] + 1)
    }
}

/// The number of a frame of a [`Stage`]; `None` for what is no frame.
pub fn number(media: &MediaMessage) -> Option<i64> {
    number_in(&media.payload)
}

/// The same of what ends with a frame's payload.
pub fn number_in(bytes: &[u8]) -> Option<i64> {
    let (rest, number) = bytes.split_last_chunk::<8>()?;
    rest.ends_with(MARK).then(|| i64::from_be_bytes(*number))
}

/// Reads until the other end closes; what it said.
pub async fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    // A reset is an end as well.
    let _ = soon(socket.read_to_end(&mut said)).await;
    said
}
