//! What is sent beside the media to see whether the network carries so much more.

use std::time::Duration;

/// How often it is sent.
const EVERY: Duration = Duration::from_millis(10);
/// So many of the last packets are sent again in turn.
const PACKETS: u64 = 64;
/// What may have gathered at most while nobody looked, in time.
const MAX_LAG: Duration = Duration::from_millis(100);

/// A stream of packets that the viewer has already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    bps: u64,
    /// Up to when it is paid for.
    paid: Duration,
    /// Which packet is next, counted from the newest back.
    back: u64,
}

impl Probe {
    pub(super) fn new(now: Duration, bps: u64) -> Self {
        Self { bps: bps.max(1), paid: now, back: 0 }
    }

    pub(super) fn bps(&self) -> u64 {
        self.bps
    }

    /// When there is something to be sent.
    pub(super) fn due(&self) -> Duration {
        self.paid + EVERY
    }

    /// How far before the newest packet the next one is, if one is due.
    pub(super) fn next(&mut self, now: Duration) -> Option<u64> {
        self.paid = self.paid.max(now.saturating_sub(MAX_LAG));
        (now >= self.due()).then_some(1 + self.back % PACKETS)
    }

    /// There is nothing to be sent now.
    pub(super) fn pass(&mut self, now: Duration) {
        self.paid = now;
    }

    /// A packet of `bytes` was sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.back += 1;
        self.paid += Duration::from_nanos((bytes as u64).saturating_mul(8_000_000_000) / self.bps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_much_is_sent_as_was_asked_for_and_no_more_after_a_pause() {
        let ms = Duration::from_millis;
        let mut probe = Probe::new(ms(1_000), 800_000);
        let mut bytes = |from: u64, to: u64| {
            let mut sent = 0;
            for at in from..to {
                while probe.next(ms(at)).is_some() {
                    probe.sent(1_000);
                    sent += 1_000;
                }
            }
            sent
        };
        assert_eq!(bytes(1_000, 2_000) / 10_000, 9);
        let after = bytes(10_000, 10_010);
        assert!((9_000..=11_000).contains(&after), "{after}");
    }
}
