//! Time on a track: integer ticks of a stated scale, with arithmetic that cannot overflow silently, and the rules
//! that bring a peer's clock onto a stream's timeline.
//!
//! A wire timestamp passes, in this order: [`Unwrapper`] (n bits to 64), [`ExactAudio`] (audio of protocols that
//! round to milliseconds), [`Timeline`] (jumps, steps back, a new source). Nothing here reads a clock: arrival
//! times come in as arguments.

mod audio_clock;
mod exact_audio;
mod timeline;
mod unwrap;

pub use audio_clock::AudioClock;
pub use exact_audio::ExactAudio;
pub use timeline::{Adjustment, Adjustments, Timeline, TimelineConfig};
pub use unwrap::Unwrapper;

use std::{cmp::Ordering, fmt, num::NonZeroU32, time::Duration};

/// Ticks per second of a [`Timestamp`]. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timescale(NonZeroU32);

impl Timescale {
    /// One tick per millisecond: RTMP and FLV.
    pub const MILLIS: Self = Self::of(1_000);
    /// One tick per microsecond.
    pub const MICROS: Self = Self::of(1_000_000);
    /// 90 kHz: MPEG-TS, RTP video, and our CMAF video tracks.
    pub const MPEG: Self = Self::of(90_000);

    /// A scale of `hz` ticks per second, or `None` for zero.
    pub const fn new(hz: u32) -> Option<Self> {
        match NonZeroU32::new(hz) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    const fn of(hz: u32) -> Self {
        match NonZeroU32::new(hz) {
            Some(hz) => Self(hz),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// Ticks per second.
    pub const fn hz(self) -> u32 {
        self.0.get()
    }
}

/// A point in time: `ticks` of a [`Timescale`].
///
/// Two timestamps are equal when they name the same instant, whatever their scales.
#[derive(Clone, Copy)]
pub struct Timestamp {
    ticks: i64,
    timescale: Timescale,
}

impl Timestamp {
    /// The origin of the millisecond scale.
    pub const ZERO: Self = Self::from_millis(0);

    /// `ticks` of `timescale`.
    pub const fn new(ticks: i64, timescale: Timescale) -> Self {
        Self { ticks, timescale }
    }

    /// `millis` on the millisecond scale.
    pub const fn from_millis(millis: i64) -> Self {
        Self::new(millis, Timescale::MILLIS)
    }

    /// Ticks since the origin, in its own scale.
    pub const fn ticks(self) -> i64 {
        self.ticks
    }

    /// The scale its ticks are counted in.
    pub const fn timescale(self) -> Timescale {
        self.timescale
    }

    /// The same instant on another scale, rounded to the nearest tick (halves away from zero), or `None` when it
    /// does not fit 64 bits.
    pub fn checked_rescale(self, timescale: Timescale) -> Option<Self> {
        if timescale == self.timescale {
            return Some(self);
        }
        let (from, to) = (i64::from(self.timescale.hz()), i64::from(timescale.hz()));
        let half = if self.ticks < 0 { -(from / 2) } else { from / 2 };
        // Nearly always enough, and several times as fast as 128 bits.
        let narrow = self.ticks.checked_mul(to).and_then(|scaled| scaled.checked_add(half));
        if let Some(scaled) = narrow {
            return Some(Self::new(scaled / from, timescale));
        }
        let scaled = i128::from(self.ticks) * i128::from(to) + i128::from(half);
        i64::try_from(scaled / i128::from(from)).ok().map(|ticks| Self::new(ticks, timescale))
    }

    /// [`Self::checked_rescale`], at the end of the range where the instant does not fit.
    pub fn rescale(self, timescale: Timescale) -> Self {
        self.checked_rescale(timescale)
            .unwrap_or_else(|| Self::new(if self.ticks < 0 { i64::MIN } else { i64::MAX }, timescale))
    }

    /// This instant moved by `ticks` of its own scale, or `None` on overflow.
    pub fn checked_add_ticks(self, ticks: i64) -> Option<Self> {
        self.ticks.checked_add(ticks).map(|ticks| Self::new(ticks, self.timescale))
    }

    /// This instant moved by `ticks` of its own scale, at the end of the range on overflow.
    pub const fn saturating_add_ticks(self, ticks: i64) -> Self {
        Self::new(self.ticks.saturating_add(ticks), self.timescale)
    }

    /// Microseconds from `earlier` to this instant; negative when `earlier` is later. Saturates.
    pub fn micros_since(self, earlier: Self) -> i64 {
        self.as_micros().saturating_sub(earlier.as_micros())
    }

    /// The time from `earlier` to this instant, zero when `earlier` is later.
    pub fn duration_since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.micros_since(earlier)).unwrap_or(0))
    }

    /// Milliseconds since the origin, rounded to nearest.
    pub fn as_millis(self) -> i64 {
        self.rescale(Timescale::MILLIS).ticks
    }

    /// Microseconds since the origin, rounded to nearest.
    pub fn as_micros(self) -> i64 {
        self.rescale(Timescale::MICROS).ticks
    }

    /// Seconds since the origin.
    pub fn as_secs_f64(self) -> f64 {
        self.ticks as f64 / f64::from(self.timescale.hz())
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        let left = i128::from(self.ticks) * i128::from(other.timescale.hz());
        left.cmp(&(i128::from(other.ticks) * i128::from(self.timescale.hz())))
    }
}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timestamp {}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ticks, self.timescale.hz())
    }
}

/// Seconds with microseconds, as in `12.345678s`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        let sign = if micros < 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:06}s", (micros / 1_000_000).abs(), (micros % 1_000_000).abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rescale_rounds_to_the_nearest_tick() {
        let at = |ticks, hz| Timestamp::new(ticks, Timescale::new(hz).unwrap());
        assert_eq!(at(1024, 48_000).as_millis(), 21);
        assert_eq!(at(-1024, 48_000).as_millis(), -21);
        assert_eq!(at(3, 2).rescale(Timescale::new(1).unwrap()).ticks(), 2);
        assert_eq!(at(1, 1_000).rescale(Timescale::MPEG).ticks(), 90);
    }

    #[test]
    fn the_same_instant_is_equal_on_any_scale() {
        assert_eq!(Timestamp::from_millis(40), Timestamp::new(3_600, Timescale::MPEG));
        assert!(Timestamp::from_millis(40) < Timestamp::new(3_601, Timescale::MPEG));
    }

    #[test]
    fn display_is_readable_on_both_sides_of_zero() {
        assert_eq!(Timestamp::from_millis(12_345).to_string(), "12.345000s");
        assert_eq!(Timestamp::from_millis(-500).to_string(), "-0.500000s");
    }

    proptest! {
        #[test]
        fn arithmetic_never_panics(ticks: i64, add: i64, a in 1u32.., b in 1u32..) {
            let at = Timestamp::new(ticks, Timescale::new(a).unwrap());
            let other = at.rescale(Timescale::new(b).unwrap());
            let _ = (at.saturating_add_ticks(add), at.checked_add_ticks(add), at.micros_since(other));
            let _ = (at.to_string(), at.duration_since(other), at.cmp(&other));
        }

        #[test]
        fn rescaling_to_a_finer_scale_and_back_is_exact(ticks in -1i64 << 40..1i64 << 40, by in 1u32..1000) {
            let at = Timestamp::from_millis(ticks);
            let fine = at.rescale(Timescale::new(1_000 * by).unwrap());
            prop_assert_eq!(fine.rescale(Timescale::MILLIS).ticks(), ticks);
        }
    }
}
