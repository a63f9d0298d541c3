//! What a publisher may send, for those that do not find out by themselves (draft-alvestrand-rmcat-remb-03).

use std::time::Duration;

/// What a publisher begins with, and the least it is ever told.
const FIRST_BPS: u64 = 1_500_000;
const LEAST_BPS: u64 = 150_000;
/// Losses, in 256ths, up to which more is allowed (2 %) and from which on less is (10 %).
const FEW_LOST: u8 = 5;
const MANY_LOST: u8 = 25;

/// An estimate by losses alone: half as much again as what came while little is lost, less when much is.
#[derive(Clone, Debug)]
pub(super) struct Bitrate {
    estimate_bps: u64,
    most_bps: u64,
    bytes: u64,
    since: Duration,
}

impl Bitrate {
    pub(super) fn new(now: Duration, most_bps: u64) -> Self {
        let most_bps = most_bps.max(LEAST_BPS);
        Self { estimate_bps: FIRST_BPS.min(most_bps), most_bps, bytes: 0, since: now }
    }

    /// So many bytes came.
    pub(super) fn received(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// What may be sent from now on, when `lost` 256ths were lost since the last estimate.
    pub(super) fn estimate(&mut self, now: Duration, lost: u8) -> u64 {
        let micros = u64::try_from(now.saturating_sub(self.since).as_micros()).unwrap_or(u64::MAX).max(1);
        let came_bps = self.bytes.saturating_mul(8_000_000) / micros;
        (self.bytes, self.since) = (0, now);
        if lost <= FEW_LOST {
            self.estimate_bps = self.estimate_bps.max(came_bps.saturating_mul(3) / 2);
        } else if lost >= MANY_LOST {
            self.estimate_bps = self.estimate_bps.min(came_bps) / 512 * (512 - u64::from(lost));
        }
        self.estimate_bps = self.estimate_bps.clamp(LEAST_BPS, self.most_bps);
        self.estimate_bps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publisher that sends what it is told for `seconds`, of which `lost` 256ths are lost each second.
    fn after(bitrate: &mut Bitrate, from: u64, seconds: u64, lost: u8) -> u64 {
        let mut told = FIRST_BPS;
        for second in from + 1..=from + seconds {
            bitrate.received(usize::try_from(told / 8).unwrap());
            told = bitrate.estimate(Duration::from_secs(second), lost);
        }
        told
    }

    #[test]
    fn it_grows_to_its_maximum_without_losses_and_shrinks_with_many() {
        let mut bitrate = Bitrate::new(Duration::ZERO, 20_000_000);
        assert_eq!(after(&mut bitrate, 0, 10, 0), 20_000_000);
        assert_eq!(after(&mut bitrate, 10, 5, 10), 20_000_000, "some losses are no reason for either");
        assert!(after(&mut bitrate, 15, 1, 128) < 2_000_000, "what came counts");
        assert_eq!(after(&mut bitrate, 16, 60, 255), LEAST_BPS);
    }
}
