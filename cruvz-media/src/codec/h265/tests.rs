//! Records out of real encoders. Each was made with FFmpeg 9 from `-f lavfi -i testsrc2=s=SIZE:r=RATE` and the
//! options beside it, taken out of the MP4 without its SEI array, and is judged by what ffprobe says of that file.

use proptest::prelude::*;

use super::*;
use crate::codec::{self, hex, nal};

struct Case {
    /// Encoder options.
    made_with: &'static str,
    record: &'static str,
    size: (u32, u32),
    frame_rate: (u32, u32),
    /// ffprobe's `has_b_frames`.
    reorder_depth: u8,
    rfc6381: &'static str,
    chroma_format_idc: u8,
    bit_depth: u8,
}

const CASES: [Case; 6] = [
    Case {
        made_with: "libx265 -preset ultrafast -x265-params bframes=3, 1080 lines cropped from 1088",
        record: "0101600000009000000000007bf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003007b959409a10001002a42010101600000030090000003000003007ba003c0801107cb965654a4c2f01680800001f48000753004a2000100064401c073c189",
        size: (1920, 1080),
        frame_rate: (60_000, 1001),
        reorder_depth: 2,
        rfc6381: "hvc1.1.6.L123.90",
        chroma_format_idc: 1,
        bit_depth: 8,
    },
    Case {
        made_with: "libx265 -preset medium -x265-params bframes=0 -pix_fmt yuv420p10le",
        record: "0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003003c928090a10001002b42010102200000030090000003000003003ca00a080b9f6d964a924caf016808000003000800000300c840a2000100074401c172b46240",
        size: (320, 180),
        frame_rate: (25, 1),
        reorder_depth: 0,
        rfc6381: "hvc1.2.4.L60.90",
        chroma_format_idc: 1,
        bit_depth: 10,
    },
    Case {
        made_with: "libx265 -preset ultrafast -x265-params bframes=2 -pix_fmt yuv422p10le",
        record: "0104080000009d08000000003cf000fcfefafa00000f03a00001001740010c01ffff0408000003009d0800000300003c959009a10001002b4201010408000003009d0800000300003cb00a080c1f1ad965644a4c2f016808000003000800000300c840a2000100064401c073c189",
        size: (320, 180),
        frame_rate: (25, 1),
        reorder_depth: 2,
        rfc6381: "hvc1.4.10.L60.9D.8",
        chroma_format_idc: 2,
        bit_depth: 10,
    },
    Case {
        made_with: "libx265 -x265-params hrd=1:vbv-maxrate=500:vbv-bufsize=500:scaling-list=default:colorprim=bt709 -aspect 4:3",
        record: "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959409a10001003c42010101600000030090000003000003003ca00a080c1f3e5959529385ffe00060008d4040808100000300010000030019600c965e001e840007a122a2000100064401c073c189",
        size: (320, 180),
        frame_rate: (25, 1),
        reorder_depth: 2,
        rfc6381: "hvc1.1.6.L60.90",
        chroma_format_idc: 1,
        bit_depth: 8,
    },
    Case {
        made_with: "libx265 -x265-params interlace=tff:bframes=0:high-tier=1:level-idc=51",
        record: "01216000000040000000000099f000fcfdf8f800000f03a00001001840010c01ffff216000000300400000030000030099ba0240a100010029420101216000000300400000030000030099a00a080c1f3e5ba4a4c2f0168680000003008000000c84a2000100064401c073c189",
        size: (320, 180),
        frame_rate: (25, 1),
        reorder_depth: 0,
        rfc6381: "hvc1.1.6.H153.40",
        chroma_format_idc: 1,
        bit_depth: 8,
    },
    Case {
        made_with: "libkvazaar: two temporal layers",
        record: "010160000000800000000000baf000fcfdf8f800001303a00001001b40010c02ffff0160000003008000000300000300ba000004021024a10001002c4201020160000003008000000300000300ba0000a00a080b96c100864932ac04040000030004000003006420a2000100084401c062460a6480",
        size: (320, 184),
        frame_rate: (25, 1),
        reorder_depth: 15,
        rfc6381: "hvc1.1.6.L186.80",
        chroma_format_idc: 1,
        bit_depth: 8,
    },
];

