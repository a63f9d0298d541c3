//! What is written here is read back by `mp4-atom`, an independent implementation, and fragments must equal its
//! encoding byte for byte.

use bytes::Bytes;
use mp4_atom::{Atom, Decode, DecodeMaybe, Encode};
use proptest::prelude::*;

use super::*;
use crate::{AudioFormat, CodecParams, Format, TrackId, VideoFormat};

/// Configuration records of one second of `testsrc2=s=320x180:r=25` and `sine=440:r=48000`, encoded by FFmpeg with
/// libx264, libx265, libsvtav1, libvpx-vp9, aac, flac, ac3 and eac3 into MP4.
const AVCC: &str =
    "0164000cffe1001a6764000cacd941419f9f011000000300100000030320f142996001000668ebe3cb22c0fdf8f800";
const HVCC: &str = "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff016000000300900000030000\
    03003c959809a10001002b42010101600000030090000003000003003ca00a080b9f796566924caf01680800000300080000\
    0300c840a2000100074401c172b46240";
const AV1C: &str = "81000c000a0b0200000561e7f66017c002";
const VPCC: &str = "000b820202020000";
const ASC: &str = "119056e500";
const STREAMINFO: &str = "040004000000c600017f0bb802f000005dc06643db52af71821b5b387e8ca45d8830";
const DAC3: &str = "101140";
const DEC3: &str = "0600200400";
/// OpusHead for two channels, 312 samples of pre-skip, 48 kHz (RFC 7845 §5.1).
const OPUS_HEAD: &str = "4f707573486561640102380180bb0000000000";

fn unhex(hex: &str) -> Bytes {
    let digits: Vec<u8> =
        hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn video(codec: Codec, config: &str) -> Track {
    let format = Format::Video(VideoFormat { width: 320, height: 180, ..VideoFormat::default() });
    let params = CodecParams { codec, config: unhex(config), format, rfc6381: String::new() };
    Track { id: TrackId::VIDEO, timescale: Timescale::MILLIS, params }
}

fn audio(codec: Codec, config: &str) -> Track {
    let format =
        Format::Audio(AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: Some(1024) });
    let params = CodecParams { codec, config: unhex(config), format, rfc6381: String::new() };
    Track { id: TrackId::AUDIO, timescale: Timescale::MILLIS, params }
}

fn decode_moov(tracks: &[Track]) -> mp4_atom::Moov {
    let init = init_segment(tracks).unwrap();
    let mut rest = &init[..];
    let ftyp = mp4_atom::Ftyp::decode(&mut rest).unwrap();
    assert_eq!(ftyp.major_brand, mp4_atom::FourCC::new(b"iso6"));
    let moov = mp4_atom::Moov::decode(&mut rest).unwrap();
    assert!(rest.is_empty());
    moov
}

fn sample_entry(track: Track) -> mp4_atom::Codec {
    let mut moov = decode_moov(&[track]);
    moov.trak.remove(0).mdia.minf.stbl.stsd.codecs.remove(0)
}

/// The body of `atom` as `mp4-atom` writes it.
fn body_of<A: Atom>(atom: &A) -> Vec<u8> {
    let mut body = Vec::new();
    atom.encode_body(&mut body).unwrap();
    body
}

#[test]
fn a_muxed_init_segment_describes_both_tracks() {
    let moov = decode_moov(&[video(Codec::H264, AVCC), audio(Codec::Aac, ASC)]);
    assert_eq!((moov.mvhd.timescale, moov.mvhd.next_track_id), (1_000, 3));
    let [v, a] = &moov.trak[..] else { panic!("{} tracks", moov.trak.len()) };
    assert_eq!((v.tkhd.track_id, a.tkhd.track_id), (1, 2));
    assert_eq!((v.tkhd.width.integer(), v.tkhd.height.integer()), (320, 180));
    assert!(v.tkhd.enabled && v.tkhd.in_movie);
    assert_eq!((v.mdia.mdhd.timescale, a.mdia.mdhd.timescale), (90_000, 48_000));
    assert_eq!(v.mdia.hdlr.handler, mp4_atom::FourCC::new(b"vide"));
    assert_eq!(a.mdia.hdlr.handler, mp4_atom::FourCC::new(b"soun"));
    assert!(v.mdia.minf.vmhd.is_some() && a.mdia.minf.smhd.is_some());
    let extends = moov.mvex.unwrap().trex;
    assert_eq!(extends.iter().map(|trex| trex.track_id).collect::<Vec<_>>(), [1, 2]);
    assert!(extends.iter().all(|trex| trex.default_sample_description_index == 1));
}

