//! Passes over a file, strung together.

use crate::{Frame, Timescale, Timestamp, TrackId};

/// The distance between frames of a track that has only one, in milliseconds.
const LONE_STEP_MS: i64 = 40;

/// Puts the frames of one pass over a file after those of the pass before, on one timeline.
///
/// All tracks are moved by the same time: the length of the track that is longest, counted from its first frame to
/// one frame after its last. That track goes on without a seam, the others with a pause as long as the difference,
/// and audio and video stay together however often the file is played.
///
/// ```
/// use bytes::Bytes;
/// use cruvz_media::{Frame, Timestamp, TrackId, container::file::Loop};
///
/// let mut passes = Loop::default();
/// let mut times = Vec::new();
/// for _ in 0..2 {
///     for ms in [0, 40, 80] {
///         let at = Timestamp::from_millis(ms);
///         let mut frame =
///             Frame { track: TrackId::VIDEO, pts: at, dts: at, keyframe: true, payload: Bytes::new() };
///         passes.place(&mut frame);
///         times.push(frame.dts.as_millis());
///     }
///     assert!(passes.restart());
/// }
/// assert_eq!(times, [0, 40, 80, 120, 160, 200]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Loop {
    /// What the passes before add up to.
    shift: Option<Timestamp>,
    /// The tracks of this pass.
    tracks: Vec<Span>,
}

/// What a track covers in one pass.
#[derive(Clone, Debug)]
struct Span {
    track: TrackId,
    first: Timestamp,
    last: Timestamp,
    /// Frames after the first.
    steps: i64,
}

impl Span {
    /// From the first frame to one frame after the last. Times may be rounded, so all steps together say how long
    /// one is.
    fn length(&self) -> Timestamp {
        let scale = self.last.timescale();
        let covered = self.last.ticks().saturating_sub(self.first.rescale(scale).ticks()).max(0);
        let step = match self.steps {
            0 => Timestamp::from_millis(LONE_STEP_MS).rescale(scale).ticks(),
            steps => covered.saturating_add(steps / 2) / steps,
        };
        Timestamp::new(covered.saturating_add(step.max(1)), scale)
    }
}

impl Loop {
    /// Moves a frame of the current pass onto the timeline of all passes. Timescales are kept.
    pub fn place(&mut self, frame: &mut Frame) {
        match self.tracks.iter_mut().find(|span| span.track == frame.track) {
            Some(span) => (span.last, span.steps) = (frame.dts, span.steps + 1),
            None => {
                self.tracks.push(Span { track: frame.track, first: frame.dts, last: frame.dts, steps: 0 });
            }
        }
        if let Some(shift) = self.shift {
            frame.dts = frame.dts.saturating_add_ticks(shift.rescale(frame.dts.timescale()).ticks());
            frame.pts = frame.pts.saturating_add_ticks(shift.rescale(frame.pts.timescale()).ticks());
        }
    }

    /// Ends a pass: the next frame is the first of another. `false` when the pass had no frame, so that repeating it
    /// would go on for ever without getting anywhere.
    pub fn restart(&mut self) -> bool {
        let Some(length) = self.tracks.drain(..).map(|span| span.length()).max() else { return false };
        self.shift = Some(match self.shift {
            None => length,
            Some(shift) if shift.timescale() == length.timescale() => {
                shift.saturating_add_ticks(length.ticks())
            }
            Some(shift) => shift
                .rescale(Timescale::MICROS)
                .saturating_add_ticks(length.rescale(Timescale::MICROS).ticks()),
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const AUDIO_HZ: i64 = 44_100;

    fn frame(track: TrackId, ticks: i64, hz: i64) -> Frame {
        let at = Timestamp::new(ticks, Timescale::new(u32::try_from(hz).unwrap()).unwrap());
        Frame { track, pts: at, dts: at, keyframe: true, payload: Bytes::new() }
    }

    /// One pass of 25 fps video on 12,800 Hz and AAC with priming, with that many frames of each.
    fn pass(video: i64, audio: i64) -> Vec<Frame> {
        let video = (0..video).map(|n| frame(TrackId::VIDEO, (n - 2) * 512, 12_800));
        let audio = (0..audio).map(|n| frame(TrackId::AUDIO, (n - 1) * 1_024, AUDIO_HZ));
        video.chain(audio).collect()
    }

    fn passes(count: usize, pass: &[Frame]) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut passes = Loop::default();
        for _ in 0..count {
            for frame in pass {
                let mut frame = frame.clone();
                passes.place(&mut frame);
                frames.push(frame);
            }
            assert!(passes.restart());
        }
        frames
    }

    fn ticks(frames: &[Frame], track: TrackId) -> Vec<i64> {
        frames.iter().filter(|frame| frame.track == track).map(|frame| frame.dts.ticks()).collect()
    }

    #[test]
    fn the_longest_track_goes_on_without_a_seam() {
        // 10 s of video, a little less audio.
        let frames = passes(50, &pass(250, 430));
        let video = ticks(&frames, TrackId::VIDEO);
        assert!(video.windows(2).all(|pair| pair[1] - pair[0] == 512));
        // The other way round.
        let frames = passes(50, &pass(249, 432));
        let audio = ticks(&frames, TrackId::AUDIO);
        assert!(audio.windows(2).all(|pair| pair[1] - pair[0] == 1_024));
    }

    #[test]
    fn rounded_times_have_a_rounded_seam() {
        // 30 fps in milliseconds, rounded down: 33 or 34 apart.
        let pass: Vec<Frame> = (0..300).map(|n| frame(TrackId::VIDEO, n * 100 / 3, 1_000)).collect();
        let frames = passes(2, &pass);
        let [last, first] = ticks(&frames, TrackId::VIDEO)[299..=300] else { panic!() };
        assert_eq!(first - last, 33);
    }

    #[test]
    fn a_pass_without_frames_is_no_pass() {
        assert!(!Loop::default().restart());
        let mut passes = Loop::default();
        passes.place(&mut frame(TrackId::VIDEO, 7, 1_000));
        assert!(passes.restart());
        assert!(!passes.restart());
    }

    proptest! {
        #[test]
        fn tracks_stay_together_and_in_order(video in 1i64..60, audio in 1i64..60, count in 1usize..40) {
            let pass = pass(video, audio);
            let frames = passes(count, &pass);
            for track in [TrackId::VIDEO, TrackId::AUDIO] {
                prop_assert!(ticks(&frames, track).is_sorted_by(|a, b| a < b));
            }
            for (moved, still) in frames.iter().skip((count - 1) * pass.len()).zip(&pass) {
                let by = |frame: &Frame, from: &Frame| frame.dts.micros_since(from.dts);
                let all = by(&frames[(count - 1) * pass.len()], &pass[0]);
                prop_assert!((by(moved, still) - all).abs() <= 80, "tracks drift apart");
            }
        }

        #[test]
        fn any_times_are_survived(frames: Vec<(u8, i64, u32, bool)>) {
            let mut passes = Loop::default();
            for (track, ticks, hz, restart) in frames {
                passes.place(&mut frame(TrackId(track.into()), ticks, i64::from(hz.max(1))));
                if restart {
                    passes.restart();
                }
            }
        }
    }
}
