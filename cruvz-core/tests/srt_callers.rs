//! What callers can do to an SRT listener on real sockets: callers made by hand, packet by packet.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod live;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cruvz_core::{
    AccessRequest, Engine, EngineConfig, FileSource, Protocol, Role,
    protocol::srt::{
        Caller, CallerConfig, Control, ControlPacket, Established, Outcome, Packet, Random, Reject, SocketId,
    },
};
use live::{name, refusals, soon, until};
use tokio::net::UdpSocket;

/// 20 frames of H.264 with B-frames at 25 fps and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

async fn server(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    change(&mut config);
    let engine = Engine::builder().config(config).srt("127.0.0.1:0").start().await.unwrap();
    engine.publish_file(name("live/cam"), FileSource::new(CLIP).repeat()).await.unwrap();
    engine
}

/// A socket of ours that speaks SRT.
struct Peer {
    socket: Arc<UdpSocket>,
    engine: Engine,
    id: SocketId,
    /// What it said last.
    said: Bytes,
}

impl Peer {
    async fn new(engine: &Engine, id: u32) -> Self {
        Self::on(engine, Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap()), id)
    }

    fn on(engine: &Engine, socket: Arc<UdpSocket>, id: u32) -> Self {
        Self { socket, engine: engine.clone(), id: SocketId(id), said: Bytes::new() }
    }

    async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.engine.local_addr(Protocol::Srt).unwrap()).await.unwrap();
    }

    /// The next control packet to this peer.
    async fn hear(&self) -> ControlPacket {
        let mut buffer = [0; 2048];
        loop {
            let length = soon(self.socket.recv(&mut buffer)).await.unwrap();
            match Packet::parse(Bytes::copy_from_slice(&buffer[..length])) {
                Ok(Packet::Control(packet)) if packet.destination == self.id => return packet,
                _ => {}
            }
        }
    }

    /// Shakes hands, asking for `stream_id`.
    async fn call(&mut self, stream_id: &str) -> Result<Box<Established>, Reject> {
        let config = CallerConfig { stream_id: Some(stream_id.into()), ..CallerConfig::default() };
        let remote = self.engine.local_addr(Protocol::Srt).unwrap();
        let random = Random::new([self.id.0 as u8; 32]);
        let mut caller = Caller::new(Duration::ZERO, config, remote, self.id, random);
        loop {
            while let Some(datagram) = caller.poll_transmit(Duration::ZERO) {
                self.send(&datagram).await;
                self.said = datagram;
            }
            match caller.receive(Duration::ZERO, &self.hear().await) {
                Some(Outcome::Established(established)) => return Ok(established),
                Some(Outcome::Rejected(reason)) => return Err(reason),
                None => {}
            }
        }
    }
}

fn players(engine: &Engine) -> usize {
    engine.sessions().iter().filter(|session| session.role == Role::Play).count()
}

fn shutdown(to: SocketId) -> Bytes {
    ControlPacket { timestamp_us: 0, destination: to, body: Control::Shutdown }.to_bytes()
}

#[tokio::test]
async fn a_goodbye_counts_only_from_the_address_that_said_hello() {
    let server = server(|_| {}).await;
    let mut peer = Peer::new(&server, 7).await;
    let established = peer.call("read:live/cam").await.unwrap();
    let other = Peer::new(&server, 8).await;
    for _ in 0..10 {
        other.send(&shutdown(established.peer)).await;
    }
    // Whoever calls after it has been heard after it.
    Peer::new(&server, 9).await.call("read:live/cam").await.unwrap();
    assert_eq!(players(&server), 2);
    peer.send(&shutdown(established.peer)).await;
    until(|| players(&server) == 1).await;
}

#[tokio::test]
async fn a_conclusion_that_comes_again_is_answered_again_and_changes_nothing() {
    let server = server(|_| {}).await;
    let mut peer = Peer::new(&server, 7).await;
    peer.call("read:live/cam").await.unwrap();
    for _ in 0..3 {
        peer.send(&peer.said.clone()).await;
        while !matches!(peer.hear().await.body, Control::Handshake(_)) {}
    }
    assert_eq!(players(&server), 1);
    assert_eq!(server.totals().sessions().iter().map(|(_, _, totals)| totals.opened).sum::<u64>(), 2);
}

