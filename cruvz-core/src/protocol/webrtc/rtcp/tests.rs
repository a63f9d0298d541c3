use std::time::Duration;

use proptest::{collection::vec, prelude::*};

use super::*;

/// The only packet of `bytes`.
fn only(bytes: &[u8]) -> Packet<'_> {
    let mut all = packets(bytes);
    let packet = all.next().unwrap().unwrap();
    assert_eq!(all.next(), None);
    packet
}

#[test]
fn a_compound_packet_is_taken_apart() {
    let info = SenderInfo { ntp: 0xe3d2_1f00_8000_0000, rtp_timestamp: 90_000, packets: 30, octets: 36_000 };
    let block = ReportBlock {
        ssrc: 7,
        fraction_lost: 64,
        cumulative_lost: -3,
        highest_seq: 0x0001_fffe,
        jitter: 12,
        last_sr: 0x1f00_8000,
        delay_since_last_sr: 65_536,
    };
    let mut bytes = Vec::new();
    write::sender_report(&mut bytes, 1, &info, &[block]);
    assert_eq!(&bytes[..8], [0x81, 200, 0, 12, 0, 0, 0, 1]);
    assert_eq!(&bytes[32..36], [64, 0xff, 0xff, 0xfd]);
    write::cname(&mut bytes, 1, "me@here");
    write::goodbye(&mut bytes, &[1, 2]);

    let all: Vec<_> = packets(&bytes).map(Result::unwrap).collect();
    let [Packet::SenderReport(report), Packet::SourceDescription(source), Packet::Goodbye(goodbye)] = all[..]
    else {
        panic!("{all:?}")
    };
    assert_eq!((report.ssrc, report.info), (1, info));
    assert_eq!(report.reports().collect::<Vec<_>>(), [block]);
    assert_eq!(source.cnames().collect::<Vec<_>>(), [(1, &b"me@here"[..])]);
    assert_eq!(goodbye.ssrcs().collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn feedback_has_the_bytes_of_its_standard() {
    let mut bytes = Vec::new();
    write::pli(&mut bytes, 1, 2);
    assert_eq!(bytes, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(only(&bytes), Packet::Pli(Pli { sender: 1, media: 2 }));

    bytes.clear();
    write::fir(&mut bytes, 1, 2, 9);
    assert_eq!(bytes, [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0]);
    let Packet::Fir(fir) = only(&bytes) else { panic!() };
    assert_eq!(fir.requests().collect::<Vec<_>>(), [(2, 9)]);

    bytes.clear();
    write::nack(&mut bytes, 1, 2, &[0xffff, 0, 15, 16, 40]);
    assert_eq!(bytes[..4], [0x81, 205, 0, 5]);
    assert_eq!(bytes[12..], [0xff, 0xff, 0x80, 0x01, 0, 16, 0, 0, 0, 40, 0, 0]);
    let Packet::Nack(nack) = only(&bytes) else { panic!() };
    assert_eq!(nack.lost().collect::<Vec<_>>(), [0xffff, 0, 15, 16, 40]);

    bytes.clear();
    write::remb(&mut bytes, 1, 2_500_000, &[2, 3]);
    assert_eq!(bytes[12..20], [b'R', b'E', b'M', b'B', 2, 4 << 2 | 2, 0x62, 0x5a]);
    let Packet::Remb(remb) = only(&bytes) else { panic!() };
    assert_eq!((remb.bitrate_bps, remb.ssrcs().collect::<Vec<_>>()), (2_500_000, vec![2, 3]));
}

#[test]
fn a_remb_of_more_than_a_number_holds_is_the_largest() {
    let mut bytes = Vec::new();
    write::remb(&mut bytes, 1, u64::MAX, &[]);
    let Packet::Remb(remb) = only(&bytes) else { panic!() };
    assert_eq!(remb.bitrate_bps.leading_ones(), 18);
    bytes[17] = 0xff;
    let Packet::Remb(remb) = only(&bytes) else { panic!() };
    assert_eq!(remb.bitrate_bps, u64::MAX);
}

#[test]
fn unknown_packets_are_passed_over() {
    // An extended report, an application packet, slice loss, another application's feedback, and only then a PLI.
    let mut bytes = vec![0x80, 207, 0, 1, 0, 0, 0, 1, 0x80, 204, 0, 1, 0, 0, 0, 1];
    bytes.extend([0x82, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0]);
    bytes.extend([0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, b'A', b'B', b'C', b'D']);
    write::pli(&mut bytes, 1, 2);
    assert_eq!(only(&bytes), Packet::Pli(Pli { sender: 1, media: 2 }));
    assert_eq!(packets(&[]).next(), None);
}

#[test]
fn what_is_broken_ends_the_datagram() {
    let short = |kind, bytes| RtcpError::Short { kind, bytes };
    let broken: [(&[u8], RtcpError); 11] = [
        (&[0x80, 200, 0], RtcpError::Truncated { want: 4, left: 3 }),
        (&[0x40, 200, 0, 0], RtcpError::Version(1)),
        (&[0x80, 201, 0, 2, 0, 0, 0, 1], RtcpError::Truncated { want: 12, left: 8 }),
        (&[0xa0, 201, 0, 1, 0, 0, 0, 0], RtcpError::Padding(0)),
        (&[0xa0, 201, 0, 1, 0, 0, 0, 5], RtcpError::Padding(5)),
        (&[0xa0, 201, 0, 0], RtcpError::Padding(0)),
        (&[0x80, 200, 0, 1, 0, 0, 0, 1], short(200, 4)),
        (&[0x81, 201, 0, 1, 0, 0, 0, 1], short(201, 4)),
        // An item of 9 bytes where 2 are left; a list of items that does not end.
        (&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, 65, 65], short(202, 8)),
        (&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 2, 65, 65], short(202, 8)),
        (&[0x82, 203, 0, 1, 0, 0, 0, 1], short(203, 4)),
    ];
    for (bytes, error) in broken {
        // A goodbye behind it is not reached.
        let bytes = [bytes, &[0x80, 203, 0, 0][..]].concat();
        let mut all = packets(&bytes[..bytes.len() - 4]);
        assert_eq!(all.next(), Some(Err(error)), "{bytes:?}");
        assert_eq!(all.next(), None);
    }
}

#[test]
fn padding_is_not_content() {
    let bytes = [0xa1, 203, 0, 2, 0, 0, 0, 7, 0, 0, 0, 4];
    let Packet::Goodbye(goodbye) = only(&bytes) else { panic!() };
    assert_eq!(goodbye.ssrcs().collect::<Vec<_>>(), [7]);
}

#[test]
fn arrivals_have_the_bytes_of_the_draft() {
    let at = |ms: u64| Duration::from_micros(ms * 1_000);
    let mut bytes = Vec::new();
    // 64 ms * 100 = 6.4 s is the reference; 10 ms after that comes the first packet.
    let arrivals =
        [(0x1_0005, at(6_410)), (0x1_0006, at(6_411)), (0x1_0008, at(6_500)), (0x1_0009, at(6_490))];
    assert_eq!(write::transport_feedback(&mut bytes, (1, 2), 3, 0x1_0004, &arrivals), 4);
    assert_eq!(bytes[..4], [0x8f, 205, 0, 6]);
    assert_eq!(bytes[12..20], [0, 4, 0, 6, 0, 0, 100, 3]);
    // Lost, small, small, lost, large, large: 00 01 01 00 10 10 and one over. Deltas of 40, 4, 356 and -40 ticks.
    assert_eq!(bytes[20..28], [0b1100_0101, 0b0010_1000, 40, 4, 1, 100, 0xff, 0xd8]);
    let Packet::TransportFeedback(feedback) = only(&bytes) else { panic!() };
    assert_eq!((feedback.base, feedback.count, feedback.feedback), (4, 6, 3));
    let arrived: Vec<_> = feedback.statuses().map(|(seq, at)| (seq, at.map(|at| at / 1_000))).collect();
    let expected = [None, Some(6_410), Some(6_411), None, Some(6_500), Some(6_490)];
    assert_eq!(arrived, (4..).zip(expected).collect::<Vec<_>>());
}

#[test]
fn all_forms_of_chunks_are_read() {
    // From sequence number 65,534: a run of 4 small ones, a one-bit vector, a two-bit vector that ends with the count.
    let body = [0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 0, 20, 0xff, 0xff, 0xff, 9];
    let chunks = [0x20, 0x04, 0b1010_0000, 0b0000_0001, 0b1110_0100, 0];
    let deltas = [1, 1, 1, 1, 2, 2, 0xff, 0xff, 3];
    let mut bytes = vec![0xaf, 205, 0, 8];
    bytes.extend(body.iter().chain(&chunks).chain(&deltas).chain(&[1]));
    let Packet::TransportFeedback(feedback) = only(&bytes) else { panic!() };
    let statuses: Vec<_> = feedback.statuses().collect();
    assert_eq!(statuses.len(), 20);
    let arrived: Vec<_> = statuses.iter().filter_map(|(seq, at)| Some((*seq, (*at)? + 64_000))).collect();
    let ticks = [(65_534, 1), (65_535, 2), (0, 3), (1, 4), (2, 6), (15, 8), (16, 7), (17, 10)];
    assert_eq!(arrived, ticks.map(|(seq, ticks)| (seq, ticks * 250)));

    // A delta less than the chunks promise, and the symbol that means nothing.
    let mut short = bytes.clone();
    short[3] = 7;
    short.truncate(32);
    short[0] = 0x8f;
    assert!(matches!(packets(&short).next(), Some(Err(RtcpError::Short { kind: 205, .. }))));
    bytes[20] = 0x60;
    assert_eq!(packets(&bytes).next(), Some(Err(RtcpError::Symbol)));
    bytes[14] = 0x40;
    bytes[15] = 1;
    assert_eq!(packets(&bytes).next(), Some(Err(RtcpError::Statuses(0x4001))));
}

#[test]
fn a_pause_ends_a_feedback() {
    let arrivals =
        [(10, Duration::from_secs(1)), (11, Duration::from_secs(20)), (100_000, Duration::from_secs(21))];
    let mut bytes = Vec::new();
    assert_eq!(write::transport_feedback(&mut bytes, (1, 2), 0, 10, &arrivals), 1);
    assert_eq!(write::transport_feedback(&mut bytes, (1, 2), 1, 11, &arrivals[1..]), 1);
    // Losses are reported as far back as a feedback reaches.
    assert_eq!(write::transport_feedback(&mut bytes, (1, 2), 2, 12, &arrivals[2..]), 1);
    assert_eq!(write::transport_feedback(&mut bytes, (1, 2), 3, 12, &[]), 0);
    let counts: Vec<_> = packets(&bytes)
        .map(|packet| match packet {
            Ok(Packet::TransportFeedback(feedback)) => feedback.count,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(counts, [1, 1, MAX_STATUSES]);
}

#[test]
fn clocks() {
    assert_eq!(ntp(Duration::ZERO), 2_208_988_800 << 32);
    assert_eq!(ntp(Duration::from_millis(1_500)), 2_208_988_801 << 32 | 1 << 31);
    assert_eq!(compact_ntp(0x1234_5678_9abc_def0), 0x5678_9abc);
}

/// Reads everything that `bytes` may be.
fn drain(bytes: &[u8]) -> usize {
    packets(bytes)
        .filter_map(Result::ok)
        .map(|packet| match packet {
            Packet::SenderReport(report) => report.reports().len(),
            Packet::ReceiverReport(report) => report.reports().len(),
            Packet::SourceDescription(source) => source.cnames().count(),
            Packet::Goodbye(goodbye) => goodbye.ssrcs().len(),
            Packet::Nack(nack) => nack.lost().count() / 17,
            Packet::Pli(_) => 0,
            Packet::Fir(fir) => fir.requests().len(),
            Packet::Remb(remb) => remb.ssrcs().len(),
            Packet::TransportFeedback(feedback) => {
                assert_eq!(feedback.statuses().count(), usize::from(feedback.count));
                usize::from(feedback.count) / 8_191
            }
        })
        .sum()
}

/// Gaps between sequence numbers and between arrivals in microseconds, as networks make them, and then some.
fn traffic() -> impl Strategy<Value = Vec<(u64, i64)>> {
    let gap = prop_oneof![20 => Just(0_u64), 4 => 1..20_u64, 1 => 20..20_000_u64];
    let wait = prop_oneof![20 => 0..3_000_i64, 4 => -70_000..70_000_i64, 1 => -9_000_000..9_000_000_i64];
    vec((gap, wait), 1..600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn no_bytes_are_dangerous(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(drain(&bytes) <= bytes.len());
    }

    #[test]
    fn no_body_is_dangerous(kind in 200..208_u8, count in 0..32_u8, mut body in vec(any::<u8>(), 0..100)) {
        body.resize(body.len() / 4 * 4, 0);
        let header = [0x80 | count, kind, 0, (body.len() / 4) as u8];
        prop_assert!(drain(&[&header[..], &body].concat()) <= body.len());
    }

    #[test]
    fn arrivals_come_back(
        base in 0..1_u64 << 40,
        start in 0..1_u64 << 42,
        traffic in traffic(),
    ) {
        let (mut seq, mut time) = (base, i64::try_from(start).unwrap());
        let arrivals: Vec<_> = traffic
            .into_iter()
            .map(|(gap, wait)| {
                seq += gap;
                time = (time + wait).max(0);
                seq += 1;
                (seq - 1, Duration::from_micros(time.try_into().unwrap()))
            })
            .collect();
        let (mut base, mut left) = (base, &arrivals[..]);
        while !left.is_empty() {
            let mut bytes = Vec::new();
            let taken = write::transport_feedback(&mut bytes, (1, 2), 0, base, left);
            prop_assert!((1..=left.len()).contains(&taken));
            prop_assert!(bytes.len() <= MAX_FEEDBACK_BYTES && bytes.len() % 4 == 0, "{} bytes", bytes.len());
            let Packet::TransportFeedback(feedback) = only(&bytes) else { panic!() };
            let (spoken, rest) = left.split_at(taken);
            let (first, last) = (spoken[0].0, spoken[taken - 1].0);
            // The oldest losses may not fit.
            let from = base.max(first.saturating_sub(u64::from(MAX_STATUSES) - 1));
            prop_assert_eq!((feedback.base, u64::from(feedback.count)), (from as u16, last + 1 - from));
            let mut expected = spoken.iter().peekable();
            for (seq, (short, arrival)) in (from..).zip(feedback.statuses()) {
                prop_assert_eq!(short, seq as u16);
                match expected.next_if(|(spoken, _)| *spoken == seq) {
                    None => prop_assert_eq!(arrival, None),
                    Some((_, at)) => {
                        // The clock wraps after 2^24 * 64 ms.
                        let at = i64::try_from(at.as_micros()).unwrap();
                        let late = (at - arrival.unwrap()).rem_euclid(64_000 << 24);
                        prop_assert!((0..250).contains(&late), "{} {:?}", at, arrival);
                    }
                }
            }
            prop_assert_eq!(expected.next(), None);
            (base, left) = (last + 1, rest);
        }
    }

    #[test]
    fn lost_packets_come_back(start in any::<u16>(), gaps in vec(1..40_u16, 0..200)) {
        let lost: Vec<u16> = gaps
            .iter()
            .scan(start, |seq, gap| { *seq = seq.wrapping_add(*gap); Some(*seq) })
            .collect();
        let mut bytes = Vec::new();
        write::nack(&mut bytes, 1, 2, &lost);
        let Packet::Nack(nack) = only(&bytes) else { panic!() };
        prop_assert_eq!((nack.sender, nack.media), (1, 2));
        prop_assert_eq!(nack.lost().collect::<Vec<_>>(), lost);
    }

    #[test]
    fn reports_come_back(numbers in any::<[u32; 6]>(), fraction_lost: u8, lost in -(1 << 23)..1 << 23) {
        let [ssrc, highest_seq, jitter, last_sr, delay_since_last_sr, own] = numbers;
        let block = ReportBlock {
            ssrc, fraction_lost, cumulative_lost: lost, highest_seq, jitter, last_sr, delay_since_last_sr,
        };
        let mut bytes = Vec::new();
        write::receiver_report(&mut bytes, own, &[block; 33]);
        let Packet::ReceiverReport(report) = only(&bytes) else { panic!() };
        prop_assert_eq!(report.ssrc, own);
        prop_assert_eq!(report.reports().collect::<Vec<_>>(), vec![block; 31]);
    }

    #[test]
    fn names_come_back(ssrc: u32, name in ".{0,300}") {
        let mut bytes = Vec::new();
        write::cname(&mut bytes, ssrc, &name);
        let Packet::SourceDescription(source) = only(&bytes) else { panic!() };
        let cut = &name.as_bytes()[..name.len().min(255)];
        prop_assert_eq!(source.cnames().collect::<Vec<_>>(), vec![(ssrc, cut)]);
    }

    #[test]
    fn bit_rates_come_back_to_18_bits(bitrate_bps: u64) {
        let mut bytes = Vec::new();
        write::remb(&mut bytes, 1, bitrate_bps, &[]);
        let Packet::Remb(remb) = only(&bytes) else { panic!() };
        prop_assert!(remb.bitrate_bps <= bitrate_bps);
        prop_assert!(bitrate_bps - remb.bitrate_bps <= bitrate_bps >> 17);
    }
}
