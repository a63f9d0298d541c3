//! A live engine under what real clients send, whole and damaged, and under attacks made by hand: a viewer beside it loses
//! nothing, and the next client is let in at once.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that measures time")]

mod live;
mod rtmp_wire;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{BufMut, BytesMut};
use cruvz_core::{
    Engine,
    protocol::rtmp::{chunk::MessageHeader, client::Role, message::kind},
};
use cruvz_media::amf0::{Object, Value};
use live::{Peer, Stage, engine, rtmp_addr};
use rtmp_wire::{chunks, command};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CAPTURES: [(&str, &[u8]); 6] = [
    ("ffmpeg 5.1 publishes", include_bytes!("fixtures/rtmp/ffmpeg-5.1-publish.bin")),
    ("ffmpeg 9.0 publishes", include_bytes!("fixtures/rtmp/ffmpeg-9.0-enhanced-publish.bin")),
    ("GStreamer publishes", include_bytes!("fixtures/rtmp/gstreamer-1.22-publish.bin")),
    ("OBS publishes", include_bytes!("fixtures/rtmp/obs-29.0-publish.bin")),
    ("ffmpeg 5.1 plays", include_bytes!("fixtures/rtmp/ffmpeg-5.1-play.bin")),
    ("GStreamer plays", include_bytes!("fixtures/rtmp/gstreamer-1.22-play.bin")),
];
const MUTATIONS: u64 = 25;
const HANDSHAKE: usize = 1 + 2 * 1536;

