//! FLV as a viewer meets it: on a socket that was handed over, in WebSocket messages, and as a body piece by piece.

#![allow(clippy::unwrap_used, reason = "a test")]

mod live;

use cruvz_core::{
    Engine, ErrorKind, Event, Events, LiveFormat, LiveRequest, LiveViewer, Role, config::Overflow,
};
use cruvz_media::container::flv::file::{Limits, Reader};
use live::{KEYFRAME_EVERY, Stage, engine, name, number_in, read_to_end, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

async fn open(engine: &Engine, websocket: bool) -> LiveViewer {
    let (stream, remote) = (name("live/cam"), "192.0.2.1:5000".parse().unwrap());
    let format = if websocket { LiveFormat::FlvWebSocket } else { LiveFormat::Flv };
    let request = LiveRequest { stream, query: String::new(), remote, format };
    soon(engine.live().open(request)).await.unwrap()
}

/// Hands a socket over; the viewer's end of it.
async fn served(engine: &Engine, websocket: bool) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let viewer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (socket, _) = listener.accept().await.unwrap();
    open(engine, websocket).await.serve(socket, HEAD.into()).unwrap();
    viewer
}

/// The numbers of the frames in the bytes of an FLV file.
fn frames(flv: &[u8]) -> Vec<i64> {
    let mut reader = Reader::new(Limits::default());
    reader.push(flv);
    std::iter::from_fn(|| reader.next_tag().unwrap()).filter_map(|tag| number_in(&tag.body)).collect()
}

/// Reads until the bytes end with frame `last`, which is then whole, and what stands behind it: the size of its tag.
async fn read_to_frame(viewer: &mut TcpStream, said: &mut Vec<u8>, last: i64) {
    while said.len() < 4 || number_in(&said[..said.len() - 4]) != Some(last) {
        assert!(soon(viewer.read_buf(said)).await.unwrap() > 0, "the stream goes on");
    }
}

