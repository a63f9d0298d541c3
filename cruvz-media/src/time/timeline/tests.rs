use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::time::{AudioClock, Unwrapper};

const HOUR_MS: i64 = 3_600_000;
const VIDEO_STEP_MS: i64 = 40;
const AUDIO_STEP_MS: f64 = 64.0 / 3.0;

/// One frame as it happened: its true time, and what the source's clock said.
#[derive(Clone, Copy, Debug)]
struct Shot {
    kind: TrackKind,
    true_ms: f64,
    source_ms: i64,
    /// When it arrived.
    arrival_ms: i64,
    composition_ms: i64,
}

/// A frame on the timeline, beside its true time.
#[derive(Clone, Copy, Debug)]
struct Landed {
    kind: TrackKind,
    true_ms: f64,
    dts: Timestamp,
    pts: Timestamp,
    adjustment: Option<Adjustment>,
}

impl Landed {
    /// How far the output is ahead of the truth.
    fn error_ms(&self) -> f64 {
        self.dts.as_secs_f64() * 1_000.0 - self.true_ms
    }
}

fn id(kind: TrackKind) -> TrackId {
    match kind {
        TrackKind::Video => TrackId::VIDEO,
        TrackKind::Audio => TrackId::AUDIO,
        TrackKind::Data => TrackId::DATA,
    }
}

fn frame(kind: TrackKind, dts: Timestamp, pts: Timestamp) -> Frame {
    Frame { track: id(kind), pts, dts, keyframe: true, payload: Bytes::new() }
}

fn ms(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}

/// `seconds` of 25 fps video with B-frames and AAC audio, interleaved, from a source whose clock is `clock`.
fn shots(seconds: i64, clock: impl Fn(TrackKind, f64) -> f64) -> Vec<Shot> {
    let video = (0..seconds * 25)
        .map(|n| (TrackKind::Video, (n * VIDEO_STEP_MS) as f64, [80, 160, 40, 0][n as usize % 4]));
    let audio = (0..seconds * 47).map(|n| (TrackKind::Audio, n as f64 * AUDIO_STEP_MS, 0));
    let mut shots: Vec<Shot> = video
        .chain(audio)
        .map(|(kind, true_ms, composition_ms)| Shot {
            kind,
            true_ms,
            source_ms: clock(kind, true_ms).floor() as i64,
            arrival_ms: true_ms as i64,
            composition_ms,
        })
        .collect();
    shots.sort_by(|a, b| a.true_ms.total_cmp(&b.true_ms));
    shots
}

/// Sends `shots` over a 32-bit millisecond wire and through all the rules.
fn receive(timeline: &mut Timeline, shots: &[Shot]) -> Vec<Landed> {
    let mut wire = Unwrapper::RTMP;
    let mut audio = AudioClock::new(Timescale::new(48_000).unwrap());
    let mut land = |shot: &Shot| {
        let mut dts = Timestamp::from_millis(wire.unwrap(shot.source_ms as u64));
        if shot.kind == TrackKind::Audio {
            dts = audio.place(dts, 1_024);
        }
        let mut frame = frame(shot.kind, dts, dts.saturating_add_ticks(shot.composition_ms));
        let adjustment = timeline.place(&mut frame, shot.kind, ms(shot.arrival_ms));
        Landed { kind: shot.kind, true_ms: shot.true_ms, dts: frame.dts, pts: frame.pts, adjustment }
    };
    shots.iter().map(&mut land).collect()
}

fn of(landed: &[Landed], kind: TrackKind) -> impl Iterator<Item = &Landed> {
    landed.iter().filter(move |landed| landed.kind == kind)
}

fn assert_in_order(landed: &[Landed]) {
    for kind in [TrackKind::Video, TrackKind::Audio, TrackKind::Data] {
        let times: Vec<Timestamp> = of(landed, kind).map(|landed| landed.dts).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{kind:?} goes back");
        assert!(times.iter().all(|time| time.ticks() >= 0), "{kind:?} goes below zero");
    }
}

/// The offset of video to audio differs from the source's by at most one video frame, from `from_ms` on.
fn assert_in_sync(landed: &[Landed], from_ms: f64) {
    let errors =
        |kind| of(landed, kind).filter(|l| l.true_ms >= from_ms).map(Landed::error_ms).collect::<Vec<_>>();
    let (video, audio) = (errors(TrackKind::Video), errors(TrackKind::Audio));
    assert!(!video.is_empty() && !audio.is_empty());
    let apart = video.iter().flat_map(|v| audio.iter().map(move |a| (v - a).abs())).fold(0.0, f64::max);
    assert!(apart <= VIDEO_STEP_MS as f64, "{apart} ms out of sync");
}