#[test]
fn real_records_say_what_ffprobe_says() {
    for case in CASES {
        let config = hex(case.record);
        let params = codec::parse(Codec::H265, config.clone()).expect(case.made_with);
        let expected = VideoFormat {
            width: case.size.0,
            height: case.size.1,
            frame_rate: Some(case.frame_rate),
            reorder_depth: Some(case.reorder_depth),
        };
        assert_eq!(params.video(), Some(&expected), "{}", case.made_with);
        assert_eq!(params.rfc6381, case.rfc6381, "{}", case.made_with);
        assert_eq!(params.config.as_ptr(), config.as_ptr(), "{}: handed on without a copy", case.made_with);
        let sps = Sps::parse(&Record::parse(&config).unwrap().sps[0]).unwrap();
        assert_eq!(
            (sps.chroma_format_idc, sps.bit_depth_luma, sps.bit_depth_chroma),
            (case.chroma_format_idc, case.bit_depth, case.bit_depth),
            "{}",
            case.made_with
        );
    }
}

#[test]
fn a_record_built_from_its_parameter_sets_is_the_muxers_own() {
    for case in CASES {
        let config = hex(case.record);
        let Record { vps, sps, pps, .. } = Record::parse(&config).unwrap();
        let built = record_from_parameter_sets(&vps, &sps, &pps).unwrap();
        assert_eq!(built, config, "{}", case.made_with);
    }
}

#[test]
fn a_record_with_short_lengths_comes_back_with_four_byte_ones() {
    let four = hex(CASES[0].record);
    let mut one = BytesMut::from(&four[..]);
    one[21] = 0x0C;
    assert_eq!(nal_length_size(&one).unwrap(), 1);
    assert_eq!(codec::parse(Codec::H265, one.freeze()).unwrap().config, four);
}

#[test]
fn a_set_cut_short_behind_the_reordering_costs_only_the_frame_rate() {
    let Record { sps, .. } = Record::parse(&hex(CASES[0].record)).unwrap();
    let cut = Sps::parse(&sps[0][..sps[0].len() - 12]).unwrap();
    assert_eq!((cut.width, cut.height, cut.reorder_depth, cut.frame_rate), (1920, 1080, 2, None));
    assert_eq!(Sps::parse(&sps[0][..20]), Err(Error::Truncated { bytes: 15 }));
}

#[test]
fn records_that_lie_are_refused_with_the_reason() {
    let good = hex(CASES[0].record);
    let parse = |bytes: &[u8]| codec::parse(Codec::H265, Bytes::copy_from_slice(bytes)).unwrap_err();
    assert_eq!(parse(&good[..22]), Error::Truncated { bytes: 22 });
    assert_eq!(parse(&good[..40]), Error::Truncated { bytes: 40 });
    let mut other = BytesMut::from(&good[..]);
    other[0] = 9;
    assert_eq!(parse(&other), Error::Invalid { field: "hvcC version", value: 9 });
    other[0] = 1;
    other[22] = 0;
    assert_eq!(parse(&other), Error::Missing("sequence parameter set"));
    let Record { vps, sps, .. } = Record::parse(&good).unwrap();
    assert_eq!(record_from_parameter_sets(&vps, &sps, &[]), Err(Error::Missing("picture parameter set")));
    assert_eq!(record_from_parameter_sets(&vps, &[], &sps), Err(Error::Missing("sequence parameter set")));
}

#[test]
fn a_random_access_slice_makes_a_keyframe() {
    let unit = |kind: u8| vec![0, 0, 0, 2, 35 << 1, 1, 0, 0, 0, 3, kind << 1, 1, 0x80];
    for (kind, name) in [(16, "BLA"), (19, "IDR_W_RADL"), (20, "IDR_N_LP"), (21, "CRA")] {
        assert!(is_keyframe(&unit(kind)), "{name}");
    }
    for kind in [0, 1, 9, 33, 39] {
        assert!(!is_keyframe(&unit(kind)), "type {kind}");
    }
    assert!(!is_keyframe(&[0, 0, 0, 1, 0x26]) && !is_keyframe(&[]));
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes: Vec<u8>) {
        let _ = codec::parse(Codec::H265, Bytes::from(bytes.clone()));
        let _ = (Sps::parse(&bytes), is_keyframe(&bytes), user_data_unregistered(&bytes).count());
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
        if let Ok(params) = codec::parse(Codec::H265, Bytes::from(bytes)) {
            let video = params.video().unwrap();
            prop_assert!((1..=65_535).contains(&video.width) && (1..=65_535).contains(&video.height));
        }
    }

    #[test]
    fn stamped_user_data_is_read_back(uuid: [u8; 16], data: Vec<u8>) {
        let mut payload = BytesMut::new();
        nal::put_unit(&mut payload, &user_data_unregistered_nal(uuid, &data)).unwrap();
        let found: Vec<_> = user_data_unregistered(&payload).collect();
        prop_assert_eq!(found, vec![(uuid, Bytes::from(data))]);
    }
}
