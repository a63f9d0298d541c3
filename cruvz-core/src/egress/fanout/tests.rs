use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use cruvz_media::{
    Codec, CodecParams, Format, Frame, Timescale, Timestamp, Track, TrackId, Tracks, VideoFormat,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::{Peer, Viewer};
use crate::{
    Engine, EngineConfig, Protocol, Publisher, Role,
    config::Overflow,
    hub::{
        view::TrackSet,
        wire::{WireEncoder, WireFormat},
    },
};

/// Marks of the test's wire format: what a unit begins with, and its bytes.
const CONFIGURATION: u8 = b'C';
const FRAME: u8 = b'F';
const HEADER: usize = 9;

/// `mark, number: u32, length: u32, payload`: enough to see that nothing is missing or cut.
struct Numbered;

const NUMBERED: WireFormat = WireFormat {
    name: "numbered",
    carries: TrackSet::FLV,
    encoder: || Box::new(Numbered) as Box<dyn WireEncoder>,
};

fn unit(mark: u8, frame: &Frame, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(mark);
    out.put_u32(frame.dts.as_millis() as u32);
    out.put_u32(payload.len() as u32);
    out.put_slice(payload);
    out.freeze()
}

impl WireEncoder for Numbered {
    fn configuration(&mut self, _: &Tracks, at: &Frame) -> Bytes {
        unit(CONFIGURATION, at, b"")
    }

    fn frame(&mut self, _: &Tracks, frame: &Frame) -> Bytes {
        unit(FRAME, frame, &frame.payload)
    }
}

/// Answers every byte with itself; leaves at `q`.
struct Echo;

impl Peer for Echo {
    fn receive(&mut self, bytes: &[u8], out: &mut VecDeque<Bytes>) -> Result<(), String> {
        if bytes.contains(&b'q') {
            return Err("viewer said goodbye".to_owned());
        }
        out.push_back(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn farewell(&mut self, reason: &str) -> Bytes {
        Bytes::from(format!("BYE {reason}"))
    }
}

/// Counts what it hears.
struct Counting(Arc<AtomicUsize>);

impl Peer for Counting {
    fn receive(&mut self, bytes: &[u8], _: &mut VecDeque<Bytes>) -> Result<(), String> {
        self.0.fetch_add(bytes.len(), Relaxed);
        Ok(())
    }

    fn farewell(&mut self, _: &str) -> Bytes {
        Bytes::new()
    }
}

struct Stage {
    engine: Engine,
    publisher: Publisher,
    next_ms: i64,
    payload: Bytes,
}

impl Stage {
    async fn new(payload_bytes: usize, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let mut config = EngineConfig::default();
        change(&mut config);
        let engine = Engine::builder().config(config).start().await.unwrap();
        let params = CodecParams {
            codec: Codec::Vp8,
            config: Bytes::new(),
            format: Format::Video(VideoFormat::default()),
            rfc6381: String::new(),
        };
        let track = Track { id: TrackId::VIDEO, timescale: Timescale::MILLIS, params };
        let publisher = engine.publish("live/cam".parse().unwrap(), Tracks::new(vec![track])).await.unwrap();
        Self { engine, publisher, next_ms: 0, payload: vec![7; payload_bytes].into() }
    }

    /// Writes `count` frames of 20 ms, a keyframe each 10.
    fn write(&mut self, count: usize) {
        for _ in 0..count {
            let at = Timestamp::from_millis(self.next_ms);
            let keyframe = self.next_ms % 200 == 0;
            let payload = self.payload.clone();
            self.publisher
                .write(Frame { track: TrackId::VIDEO, pts: at, dts: at, keyframe, payload })
                .unwrap();
            self.next_ms += 20;
        }
    }

    async fn viewer(&self) -> TcpStream {
        self.viewer_with_buffer(1 << 20).await
    }

    /// A viewer whose kernel takes little when it does not read.
    async fn slow_viewer(&self) -> TcpStream {
        self.viewer_with_buffer(16_384).await
    }

    /// A viewer that was sent its first frame.
    async fn viewer_with_buffer(&self, bytes: u32) -> TcpStream {
        self.viewer_of(Box::new(Echo), bytes).await
    }

    async fn viewer_of(&self, peer: Box<dyn Peer>, bytes: u32) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(bytes).unwrap();
        let client = client.connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, remote) = listener.accept().await.unwrap();
        let context = self.engine.context();
        let name = self.publisher.stream().name();
        let session = context.gate.sessions.open(name, Protocol::HttpFlv, Role::Play, Some(remote)).unwrap();
        let log = self.publisher.stream().wire(NUMBERED).unwrap();
        crate::runtime::socket::tune(&socket, context.config.egress.send_buffer_bytes).unwrap();
        let viewer = Viewer { socket, head: Bytes::from_static(b"HEAD"), peer, session };
        let id = viewer.session.id;
        context.fanout.serve(&log, viewer);
        until(|| self.engine.sessions().iter().any(|session| session.id == id && session.frames > 0)).await;
        client
    }
}

/// Reads `HEAD` and then units up to frame `until`, checking each; the frames it saw.
async fn read_until(client: &mut TcpStream, head: bool, until: u32) -> Vec<u32> {
    if head {
        let mut start = [0; 4];
        client.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HEAD");
    }
    let mut frames = Vec::new();
    loop {
        let mut header = [0; HEADER];
        client.read_exact(&mut header).await.unwrap();
        let number = u32::from_be_bytes(header[1..5].try_into().unwrap());
        let mut payload = vec![0; u32::from_be_bytes(header[5..].try_into().unwrap()) as usize];
        client.read_exact(&mut payload).await.unwrap();
        match header[0] {
            CONFIGURATION => assert!(number % 200 == 0, "configuration before a keyframe only"),
            FRAME => {
                assert!(payload.iter().all(|byte| *byte == 7));
                frames.push(number);
            }
            mark => panic!("not a unit: {mark}"),
        }
        if header[0] == FRAME && number >= until {
            return frames;
        }
    }
}

async fn deadline<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
}