#[test]
fn video_records_arrive_as_they_were() {
    let mp4_atom::Codec::Avc1(entry) = sample_entry(video(Codec::H264, AVCC)) else { panic!() };
    assert_eq!((entry.visual.width, entry.visual.height), (320, 180));
    assert_eq!(body_of(&entry.avcc), unhex(AVCC));
    let mp4_atom::Codec::Hvc1(entry) = sample_entry(video(Codec::H265, HVCC)) else { panic!() };
    assert_eq!(body_of(&entry.hvcc), unhex(HVCC));
    let mp4_atom::Codec::Av01(entry) = sample_entry(video(Codec::Av1, AV1C)) else { panic!() };
    assert_eq!(body_of(&entry.av1c), unhex(AV1C));
    let full_box = ["01000000", VPCC].concat();
    for config in [VPCC, &full_box] {
        let mp4_atom::Codec::Vp09(entry) = sample_entry(video(Codec::Vp9, config)) else { panic!() };
        assert_eq!((entry.vpcc.profile, entry.vpcc.level, entry.vpcc.bit_depth), (0, 11, 8));
    }
}

#[test]
fn the_records_say_four_byte_lengths_whatever_the_publisher_wrote() {
    let mut track = video(Codec::H264, AVCC);
    let mut record = track.params.config.to_vec();
    record[4] = 0xFD; // two-byte lengths
    track.params.config = record.into();
    let mp4_atom::Codec::Avc1(entry) = sample_entry(track) else { panic!() };
    assert_eq!(entry.avcc.length_size, 4);
}

#[test]
fn audio_records_arrive_as_they_were() {
    let mp4_atom::Codec::Mp4a(entry) = sample_entry(audio(Codec::Aac, ASC)) else { panic!() };
    assert_eq!((entry.audio.channel_count, entry.audio.sample_rate.integer()), (2, 48_000));
    let decoder = entry.esds.es_desc.dec_config;
    assert_eq!((decoder.object_type_indication, decoder.stream_type), (0x40, 5));
    assert_eq!(decoder.dec_specific.unwrap().raw, unhex(ASC));

    let mp4_atom::Codec::Mp4a(entry) = sample_entry(audio(Codec::Mp3, "")) else { panic!() };
    assert_eq!(entry.esds.es_desc.dec_config.object_type_indication, 0x6B);

    let mp4_atom::Codec::Opus(entry) = sample_entry(audio(Codec::Opus, OPUS_HEAD)) else { panic!() };
    assert_eq!((entry.dops.output_channel_count, entry.dops.pre_skip), (2, 312));
    assert_eq!(entry.dops.input_sample_rate, 48_000);

    let mp4_atom::Codec::Ac3(entry) = sample_entry(audio(Codec::Ac3, DAC3)) else { panic!() };
    assert_eq!(body_of(&entry.dac3), unhex(DAC3));
    let mp4_atom::Codec::Eac3(entry) = sample_entry(audio(Codec::Eac3, DEC3)) else { panic!() };
    assert_eq!(body_of(&entry.dec3), unhex(DEC3));
}

#[test]
fn flac_is_found_bare_with_its_header_and_behind_its_marker() {
    for prefix in ["", "80000022", "664c614380000022"] {
        let mp4_atom::Codec::Flac(entry) = sample_entry(audio(Codec::Flac, &[prefix, STREAMINFO].concat()))
        else {
            panic!()
        };
        assert_eq!(entry.audio.sample_size, 16);
        let [mp4_atom::FlacMetadataBlock::StreamInfo { sample_rate, .. }] = entry.dfla.blocks[..] else {
            panic!()
        };
        assert_eq!(sample_rate, 48_000);
    }
}

#[test]
fn high_sample_rates_are_halved_in_the_entry_and_whole_in_the_timescale() {
    let mut track = audio(Codec::Flac, STREAMINFO);
    let format = AudioFormat { sample_rate_hz: 96_000, channels: 2, samples_per_frame: None };
    track.params.format = Format::Audio(format);
    assert_eq!(timescale(&track).hz(), 96_000);
    let mp4_atom::Codec::Flac(entry) = sample_entry(track) else { panic!() };
    assert_eq!(entry.audio.sample_rate.integer(), 48_000);
}

#[test]
fn timescales_follow_the_media() {
    assert_eq!(timescale(&video(Codec::H264, AVCC)).hz(), 90_000);
    let cinema = Track { timescale: Timescale::new(24_000).unwrap(), ..video(Codec::H264, AVCC) };
    assert_eq!(timescale(&cinema).hz(), 24_000);
    let mut opus = audio(Codec::Opus, OPUS_HEAD);
    opus.params.format = Format::Audio(AudioFormat { sample_rate_hz: 44_100, ..AudioFormat::default() });
    assert_eq!(timescale(&opus).hz(), 48_000);
}

#[test]
fn what_cannot_be_carried_is_refused_with_its_reason() {
    assert_eq!(init_segment(&[video(Codec::Vp8, "")]), Err(Error::UnsupportedCodec(Codec::Vp8)));
    let data = Track { params: CodecParams::script_data(), ..video(Codec::Vp8, "") };
    assert_eq!(init_segment(&[data]), Err(Error::UnsupportedCodec(Codec::ScriptData)));
    for codec in [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9] {
        assert_eq!(init_segment(&[video(codec, "01")]), Err(Error::ShortConfig { codec, len: 1 }));
    }
    for codec in [Codec::Aac, Codec::Opus, Codec::Flac, Codec::Ac3, Codec::Eac3] {
        assert_eq!(init_segment(&[audio(codec, "01")]), Err(Error::ShortConfig { codec, len: 1 }));
    }
}

