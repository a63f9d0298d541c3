//! Peers that mean harm: they get an error, never a panic, and bounded memory and work.

#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use bytes::{BufMut, BytesMut};
use cruvz_core::protocol::rtmp::chunk::MessageHeader;
use cruvz_core::protocol::rtmp::client::{ClientConfig, ClientConnection, Role};
use cruvz_core::protocol::rtmp::message::kind;
use cruvz_core::protocol::rtmp::server::{Event, ServerConfig};
use cruvz_core::protocol::rtmp::{Error, ServerHandshake, code};
use cruvz_media::amf0::{self, Object, Value};
use proptest::prelude::*;
use rtmp_wire::{RawClient, chunks, command, server};

const COMMAND: MessageHeader = MessageHeader { csid: 3, timestamp_ms: 0, kind: kind::COMMAND, stream_id: 0 };

/// A `connect` whose object is nested `depth` deep.
fn nested_connect(depth: usize) -> BytesMut {
    let mut payload = BytesMut::from(&b"\x02\x00\x07connect\x00\x3f\xf0\0\0\0\0\0\0"[..]);
    for _ in 0..depth {
        payload.put_slice(b"\x03\x00\x01a");
    }
    chunks(COMMAND, &payload)
}

#[test]
fn deep_commands_end_the_connection_and_nothing_else() {
    for depth in [10, 100, 1_000, 10_000] {
        let mut client = RawClient::new(ServerConfig::default());
        let refused = client.send_bytes(&nested_connect(depth));
        assert!(matches!(refused, Err(Error::Command(_))), "{depth}: {refused:?}");
        assert!(client.server.is_closing());
    }
    // Longer ones do not even get there.
    let mut client = RawClient::new(ServerConfig::default());
    let refused = client.send_bytes(&nested_connect(1_000_000));
    assert_eq!(refused, Err(Error::MessageTooLong { bytes: 4_000_019, limit: 65_536 }));
}

#[test]
fn many_values_end_the_connection() {
    let mut client = RawClient::new(ServerConfig::default());
    let values = vec![Value::Null; 5_000];
    let refused = client.call(0, "connect", 1.0, values);
    assert_eq!(refused, Err(Error::Command(amf0::Error::TooManyValues(1_024))));
}

#[test]
fn the_first_command_is_connect_and_only_the_first() {
    let mut client = RawClient::new(ServerConfig::default());
    let refused = client.call(0, "createStream", 1.0, vec![]);
    assert_eq!(refused, Err(Error::CommandOutOfPlace("createStream".into())));
    let mut client = RawClient::connected(ServerConfig::default());
    client.connect(Object::new());
    assert_eq!(client.codes(), [code::CALL_FAILED]);
}

#[test]
fn a_connect_without_anything_is_a_connect() {
    let mut client = RawClient::new(ServerConfig::default());
    client.call(0, "connect", 1.0, vec![]).unwrap();
    let Event::ConnectRequested(request) = &client.events[0] else { panic!("{:?}", client.events) };
    assert_eq!((request.app(), request.tc_url(), request.caps_ex()), ("", None, 0));
}

#[test]
fn streams_are_counted() {
    let mut client = RawClient::connected(ServerConfig::default());
    for _ in 0..9 {
        client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
    }
    assert_eq!(client.codes(), [code::CALL_FAILED]);
    for (name, stream_id) in [("publish", 77), ("play", 78)] {
        client.call(stream_id, name, 2.0, vec![Value::Null, "cam".into()]).unwrap();
    }
    assert_eq!(client.codes(), [code::CALL_FAILED; 3]);
    client.call(0, "deleteStream", 0.0, vec![Value::Null, Value::Number(1e300)]).unwrap();
    client.call(0, "deleteStream", 0.0, vec![Value::Null, Value::Number(3.0)]).unwrap();
    client.call(0, "createStream", 4.0, vec![Value::Null]).unwrap();
    assert_eq!(client.commands().last().unwrap().2, [Value::Null, Value::Number(3.0)], "the free id");
}

