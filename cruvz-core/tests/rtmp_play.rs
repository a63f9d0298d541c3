//! A client plays, and the driver's own media goes to it between our control messages.

#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use bytes::BytesMut;
use cruvz_core::protocol::rtmp::chunk::{MessageHeader, write_message};
use cruvz_core::protocol::rtmp::client::{ClientEvent, Role};
use cruvz_core::protocol::rtmp::message::kind;
use cruvz_core::protocol::rtmp::server::{Event, ServerConfig};
use cruvz_core::protocol::rtmp::{MediaKind, MediaMessage, code};
use cruvz_media::amf0::Value;
use rtmp_wire::{RawClient, Wire, chunks};

const URL: &str = "rtmp://host/live/cam";

#[test]
fn shared_bytes_play_on_every_connection() {
    let mut shared = BytesMut::new();
    let chunk_size = ServerConfig::default().chunk_size;
    let sent = [(MediaKind::Video, 0x00ff_fffe, 200_000), (MediaKind::Audio, 0x0100_0002, 7)];
    for (kind, timestamp_ms, length) in sent {
        write_message(&mut shared, &kind.header(timestamp_ms, 1), &[&vec![9; length]], chunk_size).unwrap();
    }
    for pings in 0..3 {
        let mut wire = Wire::start(Role::Play, URL);
        for _ in 0..pings {
            wire.server.send_status(1, code::PLAY_PUBLISH_NOTIFY, "it is there");
        }
        wire.run(|_, _| {});
        wire.client.receive(&shared).unwrap();
        wire.run(|_, _| {});
        let expected = sent.map(|(kind, timestamp_ms, length)| {
            let payload = vec![9; length].into();
            ClientEvent::Message(MediaMessage { stream_id: 1, kind, timestamp_ms, payload })
        });
        assert!(wire.client_events == expected);
    }
}

#[test]
fn a_player_is_told_what_players_expect() {
    let mut client = RawClient::connected(ServerConfig::default());
    client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
    client.received.clear();
    let values = vec![Value::Null, "cam?k=v".into(), Value::Number(-2000.0), Value::Number(-1000.0)];
    client.call(1, "play", 3.0, values).unwrap();
    let Event::PlayRequested(request) = &client.events[0] else { panic!("{:?}", client.events) };
    assert_eq!((&request.app[..], &request.name[..], request.stream_id), ("live", "cam", 1));
    assert_eq!((request.start_s, request.duration_s), (-2.0, -1.0));
    assert_eq!(request.params.get("k"), Some("v"));
    assert_eq!(client.received[0].payload[..], [0, 0, 0, 0, 0, 1], "stream begin");
    assert_eq!(client.codes(), [code::PLAY_RESET, code::PLAY_START]);
    let access = client.received.last().unwrap();
    assert_eq!(access.payload[..], b"\x02\x00\x11|RtmpSampleAccess\x01\x01\x01\x01"[..]);
    assert!(client.received[1..].iter().all(|message| message.header.stream_id == 1));
}

#[test]
fn without_reset_none_is_told() {
    for reset in [Value::Boolean(false), Value::Number(0.0)] {
        let mut client = RawClient::connected(ServerConfig::default());
        let values = vec![Value::Null, "cam".into(), Value::Number(-1.0), Value::Number(-1.0), reset];
        client.call(1, "play", 0.0, values).unwrap();
        assert_eq!(client.codes(), [code::PLAY_START]);
    }
}

#[test]
fn a_stream_that_is_not_there_is_said() {
    let mut wire = Wire::new(Role::Play, URL);
    wire.run(|server, event| {
        if let Event::PlayRequested(_) = event {
            server.reject_play(code::PLAY_STREAM_NOT_FOUND, "nobody publishes it").unwrap();
        }
    });
    assert!(matches!(&wire.client_events[..], [ClientEvent::Rejected(status)]
        if status.code == code::PLAY_STREAM_NOT_FOUND));
    let mut client = RawClient::connected(ServerConfig::default());
    client.call(1, "play", 0.0, vec![Value::Null, "?only=query".into()]).unwrap();
    assert_eq!(client.codes(), [code::PLAY_STREAM_NOT_FOUND]);
    assert_eq!(client.events, []);
}

#[test]
fn the_end_of_a_stream_reaches_the_player() {
    let mut wire = Wire::start(Role::Play, URL);
    wire.server.end(code::PLAY_UNPUBLISH_NOTIFY, "the publisher has gone");
    wire.run(|_, _| {});
    assert!(matches!(&wire.client_events[..], [ClientEvent::Ended(status)]
        if status.code == code::PLAY_UNPUBLISH_NOTIFY && status.level == "status"));
    assert!(wire.server.is_closing() && wire.client.is_closing());

    // Some servers only say it in a user control message.
    let mut wire = Wire::start(Role::Play, URL);
    let header = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::USER_CONTROL, stream_id: 0 };
    wire.client.receive(&chunks(header, &[0, 1, 0, 0, 0, 1])).unwrap();
    assert!(
        matches!(wire.client.poll_event(), Some(ClientEvent::Ended(status)) if status.code == code::PLAY_STOP)
    );
}

#[test]
fn a_player_leaves_politely() {
    let mut wire = Wire::start(Role::Play, URL);
    wire.client.close();
    wire.run(|_, _| {});
    assert_eq!(wire.server_events, [Event::PlayStopped { stream_id: 1 }]);
}

#[test]
fn media_without_a_start_is_a_start() {
    let mut wire = Wire::new(Role::Play, URL);
    let audio = MediaKind::Audio.header(5, 1);
    wire.run(|server, event| {
        if let Event::PlayRequested(_) = event {
            server.send_status(1, "NetStream.Play.Unknown", "");
            server.peer_closed();
        }
    });
    assert_eq!(wire.client_events, []);
    let mut out = BytesMut::new();
    write_message(&mut out, &audio, &[&[1]], 65_536).unwrap();
    wire.client.receive(&out).unwrap();
    assert_eq!(wire.client.poll_event(), Some(ClientEvent::Started { stream_id: 1 }));
    assert!(matches!(wire.client.poll_event(), Some(ClientEvent::Message(_))));
}

#[test]
fn a_player_pauses_seeks_and_chooses() {
    let mut client = RawClient::playing(ServerConfig::default());
    let call = |client: &mut RawClient, name: &str, value: Value| {
        client.call(1, name, 4.0, vec![Value::Null, value]).unwrap();
    };
    call(&mut client, "pause", true.into());
    call(&mut client, "pauseRaw", false.into());
    call(&mut client, "seek", Value::Number(5.0));
    call(&mut client, "receiveAudio", false.into());
    call(&mut client, "receiveVideo", true.into());
    assert_eq!(
        client.events,
        [
            Event::Paused { stream_id: 1, paused: true },
            Event::Paused { stream_id: 1, paused: false },
            Event::Wanted { stream_id: 1, kind: MediaKind::Audio, wanted: false },
            Event::Wanted { stream_id: 1, kind: MediaKind::Video, wanted: true },
        ]
    );
    assert_eq!(
        client.codes(),
        [code::PAUSE_NOTIFY, code::UNPAUSE_NOTIFY, code::SEEK_FAILED, code::SEEK_NOTIFY, code::PLAY_START,]
    );
    client.received.clear();
    for name in ["pause", "seek", "receiveAudio"] {
        client.call(2, name, 9.0, vec![Value::Null, true.into()]).unwrap();
    }
    assert_eq!(client.codes(), [code::CALL_FAILED; 3]);
    assert_eq!(client.server.rejected_commands(), 4);
}
