//! A client publishes, and the server is told everything and answers as encoders expect.

#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use bytes::Bytes;
use cruvz_core::protocol::rtmp::chunk::MessageHeader;
use cruvz_core::protocol::rtmp::client::{ClientEvent, Role};
use cruvz_core::protocol::rtmp::message::kind;
use cruvz_core::protocol::rtmp::server::{Event, PublishMode, ServerConfig};
use cruvz_core::protocol::rtmp::{Error, MediaKind, MediaMessage, code};
use cruvz_media::amf0::{Object, Value};
use rtmp_wire::{RawClient, Wire, chunks, command};

const URL: &str = "rtmp://host/live/cam?token=abc";

fn media(stream_id: u32, kind: MediaKind, timestamp_ms: u32, payload: &[u8]) -> Event {
    Event::Message(MediaMessage { stream_id, kind, timestamp_ms, payload: Bytes::copy_from_slice(payload) })
}

#[test]
fn media_arrives_as_it_was_sent_in_pieces_of_any_size() {
    for step in [1, 13, 1460, 1 << 20] {
        let mut wire = Wire::start(Role::Publish, URL);
        wire.step = step;
        let keyframe = vec![0x17; 200_000];
        let sent = [
            (MediaKind::Video, 0, &keyframe[..]),
            (MediaKind::Audio, 0xff_ffff, &[0xaf, 1, 2, 3]),
            (MediaKind::Video, 0x0100_0000, &[0x27; 70_000]),
            (MediaKind::Audio, u32::MAX, &[0xaf; 3]),
            (MediaKind::Video, 3, &[0x27]),
        ];
        for (kind, timestamp_ms, payload) in sent {
            wire.client.send(kind, timestamp_ms, &[&payload[..1], &payload[1..]]).unwrap();
        }
        wire.run(|_, _| {});
        assert!(wire.server_events == sent.map(|(kind, at, payload)| media(1, kind, at, payload)), "{step}");
    }
}

#[test]
fn the_request_tells_app_name_and_parameters_apart() {
    let mut wire = Wire::new(Role::Publish, "rtmp://host/live/room/cam?token=a%20b");
    wire.run(|_, _| {});
    let [Event::ConnectRequested(connect), Event::PublishRequested(publish)] = &wire.server_events[..] else {
        panic!("{:?}", wire.server_events);
    };
    assert_eq!(connect.app(), "live/room");
    assert_eq!(connect.tc_url(), Some("rtmp://host/live/room"));
    assert_eq!(connect.flash_ver(), Some("FMLE/3.0 (compatible; FMSc/1.0)"));
    assert!(connect.four_cc_list().any(|four_cc| four_cc == "hvc1"));
    assert!(connect.understands("av01") && !connect.understands("none"));
    assert_eq!(connect.caps_ex(), 7);
    assert!(connect.arguments().is_empty());
    assert_eq!((&publish.app[..], &publish.name[..]), ("live/room", "cam"));
    assert_eq!(publish.params.get("token"), Some("a b"));
    assert_eq!((publish.mode, publish.stream_id), (PublishMode::Live, 1));
    let shown = format!("{:?}", wire.server_events);
    assert!(!shown.contains("a b") && !shown.contains("a%20b"), "{shown}");
}

#[test]
fn metadata_is_marked_to_be_kept_and_arrives_bare() {
    let mut wire = Wire::start(Role::Publish, URL);
    let metadata = b"\x02\x00\x0aonMetaData\x05";
    wire.client.send(MediaKind::Data, 0, &[metadata]).unwrap();
    wire.client.send(MediaKind::Data, 7, &[b"\x02\x00\x06onText\x05"]).unwrap();
    let bytes = wire.client.poll_transmit().unwrap();
    assert!(bytes.windows(13).any(|window| window == b"@setDataFrame"));
    wire.server.receive(&bytes).unwrap();
    assert_eq!(wire.server.poll_event(), Some(media(1, MediaKind::Data, 0, metadata)));
    assert_eq!(wire.server.poll_event(), Some(media(1, MediaKind::Data, 7, b"\x02\x00\x06onText\x05")));
}

#[test]
fn data_in_amf3_is_read_and_cleared_data_is_nothing() {
    let mut client = publishing();
    let header = MessageHeader { csid: 5, timestamp_ms: 9, kind: kind::DATA_AMF3, stream_id: 1 };
    client.send(header, b"\x00\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05").unwrap();
    let header = MessageHeader { kind: kind::DATA, ..header };
    client.send(header, b"\x02\x00\x0f@clearDataFrame\x02\x00\x0aonMetaData").unwrap();
    client.send(header, b"").unwrap();
    assert_eq!(client.events, [media(1, MediaKind::Data, 9, b"\x02\x00\x0aonMetaData\x05")]);
}

