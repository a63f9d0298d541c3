//! What a packetizer makes of frames, a depacketizer makes the same frames of, whatever the limit is.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;

const CODECS: [Codec; 6] = [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus];

/// One part of a frame: what it is, and its bytes.
type Part = (u8, Vec<u8>);

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let sizes = prop_oneof![3 => 0usize..40, 2 => 40usize..400, 1 => 400usize..6_000];
    let bytes = sizes.prop_flat_map(|size| proptest::collection::vec(any::<u8>(), size));
    proptest::collection::vec((any::<u8>(), bytes), 1..7)
}

fn put_unit(header: &[u8], body: &[u8], payload: &mut BytesMut) {
    payload.put_u32((header.len() + body.len()) as u32);
    payload.put_slice(header);
    payload.put_slice(body);
}

fn put_obu(header: &[u8], body: &[u8], payload: &mut BytesMut) {
    payload.put_slice(header);
    codec::av1::put_leb128(payload, body.len());
    payload.put_slice(body);
}

/// A frame of `codec` whose content is `parts`.
fn payload(params: &CodecParams, keyframe: bool, parts: &[Part]) -> Bytes {
    let mut payload = BytesMut::new();
    let front: &[u8] = match (params.codec, keyframe) {
        (Codec::H264, true) => &[0, 0, 0, 3, 0x65, 0x88, 0x84],
        (Codec::H264, false) => &[0, 0, 0, 3, 0x41, 0x9A, 0x22],
        (Codec::H265, true) => &[0, 0, 0, 4, 0x26, 1, 0xAF, 9],
        (Codec::H265, false) => &[0, 0, 0, 4, 0x02, 1, 0xD0, 9],
        (Codec::Vp8, true) => &[0xf0, 0x62, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0],
        (Codec::Vp8, false) => &[0x71, 0x13, 0],
        (Codec::Vp9, true) => &[0x82, 0x49, 0x83, 0x42, 0, 0x14, 0x10, 0x0b, 0x56, 6],
        (Codec::Vp9, false) => &[0x86, 0, 0x40],
        (Codec::Av1, true) => &[0x32, 2, 0x10, 9],
        (Codec::Av1, false) => &[0x32, 2, 0x30, 9],
        _ => &[0xFC],
    };
    if params.codec == Codec::Av1 && keyframe {
        payload.put_slice(&params.config[4..]);
    }
    payload.put_slice(front);
    for (kind, bytes) in parts {
        match params.codec {
            // Slices, SEI, and what is reserved, with any nal_ref_idc.
            Codec::H264 => {
                put_unit(&[[1, 5, 6, 20][usize::from(kind & 3)] | kind & 0x60], bytes, &mut payload)
            }
            Codec::H265 => {
                put_unit(&[[2, 38, 78, 80][usize::from(kind & 3)], kind >> 5 | 1], bytes, &mut payload);
            }
            // Frame, tile group, metadata, redundant frame header, with layers or without.
            Codec::Av1 if kind & 4 == 0 => {
                put_obu(&[[0x32, 0x22, 0x2A, 0x3A][usize::from(kind & 3)]], bytes, &mut payload);
            }
            Codec::Av1 => {
                put_obu(&[[0x36, 0x26, 0x2E, 0x3E][usize::from(kind & 3)], kind & 0xF8], bytes, &mut payload)
            }
            _ => payload.put_slice(bytes),
        }
    }
    payload.freeze()
}

proptest! {
    #[test]
    fn frames_come_back_as_they_went(
        which in 0..CODECS.len(),
        limit in 0usize..1_500,
        seq: u16,
        content in proptest::collection::vec((any::<bool>(), parts()), 1..5),
    ) {
        let codec = CODECS[which];
        let params = match codec {
            Codec::Vp8 => codec::parse(codec, Bytes::new()).unwrap(),
            codec => Fixture::of(codec).params(),
        };
        let mut content = content;
        content[0].0 = true;
        let frames: Vec<_> = (0..).zip(&content)
            .map(|(at, (keyframe, parts))| frame(codec, at * 3_600, payload(&params, *keyframe, parts)))
            .collect();
        let packets = packetize(&mut Packetizer::new(&params, limit).unwrap(), seq, &frames);
        for packet in &packets {
            prop_assert!(packet.payload.len() <= limit.max(MIN_PAYLOAD_BYTES) || codec == Codec::Opus);
        }
        let markers = packets.iter().filter(|packet| packet.header.marker).count();
        prop_assert_eq!(markers, if codec == Codec::Opus { 0 } else { frames.len() });
        let (events, counters) = depacketize(codec, &packets);
        prop_assert_eq!(counters.dropped(), 0);
        let expected: Vec<_> = frames.iter()
            .map(|frame| (frame.pts.ticks() as u32, frame.keyframe, frame.payload.clone()))
            .collect();
        prop_assert_eq!(super::frames(&events), expected);
    }

    #[test]
    fn any_frame_never_panics(which in 0..CODECS.len(), limit: u16, keyframe: bool, bytes: Vec<u8>) {
        let codec = CODECS[which];
        let params = Fixture::of(codec).params();
        let mut packetizer = Packetizer::new(&params, limit.into()).unwrap();
        let frame = Frame { keyframe, ..frame(codec, 0, bytes) };
        let packets = packetize(&mut packetizer, 0, &[frame]);
        let _ = depacketize(codec, &packets);
    }
}

