use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::AudioFormat;

const ALL: [Codec; 12] = [
    Codec::Aac,
    Codec::Ac3,
    Codec::Av1,
    Codec::Eac3,
    Codec::Flac,
    Codec::H264,
    Codec::H265,
    Codec::Mp3,
    Codec::Opus,
    Codec::ScriptData,
    Codec::Vp8,
    Codec::Vp9,
];

/// Parameter sets of libx264 at 320x180, baseline, and of libx265 at 320x180, Main 10.
const AVC_SETS: [&str; 2] = ["6742c00cd901419f9f011000000300100000030320f142a480", "68cb83cb20"];
const HEVC_SETS: [&str; 3] = [
    "40010c01ffff02200000030090000003000003003c928090",
    "42010102200000030090000003000003003ca00a080b9f6d964a924caf016808000003000800000300c840",
    "4401c172b46240",
];

fn payload(units: &[&str]) -> Bytes {
    let mut payload = BytesMut::new();
    for unit in units {
        nal::put_unit(&mut payload, &hex(unit)).unwrap();
    }
    payload.freeze()
}

#[test]
fn a_keyframe_with_its_parameter_sets_in_band_tells_all() {
    let frame = payload(&[AVC_SETS[0], AVC_SETS[1], AVC_SETS[0], AVC_SETS[1], "6588"]);
    let params = from_frame(Codec::H264, &frame).unwrap();
    assert_eq!((params.video().unwrap().width, params.rfc6381.as_str()), (320, "avc1.42c00c"));
    assert_eq!(h264::Record::parse(&params.config).unwrap().sps.len(), 1, "repeated sets count once");
    let frame = payload(&[HEVC_SETS[0], HEVC_SETS[1], HEVC_SETS[2], "2601af"]);
    let params = from_frame(Codec::H265, &frame).unwrap();
    assert_eq!((params.video().unwrap().height, params.rfc6381.as_str()), (180, "hvc1.2.4.L60.90"));
    let bare = payload(&["6588"]);
    assert_eq!(from_frame(Codec::H264, &bare), Err(Error::Missing("sequence parameter set")));
    assert_eq!(from_frame(Codec::H265, &bare), Err(Error::Missing("sequence parameter set")));
}

#[test]
fn audio_packets_with_headers_tell_all_and_others_nothing() {
    let mut packet = BytesMut::from(&hex("0b77d112144043e106f4")[..]);
    packet.resize(MAX_CONFIG_BYTES + 1, 0);
    assert_eq!(from_frame(Codec::Ac3, &packet.freeze()).unwrap().config, hex("101140"));
    assert_eq!(from_frame(Codec::Mp3, &hex("fffb9464")).unwrap().audio().unwrap().sample_rate_hz, 48_000);
    assert_eq!(from_frame(Codec::Aac, &hex("2110")), Err(Error::Missing("configuration in band")));
    assert_eq!(from_frame(Codec::ScriptData, &Bytes::new()), Ok(CodecParams::script_data()));
}

#[test]
fn samples_come_from_the_packet_or_else_from_the_track() {
    let aac = parse(Codec::Aac, hex("1214")).unwrap();
    assert_eq!(samples(&aac, &[]), Some(960));
    let opus = parse(Codec::Opus, hex("000201380000bb80000000")).unwrap();
    assert_eq!((samples(&opus, &[0xFC]), samples(&opus, &[])), (Some(960), None));
    let mp3 = parse(Codec::Mp3, hex("fffb9464")).unwrap();
    assert_eq!((samples(&mp3, &hex("fff370c0")), samples(&mp3, &[])), (Some(576), None));
    let ac3 = parse(Codec::Ac3, hex("103de0")).unwrap();
    assert_eq!(samples(&ac3, &[]), Some(1_536));
    let eac3 = parse(Codec::Eac3, hex("0e00200f00")).unwrap();
    assert_eq!(samples(&eac3, &[]), None);
    let flac = "0000000080000022040004000000570001670bb802f0000038407c78e3944dce6500a8358719aed00c4d";
    let flac = parse(Codec::Flac, hex(flac)).unwrap();
    assert_eq!(samples(&flac, &hex("fff86a88002f")), Some(48), "the last block is shorter");
    assert_eq!(samples(&parse(Codec::Vp8, Bytes::new()).unwrap(), &[0]), None);
    assert_eq!(samples(&CodecParams::script_data(), &[0]), None);
}

#[test]
fn keyframes_are_told_by_codec() {
    for (codec, key, other) in [
        (Codec::Av1, "320110", "320130"),
        (Codec::H264, "000000026588", "000000024188"),
        (Codec::H265, "000000032601af", "000000030201af"),
        (Codec::Vp8, "f06200", "711300"),
        (Codec::Vp9, "82498342", "86004092"),
    ] {
        assert!(is_keyframe(codec, &hex(key)) && !is_keyframe(codec, &hex(other)), "{codec}");
    }
    assert!(is_keyframe(Codec::Aac, &[]) && is_keyframe(Codec::ScriptData, &[]));
}

#[test]
fn frame_rates_are_in_lowest_terms_or_absent() {
    assert_eq!(frame_rate(120_000, 2_002), Some((60_000, 1_001)));
    assert_eq!(frame_rate(u64::from(u32::MAX) * 2, 2), Some((u32::MAX, 1)));
    assert_eq!(frame_rate(1, u64::from(u32::MAX) * 2), None);
    assert_eq!((frame_rate(0, 1), frame_rate(25, 0), frame_rate(0, 0)), (None, None, None));
}

proptest! {
    #[test]
    fn any_bytes_for_any_codec_never_panic(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        for codec in ALL {
            let _ = (from_frame(codec, &bytes), is_keyframe(codec, &bytes));
            if let Ok(params) = parse(codec, bytes.clone()) {
                let _ = (samples(&params, &bytes), complete(params.clone(), &bytes));
                if let Some(&AudioFormat { sample_rate_hz, channels, .. }) = params.audio() {
                    let rate_is_told = sample_rate_hz > 0 || codec == Codec::Eac3;
                    prop_assert!(rate_is_told && channels > 0, "{:?}", params);
                }
                // What came out is a record itself, of the same meaning, as far as it can say all that the frame did.
                if !params.config.is_empty() {
                    let again = parse(codec, params.config.clone()).unwrap();
                    prop_assert!(again == params || complete(again, &bytes) == Ok(params));
                }
            }
        }
    }
}
