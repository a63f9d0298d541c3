//! A peer that lies and floods over an SRT connection: it costs a bounded amount of work and memory and harms nobody
//! but itself.
#![allow(clippy::unwrap_used, reason = "a test")]

mod srt_pair;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cruvz_core::protocol::srt::{
    Ack, AckBody, Connection, ConnectionConfig, Control, ControlPacket, DataHeader, DataPacket, Event,
    KeyFlag, Packet, PacketLog, Seq, SeqRange, SocketId,
};
use proptest::prelude::*;
use srt_pair::{FIRST, Log, MS, PAYLOAD, S, START, TIMESTAMP, established, index, payload};

const LATENCY: Duration = Duration::from_millis(300);

fn connection() -> Connection {
    with(ConnectionConfig::default())
}

fn with(config: ConnectionConfig) -> Connection {
    Connection::new(START, established(LATENCY, 2), Arc::new(config))
}

fn control(body: Control) -> Packet {
    Packet::Control(ControlPacket { timestamp_us: TIMESTAMP, destination: SocketId(1), body })
}

/// The packet at `position` of the peer's stream, made at `made`.
fn data(position: u32, made: Duration) -> DataPacket {
    let header = DataHeader {
        seq: Seq::new(FIRST) + position,
        timestamp_us: TIMESTAMP.wrapping_add((made - START).as_micros() as u32),
        destination: SocketId(1),
        ..DataHeader::default()
    };
    DataPacket { header, payload: payload(position.into(), PAYLOAD) }
}

fn range(first: u32, last: u32) -> SeqRange {
    SeqRange::new(Seq::new(FIRST) + first, Seq::new(FIRST) + last).unwrap()
}

/// Everything that the connection has to send now.
fn sent(connection: &mut Connection, now: Duration, log: &Log) -> Vec<Packet> {
    let (mut packets, mut buffer) = (Vec::new(), Vec::new());
    while let Some(run) = connection.fill(now, log, &mut buffer) {
        for datagram in buffer.chunks(run.segment_size) {
            packets.push(Packet::parse(Bytes::copy_from_slice(datagram)).unwrap());
        }
        assert!(packets.len() < 10_000, "it sends without end");
    }
    packets
}

fn media(packets: &[Packet]) -> usize {
    packets.iter().filter(|packet| matches!(packet, Packet::Data(_))).count()
}

/// A connection that has just sent `count` packets, and its log.
fn viewer(count: usize) -> (Connection, Log, Duration) {
    let (mut connection, mut log, now) = (connection(), Log::default(), START + S);
    (0..count).for_each(|_| log.push(now, PAYLOAD));
    assert_eq!(media(&sent(&mut connection, now, &log)), count);
    (connection, log, now)
}

#[test]
fn reports_that_claim_everything_at_most_double_the_traffic() {
    let (mut connection, log, mut now) = viewer(1_000);
    let everything = vec![range(0, 999); 368];
    let mut repeated = 0;
    for _ in 0..15 {
        now += 20 * MS;
        for _ in 0..100 {
            connection.receive(now, control(Control::Nak(everything.clone())));
        }
        let once = media(&sent(&mut connection, now, &log));
        assert!(once <= 48, "{once} at once");
        repeated += once;
    }
    // What the sent packets earned is bounded, too.
    assert_eq!(repeated, 512);
    assert_eq!(connection.stats().sent.naks, 1_500);
}

