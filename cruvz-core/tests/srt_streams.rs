//! SRT between engines over real sockets: publishing, playing, encryption, refusals, and publishers that come and go.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod live;

use std::net::UdpSocket;

use cruvz_core::{
    AccessRequest, Action, Engine, EngineConfig, Event, FileSource, Frame, Protocol, Remote, RemoteState,
    Role, Subscriber, Track, TrackKind,
    config::{Passphrase, SecondPublisher},
};
use live::{name, refusals, soon, until};

/// 20 frames of H.264 with B-frames at 25 fps and AAC.
const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cruvz-media/tests/fixtures/mp4/avc-aac.mp4");
const PASSPHRASE: &str = "correct horse battery";

async fn srt_engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = EngineConfig::default();
    change(&mut config);
    Engine::builder().config(config).srt("127.0.0.1:0").start().await.unwrap()
}

/// An engine with a clip that goes round and round as live/cam.
async fn source() -> Engine {
    let engine = srt_engine(|_| {}).await;
    engine.publish_file(name("live/cam"), FileSource::new(CLIP).repeat()).await.unwrap();
    engine
}

fn url(engine: &Engine, stream_id: &str) -> String {
    format!("srt://{}?streamid={stream_id}", engine.local_addr(Protocol::Srt).unwrap())
}

/// The video frames of one pass of the clip.
async fn one_pass(subscriber: &mut Subscriber) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::new();
    soon(async {
        loop {
            let frame = subscriber.next().await.expect("the stream goes on");
            if subscriber.tracks().by_id(frame.track).map(Track::kind) != Some(TrackKind::Video) {
                continue;
            }
            if frames.first().is_some_and(|first| first.payload == frame.payload) {
                return;
            }
            frames.push(frame);
        }
    })
    .await;
    frames
}

async fn running(remote: &Remote) {
    assert_eq!(soon(remote.wait_for(|state| *state == RemoteState::Running)).await, RemoteState::Running);
}