#[test]
fn unknown_commands_end_only_what_was_not_granted() {
    let mut client = RawClient::connected(ServerConfig::default());
    for _ in 0..32 {
        client.call(0, "mystery", 5.0, vec![Value::Null]).unwrap();
    }
    assert_eq!(client.codes(), vec![code::CALL_FAILED; 32]);
    assert_eq!(client.call(0, "mystery", 0.0, vec![]), Err(Error::TooManyRejectedCommands(32)));

    let mut client = RawClient::playing(ServerConfig::default());
    for _ in 0..100 {
        client.call(0, "mystery", 5.0, vec![]).unwrap();
        client.send(COMMAND, b"\x02\xff").unwrap();
        client.send(COMMAND, b"").unwrap();
        client.send(COMMAND, b"\x05").unwrap();
    }
    assert_eq!(client.server.rejected_commands(), 400);
    assert!(!client.server.is_closing());
}

#[test]
fn a_peer_that_asks_and_does_not_read_is_cut_off() {
    let ping = chunks(
        MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::USER_CONTROL, stream_id: 0 },
        &[0, 6, 0, 0, 0, 1],
    );
    let mut client = RawClient::playing(ServerConfig::default());
    let flood: Vec<u8> = ping.iter().copied().cycle().take(ping.len() * 10_000).collect();
    assert_eq!(client.server.receive(&flood), Err(Error::TooMuchUnsent(65_536)));
    let call = command(0, "FCPublish", 2.0, vec![]);
    let calls: Vec<u8> = call.iter().copied().cycle().take(call.len() * 2_000).collect();
    let mut client = RawClient::connected(ServerConfig::default());
    assert_eq!(client.server.receive(&calls), Err(Error::TooMuchUnsent(65_536)));

    let mut client = RawClient::playing(ServerConfig::default());
    for piece in flood.chunks(1_800) {
        client.send_bytes(piece).unwrap();
    }
    assert!(!client.server.is_closing(), "one that reads is served");
}

#[test]
fn a_new_bandwidth_is_answered_by_a_window_once() {
    let mut client = RawClient::playing(ServerConfig::default());
    let header = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::SET_PEER_BANDWIDTH, stream_id: 0 };
    for _ in 0..3 {
        client.send(header, &[0, 1, 0, 0, 2]).unwrap();
    }
    let kinds: Vec<_> = client.received.iter().map(|message| message.header.kind).collect();
    assert_eq!(kinds, [kind::WINDOW_ACK_SIZE]);
}

#[test]
fn control_messages_that_are_too_short_are_errors() {
    for (kind, payload) in [
        (kind::USER_CONTROL, &[0][..]),
        (kind::USER_CONTROL, &[0, 6, 0]),
        (kind::WINDOW_ACK_SIZE, &[1, 2, 3]),
        (kind::SET_PEER_BANDWIDTH, &[]),
    ] {
        let mut client = RawClient::playing(ServerConfig::default());
        let header = MessageHeader { csid: 2, timestamp_ms: 0, kind, stream_id: 0 };
        let bytes = payload.len();
        assert_eq!(client.send(header, payload), Err(Error::ControlMessage { kind, bytes }));
        assert_eq!(client.codes(), [code::CONNECT_CLOSED], "it is told why");
    }
    let mut client = RawClient::playing(ServerConfig::default());
    let header = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::USER_CONTROL, stream_id: 0 };
    client.send(header, &[0, 26, 1]).unwrap();
    client.send(MessageHeader { kind: kind::ACKNOWLEDGEMENT, ..header }, &[]).unwrap();
}

#[test]
fn a_large_message_is_for_publishers() {
    let mut client = RawClient::playing(ServerConfig::default());
    let video = MessageHeader { csid: 6, timestamp_ms: 0, kind: kind::VIDEO, stream_id: 1 };
    assert!(matches!(client.send(video, &[0; 70_000]), Err(Error::MessageTooLong { .. })));

    let mut client = RawClient::connected(ServerConfig::default());
    client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
    client.call(1, "publish", 0.0, vec![Value::Null, "cam".into()]).unwrap();
    client.send(video, &vec![0; 8 << 20]).unwrap();
    client.call(1, "closeStream", 0.0, vec![Value::Null]).unwrap();
    assert!(matches!(client.send(video, &[0; 70_000]), Err(Error::MessageTooLong { .. })));
}

