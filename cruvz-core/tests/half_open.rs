//! Connections that never say what they want do not keep out those that do.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{net::SocketAddr, time::Duration};

use cruvz_core::{Engine, EngineConfig, Protocol};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const LIMIT: usize = 4;
const DEADLINE: Duration = Duration::from_secs(5);

/// C0 and C1 of the simple handshake; returns once S0, S1 and S2 have come.
async fn shake_hands(peer: &mut TcpStream) {
    let mut opening = [0; 1 + 1536];
    opening[0] = 3;
    peer.write_all(&opening).await.unwrap();
    timeout(DEADLINE, peer.read_exact(&mut [0; 1 + 2 * 1536])).await.expect("an answer in time").unwrap();
}

async fn is_closed(peer: &mut TcpStream) -> bool {
    matches!(timeout(DEADLINE, peer.read(&mut [0])).await, Ok(Ok(0) | Err(_)))
}

async fn engine() -> (Engine, SocketAddr) {
    let mut config = EngineConfig::default();
    config.max_pending_connections = LIMIT;
    let engine = Engine::builder().config(config).rtmp("127.0.0.1:0").start().await.unwrap();
    let addr = engine.local_addr(Protocol::Rtmp).unwrap();
    (engine, addr)
}

#[tokio::test]
async fn a_newcomer_is_served_and_the_oldest_idle_connection_makes_room() {
    let (engine, addr) = engine().await;
    let mut idle = Vec::new();
    for _ in 0..LIMIT {
        idle.push(TcpStream::connect(addr).await.unwrap());
    }
    let mut newcomer = TcpStream::connect(addr).await.unwrap();
    shake_hands(&mut newcomer).await;

    assert!(is_closed(&mut idle[0]).await, "the oldest should have made room");
    shake_hands(&mut idle[LIMIT - 1]).await;
    assert_eq!(engine.totals().refusals().iter().map(|(_, _, count)| count).sum::<u64>(), 1);
}
