//! Nobody keeps others out: half-open connections, waiting audiences, names nobody publishes, one address that wants it all.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;

use std::time::Duration;

use cruvz_core::{
    Engine, EngineConfig, ErrorKind, FileSource, HlsRequest, LiveFormat, LiveRequest, Protocol, RemoteState,
    TlsConfig, Tracks,
    protocol::rtmp::{client::Role, code},
};
use live::{Peer, Stage, engine, name, read_to_end, refusals, rtmp_addr, soon, until};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

/// Connections that say `bytes` and then nothing.
async fn half_open(engine: &Engine, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(rtmp_addr(engine)).await.unwrap();
        // It may have had to make room already.
        let _ = socket.write_all(bytes).await;
        sockets.push(socket);
    }
    sockets
}

#[tokio::test]
async fn half_open_connections_make_room_for_a_publisher_and_have_a_deadline() {
    let engine = engine(|config| config.max_pending_connections = 50).await;
    let mut silent = half_open(&engine, 200, b"").await;
    silent.append(&mut half_open(&engine, 200, &[3; 700]).await);
    let publisher = Peer::ask(rtmp_addr(&engine), Role::Publish, "live/cam").await;
    assert!(publisher.is_ok());
    // 400 came for 50 places, and the publisher.
    assert_eq!(refusals(&engine, Protocol::Rtmp, "connection_limit"), 351);
    for socket in &mut silent[..350] {
        assert!(read_to_end(socket).await.len() <= 3073, "nothing but a handshake was said");
    }
    assert_eq!(refusals(&engine, Protocol::Rtmp, "timeout"), 0);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    for socket in &mut silent {
        read_to_end(socket).await;
    }
    assert_eq!(refusals(&engine, Protocol::Rtmp, "timeout"), 49);
    assert_eq!(engine.sessions().len(), 1, "the publisher is still there");
}

#[tokio::test]
async fn an_audience_that_waits_does_not_keep_its_publisher_out() {
    let engine = engine(|config| {
        config.max_pending_connections = 2;
        config.subscribe_timeout_ms = 600_000;
    })
    .await;
    let addr = rtmp_addr(&engine);
    let mut audience = Vec::new();
    for waiting in 1..=10 {
        audience.push(tokio::spawn(Peer::ask(addr, Role::Play, "live/cam")));
        until(|| engine.sessions().len() == waiting).await;
    }
    drop(Peer::ask(addr, Role::Publish, "live/other").await.ok().unwrap());
    let _stage = Stage::new(&engine, "live/cam", 100).await;
    for viewer in audience {
        let mut viewer = soon(viewer).await.unwrap().ok().unwrap();
        viewer.watch(0).await;
    }
    assert_eq!(refusals(&engine, Protocol::Rtmp, "connection_limit"), 0);
}

#[tokio::test]
async fn viewers_over_tls_do_not_count_as_waiting() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_pem, key_pem) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let tls = TlsConfig { cert_pem: cert_pem.clone().into(), key_pem: key_pem.into() };
    let mut config = EngineConfig::default();
    config.max_pending_connections = 1;
    let source = Engine::builder().config(config).rtmps("127.0.0.1:0", tls).start().await.unwrap();
    let _stage = Stage::new(&source, "live/cam", 100).await;
    let port = source.local_addr(Protocol::Rtmps).unwrap().port();
    let target = Engine::builder().trust(cert_pem).start().await.unwrap();
    for n in 0..4 {
        let url = format!("rtmps://localhost:{port}/live/cam");
        let pull = target.pull(name(&format!("pulled/{n}")), &url).unwrap();
        let state = soon(pull.wait_for(|state| *state != RemoteState::Connecting)).await;
        assert_eq!(state, RemoteState::Running, "pull {n}");
    }
    assert_eq!(source.viewers(&name("live/cam")), 4);
    assert_eq!(refusals(&source, Protocol::Rtmps, "connection_limit"), 0);
}

#[tokio::test]
async fn connections_without_a_session_end_with_the_engine() {
    let engine = engine(|_| {}).await;
    let mut silent = half_open(&engine, 3, &[3]).await;
    let refused_first = Peer::ask(rtmp_addr(&engine), Role::Publish, "live/cam").await.ok().unwrap();
    engine.shutdown().await;
    drop(engine);
    for socket in &mut silent {
        read_to_end(socket).await;
    }
    let Peer { mut socket, .. } = refused_first;
    read_to_end(&mut socket).await;
}

