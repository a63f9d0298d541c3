//! Renditions: streams of the same picture in other sizes, which the publisher of a stream brings along.
//!
//! They are listed as any other, under names of their own (`live/cam~h`), and share the timeline and the sound of their stream. They
//! end with it, and wait through its grace as it does.

use std::sync::Arc;

use cruvz_media::{Frame, TrackId, TrackKind};
use parking_lot::MutexGuard;

use super::{Holder, LiveStream, PublisherId, Source, State, WeakStream};
use crate::{
    Error, ErrorKind, Role,
    hub::registry::{Hub, Interest},
};

/// On the timeline renditions are tracks beyond those that publishers have.
const FIRST_PLACE: u32 = 1 << 16;

impl LiveStream {
    /// Its renditions now.
    pub(crate) fn renditions(&self) -> Vec<Self> {
        let mut listed: MutexGuard<'_, Vec<WeakStream>> = self.0.renditions.lock();
        let renditions: Vec<_> = listed.iter().filter_map(WeakStream::upgrade).collect();
        listed.retain(|rendition| rendition.upgrade().is_some());
        drop(listed);
        renditions.into_iter().filter(|rendition| !rendition.has_ended()).collect()
    }

    /// Which of its renditions it shows, where it has some.
    pub(crate) fn layer(&self) -> Option<Arc<str>> {
        self.0.state.lock().layer.clone()
    }

    /// Says which of its renditions publisher `id` has it show.
    pub(in crate::hub) fn show_layer(&self, id: PublisherId, layer: Option<Arc<str>>) {
        let mut state = self.0.state.lock();
        if state.is_fed_by(id) {
            state.layer = layer;
        }
    }

    /// The rendition `layer` of it, for whoever publishes it: made if there is none, or gone on with.
    ///
    /// # Errors
    /// `AlreadyExists` when somebody publishes under that name; `Closed` when this stream ended; `LimitExceeded`; `InvalidArgument` for a
    /// name that is too long.
    pub(in crate::hub) fn open_rendition(&self, layer: &str) -> Result<(Self, PublisherId), Error> {
        let name = self.0.name.rendition(layer)?;
        let Interest(rendition) = &Hub::of(Arc::clone(&self.0.hub)).interest(&name, Role::Publish)?;
        let id = rendition.attach_placed()?;
        let mut listed = self.0.renditions.lock();
        if !listed.iter().any(|known| known.upgrade().is_some_and(|known| known.same(rendition))) {
            listed.push(rendition.downgrade());
        }
        drop(listed);
        // It may have ended meanwhile, and ended those that it knew.
        if let Some(reason) = self.end_reason() {
            rendition.end(&reason);
        }
        Ok((rendition.clone(), id))
    }

    fn attach_placed(&self) -> Result<PublisherId, Error> {
        let mut state = self.0.state.lock();
        let resumed = match &state.source {
            Source::Awaited => false,
            Source::Grace { .. } => true,
            // Of a publisher that was replaced and has not noticed yet.
            Source::Live { active, .. } if active.session.is_none() => true,
            Source::Live { .. } => {
                let detail = format!("{} has a publisher of its own", self.0.name);
                return Err(Error::new(ErrorKind::AlreadyExists, detail));
            }
            Source::Ended { reason } => {
                return Err(Error::new(ErrorKind::Closed, format!("{} just ended: {reason}", self.0.name)));
            }
        };
        state.last_publisher += 1;
        let id = PublisherId(state.last_publisher);
        state.begin_source(Holder { id, session: None }, resumed);
        state.placed = true;
        drop(state);
        self.0.changed.notify_waiters();
        Ok(id)
    }

    /// Moves a picture of its rendition `layer` onto its timeline, where each has the place of a track of its own. `None` while
    /// publisher `id` is not who feeds it, or nothing of it has come yet.
    pub(in crate::hub) fn place(&self, id: PublisherId, mut frame: Frame, layer: usize) -> Option<Frame> {
        let now = self.0.hub.clock.now();
        let track = TrackId(FIRST_PLACE.saturating_add(u32::try_from(layer).unwrap_or(u32::MAX)));
        let state: &mut State = &mut self.0.state.lock();
        if !state.is_fed_by(id) || state.gate.is_some() {
            return None;
        }
        let own = std::mem::replace(&mut frame.track, track);
        state.timeline.place(&mut frame, TrackKind::Video, now);
        frame.track = own;
        Some(frame)
    }

    /// The frame of that number, if it is still there.
    pub(in crate::hub) fn frame(&self, seq: u64) -> Option<Frame> {
        Some(self.0.state.lock().log.get(seq)?.frame.clone())
    }

    /// Payload bits per second of the last whole seconds.
    pub(crate) fn bitrate_bps(&self) -> Option<u64> {
        let now = self.0.hub.clock.now();
        self.0.state.lock().meter.bitrate_bps(now)
    }
}