/// Why a push or pull could not begin, or was ended.
async fn complaint(remote: &Remote) -> String {
    match soon(remote.wait_for(|state| matches!(state, RemoteState::Waiting { .. }))).await {
        RemoteState::Waiting { reason } => reason,
        state => panic!("{state:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_and_played_by_srt_is_what_was_there() {
    for (key, options) in [
        (false, ""),
        (true, "&passphrase=correct%20horse%20battery"),
        (true, "&passphrase=correct%20horse%20battery&pbkeylen=24"),
        (true, "&passphrase=correct%20horse%20battery&pbkeylen=32"),
    ] {
        let source = source().await;
        let relay = srt_engine(|config| {
            config.srt.passphrase = key.then(|| Passphrase::new(PASSPHRASE).unwrap());
        });
        let (relay, last) = tokio::join!(relay, srt_engine(|_| {}));
        let push = source.push(name("live/cam"), &(url(&relay, "publish:live/copy") + options)).unwrap();
        let pull =
            last.pull(name("live/back"), &(url(&relay, "%23!::r=live/copy,m=request") + options)).unwrap();
        let mut original = source.subscribe(name("live/cam")).await.unwrap();
        let mut copy = last.subscribe(name("live/back")).await.unwrap();
        let (original, copy) = tokio::join!(one_pass(&mut original), one_pass(&mut copy));
        assert_eq!((original.len(), copy.len()), (20, 20));
        // The clip has two keyframes to begin at.
        let begin = copy.iter().position(|frame| frame.payload == original[0].payload).expect("it is there");
        let copy = [&copy[begin..], &copy[..begin]].concat();
        assert!(original.iter().zip(&copy).all(|(a, b)| a.payload == b.payload), "{options}");
        let composition = |frame: &Frame| frame.pts.as_millis() - frame.dts.as_millis();
        let moved = original.iter().zip(&copy).map(|(a, b)| (composition(a) - composition(b)).abs()).max();
        assert!(moved <= Some(1), "{moved:?}");
        assert_eq!((push.state(), pull.state()), (RemoteState::Running, RemoteState::Running));

        // Both ends see the network.
        until(|| relay.sessions().iter().filter(|session| session.srt.is_some()).count() == 2).await;
        for session in relay.sessions() {
            assert_eq!(session.protocol, Protocol::Srt);
            assert!([Role::Publish, Role::Play].contains(&session.role) && session.frames > 0, "{session:?}");
            let srt = session.srt.unwrap();
            assert!(srt.packets > 0 && srt.dropped_packets == 0 && srt.rtt_ms > 0.0, "{srt:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_the_wrong_passphrase_or_none_is_told_and_disturbs_nobody() {
    let secret = srt_engine(|config| {
        config.srt.passphrase = Some(Passphrase::new(PASSPHRASE).unwrap());
        config.hub.second_publisher = SecondPublisher::TakeOver;
    })
    .await;
    let source = source().await;
    let right = url(&secret, "publish:live/copy") + "&passphrase=correct%20horse%20battery";
    running(&source.push(name("live/cam"), &right).unwrap()).await;
    let mut viewer = secret.subscribe(name("live/copy")).await.unwrap();
    for (options, told) in [("&passphrase=wrong%20horse%20battery", "10 BADSECRET"), ("", "11 UNSECURE")] {
        let push = source.push(name("live/cam"), &(url(&secret, "publish:live/copy") + options)).unwrap();
        let reason = complaint(&push).await;
        assert!(reason.contains(told), "{reason}");
        push.stop();
    }
    assert!(refusals(&secret, Protocol::Srt, "handshake") >= 2);
    let open = srt_engine(|_| {}).await;
    let encrypted = url(&open, "publish:live/copy") + "&passphrase=correct%20horse%20battery";
    let reason = complaint(&source.push(name("live/cam"), &encrypted).unwrap()).await;
    assert!(reason.contains("11 UNSECURE"), "{reason}");
    assert_eq!(one_pass(&mut viewer).await.len(), 20);
    let publishing = secret.sessions().into_iter().filter(|session| session.role == Role::Publish).count();
    assert_eq!(publishing, 1, "who cannot encrypt took nothing over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_has_the_code_of_its_reason() {
    let decide = |request: AccessRequest| async move {
        match (request.action, request.stream.name()) {
            (Action::Play, "secret") => request.deny("not yours"),
            _ => request.allow(),
        }
    };
    let server = Engine::builder().srt("127.0.0.1:0").authorize(decide).start().await.unwrap();
    server.publish_file(name("live/cam"), FileSource::new(CLIP).repeat()).await.unwrap();
    let other = source().await;
    for (stream_id, told) in [
        ("read:live/secret", "1401 UNAUTHORIZED"),
        ("read:live/secret?key=wrong", "1403 FORBIDDEN"),
        ("read:live/nobody", "1404 NOTFOUND"),
        ("read:no-stream", "1400 BAD_REQUEST"),
        ("read:../etc/passwd", "1400 BAD_REQUEST"),
    ] {
        let pull = other.pull(name("live/back"), &url(&server, stream_id)).unwrap();
        let reason = complaint(&pull).await;
        assert!(reason.contains(told), "{stream_id}: {reason}");
        pull.stop();
    }
    let second = other.push(name("live/cam"), &url(&server, "publish:live/cam")).unwrap();
    let reason = complaint(&second).await;
    assert!(reason.contains("1409 CONFLICT"), "{reason}");
    for reason in ["denied", "not_found", "bad_name", "already_exists"] {
        assert!(refusals(&server, Protocol::Srt, reason) > 0, "{reason} is not counted");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_that_comes_first_waits_for_the_publisher() {
    let (server, source, last) = tokio::join!(srt_engine(|_| {}), source(), srt_engine(|_| {}));
    let pull = last.pull(name("live/back"), &url(&server, "read:live/copy")).unwrap();
    until(|| server.sessions().iter().any(|session| session.role == Role::Play)).await;
    running(&source.push(name("live/cam"), &url(&server, "publish:live/copy")).unwrap()).await;
    running(&pull).await;
    let mut copy = last.subscribe(name("live/back")).await.unwrap();
    assert_eq!(one_pass(&mut copy).await.len(), 20);
    assert_eq!(refusals(&server, Protocol::Srt, "not_found"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_blinks_keeps_its_viewers_and_its_timeline() {
    let (server, source, last) = tokio::join!(srt_engine(|_| {}), source(), srt_engine(|_| {}));
    let publish = url(&server, "publish:live/copy");
    let push = source.push(name("live/cam"), &publish).unwrap();
    let pull = last.pull(name("live/back"), &url(&server, "read:live/copy")).unwrap();
    let mut copy = last.subscribe(name("live/back")).await.unwrap();
    let before = one_pass(&mut copy).await;
    let mut events = server.events();
    push.stop();
    soon(async { while !matches!(events.next().await, Some(Event::PublisherLost { .. })) {} }).await;
    let again = source.push(name("live/cam"), &publish).unwrap();
    soon(async { while !matches!(events.next().await, Some(Event::PublisherReturned { .. })) {} }).await;
    running(&again).await;
    let after = one_pass(&mut copy).await;
    assert!(after[0].dts > before[before.len() - 1].dts, "time goes on");
    assert_eq!(pull.state(), RemoteState::Running, "the viewer never left");
    let viewer = server.sessions().into_iter().find(|session| session.role == Role::Play).unwrap();
    assert_eq!((viewer.skips, viewer.dropped_frames), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_ended_ends_there_too_and_a_server_that_stops_says_so() {
    let (source, last) = tokio::join!(source(), srt_engine(|_| {}));
    let pull = last.pull(name("live/back"), &url(&source, "read:live/cam")).unwrap();
    running(&pull).await;
    until(|| source.sessions().iter().any(|session| session.role == Role::Play)).await;
    let viewer = source.sessions().into_iter().find(|session| session.role == Role::Play).unwrap();
    assert!(source.end_session(viewer.id, "enough"));
    assert!(complaint(&pull).await.contains("the peer closed the connection"));
    running(&pull).await;
    source.shutdown().await;
    assert!(complaint(&pull).await.contains("the peer closed the connection"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_meet_at_the_same_port_become_one_connection() {
    let (source, last) = tokio::join!(source(), srt_engine(|_| {}));
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let meet = |there, here| {
        format!("srt://127.0.0.{there}:{port}?mode=rendezvous&localaddr=127.0.0.{here}&passphrase=0123456789")
    };
    let pull = last.pull(name("live/back"), &meet(2, 1)).unwrap();
    let push = source.push(name("live/cam"), &meet(1, 2)).unwrap();
    tokio::join!(running(&pull), running(&push));
    let mut copy = last.subscribe(name("live/back")).await.unwrap();
    assert_eq!(one_pass(&mut copy).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_to_be_called_is_called() {
    let (source, last) = tokio::join!(source(), srt_engine(|_| {}));
    let addr = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pull =
        last.pull(name("live/back"), &format!("srt://{addr}?mode=listener&streamid=this%20one")).unwrap();
    let wrong = source.push(name("live/cam"), &format!("srt://{addr}?streamid=another")).unwrap();
    assert!(complaint(&wrong).await.contains("1403 FORBIDDEN"));
    wrong.stop();
    running(&source.push(name("live/cam"), &format!("srt://{addr}?streamid=this%20one")).unwrap()).await;
    running(&pull).await;
    let mut copy = last.subscribe(name("live/back")).await.unwrap();
    assert_eq!(one_pass(&mut copy).await.len(), 20);
}
