//! Whoever is turned away is told why in its protocol's words, and it is counted and an event, each time.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;
mod rtmp_wire;

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use cruvz_core::{
    AccessRequest, Engine, EngineConfig, Events, HlsRequest, LiveFormat, LiveRequest, Protocol,
    protocol::rtmp::{
        ClientHandshake, HandshakeKind,
        chunk::{ChunkReader, MessageHeader},
        client::Role,
        code,
        message::kind,
    },
};
use cruvz_media::amf0::{self, Object, Value};
use live::{Peer, Stage, name, next_refusal, refusals, rtmp_addr, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn engine() -> Engine {
    let mut config = EngineConfig::default();
    config.subscribe_timeout_ms = 50;
    config.max_sessions = 2;
    let judge = |request: AccessRequest| async move {
        match request.stream.app() {
            "secret" => request.deny("only for members"),
            _ => request.allow(),
        }
    };
    Engine::builder().config(config).authorize(judge).rtmp("127.0.0.1:0").start().await.unwrap()
}

/// One refusal: what was asked over RTMP, and what is heard of it.
struct Case {
    role: Role,
    path: &'static str,
    code: &'static str,
    reason: &'static str,
    words: &'static str,
}

const fn case(
    role: Role,
    path: &'static str,
    code: &'static str,
    reason: &'static str,
    words: &'static str,
) -> Case {
    Case { role, path, code, reason, words }
}

async fn refuse_over_rtmp(engine: &Engine, events: &mut Events, case: &Case) {
    let counted = refusals(engine, Protocol::Rtmp, case.reason);
    let status = Peer::ask(rtmp_addr(engine), case.role, case.path).await.err().expect("refused");
    assert_eq!(&status.code[..], case.code, "{}: {status:?}", case.path);
    assert_eq!(status.level, "error", "{}", case.path);
    assert!(status.description.contains(case.words), "{}: {status:?}", case.path);
    let (reason, detail) = next_refusal(events).await;
    assert_eq!(reason, case.reason, "{}", case.path);
    assert!(detail.contains(case.words), "{}: {detail}", case.path);
    assert_eq!(refusals(engine, Protocol::Rtmp, case.reason), counted + 1, "{}", case.path);
}

#[tokio::test]
async fn rtmp_peers_are_told_why_with_the_code_that_says_so() {
    let engine = engine().await;
    let mut events = engine.events();
    let stage = Stage::new(&engine, "live/cam", 100).await;
    let no_name = "is no part of a stream name";
    for case in [
        case(Role::Publish, "live/.hidden", code::PUBLISH_BAD_NAME, "bad_name", no_name),
        case(Role::Play, "live/.hidden", code::PLAY_STREAM_NOT_FOUND, "bad_name", no_name),
        case(Role::Publish, "secret/cam", code::PUBLISH_DENIED, "denied", "only for members"),
        case(Role::Play, "secret/cam", code::PLAY_FAILED, "denied", "only for members"),
        case(Role::Play, "live/none", code::PLAY_STREAM_NOT_FOUND, "not_found", "nobody publishes live/none"),
        case(Role::Publish, "live/cam", code::PUBLISH_BAD_NAME, "already_exists", "has a publisher already"),
    ] {
        refuse_over_rtmp(&engine, &mut events, &case).await;
    }
    let viewer = Peer::ask(rtmp_addr(&engine), Role::Play, "live/cam").await.ok().unwrap();
    let full = "all 2 sessions are in use";
    refuse_over_rtmp(
        &engine,
        &mut events,
        &case(Role::Play, "live/cam", code::PLAY_FAILED, "session_limit", full),
    )
    .await;
    let draining = tokio::spawn({
        let engine = engine.clone();
        // A peer's publisher would be waited for; there is one.
        async move { engine.drain(Duration::from_secs(60)).await }
    });
    drop((viewer, stage));
    soon(draining).await.unwrap();
}

#[tokio::test]
async fn a_draining_engine_says_so() {
    let engine = engine().await;
    let addr = rtmp_addr(&engine);
    let publisher = Peer::ask(addr, Role::Publish, "live/cam").await.ok().unwrap();
    let draining = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(Duration::from_secs(60)).await }
    });
    live::until(|| engine.is_draining()).await;
    let mut events = engine.events();
    let words = "shutting down";
    for case in [
        case(Role::Publish, "live/b", code::PUBLISH_BAD_NAME, "draining", words),
        case(Role::Play, "live/cam", code::PLAY_FAILED, "draining", words),
    ] {
        refuse_over_rtmp(&engine, &mut events, &case).await;
    }
    drop(publisher);
    soon(draining).await.unwrap();
}

/// Shakes hands and sends `bytes`; the codes of every status that came back before the end.
async fn codes_after(engine: &Engine, bytes: &[u8]) -> Vec<String> {
    let mut socket = TcpStream::connect(rtmp_addr(engine)).await.unwrap();
    let mut hello = bytes::BytesMut::new();
    let _handshake = ClientHandshake::new(HandshakeKind::Simple, 5, &mut hello);
    socket.write_all(&hello).await.unwrap();
    socket.write_all(&[0; 1536]).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    let mut said = Vec::new();
    soon(socket.read_to_end(&mut said)).await.expect("closed, not reset");
    let mut reader = ChunkReader::new(&Default::default());
    let (mut input, mut codes) = (&said[1 + 2 * 1536..], Vec::new());
    while let Some(message) = reader.read(&mut input).unwrap() {
        if message.header.kind != kind::COMMAND {
            continue;
        }
        let values = amf0::decode(&message.payload, &amf0::Limits::default()).unwrap();
        codes.extend(values.iter().filter_map(|value| value.property("code")?.as_str()).map(str::to_owned));
    }
    codes
}

