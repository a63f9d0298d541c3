//! Which moment a sample belongs to, and what is done where the source's clock and its samples disagree.

use std::collections::VecDeque;

use super::SAMPLE_RATE_HZ;

const TICKS_PER_MS: i64 = SAMPLE_RATE_HZ as i64 / 1_000;
/// A step that is not followed sample by sample: the next frame is early or late. Sources that stamp sound when it
/// arrives waver by less.
const STEP: i64 = 40 * TICKS_PER_MS;
/// The same where a packet is known to be missing.
const STEP_AFTER_LOSS: i64 = 5 * TICKS_PER_MS;
/// The longest pause that is filled with silence, and the longest overlap that is left out. Beyond, it is another beginning.
const BRIDGED: i64 = 1_000 * TICKS_PER_MS;
/// Drift is followed from here on: a twelfth of what anybody notices.
const DRIFT: i64 = 4 * TICKS_PER_MS;
/// At most one sample more or less in so many: a change of pitch of 3 cents.
const STRETCH: i64 = 512;
/// Frames over which drift is averaged: 0.7 s of AAC.
const AVERAGED: i64 = 32;
/// Beginnings that are remembered: an encoder holds back less than two frames, and each beginning begins one.
const BEGINNINGS: usize = 4;

/// Keeps the time of a run of samples, all at [`SAMPLE_RATE_HZ`] and numbered from 0, of which the source has its own idea.
///
/// Samples that come one after the other get times one after the other, whatever rounding and wavering the source's
/// timestamps have. Where both drift apart by more than 4 ms the samples are stretched or squeezed by at most 0.2 % until
/// they agree. A pause of up to a second is filled with silence, an overlap is left out; behind a longer one, time
/// begins anew.
#[derive(Debug, Default)]
pub(super) struct SampleClock {
    beginnings: VecDeque<Beginning>,
    /// How much later than the samples the source is, in ticks, times [`AVERAGED`].
    drift: i64,
}

#[derive(Clone, Copy, Debug)]
struct Beginning {
    sample: i64,
    at: i64,
}

/// What is done with the next samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// They follow, as so many more (or fewer) than they are.
    Follow { more: i64 },
    /// So much silence comes first.
    Pad(usize),
    /// So many of them are left out.
    Skip(usize),
    /// They begin a new run: see [`SampleClock::restart`].
    Restart,
}

impl SampleClock {
    /// What is done with `samples` samples whose first would be number `next`, and which the source says belong to `at`.
    pub(super) fn step(&mut self, next: i64, at: i64, samples: usize, lost: bool) -> Step {
        if self.beginnings.is_empty() {
            return Step::Restart;
        }
        let late = at.saturating_sub(self.time_of(next));
        let steady = self.drift / AVERAGED;
        let tolerance = if lost { STEP_AFTER_LOSS } else { STEP };
        if late.saturating_sub(steady).saturating_abs() <= tolerance {
            self.drift += late - steady;
            // As many as it is late by the measure of the drift that is allowed, so that it neither starts nor stops at once.
            let most = i64::try_from(samples).unwrap_or(0) / STRETCH;
            return Step::Follow { more: (self.drift / AVERAGED / DRIFT).clamp(-most, most) };
        }
        self.drift = 0;
        match late {
            0..=BRIDGED => Step::Pad(late as usize),
            _ if (-BRIDGED..0).contains(&late) => {
                // What is left of the overlap is for the next samples.
                Step::Skip(samples.min(late.unsigned_abs() as usize))
            }
            _ => Step::Restart,
        }
    }

    /// Time begins anew: the sample `next` belongs to `at`.
    pub(super) fn restart(&mut self, next: i64, at: i64) {
        self.drift = 0;
        self.beginnings.push_back(Beginning { sample: next, at });
        if self.beginnings.len() > BEGINNINGS {
            self.beginnings.pop_front();
        }
    }

    /// The moment that `sample` belongs to.
    pub(super) fn time_of(&self, sample: i64) -> i64 {
        let before = self.beginnings.iter().rev().find(|beginning| beginning.sample <= sample);
        // An encoder's own beginning lies before the first sample.
        let beginning = before.or_else(|| self.beginnings.front());
        beginning.map_or(sample, |beginning| beginning.at.saturating_add(sample - beginning.sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = TICKS_PER_MS;

    fn begun_at(at: i64) -> SampleClock {
        let mut clock = SampleClock::default();
        assert_eq!(clock.step(0, at, 1024, false), Step::Restart);
        clock.restart(0, at);
        clock
    }

    #[test]
    fn rounded_and_wavering_timestamps_leave_the_samples_alone() {
        let mut clock = begun_at(100 * MS);
        for n in 1..2_000 {
            let at = 100 * MS + n * 1024;
            let wavering = [-15, 3, 12, 0][n as usize % 4] * MS;
            let rounded = (at + wavering + MS / 2) / MS * MS;
            assert_eq!(clock.step(n * 1024, rounded, 1024, false), Step::Follow { more: 0 }, "{n}");
        }
        assert_eq!(clock.time_of(-312), 100 * MS - 312);
    }

    #[test]
    fn drift_is_followed_and_stays_small() {
        let mut clock = begun_at(0);
        let (mut next, mut at) = (1024, 0);
        for _ in 0..20_000 {
            // The source's clock is 0.05 % slower than its samples.
            at += 1024;
            let source = at + at / 2_000;
            let Step::Follow { more } = clock.step(next, source, 1024, false) else {
                panic!("a jump at {at}")
            };
            assert!(more.abs() <= 2);
            let late = source - clock.time_of(next);
            assert!(late.abs() < 6 * MS, "{late} ticks late at {at}");
            next += 1024 + more;
        }
    }

    #[test]
    fn a_pause_is_filled_an_overlap_left_out_and_a_jump_begins_anew() {
        let mut clock = begun_at(0);
        assert_eq!(clock.step(1024, 1024 + 500 * MS, 1024, false), Step::Pad(500 * MS as usize));
        let mut clock = begun_at(0);
        assert_eq!(clock.step(4096, 4096 - 2048, 1024, false), Step::Skip(1024));
        assert_eq!(clock.step(4096, 4096 - 2048, 4096, false), Step::Skip(2048));
        for far in [2_000 * MS, -2_000 * MS, i64::MAX, i64::MIN] {
            let mut clock = begun_at(0);
            assert_eq!(clock.step(4096, far, 1024, false), Step::Restart);
            clock.restart(4800, far);
            assert_eq!(clock.time_of(4800), far);
            assert_eq!(clock.time_of(4799), 4799);
        }
    }

    #[test]
    fn one_lost_packet_is_as_long_as_it_was() {
        let mut clock = begun_at(0);
        assert_eq!(clock.step(1024, 2048, 1024, true), Step::Pad(1024));
    }

    #[test]
    fn only_the_last_beginnings_are_kept() {
        let mut clock = begun_at(0);
        for n in 1..1_000 {
            clock.restart(n * 960, n * 1_000_000);
        }
        assert_eq!(clock.beginnings.len(), BEGINNINGS);
    }
}
