//! Losses, lies and limits: what is given out is whole, and what is not is counted.

use proptest::prelude::*;

use super::*;

/// A payload on its own, the last of its frame.
fn packet(seq: u16, timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
    Packet::new(Header { marker, seq, timestamp, ..Header::default() }, Bytes::copy_from_slice(payload))
}

#[test]
fn without_any_one_packet_the_frames_are_whole_and_begin_anew_with_a_keyframe() {
    for fixture in FIXTURES {
        let packets = fixture.packets();
        let whole = frames(&depacketize(fixture.codec, &packets).0);
        for missing in 0..packets.len() {
            let mut left = packets.clone();
            let lost = left.remove(missing);
            let (events, counters) = depacketize(fixture.codec, &left);
            let found = frames(&events);
            let mut rest = whole.iter();
            for frame in &found {
                assert!(rest.any(|one| one == frame), "{}: {missing} lost, {frame:?}", fixture.name);
            }
            assert_eq!(counters.frames, found.len() as u64);
            // A keyframe can do without its parameter sets if they are known.
            if has_sets(fixture.codec, &lost) {
                continue;
            }
            let (name, lost) = (fixture.name, lost.header.timestamp);
            assert!(found.iter().all(|(timestamp, ..)| *timestamp != lost), "{name}: {missing} lost");
            if fixture.codec != Codec::Opus {
                let at = whole.iter().position(|(timestamp, ..)| *timestamp == lost).unwrap();
                let (before, after) = (&whole[..at], &whole[at..]);
                let next = after.iter().skip(1).position(|(_, keyframe, _)| *keyframe);
                let expected = before.len() + next.map_or(0, |next| after.len() - 1 - next);
                assert_eq!(found.len(), expected, "{name}: {missing} lost");
            }
        }
    }
}

#[test]
fn a_keyframe_is_wanted_from_a_loss_on_until_it_comes() {
    let fixture = Fixture::of(Codec::H264);
    let packets = fixture.packets();
    let mut depacketizer = Depacketizer::new(Codec::H264, Limits::default()).unwrap();
    assert!(depacketizer.needs_keyframe(), "at the start");
    let mut events = Vec::new();
    let is_last = |packet: &&Packet| packet.header.marker;
    let first = packets.iter().position(|packet| packet.header.marker).unwrap();
    packets[..=first].iter().for_each(|packet| depacketizer.push(packet, false, &mut events));
    assert!(!depacketizer.needs_keyframe(), "after the first frame");
    let next = packets[first + 1..].iter().find(is_last).unwrap();
    depacketizer.push(next, true, &mut events);
    assert!(depacketizer.needs_keyframe(), "after a loss");
    packets[..=first].iter().for_each(|packet| depacketizer.push(packet, false, &mut events));
    assert!(!depacketizer.needs_keyframe());
    assert_eq!(frames(&events).len(), 2);
}

#[test]
fn audio_goes_on_after_a_loss() {
    let mut packets = Fixture::of(Codec::Opus).packets();
    let all = packets.len();
    packets.remove(3);
    let (events, counters) = depacketize(Codec::Opus, &packets);
    assert_eq!((frames(&events).len(), counters.dropped()), (all - 1, 0));
}

#[test]
fn packets_of_padding_change_nothing() {
    let fixture = Fixture::of(Codec::Vp8);
    let (expected, _) = depacketize(fixture.codec, &fixture.packets());
    let mut depacketizer = Depacketizer::new(fixture.codec, Limits::default()).unwrap();
    let mut events = Vec::new();
    for media in fixture.packets() {
        let timestamp = media.header.timestamp;
        depacketizer.push(&media, false, &mut events);
        // Bandwidth probes have the time of the frame before them.
        depacketizer.push(&packet(0, timestamp, false, &[]), false, &mut events);
    }
    assert_eq!(events, expected);
}

#[test]
fn a_frame_ends_where_the_next_begins_if_no_marker_says_so() {
    for fixture in FIXTURES {
        let (expected, _) = depacketize(fixture.codec, &fixture.packets());
        let mut packets = fixture.packets();
        packets.iter_mut().for_each(|packet| packet.header.marker = false);
        let end = packet(packets.last().unwrap().header.seq.wrapping_add(1), 1 << 31, false, &[0xFF; 3]);
        packets.push(end);
        let (events, _) = depacketize(fixture.codec, &packets);
        assert_eq!(events[..expected.len()], expected, "{}", fixture.name);
    }
}

#[test]
fn parameter_sets_of_their_own_time_and_marker_are_those_of_the_next_frame() {
    let fixture = Fixture::of(Codec::H264);
    let params = fixture.params();
    let record = codec::h264::Record::parse(&params.config).unwrap();
    let slice = [0x65, 0x88, 0x84];
    let packets: Vec<_> = [&record.sps[0][..], &record.pps[0], &slice]
        .iter()
        .zip(0..)
        .map(|(unit, at)| packet(at, at.into(), true, unit))
        .collect();
    let (events, counters) = depacketize(Codec::H264, &packets);
    let payload = Bytes::from_static(&[0, 0, 0, 3, 0x65, 0x88, 0x84]);
    assert_eq!(events, [Event::Params(params), Event::Frame { timestamp: 2, keyframe: true, payload }]);
    assert_eq!(counters.dropped(), 0);
}

