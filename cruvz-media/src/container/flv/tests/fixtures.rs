//! Files made by FFmpeg, taken apart and put together again: `tests/fixtures/flv/make.sh`.

use super::{file::FileTag, *};
use crate::{Codec, TrackKind};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/flv/", $name, ".flv"))
    };
}

/// The tags of a file.
fn tags(bytes: &[u8]) -> Vec<FileTag> {
    let mut reader = file::Reader::new(file::Limits::default());
    reader.push(bytes);
    let tags: Vec<_> = std::iter::from_fn(|| reader.next_tag().unwrap()).collect();
    assert_eq!(reader.finish(), Ok(()));
    tags
}

/// What a file holds, and what the muxer makes of it.
struct Copied {
    tracks: Tracks,
    frames: Vec<Frame>,
    /// Bodies that did not come out again.
    lost: Vec<Bytes>,
    ignored: Ignored,
}

/// Demuxes a file and muxes every event again, and looks for each tag among what came out.
fn copy(bytes: &[u8]) -> Copied {
    let mut demuxer = Demuxer::default();
    let mut muxer = Muxer::new(&Tracks::empty(), MuxOptions::default());
    let mut copied =
        Copied { tracks: Tracks::empty(), frames: Vec::new(), lost: Vec::new(), ignored: Ignored::default() };
    for tag in tags(bytes) {
        let mut out = Vec::new();
        for event in feed(&mut demuxer, tag.kind, tag.timestamp_ms.into(), tag.body.clone()).unwrap() {
            match event {
                Event::Tracks(tracks) => {
                    muxer = Muxer::new(&tracks, MuxOptions { multitrack: true, set_data_frame: false });
                    out.extend(muxer.headers(None, Timestamp::from_millis(tag.timestamp_ms.into())));
                    copied.tracks = tracks;
                }
                Event::Frame(frame) => {
                    out.extend(muxer.frame(&frame));
                    copied.frames.push(frame);
                }
                Event::SequenceEnd(track) => {
                    out.extend(muxer.sequence_end(track, Timestamp::from_millis(tag.timestamp_ms.into())));
                }
            }
        }
        let same = |out: &Tag| {
            (out.kind, out.timestamp_ms, out.to_body()) == (tag.kind, tag.timestamp_ms, tag.body.clone())
        };
        if !out.iter().any(same) {
            copied.lost.push(tag.body);
        }
    }
    copied.ignored = demuxer.ignored();
    copied
}

impl Copied {
    fn codecs(&self) -> Vec<(u32, Codec)> {
        self.tracks.iter().map(|track| (track.id.0, track.params.codec)).collect()
    }

    fn count(&self, id: TrackId) -> usize {
        self.frames.iter().filter(|frame| frame.track == id).count()
    }

    /// The size of the first video track.
    fn size(&self) -> (u32, u32) {
        let format = self.tracks.first(TrackKind::Video).unwrap().params.video().unwrap();
        (format.width, format.height)
    }

    fn keyframes(&self) -> usize {
        self.frames.iter().filter(|frame| frame.track == TrackId::VIDEO && frame.keyframe).count()
    }

    /// How the bodies that did not come out again begin.
    fn lost(&self) -> Vec<&[u8]> {
        self.lost.iter().map(|body| &body[..5]).collect()
    }
}

#[test]
fn h264_with_b_frames_and_aac_come_out_byte_for_byte() {
    let copied = copy(fixture!("h264_aac"));
    assert_eq!(copied.codecs(), [(1, Codec::H264), (2, Codec::Aac), (3, Codec::ScriptData)]);
    assert_eq!((copied.count(TrackId::VIDEO), copied.keyframes()), (10, 2));
    assert_eq!(copied.lost(), Vec::<&[u8]>::new());
    let video: Vec<_> = copied.frames.iter().filter(|frame| frame.track == TrackId::VIDEO).collect();
    assert!(video.iter().any(|frame| frame.pts > frame.dts));
    assert!(video.windows(2).all(|pair| pair[0].dts < pair[1].dts));
    let mut shown: Vec<_> = video.iter().map(|frame| frame.pts.as_millis()).collect();
    shown.sort_unstable();
    assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 40));
    assert_eq!((copied.size(), copied.ignored), ((64, 48), Ignored::default()));
}

#[test]
fn hdr_metadata_comes_out_byte_for_byte() {
    let copied = copy(fixture!("hdr"));
    assert_eq!(copied.lost(), Vec::<&[u8]>::new());
    let color =
        copied.frames.iter().find(|frame| script_name(&frame.payload).as_deref() == Some("colorInfo"));
    let values = crate::amf0::decode(&color.unwrap().payload, &crate::amf0::Limits::default()).unwrap();
    let config = values[1].property("colorConfig").unwrap();
    assert_eq!(config.property("matrixCoefficients").and_then(crate::amf0::Value::as_u32), Some(9));
}

