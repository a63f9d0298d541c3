//! MPEG-TS in bare datagrams: one source at a time, and the next when it has gone.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod live;

use std::net::{SocketAddr, UdpSocket};

use cruvz_core::{Engine, ErrorKind, Protocol, Remote, RemoteState, Role, SessionInfo};
use live::{engine, name, soon, until};

/// 10 pictures and 20 frames of sound.
const STREAM: &[u8] = include_bytes!("../../cruvz-media/tests/fixtures/mpegts/h264_aac.ts");
const PACKET: usize = 188;

/// A port that nobody has.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn pull(engine: &Engine, to: SocketAddr, options: &str) -> Remote {
    engine.pull(name("live/cam"), &format!("udp://{to}?{options}")).unwrap()
}

/// Sends packets as encoders do, seven in a datagram. A moment lies between two, as they come in at the rate of a disk.
async fn send(from: &UdpSocket, to: SocketAddr, stream: &[u8]) {
    for datagram in stream.chunks(7 * PACKET) {
        from.send_to(datagram, to).unwrap();
        tokio::task::yield_now().await;
    }
}

fn source() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

fn session(engine: &Engine) -> Option<SessionInfo> {
    engine.sessions().into_iter().find(|session| session.role == Role::Pull)
}

/// Waits until the socket is there: what is sent before is lost.
async fn listening(to: SocketAddr) {
    until(|| UdpSocket::bind(to).is_err()).await;
}

#[tokio::test]
async fn frames_come_out_as_they_went_in() {
    let (engine, to) = (engine(|_| {}).await, free());
    let pull = pull(&engine, to, "program=1");
    listening(to).await;
    assert_eq!(pull.state(), RemoteState::Connecting, "until something comes");
    let source = source();
    send(&source, to, STREAM).await;
    let mut subscriber = soon(engine.subscribe(name("live/cam"))).await.unwrap();
    assert!(soon(subscriber.next()).await.unwrap().keyframe);
    until(|| session(&engine).is_some_and(|session| session.frames >= 20)).await;
    let session = session(&engine).unwrap();
    assert_eq!((session.protocol, session.remote), (Protocol::Udp, Some(source.local_addr().unwrap())));
    let stats = session.mpegts.unwrap();
    assert_eq!((stats.continuity_errors, stats.dropped_units), (0, 0));
    assert_eq!(pull.state(), RemoteState::Running);
    pull.stop();
    soon(pull.wait_for(|state| *state == RemoteState::Stopped)).await;
}

#[tokio::test]
async fn nobody_mixes_into_a_stream_and_the_next_takes_over_when_it_ends() {
    let (engine, to) = (engine(|_| {}).await, free());
    let pull = pull(&engine, to, "timeout_ms=300");
    listening(to).await;
    let (first, second) = (source(), source());
    // No transport stream: not even a source.
    second.send_to(b"hello", to).unwrap();
    send(&first, to, &STREAM[..20 * PACKET]).await;
    until(|| session(&engine).is_some()).await;
    send(&second, to, STREAM).await;
    send(&first, to, &STREAM[20 * PACKET..]).await;
    let remote = |socket: &UdpSocket| Some(socket.local_addr().unwrap());
    until(|| session(&engine).is_some_and(|session| session.frames >= 10)).await;
    let known = session(&engine).unwrap();
    assert_eq!((known.remote, known.mpegts.unwrap().continuity_errors), (remote(&first), 0));
    soon(pull.wait_for(|state| *state == RemoteState::Connecting)).await;
    assert!(session(&engine).is_none(), "it said nothing for 300 ms");
    send(&second, to, STREAM).await;
    until(|| session(&engine).is_some_and(|session| session.remote == remote(&second))).await;
}

#[tokio::test]
async fn lost_packets_are_counted() {
    let (engine, to) = (engine(|_| {}).await, free());
    let _pull = pull(&engine, to, "");
    listening(to).await;
    let lossy = [&STREAM[..18 * PACKET], &STREAM[19 * PACKET..]].concat();
    send(&source(), to, &lossy).await;
    until(|| {
        let stats = session(&engine).and_then(|session| session.mpegts);
        stats.is_some_and(|stats| stats.continuity_errors == 1)
    })
    .await;
}

#[tokio::test]
async fn only_the_address_that_is_wanted_is_heard() {
    let (engine, to) = (engine(|_| {}).await, free());
    let _pull = pull(&engine, to, "from=127.0.0.2");
    listening(to).await;
    send(&source(), to, STREAM).await;
    let wanted = UdpSocket::bind("127.0.0.2:0").unwrap();
    send(&wanted, to, STREAM).await;
    until(|| session(&engine).is_some()).await;
    assert_eq!(session(&engine).unwrap().remote, Some(wanted.local_addr().unwrap()));
}

#[tokio::test]
async fn what_cannot_be_is_told() {
    let engine = engine(|_| {}).await;
    for url in ["udp://example.com:5000", "udp://:5000?x=1"] {
        let error = engine.pull(name("live/cam"), url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().starts_with("no UDP URL: "), "{error}");
    }
    let error = engine.push(name("live/cam"), "udp://127.0.0.1:5000").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let taken = source();
    let pull = pull(&engine, taken.local_addr().unwrap(), "");
    let state = soon(pull.wait_for(|state| matches!(state, RemoteState::Waiting { .. }))).await;
    assert!(matches!(state, RemoteState::Waiting { reason } if reason.contains("cannot listen on udp://")));
}
