//! Counters over the life of an engine, for metrics.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::{Protocol, Role, SessionInfo};

/// Everything counted since the engine began.
#[derive(Debug, Default)]
pub struct Totals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<(&'static str, String), SessionTotals>,
    rejected: BTreeMap<(&'static str, &'static str), u64>,
}

/// The sessions of one protocol and role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionTotals {
    /// Sessions opened.
    pub opened: u64,
    /// Sessions ended.
    pub ended: u64,
    /// Bytes of the sessions that ended.
    pub bytes: u64,
    /// Frames of the sessions that ended.
    pub frames: u64,
    /// Frames not sent to viewers that were too slow, of the sessions that ended.
    pub dropped_frames: u64,
}

impl Totals {
    pub(crate) fn session_opened(&self, protocol: Protocol, role: Role) {
        self.0.lock().sessions.entry((protocol.name(), role.to_string())).or_default().opened += 1;
    }

    pub(crate) fn session_ended(&self, info: &SessionInfo) {
        let mut inner = self.0.lock();
        let totals = inner.sessions.entry((info.protocol.name(), info.role.to_string())).or_default();
        totals.ended += 1;
        totals.bytes += info.bytes;
        totals.frames += info.frames;
        totals.dropped_frames += info.dropped_frames;
    }

    pub(crate) fn rejected(&self, protocol: Protocol, reason: &'static str) {
        *self.0.lock().rejected.entry((protocol.name(), reason)).or_default() += 1;
    }

    /// Sessions by protocol and role.
    pub fn sessions(&self) -> Vec<(&'static str, String, SessionTotals)> {
        let inner = self.0.lock();
        inner.sessions.iter().map(|((protocol, role), totals)| (*protocol, role.clone(), *totals)).collect()
    }

    /// Refusals by protocol and reason.
    pub fn refusals(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.0
            .lock()
            .rejected
            .iter()
            .map(|((protocol, reason), count)| (*protocol, *reason, *count))
            .collect()
    }
}
