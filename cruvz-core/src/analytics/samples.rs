//! One sample per second and stream, kept for fifteen minutes, so that a chart opens full.
//!
//! Viewers keep running totals only (`SessionInfo`): fifteen minutes of samples would weigh ten times the viewer.

use std::{collections::VecDeque, time::Duration};

use cruvz_media::{Timestamp, TrackKind};
use serde::Serialize;

/// How many samples are kept: 15 minutes of seconds.
pub const KEPT: usize = 900;

/// Seconds over which a bit rate is taken: keyframes come every second or two, and weigh.
const RATED_SECONDS: usize = 4;

/// What a stream did in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Sample {
    /// The second since the engine began.
    pub second: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Video frames received.
    pub video_frames: u32,
    /// Audio frames received.
    pub audio_frames: u32,
    /// Keyframes received.
    pub keyframes: u32,
    /// Frames refused or lost before the log, as before the first keyframe.
    pub dropped_frames: u32,
    /// Times the source's clock had to be mended.
    pub timeline_mends: u32,
    /// Media time that arrived, in milliseconds: 1000 is real time.
    pub media_ms: i64,
    /// Media time between the two newest keyframes, in milliseconds; 0 before the second one.
    pub keyframe_interval_ms: u32,
    /// How far the newest audio is ahead of the newest video, in milliseconds.
    pub audio_ahead_ms: i64,
}

/// The running totals of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamTotals {
    /// Payload bytes received.
    pub bytes: u64,
    /// Video frames received.
    pub video_frames: u64,
    /// Audio frames received.
    pub audio_frames: u64,
    /// Keyframes received.
    pub keyframes: u64,
    /// Frames refused or lost before the log.
    pub dropped_frames: u64,
    /// Times the source's clock had to be mended.
    pub timeline_mends: u64,
}

/// Counts what a stream receives.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    current: Sample,
    past: VecDeque<Sample>,
    totals: StreamTotals,
    newest: Option<Timestamp>,
    newest_video: Option<Timestamp>,
    newest_audio: Option<Timestamp>,
    last_keyframe: Option<Timestamp>,
}

impl Meter {
    pub(crate) fn frame(
        &mut self,
        now: Duration,
        kind: TrackKind,
        dts: Timestamp,
        keyframe: bool,
        bytes: usize,
    ) {
        self.roll(now);
        self.current.bytes += bytes as u64;
        self.totals.bytes += bytes as u64;
        match kind {
            TrackKind::Audio => {
                self.current.audio_frames += 1;
                self.totals.audio_frames += 1;
                self.newest_audio = Some(dts);
            }
            TrackKind::Video => {
                self.current.video_frames += 1;
                self.totals.video_frames += 1;
                self.newest_video = Some(dts);
                if keyframe {
                    self.keyframe(dts);
                }
            }
            TrackKind::Data => return,
        }
        if let (Some(video), Some(audio)) = (self.newest_video, self.newest_audio) {
            self.current.audio_ahead_ms = audio.micros_since(video) / 1000;
        }
        let newest = self.newest.map_or(dts, |newest| newest.max(dts));
        self.current.media_ms += self.newest.map_or(0, |before| newest.micros_since(before) / 1000);
        // Whole milliseconds only, so that what was cut off above counts next time.
        self.newest = Some(self.newest.map_or(dts, |before| {
            Timestamp::new(
                before.as_micros() + newest.micros_since(before) / 1000 * 1000,
                cruvz_media::Timescale::MICROS,
            )
        }));
    }

    fn keyframe(&mut self, dts: Timestamp) {
        self.current.keyframes += 1;
        self.totals.keyframes += 1;
        if let Some(last) = self.last_keyframe.replace(dts) {
            self.current.keyframe_interval_ms = u32::try_from(dts.micros_since(last) / 1000).unwrap_or(0);
        }
    }

    pub(crate) fn dropped(&mut self, now: Duration) {
        self.roll(now);
        self.current.dropped_frames += 1;
        self.totals.dropped_frames += 1;
    }

