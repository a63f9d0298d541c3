//! FFmpeg, which knows nothing of this crate, plays what the packager makes of every codec. Needs `ffmpeg`, `ffprobe`.

use std::{
    collections::BTreeMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cruvz_media::{
    Frame, TrackKind, Tracks,
    container::file::{Limits, Loop, Reader},
    hls::{Config, Packager, Reply, Request},
};

/// The tracks and frames of `passes` through a fixture, one after the other.
fn play(fixture: &str, passes: usize) -> (Tracks, Vec<Frame>) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader::open(Cursor::new(bytes), Limits::default()).expect("fixtures are sound");
    let tracks = reader.tracks().clone();
    let (mut line, mut frames) = (Loop::default(), Vec::new());
    for _ in 0..passes {
        while let Some(mut frame) = reader.next_frame().expect("fixtures are sound") {
            line.place(&mut frame);
            frames.push(frame);
        }
        line.restart();
        reader.rewind().expect("fixtures are sound");
    }
    (tracks, frames)
}

/// Writes every file that the finished playlists name into a folder of the test's own.
fn store(packager: &Packager, folder: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    fs::create_dir_all(&folder).expect("the target folder can be written");
    let mut paths = vec!["index.m3u8".to_owned(), "main.m3u8".to_owned()];
    let mut stored = 0;
    while let Some(path) = paths.get(stored).cloned() {
        let Reply::Ready(response) = packager.respond(&Request { path: &path, ..Request::default() }) else {
            panic!("{path} waits");
        };
        assert_eq!(response.status, 200, "{path}");
        let body = response.body.concat();
        if path == "main.m3u8" {
            let text = std::str::from_utf8(&body).expect("playlists are text");
            let map = text.lines().find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")?.strip_suffix('"'));
            paths.push(map.expect("there is an EXT-X-MAP").into());
            paths.extend(text.lines().filter(|line| !line.starts_with('#')).map(Into::into));
        }
        fs::write(folder.join(&path), body).expect("the target folder can be written");
        stored += 1;
    }
    folder
}

fn run(tool: &str, arguments: &[&str], input: &Path) -> Output {
    let mut command = Command::new(tool);
    command.args(["-v", "error", "-allowed_extensions", "ALL"]).arg("-i").arg(input).args(arguments);
    command.output().unwrap_or_else(|error| panic!("{tool} is needed: {error}"))
}

/// Per stream: the size, decoding and presentation time in µs of each packet that ffprobe finds.
fn packets(playlist: &Path) -> BTreeMap<String, Vec<(usize, i64, i64)>> {
    let entries = "packet=codec_type,size,dts_time,pts_time";
    let output = run("ffprobe", &["-show_entries", entries, "-of", "csv=p=0"], playlist);
    let mut packets: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in
        String::from_utf8(output.stdout).expect("ffprobe writes text").lines().filter(|line| !line.is_empty())
    {
        let fields: Vec<_> = line.trim_end_matches(',').split(',').collect();
        let [kind, pts, dts, size] = fields[..] else { panic!("{line}") };
        let micros = |time: &str| (time.parse::<f64>().expect("a time") * 1e6).round() as i64;
        packets.entry(kind.into()).or_default().push((
            size.parse().expect("a size"),
            micros(dts),
            micros(pts),
        ));
    }
    packets
}

/// Asserts that FFmpeg finds every frame with its time, and decodes all of it without a complaint.
fn assert_played(fixture: &str) {
    let (tracks, frames) = play(fixture, 6);
    let config = Config { window_segments: 1_000, segment_target_ms: 1_000, ..Config::new("r1") };
    let mut packager = Packager::new(config).expect("the settings are valid");
    for frame in &frames {
        packager.write(&tracks, frame, 1_700_000_000_000_000 + frame.dts.as_micros());
    }
    packager.finish();
    let folder = store(&packager, &fixture.replace(['/', '.'], "-"));
    let playlist = folder.join("main.m3u8");
    let found = packets(&playlist);

    // One shift for both tracks: times below zero are moved to it.
    let mut shift = None;
    for (kind, name) in [(TrackKind::Video, "video"), (TrackKind::Audio, "audio")] {
        let Some(track) = tracks.first(kind) else { continue };
        let sent: Vec<_> = frames.iter().filter(|frame| frame.track == track.id).collect();
        let got = &found[name];
        // Sound before the first picture is left out.
        let skipped = sent.len() - got.len();
        let dropped = packager.counters().dropped_frames as usize;
        assert!(skipped <= dropped, "{fixture}: {skipped} of {} {name} frames missing", sent.len());
        for (frame, (size, dts, pts)) in sent[skipped..].iter().zip(got) {
            assert_eq!(frame.payload.len(), *size, "{fixture} {name}");
            let shift = *shift.get_or_insert(dts - frame.dts.as_micros());
            let (sent_dts, sent_pts) = (frame.dts.as_micros() + shift, frame.pts.as_micros() + shift);
            // Times are written in ticks of 90 kHz or of one audio sample.
            assert!(
                (sent_dts - dts).abs() <= 63 && (sent_pts - pts).abs() <= 63,
                "{fixture} {name}: {dts} for {sent_dts}"
            );
        }
    }
    let output = run("ffmpeg", &["-map", "0", "-f", "null", "-"], &folder.join("index.m3u8"));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{fixture}: {complaints}");
}

#[test]
fn h264_and_aac() {
    assert_played("mp4/avc-aac.mp4");
    assert_played("flv/h264_aac.flv");
}

#[test]
fn h264_with_negative_times_and_ac3() {
    assert_played("mp4/avc-ac3-negative.mp4");
}

#[test]
fn h265_and_eac3() {
    assert_played("mp4/hevc-eac3-cmaf.mp4");
}

#[test]
fn h265_and_mp3() {
    assert_played("mp4/hevc-mp3.mp4");
}

#[test]
fn av1_and_opus() {
    assert_played("mp4/av1-opus-fragmented.mp4");
}

#[test]
fn vp9_and_flac() {
    assert_played("mp4/vp9-flac.mp4");
}
