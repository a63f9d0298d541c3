//! FFmpeg reads what we write: every fixture is taken apart, written as a new FLV file, and decoded beside the old one.
//!
//! Needs `ffmpeg` and `ffprobe` (5.1 or later), and for Enhanced RTMP an FFmpeg that reads multitrack (8 or later):
//! the one named by the environment variable `FFMPEG9`, or else that of the Python package `imageio-ffmpeg`.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test, as it should")]

use std::{path::PathBuf, process::Command};

use bytes::BytesMut;
use cruvz_media::container::flv::{Demuxer, Event, MuxOptions, Muxer, Tag, TagKind, file};
use cruvz_media::{Frame, Timestamp, TrackKind, Tracks};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/flv", &format!("{name}.flv")].iter().collect()
}

/// What a file holds: the tracks as of its end, the publisher's metadata, and its frames.
fn demux(bytes: &[u8]) -> (Tracks, Vec<Frame>) {
    let mut reader = file::Reader::new(file::Limits::default());
    let mut demuxer = Demuxer::default();
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Some(tag) = reader.next_tag().unwrap() {
        demuxer.tag(tag.kind, tag.timestamp_ms.into(), tag.body).unwrap();
        frames.extend(std::iter::from_fn(|| demuxer.next_event()).filter_map(|event| match event {
            Event::Frame(frame) => Some(frame),
            _ => None,
        }));
    }
    (demuxer.tracks().clone(), frames)
}

/// Writes the fixture `name` again, with metadata of our own, and says where.
fn write_again(name: &str) -> PathBuf {
    let (tracks, frames) = demux(&std::fs::read(fixture(name)).unwrap());
    let muxer = Muxer::new(&tracks, MuxOptions { multitrack: true, ..MuxOptions::default() });
    let has = |kind| tracks.first(kind).is_some();
    let mut out = BytesMut::new();
    file::put_header(has(TrackKind::Audio), has(TrackKind::Video), &mut out);
    let mut put = |tag: &Tag| {
        assert!(file::put_tag(tag.kind, tag.timestamp_ms, &tag.header, &tag.payload, &mut out));
    };
    muxer.headers(None, Timestamp::ZERO).iter().for_each(&mut put);
    let mut end = Timestamp::ZERO;
    for frame in &frames {
        // The fixture's own metadata has the size and length of the fixture.
        if let Some(tag) = muxer.frame(frame).filter(|tag| tag.kind != TagKind::Script) {
            put(&tag);
        }
        end = end.max(frame.dts);
    }
    tracks.iter().filter_map(|track| muxer.sequence_end(track.id, end)).for_each(|tag| put(&tag));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.flv"));
    std::fs::write(&path, out).unwrap();
    path
}

/// What a command prints; it must succeed and complain of nothing.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{command:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

fn modern_ffmpeg() -> String {
    std::env::var("FFMPEG9").unwrap_or_else(|_| {
        let print = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe(), end='')";
        run(Command::new("python3").args(["-c", print]))
    })
}

/// The checksum and time of every decoded frame of every stream.
fn decoded(ffmpeg: &str, path: &PathBuf) -> Vec<String> {
    let frames = run(Command::new(ffmpeg)
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v?", "-map", "0:a?", "-f", "framemd5", "-"]));
    frames.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn assert_decodes_the_same(ffmpeg: &str, name: &str, at_least: usize) {
    let before = decoded(ffmpeg, &fixture(name));
    let after = decoded(ffmpeg, &write_again(name));
    assert!(before.len() >= at_least, "{name}: {} frames", before.len());
    assert_eq!(before, after, "{name}");
}

#[test]
fn ffmpeg_5_decodes_the_legacy_forms_the_same() {
    assert_decodes_the_same("ffmpeg", "h264_aac", 30);
    assert_decodes_the_same("ffmpeg", "h264_mp3", 25);
}

#[test]
fn ffmpeg_9_decodes_every_codec_and_track_the_same() {
    let ffmpeg = modern_ffmpeg();
    for (name, at_least) in [
        ("h264_aac", 30),
        ("h264_mp3", 25),
        ("hevc_flac", 27),
        ("av1_opus", 30),
        ("vp9_ac3", 22),
        ("eac3", 12),
        ("multitrack", 32),
        ("hdr", 5),
    ] {
        assert_decodes_the_same(&ffmpeg, name, at_least);
    }
}

#[test]
fn ffprobe_finds_the_packets_and_properties_that_were_written() {
    let path = write_again("h264_aac");
    let probe = |path: &PathBuf, entries: &str| {
        run(Command::new("ffprobe").args(["-v", "error", "-of", "csv", "-show_entries", entries]).arg(path))
    };
    let packets = "packet=codec_type,pts,dts,size,flags";
    assert_eq!(probe(&path, packets), probe(&fixture("h264_aac"), packets));
    let streams = probe(&path, "stream=codec_name,profile,width,height,sample_rate,channels");
    assert_eq!(streams, "stream,h264,High,64,48\nstream,aac,LC,48000,2\n");
}
