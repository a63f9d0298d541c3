//! The timeline, against clocks as wild as 64 bits allow: decoding times rise strictly within each track and none
//! is negative; audio counted by samples never panics either.
#![no_main]

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use arbitrary::Arbitrary;
use bytes::Bytes;
use cruvz_media::{
    Frame, Timescale, Timestamp, TrackId, TrackKind,
    time::{AudioClock, Timeline, TimelineConfig, Unwrapper},
};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Step {
    track: u8,
    dts: i64,
    composition: i32,
    after_ms: u16,
    new_source: bool,
}

#[derive(Debug, Arbitrary)]
struct Input {
    scales: [NonZeroU32; 4],
    steps: Vec<Step>,
}

fuzz_target!(|input: Input| {
    let kinds = [TrackKind::Video, TrackKind::Audio, TrackKind::Data, TrackKind::Video];
    let scales = input.scales.map(|hz| Timescale::new(hz.get()).expect("not zero"));
    let mut timeline = Timeline::new(TimelineConfig::default());
    let mut audio = AudioClock::new(scales[1]);
    let mut unwrapper = Unwrapper::RTMP;
    let mut arrival = Duration::ZERO;
    let mut last: HashMap<u8, i64> = HashMap::new();
    for step in input.steps.iter().take(500) {
        let track = step.track % 4;
        let index = usize::from(track);
        arrival += Duration::from_millis(step.after_ms.into());
        if step.new_source {
            timeline.discontinuity();
        }
        let dts = Timestamp::new(step.dts, scales[index]);
        let mut frame = Frame {
            track: TrackId(u32::from(track)),
            pts: dts.saturating_add_ticks(step.composition.into()),
            dts,
            keyframe: true,
            payload: Bytes::new(),
        };
        let _ = timeline.place(&mut frame, kinds[index], arrival);
        assert!(frame.dts.ticks() >= 0 && frame.pts.ticks() >= 0);
        if let Some(before) = last.insert(track, frame.dts.ticks()) {
            // At the very end of 64 bits there is no later time.
            assert!(frame.dts.ticks() > before || before == i64::MAX, "{before} then {}", frame.dts.ticks());
        }
        let _ = audio.place(dts, u32::from(step.after_ms));
        let _ = unwrapper.unwrap(step.dts as u64);
    }
});