/// The sizes of the payloads of one frame.
fn sizes(params: &CodecParams, limit: usize, payload: Bytes) -> Vec<usize> {
    let frame = frame(params.codec, 0, payload);
    let packets = packetize(&mut Packetizer::new(params, limit).unwrap(), 0, &[frame]);
    packets.iter().map(|packet| packet.payload.len()).collect()
}

#[test]
fn a_frame_goes_in_equal_packets_and_a_shorter_last_one() {
    for codec in [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1] {
        let params = Fixture::of(codec).params();
        // One unit of 10,000 bytes and a little.
        let body = vec![7; 10_000];
        let mut payload = BytesMut::new();
        match codec {
            Codec::H264 => put_unit(&[0x41, 0x9A], &body, &mut payload),
            Codec::H265 => put_unit(&[0x02, 1, 0xD0], &body, &mut payload),
            Codec::Av1 => put_obu(&[0x32], &[&[0x30], &body[..]].concat(), &mut payload),
            _ => payload.put_slice(&[&[0x87], &body[..]].concat()),
        }
        let sizes = sizes(&params, 1_180, payload.freeze());
        assert_eq!(sizes.len(), 9, "{codec}: {sizes:?}");
        let (last, others) = sizes.split_last().unwrap();
        assert!(others.iter().all(|size| *size == others[0]), "{codec}: {sizes:?}");
        assert!((others[0] - 20..=others[0]).contains(last), "{codec}: {sizes:?}");
    }
}

/// The lengths of the packets of a picture of slices of `bodies` bytes, header and tag left out.
fn slices(codec: Codec, bodies: &[usize]) -> Vec<usize> {
    let params = Fixture::of(codec).params();
    let header: &[u8] = if codec == Codec::H264 { &[0x41] } else { &[0x02, 1] };
    let mut payload = BytesMut::new();
    bodies.iter().for_each(|bytes| put_unit(header, &vec![7; *bytes], &mut payload));
    let mut payloads = Vec::new();
    let frame = frame(codec, 0, payload);
    Packetizer::new(&params, 1_160).unwrap().packetize(&frame, &mut payloads);
    payloads.iter().map(|payload| payload.bytes.len() + usize::from(payload.padding)).collect()
}

/// How many sends the kernel wants for packets of these lengths: each is a run of equal ones and a shorter last one.
fn runs(lengths: &[usize]) -> usize {
    let mut runs = 1;
    let mut first = lengths[0];
    for pair in lengths.windows(2) {
        if pair[1] > first || pair[0] < first {
            (runs, first) = (runs + 1, pair[1]);
        }
    }
    runs
}

#[test]
fn a_picture_of_several_slices_is_one_run_for_little_padding() {
    for codec in [Codec::H264, Codec::H265] {
        for bodies in [
            &[4_602, 4_967][..],
            &[1_711, 2_036],
            &[2_479, 2_485],
            &[639, 691],
            &[691, 639],
            &[55_416, 33_469],
            &[2_900, 3_100, 2_700, 3_300],
            &[9_000],
            &[300],
        ] {
            let lengths = slices(codec, bodies);
            assert_eq!(runs(&lengths), 1, "{bodies:?}: {lengths:?}");
            let (bytes, most) = (lengths.iter().sum::<usize>(), bodies.iter().sum::<usize>());
            assert!(bytes - 3 * lengths.len() <= most + most / 10, "{bodies:?}: {lengths:?}");
            assert!(lengths.len() <= most.div_ceil(1_157) + bodies.len(), "{bodies:?}: {lengths:?}");
        }
        let lengths = slices(codec, &[9_000]);
        assert!(lengths.iter().all(|length| *length == lengths[0]), "sound goes behind it: {lengths:?}");
        // Where it would take too much, none is padded.
        let lengths = slices(codec, &[60, 1_150]);
        assert!(lengths[0] < 70, "{lengths:?}");
    }
}

