//! Other programs read the transport streams that we write: every fixture is taken apart and written anew; FFmpeg decodes
//! both to the same pictures and samples, and `tsreport` and `tshark` find nothing wrong.
//!
//! Needs `ffmpeg` and `ffprobe` (5.1 or later), `tsreport` (Debian's tstools) and `tshark`.
#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test, as it should")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use cruvz_media::{
    Frame, Tracks,
    container::mpegts::{Demuxer, Event, Muxer},
};

const FIXTURES: [&str; 5] = ["h264_aac.ts", "hevc_mp3.ts", "h264_ac3.m2ts", "opus_eac3.ts", "aac_latm.ts"];

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/mpegts", name].iter().collect()
}

/// The tracks of a stream, and its frames in decoding order.
fn demux(bytes: &[u8]) -> (Tracks, Vec<Frame>) {
    let mut demuxer = Demuxer::default();
    demuxer.push(bytes);
    demuxer.finish();
    let events = std::iter::from_fn(|| demuxer.next_event());
    let mut frames: Vec<Frame> = events
        .filter_map(|event| match event {
            Event::Frame(frame) => Some(frame),
            _ => None,
        })
        .collect();
    frames.sort_by_key(|frame| frame.dts);
    (demuxer.tracks().clone(), frames)
}

/// Writes the fixture `name` anew, `repeats` times over on one timeline, as a viewer gets it who missed the first time
/// through, and says where.
fn write_again(name: &str, repeats: i64) -> PathBuf {
    let (tracks, frames) = demux(&std::fs::read(fixture(name)).unwrap());
    let first = frames.iter().map(|frame| frame.dts.ticks()).min().unwrap();
    let mut muxer = Muxer::default();
    let mut stream = Vec::new();
    for pass in 0..=repeats {
        // The fixtures have 0.4 s of picture and a little more of sound.
        let shift = pass * 45_000 - first;
        for frame in &frames {
            let pts = frame.pts.saturating_add_ticks(shift);
            let dts = frame.dts.saturating_add_ticks(shift);
            let packets = muxer.frame(&tracks, &Frame { pts, dts, ..frame.clone() });
            if pass > 0 && stream.is_empty() {
                stream.extend_from_slice(&muxer.rejoin());
            }
            if pass > 0 {
                stream.extend_from_slice(&packets);
            }
        }
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{repeats}_{name}"));
    std::fs::write(&path, stream).unwrap();
    path
}

/// What a command prints; it must succeed and complain of nothing.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{command:?}: {complaints}");
    String::from_utf8(output.stdout).unwrap()
}

/// The checksum and time of every decoded frame of every stream.
fn decoded(path: &Path) -> Vec<String> {
    let frames = run(Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v?", "-map", "0:a?", "-f", "framemd5", "-"]));
    frames.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn ffmpeg_decodes_the_same_before_and_after() {
    for name in FIXTURES {
        let (before, after) = (decoded(&fixture(name)), decoded(&write_again(name, 1)));
        assert!(before.len() >= 20, "{name}: {} frames", before.len());
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn ffprobe_finds_the_streams_that_were_written() {
    let probe = |name| {
        let entries = "stream=codec_name,width,height,sample_rate,channels";
        let path = write_again(name, 1);
        let printed = run(Command::new("ffprobe")
            .args(["-v", "error", "-of", "csv=p=0:nk=1", "-show_entries", entries])
            .arg(path));
        // The streams are listed within their program and by themselves.
        let mut lines: Vec<_> = printed.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    };
    assert_eq!(probe("h264_aac.ts"), ["aac,48000,2", "h264,64,48"]);
    assert_eq!(probe("hevc_mp3.ts"), ["hevc,64,48", "mp3,44100,1"]);
    assert_eq!(probe("h264_ac3.m2ts"), ["ac3,48000,1", "h264,64,48"]);
    assert_eq!(probe("opus_eac3.ts"), ["eac3,48000,1", "opus,48000,1"]);
}

#[test]
fn tsreport_finds_clocks_and_buffers_in_order() {
    for name in FIXTURES {
        let report = run(Command::new("tsreport").arg("-buffering").arg(write_again(name, 20)));
        let numbers = |label: &str| {
            let of_label = report.match_indices(label);
            let rests = of_label.map(|(at, _)| report[at + label.len()..].trim_start());
            let digits = rests.map(|rest| rest.split(|digit: char| !digit.is_ascii_digit()).next().unwrap());
            digits.map(|digits| digits.parse().unwrap()).collect::<Vec<u32>>()
        };
        // 40 ms of 90 kHz.
        assert!(numbers("Max gap:")[0] <= 3_600, "{report}");
        assert_eq!(numbers("Bad (>.1s) gaps:"), [0], "{report}");
        assert!(numbers("duplicate packets:").iter().all(|count| *count == 0), "{report}");
        // What it complains of: time going back, counters not going on.
        assert!(!report.contains("###") && !report.contains("!!!"), "{report}");
    }
}

/// What tshark's experts say: nothing, of a sound stream.
fn experts(path: &Path) -> String {
    let output = Command::new("tshark")
        .args(["-X", "read_format:MPEG2 transport stream", "-q", "-z", "expert", "-r"])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn tshark_finds_no_packet_missing_and_no_checksum_wrong() {
    for name in FIXTURES {
        let path = write_again(name, 5);
        assert_eq!(experts(&path), "", "{name}");
        // It would say so: the 20th packet taken out.
        let mut stream = std::fs::read(&path).unwrap();
        stream.drain(20 * 188..21 * 188);
        let damaged = path.with_extension("damaged");
        std::fs::write(&damaged, stream).unwrap();
        assert!(experts(&damaged).contains("missing TS frames"), "{}", experts(&damaged));
    }
}
