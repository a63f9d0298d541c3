//! Records out of real encoders. Each was made with FFmpeg 9 from `-f lavfi -i testsrc2=s=SIZE:r=RATE` and the
//! options beside it, taken out of the MP4, and is judged by what ffprobe says of that file.

use proptest::prelude::*;

use super::*;
use crate::codec::{self, hex, nal};

struct Case {
    /// Encoder options.
    made_with: &'static str,
    record: &'static str,
    width: u32,
    height: u32,
    frame_rate: Option<(u32, u32)>,
    /// ffprobe's `has_b_frames`.
    reorder_depth: Option<u8>,
    rfc6381: &'static str,
    chroma_format_idc: u8,
    bit_depth: u8,
    interlaced: bool,
}

const CASES: [Case; 8] = [
    Case {
        made_with: "libx264 -preset ultrafast -bf 3, 1080 lines cropped from 1088",
        record: "014d402affe10018674d402aeca03c0113f2e022000007d20003a9801e30632c01000468ce0fc8",
        width: 1920,
        height: 1080,
        frame_rate: Some((60_000, 1001)),
        reorder_depth: Some(2),
        rfc6381: "avc1.4d402a",
        chroma_format_idc: 1,
        bit_depth: 8,
        interlaced: false,
    },
    Case {
        made_with: "-vf interlace -c:v libx264 -flags +ildct+ilme -x264opts tff=1 -preset veryfast",
        record: "01640028ffe1001a67640028acd94078044fde0220000003002000000643e2c5b2c001000468fe8fcbfdf8f800",
        width: 1920,
        height: 1080,
        frame_rate: Some((25, 1)),
        reorder_depth: Some(2),
        rfc6381: "avc1.640028",
        chroma_format_idc: 1,
        bit_depth: 8,
        interlaced: true,
    },
    Case {
        made_with: "libx264 -profile:v baseline",
        record: "0142c00cffe100196742c00cd901419f9f011000000300100000030320f142a48001000568cb83cb20",
        width: 320,
        height: 180,
        frame_rate: Some((25, 1)),
        reorder_depth: Some(0),
        rfc6381: "avc1.42c00c",
        chroma_format_idc: 1,
        bit_depth: 8,
        interlaced: false,
    },
    Case {
        made_with: "libopenh264: no timing in the VUI, no bitstream restriction",
        record: "0142c014ffe1000f6742c0148c68141979f0101e1108d401000468ce3c80",
        width: 320,
        height: 180,
        frame_rate: None,
        reorder_depth: Some(0),
        rfc6381: "avc1.42c014",
        chroma_format_idc: 1,
        bit_depth: 8,
        interlaced: false,
    },
    Case {
        made_with: "libx264 -bf 2 -profile:v high422 -pix_fmt yuv422p10le",
        record: "017a000cffe1001a677a000cb6cd941419f8dc0440000003004000000c83c50a658001000668ebe3cb22c0fefafa00",
        width: 320,
        height: 180,
        frame_rate: Some((25, 1)),
        reorder_depth: Some(2),
        rfc6381: "avc1.7a000c",
        chroma_format_idc: 2,
        bit_depth: 10,
        interlaced: false,
    },
    Case {
        made_with: "libx264 -pix_fmt yuv444p, 322x182: odd crops",
        record: "01f4000dffe1001b67f4000d919b282a33c7c5e022000003000200000300781e28532c01000668ebe3c44844fff8f800",
        width: 322,
        height: 182,
        frame_rate: Some((30, 1)),
        reorder_depth: Some(2),
        rfc6381: "avc1.f4000d",
        chroma_format_idc: 3,
        bit_depth: 8,
        interlaced: false,
    },
    Case {
        made_with: "libx264 -tune zerolatency",
        record: "0164000cffe100186764000cacb202833f3e0220000003002000000651e2854901000668ebc3cb22c0fdf8f800",
        width: 320,
        height: 180,
        frame_rate: Some((25, 1)),
        reorder_depth: Some(0),
        rfc6381: "avc1.64000c",
        chroma_format_idc: 1,
        bit_depth: 8,
        interlaced: false,
    },
    Case {
        made_with: "libx264 -x264opts nal-hrd=cbr:bitrate=500:vbv-maxrate=500:vbv-bufsize=500 -aspect 4:3, BT.709",
        record: "0164000dffe1002b6764000dacd941419f9fff000300046a040402800000030080000019301000f420003d09c98600f142996001000568ebecb22cfdf8f800",
        width: 320,
        height: 180,
        frame_rate: Some((25, 1)),
        reorder_depth: Some(2),
        rfc6381: "avc1.64000d",
        chroma_format_idc: 1,
        bit_depth: 8,
        interlaced: false,
    },
];

#[test]
fn real_records_say_what_ffprobe_says() {
    for case in CASES {
        let config = hex(case.record);
        let params = codec::parse(Codec::H264, config.clone()).expect(case.made_with);
        let Case { width, height, frame_rate, reorder_depth, .. } = case;
        let expected = VideoFormat { width, height, frame_rate, reorder_depth };
        assert_eq!(params.video(), Some(&expected), "{}", case.made_with);
        assert_eq!(params.rfc6381, case.rfc6381, "{}", case.made_with);
        assert_eq!(params.config.as_ptr(), config.as_ptr(), "{}: handed on without a copy", case.made_with);
        let sps = Sps::parse(&Record::parse(&config).unwrap().sps[0]).unwrap();
        assert_eq!(
            (sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma, sps.interlaced),
            (case.chroma_format_idc, case.bit_depth, case.bit_depth, case.interlaced),
            "{}",
            case.made_with
        );
    }
}

