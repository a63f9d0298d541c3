//! Requests and the delivery directives of bis §6.2.5.

use super::source::*;
use crate::hls::{Config, Reply, Request, Sibling};

/// 9.5 s of a stream with segments of 2 s and parts of 0.2 s: 0 to 3 are complete, 4 has parts.
fn live() -> crate::hls::Packager {
    packaged(Config::new("r1"), &Source { millis: false, ..Source::AV }, 9_500)
}

#[test]
fn a_reload_waits_for_the_part_it_names() {
    let mut packager = live();
    let filling = text(&packager, "main.m3u8", "").matches("main.r1.4.").count() as u64 - 1;
    let newest = format!("_HLS_msn=4&_HLS_part={}", filling - 1);
    let next = format!("_HLS_msn=4&_HLS_part={filling}");
    assert_eq!(answer(&packager, "main.m3u8", &newest).status, 200);
    assert_eq!(waits(&packager, "main.m3u8", &next), 6);

    let (source, version) = (Source { millis: false, ..Source::AV }, packager.version());
    let tracks = source.tracks();
    for (frame, arrival) in
        source.frames(10_000).into_iter().skip_while(|(frame, _)| frame.dts.as_millis() < 9_500)
    {
        if packager.version() == version {
            packager.write(&tracks, &frame, arrival);
        }
    }
    assert!(packager.version() > version);
    let response = answer(&packager, "main.m3u8", &next);
    assert_eq!((response.status, response.cache_control), (200, "public, max-age=1"));
}

#[test]
fn a_reload_for_a_segment_waits_until_it_is_complete() {
    let packager = live();
    assert_eq!(answer(&packager, "main.m3u8", "_HLS_msn=3").status, 200);
    waits(&packager, "main.m3u8", "_HLS_msn=4");
    waits(&packager, "main.m3u8", "_HLS_msn=5");
    waits(&packager, "main.m3u8", "_HLS_msn=5&_HLS_part=0");
}

#[test]
fn a_part_beyond_the_end_of_a_segment_is_the_first_of_the_next() {
    // Exactly three segments, and nothing of the fourth.
    let mut packager = packager(Config::new("r1"));
    let source = Source { millis: false, ..Source::AV };
    let tracks = source.tracks();
    let mut completed = 0;
    for (frame, arrival) in source.frames(8_000) {
        packager.write(&tracks, &frame, arrival);
        if packager.counters().segments > completed {
            completed += 1;
            let (msn, last) = packager.progress().unwrap();
            assert_eq!(msn + 1, completed);
            if completed >= 2 {
                let part = last.unwrap();
                assert_eq!(
                    answer(&packager, "main.m3u8", &format!("_HLS_msn={msn}&_HLS_part={part}")).status,
                    200
                );
                waits(&packager, "main.m3u8", &format!("_HLS_msn={msn}&_HLS_part={}", part + 1));
            }
        }
    }
    assert_eq!(completed, 3);
    // Once the next segment has a part, so has the request its answer.
    assert_eq!(answer(&packager, "main.m3u8", "_HLS_msn=2&_HLS_part=99").status, 200);
}

#[test]
fn what_lies_too_far_ahead_or_makes_no_sense_is_refused() {
    let packager = live();
    for query in [
        "_HLS_msn=6",
        "_HLS_msn=18446744073709551615",
        "_HLS_msn=4&_HLS_part=40",
        "_HLS_part=1",
        "_HLS_msn=x",
        "_HLS_skip=maybe",
    ] {
        let response = answer(&packager, "main.m3u8", query);
        assert_eq!((response.status, response.cache_control), (400, "no-store"), "{query}");
    }
}

#[test]
fn a_waiting_reload_expires_with_503_and_a_hinted_part_with_404() {
    let packager = live();
    let Reply::Wait(wait) = ask(&packager, "main.m3u8", "_HLS_msn=5") else { panic!() };
    assert_eq!((wait.longest.as_secs(), wait.expired.status, wait.expired.retry_after_s), (6, 503, Some(1)));

    let playlist = text(&packager, "main.m3u8", "");
    let hinted = playlist.split("PRELOAD-HINT:TYPE=PART,URI=\"").nth(1).unwrap().split('"').next().unwrap();
    let Reply::Wait(wait) = ask(&packager, hinted, "") else { panic!() };
    assert_eq!((wait.longest.as_secs(), wait.expired.status), (6, 404));
}

#[test]
fn media_may_be_cached_for_ever_and_what_is_missing_only_briefly() {
    let packager = live();
    for path in ["main.r1.init0.mp4", "main.r1.0.m4s", "main.r1.3.0.m4s", "main.r1.4.0.m4s"] {
        let response = answer(&packager, path, "");
        assert_eq!((response.status, response.content_type), (200, "video/mp4"), "{path}");
        assert_eq!(response.cache_control, "public, max-age=31536000, immutable");
    }
    for path in ["main.r1.4.m4s", "main.r1.4.99.m4s", "main.r1.init1.mp4", "main.r2.0.m4s", "x", ""] {
        let response = answer(&packager, path, "");
        assert_eq!((response.status, response.cache_control), (404, "public, max-age=1"), "{path}");
    }
    let response = answer(&packager, "main.m3u8", "");
    assert_eq!(
        (response.content_type, response.cache_control),
        ("application/vnd.apple.mpegurl", "no-cache")
    );
}