#[test]
fn a_clean_source_is_moved_to_zero_and_nothing_else() {
    let mut timeline = Timeline::default();
    let landed = receive(&mut timeline, &shots(20, |_, t| t + 123_456.0));
    for (n, video) in of(&landed, TrackKind::Video).enumerate() {
        assert_eq!(video.dts.ticks(), n as i64 * VIDEO_STEP_MS);
        assert_eq!(video.pts.ticks() - video.dts.ticks(), [80, 160, 40, 0][n % 4]);
    }
    for (n, audio) in of(&landed, TrackKind::Audio).enumerate() {
        assert_eq!(audio.dts.ticks(), n as i64 * 1_024);
    }
    assert_eq!(timeline.adjustments(), Adjustments::default());
}

#[test]
fn wraps_are_invisible() {
    for wrap in [0x00ff_ffff_i64, 0xffff_ffff] {
        let mut timeline = Timeline::default();
        let landed = receive(&mut timeline, &shots(20, |_, t| t + (wrap - 10_000) as f64));
        assert_in_order(&landed);
        assert_in_sync(&landed, 0.0);
        assert_eq!(timeline.adjustments(), Adjustments::default());
    }
}

/// An encoder that forgets the extended timestamp.
#[test]
fn a_clock_that_wraps_at_24_bits_is_a_jump() {
    let mut timeline = Timeline::default();
    let landed = receive(&mut timeline, &shots(20, |_, t| (t + 16_767_000.0) % 16_777_216.0));
    assert_in_order(&landed);
    assert_in_sync(&landed, 0.0);
    assert_eq!(timeline.adjustments().jumps, 1);
}

#[test]
fn a_jump_is_reported_once_with_its_length() {
    let mut timeline = Timeline::default();
    let landed = receive(&mut timeline, &shots(20, |_, t| if t < 10_010.0 { t } else { t + HOUR_MS as f64 }));
    let adjustments: Vec<Adjustment> = landed.iter().filter_map(|landed| landed.adjustment).collect();
    let [Adjustment::Jump { micros }] = adjustments[..] else { panic!("{adjustments:?}") };
    assert!((micros - HOUR_MS * 1_000).abs() < 1_100, "{micros}");
}

#[test]
fn a_pause_of_the_source_is_kept() {
    let mut timeline = Timeline::default();
    let mut shots = shots(60, |_, t| t);
    shots.retain(|shot| !(10_000.0..40_000.0).contains(&shot.true_ms));
    let landed = receive(&mut timeline, &shots);
    assert_in_sync(&landed, 0.0);
    assert!(landed.iter().all(|landed| landed.error_ms().abs() < 1.0));
    assert_eq!(timeline.adjustments(), Adjustments { gaps: 2, ..Adjustments::default() });
}

/// A congested encoder drops video only; all that was sent arrives late and at once.
#[test]
fn lost_video_is_a_gap_when_audio_went_on() {
    let mut timeline = Timeline::default();
    let mut shots = shots(60, |_, t| t);
    shots.retain(|shot| shot.kind == TrackKind::Audio || !(10_000.0..40_000.0).contains(&shot.true_ms));
    for shot in shots.iter_mut().filter(|shot| shot.true_ms > 9_000.0) {
        shot.arrival_ms = shot.arrival_ms.max(40_000);
    }
    let landed = receive(&mut timeline, &shots);
    assert!(landed.iter().all(|landed| landed.error_ms().abs() < 1.0));
    assert_eq!(timeline.adjustments(), Adjustments { gaps: 1, ..Adjustments::default() });
}

#[test]
fn a_burst_is_no_jump() {
    let mut timeline = Timeline::default();
    let mut shots = shots(60, |_, t| t);
    shots.iter_mut().for_each(|shot| shot.arrival_ms = 7);
    assert!(receive(&mut timeline, &shots).iter().all(|landed| landed.error_ms().abs() < 1.0));
    assert_eq!(timeline.adjustments(), Adjustments::default());
}

#[test]
fn a_short_step_back_is_waited_out() {
    let mut timeline = Timeline::default();
    let landed = receive(&mut timeline, &shots(20, |_, t| if t < 10_000.0 { t } else { t - 300.0 }));
    assert_in_order(&landed);
    let late = landed.last().unwrap().error_ms();
    assert!((late + 300.0).abs() < 1.0, "{late}");
    assert_eq!(timeline.adjustments().jumps, 0);
    assert!(timeline.adjustments().backward > 10);
}

