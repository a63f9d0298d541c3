//! Any bytes at all.

use proptest::prelude::*;

use super::*;
use crate::Codec;

fn kind() -> impl Strategy<Value = TagKind> {
    prop_oneof![Just(TagKind::Audio), Just(TagKind::Video), Just(TagKind::Script)]
}

/// A body that gets past the first checks more often than chance would.
fn likely_body() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        Just(vec![0x17]),
        Just(vec![0x27]),
        Just(vec![0x1c]),
        Just(vec![0xaf]),
        Just(vec![0x2f]),
        (0x90u8..=0x9f).prop_map(|first| vec![first]),
        (0x95u8..=0x96, 0u8..0x30).prop_map(|(first, types)| vec![first, types]),
        (any::<u8>(), 0u8..8).prop_map(|(types, size)| vec![0x97, size, 0, 0, 1, types]),
    ];
    let fourcc = prop::sample::select(vec![
        &b""[..],
        b"avc1",
        b"hvc1",
        b"av01",
        b"vp09",
        b"vp08",
        b"Opus",
        b"mp4a",
        b"fLaC",
        b"ac-3",
        b"ec-3",
        b".mp3",
    ]);
    let rest = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        prop::collection::vec(0u8..4, 0..60),
        Just(AVCC.to_vec()),
        Just(OPUS_HEAD.to_vec()),
    ];
    (first, fourcc, rest).prop_map(|(first, fourcc, rest)| [&first[..], fourcc, &rest].concat())
}

proptest! {
    #[test]
    fn any_bodies_never_panic_and_what_comes_of_them_can_be_written(
        tags in prop::collection::vec(
            (kind(), any::<i64>(), prop_oneof![likely_body(), prop::collection::vec(any::<u8>(), 0..60)]),
            1..12,
        ),
        multitrack: bool,
    ) {
        let mut demuxer = Demuxer::default();
        let options = MuxOptions { multitrack, set_data_frame: true };
        let mut muxer = Muxer::new(&Tracks::empty(), options);
        for (kind, at_ms, body) in tags {
            let _ = demuxer.tag(kind, at_ms, body.into());
            while let Some(event) = demuxer.next_event() {
                match event {
                    Event::Tracks(tracks) => {
                        muxer = Muxer::new(&tracks, options);
                        let _ = muxer.headers(None, Timestamp::from_millis(at_ms));
                    }
                    Event::Frame(frame) => {
                        let _ = muxer.frame(&frame);
                    }
                    Event::SequenceEnd(track) => {
                        let _ = muxer.sequence_end(track, Timestamp::from_millis(at_ms));
                    }
                }
            }
        }
        prop_assert!(demuxer.tracks().len() <= Limits::default().tracks);
    }

    #[test]
    fn any_frame_is_read_as_it_was_written(
        keyframe: bool,
        dts_ms in 0i64..1 << 32,
        composition_ms in -0x80_0000i64..0x80_0000,
        payload in prop::collection::vec(any::<u8>(), 1..40),
        legacy: bool,
    ) {
        let mut demuxer = Demuxer::default();
        video(&mut demuxer, 0, avc_config());
        video(&mut demuxer, 0, body(&[b"\x96\x00avc1\x01", AVCC]));
        let muxer = Muxer::new(demuxer.tracks(), MuxOptions { multitrack: true, set_data_frame: false });
        let id = if legacy { TrackId::VIDEO } else { TrackId(0x101) };
        let written = Frame { payload: payload.into(), ..frame(id, dts_ms, dts_ms + composition_ms, keyframe, b"") };
        let tag = muxer.frame(&written).unwrap();
        let events = video(&mut demuxer, tag.timestamp_ms.into(), tag.to_body());
        prop_assert_eq!(events, vec![Event::Frame(written)]);
    }

    #[test]
    fn a_name_is_found_only_where_there_is_one(name in "[a-zA-Z@]{0,30}", rest: Vec<u8>) {
        let text = [&[2, 0, name.len() as u8][..], name.as_bytes(), &rest].concat();
        prop_assert_eq!(script_name(&text), Some(name));
    }
}

#[test]
fn every_codec_with_a_fourcc_is_read_back_by_it() {
    let codecs = [
        Codec::Aac,
        Codec::Ac3,
        Codec::Av1,
        Codec::Eac3,
        Codec::Flac,
        Codec::H264,
        Codec::H265,
        Codec::Mp3,
        Codec::Opus,
        Codec::Vp8,
        Codec::Vp9,
    ];
    for codec in codecs {
        assert_eq!(FourCc::of(codec).unwrap().codec(), Some(codec));
    }
}