#[tokio::test]
async fn a_broken_protocol_is_told_although_more_was_sent() {
    let engine = engine().await;
    let mut events = engine.events();
    let connect = Object::new().with("app", "live");
    let mut bytes = rtmp_wire::command(0, "connect", 1.0, vec![connect.into()]);
    let control = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_CHUNK_SIZE, stream_id: 0 };
    bytes.unsplit(rtmp_wire::chunks(control, &[0; 4]));
    // What nobody reads any more must not reset the connection before the status is read.
    bytes.extend_from_slice(&[0; 100_000]);
    let codes = codes_after(&engine, &bytes).await;
    assert_eq!(codes, [code::CONNECT_SUCCESS, code::CONNECT_CLOSED]);
    assert_eq!(next_refusal(&mut events).await, ("protocol", "chunk size 0".to_owned()));
    assert_eq!(refusals(&engine, Protocol::Rtmp, "protocol"), 1);
}

#[tokio::test]
async fn what_a_peer_says_makes_one_short_line() {
    let engine = engine().await;
    let mut events = engine.events();
    let call = "\u{1b}[2Jno\r\nsuch".repeat(500);
    codes_after(&engine, &rtmp_wire::command(0, &call, 1.0, vec![Value::Null])).await;
    let (reason, detail) = next_refusal(&mut events).await;
    assert_eq!(reason, "protocol");
    assert!(detail.chars().count() <= 200 && !detail.chars().any(char::is_control), "{detail:?}");
}

#[tokio::test]
async fn http_viewers_are_told_by_status() {
    let engine = engine().await;
    let mut events = engine.events();
    let remote = "192.0.2.1:5000".parse().unwrap();
    for (stream, query, status, reason) in [
        ("secret/cam", "", 401, "denied"),
        ("secret/cam", "key=wrong", 403, "denied"),
        ("live/none", "", 404, "not_found"),
        ("live/none", "a\"b", 400, "bad_query"),
    ] {
        let (stream, query) = (name(stream), query.to_owned());
        let request =
            HlsRequest { stream: stream.clone(), path: "index.m3u8".into(), query: query.clone(), remote };
        assert_eq!(soon(engine.hls().respond(request)).await.status, status);
        assert_eq!(next_refusal(&mut events).await.0, reason);
        if status == 400 {
            continue;
        }
        for format in [LiveFormat::Flv, LiveFormat::FlvWebSocket, LiveFormat::Ts] {
            let request = LiveRequest { stream: stream.clone(), query: query.clone(), remote, format };
            let error = soon(engine.live().open(request)).await.unwrap_err();
            assert_eq!(error.kind().http_status(), status);
            assert_eq!(next_refusal(&mut events).await.0, reason);
        }
    }
    assert_eq!(refusals(&engine, Protocol::Hls, "denied"), 2);
    for protocol in [Protocol::HttpFlv, Protocol::WsFlv, Protocol::HttpTs] {
        assert_eq!(refusals(&engine, protocol, "not_found"), 1);
    }
}

/// The refusals that were logged: what `suppressed` says in each line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u64>>>);

impl tracing::field::Visit for Lines {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "suppressed" {
            self.0.lock().unwrap().push(value);
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn fmt::Debug) {}
}

impl tracing::Subscriber for Lines {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_is_counted_whole_and_logged_in_part() {
    let lines = Lines::default();
    let _logging = tracing::subscriber::set_default(lines.clone());
    let engine = Engine::builder().start().await.unwrap();
    let ask = async || {
        let (stream, remote) = (name("live/cam"), "192.0.2.1:5000".parse().unwrap());
        let request = HlsRequest { stream, path: "index.m3u8".into(), query: "a\"b".into(), remote };
        assert_eq!(engine.hls().respond(request).await.status, 400);
    };
    for _ in 0..200 {
        ask().await;
    }
    assert_eq!(*lines.0.lock().unwrap(), [0; 50]);
    tokio::time::advance(Duration::from_secs(1)).await;
    ask().await;
    ask().await;
    assert_eq!(lines.0.lock().unwrap()[50..], [150, 0], "the first line says how many were left out");
    assert_eq!(refusals(&engine, Protocol::Hls, "bad_query"), 202);
}

/// Says no when it is dropped, as a judge whose verdict nobody waits for any more.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_authorizer_that_hangs_or_panics_has_said_no() {
    let gone = Arc::new(AtomicUsize::new(0));
    let judge = {
        let gone = Arc::clone(&gone);
        move |request: AccessRequest| {
            let deliberating = Gone(Arc::clone(&gone));
            async move {
                assert_ne!(request.stream.name(), "panic");
                std::future::pending::<()>().await;
                drop(deliberating);
                request.allow()
            }
        }
    };
    let engine = Engine::builder().authorize(judge).start().await.unwrap();
    let mut events = engine.events();
    let ask = |stream: &str| {
        let (stream, remote) = (name(stream), "192.0.2.1:5000".parse().unwrap());
        let request = HlsRequest { stream, path: "index.m3u8".into(), query: String::new(), remote };
        let hls = engine.hls();
        async move { hls.respond(request).await.status }
    };
    assert_eq!(ask("live/panic").await, 401);
    assert_eq!(next_refusal(&mut events).await.0, "authorizer_failed");
    assert_eq!(ask("live/hang").await, 401);
    assert_eq!(next_refusal(&mut events).await.0, "authorizer_timeout");
    assert_eq!(gone.load(Relaxed), 2);

    // A peer that leaves while it is judged leaves nothing behind.
    let left = tokio::time::timeout(Duration::from_millis(100), ask("live/hang")).await;
    assert!(left.is_err());
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(gone.load(Relaxed), 3);
}