#[test]
fn av1_comes_out_without_its_temporal_delimiters() {
    let copied = copy(fixture!("av1_opus"));
    assert_eq!(copied.codecs(), [(1, Codec::Av1), (2, Codec::Opus), (3, Codec::ScriptData)]);
    assert_eq!(copied.count(TrackId::VIDEO), 10);
    let mut coded = 0;
    for body in copied.lost.iter().filter(|body| body[0] & 0x0f == 1) {
        assert_eq!(&body[1..7], b"av01\x12\0");
        assert!(copied.frames.iter().any(|frame| frame.payload == body[7..]));
        coded += 1;
    }
    assert_eq!(coded, 10);
    let others: Vec<_> =
        copied.lost.iter().filter(|body| body[0] & 0x0f != 1).map(|body| &body[..5]).collect();
    assert_eq!(others, [b"\x94Opus"], "channels that OpusHead states");
}

#[test]
fn eac3_comes_out_byte_for_byte() {
    let copied = copy(fixture!("eac3"));
    assert_eq!(copied.codecs(), [(2, Codec::Eac3), (3, Codec::ScriptData)]);
    assert_eq!(copied.lost(), [b"\x90ec-3", b"\x94ec-3"]);
    let format = copied.tracks.first(TrackKind::Audio).unwrap().params.audio().copied().unwrap();
    assert_eq!((format.sample_rate_hz, format.channels), (48_000, 2));
}

#[test]
fn h264_and_mp3_come_out_byte_for_byte() {
    let copied = copy(fixture!("h264_mp3"));
    assert_eq!(copied.codecs(), [(1, Codec::H264), (2, Codec::Mp3), (3, Codec::ScriptData)]);
    assert_eq!(copied.lost(), Vec::<&[u8]>::new());
    let format = copied.tracks.first(TrackKind::Audio).unwrap().params.audio().copied().unwrap();
    assert_eq!((format.sample_rate_hz, format.channels), (48_000, 1));
}

#[test]
fn hevc_and_flac_come_out_byte_for_byte() {
    let copied = copy(fixture!("hevc_flac"));
    assert_eq!(copied.codecs(), [(1, Codec::H265), (2, Codec::Flac), (3, Codec::ScriptData)]);
    assert_eq!((copied.count(TrackId::VIDEO), copied.keyframes()), (10, 2));
    // FFmpeg leaves out the marker before STREAMINFO, and states channels that FLAC states itself. At the end both come
    // again, with the checksum of the whole and a frame of no bytes: nothing that a viewer need learn of.
    assert_eq!(copied.lost(), [b"\x90fLaC", b"\x94fLaC", b"\x90fLaC", b"\x94fLaC", b"\x91fLaC"]);
    assert_eq!(copied.ignored, Ignored { unconfigured: 0, empty: 1 });
}

#[test]
fn multitrack_comes_out_byte_for_byte() {
    let copied = copy(fixture!("multitrack"));
    let expected = [
        (1, Codec::H264),
        (2, Codec::Aac),
        (3, Codec::ScriptData),
        (0x101, Codec::H265),
        (0x201, Codec::Opus),
    ];
    assert_eq!(copied.codecs(), expected);
    assert_eq!((copied.count(TrackId::VIDEO), copied.count(TrackId(0x101))), (5, 5));
    assert!(copied.count(TrackId(0x201)) > 5);
    // FFmpeg sends the colour of track 1 as if of track 0, whose legacy form has no room for it.
    assert_eq!(copied.lost(), [b"\x95\x04Opu", b"\xd4hvc1"]);
}

#[test]
fn vp9_and_ac3_come_out_byte_for_byte() {
    let copied = copy(fixture!("vp9_ac3"));
    assert_eq!(copied.codecs(), [(1, Codec::Vp9), (2, Codec::Ac3), (3, Codec::ScriptData)]);
    assert_eq!(copied.size(), (64, 48), "as the first keyframe says");
    // The sequence start of AC-3 says nothing; ours follows the first frame. The channels are in that frame.
    assert_eq!(copied.lost(), [b"\x90ac-3", b"\x94ac-3"]);
    let format = copied.tracks.first(TrackKind::Audio).unwrap().params.audio().copied().unwrap();
    assert_eq!((format.sample_rate_hz, format.channels), (48_000, 1));
}

/// The first tag of `kind` whose body begins with `start`, without it.
fn rest_of(bytes: &[u8], kind: TagKind, start: &[u8]) -> Bytes {
    let tag = tags(bytes).into_iter().find(|tag| tag.kind == kind && tag.body.starts_with(start)).unwrap();
    tag.body.slice(start.len()..)
}

#[test]
fn hevc_under_the_legacy_codec_id_is_the_same_track() {
    let mut demuxer = Demuxer::default();
    let record = rest_of(fixture!("hevc_flac"), TagKind::Video, b"\x90hvc1");
    let coded = rest_of(fixture!("hevc_flac"), TagKind::Video, b"\x91hvc1");
    video(&mut demuxer, 0, body(&[b"\x1c\0\0\0\0", &record]));
    assert_eq!(demuxer.tracks()[0].params.codec, Codec::H265);
    let legacy = frames(video(&mut demuxer, 0, body(&[b"\x1c\x01", &coded])));
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x90hvc1", &record])), []);
    assert_eq!(frames(video(&mut demuxer, 0, body(&[b"\x91hvc1", &coded]))), legacy);
    assert_eq!(legacy[0].pts.as_millis(), 80);
}

