//! Restreaming: a stream of ours to another server, again and again until it is stopped. The source notices nothing.

use std::time::Duration;

pub(crate) mod rtmp;
pub(crate) mod srt;

/// How long a push waits for its stream: practically for ever.
const PATIENCE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
