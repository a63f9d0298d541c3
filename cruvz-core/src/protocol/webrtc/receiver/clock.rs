//! RTP timestamps of several SSRCs onto one clock.
//!
//! Each SSRC counts on its own clock from a random origin. Sender reports say which of its ticks belongs to which moment
//! of the publisher's wall clock (RFC 3550 §6.4.1), which makes the tracks comparable: lip sync. Until a track's first
//! report, the arrival of its first packet has to do. What reports find wrong is mended without a step back: the sound
//! keeps its place and the picture moves towards it, a little with each frame.

use std::time::Duration;

use cruvz_media::{
    TrackKind,
    time::{Timescale, Timestamp, Unwrapper},
};

/// A track this far off is not late but on another clock: the wall clock of the publisher was set, or the report lies.
const MAX_ERROR_US: i64 = 5_000_000;
/// Errors below this are as likely the report's own.
const DEAD_ZONE_US: i64 = 5_000;
/// The longest step forward beyond the time that passed, and the longest step back, that are not a jump of the clock.
const MAX_AHEAD_US: i64 = 2_000_000;
const MAX_BACK_US: i64 = 1_000_000;
/// Correction per time, in thousandths: of sound it would be heard, of pictures hardly seen.
const AUDIO_SLEW: i64 = 5;
const VIDEO_SLEW: i64 = 150;

/// What the tracks have in common: the moment of the engine's clock at which the publisher's wall clock was zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Sync {
    offset_us: Option<i64>,
    /// Whether that is where the sound has it.
    by_audio: bool,
}

/// The clock of one SSRC.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    kind: TrackKind,
    rate: Timescale,
    unwrapper: Unwrapper,
    /// Output minus source time, in ticks; unknown before the first frame.
    offset: Option<i64>,
    /// What of a correction is still to be made, in ticks.
    correction: i64,
    /// The last frame: its time by the source, and when it came.
    last: Option<(i64, Duration)>,
    /// A report that came before any frame.
    early: Option<(u64, u32)>,
}

impl Clock {
    pub(super) fn new(kind: TrackKind, rate: Timescale) -> Self {
        let unwrapper = Unwrapper::new(32);
        Self { kind, rate, unwrapper, offset: None, correction: 0, last: None, early: None }
    }

    /// The time of a frame of RTP time `wire` whose last packet came at `now`, on the engine's clock.
    pub(super) fn place(&mut self, now: Duration, wire: u32, sync: &mut Sync) -> Timestamp {
        let source = self.unwrapper.unwrap(u64::from(wire));
        let offset = match self.offset {
            Some(offset) if !self.jumped(source, now) => offset.saturating_add(self.slew(source)),
            Some(offset) => {
                self.correction = 0;
                let last = self.last.map_or(source, |(last, _)| last);
                let passed = self.last.map_or(Duration::ZERO, |(_, at)| now.saturating_sub(at));
                last.saturating_add(offset).saturating_add(self.ticks(passed)).saturating_sub(source)
            }
            None => self.ticks(now).saturating_sub(source),
        };
        self.offset = Some(offset);
        self.last = Some((source, now));
        if let Some((ntp, wire)) = self.early.take() {
            self.report(ntp, wire, sync);
        }
        Timestamp::new(source.saturating_add(offset), self.rate)
    }