#[test]
fn video_without_parameters_is_not_given_out() {
    let slice = [0x65, 0x88, 0x84];
    let (events, counters) = depacketize(Codec::H264, &[packet(0, 0, true, &slice)]);
    assert_eq!((events.len(), counters.unconfigured), (0, 1));
    // VP8, a frame that is no keyframe.
    let (events, counters) = depacketize(Codec::Vp8, &[packet(0, 0, true, &[0x10, 1, 2, 3])]);
    assert_eq!((events.len(), counters.unconfigured), (0, 1));
}

#[test]
fn frames_beyond_the_limit_are_dropped_and_their_memory_with_them() {
    for fixture in FIXTURES {
        let limits = Limits { frame_bytes: 40 };
        let mut depacketizer = Depacketizer::new(fixture.codec, limits).unwrap();
        let mut events = Vec::new();
        for packet in fixture.packets() {
            depacketizer.push(&packet, false, &mut events);
        }
        assert!(frames(&events).iter().all(|(_, _, payload)| payload.len() <= 40), "{}", fixture.name);
        assert!(depacketizer.counters().oversized > 0, "{}", fixture.name);
    }
}

/// Payloads that break their format, each a frame of its own.
#[test]
fn payloads_that_lie_are_dropped_and_counted() {
    let cases: [(Codec, &[&[u8]]); 5] = [
        (
            Codec::H264,
            &[
                &[0x00, 1],             // no type
                &[0x19, 0, 0, 1],       // STAP-B, never agreed to
                &[0x18, 0, 9, 0x67],    // an aggregate that claims more than there is
                &[0x18, 0, 0],          // one with an empty unit
                &[0x18, 0, 1, 0x67, 0], // one that ends in a length
                &[0x18, 0, 1, 0x18],    // one within another
                &[0x1C],                // a fragment without its header
                &[0x1C, 0x05, 1],       // the rest of a unit that did not begin
                &[0x1C, 0x85, 0x88],    // the front of one that does not go on
            ],
        ),
        (
            Codec::H265,
            &[&[0x62, 1], &[0x62, 1, 0x13, 0], &[0x64, 1, 0, 0], &[0x60, 1, 0, 1, 0x26], &[0x26], &[0x60]],
        ),
        (Codec::Vp8, &[&[0x10], &[0x90], &[0x90, 0x80], &[0x90, 0x80, 0x80], &[0x00, 1], &[0x11, 0]]),
        (
            Codec::Vp9,
            &[
                &[0x08],
                &[0x88],
                &[0x88, 0x80],
                &[0x00, 1],
                &[0x58, 1, 1, 1, 0, 0x82],
                &[0x0A, 0x18, 1],
                &[0x28, 0],
            ],
        ),
        (
            Codec::Av1,
            &[&[0x00, 5, 1], &[0x30, 0, 0], &[0x80, 1], &[0x50, 0x32], &[0x10, 0x80], &[0x10, 0x36]],
        ),
    ];
    for (codec, payloads) in cases {
        for (payload, at) in payloads.iter().zip(0..) {
            // Behind a frame that opens, so that none is dropped for a missing front alone.
            let mut depacketizer = Depacketizer::new(codec, Limits::default()).unwrap();
            let mut events = Vec::new();
            Fixture::of(codec)
                .packets()
                .iter()
                .for_each(|packet| depacketizer.push(packet, false, &mut events));
            events.clear();
            depacketizer.push(&packet(0, 1 << 31, true, payload), false, &mut events);
            let counters = depacketizer.counters();
            assert_eq!((events.len(), counters.malformed), (0, 1), "{codec} {at}: {payload:02x?}");
        }
    }
}

proptest! {
    #[test]
    fn any_payloads_never_panic_and_keep_to_the_limit(
        which in 0..FIXTURES.len(),
        payloads in proptest::collection::vec((any::<u8>(), any::<bool>(), any::<bool>(), any::<Vec<u8>>()), 0..30),
    ) {
        let limits = Limits { frame_bytes: 200 };
        let mut depacketizer = Depacketizer::new(FIXTURES[which].codec, limits).unwrap();
        let mut events = Vec::new();
        for (timestamp, marker, lost, payload) in payloads {
            depacketizer.push(&packet(0, (timestamp % 4).into(), marker, &payload), lost, &mut events);
        }
        prop_assert!(frames(&events).iter().all(|(_, _, payload)| payload.len() <= 200 + 64));
    }

    #[test]
    fn real_packets_with_broken_bytes_never_panic(
        which in 0..FIXTURES.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let fixture = FIXTURES[which];
        let mut packets = fixture.packets();
        for (packet, at, byte) in damage {
            let packet = &mut packets[packet.index(fixture.packets().len())];
            let mut payload = packet.payload.to_vec();
            // The front is what the formats read.
            let at = at.index(payload.len().min(12));
            payload[at] = byte;
            packet.payload = payload.into();
        }
        let (events, counters) = depacketize(fixture.codec, &packets);
        prop_assert_eq!(frames(&events).len() as u64, counters.frames);
    }
}
