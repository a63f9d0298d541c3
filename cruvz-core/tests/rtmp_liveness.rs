//! Time passes: peers that are slow, silent or gone are noticed, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test")]

mod rtmp_wire;

use std::time::Duration;

use cruvz_core::protocol::rtmp::chunk::MessageHeader;
use cruvz_core::protocol::rtmp::client::Role;
use cruvz_core::protocol::rtmp::message::kind;
use cruvz_core::protocol::rtmp::server::ServerConfig;
use cruvz_core::protocol::rtmp::{Error, code};
use cruvz_media::amf0::Value;
use rtmp_wire::{RawClient, Wire, command, server};

const URL: &str = "rtmp://host/live/cam";

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn a_handshake_and_a_request_have_deadlines() {
    let mut connection = server(ServerConfig::default());
    assert_eq!(connection.poll_timeout(), Some(seconds(5)));
    connection.receive(&[3]).unwrap();
    assert_eq!(connection.handle_timeout(Duration::from_millis(4_999)), Ok(()));
    assert_eq!(connection.handle_timeout(seconds(5)), Err(Error::Timeout("handshake")));
    assert!(connection.is_closing());
    assert_eq!(connection.poll_timeout(), None);

    let mut client = RawClient::new(ServerConfig::default());
    assert_eq!(client.server.handle_timeout(seconds(5)), Err(Error::Timeout("handshake")));

    let mut client = RawClient::connected(ServerConfig::default());
    assert_eq!(client.server.poll_timeout(), Some(seconds(15)));
    assert_eq!(client.server.handle_timeout(seconds(14)), Ok(()));
    assert_eq!(client.server.handle_timeout(seconds(15)), Err(Error::Timeout("publish or play request")));
}

#[test]
fn a_peer_that_has_nothing_has_the_deadline_again() {
    // Refused: it may ask for something else, but not stay for ever, pings or not.
    let mut client = RawClient::connected(ServerConfig::default());
    client.server.receive(&command(1, "play", 0.0, vec![Value::Null, "cam".into()])).unwrap();
    assert_eq!(client.server.handle_timeout(seconds(100)), Ok(()), "it waits for us");
    client.server.reject_play(code::PLAY_STREAM_NOT_FOUND, "none").unwrap();
    assert_eq!(client.server.handle_timeout(seconds(101)), Ok(()));
    assert_eq!(client.server.poll_timeout(), Some(seconds(116)));
    client.server.receive(&command(0, "getStreamLength", 9.0, vec![Value::Null])).unwrap();
    assert_eq!(client.server.handle_timeout(seconds(115)), Ok(()));
    assert_eq!(client.server.handle_timeout(seconds(116)), Err(Error::Timeout("publish or play request")));

    // Unpublished: the same.
    let mut wire = Wire::start(Role::Publish, URL);
    assert_eq!(wire.server.handle_timeout(seconds(30)), Ok(()));
    wire.client.close();
    wire.run(|_, _| {});
    assert_eq!(wire.server.handle_timeout(seconds(31)), Ok(()));
    assert_eq!(wire.server.handle_timeout(seconds(46)), Err(Error::Timeout("publish or play request")));
}

#[test]
fn a_silent_player_is_pinged_and_given_up() {
    let mut client = RawClient::playing(ServerConfig::default());
    assert_eq!(client.server.handle_timeout(seconds(1)), Ok(()));
    assert_eq!(client.server.poll_timeout(), Some(seconds(21)));
    client.server.handle_timeout(seconds(21)).unwrap();
    client.server.handle_timeout(seconds(30)).unwrap();
    client.read_answers();
    assert_eq!(client.received.len(), 1, "one ping");
    assert_eq!(client.received[0].payload[..], [0, 6, 0, 0, 0x52, 0x08], "21,000 ms");
    assert_eq!(client.server.poll_timeout(), Some(seconds(61)));
    assert_eq!(client.server.handle_timeout(seconds(61)), Err(Error::Timeout("sign of life")));
}

#[test]
fn an_answered_ping_keeps_a_player() {
    let mut client = RawClient::playing(ServerConfig::default());
    let pong = MessageHeader { csid: 2, timestamp_ms: 0, kind: kind::USER_CONTROL, stream_id: 0 };
    for minute in 1..10 {
        client.server.handle_timeout(seconds(minute * 30)).unwrap();
        client.send(pong, &[0, 7, 0, 0, 0, 1]).unwrap();
    }
    assert!(!client.server.is_closing());
}

#[test]
fn both_sides_answer_pings() {
    let mut wire = Wire::start(Role::Play, URL);
    wire.server.handle_timeout(seconds(1)).unwrap();
    wire.client.handle_timeout(seconds(1)).unwrap();
    for at in (25..1_000).step_by(25) {
        wire.server.handle_timeout(seconds(at)).unwrap();
        wire.client.handle_timeout(seconds(at)).unwrap();
        wire.run(|_, _| {});
    }
    assert!(!wire.server.is_closing() && !wire.client.is_closing());
}

#[test]
fn a_client_gives_up_a_server_that_does_not_start_or_falls_silent() {
    let mut wire = Wire::new(Role::Publish, URL);
    assert_eq!(wire.client.poll_timeout(), Some(seconds(15)));
    assert_eq!(wire.client.handle_timeout(seconds(15)), Err(Error::Timeout("start of the stream")));
    assert_eq!(wire.client.poll_timeout(), None);
    assert_eq!(wire.client.handle_timeout(seconds(99)), Ok(()));

    let mut wire = Wire::start(Role::Publish, URL);
    wire.client.handle_timeout(seconds(1)).unwrap();
    assert_eq!(wire.client.poll_timeout(), Some(seconds(21)));
    wire.client.handle_timeout(seconds(22)).unwrap();
    assert!(wire.client.poll_transmit().is_some(), "a ping");
    assert_eq!(wire.client.handle_timeout(seconds(61)), Err(Error::Timeout("sign of life")));
}