#[test]
fn parameter_sets_go_in_one_packet_before_a_keyframe_and_nowhere_else() {
    for (codec, key, inter) in [
        (
            Codec::H264,
            &[0, 0, 0, 2, 9, 0xF0, 0, 0, 0, 3, 0x65, 0x88, 1][..],
            &[0, 0, 0, 3, 0x41, 0x9A, 1][..],
        ),
        (
            Codec::H265,
            &[0, 0, 0, 3, 0x46, 1, 0x50, 0, 0, 0, 4, 0x26, 1, 0x80, 1],
            &[0, 0, 0, 4, 2, 1, 0x80, 1],
        ),
    ] {
        let params = Fixture::of(codec).params();
        let mut packetizer = Packetizer::new(&params, 1_000).unwrap();
        let frames = [frame(codec, 0, key), frame(codec, 1, inter)];
        let packets = packetize(&mut packetizer, 0, &frames);
        // Everything in one aggregate, the delimiter left out; then a unit as it is.
        assert!(packets.len() == 2 && has_sets(codec, &packets[0]), "{codec}");
        assert_eq!(packets[1].payload, inter[4..], "{codec}");
        let slice = &frames[1].payload[4..];
        assert_eq!(packets[1].payload.as_ptr(), slice.as_ptr(), "{codec}: a unit that fits is not copied");
        let (events, _) = depacketize(codec, &packets);
        assert_eq!(events[0], Event::Params(params.clone()));
        // A keyframe that brings its sets gets no others: the aggregate is the same.
        let header_bytes = if codec == Codec::H264 { 1 } else { 2 };
        let mut units = &packets[0].payload[header_bytes..];
        let mut payload = BytesMut::new();
        while let [high, low, rest @ ..] = units {
            let (unit, rest) = rest.split_at(u16::from_be_bytes([*high, *low]).into());
            put_unit(&[], unit, &mut payload);
            units = rest;
        }
        let brings = [frame(codec, 0, payload)];
        assert_eq!(packetize(&mut packetizer, 0, &brings)[0].payload, packets[0].payload);
    }
}

#[test]
fn av1_keyframes_get_the_sequence_header_of_the_record_if_they_have_none() {
    let params = Fixture::of(Codec::Av1).params();
    let bare = Bytes::from_static(&[0x12, 0, 0x32, 2, 0x10, 9]);
    let packets = packetize(&mut Packetizer::new(&params, 1_000).unwrap(), 0, &[frame(Codec::Av1, 0, bare)]);
    let (events, _) = depacketize(Codec::Av1, &packets);
    let expected = [&params.config[4..], &[0x32, 2, 0x10, 9]].concat();
    assert_eq!(frames(&events)[0].2, expected, "and no temporal delimiter");
    assert_eq!(packets[0].payload[0] & 0x88, 0x08, "a new coded video sequence");
}

#[test]
fn frames_that_are_not_what_their_codec_has_make_no_packets() {
    for (codec, bytes) in [
        (Codec::H264, &[0, 0, 0, 9, 0x65][..]),
        (Codec::H264, &[0, 0, 0, 2, 9, 0xF0]),
        (Codec::H265, &[0, 0]),
        (Codec::Av1, &[0x32, 9, 1]),
        (Codec::Vp8, &[]),
        (Codec::Opus, &[]),
    ] {
        let params = Fixture::of(codec).params();
        let packets = packetize(&mut Packetizer::new(&params, 1_000).unwrap(), 0, &[frame(codec, 0, bytes)]);
        assert!(packets.is_empty(), "{codec}: {bytes:?}");
    }
}

#[test]
fn codecs_without_a_payload_format_have_no_packetizer() {
    let script = CodecParams::script_data();
    assert!(Packetizer::new(&script, 1_000).is_none());
    assert!(Depacketizer::new(Codec::Aac, Limits::default()).is_none());
    assert!(clock_rate(Codec::Aac).is_none());
    let broken = CodecParams { config: Bytes::new(), ..Fixture::of(Codec::H264).params() };
    assert!(Packetizer::new(&broken, 1_000).is_none());
}
