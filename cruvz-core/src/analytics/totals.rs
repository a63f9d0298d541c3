//! Counters over the life of an engine, for metrics.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::srt::SrtStats;
use crate::{Protocol, Role, SessionInfo};

/// Everything counted since the engine began.
#[derive(Debug, Default)]
pub struct Totals(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sessions: BTreeMap<(&'static str, String), SessionTotals>,
    rejected: BTreeMap<(&'static str, &'static str), u64>,
    unsent: BTreeMap<&'static str, u64>,
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
    /// What SRT counted of the sessions that ended; zero for other protocols.
    pub srt: SrtTotals,
}

/// Packets of SRT sessions, counted as in [`SrtStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SrtTotals {
    /// Media packets, each counted once.
    pub packets: u64,
    /// Packets found missing.
    pub lost: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Packets given up.
    pub dropped: u64,
    /// Packets that came too late, or twice.
    pub belated: u64,
}

impl SrtTotals {
    /// Adds those of one more session.
    pub fn add(&mut self, stats: &SrtStats) {
        self.packets += stats.packets;
        self.lost += stats.lost_packets;
        self.retransmitted += stats.retransmitted_packets;
        self.dropped += stats.dropped_packets;
        self.belated += stats.belated_packets;
    }

    /// Each the larger of both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            packets: self.packets.max(other.packets),
            lost: self.lost.max(other.lost),
            retransmitted: self.retransmitted.max(other.retransmitted),
            dropped: self.dropped.max(other.dropped),
            belated: self.belated.max(other.belated),
        }
    }
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
        if let Some(stats) = &info.srt {
            totals.srt.add(stats);
        }
    }

    pub(crate) fn rejected(&self, protocol: Protocol, reason: &'static str) {
        *self.0.lock().rejected.entry((protocol.name(), reason)).or_default() += 1;
    }

    /// Datagrams that the system did not take.
    pub(crate) fn unsent(&self, protocol: Protocol, datagrams: u64) {
        *self.0.lock().unsent.entry(protocol.name()).or_default() += datagrams;
    }

    /// Datagrams that the system did not take, by protocol: they are repeated where that helps.
    pub fn unsent_datagrams(&self) -> Vec<(&'static str, u64)> {
        self.0.lock().unsent.iter().map(|(protocol, count)| (*protocol, *count)).collect()
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
