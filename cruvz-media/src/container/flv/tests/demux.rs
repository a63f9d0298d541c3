//! Legacy tags, script tags, configuration.

use super::*;
use crate::{Codec, codec};

#[test]
fn legacy_avc_becomes_frames_with_signed_composition_times() {
    let mut demuxer = Demuxer::default();
    let events = video(&mut demuxer, 0, avc_config());
    let params = &tracks(&events).unwrap().by_id(TrackId::VIDEO).unwrap().params;
    assert_eq!(
        (params.codec, params.video().map(|video| (video.width, video.height))),
        (Codec::H264, Some((64, 48)))
    );
    assert_eq!(&params.config[..], AVCC);

    let key = video(&mut demuxer, 1_000, body(&[b"\x17\x01\0\0\x50", b"\0\0\0\x01\x65"]));
    assert_eq!(frames(key), [frame(TrackId::VIDEO, 1_000, 1_080, true, b"\0\0\0\x01\x65")]);
    let inter = video(&mut demuxer, 1_040, body(&[b"\x27\x01\xff\xff\xd8", b"\0\0\0\x01\x41"]));
    assert_eq!(frames(inter), [frame(TrackId::VIDEO, 1_040, 1_000, false, b"\0\0\0\x01\x41")]);
    assert_eq!(video(&mut demuxer, 2_000, body(&[b"\x17\x02\0\0\0"])), [Event::SequenceEnd(TrackId::VIDEO)]);
}

#[test]
fn a_payload_is_a_slice_of_its_tag() {
    let mut demuxer = configured();
    let tag = body(&[b"\x27\x01\0\0\0", b"\0\0\0\x01\x41"]);
    let frame = frames(video(&mut demuxer, 0, tag.clone())).remove(0);
    assert_eq!(frame.payload.as_ptr(), tag[5..].as_ptr());
}

#[test]
fn legacy_aac_is_a_track_of_its_own() {
    let mut demuxer = Demuxer::default();
    let events = audio(&mut demuxer, 0, aac_config());
    let params = &tracks(&events).unwrap().by_id(TrackId::AUDIO).unwrap().params;
    assert_eq!((params.codec, &params.config[..]), (Codec::Aac, AAC_48K));
    let events = audio(&mut demuxer, 21, body(&[b"\xaf\x01", b"raw"]));
    assert_eq!(frames(events), [frame(TrackId::AUDIO, 21, 21, true, b"raw")]);
}

#[test]
fn a_configuration_that_comes_again_is_no_change() {
    let mut demuxer = configured();
    let before = demuxer.tracks().clone();
    assert_eq!(video(&mut demuxer, 40, avc_config()), []);
    assert_eq!(audio(&mut demuxer, 40, aac_config()), []);
    assert!(demuxer.tracks().same(&before));

    let mono = audio(&mut demuxer, 80, body(&[b"\xaf\0\x11\x88"]));
    assert_eq!(tracks(&mono).unwrap().by_id(TrackId::AUDIO).unwrap().params.audio().unwrap().channels, 1);
    assert!(!demuxer.tracks().same(&before));
}

#[test]
fn frames_before_their_configuration_are_dropped_and_counted() {
    let mut demuxer = Demuxer::default();
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x17\x01\0\0\0\0\0\0\x01\x65"])), []);
    assert_eq!(audio(&mut demuxer, 0, body(&[b"\xaf\x01raw"])), []);
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x17\x02\0\0\0"])), []);
    video(&mut demuxer, 0, avc_config());
    // A frame of another codec than the track was configured with is of no more use.
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x1c\x01\0\0\0\0\0\0\x01\x26"])), []);
    assert_eq!(demuxer.ignored(), Ignored { unconfigured: 3, empty: 0 });
}

#[test]
fn tags_without_media_are_passed_over() {
    let mut demuxer = configured();
    assert_eq!(audio(&mut demuxer, 0, Bytes::new()), [], "silence");
    assert_eq!(video(&mut demuxer, 0, Bytes::new()), []);
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x57\0"])), [], "command frame");
    assert_eq!(video(&mut demuxer, 0, body(&[b"\xd1\x01"])), [], "extended command frame");
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x27\x01\0\0\0"])), []);
    assert_eq!(audio(&mut demuxer, 0, body(&[b"\xaf\x01"])), []);
    assert_eq!(demuxer.ignored(), Ignored { unconfigured: 0, empty: 2 });
}

