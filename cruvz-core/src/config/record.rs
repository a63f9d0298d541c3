//! Recording.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// When what is written must be on the disk itself, rather than in the system's memory: what a power cut costs. A crash of the program costs nothing
/// of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// The system decides: half a minute may be lost.
    Never,
    /// Each segment when it is complete: up to two seconds at the defaults.
    #[default]
    Segment,
    /// Each part: a fifth of a second at the defaults, and a disk that does nothing else.
    Part,
}

/// Recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RecordConfig {
    /// The folder that recordings are kept in. Default empty: nothing is recorded. One engine has it to itself.
    pub folder: PathBuf,
    /// The streams that are recorded whenever they are live, `*` standing for any text. Default none: on demand only.
    pub always: Vec<String>,
    /// When what is written must be on the disk itself. Default `segment`.
    pub sync: Durability,
    /// How much of the disk is left to others, in bytes. Default 268,435,456 (256 MiB). With less, recordings pause until there is more.
    pub min_free_bytes: u64,
    /// How often a recording that cannot be written tries again, in milliseconds, 100 to 60,000. Default 1,000.
    pub retry_ms: u64,
    /// Recordings at once. Default 1,000.
    pub max_running: usize,
    /// How long an ended recording is kept, in seconds, and how much of one that goes on. Default 0: for ever.
    pub keep_s: u64,
    /// How much all recordings may take, in bytes: the oldest ended ones go first, then the oldest segments of those that go on.
    /// Default 0: any amount.
    pub keep_bytes: u64,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::new(),
            always: Vec::new(),
            sync: Durability::default(),
            min_free_bytes: 256 << 20,
            retry_ms: 1_000,
            max_running: 1_000,
            keep_s: 0,
            keep_bytes: 0,
        }
    }
}
