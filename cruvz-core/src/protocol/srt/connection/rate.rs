//! How much arrives, and how much could.

use std::time::Duration;

/// Bytes and packets per second, smoothed over about a second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    since: Duration,
    bytes: u64,
    packets: u64,
    /// Per second, once a window is over.
    bytes_per_second: Option<u64>,
    packets_per_second: u64,
}

/// What is counted before it counts.
const WINDOW: Duration = Duration::from_millis(500);

impl Rate {
    /// Counts a packet at `now`, on whatever clock. A clock that goes backwards begins anew.
    pub(super) fn count(&mut self, now: Duration, bytes: usize) {
        if self.packets == 0 || now < self.since {
            (self.since, self.bytes, self.packets) = (now, 0, 0);
        }
        let span = now - self.since;
        if span >= WINDOW {
            let per_second = |count: u64| (count as f64 / span.as_secs_f64()) as u64;
            let (bytes, packets) = (per_second(self.bytes), per_second(self.packets));
            let before = self.bytes_per_second.map_or((bytes, packets), |old| (old, self.packets_per_second));
            self.bytes_per_second = Some((before.0 + bytes) / 2);
            self.packets_per_second = (before.1 + packets) / 2;
            (self.since, self.bytes, self.packets) = (now, 0, 0);
        }
        self.bytes += bytes as u64;
        self.packets += 1;
    }

    /// Bytes per second, once known.
    pub(super) fn bytes_per_second(&self) -> Option<u64> {
        self.bytes_per_second
    }

    /// Packets per second; 0 until known.
    pub(super) fn packets_per_second(&self) -> u64 {
        self.packets_per_second
    }
}

/// An estimate of what the link could carry, from pairs of packets sent back to back: each sixteenth packet
/// and the one behind it.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkCapacity {
    first: Option<(u64, Duration)>,
    /// Microseconds that a full packet takes; the last ones, 0 for none.
    intervals: [u32; 16],
    count: usize,
}

/// The payload that a full packet has.
const FULL: u64 = 1_316;

impl LinkCapacity {
    /// Takes in a packet that was sent for the first time and came in order.
    pub(super) fn arrive(&mut self, now: Duration, position: u64, seq: u32, payload: usize) {
        match seq % 16 {
            0 => self.first = Some((position, now)),
            1 => {
                let Some((first, at)) = self.first.take() else { return };
                // Two packets read in one go were as close as can be told.
                let micros = now.saturating_sub(at).as_micros().max(1) as u64;
                if first + 1 != position || payload == 0 {
                    return;
                }
                let full = (micros * FULL / payload as u64).min(u64::from(u32::MAX));
                self.intervals[self.count % 16] = full as u32;
                self.count += 1;
            }
            _ => {}
        }
    }

    /// Forgets a pair of which one was lost or repeated.
    pub(super) fn disturb(&mut self) {
        self.first = None;
    }

    /// Packets per second; 0 while unknown. The mean of the intervals near the median, as outliers are queues.
    pub(super) fn packets_per_second(&self) -> u32 {
        let mut sorted = self.intervals;
        let known = &mut sorted[..self.count.min(16)];
        known.sort_unstable();
        let Some(&median) = known.get(known.len() / 2) else { return 0 };
        let near = known.iter().filter(|&&interval| interval > median / 8 && interval / 8 < median);
        let (sum, count) =
            near.fold((0, 0), |(sum, count), &interval| (sum + u64::from(interval), count + 1));
        (count * 1_000_000_u64).checked_div(sum).map_or(0, |rate| rate.min(u64::from(u32::MAX)) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_steady_rate_is_found_and_a_change_followed() {
        let mut rate = Rate::default();
        assert_eq!(rate.bytes_per_second(), None);
        (0..1_000).for_each(|at| rate.count(at * MS, 100));
        assert_eq!((rate.bytes_per_second(), rate.packets_per_second()), (Some(100_000), 1_000));
        (1_000..6_000).for_each(|at| rate.count(at * MS, 300));
        let bytes = rate.bytes_per_second().unwrap();
        assert!((295_000..=300_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_clock_that_jumps_back_begins_anew() {
        let mut rate = Rate::default();
        rate.count(900 * MS, 100);
        rate.count(100 * MS, 100);
        rate.count(650 * MS, 100);
        assert_eq!(rate.bytes_per_second(), Some(181));
    }

    #[test]
    fn pairs_tell_the_capacity() {
        let mut link = LinkCapacity::default();
        assert_eq!(link.packets_per_second(), 0);
        for pair in 0..20 {
            let at = pair * 50 * MS;
            link.arrive(at, u64::from(pair) * 16, pair * 16, 1_316);
            // 250 us for a full packet, and the outlier is not believed.
            let interval = if pair == 19 { 40_000 } else { 250 };
            link.arrive(at + Duration::from_micros(interval), u64::from(pair) * 16 + 1, pair * 16 + 1, 1_316);
        }
        assert_eq!(link.packets_per_second(), 4_000);
    }

    #[test]
    fn a_disturbed_pair_tells_nothing() {
        let mut link = LinkCapacity::default();
        link.arrive(MS, 16, 16, 1_316);
        link.disturb();
        link.arrive(2 * MS, 17, 17, 1_316);
        link.arrive(3 * MS, 32, 32, 1_316);
        link.arrive(3 * MS, 33, 33, 0);
        link.arrive(4 * MS, 48, 48, 1_316);
        link.arrive(9 * MS, 65, 65, 1_316);
        assert_eq!(link.packets_per_second(), 0);
    }
}