#[tokio::test]
async fn callers_behind_one_port_are_told_apart() {
    let server = server(|_| {}).await;
    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let mut ids = Vec::new();
    for id in [7, 8, 9] {
        let established = Peer::on(&server, Arc::clone(&socket), id).call("read:live/cam").await.unwrap();
        ids.push(established.peer);
    }
    ids.sort_by_key(|id| id.0);
    ids.dedup();
    assert_eq!((ids.len(), players(&server)), (3, 3));
    Peer::on(&server, socket, 7).send(&shutdown(ids[0])).await;
    until(|| players(&server) == 2).await;
}

#[tokio::test]
async fn noise_is_passed_over() {
    let server = server(|_| {}).await;
    let noisy = Peer::new(&server, 7).await;
    for length in 0..1_500 {
        let datagram: Vec<u8> = (0..length).map(|at| (at * 31 + length * 17) as u8).collect();
        noisy.send(&datagram).await;
        // The same as a handshake for the listener, and as control packets of every type.
        let mut packet = [&[0x80, length as u8, 0, 0][..], &[0; 12], &datagram].concat();
        packet.truncate(1_472);
        noisy.send(&packet).await;
    }
    Peer::new(&server, 8).await.call("read:live/cam").await.unwrap();
    let mut subscriber = server.subscribe(name("live/cam")).await.unwrap();
    for _ in 0..25 {
        assert!(soon(subscriber.next()).await.is_some());
    }
    assert_eq!(server.sessions().iter().filter(|session| session.protocol == Protocol::Srt).count(), 1);
}

#[tokio::test]
async fn whoever_calls_too_often_is_told_to_wait() {
    let server = server(|config| {
        config.addresses.limit_loopback = true;
        config.addresses.connections_per_s = 1;
        config.addresses.connection_burst = 2;
    })
    .await;
    for id in [7, 8] {
        Peer::new(&server, id).await.call("read:live/cam").await.unwrap();
    }
    assert_eq!(Peer::new(&server, 9).await.call("read:live/cam").await.unwrap_err(), Reject::OVERLOAD);
    assert_eq!(refusals(&server, Protocol::Srt, "address_pace"), 1);
}

#[tokio::test]
async fn callers_that_wait_for_a_decision_are_bounded_and_the_newest_are_heard() {
    let never = |_: AccessRequest| std::future::pending::<cruvz_core::Decision>();
    let mut config = EngineConfig::default();
    config.max_pending_connections = 3;
    config.authorize_timeout_ms = 500;
    let engine = Engine::builder().config(config).srt("127.0.0.1:0").authorize(never).start().await.unwrap();
    let calls: Vec<_> = (1..=8)
        .map(|id| {
            let engine = engine.clone();
            tokio::spawn(async move {
                let mut peer = Peer::new(&engine, id).await;
                tokio::time::timeout(Duration::from_secs(5), peer.call("read:live/cam")).await
            })
        })
        .collect();
    until(|| refusals(&engine, Protocol::Srt, "connection_limit") == 5).await;
    let mut told = 0;
    for call in calls {
        // Those that made room hear nothing; these peers do not ask again.
        if let Ok(answer) = call.await.unwrap() {
            assert_eq!(answer.unwrap_err(), Reject::UNAUTHORIZED);
            told += 1;
        }
    }
    assert_eq!(told, 3);
    assert_eq!(refusals(&engine, Protocol::Srt, "authorizer_timeout"), 3);
}

#[tokio::test]
async fn a_server_that_stops_lets_nobody_in_and_says_so() {
    let server = server(|_| {}).await;
    let mut publisher = Peer::new(&server, 7).await;
    let established = publisher.call("publish:live/other").await.unwrap();
    let draining = tokio::spawn({
        let server = server.clone();
        async move { server.drain(Duration::from_secs(20)).await }
    });
    until(|| server.is_draining()).await;
    let late = Peer::new(&server, 8).await.call("read:live/cam").await;
    assert_eq!(late.unwrap_err(), Reject::DOWN);
    publisher.send(&shutdown(established.peer)).await;
    soon(draining).await.unwrap();
}
