//! Media files opened by content, whatever their format, and played again and again.

use std::{fs, io::Cursor, path::PathBuf, time::Duration};

use cruvz_media::{
    Codec, Frame, TrackKind,
    container::file::{Error, Limits, Loop, Reader},
};
use proptest::prelude::*;

const FILES: [&str; 4] =
    ["flv/h264_aac.flv", "mp4/avc-aac.mp4", "mp4/avc-aac-fragmented.mp4", "mpegts/h264_aac.ts"];

fn fixture(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn open(file: &str) -> Reader<Cursor<Vec<u8>>> {
    Reader::open(Cursor::new(fixture(file)), Limits::default())
        .unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn frames(reader: &mut Reader<Cursor<Vec<u8>>>) -> Vec<Frame> {
    std::iter::from_fn(|| reader.next_frame().expect("fixtures are sound")).collect()
}

#[test]
fn formats_are_told_by_content() {
    for file in FILES {
        let reader = open(file);
        let codecs: Vec<Codec> = reader.tracks().iter().map(|track| track.params.codec).collect();
        assert_eq!(codecs[..2], [Codec::H264, Codec::Aac], "{file}");
    }
    let text = b"EXTM3U:\n";
    let refused = Reader::open(Cursor::new(text), Limits::default()).unwrap_err();
    assert_eq!(refused.to_string(), r#"neither MP4, FLV nor MPEG-TS: the file begins with "EXTM3U:\n""#);
    let refused = Reader::open(Cursor::new(b""), Limits::default()).unwrap_err();
    assert!(matches!(refused, Error::UnknownFormat(head) if head.is_empty()));
}

#[test]
fn flv_frames_are_those_that_ffprobe_sees() {
    let mut reader = open("flv/h264_aac.flv");
    let frames = frames(&mut reader);
    let expected = String::from_utf8(fixture("flv/h264_aac.packets")).unwrap();
    for (kind, label) in [(TrackKind::Audio, "audio"), (TrackKind::Video, "video")] {
        let id = reader.tracks().first(kind).unwrap().id;
        let read: Vec<&Frame> = frames.iter().filter(|frame| frame.track == id).collect();
        let expected: Vec<&str> = expected.lines().filter(|line| line.starts_with(label)).collect();
        assert_eq!(read.len(), expected.len(), "{label}");
        for (frame, line) in read.iter().zip(expected) {
            let fields: Vec<&str> = line.split('|').collect();
            let [pts, dts, bytes] = [1, 2, 3].map(|field: usize| fields[field].parse::<i64>().unwrap());
            // Audio times are exact here, and rounded to milliseconds there.
            assert!((frame.pts.as_millis() - pts).abs() <= 1, "{line}: {:?}", frame.pts);
            assert!((frame.dts.as_millis() - dts).abs() <= 1, "{line}: {:?}", frame.dts);
            assert_eq!((frame.payload.len() as i64, frame.keyframe), (bytes, fields[4] == "K"), "{line}");
        }
    }
}

#[test]
fn the_rounded_audio_times_of_flv_are_made_exact() {
    let mut reader = open("flv/h264_aac.flv");
    let audio = reader.tracks().first(TrackKind::Audio).unwrap().clone();
    assert_eq!(audio.timescale.hz(), 48_000);
    let frames = frames(&mut reader);
    let times: Vec<i64> =
        frames.iter().filter(|frame| frame.track == audio.id).map(|frame| frame.dts.ticks()).collect();
    assert!(times.len() > 10);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1_024), "{times:?}");
}

#[test]
fn a_second_pass_is_like_the_first() {
    for file in FILES {
        let mut reader = open(file);
        let first = frames(&mut reader);
        assert!(first.len() > 20, "{file} has {} frames", first.len());
        assert!(reader.next_frame().unwrap().is_none());
        let tracks = reader.tracks().clone();
        reader.rewind().unwrap();
        assert!(reader.tracks().same(&tracks), "{file} changes its tracks");
        assert_eq!(frames(&mut reader), first, "{file}");
    }
}

#[test]
fn durations_are_those_of_the_frames() {
    for (file, begins_at_zero) in
        [("flv/h264_aac.flv", true), ("mp4/avc-aac.mp4", true), ("mpegts/h264_aac.ts", false)]
    {
        let mut reader = open(file);
        let duration = reader.duration().unwrap();
        let frames = frames(&mut reader);
        let first = frames.iter().map(|frame| frame.dts).min().unwrap().as_millis();
        let first = if begins_at_zero { 0 } else { first };
        let last = frames.iter().map(|frame| frame.pts).max().unwrap().as_millis() - first;
        let off = i64::try_from(duration.as_millis()).unwrap() - last;
        assert!((0..=100).contains(&off), "{file}: {duration:?}, last frame at {last} ms");
    }
}

#[test]
fn passes_are_strung_together_at_frame_distance() {
    // The longest distance: a video frame, and by how much the audio of the fixture is longer than its video.
    for (file, longest_ms) in FILES.into_iter().zip([40 + 45, 40 + 43, 40 + 93, 40 + 70]) {
        let mut reader = open(file);
        let mut passes = Loop::default();
        let mut times = Vec::new();
        for _ in 0..5 {
            while let Some(mut frame) = reader.next_frame().unwrap() {
                passes.place(&mut frame);
                if reader.tracks().by_id(frame.track).unwrap().kind() == TrackKind::Video {
                    times.push(frame.dts);
                }
            }
            assert!(passes.restart());
            reader.rewind().unwrap();
        }
        let longest = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).max().unwrap();
        assert!(times.is_sorted_by(|a, b| a < b), "{file}");
        assert!(longest <= Duration::from_millis(longest_ms), "{file}: {longest:?}");
    }
}