#[test]
fn data_never_steers_the_clock() {
    let mut timeline = Timeline::default();
    let place = |timeline: &mut Timeline, kind, at: i64, arrival: i64| {
        let at = Timestamp::from_millis(at);
        let mut frame = frame(kind, at, at);
        let adjustment = timeline.place(&mut frame, kind, ms(arrival));
        (frame.dts.as_millis(), adjustment)
    };
    assert_eq!(place(&mut timeline, TrackKind::Data, 0, 0), (0, None));
    assert_eq!(place(&mut timeline, TrackKind::Video, HOUR_MS, 10), (0, None));
    assert_eq!(place(&mut timeline, TrackKind::Video, HOUR_MS + 40, 50), (40, None));
    assert_eq!(place(&mut timeline, TrackKind::Data, HOUR_MS + 60, 60), (60, None));
    assert_eq!(place(&mut timeline, TrackKind::Video, HOUR_MS + 4_000, 4_010).0, 4_000);
    assert_eq!(place(&mut timeline, TrackKind::Data, 0, 4_020), (4_000, None));
    assert_eq!(place(&mut timeline, TrackKind::Video, HOUR_MS + 4_040, 4_050), (4_040, None));
    timeline.discontinuity();
    assert_eq!(place(&mut timeline, TrackKind::Data, 0, 6_050), (6_040, None));
    assert_eq!(place(&mut timeline, TrackKind::Video, 77, 6_060), (6_050, None));
}

#[test]
fn compositions_are_bounded_and_may_be_negative() {
    let mut timeline = Timeline::default();
    let mut place = |dts: i64, pts: i64| {
        let mut frame = frame(TrackKind::Video, Timestamp::from_millis(dts), Timestamp::from_millis(pts));
        let adjustment = timeline.place(&mut frame, TrackKind::Video, ms(dts));
        (frame.pts.as_millis() - frame.dts.as_millis(), adjustment)
    };
    assert_eq!(place(0, HOUR_MS), (10_000, Some(Adjustment::Composition)));
    assert_eq!(place(40, 0), (-40, None));
    assert_eq!(place(80, 160), (80, None));
}

#[test]
fn more_tracks_than_are_remembered_still_never_go_back() {
    let mut timeline = Timeline::default();
    let mut last = std::collections::HashMap::new();
    for n in 0..1_000_i64 {
        let track = TrackId(u32::try_from(n * 7 % 100).unwrap());
        let at = Timestamp::from_millis(n * 10 - n % 3 * 200);
        let mut frame = Frame { track, ..frame(TrackKind::Audio, at, at) };
        timeline.place(&mut frame, TrackKind::Audio, ms(n * 10));
        let before = last.insert(track, frame.dts);
        assert!(before < Some(frame.dts), "track {track} goes back at {n}");
        assert!(timeline.tracks.len() <= MAX_TRACKS);
    }
}

