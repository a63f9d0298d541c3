//! Measured bit rates and frame rate, for the Multivariant Playlist.

const NANOS_PER_S: u128 = 1_000_000_000;

/// Totals over everything published.
#[derive(Default)]
pub(super) struct Rates {
    bytes: u64,
    duration_ns: i64,
    peak_bps: u64,
    pictures: u64,
    pictures_ns: i64,
}

impl Rates {
    /// Counts a complete segment. One far shorter than the target does not make the peak (bis §4.4.6.2: stretches of
    /// half to one and a half target durations).
    pub(super) fn add_segment(&mut self, bytes: u64, duration_ns: i64, target_ns: i64) {
        self.bytes += bytes;
        self.duration_ns += duration_ns;
        if duration_ns >= target_ns / 2 {
            self.peak_bps = self.peak_bps.max(bps(bytes, duration_ns));
        }
    }

    /// Counts the pictures of a part.
    pub(super) const fn add_pictures(&mut self, pictures: u64, duration_ns: i64) {
        self.pictures += pictures;
        self.pictures_ns += duration_ns;
    }

    pub(super) fn average_bps(&self) -> u64 {
        bps(self.bytes, self.duration_ns)
    }

    /// Never below the average.
    pub(super) fn peak_bps(&self) -> u64 {
        self.peak_bps.max(self.average_bps())
    }

    /// Thousandths of a frame per second: as `stated` by the headers, or as counted.
    pub(super) fn frame_rate_milli(&self, stated: Option<(u32, u32)>) -> Option<u32> {
        if let Some((frames, seconds @ 1..)) = stated {
            let milli = (u64::from(frames) * 1_000 + u64::from(seconds) / 2) / u64::from(seconds);
            return u32::try_from(milli).ok().filter(|milli| *milli > 0);
        }
        let ns = u128::try_from(self.pictures_ns).ok().filter(|ns| *ns > 0)?;
        let milli = (u128::from(self.pictures) * 1_000 * NANOS_PER_S + ns / 2) / ns;
        u32::try_from(milli).ok().map(nearest_usual).filter(|milli| *milli > 0)
    }
}

/// A whole number of frames per second, or that number by 1.001 as television has it, where one is within 0.03 %:
/// times rounded to milliseconds make a counted rate inexact.
fn nearest_usual(milli: u32) -> u32 {
    let whole = milli.saturating_add(500) / 1_000 * 1_000;
    let television = ((u64::from(whole) * 1_000 + 500) / 1_001) as u32;
    let is_near = |rate: &u32| rate.abs_diff(milli) <= milli / 3_333;
    [whole, television].into_iter().find(is_near).unwrap_or(milli)
}

/// Bits per second, rounded up.
fn bps(bytes: u64, duration_ns: i64) -> u64 {
    let ns = u128::try_from(duration_ns).unwrap_or(0).max(1);
    u64::try_from((u128::from(bytes) * 8 * NANOS_PER_S).div_ceil(ns)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_ignores_stumps_and_the_average_counts_all() {
        let s = |s: i64| s * 1_000_000_000;
        let mut rates = Rates::default();
        rates.add_segment(250_000, s(2), s(2));
        rates.add_segment(500_000, s(2), s(2));
        rates.add_segment(500_000, s(2) / 10, s(2));
        assert_eq!((rates.peak_bps(), rates.average_bps()), (2_380_953, 2_380_953));
        rates.add_segment(1, s(2), s(2));
        assert_eq!((rates.peak_bps(), rates.average_bps()), (2_000_000, 1_612_905));
    }

    #[test]
    fn a_stated_frame_rate_goes_before_a_counted_one() {
        let mut rates = Rates::default();
        assert_eq!(rates.frame_rate_milli(None), None);
        rates.add_pictures(60, 2_002_000_000);
        assert_eq!(rates.frame_rate_milli(None), Some(29_970));
        rates.add_pictures(60, 2_003_000_000);
        assert_eq!(rates.frame_rate_milli(None), Some(29_970));
        assert_eq!(rates.frame_rate_milli(Some((60_000, 1_001))), Some(59_940));
        assert_eq!(rates.frame_rate_milli(Some((0, 1))), None);
        assert_eq!(rates.frame_rate_milli(Some((30, 0))), Some(29_970));
    }
}
