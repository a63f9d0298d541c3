//! Peers that publish over RTMP: what else they ask for is refused, and they are told to move when the engine goes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;
mod rtmp_wire;

use std::time::Duration;

use cruvz_core::{
    Event,
    protocol::rtmp::{ClientEvent, MediaKind, client::Role, code},
};
use cruvz_media::amf0::Value;
use live::{Peer, engine, name, rtmp_addr, soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A keyframe and what it needs: an avcC with one parameter set of either kind, and a slice.
const AVCC: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x42, 0xc0, 0x1e, 0xff, 0xe1, 0, 15, 0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf,
    0xe5, 0xc0, 0x44, 0, 0, 3, 0, 1, 0, 4, 0x68, 0xce, 0x3c, 0x80,
];
const KEYFRAME: &[u8] = &[0x17, 1, 0, 0, 0, 0, 0, 0, 2, 0x65, 0x88];

async fn publish(engine: &cruvz_core::Engine) -> Peer {
    let mut peer = Peer::ask(rtmp_addr(engine), Role::Publish, "live/cam").await.ok().unwrap();
    for (at, body) in [(0, AVCC), (0, KEYFRAME)] {
        peer.rtmp.send(MediaKind::Video, at, &[body]).unwrap();
    }
    peer.send().await;
    let stream = engine.stream(&name("live/cam")).unwrap();
    until(|| stream.is_playable()).await;
    peer
}

#[tokio::test]
async fn a_publisher_that_asks_for_more_is_refused_that_and_goes_on() {
    let engine = engine(|_| {}).await;
    let mut peer = publish(&engine).await;
    let mut viewer = engine.subscribe(name("live/cam")).await.unwrap();
    assert!(soon(viewer.next()).await.unwrap().keyframe);
    let create = rtmp_wire::command(0, "createStream", 9.0, vec![Value::Null]);
    let publish = rtmp_wire::command(2, "publish", 0.0, vec![Value::Null, "other".into(), "live".into()]);
    let play = rtmp_wire::command(2, "play", 0.0, vec![Value::Null, "other".into()]);
    for bytes in [create, publish, play] {
        peer.socket.write_all(&bytes).await.unwrap();
    }
    let mut said = Vec::new();
    let told = |said: &[u8], code: &str| said.windows(code.len()).any(|window| window == code.as_bytes());
    while ![code::PUBLISH_DENIED, code::PLAY_FAILED].iter().all(|code| told(&said, code)) {
        assert!(soon(peer.socket.read_buf(&mut said)).await.unwrap() > 0, "the connection goes on");
    }
    peer.rtmp.send(MediaKind::Video, 40, &[KEYFRAME]).unwrap();
    peer.send().await;
    let next = soon(viewer.next()).await.unwrap();
    assert_eq!((next.keyframe, &next.payload[..]), (true, &KEYFRAME[5..]));
    assert!(engine.stream(&name("live/other")).is_none());
}

#[tokio::test]
async fn a_publisher_is_asked_to_connect_anew_when_the_engine_drains() {
    let engine = engine(|_| {}).await;
    let mut peer = publish(&engine).await;
    let mut events = engine.events();
    let draining = tokio::spawn({
        let engine = engine.clone();
        async move { engine.drain(Duration::from_secs(60)).await }
    });
    until(|| engine.is_draining()).await;
    // What it sends still counts.
    peer.rtmp.send(MediaKind::Video, 40, &[KEYFRAME]).unwrap();
    match soon(peer.event()).await.unwrap() {
        ClientEvent::ReconnectRequested { description, .. } => {
            assert_eq!(description, "the server is shutting down")
        }
        other => panic!("{other:?}"),
    }
    assert!(!draining.is_finished(), "it is waited for");
    peer.rtmp.close();
    peer.send().await;
    soon(draining).await.unwrap();
    let mut ended = false;
    while !ended {
        ended = matches!(soon(events.next()).await.unwrap(), Event::SessionEnded { info, .. } if info.frames >= 2);
    }
}