/// Runs other tasks until `done`.
async fn until(mut done: impl FnMut() -> bool) {
    deadline(async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_viewer_gets_everything_from_the_newest_keyframe_on() {
    let mut stage = Stage::new(100, |_| {}).await;
    stage.write(15);
    let mut client = stage.viewer().await;
    assert_eq!(deadline(read_until(&mut client, true, 280)).await, [200, 220, 240, 260, 280]);
    stage.write(3);
    assert_eq!(deadline(read_until(&mut client, false, 340)).await, [300, 320, 340]);
}

#[tokio::test]
async fn a_stream_is_watched_while_it_has_a_viewer_or_a_reader() {
    let mut stage = Stage::new(100, |_| {}).await;
    let stream = stage.publisher.stream().clone();
    assert!(!stream.is_watched());
    stage.write(1);
    let client = stage.viewer().await;
    assert!(stream.is_watched());
    drop(client);
    until(|| !stream.is_watched()).await;
    let reader = stage.engine.subscribe(stream.name().clone()).await.unwrap();
    assert!(stream.is_watched());
    drop(reader);
    assert!(!stream.is_watched());
}

#[tokio::test]
async fn many_viewers_get_the_same_and_gathering_loses_nothing() {
    for gather_ms in [0, 30] {
        let mut stage = Stage::new(1_000, |config| config.egress.gather_ms = gather_ms).await;
        stage.write(1);
        let mut clients = Vec::new();
        for _ in 0..40 {
            clients.push(stage.viewer().await);
        }
        stage.write(99);
        for client in &mut clients {
            let frames = deadline(read_until(client, true, 1980)).await;
            assert!(frames.windows(2).all(|pair| pair[1] == pair[0] + 20));
        }
        let sessions = stage.engine.sessions();
        assert!(sessions.iter().all(|session| session.skips == 0));
    }
}

#[tokio::test]
async fn a_stuck_viewer_jumps_twice_and_its_stream_stays_whole() {
    let mut stage = Stage::new(50_000, |config| {
        config.hub.log_ms = 400;
        config.egress.max_lag_ms = 400;
    })
    .await;
    stage.write(1);
    let mut slow = stage.slow_viewer().await;
    let mut good = stage.viewer().await;
    let reader = tokio::spawn(async move { read_until(&mut good, true, 20 * 599).await });
    // Long enough for the log to roll past the place the viewer is at, and past the place it would have jumped to.
    for round in 1..60 {
        stage.write(10);
        let good = |frames: u64| {
            stage
                .engine
                .sessions()
                .iter()
                .any(|session| session.frames > frames && session.role == Role::Play)
        };
        until(|| good(round * 10)).await;
    }
    stage.write(9);
    let first = deadline(read_until(&mut slow, true, 20 * 590)).await;
    stage.write(600);
    let second = deadline(read_until(&mut slow, false, 20 * 1190)).await;
    for frames in [&first, &second] {
        let jumps: Vec<_> = frames.windows(2).filter(|pair| pair[1] != pair[0] + 20).collect();
        assert!(!jumps.is_empty());
        assert!(jumps.iter().all(|pair| pair[1] % 200 == 0), "jumps go to keyframes: {jumps:?}");
    }
    assert_eq!(deadline(reader).await.unwrap().len(), 600, "the good viewer lost nothing");
    let session = stage.engine.sessions().into_iter().find(|session| session.skips > 0).unwrap();
    assert!(session.skips >= 2 && session.dropped_frames > 100, "{session:?}");
}

#[tokio::test]
async fn a_slow_viewer_may_be_disconnected_instead() {
    let mut stage = Stage::new(50_000, |config| {
        config.hub.log_ms = 400;
        config.egress.overflow = Overflow::Disconnect;
        config.egress.max_lag_ms = 400;
    })
    .await;
    stage.write(1);
    let mut slow = stage.slow_viewer().await;
    let playing = |stage: &Stage| stage.engine.viewers(stage.publisher.stream().name());
    for _ in 0..60 {
        stage.write(10);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut rest = Vec::new();
    deadline(slow.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"BYE too slow for this stream"));
    until(|| playing(&stage) == 0).await;
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_cut() {
    let mut stage = Stage::new(50_000, |config| config.egress.stuck_timeout_ms = 50).await;
    stage.write(1);
    let _client = stage.slow_viewer().await;
    let mut events = stage.engine.events();
    stage.write(300);
    let ended = deadline(async {
        loop {
            if let Some(crate::Event::SessionEnded { reason, .. }) = events.next().await {
                return reason;
            }
        }
    });
    assert_eq!(ended.await, "took nothing for too long");
}

#[tokio::test]
async fn what_a_viewer_says_is_answered_between_units_and_goodbye_is_heard() {
    let mut stage = Stage::new(10, |_| {}).await;
    stage.write(1);
    let mut client = stage.viewer().await;
    assert_eq!(deadline(read_until(&mut client, true, 0)).await, [0]);
    client.write_all(b"hi").await.unwrap();
    let mut answer = [0; 2];
    deadline(client.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"hi");
    client.write_all(b"q").await.unwrap();
    let mut rest = String::new();
    deadline(client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "BYE viewer said goodbye");
    let name = stage.publisher.stream().name().clone();
    until(|| stage.engine.viewers(&name) == 0).await;
}

#[tokio::test]
async fn the_end_of_the_stream_and_of_a_session_is_told() {
    let mut stage = Stage::new(10, |_| {}).await;
    stage.write(1);
    let mut one = stage.viewer().await;
    let mut other = stage.viewer().await;
    deadline(read_until(&mut one, true, 0)).await;
    deadline(read_until(&mut other, true, 0)).await;
    let id = stage.engine.sessions()[1].id;
    stage.engine.end_session(id, "enough");
    let mut rest = String::new();
    deadline(one.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "BYE enough");
    stage.publisher.stream().end("over");
    rest.clear();
    deadline(other.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "BYE over");
    until(|| stage.engine.sessions().iter().all(|session| session.role == Role::Publish)).await;
    assert!(Arc::strong_count(&stage.engine.context().gate) < 10, "shards are gone");
}

#[tokio::test]
async fn a_viewer_that_says_much_is_heard_a_little_at_a_time() {
    let mut stage = Stage::new(100, |_| {}).await;
    stage.write(1);
    let heard = Arc::new(AtomicUsize::new(0));
    let client = stage.viewer_of(Box::new(Counting(Arc::clone(&heard))), 1 << 20).await;
    client.writable().await.unwrap();
    let said = client.try_write(&[b'x'; 1 << 17]).unwrap();
    assert!(said > 2 * super::READS * super::READ_BYTES, "{said}");
    // One thread: between two looks of the shard it is this task's turn.
    deadline(async {
        while heard.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(heard.load(Relaxed) <= super::READS * super::READ_BYTES, "{heard:?}");
    until(|| heard.load(Relaxed) == said).await;
}

#[tokio::test]
async fn answers_to_a_viewer_that_does_not_take_them_do_not_pile_up() {
    let mut stage = Stage::new(100, |config| config.egress.send_buffer_bytes = 16_384).await;
    stage.write(1);
    let mut client = stage.slow_viewer().await;
    let mut said = 0;
    let said_all = async {
        // Until it is not listened to any more, and the kernel is full.
        while let Ok(Ok(n)) = tokio::time::timeout(Duration::from_secs(2), client.write(&[b'x'; 1024])).await
        {
            said += n;
            assert!(said < 64 << 20, "it is listened to for ever");
        }
    };
    said_all.await;
    stage.write(1);
    assert_eq!(stage.engine.sessions().len(), 2, "it may still catch up");
}
