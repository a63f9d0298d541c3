//! What a packager can be told.

use std::{ops::RangeInclusive, time::Duration};

/// Settings of a [`super::Packager`]. Every number has a bound, checked by [`Config::validate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// An opaque name of this run of the stream, part of every media URL: 1 to 64 letters, digits, `-` and `_`. It
    /// must differ from that of any other run of the same stream, also across restarts of the server, because caches
    /// may keep what it names for ever. No default: random bits, or the start time with some.
    pub run: String,
    /// The name of the rendition, the stem of its Media Playlist: letters, digits, `-`, `_`. Default `main`.
    pub rendition: String,
    /// Whether partial segments are listed (LL-HLS). Off: plain HLS, whose viewers are three segments behind. Default on.
    pub low_latency: bool,
    /// How long a part should be, in ms, 50 to 2,000. A whole number of frames is chosen near it, from which
    /// PART-TARGET follows. Shorter: less latency, more requests. Default 200.
    pub part_target_ms: u32,
    /// How long a segment should be, in ms, 500 to 60,000. Segments are cut at keyframes near it. Default 2,000.
    pub segment_target_ms: u32,
    /// The longest a segment may grow in wait of a keyframe, in ms, `segment_target_ms` to 60,000. Once playlists were
    /// handed out, the limit is their TARGETDURATION, which must not change: see [`super::Packager`]. Default 10,000.
    pub max_segment_ms: u32,
    /// How many bytes a segment may grow to. 1 MiB to 1 GiB; default 64 MiB.
    pub max_segment_bytes: u64,
    /// How many bytes all segments together may take; the oldest go first. Default 256 MiB, at least four segments'.
    pub max_bytes: u64,
    /// How many complete segments a playlist lists, 3 to 10,000: how far a viewer can seek back. Default 7.
    pub window_segments: usize,
    /// For how many segments, the one being filled included, the parts are listed, 2 to 100. Default 3, the most that
    /// bis §4.4.4.9 wants: none that is more than three target durations from the end.
    pub part_segments: usize,
    /// How many part targets behind the live edge players should stay (PART-HOLD-BACK), 3 to 100. At three, bis's least,
    /// one late part stalls a player; with parts of 200 ms the default keeps it about a second behind. Default 5.
    pub hold_back_parts: u32,
    /// How many segments stay available after they left the playlist, for viewers who hold an old one (bis §6.2.2 asks
    /// for as long as a playlist). 0 to 10,000; default 8.
    pub retained_segments: usize,
    /// How many segments the first playlist has at least, 1 to 10. Default 2.
    pub start_segments: usize,
    /// After how much media one segment is enough for the first playlist, in ms. Default 3,000.
    pub start_grace_ms: u32,
    /// How long a request may wait for the first playlist, in ms. Default 10,000.
    pub start_wait_ms: u32,
    /// How far one track may run ahead before a part is completed without the other, in ms of media, 20 to 10,000.
    /// Larger: tolerates worse interleaving. Smaller: a track that stops delays the other less. Default 1,000.
    pub hold_limit_ms: u32,
    /// How many frames of a track may be held at once, 64 to 65,536. The oldest are dropped beyond. Default 2,048.
    pub max_held_frames: usize,
    /// A step of the stream's time by more than this, in ms, 1,000 to 600,000, or by more than a segment may be long,
    /// starts a new timeline with a discontinuity; so does a step back by more than a second. Default 10,000.
    pub max_gap_ms: u32,
}

/// A [`Config`] field that is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A name that cannot stand in a URL as it is.
    #[error("{field} must be 1 to 64 letters, digits, `-` or `_`, not {value:?}")]
    Name {
        /// The field.
        field: &'static str,
        /// What it was set to.
        value: String,
    },
    /// A number out of its range.
    #[error("{field} must be {min} to {max}, not {value}")]
    Range {
        /// The field.
        field: &'static str,
        /// What it was set to.
        value: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
}

