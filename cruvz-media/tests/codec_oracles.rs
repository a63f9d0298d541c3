//! Our parsers of parameter sets beside somebody else's: real headers with bits flipped in them mean the same to both,
//! wherever both take them. What only one takes is no disagreement: each has checks that the other has not.

use std::{io::Cursor, ops::Range, panic::catch_unwind};

use cruvz_media::codec::{av1, h264, h265};
use h264_reader::nal::{Nal as _, RefNal, sps::SeqParameterSet};
use proptest::{prelude::*, sample::Index};
use scuffle_av1::{ObuHeader, seq::SequenceHeaderObu};
use scuffle_h265::SpsNALUnit;

/// Sequence parameter sets of libx264 (1080p59.94 with B-frames, interlaced, baseline, 4:2:2 with 10 bits, 4:4:4, with
/// HRD and most VUI fields) and libopenh264.
const H264: [&str; 8] = [
    "674d402aeca03c0113f2e022000007d20003a9801e30632c",
    "67640028acd94078044fde0220000003002000000643e2c5b2c0",
    "6742c00cd901419f9f011000000300100000030320f142a480",
    "6742c0148c68141979f0101e1108d4",
    "677a000cb6cd941419f8dc0440000003004000000c83c50a6580",
    "67f4000d919b282a33c7c5e022000003000200000300781e28532c",
    "6764000cacb202833f3e0220000003002000000651e28549",
    "6764000dacd941419f9fff000300046a040402800000030080000019301000f420003d09c98600f1429960",
];

/// Sequence parameter sets of libx265 (1080p59.94, Main 10, 4:2:2, with HRD, interlaced) and libkvazaar (two
/// temporal layers).
const H265: [&str; 6] = [
    "42010101600000030090000003000003007ba003c0801107cb965654a4c2f01680800001f48000753004",
    "42010102200000030090000003000003003ca00a080b9f6d964a924caf016808000003000800000300c840",
    "4201010408000003009d0800000300003cb00a080c1f1ad965644a4c2f016808000003000800000300c840",
    "42010101600000030090000003000003003ca00a080c1f3e5959529385ffe00060008d4040808100000300010000030019600c965e001e840007a122",
    "420101216000000300400000030000030099a00a080c1f3e5ba4a4c2f0168680000003008000000c84",
    "4201020160000003008000000300000300ba0000a00a080b96c100864932ac04040000030004000003006420",
];

/// Sequence header OBUs of libsvtav1 (8 and 10 bits), libaom (4:2:0, 4:4:4) and librav1e.
const AV1: [&str; 5] = [
    "0a0b0200000521e7f66017c002",
    "0a0e0200000521e7f66017c281010482",
    "0a0b000000043d06d4daf90040",
    "0a0a200000043cfeccdaf902",
    "0a0e000000fa1e7f66210a88101010a0",
];

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits"))
        .collect()
}

/// One of `headers` with up to three bits flipped, its first `kept` bytes left alone.
fn damaged(headers: &'static [&str], kept: usize) -> impl Strategy<Value = Vec<u8>> {
    let flips: Range<usize> = 0..4;
    (0..headers.len(), proptest::collection::vec(any::<Index>(), flips)).prop_map(move |(which, flips)| {
        let mut header = hex(headers[which]);
        for flip in flips {
            let bit = kept * 8 + flip.index((header.len() - kept) * 8);
            header[bit / 8] ^= 0x80 >> (bit % 8);
        }
        header
    })
}