/// xorshift: a failure is repeated by its seed.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// A capture with bytes changed, a piece cut out, a piece said twice, or cut off.
fn damage(capture: &[u8], seed: u64) -> Vec<u8> {
    let mut random = Seeded(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut bytes = capture.to_vec();
    // Mostly behind the handshake, which has no content.
    let from = if seed.is_multiple_of(8) { 0 } else { HANDSHAKE };
    for _ in 0..=random.below(12) {
        let at = from + random.below(bytes.len() - from);
        bytes[at] = random.below(256) as u8;
    }
    let at = from + random.below(bytes.len() - from);
    let end = (at + random.below(400)).min(bytes.len());
    match random.below(4) {
        0 => drop(bytes.drain(at..end)),
        1 => {
            let twice = bytes[at..end].to_vec();
            bytes.splice(at..at, twice);
        }
        2 => bytes.truncate(end.max(HANDSHAKE)),
        _ => {}
    }
    bytes
}

/// Says `bytes`, listens for a moment, and leaves without a word.
async fn attack(addr: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(addr).await.unwrap();
    let (mut reader, mut writer) = socket.split();
    let say = async {
        // It may be cut at any byte.
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
    };
    let mut said = Vec::new();
    let listen = tokio::time::timeout(Duration::from_millis(50), reader.read_to_end(&mut said));
    let _ = tokio::join!(say, listen);
}

/// What the attacks are measured against.
struct Bystanders {
    engine: Engine,
    stage: Stage,
    viewer: Peer,
    slowest: Duration,
}

impl Bystanders {
    async fn new() -> Self {
        let engine = engine(|_| {}).await;
        let stage = Stage::new(&engine, "stage/cam", 2_000).await;
        let viewer = Peer::ask(rtmp_addr(&engine), Role::Play, "stage/cam").await.ok().unwrap();
        Self { engine, stage, viewer, slowest: Duration::ZERO }
    }

    /// Runs an attack while frames are written; the viewer must get them all, and a new client be let in.
    async fn endure(&mut self, bytes: &[u8]) {
        let addr = rtmp_addr(&self.engine);
        let attack = tokio::spawn({
            let bytes = bytes.to_vec();
            async move { attack(addr, &bytes).await }
        });
        while !attack.is_finished() {
            self.stage.write(1);
            self.viewer.watch(self.stage.written - 1).await;
        }
        attack.await.unwrap();
        let began = Instant::now();
        let newcomer = Peer::ask(addr, Role::Play, "stage/cam").await;
        assert!(newcomer.is_ok(), "a new client is let in");
        self.slowest = self.slowest.max(began.elapsed());
        self.stage.write(1);
        self.viewer.watch(self.stage.written - 1).await;
        assert!(self.viewer.lost_nothing());
    }

    fn judge(self, what: &str) {
        println!(
            "{what}: slowest newcomer after {:?}, {} frames seen",
            self.slowest,
            self.viewer.frames.len()
        );
        // The goal is 100 ms; a debug build on a busy machine gets some more.
        assert!(self.slowest < Duration::from_secs(1), "{:?}", self.slowest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_whole_and_damaged_hurt_nobody() {
    let mut bystanders = Bystanders::new().await;
    for (which, (name, capture)) in CAPTURES.iter().enumerate() {
        bystanders.endure(capture).await;
        for n in 0..MUTATIONS {
            let seed = which as u64 * 1000 + n;
            println!("{name}, seed {seed}");
            bystanders.endure(&damage(capture, seed)).await;
        }
    }
    bystanders.judge("captures");
}

/// After the handshake and, where `connected`, an accepted `connect`.
fn session(connected: bool, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![3];
    bytes.resize(HANDSHAKE, 0);
    if connected {
        let connect = Object::new().with("app", "live");
        bytes.extend_from_slice(&command(0, "connect", 1.0, vec![connect.into()]));
    }
    bytes.extend_from_slice(rest);
    bytes
}

fn header(csid: u32, kind: u8) -> MessageHeader {
    MessageHeader { csid, timestamp_ms: 0, kind, stream_id: 1 }
}

/// Limits of the chunk and command layers, as far as a peer gets at them before it has been let in.
fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let mut attacks = vec![
        ("nothing", Vec::new()),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(500)),
        ("RTMPE", [6; 4096].to_vec()),
        ("no handshake", vec![3; 1 << 20]),
    ];
    for depth in [10, 16, 17, 1_000, 10_000] {
        let mut payload = BytesMut::from(&b"\x02\x00\x07connect\x00\x3f\xf0\0\0\0\0\0\0"[..]);
        for _ in 0..depth {
            payload.put_slice(b"\x03\x00\x01a");
        }
        attacks.push(("nested objects", session(false, &chunks(header(3, kind::COMMAND), &payload))));
    }
    let mut declared = chunks(header(6, kind::VIDEO), &[0; 100]);
    declared[4..7].copy_from_slice(&[0xff; 3]);
    declared.put_slice(&[0; 200_000]);
    attacks.push(("16 MiB declared", session(true, &declared)));
    let mut scattered = BytesMut::new();
    for csid in 3..65_599 {
        scattered.unsplit(chunks(header(csid, kind::VIDEO), &[0]));
    }
    attacks.push(("65,000 chunk streams", session(true, &scattered)));
    for size in [0, 1, 0x8000_0000, u32::MAX] {
        let mut bytes = chunks(header(2, kind::SET_CHUNK_SIZE), &size.to_be_bytes());
        for _ in 0..200_000 {
            // A type-3 chunk of one byte each.
            bytes.put_slice(&[0xc3, 0]);
        }
        attacks.push(("chunk sizes", session(true, &bytes)));
    }
    let calls: Vec<u8> =
        (0..20_000).flat_map(|n| command(0, "createStream", f64::from(n), vec![Value::Null])).collect();
    attacks.push(("calls without end", session(true, &calls)));
    let plays: Vec<u8> =
        (0..2_000).flat_map(|_| command(1, "play", 0.0, vec![Value::Null, ".no".into()])).collect();
    attacks.push(("refused plays without end", session(true, &plays)));
    let mut player = command(1, "play", 0.0, vec![Value::Null, "../stage/cam".into()]);
    player.put_slice(&[0x5a; 500_000]);
    attacks.push(("a traversal and garbage", session(true, &player)));
    attacks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attacks_on_every_limit_hurt_nobody() {
    let mut bystanders = Bystanders::new().await;
    for (name, bytes) in attacks() {
        println!("{name}: {} bytes", bytes.len());
        bystanders.endure(&bytes).await;
    }
    let refused: u64 = bystanders.engine.totals().refusals().iter().map(|(_, _, count)| count).sum();
    assert!(refused >= 12, "{:?}", bystanders.engine.totals().refusals());
    bystanders.judge("attacks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_that_talks_without_end_hurts_nobody() {
    let mut bystanders = Bystanders::new().await;
    let mut bytes = session(false, &[]);
    let connect = Object::new().with("app", "stage");
    bytes.extend_from_slice(&command(0, "connect", 1.0, vec![connect.into()]));
    bytes.extend_from_slice(&command(1, "play", 0.0, vec![Value::Null, "cam".into()]));
    // Pings ask for answers, which it does not read.
    let ping = chunks(header(2, kind::USER_CONTROL), &[0, 6, 0, 0, 0, 1]);
    for _ in 0..100_000 {
        bytes.extend_from_slice(&ping);
    }
    bystanders.endure(&bytes).await;
    bytes.truncate(HANDSHAKE + 200);
    bytes.extend_from_slice(&[0xff; 1 << 20]);
    bystanders.endure(&bytes).await;
    bystanders.judge("a talking player");
}