    pub(crate) fn mended(&mut self, now: Duration) {
        self.roll(now);
        self.current.timeline_mends += 1;
        self.totals.timeline_mends += 1;
    }

    pub(crate) fn totals(&self) -> StreamTotals {
        self.totals
    }

    /// The samples of finished seconds, oldest first; seconds without a frame are there with zeros.
    pub(crate) fn samples(&mut self, now: Duration) -> Vec<Sample> {
        self.roll(now);
        self.past.iter().copied().collect()
    }

    /// The newest finished second.
    pub(crate) fn latest(&mut self, now: Duration) -> Sample {
        self.roll(now);
        self.past.back().copied().unwrap_or_default()
    }

    /// Payload bits per second over the last finished seconds. `None` before the first, and while no pictures come.
    pub(crate) fn bitrate_bps(&mut self, now: Duration) -> Option<u64> {
        self.roll(now);
        let before = self.past.back()?;
        if self.current.video_frames + before.video_frames == 0 {
            return None;
        }
        let lately = self.past.iter().rev().take(RATED_SECONDS);
        let (seconds, bytes) = lately.fold((0, 0), |(n, bytes), sample| (n + 1, bytes + sample.bytes));
        Some(bytes * 8 / seconds)
    }

    fn roll(&mut self, now: Duration) {
        let second = now.as_secs();
        if self.past.is_empty() && self.current == Sample::default() {
            self.current.second = second;
        }
        if second.saturating_sub(self.current.second) > KEPT as u64 {
            self.past.clear();
            self.current = Sample { second: second - KEPT as u64, ..self.idle() };
        }
        while self.current.second < second {
            if self.past.len() == KEPT {
                self.past.pop_front();
            }
            let next = Sample { second: self.current.second + 1, ..self.idle() };
            self.past.push_back(std::mem::replace(&mut self.current, next));
        }
    }

    fn idle(&self) -> Sample {
        Sample { keyframe_interval_ms: self.current.keyframe_interval_ms, ..Sample::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_frames_makes_a_sample() {
        let mut meter = Meter::default();
        for n in 0..60u64 {
            let dts = Timestamp::from_millis(n as i64 * 1000 / 30);
            meter.frame(Duration::from_millis(n * 1000 / 30), TrackKind::Video, dts, n % 30 == 0, 1000);
        }
        let samples = meter.samples(Duration::from_secs(2));
        assert_eq!(samples.len(), 2);
        assert_eq!((samples[0].video_frames, samples[0].bytes, samples[0].keyframes), (30, 30_000, 1));
        assert_eq!((samples[1].media_ms, samples[1].keyframe_interval_ms), (1000, 1000));
        assert_eq!(meter.totals().video_frames, 60);
    }

    #[test]
    fn the_bit_rate_is_that_of_the_last_seconds_and_unknown_without_pictures() {
        let mut meter = Meter::default();
        assert_eq!(meter.bitrate_bps(Duration::ZERO), None);
        for n in 0..300u64 {
            let (dts, bytes) =
                (Timestamp::from_millis(n as i64 * 1000 / 30), if n < 150 { 5_000 } else { 1_000 });
            meter.frame(Duration::from_millis(n * 1000 / 30), TrackKind::Video, dts, n % 60 == 0, bytes);
        }
        assert_eq!(meter.bitrate_bps(Duration::from_secs(10)), Some(240_000));
        for n in 0..100u64 {
            meter.frame(Duration::from_millis(10_000 + n * 20), TrackKind::Audio, Timestamp::ZERO, true, 100);
        }
        assert_eq!(meter.bitrate_bps(Duration::from_secs(12)), None);
    }

    #[test]
    fn silence_makes_empty_samples_and_memory_stays_bounded() {
        let mut meter = Meter::default();
        meter.frame(Duration::ZERO, TrackKind::Audio, Timestamp::ZERO, true, 10);
        let samples = meter.samples(Duration::from_secs(100_000));
        assert_eq!(samples.len(), KEPT);
        assert!(samples.iter().all(|sample| sample.bytes == 0));
        assert_eq!(samples.last().unwrap().second, 99_999);
    }
}
