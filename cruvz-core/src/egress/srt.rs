//! SRT to players: a place in the stream's packets, and a state machine that numbers, encrypts and repeats them.

use std::{sync::Arc, time::Duration};

use super::{
    patience::Patience,
    ring::{PacketRing, Packets},
};
use crate::{
    Event,
    protocol::srt::{Connection, PacketLog, Run},
    runtime::context::Context,
    session::OpenSession,
};

/// How long after the end of its stream, and the latency, a viewer is sent what it lacks.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long after the end and the latency a viewer that lacks nothing needs to play it out.
const PLAYING_OUT: Duration = Duration::from_millis(100);

impl PacketLog for Packets {
    fn first(&self) -> u64 {
        self.first()
    }

    fn end(&self) -> u64 {
        self.end()
    }

    fn packet(&self, index: u64) -> Option<(&[u8], Duration)> {
        self.get(index).map(|payload| (&payload.bytes[..], payload.origin))
    }

    fn restart(&self) -> u64 {
        self.newest_start()
    }

    fn preface(&self, index: u64) -> Option<bytes::Bytes> {
        self.get(index)?.preface.clone().filter(|preface| !preface.is_empty())
    }
}

/// A player's side of an SRT connection.
pub(crate) struct Viewer {
    ring: Arc<PacketRing>,
    pub(crate) session: OpenSession,
    patience: Patience,
    /// Frames of the stream that began before its place when it was last looked at.
    frames: Option<u64>,
    /// Packets that it has passed over, as the connection counts them.
    skipped: u64,
    /// Frames in its last jump, which nobody was told of yet.
    missed: Option<u64>,
}

impl Viewer {
    pub(crate) fn new(ring: Arc<PacketRing>, session: OpenSession) -> Self {
        Self { ring, session, patience: Patience::default(), frames: None, skipped: 0, missed: None }
    }

    /// Fills `out` with the next datagrams that are due.
    pub(crate) fn fill(
        &mut self,
        now: Duration,
        connection: &mut Connection,
        out: &mut Vec<u8>,
    ) -> Option<Run> {
        let packets = self.ring.gather(now);
        let restart = packets.frames_before(packets.newest_start());
        let run = connection.fill(now, &*packets, out);
        let skipped = connection.stats().sent.skipped;
        let frames = packets.frames_before(connection.position().unwrap_or_else(|| packets.newest_start()));
        drop(packets);
        let mut from = self.frames.unwrap_or(restart);
        if skipped > self.skipped {
            (self.skipped, self.missed) = (skipped, Some(restart.saturating_sub(from)));
            from = restart;
        }
        if run.is_some() {
            self.session.sent(out.len(), frames.saturating_sub(from));
        }
        self.frames = Some(frames);
        run
    }

    /// Tells of a jump, if there was one. Whether the viewer may go on.
    pub(crate) fn keeps_up(&mut self, now: Duration, context: &Context) -> bool {
        let Some(missed) = self.missed.take() else { return true };
        self.session.skipped(missed);
        let (stream, session) = (self.session.stream.clone(), self.session.id);
        context.events.send(Event::ViewerSkipped { stream, session, dropped_frames: missed });
        self.patience.bears_skip(context.config.egress.overflow, now)
    }

    /// Why it is over, once the stream has ended and everything was sent and had its time to be repeated.
    ///
    /// A goodbye makes some players throw away what they hold back, which is as much as `latency`.
    pub(crate) fn ended(
        &self,
        connection: &Connection,
        latency: Duration,
        now: Duration,
    ) -> Option<Arc<str>> {
        let packets = self.ring.gather(now);
        let reason = packets.ended()?;
        let end = packets.end();
        let sent = connection.position().is_some_and(|position| position >= end);
        let all = sent && connection.stats().sent.in_flight == 0;
        let passed = packets.newest().map_or(Duration::MAX, |newest| now.saturating_sub(newest));
        let over = passed > latency + PATIENCE || all && passed > latency + PLAYING_OUT;
        over.then(|| Arc::clone(reason))
    }
}