#[test]
fn a_track_may_change_its_timescale() {
    let mut timeline = Timeline::default();
    let mut place = |ticks, hz| {
        let at = Timestamp::new(ticks, Timescale::new(hz).unwrap());
        let mut frame = frame(TrackKind::Audio, at, at);
        let adjustment = timeline.place(&mut frame, TrackKind::Audio, Duration::ZERO);
        (frame.dts, adjustment)
    };
    place(0, 48_000);
    place(1_024, 48_000);
    let (dts, adjustment) = place(1_882, 44_100);
    assert_eq!((dts.ticks(), dts.timescale().hz(), adjustment), (1_882, 44_100, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Both tracks jump, up to 200 ms apart, by up to an hour or near the thresholds.
    #[test]
    fn a_jump_is_absorbed_in_sync(
        jump_ms in prop_oneof![
            Just(HOUR_MS), Just(-HOUR_MS), -HOUR_MS..HOUR_MS, 2_800i64..3_200, -700i64..-300, -3_200i64..-2_800
        ],
        at in 4_000.0..6_000.0,
        apart in -200.0..200.0,
        base in prop_oneof![Just(HOUR_MS), Just(0xffff_ffff - 5_000), 0i64..0xffff_ffff],
    ) {
        let clock = |kind, t| {
            let jumps_at = if kind == TrackKind::Video { at } else { at + apart };
            t + base as f64 + if t >= jumps_at { jump_ms as f64 } else { 0.0 }
        };
        let mut timeline = Timeline::default();
        let landed = receive(&mut timeline, &shots(12, clock));
        assert_in_order(&landed);
        assert_in_sync(&landed, at + 1_000.0);
        // A jump leaves no hole and no freeze, beyond the distance by which the tracks disagree about it.
        if jump_ms.abs() > 3_200 {
            let late = landed.last().unwrap().error_ms();
            prop_assert!(late.abs() <= 45.0, "{late} ms late");
            prop_assert_eq!(timeline.adjustments().jumps, 1);
        }
    }

    /// Any number of jumps, each track at its own moment.
    #[test]
    fn many_jumps_are_absorbed_in_sync(jumps in prop::collection::vec((-HOUR_MS..HOUR_MS, 0.0..150.0), 1..8)) {
        let clock = |kind, t: f64| {
            let t0 = |n: usize, late| (n as f64 + 1.0) * 2_000.0 + if kind == TrackKind::Video { 0.0 } else { late };
            let passed = jumps.iter().enumerate().filter(|&(n, &(_, late))| t >= t0(n, late));
            t + (10 * HOUR_MS) as f64 + passed.map(|(_, &(jump, _))| jump as f64).sum::<f64>()
        };
        let landed = receive(&mut Timeline::default(), &shots(20, clock));
        assert_in_order(&landed);
        assert_in_sync(&landed, jumps.len() as f64 * 2_000.0 + 1_000.0);
    }

    #[test]
    fn the_next_source_continues_at_the_wall_clocks_pace(
        away_ms in 100i64..20_000,
        base in prop_oneof![Just(0), 0..HOUR_MS],
        audio_ahead in -300.0..300.0,
    ) {
        let mut timeline = Timeline::default();
        let mut landed = receive(&mut timeline, &shots(5, |_, t| t + 77_000.0));
        timeline.discontinuity();
        let clock = |kind, t| t + 1_000.0 + base as f64 + if kind == TrackKind::Audio { audio_ahead } else { 0.0 };
        let mut second = shots(5, clock);
        for shot in &mut second {
            shot.arrival_ms += 5_000 + away_ms;
            shot.true_ms += (5_000 + away_ms) as f64;
        }
        let back = receive(&mut timeline, &second);
        landed.extend(&back);
        assert_in_order(&landed);
        let error = |kind| of(&back, kind).last().unwrap().error_ms();
        let (video, audio) = (error(TrackKind::Video), error(TrackKind::Audio));
        prop_assert!(video.abs() <= 45.0 || audio.abs() <= 45.0, "{video} and {audio} ms late");
        prop_assert!((audio - video - audio_ahead).abs() <= 40.0, "{} ms out of sync", audio - video - audio_ahead);
        prop_assert_eq!(timeline.adjustments().jumps, 0);
    }

    #[test]
    fn jitter_stays_in_sync(jitter in prop::collection::vec(-60.0..60.0, 400), base in 0..HOUR_MS) {
        let clock = |_, t: f64| t + base as f64 + jitter[(t as usize / 7) % jitter.len()];
        let landed = receive(&mut Timeline::default(), &shots(10, clock));
        assert_in_order(&landed);
        let worst = landed.iter().map(|landed| landed.error_ms().abs()).fold(0.0, f64::max);
        prop_assert!(worst <= 250.0, "{worst} ms off");
    }

    /// Whatever comes in: no panic, no step back, bounded memory.
    #[test]
    fn any_input_stays_in_order(
        frames: Vec<(u8, i64, i64, u32, u16, u8)>,
        small: bool,
    ) {
        let mut timeline = Timeline::default();
        let mut landed = Vec::new();
        let mut arrival = Duration::ZERO;
        for (kind, dts, cts, hz, gap_ms, cut) in frames {
            let kind = [TrackKind::Video, TrackKind::Audio, TrackKind::Data][usize::from(kind % 3)];
            let scale = if small { Timescale::MILLIS } else { Timescale::new(hz.max(1)).unwrap() };
            let dts = Timestamp::new(if small { dts % 10_000 } else { dts }, scale);
            let pts = Timestamp::new(dts.ticks().saturating_add(cts), scale);
            arrival += Duration::from_millis(gap_ms.into());
            if cut < 8 {
                timeline.discontinuity();
            }
            let mut frame = frame(kind, dts, pts);
            let adjustment = timeline.place(&mut frame, kind, arrival);
            landed.push(Landed { kind, true_ms: 0.0, dts: frame.dts, pts: frame.pts, adjustment });
        }
        assert_in_order(&landed);
        prop_assert!(landed.iter().all(|landed| landed.pts.ticks() >= 0));
        prop_assert!(timeline.tracks.len() <= 3);
    }
}