#[test]
fn audio_alone_is_audio_mp4() {
    let packager = packaged(Config::new("r1"), &Source { video: None, ..Source::AV }, 5_000);
    assert_eq!(answer(&packager, "main.r1.0.m4s", "").content_type, "audio/mp4");
    assert_eq!(answer(&packager, "main.r1.init0.mp4", "").content_type, "audio/mp4");
    let variant = packager.variant().unwrap();
    assert_eq!(
        (&variant.codecs[..], variant.resolution, variant.frame_rate_milli),
        ("mp4a.40.2", None, None)
    );
}

#[test]
fn the_first_playlist_waits_for_two_segments_or_the_grace() {
    let config = Config { start_grace_ms: 60_000, ..Config::new("r1") };
    let early = packaged(config.clone(), &Source::AV, 3_900);
    for path in ["index.m3u8", "main.m3u8"] {
        assert_eq!(waits(&early, path, ""), 10);
    }
    // A hint cannot have been seen yet.
    assert_eq!(answer(&early, "main.r1.1.9.m4s", "").status, 404);
    let due = packaged(config, &Source::AV, 4_200);
    assert_eq!(answer(&due, "index.m3u8", "").status, 200);

    let config = Config { start_grace_ms: 3_000, ..Config::new("r1") };
    waits(&packaged(config.clone(), &Source::AV, 2_900), "main.m3u8", "");
    let one = packaged(config, &Source::AV, 3_300);
    assert_eq!(text(&one, "main.m3u8", "").matches("#EXTINF").count(), 1);
}

#[test]
fn a_stream_that_ended_before_it_began_is_not_found() {
    let mut packager = packager(Config::new("r1"));
    waits(&packager, "index.m3u8", "");
    packager.finish();
    assert_eq!(answer(&packager, "index.m3u8", "").status, 404);
}

#[test]
fn siblings_are_reported_after_the_playlist() {
    let packager = live();
    let siblings = [
        Sibling { uri: "../low/main.m3u8", last_msn: 4, last_part: Some(2) },
        Sibling { uri: "audio.m3u8", last_msn: 4, last_part: None },
    ];
    let request = Request { path: "main.m3u8", query: "", siblings: &siblings };
    let Reply::Ready(response) = packager.respond(&request) else { panic!() };
    let playlist = String::from_utf8(response.body.concat()).unwrap();
    assert!(playlist.ends_with(
        "#EXT-X-RENDITION-REPORT:URI=\"../low/main.m3u8\",LAST-MSN=4,LAST-PART=2\n\
         #EXT-X-RENDITION-REPORT:URI=\"audio.m3u8\",LAST-MSN=4\n"
    ));
    assert_eq!(packager.progress().unwrap().0, 4);
}

#[test]
fn a_delta_update_leaves_out_what_is_before_the_skip_boundary() {
    let config = Config { window_segments: 20, ..Config::new("r1") };
    let packager = packaged(config, &Source::AV, 30_500);
    let full = text(&packager, "main.m3u8", "");
    for skip in ["_HLS_skip=YES", "_HLS_skip=v2"] {
        let delta = text(&packager, "main.m3u8", skip);
        let skipped: usize = delta
            .split("#EXT-X-SKIP:SKIPPED-SEGMENTS=")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        // 30 s less twelve are nine segments.
        assert_eq!(skipped, 9);
        assert_eq!(delta.matches("#EXTINF").count() + skipped, full.matches("#EXTINF").count());
        assert!(full.ends_with(delta.split("#EXT-X-PROGRAM-DATE-TIME").last().unwrap()));
    }
    // Nothing to skip: the whole playlist.
    let young = packaged(Config::new("r1"), &Source::AV, 8_500);
    assert_eq!(text(&young, "main.m3u8", "_HLS_skip=YES"), text(&young, "main.m3u8", ""));
}

#[test]
fn plain_hls_lists_no_parts_and_knows_no_directives() {
    let config = Config { low_latency: false, ..Config::new("r1") };
    let packager = packaged(config, &Source::AV, 9_500);
    let playlist = text(&packager, "main.m3u8", "_HLS_msn=99&_HLS_skip=x");
    for tag in ["PART", "SERVER-CONTROL", "PRELOAD", "SKIP"] {
        assert!(!playlist.contains(tag), "{tag}");
    }
    assert_eq!(playlist.matches("#EXTINF").count(), 4);
}

#[test]
fn a_segment_stays_for_a_while_after_it_left_the_playlist() {
    let config = Config { window_segments: 4, retained_segments: 3, ..Config::new("r1") };
    let packager = packaged(config, &Source::AV, 24_500);
    let playlist = text(&packager, "main.m3u8", "");
    assert!(playlist.contains("#EXT-X-MEDIA-SEQUENCE:8\n"));
    for msn in 5..12 {
        assert_eq!(answer(&packager, &format!("main.r1.{msn}.m4s"), "").status, 200, "{msn}");
    }
    assert_eq!(answer(&packager, "main.r1.4.m4s", "").status, 404);
}

#[test]
fn bytes_are_bounded_whatever_comes() {
    let config =
        Config { max_segment_bytes: 1 << 20, max_bytes: 4 << 20, window_segments: 100, ..Config::new("r1") };
    let mut packager = packager(config);
    let source = Source { audio: None, ..Source::AV };
    let tracks = source.tracks();
    for (mut frame, arrival) in source.frames(20_000) {
        frame.payload = vec![0; 100_000].into();
        packager.write(&tracks, &frame, arrival);
    }
    let counters = packager.counters();
    assert!(counters.split_segments > 20, "{counters:?}");
    let held: usize = (0..counters.segments)
        .map(|msn| match answer(&packager, &format!("main.r1.{msn}.m4s"), "") {
            response if response.status == 200 => response.body.concat().len(),
            _ => 0,
        })
        .sum();
    assert!((3 << 20..=5 << 20).contains(&held), "{held} bytes");
}
