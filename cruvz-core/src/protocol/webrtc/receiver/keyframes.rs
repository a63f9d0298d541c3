//! When a publisher is asked for a keyframe.

use std::time::Duration;

use super::Config;

/// Requests in vain after which the time between them grows no more: eightfold.
const MAX_DOUBLINGS: u32 = 3;

/// The need for keyframes of one SSRC.
#[derive(Clone, Debug)]
pub(super) struct Keyframes {
    /// Whether one is needed now: a frame is lost, or a viewer asked.
    wanted: bool,
    /// When the last one came, or the source began.
    last: Duration,
    asked: Duration,
    in_vain: u32,
    /// Requests made, for FIR's sequence number (RFC 5104 §4.3.1.1) too.
    pub(super) requests: u64,
}

impl Keyframes {
    /// Of a source that begins at `now`. Its first frame should be a keyframe, which is given the time to arrive.
    pub(super) fn new(now: Duration) -> Self {
        Self { wanted: true, last: now, asked: now, in_vain: 0, requests: 0 }
    }

    /// One is needed: nothing can be decoded without.
    pub(super) fn need(&mut self) {
        self.wanted = true;
    }

    /// A viewer asks: requests in vain before do not hold up this one.
    pub(super) fn request(&mut self) {
        (self.wanted, self.in_vain) = (true, 0);
    }

    /// Something is lost for good: what came in answer to a request may be, so that none was made in vain.
    pub(super) fn lost(&mut self) {
        self.in_vain = 0;
    }

    /// One came.
    pub(super) fn came(&mut self, now: Duration) {
        (self.wanted, self.last, self.in_vain) = (false, now, 0);
    }

    /// When the next request is to be made.
    pub(super) fn due(&self, config: &Config) -> Option<Duration> {
        let least = config.keyframe_request_interval;
        if self.wanted {
            return Some(
                self.asked.saturating_add(least.saturating_mul(1 << self.in_vain.min(MAX_DOUBLINGS))),
            );
        }
        let regular = !config.keyframe_interval.is_zero();
        regular
            .then(|| self.last.saturating_add(config.keyframe_interval).max(self.asked.saturating_add(least)))
    }

    /// Whether the request is to be made now; it is taken for made.
    pub(super) fn take(&mut self, now: Duration, config: &Config) -> bool {
        let due = self.due(config).is_some_and(|due| due <= now);
        if due {
            self.in_vain = if self.wanted { self.in_vain.saturating_add(1) } else { 0 };
            (self.wanted, self.asked) = (true, now);
            self.requests += 1;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The times at which requests are made until `end`, when no keyframe ever comes.
    fn in_vain(keyframes: &mut Keyframes, config: &Config, end: u32) -> Vec<u32> {
        (0..end).filter(|&at| keyframes.take(at * MS, config)).collect()
    }

    #[test]
    fn requests_in_vain_become_rare_but_never_end() {
        let mut keyframes = Keyframes::new(Duration::ZERO);
        let asked = in_vain(&mut keyframes, &Config::default(), 12_000);
        assert_eq!(asked, [300_u32, 900, 2_100, 4_500, 6_900, 9_300, 11_700]);
    }

    #[test]
    fn a_keyframe_is_succeeded_after_the_interval() {
        let config = Config::default();
        let mut keyframes = Keyframes::new(Duration::ZERO);
        keyframes.came(10 * MS);
        assert_eq!(keyframes.due(&config), Some(2_010 * MS));
        assert!(keyframes.take(2_010 * MS, &config));
        assert!(!keyframes.take(2_309 * MS, &config), "one request per interval");
        keyframes.came(2_050 * MS);
        assert_eq!(keyframes.due(&config), Some(4_050 * MS));
        let never = Config { keyframe_interval: Duration::ZERO, ..config };
        assert_eq!(keyframes.due(&never), None);
    }

    #[test]
    fn requests_whose_answer_may_be_lost_are_not_made_in_vain() {
        let config = Config::default();
        let mut keyframes = Keyframes::new(Duration::ZERO);
        let asked = (0..2_000).filter(|&at| {
            keyframes.lost();
            keyframes.take(at * MS, &config)
        });
        assert_eq!(asked.collect::<Vec<u32>>(), [300, 600, 900, 1_200, 1_500, 1_800]);
        let asked = in_vain(&mut keyframes, &config, 6_000);
        assert_eq!(asked, [2_100_u32, 2_700, 3_900], "and rarer again once nothing is lost");
    }

    #[test]
    fn a_viewer_is_not_held_up_by_requests_in_vain_but_by_the_least_interval() {
        let config = Config::default();
        let mut keyframes = Keyframes::new(Duration::ZERO);
        assert_eq!(in_vain(&mut keyframes, &config, 2_200).last(), Some(&2_100));
        keyframes.request();
        assert_eq!(keyframes.due(&config), Some(2_400 * MS));
    }
}
