//! Viewers over TLS, to whom no shard can write: they jump, are cut and told the end as those on plain sockets are.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;
mod rtmp_wire;

use std::sync::Arc;

use cruvz_core::{
    Engine, EngineConfig, Event, Events, Protocol, SessionInfo, TlsConfig,
    protocol::rtmp::{ClientEvent, client::Role, code},
};
use cruvz_media::amf0::Value;
use live::{KEYFRAME_EVERY, Peer, Stage, name, number_in, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, pem::PemObject},
    },
};

type Viewer = Peer<TlsStream<TcpStream>>;

/// An engine with RTMPS whose kernel holds little for each viewer, and the certificate to trust.
async fn engine(change: impl FnOnce(&mut EngineConfig)) -> (Engine, CertificateDer<'static>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_pem, key_pem) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let tls = TlsConfig { cert_pem: cert_pem.clone().into(), key_pem: key_pem.into() };
    let mut config = EngineConfig::default();
    config.egress.send_buffer_bytes = 16_384;
    config.event_capacity = 65_536;
    change(&mut config);
    let engine = Engine::builder().config(config).rtmps("127.0.0.1:0", tls).start().await.unwrap();
    (engine, CertificateDer::from_pem_slice(cert_pem.as_bytes()).unwrap())
}

async fn watch((engine, cert): &(Engine, CertificateDer<'static>)) -> Viewer {
    let addr = engine.local_addr(Protocol::Rtmps).unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16_384).unwrap();
    let socket = socket.connect(addr).await.unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let tls = soon(connector.connect("localhost".try_into().unwrap(), socket)).await.unwrap();
    Peer::ask_on(tls, addr, Role::Play, "live/cam").await.ok().unwrap()
}

/// How the next session ended.
async fn end_of_session(events: &mut Events) -> (SessionInfo, String) {
    soon(async {
        loop {
            if let Event::SessionEnded { info, reason } = events.next().await.unwrap() {
                return (*info, reason);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_viewer_that_fell_behind_jumps_to_the_newest_keyframe_and_is_counted() {
    let stage_and_door = engine(|_| {}).await;
    let engine = &stage_and_door.0;
    let mut stage = Stage::new(engine, "live/cam", 20_000).await;
    let mut viewer = watch(&stage_and_door).await;
    viewer.watch(0).await;
    let mut events = engine.events();
    // Three times 12 s of media that it does not read while they come.
    for _ in 0..3 {
        for _ in 0..300 {
            stage.write(1);
            tokio::task::yield_now().await;
        }
        viewer.watch(stage.written - 1).await;
    }
    let gaps: Vec<_> = viewer.frames.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
    assert!(gaps.len() >= 3 && gaps.iter().all(|pair| pair[1] % KEYFRAME_EVERY == 0), "{gaps:?}");
    let missed: i64 = gaps.iter().map(|pair| pair[1] - pair[0] - 1).sum();
    let sessions = engine.sessions();
    let info = sessions.iter().find(|session| session.protocol == Protocol::Rtmps).unwrap();
    assert_eq!((info.skips as usize, info.dropped_frames), (gaps.len(), missed as u64));
    let mut told = 0;
    while told < missed {
        if let Event::ViewerSkipped { dropped_frames, .. } = soon(events.next()).await.unwrap() {
            told += dropped_frames as i64;
        }
    }
    assert_eq!(told, missed);
}

#[tokio::test]
async fn a_viewer_that_reads_nothing_is_cut() {
    let stage_and_door = engine(|config| config.egress.stuck_timeout_ms = 100).await;
    let mut stage = Stage::new(&stage_and_door.0, "live/cam", 200_000).await;
    let mut events = stage_and_door.0.events();
    let _stuck = watch(&stage_and_door).await;
    stage.write(20);
    let (info, reason) = end_of_session(&mut events).await;
    assert_eq!((info.protocol, &reason[..]), (Protocol::Rtmps, "took nothing for too long"));
}

#[tokio::test]
async fn a_viewer_may_speak_is_refused_what_it_may_not_and_leaves_when_it_says_so() {
    let stage_and_door = engine(|_| {}).await;
    let mut stage = Stage::new(&stage_and_door.0, "live/cam", 100).await;
    let mut events = stage_and_door.0.events();
    let mut viewer = watch(&stage_and_door).await;
    let create = rtmp_wire::command(0, "createStream", 9.0, vec![Value::Null]);
    let publish = rtmp_wire::command(2, "publish", 0.0, vec![Value::Null, "other".into(), "live".into()]);
    let play = rtmp_wire::command(2, "play", 0.0, vec![Value::Null, "other".into()]);
    for bytes in [create, publish, play] {
        viewer.socket.write_all(&bytes).await.unwrap();
    }
    let mut said = Vec::new();
    while ![code::PUBLISH_DENIED, code::PLAY_FAILED].iter().all(|code| holds(&said, code.as_bytes())) {
        assert!(soon(viewer.socket.read_buf(&mut said)).await.unwrap() > 0, "the connection goes on");
    }
    stage.write(30);
    while number_in(&said) != Some(30) {
        assert!(soon(viewer.socket.read_buf(&mut said)).await.unwrap() > 0, "it plays on");
    }
    let leave = rtmp_wire::command(0, "deleteStream", 0.0, vec![Value::Null, 1.0.into()]);
    viewer.socket.write_all(&leave).await.unwrap();
    assert_eq!(end_of_session(&mut events).await.1, "player stopped");

    let left = watch(&stage_and_door).await;
    drop(left);
    let (_, reason) = end_of_session(&mut events).await;
    assert!(reason.contains("left") || reason.contains("close_notify"), "{reason}");
}

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[tokio::test]
async fn the_end_is_told() {
    let stage_and_door = engine(|_| {}).await;
    let mut stage = Stage::new(&stage_and_door.0, "live/cam", 100).await;
    let mut viewer = watch(&stage_and_door).await;
    stage.write(5);
    viewer.watch(5).await;
    stage_and_door.0.stream(&name("live/cam")).unwrap().end("the show is over");
    let end = loop {
        match soon(viewer.event()).await.expect("it is told before the connection closes") {
            ClientEvent::Ended(status) => break status,
            ClientEvent::Message(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(&end.code[..], code::PLAY_UNPUBLISH_NOTIFY);
    assert!(end.description.contains("the show is over"), "{end:?}");
}
