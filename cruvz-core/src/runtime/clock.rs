//! The engine's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A monotonic clock that began with the engine, and the wall clock as it was then.
///
/// Media timing uses only the monotonic side, so that a step of the system clock stalls nobody. Under tokio's paused
/// time the clock stands still until a test moves it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    origin_unix_us: i64,
}

impl Clock {
    /// A clock that begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), origin_unix_us: i64::try_from(wall.as_micros()).unwrap_or(i64::MAX) }
    }

    /// The time since the clock began.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> Duration {
        Instant::now().duration_since(self.origin)
    }

    /// The moment `at` of this clock, for a timer.
    pub fn instant(&self, at: Duration) -> Instant {
        self.origin + at
    }

    /// Microseconds since 1970 (UTC) at the moment `at` of this clock.
    pub fn unix_us(&self, at: Duration) -> i64 {
        self.origin_unix_us.saturating_add(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
    }
}