#[test]
fn av1_with_a_transport_stream_descriptor_gets_its_size_from_the_first_keyframe() {
    let mut demuxer = Demuxer::default();
    // The two bits of hdr_wcg_idc and one reserved, which av1C has no room for, are set.
    let events = video(&mut demuxer, 0, body(&[b"\x95av01", b"\x80\x04\x81\x00\x0c\xe0"]));
    let params = &tracks_of(&events)[0].params;
    assert_eq!((&params.config[..], params.video().unwrap().width), (&b"\x81\x00\x0c\x00"[..], 0));
    let coded = rest_of(fixture!("av1_opus"), TagKind::Video, b"\x91av01");
    let events = video(&mut demuxer, 40, body(&[b"\x91av01", &coded]));
    let format = tracks_of(&events)[0].params.video().copied().unwrap();
    assert_eq!((format.width, format.height), (64, 48));
    assert_eq!(tracks(&video(&mut demuxer, 80, body(&[b"\x91av01", &coded]))), None);
}

#[test]
fn vp9_that_changes_its_size_in_band_says_so() {
    let mut demuxer = Demuxer::default();
    let record = rest_of(fixture!("vp9_ac3"), TagKind::Video, b"\x90vp09");
    let small = rest_of(fixture!("vp9_ac3"), TagKind::Video, b"\x91vp09");
    video(&mut demuxer, 0, body(&[b"\x90vp09", &record]));
    video(&mut demuxer, 0, body(&[b"\x91vp09", &small]));
    // Width less one has 16 bits from the middle of the fifth byte on (VP9 §6.2, frame_size): 64 becomes 128.
    let mut large = small.to_vec();
    assert_eq!(large[4..7], [0x00, 0x03, 0xf0]);
    large[5] = 0x07;
    let events = video(&mut demuxer, 40, body(&[b"\x91vp09", &large]));
    let format = tracks_of(&events)[0].params.video().copied().unwrap();
    assert_eq!((format.width, format.height), (128, 48));
    assert_eq!(tracks(&video(&mut demuxer, 40, body(&[b"\xa1vp09", &large]))), None);
}

#[test]
fn vp8_is_what_its_keyframes_say() {
    let mut demuxer = Demuxer::default();
    // A key frame's tag, the start code, 320x240 (RFC 6386 §9.1).
    let key = |width: u8| body(&[b"\x91vp08", b"\x10\0\0\x9d\x01\x2a", &[width, 1, 0xf0, 0]]);
    assert_eq!(video(&mut demuxer, 0, body(&[b"\x90vp08", b"\x01\0\0\0\0\x0a\x82\x02\x02\x02\0\0"])), []);
    assert_eq!(video(&mut demuxer, 0, body(&[b"\xa1vp08", b"\x11\0\0"])), [], "no keyframe yet");
    let format = tracks_of(&video(&mut demuxer, 40, key(0x40)))[0].params.video().copied().unwrap();
    assert_eq!((format.width, format.height), (320, 240));
    assert_eq!(tracks(&video(&mut demuxer, 80, key(0x40))), None);
    assert_eq!(tracks_of(&video(&mut demuxer, 80, key(0x41)))[0].params.video().unwrap().width, 321);
    assert_eq!(demuxer.ignored(), Ignored { unconfigured: 1, empty: 0 });
}

#[test]
fn mp3_that_changes_its_format_says_so_and_its_bit_rate_is_no_change() {
    let mut demuxer = Demuxer::default();
    let coded = rest_of(fixture!("h264_mp3"), TagKind::Audio, b"\x2e");
    let with = |at: usize, value: u8| {
        let mut frame = coded.to_vec();
        frame[at] = value;
        body(&[b"\x2e", &frame])
    };
    assert_eq!(coded[..4], [0xff, 0xfb, 0x14, 0xc4]);
    assert_eq!(tracks_of(&audio(&mut demuxer, 0, with(3, 0xc4)))[0].params.audio().unwrap().channels, 1);
    assert_eq!(tracks(&audio(&mut demuxer, 0, with(2, 0x94))), None, "128 kbit/s");
    assert_eq!(tracks_of(&audio(&mut demuxer, 0, with(3, 0x44)))[0].params.audio().unwrap().channels, 2);
    assert_eq!(
        tracks_of(&audio(&mut demuxer, 0, with(2, 0x18)))[0].params.audio().unwrap().sample_rate_hz,
        32_000
    );
    let broken = feed(&mut demuxer, TagKind::Audio, 0, body(&[b"\x2e", b"not MP3"]));
    assert!(matches!(broken, Err(Error::Codec { track: TrackId::AUDIO, .. })));
}

fn tracks_of(events: &[Event]) -> &Tracks {
    tracks(events).unwrap()
}
