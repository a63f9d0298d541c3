//! Exact audio times from rounded ones.

use super::{Timescale, Timestamp};

/// How far a smoothed error may go uncorrected: the rounding of both the anchor and the frame to milliseconds.
const DEAD_ZONE_MS: i64 = 2;
/// The least distance that counts as a gap, for codecs with very short frames.
const MIN_TOLERANCE_MS: i64 = 20;
/// Weight of one frame in the smoothed error, as a divisor: about 0.3 s of AAC.
const SMOOTHING: i64 = 16;

/// Rebuilds exact audio timestamps from ones that a protocol rounded to milliseconds, by counting samples.
///
/// RTMP gives 21, 43, 64 ms for frames of 1,024 samples at 48 kHz; the clock gives 1,024, 2,048, 3,072 ticks.
/// How the count is kept to the source's own clock, per frame:
///
/// - the first frame anchors the count at its measured time;
/// - while the measured time is within the tolerance (one and a half frames, at least 20 ms) of the count, the
///   count is the time, so that jitter disappears;
/// - when the smoothed difference exceeds 2 ms, the count gives way by one part in a thousand per frame, so that a
///   sample clock that drifts (quartz: up to 200 ppm) is followed without a step;
/// - a difference beyond the tolerance, or beyond half a frame for long (a lost frame), is a gap: the count is
///   anchored anew at the measured time, forwards or backwards. Steps back are [`super::Timeline`]'s to correct.
#[derive(Clone, Debug)]
pub struct AudioClock {
    rate: Timescale,
    /// Where the next frame begins by count, in samples.
    next: Option<i64>,
    /// Measured minus counted, smoothed, in 1/[`SMOOTHING`] samples.
    error: i64,
}

impl AudioClock {
    /// A clock that counts samples of `rate`, the sample rate; its timestamps have this timescale.
    pub const fn new(rate: Timescale) -> Self {
        Self { rate, next: None, error: 0 }
    }

    /// The time of a frame of `samples` samples (at the sample rate) that the source says begins at `measured`.
    pub fn place(&mut self, measured: Timestamp, samples: u32) -> Timestamp {
        let measured = measured.rescale(self.rate).ticks();
        let samples = i64::from(samples);
        let at = match self.next {
            Some(next) => self.follow(next, measured, samples),
            None => measured,
        };
        self.next = Some(at.saturating_add(samples));
        Timestamp::new(at, self.rate)
    }

    /// The time of a frame counted at `next` and measured at `measured`.
    fn follow(&mut self, next: i64, measured: i64, samples: i64) -> i64 {
        let error = measured.saturating_sub(next);
        let tolerance = (samples * 3 / 2).max(self.samples_in(MIN_TOLERANCE_MS));
        if !(-tolerance..=tolerance).contains(&error) {
            self.error = 0;
            return measured;
        }
        self.error += error - self.error / SMOOTHING;
        let smoothed = self.error / SMOOTHING;
        if smoothed.abs() > (samples / 2).max(self.samples_in(MIN_TOLERANCE_MS / 2)) {
            self.error = 0;
            return measured;
        }
        if smoothed.abs() <= self.samples_in(DEAD_ZONE_MS) {
            return next;
        }
        let step = (samples / 1_000).max(1) * smoothed.signum();
        self.error -= step * SMOOTHING;
        next.saturating_add(step)
    }

    fn samples_in(&self, millis: i64) -> i64 {
        i64::from(self.rate.hz()) * millis / 1_000
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FRAME: i64 = 1_024;

    fn rate(hz: u32) -> Timescale {
        Timescale::new(hz).unwrap()
    }

    /// Frame `n` of 1,024 samples, rounded down to milliseconds as encoders do.
    fn millis(n: i64, hz: u32) -> Timestamp {
        Timestamp::from_millis(n * FRAME * 1_000 / i64::from(hz))
    }

    #[test]
    fn rounded_times_become_exact() {
        for hz in [44_100, 48_000, 22_050] {
            let mut clock = AudioClock::new(rate(hz));
            for n in 0..10_000 {
                assert_eq!(clock.place(millis(n, hz), 1_024), Timestamp::new(n * FRAME, rate(hz)));
            }
        }
    }

    #[test]
    fn a_gap_is_kept() {
        let mut clock = AudioClock::new(rate(48_000));
        for n in 0..10 {
            clock.place(millis(n, 48_000), 1_024);
        }
        let after = clock.place(Timestamp::from_millis(5_000), 1_024);
        assert_eq!(after, Timestamp::from_millis(5_000));
        assert_eq!(clock.place(Timestamp::from_millis(5_021), 1_024).ticks(), 240_000 + FRAME);
    }

    #[test]
    fn a_lost_frame_is_made_up_for_within_a_second() {
        let mut clock = AudioClock::new(rate(48_000));
        let mut error = 0;
        for n in (0..100).filter(|&n| n != 50) {
            error = clock.place(millis(n, 48_000), 1_024).ticks() - n * FRAME;
        }
        assert!(error.abs() <= 96, "{error} samples off");
    }

    #[test]
    fn frames_of_2_5_ms_are_counted_too() {
        let mut clock = AudioClock::new(rate(48_000));
        for n in 0..1_000 {
            assert_eq!(clock.place(Timestamp::from_millis(n * 5 / 2), 120).ticks(), n * 120);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Ten minutes of a source whose samples come up to 200 ppm too fast or too slow for its own clock.
        #[test]
        fn drift_is_followed_without_a_step(ppm in -200i64..=200, start in 0i64..1 << 40) {
            let mut clock = AudioClock::new(rate(48_000));
            let mut last = None;
            for n in 0..28_000_i64 {
                let truth_us = start * 1_000 + n * FRAME * (1_000_000 + ppm) / 48_000;
                let at = clock.place(Timestamp::from_millis(truth_us / 1_000), 1_024);
                let error_us = at.as_micros() - truth_us;
                prop_assert!(error_us.abs() <= 5_000, "{error_us} us off at frame {n}");
                let step = last.map_or(FRAME, |last| at.ticks() - last);
                prop_assert!((step - FRAME).abs() <= 1, "a step of {step} samples");
                last = Some(at.ticks());
            }
        }

        #[test]
        fn jitter_within_half_a_frame_disappears(jitter in prop::collection::vec(-9i64..=9, 500)) {
            let mut clock = AudioClock::new(rate(48_000));
            clock.place(Timestamp::from_millis(0), 1_024);
            let mut last = 0;
            for (n, jitter) in (1..).zip(jitter) {
                let measured = Timestamp::from_millis(n * 64 / 3 + jitter);
                let at = clock.place(measured, 1_024).ticks();
                prop_assert!((at - last - FRAME).abs() <= 1, "a step of {}", at - last);
                last = at;
            }
        }

        #[test]
        fn any_input_is_survived(hz in 1u32.., frames: Vec<(i64, u32, u32)>) {
            let mut clock = AudioClock::new(rate(hz));
            for (ticks, scale, samples) in frames {
                let scale = Timescale::new(scale).unwrap_or(Timescale::MILLIS);
                clock.place(Timestamp::new(ticks, scale), samples);
            }
        }
    }
}