#[test]
fn unsupported_codecs_are_named() {
    let refused = |kind, body: &'static [u8]| {
        let error = feed(&mut configured(), kind, 0, Bytes::from_static(body)).unwrap_err();
        assert!(matches!(error, Error::UnsupportedCodec(_)), "{error:?}");
        error.to_string()
    };
    assert_eq!(refused(TagKind::Video, b"\x12\0"), "unsupported codec: Sorenson H.263 (FLV video codec 2)");
    assert_eq!(refused(TagKind::Video, b"\x14\0"), "unsupported codec: On2 VP6 (FLV video codec 4)");
    assert_eq!(refused(TagKind::Audio, b"\xb2\0"), "unsupported codec: Speex (FLV audio codec 11)");
    assert_eq!(refused(TagKind::Audio, b"\x3e\0"), "unsupported codec: PCM (FLV audio codec 3)");
    assert_eq!(refused(TagKind::Video, b"\x90vvc1\0"), "unsupported codec: FourCC 'vvc1'");
    assert_eq!(refused(TagKind::Audio, b"\x90hvc1\0"), "unsupported codec: FourCC 'hvc1'");
    assert_eq!(refused(TagKind::Video, b"\x90\0\xffab\0"), "unsupported codec: FourCC '\\x00\\xffab'");
    for id in 0..16 {
        assert!(!CodecId::Audio(id).to_string().is_empty() && !CodecId::Video(id).to_string().is_empty());
    }
}

#[test]
fn broken_tags_are_errors_that_the_next_tag_survives() {
    let mut demuxer = configured();
    let mut refuse =
        |kind, body: &'static [u8]| feed(&mut demuxer, kind, 0, Bytes::from_static(body)).unwrap_err();
    assert_eq!(refuse(TagKind::Video, b"\x17"), Error::Truncated("packet type"));
    assert_eq!(refuse(TagKind::Video, b"\x17\x01\0\0"), Error::Truncated("composition time"));
    assert_eq!(
        refuse(TagKind::Video, b"\x17\x03\0\0\0x"),
        Error::PacketType { kind: TagKind::Video, value: 3 }
    );
    assert_eq!(refuse(TagKind::Audio, b"\xaf"), Error::Truncated("packet type"));
    assert_eq!(refuse(TagKind::Audio, b"\xaf\x02x"), Error::PacketType { kind: TagKind::Audio, value: 2 });
    assert_eq!(refuse(TagKind::Video, b"\x90hvc"), Error::Truncated("FourCC"));
    assert_eq!(refuse(TagKind::Video, b"\x98hvc1"), Error::PacketType { kind: TagKind::Video, value: 8 });
    assert_eq!(refuse(TagKind::Video, b"\x94hvc1\x03\0\0\x09"), Error::Script, "metadata without a name");
    assert_eq!(refuse(TagKind::Audio, b"\x93Opus"), Error::PacketType { kind: TagKind::Audio, value: 3 });
    let error = refuse(TagKind::Video, b"\x17\0\0\0\0\x01\x64");
    assert!(matches!(error, Error::Codec { track: TrackId::VIDEO, .. }), "{error}");
    assert_eq!(frames(video(&mut demuxer, 0, body(&[b"\x27\x01\0\0\0\0\0\0\x01\x41"]))).len(), 1);
}