    /// Takes a sender report: RTP time `wire` belongs to `ntp` (32.32 bits of seconds).
    pub(super) fn report(&mut self, ntp: u64, wire: u32, sync: &mut Sync) {
        let Some(offset) = self.offset else {
            self.early = Some((ntp, wire));
            return;
        };
        // A look only: frames go on from the last frame, whatever a report claims.
        let source = self.unwrapper.clone().unwrap(u64::from(wire));
        let placed_us = Timestamp::new(source.saturating_add(offset), self.rate).as_micros();
        let wall_us = ntp_us(ntp);
        let here = placed_us.saturating_sub(wall_us);
        let is_audio = self.kind == TrackKind::Audio;
        let error_us = sync.offset_us.map_or(0, |there| there.saturating_sub(here));
        let first_of_audio = is_audio && !sync.by_audio;
        if sync.offset_us.is_none() || first_of_audio || error_us.saturating_abs() > MAX_ERROR_US {
            (sync.offset_us, sync.by_audio) = (Some(here), sync.by_audio || is_audio);
            self.correction = 0;
            return;
        }
        let ticks = Timestamp::new(error_us, Timescale::MICROS).rescale(self.rate).ticks();
        self.correction = if error_us.abs() > DEAD_ZONE_US { ticks } else { 0 };
    }

    /// Whether the source's clock stepped where time did not.
    fn jumped(&self, source: i64, now: Duration) -> bool {
        let Some((last, at)) = self.last else { return false };
        let step_us = Timestamp::new(source.saturating_sub(last), self.rate).as_micros();
        let passed_us = i64::try_from(now.saturating_sub(at).as_micros()).unwrap_or(i64::MAX);
        step_us < -MAX_BACK_US || step_us > passed_us.saturating_add(MAX_AHEAD_US)
    }

    /// The part of the correction that this frame takes, in ticks.
    fn slew(&mut self, source: i64) -> i64 {
        let step = self.last.map_or(0, |(last, _)| source.saturating_sub(last).max(0));
        let thousandths = if self.kind == TrackKind::Audio { AUDIO_SLEW } else { VIDEO_SLEW };
        let most = step.saturating_mul(thousandths) / 1_000;
        let part = self.correction.clamp(-most, most);
        self.correction -= part;
        part
    }

    fn ticks(&self, time: Duration) -> i64 {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        Timestamp::new(micros, Timescale::MICROS).rescale(self.rate).ticks()
    }
}