fn per_second(rate: Option<(u32, u32)>) -> Option<f64> {
    rate.map(|(numerator, denominator)| f64::from(numerator) / f64::from(denominator))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn h264_parameter_sets_mean_the_same_to_h264_reader(nal in damaged(&H264, 1)) {
        let theirs = SeqParameterSet::from_bits(RefNal::new(&nal, &[], true).rbsp_bits());
        let (Ok(ours), Ok(theirs)) = (h264::Sps::parse(&nal), theirs) else { return Ok(()) };
        if let Ok(size) = theirs.pixel_dimensions() {
            prop_assert_eq!((ours.width, ours.height), size);
        }
        let rate = theirs.fps().filter(|rate| rate.is_finite() && *rate > 0.0);
        if let (Some(ours), Some(theirs)) = (per_second(ours.frame_rate), rate) {
            prop_assert!((ours / theirs - 1.0).abs() < 1e-9, "{} {}", ours, theirs);
        }
        let restriction = theirs.vui_parameters.as_ref().and_then(|vui| vui.bitstream_restrictions.as_ref());
        if let Some(restriction) = restriction {
            prop_assert_eq!(ours.reorder_depth.map(u32::from), Some(restriction.max_num_reorder_frames));
        }
        let string = format!("avc1.{:02x}{:02x}{:02x}", ours.profile_idc, ours.constraints, ours.level_idc);
        prop_assert_eq!(string, theirs.rfc6381().to_string().to_lowercase());
    }

    #[test]
    fn h265_parameter_sets_mean_the_same_to_scuffle(nal in damaged(&H265, 2)) {
        // It subtracts unchecked: a header that makes it panic is one it does not take.
        let theirs = catch_unwind(|| SpsNALUnit::parse(Cursor::new(&nal)));
        let (Ok(ours), Ok(Ok(theirs))) = (h265::Sps::parse(&nal), theirs) else { return Ok(()) };
        let theirs = theirs.rbsp;
        prop_assert_eq!(
            (u64::from(ours.width), u64::from(ours.height)),
            (theirs.cropped_width(), theirs.cropped_height())
        );
        prop_assert_eq!((ours.bit_depth_luma, ours.bit_depth_chroma), (theirs.bit_depth_y(), theirs.bit_depth_c()));
        let reorder = theirs.sub_layer_ordering_info.sps_max_num_reorder_pics.last().copied();
        prop_assert_eq!(Some(u64::from(ours.reorder_depth)), reorder);
        let timing = theirs.vui_parameters.and_then(|vui| vui.vui_timing_info);
        let rate = timing.map(|timing| f64::from(timing.time_scale.get()) / f64::from(timing.num_units_in_tick.get()));
        prop_assert_eq!(per_second(ours.frame_rate), rate);
    }

    #[test]
    fn av1_sequence_headers_mean_the_same_to_scuffle(obu in damaged(&AV1, 2)) {
        let mut cursor = Cursor::new(&obu);
        let header = ObuHeader::parse(&mut cursor).unwrap();
        let (Ok(ours), Ok(theirs)) =
            (av1::SequenceHeader::parse(&obu[2..]), SequenceHeaderObu::parse(header, &mut cursor))
        else {
            return Ok(());
        };
        prop_assert_eq!(
            (u64::from(ours.width), u64::from(ours.height)),
            (theirs.max_frame_width, theirs.max_frame_height)
        );
        let point = &theirs.operating_points[0];
        prop_assert_eq!((ours.profile, ours.level_idx), (theirs.seq_profile, point.seq_level_idx));
        prop_assert_eq!(ours.high_tier, point.seq_tier);
        let (color, theirs) = (ours.color, theirs.color_config);
        prop_assert_eq!((i32::from(color.bit_depth), color.monochrome), (theirs.bit_depth, theirs.mono_chrome));
        prop_assert_eq!(
            (color.subsampling_x, color.subsampling_y),
            (theirs.subsampling_x, theirs.subsampling_y)
        );
        prop_assert_eq!(
            (color.primaries, color.transfer, color.matrix),
            (theirs.color_primaries, theirs.transfer_characteristics, theirs.matrix_coefficients)
        );
    }
}

/// Where nothing is damaged, both must take it: otherwise the tests above could pass by never comparing.
#[test]
fn undamaged_headers_are_taken_by_both() {
    for nal in H264.map(hex) {
        assert!(h264::Sps::parse(&nal).is_ok());
        assert!(SeqParameterSet::from_bits(RefNal::new(&nal, &[], true).rbsp_bits()).is_ok());
    }
    for nal in H265.map(hex) {
        assert!(h265::Sps::parse(&nal).is_ok());
        SpsNALUnit::parse(Cursor::new(&nal)).unwrap();
    }
    for obu in AV1.map(hex) {
        assert!(av1::SequenceHeader::parse(&obu[2..]).is_ok());
        let mut cursor = Cursor::new(&obu);
        let header = ObuHeader::parse(&mut cursor).unwrap();
        SequenceHeaderObu::parse(header, &mut cursor).unwrap();
    }
}
