//! The handle that reads frames from a stream.

use cruvz_media::{Frame, Tracks};

use super::{
    registry::Interest,
    stream::{Entry, LiveStream, Read},
};
use crate::{Event, analytics::event::EventSink, config::Overflow, session::OpenSession};

/// Reads the frames of a [`LiveStream`], from its newest keyframe on. A cursor, not a queue: it holds nothing, and a reader
/// that is too slow jumps ahead to a keyframe.
#[derive(Debug)]
pub struct Subscriber {
    interest: Interest,
    next: Option<u64>,
    tracks: Tracks,
    lag_us: i64,
    overflow: Overflow,
    session: Option<OpenSession>,
    events: EventSink,
}

impl Subscriber {
    pub(super) fn new(
        interest: Interest,
        lag_us: i64,
        overflow: Overflow,
        session: Option<OpenSession>,
        events: EventSink,
    ) -> Self {
        Self { interest, next: None, tracks: Tracks::empty(), lag_us, overflow, session, events }
    }

    /// A cursor that nobody sees: without a session, and never too slow to go on.
    pub(super) fn unseen(interest: Interest) -> Self {
        let hub = interest.0.hub();
        let (lag_us, events) = (hub.egress.max_lag_us(), hub.events.clone());
        Self::new(interest, lag_us, Overflow::DropUntilKeyframe, None, events)
    }

    /// Begins at entry `next` rather than at the newest keyframe.
    pub(super) fn begin_at(&mut self, next: Option<u64>) {
        self.next = next;
    }

    /// The next frame, or `None` once the stream has ended (or this session was told to end).
    ///
    /// # Cancel safety
    /// No frame is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Frame> {
        self.next_entry().await.map(|entry| entry.frame)
    }

    /// The tracks as of the last frame. Compare with [`Tracks::same`] to see a change.
    pub fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// The stream it reads.
    pub fn stream(&self) -> &LiveStream {
        &self.interest.0
    }

    /// Begins at the oldest keyframe the log still has rather than at the newest.
    pub(crate) fn rewind(&mut self) {
        self.next = self.interest.0.oldest_start();
    }

    pub(crate) async fn next_entry(&mut self) -> Option<Entry> {
        loop {
            let stream = self.interest.0.clone();
            let changed = stream.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.session.as_ref().is_some_and(|session| session.end_reason().is_some()) {
                return None;
            }
            match stream.read(self.next, self.lag_us) {
                Read::Entry { missed, .. } if missed > 0 && self.overflow == Overflow::Disconnect => {
                    if let Some(session) = &mut self.session {
                        session.because("too slow");
                    }
                    return None;
                }
                Read::Entry { seq, missed, entry } => {
                    self.took(seq, missed, &entry);
                    return Some(entry);
                }
                Read::Ended(reason) => {
                    if let Some(session) = &mut self.session {
                        session.because(reason);
                    }
                    return None;
                }
                Read::Wait => self.wait(changed).await,
            }
        }
    }

    /// The next entry if it is there.
    pub(super) fn ready_entry(&mut self) -> Option<Entry> {
        match self.interest.0.read(self.next, self.lag_us) {
            Read::Entry { seq, missed, entry } => {
                self.took(seq, missed, &entry);
                Some(entry)
            }
            Read::Ended(_) | Read::Wait => None,
        }
    }

    async fn wait(&self, changed: std::pin::Pin<&mut tokio::sync::futures::Notified<'_>>) {
        match &self.session {
            Some(session) => tokio::select! {
                () = changed => {}
                _ = session.wait_end() => {}
            },
            None => changed.await,
        }
    }

    fn took(&mut self, seq: u64, missed: u64, entry: &Entry) {
        self.next = Some(seq + 1);
        if !self.tracks.same(&entry.tracks) {
            self.tracks = entry.tracks.clone();
        }
        let Some(session) = &self.session else { return };
        session.sent(entry.frame.payload.len(), 1);
        if missed > 0 {
            session.skipped(missed);
            let (stream, session) = (session.stream.clone(), session.id);
            self.events.send(Event::ViewerSkipped { stream, session, dropped_frames: missed });
        }
    }
}
