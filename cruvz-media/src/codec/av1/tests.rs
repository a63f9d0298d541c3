//! Records and temporal units out of real encoders, each made with FFmpeg 9 from `-f lavfi -i testsrc2=s=SIZE:r=25`
//! and the options beside it, and judged by what ffprobe says of the MP4.

use proptest::prelude::*;

use super::*;
use crate::codec::{self, bits::BitWriter, hex};

/// Made with, av1C, size, codec string.
const RECORDS: [(&str, &str, (u32, u32), &str); 4] = [
    ("libsvtav1 -preset 12", "81000c000a0b0200000521e7f66017c002", (320, 180), "av01.0.00M.08"),
    (
        "libsvtav1 -pix_fmt yuv420p10le -colorspace bt2020nc",
        "81004c000a0e0200000521e7f66017c281010482",
        (320, 180),
        "av01.0.00M.10.0.110.02.02.09.0",
    ),
    ("libaom-av1 -usage realtime", "81000c000a0b000000043d06d4daf90040", (322, 182), "av01.0.00M.08"),
    (
        "libaom-av1 -usage realtime -pix_fmt yuv444p",
        "812000000a0a200000043cfeccdaf902",
        (320, 180),
        "av01.1.00M.08.0.000.02.02.02.0",
    ),
];
/// librav1e's av1C, which holds no sequence header, and the front of its first temporal unit.
const RAV1E: &str = "811f0c00";
const RAV1E_KEY: &str = "0a0e000000fa1e7f66210a88101010a032051002254862";
/// The fronts of libsvtav1's first three temporal units (delimiters kept): key frame, inter frame, and a frame that
/// is only shown. The sizes of the cut OBUs are set to what is left.
const SVT_KEY: &str = "12000a0b0200000521e7f66257c8023206100086808204";
const SVT_INTER: &str = "1200320428040040";
const SVT_SHOWN: &str = "12001a01c8";

#[test]
fn real_records_say_what_ffprobe_says() {
    for (made_with, record, (width, height), rfc6381) in RECORDS {
        let params = codec::parse(Codec::Av1, hex(record)).expect(made_with);
        let expected = VideoFormat { width, height, frame_rate: None, reorder_depth: Some(0) };
        assert_eq!(params.video(), Some(&expected), "{made_with}");
        assert_eq!((params.rfc6381.as_str(), params.config), (rfc6381, hex(record)), "{made_with}");
    }
}

#[test]
fn a_record_built_from_its_sequence_header_is_the_muxers_own() {
    for (made_with, record, ..) in RECORDS {
        let config = hex(record);
        let built = record_from_sequence_header(&config[4..]).unwrap();
        assert_eq!(built, config, "{made_with}");
        // The same OBU without a size field.
        let bare = [&[0x08], &config[6..]].concat();
        assert_eq!(record_from_sequence_header(&bare).unwrap(), config, "{made_with}");
    }
    let frame = [0x32, 1, 0x10];
    assert_eq!(record_from_sequence_header(&frame), Err(Error::Missing("sequence header OBU")));
    assert_eq!(record_from_sequence_header(&[]), Err(Error::Missing("sequence header OBU")));
}

#[test]
fn a_record_without_sequence_header_gets_its_size_from_a_keyframe() {
    let params = codec::parse(Codec::Av1, hex(RAV1E)).unwrap();
    assert_eq!(params.video().unwrap().width, 0);
    assert_eq!(params.rfc6381, "av01.0.31M.08");
    let whole = codec::complete(params, &hex(RAV1E_KEY)).unwrap();
    let video = whole.video().unwrap();
    assert_eq!((video.width, video.height), (320, 180));
    assert_eq!(whole.config, hex(RAV1E));
    let found = codec::from_frame(Codec::Av1, &hex(RAV1E_KEY)).unwrap();
    assert_eq!((found.video(), found.rfc6381.as_str()), (Some(video), "av01.0.31M.08"));
    assert!(codec::from_frame(Codec::Av1, &hex(SVT_INTER)).is_err());
}

#[test]
fn a_shown_key_frame_makes_a_keyframe() {
    assert!(is_keyframe(&hex(SVT_KEY)));
    assert!(is_keyframe(&hex(RAV1E_KEY)));
    assert!(!is_keyframe(&hex(SVT_INTER)));
    assert!(!is_keyframe(&hex(SVT_SHOWN)));
    assert!(!is_keyframe(&[]));
    // A key frame that is not shown yet, and a still picture, whose frame has no such bits.
    assert!(!is_keyframe(&[0x32, 1, 0x00]));
    assert!(is_keyframe(&[0x0A, 1, 0x18, 0x32, 1, 0x00]));
}

/// A sequence header with timing, decoder model and operating points, as `fields` of (bits, value).
fn sequence_header(fields: &[(usize, u32)]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    for &(count, value) in fields {
        bits.write(count, value);
    }
    bits.into_bytes()
}