#[test]
fn a_refused_name_is_said_and_another_may_be_tried() {
    let mut client = RawClient::connected(ServerConfig::default());
    client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
    client.received.clear();
    client.server.receive(&command(1, "publish", 3.0, vec![Value::Null, "taken".into()])).unwrap();
    assert!(matches!(client.server.poll_event(), Some(Event::PublishRequested(_))));
    assert!(client.server.awaits_decision());
    client.server.reject_publish(code::PUBLISH_BAD_NAME, "taken").unwrap();
    client.call(1, "publish", 4.0, vec![Value::Null, "free".into(), "record".into()]).unwrap();
    assert_eq!(client.codes(), [code::PUBLISH_BAD_NAME, code::PUBLISH_START]);
    let refused = &client.commands()[0];
    assert_eq!(refused.2[1].property("level").and_then(Value::as_str), Some("error"));
    assert_eq!(refused.2[1].property("description").and_then(Value::as_str), Some("taken"));
    let Event::PublishRequested(request) = &client.events[0] else { panic!("{:?}", client.events) };
    assert_eq!((&request.name[..], request.mode), ("free", PublishMode::Record));
    assert_eq!(client.server.rejected_commands(), 1);
}

#[test]
fn our_client_hears_of_refusals_at_every_stage() {
    let mut wire = Wire::new(Role::Publish, URL);
    wire.run(|server, event| {
        if let Event::ConnectRequested(_) = event {
            server.reject_connect(code::CONNECT_REJECTED, "not here");
        }
    });
    assert!(rejected(&wire, code::CONNECT_REJECTED, "not here"), "{:?}", wire.client_events);
    assert!(wire.server.is_closing() && wire.client.is_closing());

    let mut wire = Wire::new(Role::Publish, URL);
    wire.run(|server, event| {
        if let Event::PublishRequested(_) = event {
            server.reject_publish(code::PUBLISH_DENIED, "bad token").unwrap();
        }
    });
    assert!(rejected(&wire, code::PUBLISH_DENIED, "bad token"), "{:?}", wire.client_events);
    assert_eq!(wire.client.send(MediaKind::Audio, 0, &[&[1]]), Err(Error::NotStarted));
}

fn rejected(wire: &Wire, code: &str, description: &str) -> bool {
    matches!(&wire.client_events[..], [ClientEvent::Rejected(status)]
        if status.code == code && status.description == description && status.level == "error")
}

#[test]
fn a_publication_ends_by_either_side() {
    let mut wire = Wire::start(Role::Publish, URL);
    wire.client.close();
    wire.run(|_, _| {});
    assert_eq!(wire.server_events, [Event::PublishStopped { stream_id: 1 }]);
    wire.server.peer_closed();
    assert_eq!(wire.server.poll_event(), None, "it has stopped already");

    let mut wire = Wire::start(Role::Publish, URL);
    wire.server.end(code::PUBLISH_BAD_NAME, "taken over");
    wire.run(|_, _| {});
    assert!(
        matches!(&wire.client_events[..], [ClientEvent::Ended(status)] if status.description == "taken over")
    );

    let mut wire = Wire::start(Role::Publish, URL);
    wire.server.peer_closed();
    assert_eq!(wire.server.poll_event(), Some(Event::PublishStopped { stream_id: 1 }));
    assert!(wire.server.is_closing());
}

#[test]
fn media_that_waits_to_be_sent_is_no_unread_answer() {
    let mut wire = Wire::start(Role::Publish, URL);
    wire.client.send(MediaKind::Video, 0, &[&[0x17; 500_000]]).unwrap();
    let ping = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::USER_CONTROL, stream_id: 0 };
    for _ in 0..2 {
        wire.client.receive(&chunks(ping, &[0, 6, 0, 0, 0, 1])).unwrap();
    }
    wire.run(|_, _| {});
    assert_eq!(wire.server_events.len(), 1);
}

#[test]
fn a_drain_asks_clients_that_understand_to_reconnect() {
    let mut wire = Wire::start(Role::Publish, URL);
    assert!(wire.server.request_reconnect(Some("rtmp://other/live"), "draining"));
    wire.run(|_, _| {});
    let tc_url = Some("rtmp://other/live".into());
    let description = "draining".into();
    assert_eq!(wire.client_events, [ClientEvent::ReconnectRequested { tc_url, description }]);
    wire.client.send(MediaKind::Audio, 0, &[&[1]]).unwrap();
    wire.run(|_, _| {});
    assert_eq!(wire.server_events.len(), 1, "the stream goes on");
    assert!(!RawClient::connected(ServerConfig::default()).server.request_reconnect(None, ""));
}

