//! MP4 files read as ffprobe reads them, and damaged ones without harm.

use std::{fs, io::Cursor, path::PathBuf};

use cruvz_media::{
    Codec, Frame, Timestamp, TrackKind,
    container::mp4::{Error, Limits, Reader},
};
use proptest::prelude::*;

const FIXTURES: [(&str, Codec, Codec); 8] = [
    ("av1-opus-fragmented", Codec::Av1, Codec::Opus),
    ("avc-aac", Codec::H264, Codec::Aac),
    ("avc-aac-fragmented", Codec::H264, Codec::Aac),
    ("avc-aac-quicktime", Codec::H264, Codec::Aac),
    ("avc-ac3-negative", Codec::H264, Codec::Ac3),
    ("hevc-eac3-cmaf", Codec::H265, Codec::Eac3),
    ("hevc-mp3", Codec::H265, Codec::Mp3),
    ("vp9-flac", Codec::Vp9, Codec::Flac),
];

fn fixture(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mp4").join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn open(file: &str) -> Reader<Cursor<Vec<u8>>> {
    Reader::open(Cursor::new(fixture(file)), Limits::default())
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn frames(reader: &mut Reader<Cursor<Vec<u8>>>) -> Vec<Frame> {
    std::iter::from_fn(|| reader.next_frame().expect("fixtures are sound")).collect()
}

fn adler32(data: &[u8]) -> u32 {
    let (a, b) = data.iter().fold((1, 0), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

/// A frame as the fixtures' lists have it.
fn line(kind: &str, frame: &Frame) -> String {
    let (pts, dts, key) = (frame.pts.ticks(), frame.dts.ticks(), if frame.keyframe { "K" } else { "" });
    format!("{kind}|{pts}|{dts}|{}|{key}|{:08x}", frame.payload.len(), adler32(&frame.payload))
}

#[test]
fn frames_are_those_that_ffprobe_sees() {
    for (name, video, audio) in FIXTURES {
        let mut reader = open(&format!("{name}.mp4"));
        let tracks = reader.tracks().clone();
        assert_eq!(
            tracks.iter().map(|track| track.params.codec).collect::<Vec<_>>(),
            [video, audio],
            "{name}"
        );
        let frames = frames(&mut reader);
        let of = |kind: TrackKind, label: &str| {
            let id = tracks.first(kind).unwrap().id;
            frames
                .iter()
                .filter(|frame| frame.track == id)
                .map(|frame| line(label, frame))
                .collect::<Vec<_>>()
        };
        let read = [of(TrackKind::Audio, "audio"), of(TrackKind::Video, "video")].concat().join("\n");
        let expected = String::from_utf8(fixture(&format!("{name}.packets"))).unwrap();
        similar(&read, expected.trim_end(), name);
    }
}

/// Equality, told line by line.
fn similar(read: &str, expected: &str, name: &str) {
    for (read, expected) in read.lines().zip(expected.lines()) {
        assert_eq!(read, expected, "{name}");
    }
    assert_eq!(read.lines().count(), expected.lines().count(), "{name}");
}

#[test]
fn tracks_are_interleaved_in_decoding_order() {
    for (name, ..) in FIXTURES {
        let times: Vec<Timestamp> =
            frames(&mut open(&format!("{name}.mp4"))).iter().map(|frame| frame.dts).collect();
        assert!(times.is_sorted(), "{name}: {times:?}");
    }
}

#[test]
fn shapes_and_durations_are_known() {
    for (name, ..) in FIXTURES {
        let reader = open(&format!("{name}.mp4"));
        let tracks = reader.tracks();
        let video = *tracks.first(TrackKind::Video).unwrap().params.video().unwrap();
        let audio = *tracks.first(TrackKind::Audio).unwrap().params.audio().unwrap();
        assert_eq!((video.width, video.height), (96, 64), "{name}");
        assert_eq!(audio.sample_rate_hz, if name == "vp9-flac" { 8_000 } else { 48_000 }, "{name}");
        assert_eq!(audio.channels, 1, "{name}");
        if let Some(duration) = reader.duration() {
            assert!((800..=900).contains(&duration.as_millis()), "{name}: {duration:?}");
        }
    }
    assert!(open("avc-aac.mp4").duration().is_some());
}

#[test]
fn a_second_pass_is_like_the_first() {
    for (name, ..) in FIXTURES {
        let mut reader = open(&format!("{name}.mp4"));
        let first = frames(&mut reader);
        assert!(reader.next_frame().unwrap().is_none(), "{name} goes on after its end");
        reader.rewind();
        assert_eq!(frames(&mut reader), first, "{name}");
        reader.rewind();
        reader.next_frame().unwrap();
        reader.rewind();
        assert_eq!(frames(&mut reader), first, "{name}");
    }
}

#[test]
fn limits_are_kept() {
    let open = |name: &str, change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Reader::open(Cursor::new(fixture(name)), limits)
    };
    let refused = open("avc-aac.mp4", |limits| limits.max_moov_bytes = 500).unwrap_err();
    assert!(matches!(refused, Error::Limit { limit: 500, .. }), "{refused}");
    let refused = open("avc-aac.mp4", |limits| limits.max_skipped_boxes = 1).unwrap_err();
    assert!(matches!(refused, Error::Limit { limit: 1, .. }), "{refused}");
    let mut one = open("avc-aac.mp4", |limits| limits.max_tracks = 1).unwrap();
    assert_eq!((one.tracks().len(), frames(&mut one).len()), (1, 20));
    let mut small = open("avc-aac.mp4", |limits| limits.max_frame_bytes = 1_000).unwrap();
    assert!(matches!(small.next_frame(), Err(Error::Limit { value: 1_153, limit: 1_000, .. })));
    assert!(small.next_frame().unwrap().is_some(), "the next frame is within the limit");
    let mut few = open("avc-aac-fragmented.mp4", |limits| limits.max_pending_frames = 4).unwrap();
    assert!(matches!(few.next_frame(), Err(Error::Limit { limit: 4, .. })));
}

#[test]
fn a_file_that_was_cut_short_gives_what_it_has() {
    let whole = fixture("avc-aac-fragmented.mp4");
    let all = frames(&mut open("avc-aac-fragmented.mp4"));
    let cut = whole[..whole.len() * 3 / 4].to_vec();
    let mut reader = Reader::open(Cursor::new(cut), Limits::default()).unwrap();
    let mut got = Vec::new();
    let mut refused = 0;
    for _ in 0..all.len() + 1 {
        match reader.next_frame() {
            Ok(Some(frame)) => got.push(frame),
            Ok(None) => break,
            Err(Error::OutsideFile { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(got.len() > all.len() / 4, "{} of {} frames", got.len(), all.len());
    assert!(got.iter().all(|frame| all.contains(frame)));
    assert!(refused <= all.len() - got.len());
}

#[test]
fn what_is_no_mp4_says_so() {
    for (bytes, expected) in [
        (&b""[..], "no movie (moov)"),
        (
            b"FLV\x01\x05\0\0\0\x09\0\0\0\0",
            "box \\x05\\x00\\x00\\x00 with an impossible size of 1179407873 bytes",
        ),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08moov", "no movie header (mvhd)"),
    ] {
        let refused = Reader::open(Cursor::new(bytes.to_vec()), Limits::default()).unwrap_err();
        assert_eq!(refused.to_string(), expected);
    }
}

/// Reads a whole file, however damaged, within bounds.
fn survive(bytes: Vec<u8>) {
    let Ok(mut reader) = Reader::open(Cursor::new(bytes), Limits::default()) else { return };
    for _ in 0..2_000 {
        if let Ok(None) = reader.next_frame() {
            break;
        }
    }
    reader.rewind();
    let _ = reader.next_frame();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_files_are_survived(
        which in 0..FIXTURES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        cut_it: bool,
    ) {
        let mut bytes = fixture(&format!("{}.mp4", FIXTURES[which].0));
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cut_it {
            bytes.truncate(cut.index(bytes.len()));
        }
        survive(bytes);
    }

    /// Damage to the words of the index, where the counts, sizes and offsets are.
    #[test]
    fn lying_tables_are_survived(
        which in 0..FIXTURES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just(u32::MAX), Just(0), Just(1), Just(0x7fff_ffff), Just(0x8000_0000), any::<u32>()
        ]), 1..4),
    ) {
        let mut bytes = fixture(&format!("{}.mp4", FIXTURES[which].0));
        let moov = bytes.windows(4).position(|name| name == b"moov").unwrap();
        for (at, value) in damage {
            let at = moov + 4 + at.index(bytes.len().min(moov + 2_400) - moov - 8);
            bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        survive(bytes);
    }

    #[test]
    fn noise_is_survived(bytes: Vec<u8>) {
        survive([b"\0\0\0\x08ftyp".to_vec(), bytes].concat());
    }
}
