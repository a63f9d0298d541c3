//! Frames to tags.

use super::*;
use crate::{AudioFormat, Codec, CodecParams, Format, Timescale, Track, TrackKind, VideoFormat, amf0};

fn video_track(id: TrackId, codec: Codec) -> Track {
    let format =
        VideoFormat { width: 640, height: 360, frame_rate: Some((30_000, 1_001)), reorder_depth: None };
    track(id, codec, Format::Video(format))
}

fn audio_track(id: TrackId, codec: Codec) -> Track {
    let format = AudioFormat { sample_rate_hz: 44_100, channels: 2, samples_per_frame: None };
    track(id, codec, Format::Audio(format))
}

fn track(id: TrackId, codec: Codec, format: Format) -> Track {
    let config = Bytes::from_static(b"record");
    Track {
        id,
        timescale: Timescale::MILLIS,
        params: CodecParams { codec, config, format, rfc6381: String::new() },
    }
}

fn data_track(id: TrackId) -> Track {
    Track { id, timescale: Timescale::MILLIS, params: CodecParams::script_data() }
}

fn muxer(tracks: Vec<Track>, options: MuxOptions) -> Muxer {
    Muxer::new(&Tracks::new(tracks), options)
}

const MULTITRACK: MuxOptions = MuxOptions { multitrack: true, set_data_frame: false };

/// The bodies of the sequence headers, without `onMetaData`.
fn sequence_headers(muxer: &Muxer) -> Vec<Bytes> {
    muxer.headers(None, Timestamp::ZERO).iter().skip(1).map(Tag::to_body).collect()
}

#[test]
fn each_codec_has_its_form() {
    let one = |track: Track| {
        let id = track.id;
        let muxer = muxer(vec![track], MuxOptions::default());
        let tag =
            |dts, pts, keyframe| muxer.frame(&frame(id, dts, pts, keyframe, b"payload")).unwrap().to_body();
        (sequence_headers(&muxer), tag(0, 0, true), tag(0, 40, false))
    };
    let video = |codec| one(video_track(TrackId::VIDEO, codec));
    let audio = |codec| one(audio_track(TrackId::AUDIO, codec));
    let case = |record: &[&'static [u8]], key: &'static [u8], later: &'static [u8]| {
        (record.iter().map(|body| Bytes::from_static(body)).collect(), key.into(), later.into())
    };
    assert_eq!(
        video(Codec::H264),
        case(&[b"\x17\0\0\0\0record"], b"\x17\x01\0\0\0payload", b"\x27\x01\0\0\x28payload")
    );
    assert_eq!(
        video(Codec::H265),
        case(&[b"\x90hvc1record"], b"\x93hvc1payload", b"\xa1hvc1\0\0\x28payload")
    );
    assert_eq!(video(Codec::Av1), case(&[b"\x90av01record"], b"\x91av01payload", b"\xa1av01payload"));
    let vp9 = case(&[b"\x90vp09\x01\0\0\0record"], b"\x91vp09payload", b"\xa1vp09payload");
    assert_eq!(video(Codec::Vp9), vp9);
    assert_eq!(audio(Codec::Aac), case(&[b"\xaf\0record"], b"\xaf\x01payload", b"\xaf\x01payload"));
    assert_eq!(audio(Codec::Mp3), case(&[], b"\x2fpayload", b"\x2fpayload"));
    assert_eq!(audio(Codec::Opus), case(&[b"\x90Opusrecord"], b"\x91Opuspayload", b"\x91Opuspayload"));
    let flac = case(&[b"\x90fLaCfLaC\x80\0\0\x22record"], b"\x91fLaCpayload", b"\x91fLaCpayload");
    assert_eq!(audio(Codec::Flac), flac);
    assert_eq!(audio(Codec::Ac3), case(&[b"\x90ac-3"], b"\x91ac-3payload", b"\x91ac-3payload"));
    assert_eq!(audio(Codec::Eac3), case(&[b"\x90ec-3"], b"\x91ec-3payload", b"\x91ec-3payload"));
}

#[test]
fn mp3_states_the_nearest_rate_that_flv_knows() {
    let first = |sample_rate_hz, channels| {
        audio::mp3_header(&AudioFormat { sample_rate_hz, channels, samples_per_frame: None })
    };
    assert_eq!([first(44_100, 2), first(48_000, 1), first(32_000, 2)], [0x2f, 0x2e, 0x2f]);
    assert_eq!(
        [first(22_050, 2), first(24_000, 1), first(11_025, 1), first(8_000, 1)],
        [0x2b, 0x2a, 0x26, 0xe2]
    );
}

