//! How an SRT connection lives without media, and how it ends.
#![allow(clippy::unwrap_used, reason = "a test")]

mod srt_pair;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    CloseReason, Connection, Control, ControlPacket, DataHeader, DataPacket, Event, Packet, Seq, SocketId,
};
use srt_pair::{FIRST, MS, PAYLOAD, S, START, TIMESTAMP, established, payload};

const LATENCY: Duration = Duration::from_millis(120);

fn connection() -> Connection {
    Connection::new(START, established(LATENCY, 2), Arc::default())
}

fn control(body: Control) -> Packet {
    Packet::Control(ControlPacket { timestamp_us: TIMESTAMP, destination: SocketId(1), body })
}

fn data(position: u32) -> Packet {
    let seq = Seq::new(FIRST) + position;
    let header = DataHeader { seq, timestamp_us: TIMESTAMP, ..DataHeader::default() };
    Packet::Data(DataPacket { header, payload: payload(position.into(), PAYLOAD) })
}

/// What the connection has to say.
fn said(connection: &mut Connection, now: Duration) -> Vec<Control> {
    let mut buffer = Vec::new();
    let mut said = Vec::new();
    connection.handle_timeout(now);
    while connection.poll_transmit(now, &mut buffer).is_some() {
        match Packet::parse(Bytes::copy_from_slice(&buffer)).unwrap() {
            Packet::Control(packet) => said.push(packet.body),
            Packet::Data(packet) => panic!("{packet:?}"),
        }
    }
    said
}

fn events(connection: &mut Connection, now: Duration) -> Vec<Event> {
    std::iter::from_fn(|| connection.poll_event(now)).collect()
}

#[test]
fn silence_is_broken_each_second() {
    let mut connection = connection();
    for second in 1..=4 {
        assert_eq!(connection.poll_timeout(), Some(START + second * S));
        assert_eq!(said(&mut connection, START + second * S - MS), []);
        assert_eq!(said(&mut connection, START + second * S), [Control::KeepAlive]);
    }
}

#[test]
fn a_peer_that_is_silent_for_five_seconds_is_gone() {
    let mut connection = connection();
    connection.receive(START + S, control(Control::KeepAlive));
    said(&mut connection, START + 6 * S - MS);
    assert_eq!(events(&mut connection, START + 6 * S), []);
    assert_eq!(said(&mut connection, START + 6 * S), [Control::Shutdown]);
    assert!(connection.is_closed());
    assert_eq!(events(&mut connection, START + 6 * S), [Event::Closed(CloseReason::Idle)]);
    assert_eq!(connection.poll_timeout(), None);
}

#[test]
fn what_had_come_before_the_end_is_delivered_before_it() {
    let mut connection = connection();
    for position in [0, 1, 4] {
        connection.receive(START, data(position));
    }
    connection.receive(START + MS, control(Control::Shutdown));
    connection.receive(START + MS, data(2));
    assert_eq!(connection.poll_timeout(), Some(Duration::ZERO));
    let data = |position| Event::Data(payload(position, PAYLOAD));
    let all = [data(0), data(1), Event::Gap { packets: 2 }, data(4), Event::Closed(CloseReason::Peer)];
    assert_eq!(events(&mut connection, START + MS), all);
    // The peer knows.
    assert_eq!((said(&mut connection, START + MS), connection.poll_timeout()), (vec![], None));
}

#[test]
fn a_local_end_is_told_to_the_peer_once() {
    let mut connection = connection();
    connection.receive(START, data(0));
    connection.close();
    connection.close();
    assert_eq!(said(&mut connection, START), [Control::Shutdown]);
    assert_eq!(said(&mut connection, START + 10 * S), []);
    assert_eq!(events(&mut connection, START + S), [Event::Closed(CloseReason::Local)]);
    assert_eq!(events(&mut connection, START + S), []);
}

#[test]
fn a_lost_handshake_answer_and_unknown_packets_keep_a_connection_alive() {
    let mut connection = connection();
    for second in 0..20 {
        let body = match second % 4 {
            0 => Control::Handshake(Bytes::from_static(&[0; 48])),
            1 => Control::PeerError { code: 4_000 },
            2 => Control::CongestionWarning,
            _ => Control::Unknown { kind: 9, subtype: 1, info: 0, body: Bytes::new() },
        };
        connection.receive(START + second * S, control(body));
        said(&mut connection, START + second * S);
    }
    assert!(!connection.is_closed());
}
