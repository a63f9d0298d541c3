//! A publisher that means harm, or has gone mad, gets little for it.

use cruvz_media::rtp::Header;
use cruvz_testnet::Conditions;
use proptest::prelude::*;

use super::link::*;
use super::*;

fn link() -> Link {
    Link::new(&Conditions { delay: 5 * MS, ..Conditions::default() }, 1, Config::default())
}

fn header(seq: u16, ssrc: u32, payload_type: u8) -> Header {
    Header { marker: true, payload_type, seq, timestamp: 0, ssrc }
}

/// The numbers that a receiver asks for, and how many datagrams it needs to.
fn asked(receiver: &mut Receiver, now: Duration) -> (Vec<u16>, usize) {
    let (mut numbers, mut datagrams) = (Vec::new(), 0);
    while let Some(datagram) = receiver.poll_rtcp(now) {
        datagrams += 1;
        assert!(datagram.len() <= 1_200);
        for packet in rtcp::packets(&datagram) {
            if let rtcp::Packet::Nack(nack) = packet.unwrap() {
                numbers.extend(nack.lost());
            }
        }
    }
    (numbers, datagrams)
}

#[test]
fn one_packet_with_a_wild_number_is_dropped_and_two_in_a_row_begin_anew() {
    let mut link = link();
    link.run(500);
    let shown = link.out.video.len();
    let wild = link.publisher.video.header.seq.wrapping_add(20_000);
    link.receiver.rtp(link.now, packet(header(wild, VIDEO, 96), b"wild", 1));
    link.run(500);
    assert_eq!(link.receiver.stats().stray, 1);
    assert_eq!(link.out.video.len(), 2 * shown);
    assert_eq!(link.receiver.stats().dropped_frames, 0);

    // An encoder that starts again at another number.
    link.publisher.video.header.seq = wild;
    link.publisher.wants_keyframe = true;
    link.run(1_000);
    let stats = link.receiver.stats();
    assert!(link.out.video.len() > 2 * shown + 15, "{} {stats:?}", link.out.video.len());
    link.assert_decodable();
}

#[test]
fn packets_that_nobody_agreed_to_are_counted_and_dropped() {
    let mut receiver = Receiver::new(START, &media(), Config::default());
    // An announced SSRC with a payload type of another section, unknown types, and an SSRC that takes the place of another.
    receiver.rtp(START, packet(header(1, AUDIO, 96), b"sound?", 1));
    receiver.rtp(START, packet(header(1, 5, 35), b"what?", 2));
    receiver.rtp(START, packet(header(1, VIDEO, 96), b"video", 3));
    receiver.rtp(START, packet(header(1, 6, 96), b"foreign", 4));
    receiver.rtp(START, packet(header(2, VIDEO, 111), b"opus?", 5));
    assert_eq!(receiver.stats().foreign, 4);
    receiver.rtp(START, Bytes::from_static(b"no RTP"));
    receiver.rtcp(START, b"no RTCP");
    assert_eq!(receiver.stats().malformed, 2);
    // Once the SSRC that has the place is silent, another may take it.
    receiver.rtp(START + Duration::from_secs(1), packet(header(1, 6, 96), b"next", 6));
    assert_eq!(receiver.stats().foreign, 4);
    assert_eq!(receiver.sources.len(), 1);
}

#[test]
fn a_flood_of_ssrcs_takes_no_memory() {
    let mut media = media();
    media.iter_mut().for_each(|media| media.sources.clear());
    let mut receiver = Receiver::new(START, &media, Config::default());
    for ssrc in 1..10_000_u32 {
        let payload_type = [96, 97, 111][ssrc as usize % 3];
        receiver.rtp(START + ssrc * MS, packet(header(ssrc as u16, ssrc, payload_type), b"flood", 1));
        assert!(receiver.sources.len() <= 2 && receiver.again.len() <= 8);
    }
}

#[test]
fn a_gap_too_large_to_mend_is_not_asked_for() {
    let mut receiver = Receiver::new(START, &media(), Config::default());
    receiver.rtp(START, packet(header(0, VIDEO, 96), b"first", 1));
    receiver.rtp(START, packet(header(100, VIDEO, 96), b"a gap of 99", 2));
    let (numbers, datagrams) = asked(&mut receiver, START);
    assert_eq!((numbers.len(), datagrams), (99, 2));
    assert!(asked(&mut receiver, START).0.is_empty(), "each once per round trip");
    receiver.rtp(START, packet(header(700, VIDEO, 96), b"a gap of 600", 3));
    assert!(asked(&mut receiver, START + 300 * MS).0.is_empty());
    let stats = receiver.stats();
    assert_eq!((stats.lost, stats.given_up, stats.keyframe_requests), (698, 698, 1));
}

#[test]
fn a_packet_that_never_comes_is_asked_for_ten_times_at_most() {
    let config = Config { max_wait: Duration::from_secs(100), ..Config::default() };
    let mut receiver = Receiver::new(START, &media(), config);
    receiver.set_rtt(Duration::from_secs(10));
    receiver.rtp(START, packet(header(0, VIDEO, 96), b"first", 1));
    receiver.rtp(START, packet(header(2, VIDEO, 96), b"third", 2));
    receiver.rtt = Rtt::new(20 * MS);
    let mut times = 0;
    for at in 0..2_000 {
        times += asked(&mut receiver, START + at * MS).0.len();
    }
    assert_eq!(times, 10);
}

