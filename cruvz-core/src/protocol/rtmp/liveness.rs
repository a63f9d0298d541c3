//! Whether the peer is still there.

use std::time::Duration;

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Ping,
    Dead,
}

/// Notices a silent peer. Bytes are dated by the next look at the clock, so a verdict may be late by as much as
/// the looks are apart.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// When bytes were last known to have come.
    heard_at: Duration,
    heard: bool,
    pinged: bool,
}

impl Liveness {
    /// When bytes were last known to have come.
    pub(super) const fn heard_at(&self) -> Duration {
        self.heard_at
    }

    pub(super) const fn hear(&mut self) {
        self.heard = true;
    }

    /// Judges the silence at `now`.
    pub(super) fn judge(&mut self, now: Duration, ping_after: Duration, dead_after: Duration) -> Verdict {
        if self.heard {
            *self = Self { heard_at: now, heard: false, pinged: false };
        }
        let silence = now.saturating_sub(self.heard_at);
        if silence >= dead_after {
            return Verdict::Dead;
        }
        if silence >= ping_after && !self.pinged {
            self.pinged = true;
            return Verdict::Ping;
        }
        Verdict::Fine
    }

    /// When to judge next, if nothing comes until then.
    pub(super) fn next_look(&self, ping_after: Duration, dead_after: Duration) -> Duration {
        let wait = if self.pinged { dead_after } else { ping_after.min(dead_after) };
        self.heard_at.saturating_add(wait)
    }
}