#[test]
fn a_record_built_from_its_parameter_sets_is_the_encoders_own() {
    for case in CASES {
        let config = hex(case.record);
        let Record { sps, pps, .. } = Record::parse(&config).unwrap();
        assert_eq!(record_from_parameter_sets(&sps, &pps).unwrap(), config, "{}", case.made_with);
    }
}

#[test]
fn a_record_with_short_lengths_comes_back_with_four_byte_ones() {
    let four = hex(CASES[0].record);
    let mut two = BytesMut::from(&four[..]);
    two[4] = 0xFD;
    assert_eq!(nal_length_size(&two).unwrap(), 2);
    let params = codec::parse(Codec::H264, two.freeze()).unwrap();
    assert_eq!(params.config, four);
}

#[test]
fn a_vui_cut_short_costs_only_the_rest_of_it() {
    let Record { sps, .. } = Record::parse(&hex(CASES[0].record)).unwrap();
    let cut = Sps::parse(&sps[0][..sps[0].len() - 4]).unwrap();
    assert_eq!((cut.width, cut.height, cut.frame_rate), (1920, 1080, Some((60_000, 1001))));
    assert_eq!(cut.reorder_depth, None);
}

#[test]
fn records_that_lie_are_refused_with_the_reason() {
    let good = hex(CASES[2].record);
    let parse = |bytes: &[u8]| codec::parse(Codec::H264, Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(parse(&[]), Error::Truncated { bytes: 0 });
    assert_eq!(parse(&[0, 0, 0, 1, 0x67]), Error::Invalid { field: "avcC version", value: 0 });
    assert_eq!(parse(&[1, 66, 0, 30, 0xFF, 0xE0, 0]), Error::Missing("sequence parameter set"));
    assert_eq!(parse(&good[..20]), Error::Truncated { bytes: 20 });
    let mut other = BytesMut::from(&good[..]);
    other[8] = 0x68;
    assert_eq!(parse(&other), Error::Missing("sequence parameter set"));
    let huge = vec![1; codec::MAX_CONFIG_BYTES + 1];
    assert_eq!(parse(&huge), Error::TooLarge { bytes: huge.len() });
    let none: [&[u8]; 0] = [];
    assert!(record_from_parameter_sets(&none, &[&[0x68]]).is_err());
    assert_eq!(
        record_from_parameter_sets(&[&good[8..33]], &none),
        Err(Error::Missing("picture parameter set"))
    );
}

#[test]
fn an_idr_slice_makes_a_keyframe_whatever_goes_before_it() {
    let idr = [0, 0, 0, 2, 0x09, 0xF0, 0, 0, 0, 2, 0x06, 0x80, 0, 0, 0, 2, 0x65, 0x88];
    assert!(is_keyframe(&idr));
    let inter = [0, 0, 0, 2, 0x67, 0x42, 0, 0, 0, 2, 0x41, 0x9A];
    assert!(!is_keyframe(&inter));
    assert!(!is_keyframe(&[0, 0, 0, 9, 0x65]));
    assert!(!is_keyframe(&[]));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        let _ = codec::parse(Codec::H264, Bytes::from(bytes.clone()));
        let _ = (Sps::parse(&bytes), is_keyframe(&bytes));
    }

    #[test]
    fn a_real_record_with_broken_bytes_never_panics(
        case in 0..CASES.len(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = hex(CASES[case].record).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(params) = codec::parse(Codec::H264, Bytes::from(bytes)) {
            let video = params.video().unwrap();
            prop_assert!(video.width > 0 && video.height > 0 && video.width <= 65_536);
        }
    }
}

#[test]
fn user_data_of_an_encoder_is_found_under_its_uuid() {
    // What libx264 puts before its first slice, cut after "x264" and its two lengths set to what is left.
    let payload = hex("00000018060514dc45e9bde6d948b7962cd820d923eeef7832363480000000026588");
    let found: Vec<_> = user_data_unregistered(&payload).collect();
    let uuid = hex("dc45e9bde6d948b7962cd820d923eeef");
    assert_eq!(found, [(uuid[..].try_into().unwrap(), Bytes::from_static(b"x264"))]);
}

#[test]
fn several_messages_in_one_unit_are_told_apart() {
    // A message of type 4 (3 bytes), one of type 5 too short for a UUID, one of type 5, one that breaks off.
    let mut unit = vec![0x06, 4, 3, 1, 2, 3, 5, 1, 9, 5, 17];
    unit.extend([7; 17]);
    unit.extend([5, 200, 1, 2]);
    let mut payload = BytesMut::new();
    nal::put_unit(&mut payload, &unit).unwrap();
    let found: Vec<_> = user_data_unregistered(&payload).collect();
    assert_eq!(found, [([7; 16], Bytes::from_static(&[7]))]);
}

proptest! {
    #[test]
    fn stamped_user_data_is_read_back(
        uuid: [u8; 16],
        data in proptest::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..600),
    ) {
        let mut payload = BytesMut::new();
        let unit = user_data_unregistered_nal(uuid, &data);
        let stream = [&[0, 0, 1], &unit[..]].concat();
        prop_assert_eq!(nal::annex_b_units(&stream).next(), Some(&unit[..]));
        nal::put_unit(&mut payload, &unit).unwrap();
        let found: Vec<_> = user_data_unregistered(&payload).collect();
        prop_assert_eq!(found, vec![(uuid, Bytes::from(data))]);
    }
}