/// Microseconds of an NTP timestamp, since whenever its era began.
fn ntp_us(ntp: u64) -> i64 {
    let micros = (u128::from(ntp) * 1_000_000) >> 32;
    i64::try_from(micros).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ntp(ms: u64) -> u64 {
        ((u128::from(ms) << 32) / 1_000) as u64
    }

    fn video() -> Clock {
        Clock::new(TrackKind::Video, Timescale::MPEG)
    }

    fn audio() -> Clock {
        Clock::new(TrackKind::Audio, Timescale::new(48_000).unwrap())
    }

    fn rtp(origin: u32, ms: u32, khz: u32) -> u32 {
        origin.wrapping_add(ms.wrapping_mul(khz))
    }

    #[test]
    fn before_any_report_the_first_arrival_counts_and_distances_are_exact_across_the_wrap() {
        let (mut clock, mut sync) = (video(), Sync::default());
        let origin = u32::MAX - 4_000;
        for n in 0..10 {
            // Arrivals jitter; distances do not.
            let at = clock.place((500 + n * 33 + n % 3) * MS, origin.wrapping_add(n * 3_000), &mut sync);
            assert_eq!(at, Timestamp::new(45_000 + i64::from(n) * 3_000, Timescale::MPEG));
        }
    }

    /// Sound and picture of the same moments, the picture's packets `late_ms` later than the sound's: the difference in
    /// milliseconds between the two at each second.
    fn lip_sync(late_ms: u32, report_ms: u32) -> Vec<i64> {
        let (mut sound, mut picture, mut sync) = (audio(), video(), Sync::default());
        let mut apart = Vec::new();
        let mut last = [i64::MIN; 2];
        for n in 0..600 {
            let ms = n * 20;
            let heard = sound.place((ms + 50) * MS, rtp(7_000, ms, 48), &mut sync).as_millis();
            let seen = picture.place((ms + 50 + late_ms) * MS, rtp(u32::MAX - 9, ms, 90), &mut sync);
            let seen = seen.as_millis();
            assert!(heard > last[0] && seen > last[1], "time goes forward");
            last = [heard, seen];
            if ms % 1_000 == 500 && ms > report_ms {
                picture.report(ntp(90_000_000 + u64::from(ms)), rtp(u32::MAX - 9, ms, 90), &mut sync);
            }
            if ms % 1_000 == 0 && ms > report_ms {
                sound.report(ntp(90_000_000 + u64::from(ms)), rtp(7_000, ms, 48), &mut sync);
                apart.push(seen - heard);
            }
        }
        apart
    }

    #[test]
    fn reports_bring_a_late_picture_to_the_sound_without_a_step_back() {
        let apart = lip_sync(400, 1_500);
        assert_eq!(apart[0], 400);
        assert!(apart.iter().skip(4).all(|apart| apart.abs() <= 6), "{apart:?}");
    }

    #[test]
    fn a_publisher_whose_wall_clock_is_set_keeps_its_lip_sync() {
        let (mut sound, mut picture, mut sync) = (audio(), video(), Sync::default());
        for n in 0..300_u32 {
            let ms = n * 20;
            let heard = sound.place(ms * MS, rtp(0, ms, 48), &mut sync).as_millis();
            let seen = picture.place(ms * MS, rtp(0, ms, 90), &mut sync).as_millis();
            assert_eq!((heard, seen), (i64::from(ms), i64::from(ms)));
            let wall = u64::from(ms) + if ms > 3_000 { 3_600_000 } else { 0 };
            if n % 40 == 0 {
                sound.report(ntp(wall), rtp(0, ms, 48), &mut sync);
            } else if n % 40 == 20 {
                picture.report(ntp(wall), rtp(0, ms, 90), &mut sync);
            }
        }
    }

    #[test]
    fn a_jump_of_the_source_leaves_the_time_that_passed() {
        let (mut clock, mut sync) = (video(), Sync::default());
        clock.place(1_000 * MS, 0, &mut sync);
        let jumped = clock.place(1_040 * MS, 90 * 3_600_000, &mut sync);
        assert_eq!(jumped.as_millis(), 1_040);
        assert_eq!(clock.place(1_080 * MS, 90 * 40, &mut sync).as_millis(), 1_080);
        // A pause is no jump: as much time passed here as there.
        assert_eq!(clock.place(31_080 * MS, 90 * 30_040, &mut sync).as_millis(), 31_080);
        // Neither is a network that stood still and then brought everything at once.
        assert_eq!(clock.place(41_080 * MS, 90 * 30_080, &mut sync).as_millis(), 31_120);
    }

    #[test]
    fn a_report_before_the_first_frame_is_kept_for_it() {
        let (mut sound, mut picture, mut sync) = (audio(), video(), Sync::default());
        sound.report(ntp(5_000), 0, &mut sync);
        picture.report(ntp(5_000), 0, &mut sync);
        sound.place(100 * MS, 0, &mut sync);
        picture.place(180 * MS, 0, &mut sync);
        for n in 1..100 {
            sound.place((100 + n * 20) * MS, n * 960, &mut sync);
            picture.place((180 + n * 20) * MS, n * 1_800, &mut sync);
        }
        let (heard, seen) =
            (sound.place(2_100 * MS, 96_000, &mut sync), picture.place(2_180 * MS, 180_000, &mut sync));
        assert_eq!((heard.as_millis(), seen.as_millis()), (2_100, 2_100));
    }

    proptest! {
        #[test]
        fn anything_is_survived(steps: Vec<(bool, u64, u32, u64, bool)>) {
            let (mut sound, mut picture, mut sync) = (audio(), video(), Sync::default());
            let mut now = Duration::ZERO;
            for (is_sound, micros, wire, ntp, is_report) in steps {
                now = now.saturating_add(Duration::from_micros(micros));
                let clock = if is_sound { &mut sound } else { &mut picture };
                if is_report {
                    clock.report(ntp, wire, &mut sync);
                } else {
                    clock.place(now, wire, &mut sync);
                }
            }
        }
    }
}