#[test]
fn only_the_first_track_of_each_kind_goes_out_unless_asked() {
    let tracks = vec![
        video_track(TrackId::VIDEO, Codec::H264),
        audio_track(TrackId::AUDIO, Codec::Aac),
        video_track(TrackId(0x105), Codec::H264),
        audio_track(TrackId(9), Codec::Mp3),
        audio_track(TrackId(10), Codec::Aac),
    ];
    let plain = muxer(tracks.clone(), MuxOptions::default());
    assert_eq!(sequence_headers(&plain).len(), 2);
    assert_eq!(plain.frame(&frame(TrackId(0x105), 0, 0, true, b"x")), None);
    assert_eq!(plain.sequence_end(TrackId(9), Timestamp::ZERO), None);

    let all = muxer(tracks, MULTITRACK);
    let headers: [&[u8]; 5] = [
        b"\x17\0\0\0\0record",
        b"\x96\x00avc1\x05record",
        b"\xaf\0record",
        b"\x95\x00.mp3\x01",
        b"\x95\x00mp4a\x02record",
    ];
    assert_eq!(sequence_headers(&all), headers);
    let tag = |id, dts, pts| all.frame(&frame(TrackId(id), dts, pts, false, b"x")).unwrap().to_body();
    assert_eq!(&tag(0x105, 0, 1)[..], b"\xa6\x01avc1\x05\0\0\x01x");
    assert_eq!(&tag(0x105, 0, 0)[..], b"\xa6\x03avc1\x05x");
    assert_eq!(&tag(9, 0, 0)[..], b"\x95\x01.mp3\x01x");
    let end = |id| all.sequence_end(TrackId(id), Timestamp::ZERO).map(|tag| tag.to_body());
    assert_eq!(end(0x105).as_deref(), Some(&b"\x96\x02avc1\x05"[..]));
    assert_eq!(end(10).as_deref(), Some(&b"\x95\x02mp4a\x02"[..]));
    assert_eq!(end(1).as_deref(), Some(&b"\x17\x02\0\0\0"[..]));
    assert_eq!(end(2), None, "legacy audio has no end");
}

#[test]
fn a_track_number_that_is_taken_is_not_given_twice() {
    let tracks = vec![
        audio_track(TrackId(4), Codec::Aac),
        audio_track(TrackId(5), Codec::Aac),
        audio_track(TrackId(0x201), Codec::Aac),
    ];
    let headers = sequence_headers(&muxer(tracks, MULTITRACK));
    let numbers: Vec<_> = headers.iter().skip(1).map(|body| body[6]).collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn times_are_rounded_once_and_wrap_at_32_bits() {
    let muxer = muxer(vec![video_track(TrackId::VIDEO, Codec::H264)], MuxOptions::default());
    let at = |dts: Timestamp, pts: Timestamp| {
        let tag = muxer.frame(&Frame { dts, pts, ..frame(TrackId::VIDEO, 0, 0, false, b"x") }).unwrap();
        (tag.timestamp_ms, packet::signed_24([tag.header[2], tag.header[3], tag.header[4]]))
    };
    let mpeg = |ticks| Timestamp::new(ticks, Timescale::MPEG);
    // 33.37 ms and 66.73 ms: 33 and 67, so the difference is 34, not the 33 that 33.37 would round to.
    assert_eq!(at(mpeg(3_003), mpeg(6_006)), (33, 34));
    let millis = Timestamp::from_millis;
    assert_eq!(at(millis(1 << 32 | 5), millis(1 << 32)), (5, -5));
    assert_eq!(at(millis(-1), millis(-1)), (u32::MAX, 0));
    assert_eq!(at(millis(0), millis(i64::MAX)), (0, 0x7f_ffff));
    assert_eq!(at(millis(0), millis(i64::MIN)), (0, -0x80_0000));
}

#[test]
fn metadata_says_what_the_tracks_say() {
    let tracks = vec![
        video_track(TrackId::VIDEO, Codec::H264),
        audio_track(TrackId::AUDIO, Codec::Opus),
        video_track(TrackId(0x101), Codec::H264),
        data_track(TrackId::DATA),
    ];
    let metadata = |options| {
        let tag = muxer(tracks.clone(), options).headers(None, Timestamp::from_millis(40)).remove(0);
        assert_eq!((tag.kind, tag.timestamp_ms), (TagKind::Script, 40));
        amf0::decode(&tag.to_body(), &amf0::Limits::default()).unwrap()
    };
    let values = metadata(MULTITRACK);
    assert_eq!(values[0].as_str(), Some("onMetaData"));
    let number = |name| values[1].property(name).and_then(amf0::Value::as_f64);
    assert_eq!((number("width"), number("height")), (Some(640.0), Some(360.0)));
    assert_eq!(number("framerate"), Some(30_000.0 / 1_001.0));
    assert_eq!((number("videocodecid"), number("audiocodecid")), (Some(7.0), Some(1_332_770_163.0)));
    assert_eq!((number("audiosamplerate"), number("audiochannels")), (Some(44_100.0), Some(2.0)));
    assert_eq!(values[1].property("stereo"), Some(&true.into()));
    let second = values[1].property("videoTrackIdInfoMap").and_then(|map| map.property("1")).unwrap();
    assert_eq!(
        second.property("videocodecid").and_then(amf0::Value::as_u32),
        Some(FourCc(*b"avc1").to_number())
    );
    assert_eq!(values[1].property("audioTrackIdInfoMap"), None);
    assert_eq!(metadata(MuxOptions::default())[1].property("videoTrackIdInfoMap"), None);
}

#[test]
fn what_is_not_known_is_not_in_the_metadata() {
    let video = track(TrackId::VIDEO, Codec::Vp8, Format::Video(VideoFormat::default()));
    let audio = track(TrackId::AUDIO, Codec::Aac, Format::Audio(AudioFormat::default()));
    let values = amf0::decode(&on_metadata([(0, &video), (0, &audio)]), &amf0::Limits::default()).unwrap();
    let names: Vec<_> = values[1].as_object().unwrap().iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["videocodecid", "audiosamplesize", "audiocodecid"]);
}

