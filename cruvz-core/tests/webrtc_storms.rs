//! Many viewers of one WHIP publisher at once, over real sockets: what of it reaches the publisher.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod live;
mod rtc_peer;

use std::time::Duration;

use cruvz_core::{Action, Engine, Protocol, WebRtcAnswer, protocol::webrtc::Incoming};
use live::{Stage, name, refusals, soon, until};
use rtc_peer::{Connected, Peer, now, value};
use tokio::sync::watch;

const VIEWERS: u8 = 100;
/// As long as the storm lasts, once all viewers are there.
const STORM: Duration = Duration::from_secs(2);
/// Each viewer asks so often.
const ASKS_EVERY: Duration = Duration::from_millis(50);
/// What a publisher is spared.
const REQUESTS_EVERY: Duration = Duration::from_millis(300);

/// Sends 25 frames per second, keyframes only when asked, until told to stop. When it was asked.
async fn publish(mut peer: Connected, stopped: watch::Receiver<bool>) -> Vec<Duration> {
    let (mut next, mut keyframe, mut asked) = (now(), true, Vec::new());
    while !*stopped.borrow() {
        if now() >= next {
            next += Duration::from_millis(40);
            peer.send_frame(keyframe).await;
            keyframe = false;
        }
        if let Some(Incoming::Rtcp(compound)) = peer.step().await
            && asks_for_keyframe(&compound)
        {
            asked.push(now());
            keyframe = true;
        }
    }
    asked
}

/// Whether there is a PLI (RFC 4585 §6.3.1) or a FIR (RFC 5104 §4.3.1) in `compound`.
fn asks_for_keyframe(mut compound: &[u8]) -> bool {
    while let [first, kind, high, low, ..] = *compound {
        if kind == 206 && matches!(first & 0x1F, 1 | 4) {
            return true;
        }
        let length = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        compound = compound.get(length..).unwrap_or_default();
    }
    false
}

/// Joins and asks for a keyframe over and over until told to stop. How often it asked, and whether it began with one.
async fn storm(
    viewer: Peer,
    answer: WebRtcAnswer,
    arrived: watch::Sender<u8>,
    stopped: watch::Receiver<bool>,
) -> (u64, bool) {
    let ssrc: u32 = value(&answer.sdp, "a=ssrc:").split(' ').next().unwrap().parse().unwrap();
    let pli = [&[0x81, 206, 0, 2, 0, 0, 0, 1][..], &ssrc.to_be_bytes()].concat();
    let mut viewer = viewer.udp(&answer).await.connect().await;
    let first = viewer.packet().await;
    arrived.send_modify(|viewers| *viewers += 1);
    let (mut asked, mut next) = (0, now());
    while !*stopped.borrow() {
        if now() >= next {
            next += ASKS_EVERY;
            let mut datagram = Vec::new();
            viewer.transport.outbound().unwrap().seal_rtcp(&pli, &mut datagram);
            viewer.send(&datagram).await;
            asked += 1;
        }
        viewer.step().await;
    }
    // The lowest bit of the first byte behind the descriptor: an interframe (RFC 6386 §9.1).
    (asked, first.payload[1] & 1 == 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_viewers_that_ask_for_keyframes_make_three_requests_per_second() {
    let engine = Engine::builder().webrtc("127.0.0.1:0").start().await.unwrap();
    let peer = Peer::new(200);
    let answer = peer.ask(&engine, Action::Publish, "live/cam").await.unwrap();
    let (stop, stopped) = watch::channel(false);
    let publisher = tokio::spawn(publish(peer.udp(&answer).await.connect().await, stopped.clone()));
    until(|| engine.stream(&name("live/cam")).is_some_and(|stream| stream.is_playable())).await;

    let (arrived, mut viewers) = watch::channel(0);
    let mut storms = Vec::new();
    for seed in 0..VIEWERS {
        let viewer = Peer::new(seed);
        let answer = viewer.ask(&engine, Action::Play, "live/cam").await.unwrap();
        storms.push(tokio::spawn(storm(viewer, answer, arrived.clone(), stopped.clone())));
    }
    soon(viewers.wait_for(|viewers| *viewers == VIEWERS)).await.unwrap();
    tokio::time::sleep(STORM).await;
    stop.send_replace(true);

    let mut asked = 0;
    for storm in storms {
        let (times, began_with_keyframe) = storm.await.unwrap();
        assert!(began_with_keyframe);
        asked += times;
    }
    let requests = publisher.await.unwrap();
    let lasted = *requests.last().unwrap() - requests[0];
    println!("{asked} times {VIEWERS} viewers asked, {} requests came in {lasted:?}", requests.len());
    // One more, as they are counted where they arrive.
    let most = 2 + (lasted.as_millis() / REQUESTS_EVERY.as_millis()) as usize;
    assert!(requests.len() <= most, "{} requests in {lasted:?}", requests.len());
    assert!(lasted > STORM / 2 && requests.len() > 3, "requests get through at all: {requests:?}");
    assert!(asked > 10 * requests.len() as u64, "only {asked} were asked for");
}

/// The beginning of a DTLS handshake (RFC 6347 §4.3.2), whole and well-formed.
fn client_hello(number: u64) -> Vec<u8> {
    let random = [number.to_be_bytes(); 4].concat();
    let ciphers = [0, 4, 0xC0, 0x2B, 0xC0, 0x2F];
    let hello = [&[0xFE, 0xFD][..], &random, &[0, 0], &ciphers, &[1, 0]].concat();
    let length = [0, 0, hello.len() as u8];
    let message = [&[1][..], &length, &[0, 0, 0, 0, 0], &length, &hello].concat();
    let sequence = &number.to_be_bytes()[2..];
    [&[22, 0xFE, 0xFD, 0, 0][..], sequence, &[0, message.len() as u8], &message].concat()
}

/// Sends hellos from an address of its own as long as nobody stops it. How many, and how many answers came.
async fn race(server: std::net::SocketAddr, stopped: watch::Receiver<bool>) -> (u64, u64) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (mut sent, mut answers) = (0, 0);
    while !*stopped.borrow() {
        for _ in 0..4 {
            socket.send_to(&client_hello(sent), server).await.unwrap();
            sent += 1;
        }
        answers += u64::from(socket.try_recv(&mut [0; 2_048]).is_ok());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    (sent, answers)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_of_a_hundred_connect_while_strangers_send_hellos() {
    let engine = Engine::builder().webrtc("127.0.0.1:0").start().await.unwrap();
    let _stage = Stage::new(&engine, "live/cam", 100).await;
    let server = engine.local_addr(Protocol::WebRtc).unwrap();
    let (stop, stopped) = watch::channel(false);
    let races: Vec<_> = (0..2).map(|_| tokio::spawn(race(server, stopped.clone()))).collect();
    let mut connecting = Vec::new();
    for seed in 0..VIEWERS {
        let viewer = Peer::new(seed);
        let answer = viewer.ask(&engine, Action::Play, "live/cam").await.unwrap();
        connecting.push(tokio::spawn(async move { viewer.udp(&answer).await.connect().await }));
    }
    let mut connected = Vec::new();
    for viewer in connecting {
        connected.push(viewer.await.unwrap());
    }
    stop.send_replace(true);
    assert_eq!(connected.len(), usize::from(VIEWERS));
    for race in races {
        let (sent, answers) = race.await.unwrap();
        println!("{sent} hellos from a stranger, {answers} answers");
        assert!(sent > 100 && answers == 0, "{sent} hellos, {answers} answers");
    }
    assert!(refusals(&engine, Protocol::WebRtc, "stray_datagram") > 100);
}
