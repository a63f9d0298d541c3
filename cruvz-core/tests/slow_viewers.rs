//! Viewers that take 10 kB/s beside good ones: the good ones lose nothing, the slow ones jump to keyframes and are counted.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;

use std::{future::poll_fn, net::SocketAddr, pin::Pin, task::Poll};

use cruvz_core::{
    Event,
    protocol::rtmp::{ClientEvent, client::Role},
};
use live::{KEYFRAME_EVERY, Peer, Stage, engine, rtmp_addr};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    net::TcpSocket,
};

const GOOD: usize = 20;
const SLOW: usize = 10;
/// 12 s of media at 25 frames per second and 4 Mbit/s.
const FRAMES: usize = 300;
const FRAME_BYTES: usize = 20_000;
/// In the 40 ms of a frame: 10 kB/s.
const TAKEN_PER_FRAME: usize = 400;

/// A viewer whose kernel holds little for it.
async fn slow_viewer(addr: SocketAddr) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16_384).unwrap();
    let socket = socket.connect(addr).await.unwrap();
    Peer::ask_on(socket, addr, Role::Play, "live/cam").await.ok().unwrap()
}

/// Takes a little of what has come already.
async fn take_little(viewer: &mut Peer) {
    let mut buffer = [0; TAKEN_PER_FRAME];
    let mut buffer = ReadBuf::new(&mut buffer);
    poll_fn(|cx| {
        let _ = Pin::new(&mut viewer.socket).poll_read(cx, &mut buffer);
        Poll::Ready(())
    })
    .await;
    viewer.rtmp.receive(buffer.filled()).unwrap();
}

fn frames_so_far(viewer: &mut Peer) {
    while let Some(event) = viewer.rtmp.poll_event() {
        if let ClientEvent::Message(media) = event {
            viewer.frames.extend(live::number(&media));
        }
    }
}

#[tokio::test]
async fn slow_viewers_cost_good_ones_nothing_and_jump_to_keyframes() {
    let engine = engine(|config| {
        config.egress.send_buffer_bytes = 16_384;
        config.event_capacity = 65_536;
    })
    .await;
    let addr = rtmp_addr(&engine);
    let mut stage = Stage::new(&engine, "live/cam", FRAME_BYTES).await;
    let (mut good, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..GOOD {
        good.push(Peer::ask(addr, Role::Play, "live/cam").await.ok().unwrap());
    }
    for _ in 0..SLOW {
        slow.push(slow_viewer(addr).await);
    }
    let mut events = engine.events();
    for _ in 0..FRAMES {
        stage.write(1);
        for viewer in &mut good {
            viewer.watch(stage.written - 1).await;
        }
        for viewer in &mut slow {
            take_little(viewer).await;
        }
    }
    assert!(good.iter().all(|viewer| viewer.lost_nothing() && viewer.frames.len() > FRAMES));

    let by_port = |viewer: &Peer| {
        let remote = viewer.socket.local_addr().unwrap();
        engine.sessions().into_iter().find(|session| session.remote == Some(remote)).unwrap()
    };
    assert!(good.iter().all(|viewer| by_port(viewer).dropped_frames == 0));
    let (mut skips, mut dropped) = (0, 0);
    for viewer in &mut slow {
        // Now it takes what is left, up to the live edge.
        let mut buffer = vec![0; 1 << 16];
        while viewer.frames.last() != Some(&(stage.written - 1)) {
            let n = live::soon(viewer.socket.read(&mut buffer)).await.unwrap();
            assert!(n > 0, "it is not cut");
            viewer.rtmp.receive(&buffer[..n]).unwrap();
            frames_so_far(viewer);
        }
        let gaps: Vec<_> = viewer.frames.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
        assert!(!gaps.is_empty() && gaps.iter().all(|pair| pair[1] % KEYFRAME_EVERY == 0), "{gaps:?}");
        let missed: i64 = gaps.iter().map(|pair| pair[1] - pair[0] - 1).sum();
        let info = by_port(viewer);
        assert_eq!((info.skips as usize, info.dropped_frames), (gaps.len(), missed as u64));
        skips += gaps.len();
        dropped += missed;
    }
    let (mut told, mut told_dropped) = (0, 0);
    while told < skips {
        if let Event::ViewerSkipped { dropped_frames, .. } = live::soon(events.next()).await.unwrap() {
            told += 1;
            told_dropped += dropped_frames;
        }
    }
    assert_eq!(told_dropped, dropped as u64);
}
