//! Changes of coding, jumps in time, tracks that stop, and encoders that forget their keyframes.

use super::source::*;
use crate::{
    Codec, CodecParams, Frame, Timescale, Timestamp, Track, TrackId, TrackKind, Tracks,
    hls::{Config, Packager, Reason},
};

fn write_all(packager: &mut Packager, tracks: &Tracks, frames: &[(Frame, i64)]) {
    for (frame, arrival) in frames {
        packager.write(tracks, frame, *arrival);
    }
}

fn later(frames: &[(Frame, i64)], ms: i64) -> Vec<(Frame, i64)> {
    let shift = |at: Timestamp| at.saturating_add_ticks(ms * i64::from(at.timescale().hz()) / 1_000);
    frames
        .iter()
        .map(|(frame, arrival)| {
            (Frame { pts: shift(frame.pts), dts: shift(frame.dts), ..frame.clone() }, arrival + ms * 1_000)
        })
        .collect()
}

#[test]
fn a_new_configuration_brings_a_discontinuity_and_a_new_map() {
    let source = Source::AV;
    let mut packager = packaged(Config::new("r1"), &source, 6_000);
    let mut video = video_track(Codec::H264, Timescale::MILLIS);
    video.params.config = bytes::Bytes::from_static(&[1, 0x4D, 0, 0x1E, 0xFF, 0xE0, 0]);
    video.params.rfc6381 = "avc1.4d001e".into();
    let tracks = Tracks::new(vec![video, audio_track(48_000, Timescale::MILLIS)]);
    write_all(&mut packager, &tracks, &later(&source.frames(6_000), 6_000));

    let playlist = text(&packager, "main.m3u8", "");
    assert_eq!(playlist.matches("#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"main.r1.init1.mp4\"").count(), 1);
    assert_eq!(playlist.matches("#EXT-X-MAP").count(), 2);
    assert_ne!(media(&packager, "main.r1.init0.mp4"), media(&packager, "main.r1.init1.mp4"));
    assert!(text(&packager, "index.m3u8", "").contains("CODECS=\"avc1.4d001e,mp4a.40.2\""));
    assert_eq!((packager.counters().discontinuities, packager.counters().dropped_frames), (1, 0));
}

#[test]
fn the_discontinuity_sequence_counts_those_that_left_the_playlist() {
    let source = Source::AV;
    let config = Config { window_segments: 3, ..Config::new("r1") };
    let mut packager = packaged(config, &source, 6_000);
    packager.discontinuity();
    write_all(&mut packager, &source.tracks(), &later(&source.frames(12_000), 6_000));
    let playlist = text(&packager, "main.m3u8", "");
    assert!(!playlist.contains("#EXT-X-DISCONTINUITY\n"));
    assert!(playlist.contains("#EXT-X-DISCONTINUITY-SEQUENCE:1\n"), "{playlist}");
    // The same coding goes on: no second initialisation segment.
    assert_eq!(answer(&packager, "main.r1.init1.mp4", "").status, 404);
}

#[test]
fn a_change_of_script_data_alone_changes_nothing() {
    let source = Source::AV;
    let mut packager = packaged(Config::new("r1"), &source, 6_000);
    let mut list = source.tracks().to_vec();
    list.push(Track { id: TrackId::DATA, timescale: Timescale::MILLIS, params: CodecParams::script_data() });
    write_all(&mut packager, &Tracks::new(list), &later(&source.frames(4_000), 6_000));
    assert_eq!(packager.counters().discontinuities, 0);
    let [left_out] = packager.unsupported() else { panic!() };
    assert_eq!((left_out.track, left_out.reason), (TrackId::DATA, Reason::Codec));
}

