//! Whatever the stream, every playlist obeys the rules of bis, and what is behind its URLs never changes.

use std::collections::HashMap;

use m3u8_rs::MediaPlaylist;
use proptest::prelude::*;

use super::source::*;
use crate::{
    TrackKind,
    hls::{Config, Packager},
};

/// A listed part: its duration, URI and whether it is independent.
#[derive(Clone, Debug)]
struct ListedPart {
    duration: f64,
    uri: String,
    independent: bool,
}

/// What our tests need of a playlist, read line by line; `m3u8-rs`, which knows no parts, must agree on the rest.
#[derive(Debug, Default)]
struct Parsed {
    target: f64,
    part_target: f64,
    media_sequence: u64,
    discontinuity_sequence: u64,
    /// Duration, URI and parts of each segment.
    segments: Vec<(f64, String, Vec<ListedPart>)>,
    /// The parts of the segment being filled.
    filling: Vec<ListedPart>,
    hint: Option<String>,
    hold_back: f64,
    skip_until: f64,
}

fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let rest = line.split_once(&format!("{name}="))?.1;
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next(),
        None => rest.split(',').next(),
    }
}

fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    let mut duration = 0.0;
    for line in text.lines() {
        let number = |name| attribute(line, name).map_or(0.0, |value| value.parse().unwrap());
        match line.split_once(':').map_or((line, ""), |(tag, value)| (tag, value)) {
            ("#EXT-X-TARGETDURATION", value) => parsed.target = value.parse().unwrap(),
            ("#EXT-X-PART-INF", _) => parsed.part_target = number("PART-TARGET"),
            ("#EXT-X-MEDIA-SEQUENCE", value) => parsed.media_sequence = value.parse().unwrap(),
            ("#EXT-X-DISCONTINUITY-SEQUENCE", value) => {
                parsed.discontinuity_sequence = value.parse().unwrap()
            }
            ("#EXT-X-SERVER-CONTROL", _) => {
                parsed.hold_back = number("PART-HOLD-BACK");
                parsed.skip_until = number("CAN-SKIP-UNTIL");
            }
            ("#EXT-X-PART", _) => parsed.filling.push(ListedPart {
                duration: number("DURATION"),
                uri: attribute(line, "URI").unwrap().into(),
                independent: line.ends_with("INDEPENDENT=YES"),
            }),
            ("#EXTINF", value) => duration = value.trim_end_matches(',').parse().unwrap(),
            ("#EXT-X-PRELOAD-HINT", _) => parsed.hint = attribute(line, "URI").map(Into::into),
            _ if !line.starts_with('#') => {
                parsed.segments.push((duration, line.into(), std::mem::take(&mut parsed.filling)));
            }
            _ => {}
        }
    }
    parsed
}

/// Follows a stream as a viewer who polls at every change.
#[derive(Default)]
struct Viewer {
    bodies: HashMap<String, Vec<u8>>,
    header: Option<(f64, f64)>,
    sequences: (u64, u64),
    hint: Option<String>,
    polls: usize,
    /// The shortest and longest part that is not a segment's last.
    inner_parts: Option<(f64, f64)>,
}

impl Viewer {
    /// The body behind `uri`; every eighth poll looks whether it is still the same.
    fn fetch(&mut self, packager: &Packager, uri: &str) -> Vec<u8> {
        if let Some(known) = self.bodies.get(uri) {
            assert!(!self.polls.is_multiple_of(8) || *known == media(packager, uri), "{uri} changed");
            return known.clone();
        }
        let body = media(packager, uri);
        self.bodies.insert(uri.into(), body.clone());
        body
    }