impl Config {
    /// The defaults, for the run named `run`.
    pub fn new(run: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            rendition: "main".into(),
            low_latency: true,
            part_target_ms: 200,
            segment_target_ms: 2_000,
            max_segment_ms: 10_000,
            max_segment_bytes: 64 << 20,
            max_bytes: 256 << 20,
            window_segments: 7,
            part_segments: 3,
            hold_back_parts: 5,
            retained_segments: 8,
            start_segments: 2,
            start_grace_ms: 3_000,
            start_wait_ms: 10_000,
            hold_limit_ms: 1_000,
            max_held_frames: 2_048,
            max_gap_ms: 10_000,
        }
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first field that is out of its bounds.
    pub fn validate(&self) -> Result<(), ConfigError> {
        name("run", &self.run)?;
        name("rendition", &self.rendition)?;
        range("part_target_ms", self.part_target_ms, 50..=2_000)?;
        range("segment_target_ms", self.segment_target_ms, 500..=60_000)?;
        range("max_segment_ms", self.max_segment_ms, self.segment_target_ms.into()..=60_000)?;
        range("max_segment_bytes", self.max_segment_bytes, 1 << 20..=1 << 30)?;
        range("max_bytes", self.max_bytes, self.max_segment_bytes.saturating_mul(4)..=u64::MAX)?;
        range("window_segments", self.window_segments as u64, 3..=10_000)?;
        range("part_segments", self.part_segments as u64, 2..=100)?;
        range("hold_back_parts", self.hold_back_parts, 3..=100)?;
        range("retained_segments", self.retained_segments as u64, 0..=10_000)?;
        range("start_segments", self.start_segments as u64, 1..=10)?;
        range("hold_limit_ms", self.hold_limit_ms, 20..=10_000)?;
        range("max_held_frames", self.max_held_frames as u64, 64..=65_536)?;
        range("max_gap_ms", self.max_gap_ms, 1_000..=600_000)
    }

    pub(super) fn start_wait(&self) -> Duration {
        Duration::from_millis(self.start_wait_ms.into())
    }
}

fn name(field: &'static str, value: &str) -> Result<(), ConfigError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=64).contains(&value.len()) && value.chars().all(allowed) {
        return Ok(());
    }
    Err(ConfigError::Name { field, value: value.into() })
}

fn range(field: &'static str, value: impl Into<u64>, bounds: RangeInclusive<u64>) -> Result<(), ConfigError> {
    let value = value.into();
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(ConfigError::Range { field, value, min: *bounds.start(), max: *bounds.end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_bound_is_checked() {
        let good = Config::new("r1");
        assert_eq!(good.validate(), Ok(()));
        let bad = [
            Config::new(""),
            Config::new("a/b"),
            Config { rendition: "x".repeat(65), ..good.clone() },
            Config { part_target_ms: 49, ..good.clone() },
            Config { segment_target_ms: 60_001, ..good.clone() },
            Config { max_segment_ms: 1_999, ..good.clone() },
            Config { max_segment_bytes: 0, ..good.clone() },
            Config { max_bytes: 1 << 20, ..good.clone() },
            Config { window_segments: 2, ..good.clone() },
            Config { part_segments: 0, ..good.clone() },
            Config { hold_back_parts: 2, ..good.clone() },
            Config { retained_segments: 10_001, ..good.clone() },
            Config { start_segments: 0, ..good.clone() },
            Config { hold_limit_ms: 0, ..good.clone() },
            Config { max_held_frames: 0, ..good.clone() },
            Config { max_gap_ms: 0, ..good.clone() },
        ];
        for config in bad {
            assert!(config.validate().is_err(), "{config:?}");
        }
        let error = Config { part_target_ms: 49, ..good }.validate().unwrap_err();
        assert_eq!(error.to_string(), "part_target_ms must be 50 to 2000, not 49");
    }
}
