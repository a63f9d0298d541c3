//! Golden playlists: what is written is exactly what was reviewed. Set `UPDATE_GOLDEN=1` to write them anew.

use std::{fs, path::PathBuf};

use super::source::*;
use crate::hls::{Config, Variant, multivariant};

#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/hls/tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "{}", path.display());
}

#[test]
fn low_latency() {
    let config = Config { window_segments: 3, part_segments: 3, ..Config::new("r1") };
    let packager = packaged(config, &Source { millis: false, ..Source::AV }, 9_500);
    assert_golden("low_latency.m3u8", &text(&packager, "main.m3u8", ""));
    assert_golden("index.m3u8", &text(&packager, "index.m3u8", ""));
}

#[test]
fn plain_and_finished_with_a_discontinuity() {
    let config = Config { low_latency: false, ..Config::new("r1") };
    let source = Source { video: Some((25, 1, 50)), ..Source::AV };
    let mut packager = packaged(config, &source, 5_000);
    packager.discontinuity();
    let tracks = source.tracks();
    for (frame, arrival) in (Source { start_ms: 5_000, ..source }).frames(3_000) {
        packager.write(&tracks, &frame, arrival + 5_000_000);
    }
    packager.finish();
    assert_golden("finished.m3u8", &text(&packager, "main.m3u8", ""));
}

#[test]
fn delta() {
    let config = Config { window_segments: 20, ..Config::new("r1") };
    let packager = packaged(config, &Source { millis: false, ..Source::AV }, 20_300);
    assert_golden("delta.m3u8", &text(&packager, "main.m3u8", "_HLS_skip=YES"));
}

#[test]
fn several_variants() {
    let high = Variant {
        uri: "high/main.m3u8".into(),
        bandwidth_bps: 6_000_000,
        average_bandwidth_bps: 5_000_000,
        codecs: "hvc1.1.6.L120.90,mp4a.40.2".into(),
        resolution: Some((1_920, 1_080)),
        frame_rate_milli: Some(59_940),
    };
    let audio = Variant {
        uri: "audio.m3u8".into(),
        bandwidth_bps: 128_000,
        average_bandwidth_bps: 128_000,
        codecs: "mp4a.40.2".into(),
        resolution: None,
        frame_rate_milli: None,
    };
    let playlist = multivariant(&[high, audio]);
    assert_golden("variants.m3u8", std::str::from_utf8(&playlist).unwrap());
}