/// Bytes of a server up to and including its handshake.
fn server_handshake(c0c1: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    ServerHandshake::new(9).receive(&mut &c0c1[..], &mut out).unwrap();
    out
}

/// Feeds `bytes` to a client that has just shaken hands.
fn feed_client(bytes: &[u8], step: usize, role: Role) {
    let url = "rtmp://host/live/cam".parse().unwrap();
    let mut client = ClientConnection::new(ClientConfig::default(), url, role, 2);
    let hello = client.poll_transmit().unwrap();
    client.receive(&server_handshake(&hello)).unwrap();
    for piece in bytes.chunks(step) {
        if client.receive(piece).is_err() {
            return;
        }
        while client.poll_event().is_some() {}
        while client.poll_transmit().is_some() {}
    }
}

/// A plausible answer of a server, to be damaged.
fn answers() -> BytesMut {
    let status =
        |code: &str| vec![Value::Null, Object::new().with("level", "status").with("code", code).into()];
    let mut bytes = command(0, "_result", 1.0, status(code::CONNECT_SUCCESS));
    bytes.unsplit(command(0, "_result", 4.0, vec![Value::Null, Value::Number(1.0)]));
    bytes.unsplit(command(1, "onStatus", 0.0, status(code::PLAY_START)));
    bytes.unsplit(chunks(
        MessageHeader { csid: 6, timestamp_ms: 0, kind: kind::VIDEO, stream_id: 1 },
        &[0x17; 400],
    ));
    bytes.unsplit(command(1, "onStatus", 0.0, status(code::PLAY_UNPUBLISH_NOTIFY)));
    bytes
}

/// A plausible session of a client, to be damaged.
fn requests() -> BytesMut {
    let mut bytes = command(0, "connect", 1.0, vec![Object::new().with("app", "live").into()]);
    bytes.unsplit(command(0, "createStream", 2.0, vec![Value::Null]));
    bytes.unsplit(command(1, "publish", 3.0, vec![Value::Null, "cam".into()]));
    let video = MessageHeader { csid: 6, timestamp_ms: 0, kind: kind::VIDEO, stream_id: 1 };
    bytes.unsplit(chunks(video, &[0x17; 400]));
    bytes.unsplit(command(0, "deleteStream", 3.0, vec![Value::Null, Value::Number(1.0)]));
    bytes.unsplit(command(0, "play", 3.0, vec![Value::Null, "cam".into()]));
    bytes
}

fn damage(mut bytes: BytesMut, places: &[(prop::sample::Index, u8)]) -> BytesMut {
    for (place, value) in places {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_bytes_to_a_server_are_taken_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        step in 1..2_000usize,
        version in prop_oneof![Just(3), any::<u8>()],
    ) {
        let mut fresh = server(ServerConfig::default());
        let _ = fresh.receive(&[version]);
        for piece in bytes.chunks(step) {
            let _ = fresh.receive(piece);
        }
        let mut client = RawClient::new(ServerConfig::default());
        for piece in bytes.chunks(step) {
            let _ = client.send_bytes(piece);
        }
        let mut client = RawClient::playing(ServerConfig::default());
        for piece in bytes.chunks(step) {
            let _ = client.send_bytes(piece);
        }
    }

    #[test]
    fn any_bytes_to_a_client_are_taken_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..2_000),
        step in 1..2_000usize,
    ) {
        feed_client(&bytes, step, Role::Play);
        feed_client(&bytes, step, Role::Publish);
    }

    #[test]
    fn damaged_sessions_are_taken_or_refused(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        step in 1..500usize,
    ) {
        feed_client(&damage(answers(), &places), step, Role::Play);
        feed_client(&damage(answers(), &places), step, Role::Publish);
        let mut client = RawClient::new(ServerConfig::default());
        for piece in damage(requests(), &places).chunks(step) {
            let _ = client.send_bytes(piece);
        }
    }
}