    fn poll(&mut self, packager: &Packager) {
        let full = text(packager, "main.m3u8", "");
        let parsed = parse(&full);
        self.polls += 1;

        let (rest, oracle): (_, MediaPlaylist) = m3u8_rs::parse_media_playlist(full.as_bytes()).unwrap();
        assert!(rest.is_empty());
        assert_eq!(oracle.media_sequence, parsed.media_sequence);
        assert_eq!(oracle.segments.len(), parsed.segments.len());

        let header = (parsed.target, parsed.part_target);
        assert_eq!(*self.header.get_or_insert(header), header, "the header must not change");
        let sequences = (parsed.media_sequence, parsed.discontinuity_sequence);
        assert!(sequences.0 >= self.sequences.0 && sequences.1 >= self.sequences.1);
        self.sequences = sequences;
        assert!(parsed.hold_back >= 3.0 * parsed.part_target - 1e-9);
        assert!(parsed.skip_until >= 6.0 * parsed.target);

        for (duration, uri, parts) in &parsed.segments {
            assert!(duration.round() <= parsed.target, "{uri}: {duration} s, target {}", parsed.target);
            let whole = self.fetch(packager, uri);
            if parts.is_empty() {
                continue;
            }
            let sum: f64 = parts.iter().map(|part| part.duration).sum();
            assert!((sum - duration).abs() <= 20e-6 * parts.len() as f64, "{uri}: {sum} s of {duration}");
            let joined: Vec<u8> = parts.iter().flat_map(|part| self.fetch(packager, &part.uri)).collect();
            assert!(joined == whole, "{uri} is not the sum of its parts");
            self.see_inner(&parts[..parts.len() - 1]);
        }
        self.see_inner(&parsed.filling[..parsed.filling.len().saturating_sub(1)]);
        for part in parsed.segments.iter().flat_map(|(.., parts)| parts).chain(&parsed.filling) {
            assert!(part.duration <= parsed.part_target, "{part:?} of {}", parsed.part_target);
        }
        if full.contains("#EXT-X-INDEPENDENT-SEGMENTS") {
            let firsts = parsed.segments.iter().filter_map(|(.., parts)| parts.first());
            assert!(firsts.clone().all(|part| part.independent), "{full}");
        }
        self.see_hint(&parsed);
    }

    fn see_inner(&mut self, parts: &[ListedPart]) {
        for ListedPart { duration, .. } in parts {
            let (least, most) = self.inner_parts.unwrap_or((*duration, *duration));
            self.inner_parts = Some((least.min(*duration), most.max(*duration)));
        }
    }

    /// A hinted part is the next one to come.
    fn see_hint(&mut self, parsed: &Parsed) {
        let all = parsed.segments.iter().flat_map(|(.., parts)| parts).chain(&parsed.filling);
        if let Some(hinted) = self.hint.take() {
            let listed = all.clone().any(|part| part.uri == hinted);
            assert!(listed || parsed.hint.as_ref() == Some(&hinted), "{hinted} never came");
        }
        self.hint.clone_from(&parsed.hint);
    }
}

/// Plays `source` and looks at every playlist.
fn watch(config: Config, source: &Source, ms: i64) -> (Packager, Viewer) {
    let mut packager = packager(config);
    let mut viewer = Viewer::default();
    let tracks = source.tracks();
    for (frame, arrival) in source.frames(ms) {
        let before = packager.version();
        packager.write(&tracks, &frame, arrival);
        if packager.version() != before
            && matches!(ask(&packager, "main.m3u8", ""), crate::hls::Reply::Ready(_))
        {
            viewer.poll(&packager);
        }
    }
    (packager, viewer)
}

#[test]
fn parts_fill_their_target_at_every_usual_frame_rate() {
    for (num, den) in
        [(24, 1), (24_000, 1_001), (25, 1), (30_000, 1_001), (30, 1), (50, 1), (60_000, 1_001), (60, 1)]
    {
        for millis in [false, true] {
            let gop = u32::div_ceil(num, den) * 2;
            let source = Source { video: Some((num, den, gop)), millis, ..Source::AV };
            let (packager, viewer) = watch(Config::new("r1"), &source, 12_000);
            let (_, part_target) = viewer.header.unwrap();
            let (least, most) = viewer.inner_parts.unwrap();
            assert!((0.190..=0.212).contains(&part_target), "{num}/{den}: PART-TARGET {part_target}");
            assert!(least >= 0.85 * part_target && most <= part_target, "{num}/{den}: {least} to {most} s");
            assert_eq!(packager.counters().dropped_frames, 0);
            assert!(viewer.polls > 40, "{num}/{den}: {} polls", viewer.polls);
        }
    }
}

#[test]
fn audio_alone_and_video_alone_are_cut_alike() {
    for source in [Source { audio: None, ..Source::AV }, Source { video: None, ..Source::AV }] {
        let (_, viewer) = watch(Config::new("r1"), &source, 12_000);
        let (target, part_target) = viewer.header.unwrap();
        let (least, most) = viewer.inner_parts.unwrap();
        assert_eq!(target, 2.0);
        assert!(least >= 0.85 * part_target && most <= part_target, "{least} to {most} of {part_target}");
    }
}

