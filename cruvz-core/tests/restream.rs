//! Pushing and pulling between engines over real sockets, in plain and over TLS.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

use std::time::Duration;

use cruvz_core::{
    Engine, EngineConfig, ErrorKind, FileSource, Frame, Protocol, RemoteState, Role, Subscriber, TlsConfig,
    TrackKind,
};

/// 20 frames of H.264 with B-frames at 25 fps and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");

async fn with_clip() -> Engine {
    let engine = Engine::builder().rtmp("127.0.0.1:0").start().await.unwrap();
    engine.publish_file("live/cam".parse().unwrap(), FileSource::new(CLIP).repeat()).await.unwrap();
    engine
}

/// Video frames from the next keyframe on, until one comes twice: one pass of the clip.
async fn one_pass(subscriber: &mut Subscriber) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    let deadline = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let frame = subscriber.next().await.expect("the stream goes on");
            if subscriber.tracks().by_id(frame.track).map(cruvz_core::Track::kind) != Some(TrackKind::Video) {
                continue;
            }
            if frames.first().is_some_and(|first| first.payload == frame.payload) {
                return;
            }
            frames.push(frame);
        }
    });
    deadline.await.expect("in time");
    frames
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_and_pulled_is_what_was_published() {
    let source = with_clip().await;
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_pem, key_pem) = (certified.cert.pem(), certified.signing_key.serialize_pem());
    let tls = TlsConfig { cert_pem: cert_pem.clone().into(), key_pem: key_pem.into() };
    let target = Engine::builder().rtmps("127.0.0.1:0", tls).trust(cert_pem.clone()).start().await.unwrap();
    let pusher = Engine::builder().rtmp("127.0.0.1:0").trust(cert_pem.clone()).start().await.unwrap();

    // source → pulled by pusher → pushed over TLS to target → pulled over TLS by last.
    let from = source.local_addr(Protocol::Rtmp).unwrap();
    let pull = pusher.pull("live/cam".parse().unwrap(), &format!("rtmp://{from}/live/cam")).unwrap();
    let to = target.local_addr(Protocol::Rtmps).unwrap().port();
    let push = pusher
        .push("live/cam".parse().unwrap(), &format!("rtmps://localhost:{to}/out/copy?key=secret"))
        .unwrap();
    let last = Engine::builder().trust(cert_pem).start().await.unwrap();
    let back = last.pull("back/cam".parse().unwrap(), &format!("rtmps://localhost:{to}/out/copy")).unwrap();

    let mut original = source.subscribe("live/cam".parse().unwrap()).await.unwrap();
    let mut copy = last.subscribe("back/cam".parse().unwrap()).await.unwrap();
    let (original, copy) = tokio::join!(one_pass(&mut original), one_pass(&mut copy));
    let payloads = |frames: &[Frame]| frames.iter().map(|frame| frame.payload.clone()).collect::<Vec<_>>();
    assert_eq!(original.len(), 20);
    assert_eq!(payloads(&original), payloads(&copy));
    let composition = |frame: &Frame| (frame.pts.as_millis() - frame.dts.as_millis()) / 2;
    assert!(original.iter().zip(&copy).all(|(a, b)| composition(a) == composition(b)));
    for remote in [&pull, &push, &back] {
        assert_eq!(remote.state(), RemoteState::Running);
    }
    assert!(!push.target().contains("secret"));
    let roles: Vec<_> = pusher.sessions().iter().map(|session| session.role).collect();
    assert!(roles.contains(&Role::Pull) && roles.contains(&Role::Push));
    push.stop();
    assert_eq!(push.wait_for(|_| false).await, RemoteState::Stopped);
}

#[tokio::test]
async fn a_target_that_fails_is_tried_again_and_the_source_goes_on() {
    let source = with_clip().await;
    let placeholder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = placeholder.local_addr().unwrap();
    drop(placeholder);
    let push = source.push("live/cam".parse().unwrap(), &format!("rtmp://{addr}/live/copy")).unwrap();
    let state = push.wait_for(|state| matches!(state, RemoteState::Waiting { .. })).await;
    assert!(matches!(state, RemoteState::Waiting { reason } if reason.contains("cannot connect")));
    let mut config = EngineConfig::default();
    config.hub.grace_ms = 100;
    let target = Engine::builder().config(config).rtmp(addr.to_string()).start().await.unwrap();
    let reached =
        tokio::time::timeout(Duration::from_secs(10), push.wait_for(|state| *state == RemoteState::Running));
    assert_eq!(reached.await.expect("in time"), RemoteState::Running);
    target.shutdown().await;
    let lost =
        tokio::time::timeout(Duration::from_secs(10), push.wait_for(|state| *state != RemoteState::Running));
    assert!(matches!(lost.await.expect("in time"), RemoteState::Waiting { .. }));
    let mut viewer = source.subscribe("live/cam".parse().unwrap()).await.unwrap();
    assert!(viewer.next().await.is_some());
}

#[tokio::test]
async fn a_refusal_is_told_and_a_bad_url_is_an_error() {
    let target = Engine::builder()
        .rtmp("127.0.0.1:0")
        .authorize(|request: cruvz_core::AccessRequest| async move { request.deny("not today") });
    let target = target.start().await.unwrap();
    let source = with_clip().await;
    let addr = target.local_addr(Protocol::Rtmp).unwrap();
    let push = source.push("live/cam".parse().unwrap(), &format!("rtmp://{addr}/live/copy")).unwrap();
    let refused = push.wait_for(|state| matches!(state, RemoteState::Waiting { .. }));
    let state = tokio::time::timeout(Duration::from_secs(10), refused).await.expect("in time");
    assert!(matches!(&state, RemoteState::Waiting { reason } if reason.contains("not today")), "{state:?}");
    assert_eq!(
        source.push("live/cam".parse().unwrap(), "http://x/y").unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
}