/// The `moof` that `mp4-atom` writes for `runs`.
fn moof_by_mp4_atom(sequence_number: u32, runs: &[Run<'_>]) -> Vec<u8> {
    let build = |mut offset: Option<i32>| {
        let trafs = runs.iter().filter(|run| !run.samples.is_empty()).map(|run| {
            let data_offset = offset.or(Some(0));
            let len: usize = run.samples.iter().map(|sample| sample.payload.len()).sum();
            offset = offset.map(|offset| offset + len as i32);
            traf_by_mp4_atom(run, data_offset)
        });
        let traf = trafs.collect();
        let mut out = Vec::new();
        mp4_atom::Moof { mfhd: mp4_atom::Mfhd { sequence_number }, traf }.encode(&mut out).unwrap();
        out
    };
    let head_len = build(None).len() as i32 + 8;
    build(Some(head_len))
}

fn traf_by_mp4_atom(run: &Run<'_>, data_offset: Option<i32>) -> mp4_atom::Traf {
    let flags = |sample: &Sample| if sample.keyframe { 0x0200_0000 } else { 0x0101_0000 };
    let samples = run.samples;
    let same_duration = samples.iter().all(|sample| sample.duration == samples[0].duration);
    let first_differs = samples.len() > 1
        && samples[1..].iter().all(|sample| flags(sample) == flags(&samples[1]))
        && flags(&samples[0]) != flags(&samples[1]);
    let all_alike = samples.iter().all(|sample| flags(sample) == flags(&samples[0]));
    let reordered = samples.iter().any(|sample| sample.composition_offset != 0);
    let entries = samples.iter().enumerate().map(|(index, sample)| mp4_atom::TrunEntry {
        duration: (!same_duration).then_some(sample.duration),
        size: Some(sample.payload.len() as u32),
        flags: (!all_alike && (!first_differs || index == 0)).then(|| flags(sample)),
        cts: reordered.then_some(sample.composition_offset.into()),
    });
    mp4_atom::Traf {
        tfhd: mp4_atom::Tfhd {
            track_id: run.track_id,
            default_sample_duration: same_duration.then(|| samples[0].duration),
            default_sample_flags: Some(flags(samples.get(1).unwrap_or(&samples[0]))),
            default_base_is_moof: true,
            ..mp4_atom::Tfhd::default()
        },
        tfdt: Some(mp4_atom::Tfdt { base_media_decode_time: run.base_dts }),
        trun: vec![mp4_atom::Trun { data_offset, samples: entries.collect::<Vec<_>>().into() }],
        ..mp4_atom::Traf::default()
    }
}

fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let sample = (prop_oneof![Just(3_000u32), any::<u32>()], prop_oneof![Just(0i32), any::<i32>()])
        .prop_flat_map(|(duration, composition_offset)| {
            (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(
                move |(keyframe, payload)| Sample {
                    duration,
                    composition_offset,
                    keyframe,
                    payload: payload.into(),
                },
            )
        });
    proptest::collection::vec(sample, 0..12)
}

proptest! {
    #[test]
    fn fragments_equal_those_of_mp4_atom(
        sequence: u32, base: u64, first in any_samples(), second in any_samples(),
    ) {
        let runs = [
            Run { track_id: 1, base_dts: base, samples: &first },
            Run { track_id: 2, base_dts: base / 2, samples: &second },
        ];
        let slices = fragment(sequence, &runs).unwrap();
        let moof = moof_by_mp4_atom(sequence, &runs);
        prop_assert_eq!(&slices[0][..moof.len()], &moof[..]);

        let whole = slices.concat();
        let mut rest = &whole[moof.len()..];
        let mdat = mp4_atom::Mdat::decode_maybe(&mut rest).unwrap().unwrap();
        let payloads: Vec<u8> = first.iter().chain(&second).flat_map(|s| s.payload.to_vec()).collect();
        prop_assert_eq!(mdat.data, payloads);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn any_record_gives_an_init_segment_or_an_error(
        codec in prop::sample::select(vec![
            Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9, Codec::Aac, Codec::Opus, Codec::Flac, Codec::Ac3,
            Codec::Eac3, Codec::Mp3,
        ]),
        config in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut track = audio(codec, "");
        track.params.config = config.into();
        let _ = init_segment(&[track]);
    }
}

#[test]
fn payloads_are_shared_not_copied() {
    let payload = Bytes::from_static(b"access unit");
    let sample = Sample { duration: 1, composition_offset: 0, keyframe: true, payload: payload.clone() };
    let slices = fragment(1, &[Run { track_id: 1, base_dts: 0, samples: &[sample] }]).unwrap();
    assert_eq!(slices[1].as_ptr(), payload.as_ptr());
}

#[test]
fn a_long_descriptor_has_a_length_of_two_bytes() {
    let config = format!("1190{}", "00".repeat(198));
    let mp4_atom::Codec::Mp4a(entry) = sample_entry(audio(Codec::Aac, &config)) else { panic!() };
    assert_eq!(entry.esds.es_desc.dec_config.dec_specific.unwrap().raw.len(), 200);
}