#[test]
fn tracks_that_hls_cannot_carry_are_left_out_with_the_reason() {
    let vp8 = Track { id: TrackId(1), ..video_track(Codec::Vp8, Timescale::MILLIS) };
    let first = Track { id: TrackId(4), ..video_track(Codec::H264, Timescale::MILLIS) };
    let second = Track { id: TrackId(5), ..video_track(Codec::H264, Timescale::MILLIS) };
    let mut bare = Track { id: TrackId(6), ..audio_track(48_000, Timescale::MILLIS) };
    bare.params.config = bytes::Bytes::new();
    let tracks = Tracks::new(vec![vp8, first, second, bare]);
    let mut packager = packager(Config::new("r1"));
    for (frame, arrival) in (Source { audio: None, ..Source::AV }).frames(5_000) {
        packager.write(&tracks, &Frame { track: TrackId(1), ..frame.clone() }, arrival);
        packager.write(&tracks, &Frame { track: TrackId(4), ..frame }, arrival);
    }
    let reasons: Vec<_> = packager.unsupported().iter().map(|left| (left.track.0, left.reason)).collect();
    assert_eq!(reasons, [(1, Reason::Codec), (5, Reason::NotFirst), (6, Reason::Config)]);
    assert_eq!(packager.counters().segments, 2);
}

#[test]
fn audio_announced_a_moment_after_video_is_in_the_first_segment() {
    let source = Source::AV;
    let mut packager = packager(Config::new("r1"));
    let video_only = Source { audio: None, ..Source::AV }.tracks();
    let both = source.tracks();
    for (frame, arrival) in source.frames(6_000) {
        if frame.dts.as_millis() < 100 {
            if frame.track == TrackId::VIDEO {
                packager.write(&video_only, &frame, arrival);
            }
        } else {
            packager.write(&both, &frame, arrival);
        }
    }
    let counters = packager.counters();
    assert_eq!((counters.discontinuities, counters.dropped_frames), (0, 0));
    let first = runs(&media(&packager, "main.r1.0.m4s"), true, 48_000);
    assert_eq!((first[0].kind, first[0].start_s), (TrackKind::Video, 0.0));
    assert_eq!(first[1].kind, TrackKind::Audio);
}

#[test]
fn a_jump_in_time_in_either_direction_is_a_discontinuity() {
    for jump_ms in [3_600_000, -3_600_000] {
        let source = Source { start_ms: 4_000_000, ..Source::AV };
        let mut packager = packaged(Config::new("r1"), &source, 6_000);
        write_all(&mut packager, &source.tracks(), &later(&source.frames(6_000), jump_ms));
        let playlist = text(&packager, "main.m3u8", "");
        assert_eq!(packager.counters().discontinuities, 1);
        assert!(playlist.contains("#EXT-X-DISCONTINUITY\n"));
        assert!(packager.counters().segments >= 5);
    }
}