fn publishing() -> RawClient {
    let mut client = RawClient::connected(ServerConfig::default());
    client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
    client.call(1, "publish", 3.0, vec![Value::Null, "cam".into(), "live".into()]).unwrap();
    client.events.clear();
    client.received.clear();
    client
}

#[test]
fn the_calls_of_encoders_get_the_answers_they_wait_for() {
    let mut client = RawClient::new(ServerConfig::default());
    client.connect(Object::new().with("app", "live?token=of-app").with("capsEx", 1.0));
    let kinds: Vec<_> = client.received.iter().map(|message| message.header.kind).collect();
    assert_eq!(kinds, [kind::WINDOW_ACK_SIZE, kind::SET_PEER_BANDWIDTH, kind::COMMAND]);
    let (name, id, values) = &client.commands()[0];
    assert_eq!((&name[..], *id), ("_result", 1.0));
    assert_eq!(values[1].property("code").and_then(Value::as_str), Some(code::CONNECT_SUCCESS));
    for object in values {
        assert_eq!(object.property("capsEx").and_then(Value::as_u32), Some(6));
        let map = object.property("videoFourCcInfoMap").unwrap();
        assert_eq!(map.property("hvc1").and_then(Value::as_u32), Some(4));
        assert!(map.property("Opus").is_none());
    }
    client.received.clear();

    let name = || vec![Value::Null, Value::from("cam?token=of-name")];
    client.call(0, "releaseStream", 2.0, name()).unwrap();
    client.call(0, "FCPublish", 3.0, name()).unwrap();
    client.call(0, "createStream", 4.0, vec![Value::Null]).unwrap();
    client.call(0, "_checkbw", 5.0, vec![Value::Null]).unwrap();
    client.call(0, "getStreamLength", 6.0, name()).unwrap();
    client.call(0, "releaseStream", 0.0, name()).unwrap();
    client.call(0, "_result", 6.0, vec![]).unwrap();
    let answers: Vec<_> = client.commands().into_iter().map(|(name, id, _)| (name, id)).collect();
    let expected =
        [("_result", 2.0), ("_result", 3.0), ("onFCPublish", 0.0), ("_result", 4.0), ("_result", 5.0)];
    assert_eq!(answers[..5], expected.map(|(name, id)| (name.to_owned(), id)));
    assert_eq!(answers[5..], [("_result".to_owned(), 6.0)]);
    assert_eq!(client.commands()[3].2, [Value::Null, Value::Number(1.0)]);
    client.received.clear();

    client.call(1, "publish", 7.0, name()).unwrap();
    assert_eq!(client.received[0].payload[..], [0, 0, 0, 0, 0, 1], "stream begin");
    assert_eq!(client.codes(), [code::PUBLISH_START]);
    let Some(Event::PublishRequested(request)) = client.events.pop() else { panic!("{:?}", client.events) };
    assert_eq!(request.params.get("token"), Some("of-name"));
    assert_eq!(request.app, "live");
    client.received.clear();

    client.events.clear();
    client.call(0, "FCUnpublish", 8.0, name()).unwrap();
    client.call(0, "deleteStream", 9.0, vec![Value::Null, Value::Number(1.0)]).unwrap();
    assert_eq!(client.events, [Event::PublishStopped { stream_id: 1 }]);
    assert_eq!(client.codes(), [code::UNPUBLISH_SUCCESS, code::UNPUBLISH_SUCCESS]);
    assert_eq!(client.server.rejected_commands(), 0);
}

#[test]
fn commands_in_amf3_are_read() {
    let mut client = RawClient::connected(ServerConfig::default());
    let header = MessageHeader { csid: 3, timestamp_ms: 0, kind: kind::COMMAND_AMF3, stream_id: 0 };
    client.send(header, b"\x00\x02\x00\x0ccreateStream\x00\x40\0\0\0\0\0\0\0\x05").unwrap();
    assert_eq!(client.commands(), [("_result".into(), 2.0, vec![Value::Null, Value::Number(1.0)])]);
}