async fn end_of_session(events: &mut Events) -> String {
    soon(async {
        loop {
            if let Event::SessionEnded { reason, .. } = events.next().await.unwrap() {
                return reason;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_socket_gets_a_file_that_begins_at_the_newest_keyframe_and_has_no_end_before_the_stream() {
    let engine = engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 1_000).await;
    stage.write(29);
    let mut events = engine.events();
    let mut viewer = served(&engine, false).await;
    viewer.write_all(b"what a player says now is passed over").await.unwrap();
    let mut said = Vec::new();
    read_to_frame(&mut viewer, &mut said, 29).await;
    stage.write(40);
    read_to_frame(&mut viewer, &mut said, 69).await;
    let flv = said.strip_prefix(HEAD).unwrap();
    assert_eq!(flv[..13], *b"FLV\x01\x01\0\0\0\x09\0\0\0\0", "video alone");
    assert_eq!(frames(flv), (KEYFRAME_EVERY..70).collect::<Vec<_>>());
    engine.stream(&name("live/cam")).unwrap().end("the show is over");
    assert!(read_to_end(&mut viewer).await.is_empty());
    assert_eq!(end_of_session(&mut events).await, "the show is over");
}

/// The payloads of a server's WebSocket frames, with their first bytes.
fn messages(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut all = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (u16::from_be_bytes([rest[0], rest[1]]).into(), &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().unwrap()) as usize, &rest[8..]),
            length => (usize::from(*length), rest),
        };
        let (payload, left) = rest.split_at(length);
        all.push((*first, payload));
        bytes = left;
    }
    all
}

#[tokio::test]
async fn a_websocket_gets_each_tag_as_a_message_its_pings_answered_and_the_reason_of_the_end() {
    const BINARY: u8 = 0x82;
    let engine = engine(|_| {}).await;
    // One message of each size of length field.
    let mut stage = Stage::new(&engine, "live/cam", 20).await;
    let mut viewer = served(&engine, true).await;
    let mut said = Vec::new();
    read_to_frame(&mut viewer, &mut said, 0).await;
    for (number, bytes) in [(1, 1_000), (2, 70_000)] {
        stage.payload = vec![b'.'; bytes];
        stage.write(1);
        read_to_frame(&mut viewer, &mut said, number).await;
    }
    // A ping of "hi" under the mask 0.
    viewer.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
    while !said.ends_with(b"\x8a\x02hi") {
        assert!(soon(viewer.read_buf(&mut said)).await.unwrap() > 0);
    }
    engine.stream(&name("live/cam")).unwrap().end("over");
    said.extend(read_to_end(&mut viewer).await);
    let messages = messages(said.strip_prefix(HEAD).unwrap());
    assert_eq!(*messages.last().unwrap(), (0x88, &b"\x03\xe9over"[..]), "going away, and why");
    let media = messages.iter().filter(|(first, _)| *first == BINARY).map(|(_, payload)| *payload);
    assert!(media.clone().skip(1).all(|tag| matches!(tag[0], 8 | 9 | 18)), "a tag each");
    assert_eq!(frames(&media.collect::<Vec<_>>().concat()), [0, 1, 2]);
}

#[tokio::test]
async fn a_body_is_what_a_socket_gets() {
    let engine = engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 1_000).await;
    let mut socket = served(&engine, false).await;
    let mut body = open(&engine, false).await;
    let (mut on_socket, mut in_body) = (Vec::new(), HEAD.to_vec());
    for last in [0, 10, 11] {
        stage.write((last + 1 - stage.written) as usize);
        read_to_frame(&mut socket, &mut on_socket, last).await;
        while in_body.len() < on_socket.len() {
            in_body.extend_from_slice(&soon(body.next()).await.unwrap());
        }
    }
    assert!(on_socket == in_body);
    let sessions = engine.sessions();
    let viewers = sessions.iter().filter(|session| session.role == Role::Play);
    let bytes: Vec<u64> = viewers.map(|session| session.bytes).collect();
    assert_eq!(bytes, [on_socket.len() as u64, (in_body.len() - HEAD.len()) as u64]);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let late = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let refused = body.serve(late, HEAD.into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_body_that_is_read_too_late_goes_on_at_the_newest_keyframe() {
    let engine = engine(|_| {}).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let mut body = open(&engine, false).await;
    let mut flv = Vec::new();
    let mut events = engine.events();
    for jump in 0..=10 {
        while flv.len() < 4 || number_in(&flv[..flv.len() - 4]) != Some(stage.written - 1) {
            flv.extend_from_slice(&soon(body.next()).await.unwrap());
        }
        assert_eq!(engine.sessions().iter().map(|session| session.skips).sum::<u32>(), jump);
        stage.write(100);
    }
    assert_eq!(soon(body.next()).await, None, "ten jumps within half a minute are borne");
    drop(body);
    assert_eq!(end_of_session(&mut events).await, "too slow for this stream");
    let frames = frames(&flv);
    let gaps = frames.windows(2).filter(|pair| pair[1] != pair[0] + 1);
    assert!(gaps.clone().all(|pair| pair[1] % KEYFRAME_EVERY == 0));
    assert_eq!(gaps.count(), 10);
}

#[tokio::test]
async fn a_body_ends_with_its_session_its_stream_or_its_first_jump_where_none_is_allowed() {
    let engine = engine(|config| config.egress.overflow = Overflow::Disconnect).await;
    let mut stage = Stage::new(&engine, "live/cam", 100).await;
    let mut events = engine.events();
    let begun = async |engine: &Engine| {
        let mut body = open(engine, false).await;
        soon(body.next()).await.unwrap();
        soon(body.next()).await.unwrap();
        body
    };
    let mut body = begun(&engine).await;
    let session = engine.sessions().last().unwrap().id;
    let (end, told) = tokio::join!(soon(body.next()), async { engine.end_session(session, "enough") });
    assert!(end.is_none() && told);
    assert_eq!(soon(body.next()).await, None, "it stays ended");
    drop(body);
    assert_eq!(end_of_session(&mut events).await, "enough");

    let mut body = begun(&engine).await;
    stage.write(200);
    assert_eq!(soon(body.next()).await, None);
    drop(body);
    assert_eq!(end_of_session(&mut events).await, "too slow for this stream");

    let mut body = begun(&engine).await;
    engine.stream(&name("live/cam")).unwrap().end("over");
    assert_eq!(soon(body.next()).await, None);
    drop(body);
    assert_eq!(end_of_session(&mut events).await, "over");
}
