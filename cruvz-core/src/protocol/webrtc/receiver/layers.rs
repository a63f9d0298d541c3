//! Which of several encodings of the same picture a stream shows.

use std::time::Duration;

/// The choice among the layers of a simulcast (or the SSRCs that succeed each other in one place): the largest picture
/// that is alive. Changes are made at keyframes only.
#[derive(Clone, Debug, Default)]
pub(super) struct Layers {
    shown: Option<Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    ssrc: u32,
    pixels: u64,
    /// When its last frame came.
    last: Duration,
    /// Whether the others were asked to take its place.
    asked: bool,
}

impl Layers {
    /// The layer that is shown.
    pub(super) fn shown(&self) -> Option<u32> {
        self.shown.as_ref().map(|shown| shown.ssrc)
    }

    /// Whether a frame of layer `ssrc`, of a picture of `pixels`, is shown.
    pub(super) fn admit(
        &mut self,
        now: Duration,
        ssrc: u32,
        pixels: u64,
        keyframe: bool,
        patience: Duration,
    ) -> bool {
        let admitted = match &self.shown {
            None => keyframe,
            Some(shown) if shown.ssrc == ssrc => true,
            Some(shown) => keyframe && (pixels > shown.pixels || now.saturating_sub(shown.last) >= patience),
        };
        if admitted {
            self.shown = Some(Shown { ssrc, pixels, last: now, asked: false });
        }
        admitted
    }

    /// When the layer that is shown counts as dead, unless a frame of it comes.
    pub(super) fn dies_at(&self, patience: Duration) -> Option<Duration> {
        let shown = self.shown.as_ref().filter(|shown| !shown.asked)?;
        Some(shown.last.saturating_add(patience))
    }

    /// Whether the others are to be asked for a keyframe, so that one of them can take the place of a layer that is dead.
    /// Said once.
    pub(super) fn take_death(&mut self, now: Duration, patience: Duration) -> bool {
        let dead = self.dies_at(patience).is_some_and(|at| at <= now);
        if let Some(shown) = self.shown.as_mut().filter(|_| dead) {
            shown.asked = true;
        }
        dead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const PATIENCE: Duration = Duration::from_secs(1);
    const QUARTER: u64 = 160 * 90;
    const FULL: u64 = 640 * 360;

    #[test]
    fn the_largest_layer_is_shown_from_its_keyframe_on() {
        let mut layers = Layers::default();
        assert!(
            !layers.admit(Duration::ZERO, 1, QUARTER, false, PATIENCE),
            "nothing begins without a keyframe"
        );
        assert!(layers.admit(1 * MS, 1, QUARTER, true, PATIENCE));
        assert!(!layers.admit(2 * MS, 2, FULL, false, PATIENCE));
        assert!(layers.admit(3 * MS, 2, FULL, true, PATIENCE));
        assert!(!layers.admit(4 * MS, 1, QUARTER, true, PATIENCE));
        assert!(layers.admit(5 * MS, 2, FULL, false, PATIENCE));
    }

    #[test]
    fn a_layer_that_falls_silent_is_replaced_and_the_others_are_asked_once() {
        let mut layers = Layers::default();
        assert!(layers.admit(Duration::ZERO, 2, FULL, true, PATIENCE));
        assert!(!layers.take_death(999 * MS, PATIENCE));
        assert!(!layers.admit(999 * MS, 1, QUARTER, true, PATIENCE));
        assert!(layers.take_death(1_000 * MS, PATIENCE));
        assert!(!layers.take_death(1_001 * MS, PATIENCE));
        assert!(layers.admit(1_100 * MS, 1, QUARTER, true, PATIENCE));
        assert_eq!(layers.dies_at(PATIENCE), Some(2_100 * MS));
    }
}