#[test]
fn short_nal_lengths_become_four_bytes_in_record_and_payload() {
    let mut two_bytes = AVCC.to_vec();
    two_bytes[4] = 0xfd;
    let mut demuxer = Demuxer::default();
    let events = video(&mut demuxer, 0, body(&[b"\x17\0\0\0\0", &two_bytes]));
    assert_eq!(&tracks(&events).unwrap()[0].params.config[..], AVCC);
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x17\0\0\0\0", &two_bytes])), []);
    let events = video(&mut demuxer, 0, body(&[b"\x17\x01\0\0\0", b"\0\x02\x65\x88\0\x01\x41"]));
    assert_eq!(&frames(events)[0].payload[..], b"\0\0\0\x02\x65\x88\0\0\0\x01\x41");
    let error = feed(&mut demuxer, TagKind::Video, 0, body(&[b"\x17\x01\0\0\0", b"\0\x09\x65"])).unwrap_err();
    assert_eq!(
        error,
        Error::Codec { track: TrackId::VIDEO, source: codec::Error::NalLength { length: 9, left: 1 } }
    );
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x17\x01\0\0\0", b"\0\0\0\0"])), [], "NAL units of no length");
    assert_eq!(demuxer.ignored().empty, 1);
}

#[test]
fn script_tags_become_a_data_track_without_the_prefix_for_servers() {
    let mut demuxer = Demuxer::default();
    let metadata = b"\x02\0\x0aonMetaData\x08\0\0\0\0\0\0\x09";
    let events =
        feed(&mut demuxer, TagKind::Script, 7, body(&[b"\x02\0\x0d@setDataFrame", metadata])).unwrap();
    assert_eq!(tracks(&events).unwrap().by_id(TrackId::DATA).unwrap().params.codec, Codec::ScriptData);
    assert_eq!(frames(events), [frame(TrackId::DATA, 7, 7, true, metadata)]);

    let text = b"\x02\0\x0aonTextData\x03\0\0\x09";
    let events = feed(&mut demuxer, TagKind::Script, 9, body(&[text])).unwrap();
    assert_eq!(events, [Event::Frame(frame(TrackId::DATA, 9, 9, true, text))]);
    assert_eq!(script_name(text).as_deref(), Some("onTextData"));

    let clear = body(&[b"\x02\0\x0f@clearDataFrame", b"\x02\0\x0aonMetaData"]);
    assert_eq!(feed(&mut demuxer, TagKind::Script, 9, clear), Ok(vec![]));
    for broken in [&b""[..], b"\x05", b"\x02\0\x0aonMeta", b"\x02\0\x0d@setDataFrame"] {
        assert_eq!(feed(&mut demuxer, TagKind::Script, 9, body(&[broken])), Err(Error::Script));
    }
    assert_eq!(script_name(b"\x00\0\0\0\0\0\0\0\0"), None);
}

#[test]
fn the_number_of_tracks_is_limited() {
    let mut demuxer = Demuxer::new(Limits { tracks: 2 });
    video(&mut demuxer, 0, avc_config());
    audio(&mut demuxer, 0, aac_config());
    let third = feed(&mut demuxer, TagKind::Script, 0, body(&[b"\x02\0\x01x"]));
    assert_eq!(third, Err(Error::Tracks(2)));
    let third = feed(&mut demuxer, TagKind::Video, 0, body(&[b"\x96\0avc1\x01", AVCC]));
    assert_eq!(third, Err(Error::Tracks(2)));
    assert_eq!(demuxer.tracks().len(), 2);
}

#[test]
fn tag_kinds_are_the_types_on_the_wire() {
    for kind in [TagKind::Audio, TagKind::Video, TagKind::Script] {
        assert_eq!(TagKind::from_type(kind.to_type()), Some(kind));
    }
    assert_eq!(TagKind::from_type(15), None);
}

#[test]
fn a_frame_of_mp3_with_a_bit_rate_that_there_is_not_is_refused_wherever_it_comes() {
    let mut demuxer = Demuxer::default();
    assert_eq!(
        frames(feed(&mut demuxer, TagKind::Audio, 0, body(&[b"\x2f\xff\xfb\x94\x64"])).unwrap()).len(),
        1
    );
    let error = feed(&mut demuxer, TagKind::Audio, 26, body(&[b"\x2f\xff\xfb\xf4\x64"])).unwrap_err();
    let source = codec::Error::Invalid { field: "MP3 bit rate", value: 15 };
    assert_eq!(error, Error::Codec { track: TrackId::AUDIO, source });
}