#[test]
fn an_flv_file_cut_short_ends_at_its_last_whole_tag() {
    let whole = frames(&mut open("flv/h264_aac.flv"));
    let bytes = fixture("flv/h264_aac.flv");
    let cut = bytes[..bytes.len() - 100].to_vec();
    let mut reader = Reader::open(Cursor::new(cut), Limits::default()).unwrap();
    let cut = frames(&mut reader);
    assert!(cut.len() < whole.len());
    assert_eq!(cut[..], whole[..cut.len()]);
}

#[test]
fn frames_of_a_transport_stream_are_in_decoding_order() {
    // Its muxer wrote the sound behind the picture.
    let frames = frames(&mut open("mpegts/h264_aac.ts"));
    assert!(frames.is_sorted_by_key(|frame| frame.dts));
    assert_eq!(frames.len(), 30);
}

#[test]
fn damage_in_a_transport_stream_is_told_and_passed_over() {
    let mut bytes = fixture("mpegts/h264_aac.ts");
    bytes.drain(15 * 188..16 * 188);
    let mut reader = Reader::open(Cursor::new(bytes), Limits::default()).unwrap();
    let (mut read, mut told) = (0, Vec::new());
    loop {
        match reader.next_frame() {
            Ok(Some(_)) => read += 1,
            Ok(None) => break,
            Err(error) => told.push(error.to_string()),
        }
    }
    assert!((25..30).contains(&read), "{read} frames");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn an_flv_file_without_media_has_no_tracks() {
    let header = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    assert!(matches!(Reader::open(Cursor::new(header), Limits::default()), Err(Error::NoTracks)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn damaged_files_are_survived(
        which in 0..FILES.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = fixture(FILES[which]);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut reader) = Reader::open(Cursor::new(bytes), Limits::default()) {
            let mut passes = Loop::default();
            for _ in 0..2_000 {
                match reader.next_frame() {
                    Ok(Some(mut frame)) => passes.place(&mut frame),
                    Ok(None) => break,
                    Err(_) => {}
                }
            }
            passes.restart();
            let _ = reader.rewind();
        }
    }
}
