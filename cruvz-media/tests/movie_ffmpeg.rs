//! FFmpeg plays the progressive MP4 that is made of what the HLS packager made. Needs `ffmpeg` and `ffprobe`.

use std::{fs, io::Cursor, path::PathBuf, process::Command};

use bytes::Bytes;
use cruvz_media::{
    Timestamp,
    container::{
        file::{Limits, Reader},
        mp4::movie::{Builder, Cut, Movie, Slice},
    },
    hls::{Config, Packager, Reply, Request},
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What HLS players would be served of a fixture: its initialisation segment, and its segments.
fn segments(name: &str) -> (Bytes, Vec<Bytes>) {
    let bytes = fs::read(fixture(name)).expect("there is such a fixture");
    let mut reader = Reader::open(Cursor::new(bytes), Limits::default()).expect("fixtures are sound");
    let tracks = reader.tracks().clone();
    let mut config = Config::new("test");
    config.segment_target_ms = 500;
    let mut packager = Packager::new(config).expect("the configuration is sound");
    while let Some(frame) = reader.next_frame().expect("fixtures are sound") {
        packager.write(&tracks, &frame, frame.dts.as_micros());
    }
    packager.finish();
    let fetch = |path: &str| match packager.respond(&Request { path, ..Request::default() }) {
        Reply::Ready(response) => Bytes::from(response.body.concat()),
        Reply::Wait(_) => panic!("{path} waits"),
    };
    let playlist = String::from_utf8(fetch("main.m3u8").to_vec()).expect("playlists are text");
    let map = playlist.lines().find_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")?.strip_suffix('"'));
    let init = fetch(map.expect("there is an EXT-X-MAP"));
    (init, playlist.lines().filter(|line| !line.starts_with('#')).map(fetch).collect())
}

/// The boxes at the top of a file: their names and where they are.
fn boxes(file: &Bytes) -> Vec<([u8; 4], std::ops::Range<usize>)> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(head) = file.get(at..at + 8) {
        let size = u32::from_be_bytes(head[..4].try_into().expect("four bytes")) as usize;
        found.push((head[4..].try_into().expect("four bytes"), at..at + size));
        at += size;
    }
    found
}

fn write(name: &str, init: &Bytes, segments: &[Bytes], cut: Cut) -> (Movie, PathBuf) {
    let mut builder = Builder::default();
    builder.init(init).expect("it is our own");
    for (source, segment) in (0..).zip(segments) {
        for (_, place) in boxes(segment).into_iter().filter(|(name, _)| name == b"moof") {
            builder.fragment(source, place.start as u64, &segment.slice(place)).expect("it is our own");
        }
    }
    let movie = builder.build(cut).expect("it has frames");
    let mut file = Vec::new();
    for slice in movie.slices(0..u64::MAX) {
        match slice {
            Slice::Head(bytes) => file.extend_from_slice(&bytes),
            Slice::Source { source, range } => {
                file.extend_from_slice(&segments[source as usize][range.start as usize..range.end as usize]);
            }
        }
    }
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, file).expect("the target folder can be written");
    (movie, path)
}

/// One line per decoded frame of a stream: its time in ms and its digest.
fn decoded(file: &PathBuf, stream: &str) -> Vec<(i64, String)> {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i"]).arg(file);
    command.args([
        "-map",
        stream,
        "-vsync",
        "passthrough",
        "-enc_time_base",
        "1/1000",
        "-f",
        "framemd5",
        "-",
    ]);
    let output = command.output().expect("ffmpeg is needed");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("framemd5 is text");
    let frames = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        (fields[2].parse().expect("a time"), fields[5].to_owned())
    });
    frames.collect()
}

fn digests(frames: &[(i64, String)]) -> Vec<&str> {
    frames.iter().map(|(_, digest)| &**digest).collect()
}

#[test]
fn ffmpeg_decodes_the_frames_of_the_source_and_no_others() {
    for name in ["mp4/avc-aac.mp4", "mp4/hevc-mp3.mp4", "mp4/av1-opus-fragmented.mp4"] {
        let (init, segments) = segments(name);
        let (movie, file) = write(&name.replace('/', "-"), &init, &segments, Cut::default());
        let (expected, shown) = (decoded(&fixture(name), "0:v"), decoded(&file, "0:v"));
        assert_eq!(digests(&shown), digests(&expected), "{name}");
        // The packager begins with the picture; sound before it is left out.
        let since_first = |frames: &[(i64, String)]| -> Vec<_> {
            frames.iter().map(|(time, _)| time - frames[0].0).collect()
        };
        assert_eq!(since_first(&shown), since_first(&expected), "{name}");
        let last = shown.last().expect("there are pictures").0;
        assert!(movie.duration().as_millis() as i64 > last, "{name}");
    }
}

#[test]
fn a_cut_shows_the_pictures_of_its_time_and_no_others() {
    let name = "mp4/avc-aac.mp4";
    let (init, segments) = segments(name);
    assert!(segments.len() > 1);
    let expected = decoded(&fixture(name), "0:v");
    let (from, to) = (expected.len() / 4 + 1, expected.len() * 3 / 4 + 2);
    let first = expected[0].0;
    let at = |index: usize| Timestamp::from_millis(expected[index].0 - first);
    let shift = first_pts(&init, &segments);
    let from_to = [from, to].map(|index| Some(at(index).saturating_add_ticks(shift)));
    let cut = Cut { from: from_to[0], to: from_to[1] };
    let (movie, file) = write("cut.mp4", &init, &segments, cut);
    let shown = decoded(&file, "0:v");
    assert_eq!(digests(&shown), digests(&expected)[from..to]);
    assert_eq!(movie.duration(), at(to).duration_since(at(from)));
    // The sound begins and ends with the pictures, to the packet.
    let sound = decoded(&file, "0:a");
    let (begins, ends) = (sound[0].0, sound.last().expect("there is sound").0);
    assert!(
        begins.abs() <= 22 && (ends - movie.duration().as_millis() as i64).abs() <= 45,
        "{begins} {ends}"
    );
}

/// When the first picture is shown in the time of the fragments, in ms.
fn first_pts(init: &Bytes, segments: &[Bytes]) -> i64 {
    let file = [init.clone(), Bytes::from(segments.concat())].concat();
    let mut reader = Reader::open(Cursor::new(file), Limits::default()).expect("it is our own");
    let mut times = Vec::new();
    let video = reader.tracks().first(cruvz_media::TrackKind::Video).expect("there is video").id;
    while let Some(frame) = reader.next_frame().expect("it is our own") {
        if frame.track == video {
            times.push(frame.pts.as_millis());
        }
    }
    times.into_iter().min().expect("there are pictures")
}