#[test]
fn the_publishers_own_metadata_is_handed_on_untouched() {
    let own = Bytes::from_static(b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\0\x09");
    let tracks = vec![video_track(TrackId::VIDEO, Codec::H264), data_track(TrackId::DATA)];
    let viewer = muxer(tracks.clone(), MuxOptions::default());
    assert_eq!(viewer.headers(Some(&own), Timestamp::ZERO)[0].to_body(), own);

    let options = MuxOptions { set_data_frame: true, ..MuxOptions::default() };
    let server = muxer(tracks, options);
    let prefixed = [&b"\x02\0\x0d@setDataFrame"[..], &own].concat();
    assert_eq!(server.headers(Some(&own), Timestamp::ZERO)[0].to_body(), prefixed);
    let as_frame = Frame { payload: own, ..frame(TrackId::DATA, 0, 0, true, b"") };
    assert_eq!(server.frame(&as_frame).unwrap().to_body(), prefixed);
    let text = frame(TrackId::DATA, 0, 0, true, b"\x02\0\x0aonTextData\x05");
    assert_eq!(server.frame(&text).unwrap().to_body(), text.payload);
}

#[test]
fn color_metadata_goes_with_its_video_where_that_is_extended() {
    let color = b"\x02\0\x09colorInfo\x03\0\0\x09";
    let of = |codec, options, data| {
        let tracks =
            vec![video_track(TrackId::VIDEO, codec), video_track(TrackId(0x101), codec), data_track(data)];
        muxer(tracks, options).frame(&frame(data, 40, 40, true, color))
    };
    let tag = of(Codec::H265, MuxOptions::default(), TrackId::DATA).unwrap();
    assert_eq!((tag.kind, tag.timestamp_ms), (TagKind::Video, 40));
    assert_eq!(tag.to_body(), [&b"\xd4hvc1"[..], color].concat());
    assert_eq!(of(Codec::H264, MuxOptions::default(), TrackId::DATA), None);
    let tag = of(Codec::H264, MULTITRACK, TrackId(0x301)).unwrap();
    assert_eq!(tag.to_body(), [&b"\xd6\x04avc1\x01"[..], color].concat());
}

#[test]
fn headers_and_payload_share_the_frames_bytes() {
    let muxer = muxer(vec![video_track(TrackId::VIDEO, Codec::H264)], MuxOptions::default());
    let frame = frame(TrackId::VIDEO, 0, 0, true, b"payload");
    let tag = muxer.frame(&frame).unwrap();
    assert_eq!(tag.payload.as_ptr(), frame.payload.as_ptr());
    assert_eq!(tag.body_len(), 12);
}

#[test]
fn a_stream_without_media_has_only_metadata() {
    let muxer = muxer(vec![data_track(TrackId::DATA)], MuxOptions::default());
    assert_eq!(muxer.headers(None, Timestamp::ZERO).len(), 1);
    assert_eq!(muxer.sequence_end(TrackId::DATA, Timestamp::ZERO), None);
    assert_eq!(muxer.frame(&frame(TrackId::AUDIO, 0, 0, true, b"x")), None);
    assert_eq!(TrackKind::Data, data_track(TrackId::DATA).kind());
}