#[test]
fn what_comes_before_the_decision_waits_for_it() {
    let mut client = RawClient::connected(ServerConfig::default());
    client.call(0, "createStream", 2.0, vec![Value::Null]).unwrap();
    let mut early = command(1, "publish", 3.0, vec![Value::Null, "cam".into()]);
    let video = MessageHeader { csid: 6, timestamp_ms: 4, kind: kind::VIDEO, stream_id: 1 };
    early.unsplit(chunks(video, &[1; 300]));
    client.server.receive(&early).unwrap();
    assert!(matches!(client.server.poll_event(), Some(Event::PublishRequested(_))));
    client.server.receive(&chunks(video, &[2; 300])).unwrap();
    assert_eq!(client.server.poll_event(), None);
    client.server.accept_publish().unwrap();
    assert_eq!(client.server.poll_event(), Some(media(1, MediaKind::Video, 4, &[1; 300])));
    assert_eq!(client.server.poll_event(), Some(media(1, MediaKind::Video, 4, &[2; 300])));
}

#[test]
fn too_much_before_the_decision_ends_the_connection() {
    let mut client = RawClient::connected(ServerConfig::default());
    client.server.receive(&command(0, "publish", 3.0, vec![Value::Null, "cam".into()])).unwrap();
    client.server.receive(&[0; 100_000]).unwrap();
    assert_eq!(client.server.receive(&[0; 50_000]), Err(Error::TooMuchBeforeDecision(131_072)));
    client.read_answers();
    assert_eq!(client.codes().last().map(String::as_str), Some(code::CONNECT_CLOSED));
}

#[test]
fn encoders_that_create_no_stream_publish_all_the_same() {
    let mut client = RawClient::connected(ServerConfig::default());
    client.call(0, "publish", 3.0, vec![Value::Null, "cam".into()]).unwrap();
    let audio = MessageHeader { csid: 4, timestamp_ms: 4, kind: kind::AUDIO, stream_id: 0 };
    client.send(audio, &[1]).unwrap();
    assert_eq!(client.events[1..], [media(0, MediaKind::Audio, 4, &[1])]);
}

#[test]
fn media_on_a_stream_that_may_not_publish_is_dropped() {
    let mut client = publishing();
    let audio = MessageHeader { csid: 4, timestamp_ms: 4, kind: kind::AUDIO, stream_id: 2 };
    client.send(audio, &[1]).unwrap();
    client.call(1, "closeStream", 0.0, vec![Value::Null]).unwrap();
    client.send(MessageHeader { stream_id: 1, ..audio }, &[1]).unwrap();
    assert_eq!(client.events, [Event::PublishStopped { stream_id: 1 }]);
    client.call(1, "publish", 0.0, vec![Value::Null, "again".into()]).unwrap();
    client.send(MessageHeader { stream_id: 1, ..audio }, &[1]).unwrap();
    assert_eq!(client.events[2..], [media(1, MediaKind::Audio, 4, &[1])]);
}

#[test]
fn one_connection_may_publish_and_play() {
    let mut client = publishing();
    client.call(0, "createStream", 4.0, vec![Value::Null]).unwrap();
    client.call(2, "play", 0.0, vec![Value::Null, "other".into()]).unwrap();
    client.call(2, "publish", 0.0, vec![Value::Null, "third".into()]).unwrap();
    client.call(1, "play", 0.0, vec![Value::Null, "third".into()]).unwrap();
    client.call(1, "publish", 0.0, vec![Value::Null]).unwrap();
    assert_eq!(client.codes()[2..], [code::PUBLISH_BAD_NAME, code::PLAY_FAILED, code::PUBLISH_BAD_NAME]);
    client.server.end(code::CONNECT_CLOSED, "shut down");
    client.read_answers();
    assert_eq!(client.codes().last().map(String::as_str), Some(code::CONNECT_CLOSED));
    assert_eq!(client.received.last().unwrap().payload[..], [0, 1, 0, 0, 0, 2], "stream end for the player");
}

#[test]
fn acknowledgements_count_all_bytes() {
    let mut client = publishing();
    let video = MessageHeader { csid: 6, timestamp_ms: 4, kind: kind::VIDEO, stream_id: 1 };
    let window = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::WINDOW_ACK_SIZE, stream_id: 0 };
    client.send(window, &100_000_u32.to_be_bytes()).unwrap();
    for _ in 0..4 {
        client.send(video, &[0; 30_000]).unwrap();
    }
    let acks: Vec<_> = client
        .received
        .iter()
        .filter(|message| message.header.kind == kind::ACKNOWLEDGEMENT)
        .map(|message| u32::from_be_bytes(message.payload[..].try_into().unwrap()))
        .collect();
    assert_eq!(acks.len(), 2);
    assert_eq!(u64::from(acks[1]), client.server.received_bytes());
    assert!(acks[1] - acks[0] > 50_000);
}