#[test]
fn timing_operating_points_and_the_high_tier_are_read() {
    let mut fields = vec![
        (3, 2),        // seq_profile: Professional
        (2, 0),        // still_picture, reduced_still_picture_header
        (1, 1),        // timing_info_present_flag
        (32, 1_001),   // num_units_in_display_tick
        (32, 120_000), // time_scale
        (1, 1),        // equal_picture_interval
        (3, 0b010),    // num_ticks_per_picture_minus_1: 1
        (1, 1),        // decoder_model_info_present_flag
        (5, 9),        // buffer_delay_length_minus_1
        (32, 1),
        (10, 0),
        (1, 1),  // initial_display_delay_present_flag
        (5, 1),  // operating_points_cnt_minus_1
        (12, 0), // operating_point_idc
        (5, 13), // seq_level_idx: 5.1
        (1, 1),  // seq_tier: High
        (1, 1),  // decoder_model_present_for_this_op
        (21, 0), // operating_parameters_info
        (1, 1),  // initial_display_delay_present_for_this_op
        (4, 9),
        (12, 0),
        (5, 5), // the second operating point: 3.1
        (2, 0),
        (4, 11), // frame_width_bits_minus_1
        (4, 11),
        (12, 3_839),
        (12, 2_159),
        (1, 1), // frame_id_numbers_present_flag
        (7, 0),
        (3 + 4, 0),
        (3, 0b111), // enable_order_hint and two tools
        (2, 0b01),  // seq_choose_screen_content_tools 0, forced on
        (2, 0b01),  // seq_choose_integer_mv 0, forced on
        (3, 6),     // order_hint_bits_minus_1
        (3, 0),
    ];
    // 12 bits, 4:2:0 with position 1; sRGB and monochrome are tried below.
    let color = [(1, 1), (1, 1), (1, 0), (1, 0), (1, 1), (1, 1), (1, 1), (2, 1)];
    let head = fields.len();
    fields.extend(color);
    let header = SequenceHeader::parse(&sequence_header(&fields)).unwrap();
    assert_eq!((header.width, header.height), (3_840, 2_160));
    assert_eq!(header.frame_rate, Some((60_000, 1_001)));
    assert_eq!(header.rfc6381(), "av01.2.13H.12.0.111.02.02.02.1");
    assert_eq!(header.color.bit_depth, 12);
    assert!(header.color.full_range && header.color.is_420());
    let record = record_from_sequence_header(&[&[0x08], &sequence_header(&fields)[..]].concat()).unwrap();
    assert_eq!(record[..4], [0x81, 2 << 5 | 13, 0b1110_1101, 0]);

    fields.truncate(head);
    fields.extend([(1, 0), (1, 0), (1, 1), (8, 1), (8, 13), (8, 0)]); // 8 bits, sRGB
    let header = SequenceHeader::parse(&sequence_header(&fields)).unwrap();
    assert_eq!(header.rfc6381(), "av01.2.13H.08.0.000.01.13.00.1");

    fields.truncate(head);
    fields.extend([(1, 1), (1, 0), (1, 1), (1, 0), (1, 0)]); // 10 bits, monochrome
    let header = SequenceHeader::parse(&sequence_header(&fields)).unwrap();
    assert_eq!(header.rfc6381(), "av01.2.13H.10.1.110.02.02.02.0");
}

#[test]
fn headers_that_lie_are_refused_with_the_reason() {
    let parse = |record: &str| codec::parse(Codec::Av1, hex(record)).unwrap_err();
    assert_eq!(parse("81000c"), Error::Truncated { bytes: 3 });
    assert_eq!(parse("01000c00"), Error::Invalid { field: "av1C marker and version", value: 1 });
    assert_eq!(parse("81000c000a0b02000005"), Error::Truncated { bytes: 6 });
    assert_eq!(parse("81000c000a040200000521"), Error::Truncated { bytes: 4 });
    assert_eq!(parse("81000c000a01e0"), Error::Invalid { field: "seq_profile", value: 7 });
    assert_eq!(parse("81000c008a0b"), Error::Invalid { field: "obu_forbidden_bit", value: 1 });
    assert_eq!(parse("81000c000aff"), Error::Truncated { bytes: 1 });
    assert_eq!(parse("81000c000affffffff7f"), Error::Invalid { field: "obu_size", value: 0x7_FFFF_FFFF });
    assert!(matches!(parse("81000c000affffffffffffffffff"), Error::Invalid { field: "obu_size", .. }));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        let _ = (obus(&bytes).count(), is_keyframe(&bytes), SequenceHeader::parse(&bytes));
        let _ = record_from_sequence_header(&bytes);
        let _ = codec::parse(Codec::Av1, Bytes::from([&[RECORD_MARKER], &bytes[..]].concat()));
    }

    #[test]
    fn a_real_record_with_broken_bytes_never_panics(
        case in 0..RECORDS.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = hex(RECORDS[case].1).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = codec::parse(Codec::Av1, Bytes::from(bytes));
    }

    #[test]
    fn sizes_of_any_length_are_read_as_written(length in 0usize..40_000) {
        let mut bytes = BytesMut::from(&[0x32][..]);
        put_leb128(&mut bytes, length);
        bytes.resize(bytes.len() + length, 7);
        let found: Vec<_> = obus(&bytes).collect();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].clone().unwrap().payload.len(), length);
    }
}