#[test]
fn segments_follow_long_gops_when_they_are_known_from_the_start() {
    // x264's default of 250 frames, at 30 fps.
    let source = Source { video: Some((30, 1, 250)), ..Source::AV };
    let packager = packaged(Config::new("r1"), &source, 30_000);
    let playlist = text(&packager, "main.m3u8", "");
    assert!(playlist.contains("#EXT-X-TARGETDURATION:9\n"), "{playlist}");
    assert!(playlist.contains("#EXTINF:8.33") && playlist.contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    assert_eq!(packager.counters().split_segments, 0);
}

#[test]
fn a_gop_that_outgrows_the_target_is_split_and_the_playlist_no_longer_promises_independence() {
    let source = Source::AV;
    let tracks = source.tracks();
    let mut packager = packager(Config::new("r1"));
    for (mut frame, arrival) in source.frames(16_000) {
        // No keyframe between 6 and 12 s.
        frame.keyframe &= frame.track == TrackId::AUDIO || !(6_001..12_000).contains(&frame.dts.as_millis());
        packager.write(&tracks, &frame, arrival);
    }
    let playlist = text(&packager, "main.m3u8", "");
    assert!(playlist.contains("#EXT-X-TARGETDURATION:2\n"));
    assert!(!playlist.contains("#EXT-X-INDEPENDENT-SEGMENTS"));
    assert!((2..=3).contains(&packager.counters().split_segments), "{:?}", packager.counters());
}

#[test]
fn a_stream_that_never_sends_a_keyframe_again_is_bounded() {
    let source = Source { video: Some((30, 1, 1_000_000)), ..Source::AV };
    let packager = packaged(Config::new("r1"), &source, 40_000);
    assert!(packager.counters().segments >= 3, "{:?}", packager.counters());
    assert!(text(&packager, "main.m3u8", "").contains("#EXT-X-TARGETDURATION:10\n"));
}

#[test]
fn when_audio_stops_video_goes_on_and_audio_may_come_back() {
    let source = Source::AV;
    let tracks = source.tracks();
    let mut packager = packager(Config::new("r1"));
    let mut parts_in_silence = 0;
    for (frame, arrival) in source.frames(20_000) {
        let ms = frame.dts.as_millis();
        if frame.track == TrackId::AUDIO && (6_000..12_000).contains(&ms) {
            continue;
        }
        let before = packager.counters().parts;
        packager.write(&tracks, &frame, arrival);
        if (8_000..12_000).contains(&ms) {
            parts_in_silence += packager.counters().parts - before;
        }
    }
    assert!((19..=21).contains(&parts_in_silence), "{parts_in_silence}");
    assert_eq!(packager.counters().discontinuities, 0);
    let last = runs(&media(&packager, "main.r1.8.m4s"), true, 48_000);
    assert!(last.iter().any(|run| run.kind == TrackKind::Audio));
}

#[test]
fn when_video_stops_audio_goes_on_and_video_may_come_back() {
    let source = Source::AV;
    let tracks = source.tracks();
    let mut packager = packager(Config::new("r1"));
    let mut parts_in_darkness = 0;
    for (frame, arrival) in source.frames(20_000) {
        let ms = frame.dts.as_millis();
        if frame.track == TrackId::VIDEO && (6_000..8_000).contains(&ms) {
            continue;
        }
        let before = packager.counters().parts;
        packager.write(&tracks, &frame, arrival);
        if (7_100..8_000).contains(&ms) {
            parts_in_darkness += packager.counters().parts - before;
        }
    }
    assert!(parts_in_darkness >= 4, "{parts_in_darkness}");
    let counters = packager.counters();
    assert_eq!((counters.discontinuities, counters.dropped_frames), (0, 0));
    assert!(counters.segments >= 8, "{counters:?}");
}

#[test]
fn promised_video_that_never_comes_does_not_hold_up_audio_for_ever() {
    let source = Source::AV;
    let tracks = source.tracks();
    let mut packager = packager(Config::new("r1"));
    for (frame, arrival) in source.frames(20_000) {
        if frame.track == TrackId::AUDIO {
            packager.write(&tracks, &frame, arrival);
        }
    }
    assert!(packager.counters().segments >= 1, "{:?}", packager.counters());
}

#[test]
fn sound_that_waited_for_video_may_be_gone_when_that_comes() {
    let source = Source::AV;
    let config = Config::new("r1");
    let step_ms = i64::from(config.max_segment_ms).div_euclid(2) + 1;
    let mut sound = source.frames(1_000);
    sound.retain(|(frame, _)| frame.track == TrackId::AUDIO);
    let mut packager = packager(config);
    // It begins without the video that was promised, and is too sparse for a part.
    for number in 0..3 {
        write_all(&mut packager, &source.tracks(), &later(&sound[..1], number * step_ms));
    }
    let video = Source { audio: None, ..Source::AV };
    write_all(&mut packager, &video.tracks(), &later(&video.frames(10_000), 2 * step_ms));
    packager.finish();
    assert!(text(&packager, "main.m3u8", "").contains("#EXTINF:"));
}

#[test]
fn sound_that_is_centuries_away_from_the_picture_is_survived() {
    let source = Source::AV;
    let (pictures, sound): (Vec<_>, Vec<_>) =
        source.frames(5_000).into_iter().partition(|(frame, _)| frame.track == TrackId::VIDEO);
    let sound = later(&sound, 10_000_000_000_000);
    let mut packager = Packager::new(Config::new("r1")).unwrap();
    write_all(&mut packager, &source.tracks(), &sound[..2]);
    write_all(&mut packager, &source.tracks(), &pictures);
    write_all(&mut packager, &source.tracks(), &sound[2..]);
    packager.finish();
    assert!(text(&packager, "main.m3u8", "").contains("#EXTINF:"));
}

#[test]
fn a_leap_of_sound_that_waits_for_video_is_no_length_of_a_part() {
    let source = Source::AV;
    let mut sound = source.frames(20_000);
    sound.retain(|(frame, _)| frame.track == TrackId::AUDIO);
    // Three hundred years: more nanoseconds than there are.
    let rest = later(&sound[1..], 10_000_000_000_000);
    let mut packager = Packager::new(Config::new("r1")).unwrap();
    write_all(&mut packager, &source.tracks(), &sound[..1]);
    write_all(&mut packager, &source.tracks(), &rest);
    packager.finish();
    assert!(text(&packager, "main.m3u8", "").contains("#EXTINF:"));
}

#[test]
fn a_stream_that_begins_before_zero_is_moved_to_it() {
    let source = Source { start_ms: -2_000, delay: 2, ..Source::AV };
    let packager = packaged(Config::new("r1"), &source, 6_000);
    let first = runs(&media(&packager, "main.r1.0.m4s"), true, 48_000);
    assert_eq!(first[0].start_s, 0.0);
    assert!((first[1].start_s - 0.066).abs() < 0.0225, "{:?}", first[1]);
}

#[test]
fn the_end_publishes_what_is_held_and_is_final() {
    let source = Source::AV;
    let mut packager = packaged(Config::new("r1"), &source, 7_000);
    let version = packager.version();
    packager.finish();
    packager.finish();
    assert!(packager.version() > version);
    let playlist = text(&packager, "main.m3u8", "");
    assert!(playlist.ends_with("#EXT-X-ENDLIST\n") && !playlist.contains("PRELOAD-HINT"));
    assert_eq!(text(&packager, "main.m3u8", "_HLS_msn=50"), playlist);
    write_all(&mut packager, &source.tracks(), &later(&source.frames(4_000), 7_000));
    assert_eq!(text(&packager, "main.m3u8", ""), playlist);
    let samples = |kind| -> usize {
        let runs =
            (0..4).flat_map(|msn| runs(&media(&packager, &format!("main.r1.{msn}.m4s")), true, 48_000));
        runs.filter(|run| run.kind == kind).map(|run| run.samples).sum()
    };
    assert_eq!(samples(TrackKind::Video), 210);
    assert_eq!(samples(TrackKind::Audio), 329);
}

#[test]
fn impossible_times_are_dropped_not_believed() {
    let source = Source { audio: None, ..Source::AV };
    let tracks = source.tracks();
    let mut packager = packager(Config::new("r1"));
    for (n, (frame, arrival)) in source.frames(6_000).into_iter().enumerate() {
        if n % 10 == 5 {
            let at = Timestamp::new(if n % 20 == 5 { i64::MAX } else { i64::MIN }, Timescale::MILLIS);
            packager.write(&tracks, &Frame { pts: at, dts: at, ..frame.clone() }, arrival);
        }
        packager.write(&tracks, &frame, arrival);
    }
    assert_eq!(packager.counters().dropped_frames, 18);
    assert_eq!(packager.counters().segments, 2);
}

#[test]
fn what_was_held_when_the_tracks_changed_keeps_its_own_initialisation_segment() {
    // At some of these moments a segment has just been completed, and what is held begins the next one.
    for ms in (3_000..=5_200).step_by(33) {
        let mut packager = packaged(Config::new("r1"), &Source::AV, ms);
        let (frame, arrival) = Source::AV.frames(ms + 40).pop().unwrap();
        packager.write(&Tracks::empty(), &frame, arrival);
        packager.finish();
        let playlist = text(&packager, "main.m3u8", "");
        assert_eq!(playlist.matches("#EXT-X-MAP").count(), 1, "{ms} ms: {playlist}");
    }
}