#[test]
fn reports_of_what_was_never_sent_are_counted_and_nothing_is_sent_for_them() {
    let (mut connection, log, now) = viewer(10);
    for ranges in [vec![range(10, 10)], vec![range(10, 1 << 29)], vec![range(500, 600), range(20, 30)]] {
        connection.receive(now, control(Control::Nak(ranges)));
    }
    let behind = SeqRange::new(Seq::new(FIRST) - 1_000, Seq::new(FIRST) - 1).unwrap();
    connection.receive(now, control(Control::Nak(vec![behind])));
    assert_eq!(sent(&mut connection, now, &log), []);
    assert_eq!(connection.stats().sent.absurd, 5);
    // A range that is in part real is served in part.
    connection.receive(now, control(Control::Nak(vec![range(8, 1 << 29)])));
    assert_eq!(media(&sent(&mut connection, now, &log)), 2);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_not_believed_nor_answered() {
    let (mut connection, log, now) = viewer(10);
    let body = AckBody::Small { rtt: MS, rtt_variance: MS, available_packets: 8_192 };
    for ahead in [11, 5_000, 1 << 29] {
        let next = Seq::new(FIRST) + ahead;
        connection.receive(now, control(Control::Ack(Ack { number: 1, next, body })));
    }
    assert_eq!(sent(&mut connection, now, &log), []);
    let stats = connection.stats();
    assert_eq!((stats.sent.absurd, stats.sent.in_flight, stats.rtt), (3, 10, 100 * MS));
}

#[test]
fn a_flood_of_acknowledgements_has_one_answer_per_gather() {
    let (mut connection, log, now) = viewer(10);
    let body = AckBody::Small { rtt: MS, rtt_variance: MS, available_packets: 8_192 };
    for number in 1..=10_000 {
        let next = Seq::new(FIRST) + number % 10;
        connection.receive(now, control(Control::Ack(Ack { number, next, body })));
    }
    let answers = sent(&mut connection, now, &log);
    let [Packet::Control(answer)] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(answer.body, Control::AckAck { number: 10_000 });
}

#[test]
fn a_peer_without_room_stops_the_media_and_nothing_else() {
    let (mut connection, mut log, now) = viewer(10);
    let body = AckBody::Small { rtt: MS, rtt_variance: MS, available_packets: 3 };
    connection.receive(now, control(Control::Ack(Ack { number: 1, next: Seq::new(FIRST) + 10, body })));
    (0..10).for_each(|_| log.push(now, PAYLOAD));
    assert_eq!(media(&sent(&mut connection, now, &log)), 3);
    assert_eq!(connection.position(), Some(13));
}

#[test]
fn a_player_that_sends_media_costs_nothing() {
    let mut connection = with(ConnectionConfig { receive: false, ..ConnectionConfig::default() });
    for position in 0..10_000 {
        connection.receive(START, Packet::Data(data(position * 2, START)));
    }
    assert_eq!(sent(&mut connection, START, &Log::default()), []);
    assert_eq!(connection.poll_event(START + S), None);
    let stats = connection.stats();
    assert_eq!((stats.received.unwanted, stats.received.packets), (10_000, 0));
}

#[test]
fn packets_beyond_the_window_are_refused_and_those_within_still_come() {
    let mut connection = connection();
    connection.receive(START, Packet::Data(data(0, START)));
    for position in [8_192, 10_000, 1 << 20, (1 << 30) - 1, 1 << 30, (1 << 31) - 5] {
        connection.receive(START, Packet::Data(data(position, START)));
    }
    connection.receive(START, Packet::Data(data(1, START)));
    let received = connection.stats().received;
    assert_eq!((received.packets, received.refused, received.belated, received.lost), (2, 5, 1, 0));
    let events: Vec<Event> = std::iter::from_fn(|| connection.poll_event(START + LATENCY)).collect();
    assert_eq!(events, [0, 1].map(|position| Event::Data(payload(position, PAYLOAD))));
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let mut connection = with(ConnectionConfig { receive_bytes: 100_000, ..ConnectionConfig::default() });
    (0..1_000).for_each(|position| connection.receive(START, Packet::Data(data(position, START))));
    let received = connection.stats().received;
    assert_eq!((received.buffered_packets, received.refused), (100_000 / PAYLOAD as u64, 1_000 - 75));
}

#[test]
fn no_timestamp_holds_packets_for_long() {
    let mut connection = connection();
    for position in 0..1_000 {
        let mut packet = data(position, START);
        packet.header.timestamp_us = position.wrapping_mul(0x9e37_79b9);
        connection.receive(START, Packet::Data(packet));
    }
    let delivered = std::iter::from_fn(|| connection.poll_event(START + LATENCY + S)).count();
    assert_eq!(delivered, 1_000);
}

#[test]
fn a_stream_full_of_holes_has_few_reports() {
    let mut connection = connection();
    let mut reports = 0;
    // Every second packet is missing, 10 packets a millisecond for 400 ms.
    for position in 0..4_000 {
        let now = START + MS * position / 10;
        connection.receive(now, Packet::Data(data(2 * position, now)));
        let packets = sent(&mut connection, now, &Log::default());
        reports += packets
            .iter()
            .filter(|packet| matches!(packet, Packet::Control(ControlPacket { body: Control::Nak(_), .. })))
            .count();
    }
    assert!((20..=200).contains(&reports), "{reports}");
}

#[test]
fn a_wide_drop_request_silences_the_reports_of_what_is_missing_only() {
    let mut connection = connection();
    for position in [0, 5, 9] {
        connection.receive(START, Packet::Data(data(position, START)));
    }
    let body = Control::DropRequest { message: 0, range: range(0, (1 << 30) - 2) };
    connection.receive(START, control(body));
    for packet in sent(&mut connection, START, &Log::default()) {
        let Packet::Control(packet) = packet else { panic!("{packet:?}") };
        assert!(matches!(packet.body, Control::Ack(_)), "{packet:?}");
    }
    // What comes all the same is taken.
    connection.receive(START, Packet::Data(data(1, START)));
    connection.receive(START, Packet::Data(data(12, START)));
    let due = START + LATENCY;
    let events: Vec<Event> = std::iter::from_fn(|| connection.poll_event(due)).collect();
    let data = |position| Event::Data(payload(position, PAYLOAD));
    let gap = |packets| Event::Gap { packets };
    assert_eq!(events, [data(0), data(1), gap(3), data(5), gap(3), data(9), gap(2), data(12)]);
}

#[test]
fn encrypted_packets_on_a_plain_connection_are_as_if_they_had_not_come() {
    let mut connection = connection();
    let mut packet = data(0, START);
    packet.header.key = KeyFlag::Even;
    connection.receive(START, Packet::Data(packet));
    connection.receive(START, control(Control::KeyMaterialRequest(Bytes::from_static(&[0x12; 80]))));
    connection.receive(START, control(Control::KeyMaterialResponse(Bytes::new())));
    assert_eq!(sent(&mut connection, START, &Log::default()), []);
    assert_eq!(connection.poll_event(START + S), None);
    assert_eq!(connection.stats().received.undecrypted, 1);
}

#[test]
fn a_message_longer_than_the_link_carries_is_passed_over() {
    let mut small = established(LATENCY, 2);
    small.payload_bytes = 1_000;
    let mut connection = Connection::new(START, small, Arc::default());
    let (mut log, now) = (Log::default(), START + S);
    for len in [900, 1_316, 1_000, 1_001] {
        log.push(now, len);
    }
    let indexes: Vec<u64> = sent(&mut connection, now, &log)
        .iter()
        .map(|packet| match packet {
            Packet::Data(packet) => index(&packet.payload),
            Packet::Control(packet) => panic!("{packet:?}"),
        })
        .collect();
    assert_eq!((indexes, connection.stats().sent.skipped), (vec![0, 2], 2));
    let skips = [Event::Skipped { from: 1, to: 2 }, Event::Skipped { from: 3, to: 4 }];
    assert_eq!(std::iter::from_fn(|| connection.poll_event(now)).collect::<Vec<_>>(), skips);
}

/// Any packet, near enough to what is expected to go deep.
fn any_packet() -> impl Strategy<Value = Packet> {
    let seq =
        prop_oneof![0u32..40, 8_180u32..8_200, any::<u32>()].prop_map(|offset| Seq::new(FIRST) + offset);
    let seqs = (seq.clone(), 0u32..50);
    let body = prop_oneof![
        (seq.clone(), any::<u32>(), any::<u32>(), any::<u8>()).prop_map(|(next, number, word, kind)| {
            let rtt = Duration::from_micros(word.into());
            let body = match kind % 3 {
                0 => AckBody::Light,
                1 => AckBody::Small { rtt, rtt_variance: rtt, available_packets: word },
                _ => AckBody::Full {
                    rtt,
                    rtt_variance: rtt,
                    available_packets: word,
                    packet_rate: word,
                    link_capacity: word,
                    byte_rate: word,
                },
            };
            Control::Ack(Ack { number: number % 8, next, body })
        }),
        prop::collection::vec(seqs.clone(), 1..5).prop_map(|ranges| Control::Nak(
            ranges.into_iter().filter_map(|(first, more)| SeqRange::new(first, first + more)).collect()
        )),
        (0u32..8).prop_map(|number| Control::AckAck { number }),
        seqs.prop_map(|(first, more)| Control::DropRequest {
            message: 0,
            range: SeqRange::new(first, first + more).unwrap()
        }),
        Just(Control::KeepAlive),
        Just(Control::CongestionWarning),
    ];
    prop_oneof![
        (seq, any::<u32>(), any::<bool>(), 0usize..1_400).prop_map(
            |(seq, timestamp_us, retransmitted, len)| {
                let header = DataHeader { seq, timestamp_us, retransmitted, ..DataHeader::default() };
                Packet::Data(DataPacket { header, payload: vec![0; len].into() })
            }
        ),
        (any::<u32>(), body).prop_map(|(timestamp_us, body)| Packet::Control(ControlPacket {
            timestamp_us,
            destination: SocketId(1),
            body
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_packets_at_any_time_are_survived(
        packets in prop::collection::vec((any_packet(), 0u32..200), 1..120),
        receive_bytes in 2_000usize..100_000,
    ) {
        let mut connection = with(ConnectionConfig { receive_bytes, ..ConnectionConfig::default() });
        let (mut now, mut log) = (START, Log::default());
        for (packet, wait) in packets {
            now += wait * MS;
            log.push(now, PAYLOAD);
            connection.receive(now, packet);
            connection.handle_timeout(now);
            let made = sent(&mut connection, now, &log);
            prop_assert!(made.len() <= 600, "{} datagrams", made.len());
            let mut events = 0;
            while connection.poll_event(now).is_some() {
                events += 1;
                prop_assert!(events < 1_000);
            }
            prop_assert!(connection.poll_timeout().is_some());
            prop_assert!(connection.position().unwrap_or(0) <= log.end());
            let stats = connection.stats();
            prop_assert!(stats.received.buffered_packets * 8 <= receive_bytes as u64 * 8 + 8_192 * 8);
            prop_assert!(stats.sent.in_flight <= stats.sent.packets);
        }
    }
}