#[test]
fn repeats_of_what_was_not_lost_change_nothing() {
    let mut link = link();
    link.run(500);
    let (shown, recovered) = (link.out.video.len(), link.receiver.stats().recovered);
    for number in 0..2_000_u16 {
        let seq = link.publisher.video.header.seq.wrapping_add(number).wrapping_sub(1_000);
        let lie = [&seq.to_be_bytes()[..], b"lie"].concat();
        link.receiver.rtp(link.now, packet(header(number, VIDEO_AGAIN, 97), &lie, number));
    }
    link.receiver.rtp(link.now, packet(header(1, VIDEO_AGAIN, 97), b"", 1));
    assert_eq!(link.receiver.stats().recovered, recovered);
    link.run(500);
    assert_eq!(link.out.video.len(), 2 * shown);
    link.assert_decodable();
}

#[test]
fn a_publisher_that_never_sends_a_keyframe_is_asked_ever_more_rarely_and_shows_nothing() {
    let mut link = link();
    (link.publisher.heeds, link.publisher.wants_keyframe) = (false, false);
    link.run(20_000);
    assert_eq!(link.out.video.len(), 0);
    assert_eq!(link.out.tracks.len(), 1, "sound goes on alone");
    assert!((8..=12).contains(&link.publisher.keyframe_requests), "{}", link.publisher.keyframe_requests);
    assert_eq!(link.receiver.stats().dropped_frames, link.publisher.sent.len() as u64);
}

#[test]
fn everything_sent_twice_and_old_packets_replayed_come_out_once() {
    let mut publisher = Publisher::new();
    let mut receiver = Receiver::new(START, &media(), Config::default());
    let mut out = Out::default();
    let packets: Vec<Bytes> = (0..60).flat_map(|_| publisher.picture()).collect();
    for packet in &packets {
        receiver.rtp(START, packet.clone());
        receiver.rtp(START, packet.clone());
        receiver.rtp(START, packets[0].clone());
    }
    out.take(&mut receiver);
    receiver.handle_timeout(START + Duration::from_secs(1));
    out.take(&mut receiver);
    assert_eq!(out.video.len(), 60);
}

#[test]
fn a_source_that_says_goodbye_makes_room() {
    let mut link = link();
    link.run(500);
    let mut goodbye = Vec::new();
    rtcp::write::goodbye(&mut goodbye, &[VIDEO, 99]);
    let before = link.receiver.stats();
    link.receiver.rtcp(link.now, &goodbye);
    assert_eq!(link.receiver.sources.len(), 1);
    assert_eq!(Stats { jitter: before.jitter, ..link.receiver.stats() }, before, "what it counted stays");
}

/// What a peer may send at some moment.
#[derive(Clone, Debug)]
enum Act {
    Rtp { ssrc: u32, payload_type: u8, seq: u16, timestamp: u32, marker: bool, payload: Vec<u8> },
    Rtcp(Vec<u8>),
    Report { ssrc: u32, ntp: u64, timestamp: u32 },
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let ssrc = || prop_oneof![Just(VIDEO), Just(VIDEO_AGAIN), Just(AUDIO), 1u32..4];
    let payload_type = prop_oneof![Just(96u8), Just(97), Just(111), 0u8..128];
    let seq = prop_oneof![0u16..40, any::<u16>()];
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        8 => (ssrc(), payload_type, seq, any::<u32>(), any::<bool>(), payload)
            .prop_map(|(ssrc, payload_type, seq, timestamp, marker, payload)| Act::Rtp {
                ssrc, payload_type, seq, timestamp, marker, payload
            }),
        1 => prop::collection::vec(any::<u8>(), 0..60).prop_map(Act::Rtcp),
        1 => (ssrc(), any::<u64>(), any::<u32>())
            .prop_map(|(ssrc, ntp, timestamp)| Act::Report { ssrc, ntp, timestamp }),
        2 => (0u64..3_000).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_comes_timers_end_and_frames_are_never_empty(acts in prop::collection::vec(act(), 0..300)) {
        let mut receiver = Receiver::new(START, &media(), Config::default());
        let (mut now, mut out) = (START, Out::default());
        for act in acts {
            match act {
                Act::Rtp { ssrc, payload_type, seq, timestamp, marker, payload } => {
                    let header = Header { marker, payload_type, seq, timestamp, ssrc };
                    receiver.rtp(now, packet(header, &payload, seq));
                }
                Act::Rtcp(bytes) => receiver.rtcp(now, &bytes),
                Act::Report { ssrc, ntp, timestamp } => {
                    let info = rtcp::SenderInfo { ntp, rtp_timestamp: timestamp, packets: 0, octets: 0 };
                    let mut report = Vec::new();
                    rtcp::write::sender_report(&mut report, ssrc, &info, &[]);
                    receiver.rtcp(now, &report);
                }
                Act::Wait(ms) => now += Duration::from_millis(ms),
            }
            receiver.handle_timeout(now);
            let (_, datagrams) = asked(&mut receiver, now);
            prop_assert!(datagrams < 30);
            prop_assert!(receiver.poll_timeout().is_none_or(|at| at > now));
            out.take(&mut receiver);
        }
        prop_assert!(out.video.iter().chain(&out.audio).all(|frame| !frame.payload.is_empty()));
    }
}