#[test]
fn audio_and_video_of_a_part_are_of_the_same_time() {
    for audio_lag_ms in [-300, 0, 300] {
        let source = Source { audio_lag_ms, delay: 2, millis: false, ..Source::AV };
        let (packager, _) = watch(Config::new("r1"), &source, 9_000);
        let delay_s = 2.0 / 30.0;
        for run in runs(&media(&packager, "main.r1.2.m4s"), true, 48_000).chunks(2) {
            let [video, audio] = run else { panic!("{run:?}") };
            assert_eq!((video.kind, audio.kind), (TrackKind::Video, TrackKind::Audio));
            // Shown, not decoded, at the same time; audio to within one frame of 21.3 ms.
            let (start, end) = (video.start_s + delay_s, video.end_s + delay_s);
            assert!((0.0..0.0214).contains(&(audio.start_s - start)), "{audio:?} beside {video:?}");
            assert!((0.0..0.0214).contains(&(audio.end_s - end)), "{audio:?} beside {video:?}");
        }
    }
}

/// Every frame of the stream is in its segments, once and in order, without a gap between runs.
fn assert_whole(packager: &Packager, source: &Source, ms: i64) {
    let count = packager.counters().segments;
    let all: Vec<_> = (0..count)
        .flat_map(|msn| {
            runs(
                &media(packager, &format!("main.r1.{msn}.m4s")),
                source.video.is_some(),
                source.audio.unwrap_or(0),
            )
        })
        .collect();
    let frames = source.frames(ms);
    for kind in [TrackKind::Video, TrackKind::Audio] {
        let track = if kind == TrackKind::Video { crate::TrackId::VIDEO } else { crate::TrackId::AUDIO };
        let runs: Vec<_> = all.iter().filter(|run| run.kind == kind).collect();
        let samples: usize = runs.iter().map(|run| run.samples).sum();
        let written = frames.iter().filter(|(frame, _)| frame.track == track).count() as u64;
        let dropped = packager.counters().dropped_frames;
        assert!(
            samples as u64 <= written && samples as u64 + dropped >= written,
            "{kind:?}: {samples} of {written}, {dropped} dropped"
        );
        for pair in runs.windows(2) {
            assert!((pair[0].end_s - pair[1].start_s).abs() < 1e-9, "{kind:?}: {pair:?}");
        }
    }
}

fn any_source() -> impl Strategy<Value = Source> {
    let rates = prop::sample::select(vec![
        (15, 1),
        (24, 1),
        (24_000, 1_001),
        (25, 1),
        (30_000, 1_001),
        (30, 1),
        (50, 1),
        (60_000, 1_001),
        (60, 1),
    ]);
    let video = prop::option::weighted(0.8, (rates, 5u32..200).prop_map(|((num, den), gop)| (num, den, gop)));
    let audio = prop::option::weighted(0.8, prop::sample::select(vec![16_000, 44_100, 48_000]));
    (video, audio, 0u32..3, any::<bool>(), -600i64..600, prop_oneof![Just(0i64), -5_000..3_600_000i64])
        .prop_filter("a stream has a track", |(video, audio, ..)| video.is_some() || audio.is_some())
        .prop_map(|(video, audio, delay, millis, audio_lag_ms, start_ms)| Source {
            video,
            audio,
            delay,
            millis,
            audio_lag_ms,
            start_ms,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_playlist_of_any_stream_obeys_the_rules(
        source in any_source(),
        part_target_ms in prop::sample::select(vec![200u32, 333, 500, 1_000]),
        segment_target_ms in prop::sample::select(vec![1_000u32, 2_000, 4_000]),
    ) {
        let config = Config {
            part_target_ms, segment_target_ms, retained_segments: 1_000, ..Config::new("r1")
        };
        let (mut packager, mut viewer) = watch(config, &source, 12_000);
        packager.finish();
        viewer.poll(&packager);
        prop_assert!(text(&packager, "main.m3u8", "").ends_with("#EXT-X-ENDLIST\n"));
        assert_whole(&packager, &source, 12_000);
    }
}
