//! The handle that brings frames into a stream.

use std::sync::Arc;

use cruvz_media::{Frame, Tracks};

use super::stream::{LiveStream, PublisherId};
use crate::{
    Error,
    session::{OpenSession, Session},
};

/// Brings frames into a [`LiveStream`]. Dropping it is the end of this publisher, not yet of the stream: see
/// [`crate::config::HubConfig::grace_ms`].
///
/// ```no_run
/// # async fn run(engine: cruvz_core::Engine, tracks: cruvz_core::Tracks, frames: Vec<cruvz_core::Frame>) -> cruvz_core::Result<()> {
/// let mut publisher = engine.publish("live/cam".parse()?, tracks).await?;
/// for frame in frames {
///     publisher.write(frame)?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Publisher {
    stream: LiveStream,
    id: PublisherId,
    tracks: Tracks,
    session: OpenSession,
    goodbye: bool,
}

impl Publisher {
    pub(super) fn attach(stream: LiveStream, tracks: Tracks, session: OpenSession) -> Result<Self, Error> {
        let id = stream.attach(Some(&session))?;
        Ok(Self { stream, id, tracks, session, goodbye: false })
    }

    /// Says which tracks the frames from here on belong to.
    pub fn set_tracks(&mut self, tracks: Tracks) {
        if *self.tracks != *tracks {
            self.tracks = tracks;
        }
    }

    /// The tracks as last set.
    pub fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// Writes a frame. Never waits: the log is bounded by dropping the past.
    ///
    /// Timestamps are on the source's own clock, whatever its origin; jumps are mended on the way.
    ///
    /// # Errors
    /// `Closed` when the stream ended or another publisher took over; `InvalidArgument` for a track that was not set.
    pub fn write(&mut self, frame: Frame) -> Result<(), Error> {
        self.append(frame)?;
        self.flush();
        Ok(())
    }

    /// Writes a frame that readers learn of at the next [`Self::flush`]: for sources that bring several at once.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn append(&mut self, frame: Frame) -> Result<(), Error> {
        if let Some(reason) = self.session.end_reason() {
            return Err(Error::new(crate::ErrorKind::Closed, &*reason));
        }
        let bytes = frame.payload.len();
        self.stream.append(self.id, &self.tracks, frame)?;
        self.session.sent(bytes, 1);
        Ok(())
    }

    /// Tells readers of what was appended.
    pub fn flush(&self) {
        self.stream.flush();
    }

    /// Waits until a viewer needs a keyframe, at most every 300 ms: see [`LiveStream::request_keyframe`]. One that stands by
    /// as a backup waits until it feeds the stream.
    ///
    /// # Cancel safety
    /// No request is lost when the future is dropped.
    pub async fn keyframe_requested(&self) {
        self.stream.keyframe_requested(self.id).await;
    }

    /// Whether a viewer needs a keyframe, for publishers that look now and then rather than wait. Each request is told once.
    pub fn take_keyframe_request(&self) -> bool {
        self.stream.take_keyframe_request(self.id)
    }

    /// The stream it feeds.
    pub fn stream(&self) -> &LiveStream {
        &self.stream
    }

    /// Says goodbye: see [`crate::config::HubConfig::end_on_unpublish`].
    pub fn finish(mut self, reason: &str) {
        self.goodbye = true;
        self.session.because(reason);
    }

    /// Counts a frame that came but cannot be used.
    pub(crate) fn dropped(&self) {
        self.stream.count_dropped();
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn session_mut(&mut self) -> &mut OpenSession {
        &mut self.session
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stream.detach(self.id, self.goodbye);
    }
}