#[tokio::test]
async fn one_address_connects_no_faster_than_its_pace() {
    let engine = engine(|config| {
        config.addresses.limit_loopback = true;
        config.addresses.connections_per_s = 1;
        config.addresses.connection_burst = 5;
    })
    .await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let addr = rtmp_addr(&engine);
    let mut viewer = Peer::ask(addr, Role::Play, "live/cam").await.ok().unwrap();
    let _flood = half_open(&engine, 40, b"").await;
    until(|| refusals(&engine, Protocol::Rtmp, "address_pace") >= 30).await;
    stage.write(20);
    viewer.watch(20).await;
    assert!(viewer.lost_nothing());
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert!(Peer::ask(addr, Role::Play, "live/cam").await.is_ok(), "later it may again");
}

#[tokio::test]
async fn when_all_sessions_are_in_use_new_viewers_are_told_and_the_others_go_on() {
    let engine = engine(|config| config.max_sessions = 3).await;
    let addr = rtmp_addr(&engine);
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let mut first = Peer::ask(addr, Role::Play, "live/cam").await.ok().unwrap();
    let second = Peer::ask(addr, Role::Play, "live/cam").await.ok().unwrap();

    let status = Peer::ask(addr, Role::Play, "live/cam").await.err().unwrap();
    assert_eq!((&status.code[..], &status.description[..]), (code::PLAY_FAILED, "all 3 sessions are in use"));
    let flv = LiveRequest {
        stream: name("live/cam"),
        query: String::new(),
        remote: "192.0.2.1:1".parse().unwrap(),
        format: LiveFormat::Flv,
    };
    assert_eq!(engine.live().open(flv).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
    let hls = engine.hls().respond(hls_request("live/cam", "", "192.0.2.1:1")).await;
    assert_eq!((hls.status, hls.retry_after_s), (503, Some(1)));
    for protocol in [Protocol::Rtmp, Protocol::HttpFlv, Protocol::Hls] {
        assert_eq!(refusals(&engine, protocol, "session_limit"), 1, "{protocol}");
    }

    assert!(Peer::ask(addr, Role::Publish, "live/other").await.is_ok(), "publishers are let in");
    stage.write(50);
    first.watch(50).await;
    assert!(first.lost_nothing());
    drop(second);
    until(|| engine.viewers(&name("live/cam")) == 1 && engine.sessions().len() == 2).await;
    assert!(Peer::ask(addr, Role::Play, "live/cam").await.is_ok(), "room was made");
}

fn hls_request(stream: &str, query: &str, remote: &str) -> HlsRequest {
    HlsRequest {
        stream: name(stream),
        path: "index.m3u8".to_owned(),
        query: query.to_owned(),
        remote: remote.parse().unwrap(),
    }
}

#[tokio::test]
async fn one_address_cannot_take_every_session_by_changing_its_query() {
    let engine = engine(|config| config.addresses.max_sessions = 10).await;
    engine.publish_file(name("live/cam"), FileSource::new(CLIP).repeat()).await.unwrap();
    let hls = engine.hls();
    let mut statuses = Vec::new();
    for n in 0..30 {
        let request = hls_request("live/cam", &format!("user={n}"), "192.0.2.7:5000");
        statuses.push(soon(hls.respond(request)).await.status);
    }
    assert_eq!(statuses, [vec![200; 10], vec![503; 20]].concat());
    assert_eq!(refusals(&engine, Protocol::Hls, "address_limit"), 20);
    let again = hls_request("live/cam", "user=3", "192.0.2.7:5001");
    assert_eq!(hls.respond(again).await.status, 200, "who is in stays in");
    let other = hls_request("live/cam", "user=99", "192.0.2.8:5000");
    assert_eq!(hls.respond(other).await.status, 200);
}

#[tokio::test]
async fn names_that_nobody_publishes_do_not_keep_publishers_out() {
    let engine = engine(|config| {
        config.hub.max_streams = 5;
        config.subscribe_timeout_ms = 600_000;
    })
    .await;
    let mut waiting = Vec::new();
    for n in 0..5 {
        let engine = engine.clone();
        waiting.push(tokio::spawn(async move { engine.subscribe(name(&format!("none/{n}"))).await }));
    }
    until(|| engine.streams().len() == 5).await;
    let refused = engine.subscribe(name("none/9")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LimitExceeded);
    let status = Peer::ask(rtmp_addr(&engine), Role::Play, "none/9").await.err().unwrap();
    assert_eq!(&status.code[..], code::PLAY_FAILED);
    assert_eq!(refusals(&engine, Protocol::Rtmp, "limit_exceeded"), 1);

    let mut published = Vec::new();
    for n in 0..5 {
        published.push(engine.publish(name(&format!("live/{n}")), Tracks::empty()).await.unwrap());
    }
    let sixth = engine.publish(name("live/5"), Tracks::empty()).await.unwrap_err();
    assert_eq!(sixth.kind(), ErrorKind::LimitExceeded);
    let status = Peer::ask(rtmp_addr(&engine), Role::Publish, "live/5").await.err().unwrap();
    assert_eq!(&status.code[..], code::PUBLISH_BAD_NAME);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
