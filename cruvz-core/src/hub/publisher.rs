//! The handle that brings frames into a stream.

use std::sync::Arc;

use cruvz_media::{Frame, Track, TrackKind, Tracks};

use super::{
    rendition::Rendition,
    stream::{LiveStream, PublisherId},
};
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
    renditions: Vec<Rendition>,
}

impl Publisher {
    pub(super) fn attach(stream: LiveStream, tracks: Tracks, session: OpenSession) -> Result<Self, Error> {
        let id = stream.attach(Some(&session))?;
        Ok(Self { stream, id, tracks, session, goodbye: false, renditions: Vec::new() })
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
        let (bytes, track) = (frame.payload.len(), frame.track);
        let seq = self.stream.append(self.id, &self.tracks, frame)?;
        self.session.sent(bytes, 1);
        if let Some(seq) = seq
            && !self.renditions.is_empty()
            && self.tracks.by_id(track).is_some_and(|track| track.kind() != TrackKind::Video)
            && let Some(frame) = self.stream.frame(seq)
        {
            self.renditions.retain(|rendition| rendition.append(frame.clone()).is_ok());
        }
        Ok(())
    }

    /// Tells readers of what was appended.
    pub fn flush(&self) {
        self.renditions.iter().for_each(Rendition::flush);
        self.stream.flush();
    }

    /// Brings a picture of `layer`, which is called `name`, into the rendition of that name, whose picture is `track`. It begins with a
    /// keyframe, once the stream itself has begun. Whether it needs one to begin.
    pub(crate) fn append_layer(&mut self, (layer, name): (usize, &str), track: &Track, frame: Frame) -> bool {
        let Some(frame) = self.stream.place(self.id, frame, layer) else { return false };
        let at = match self.renditions.iter().position(|rendition| rendition.layer() == layer) {
            Some(at) => at,
            None if !frame.keyframe => return true,
            None => match Rendition::open(&self.stream, layer, name) {
                Ok(rendition) => {
                    self.renditions.push(rendition);
                    self.renditions.len() - 1
                }
                Err(error) => {
                    tracing::debug!(stream = %self.stream.name(), layer = name, %error, "no rendition");
                    return false;
                }
            },
        };
        let rendition = &mut self.renditions[at];
        rendition.retrack(track, &self.tracks);
        if rendition.append(frame).is_err() {
            self.renditions.remove(at);
        }
        false
    }

    /// Says which of its layers the stream itself shows.
    pub(crate) fn show_layer(&self, name: &str) {
        self.stream.show_layer(self.id, Some(name.into()));
    }

    /// The layers whose viewers need a keyframe; each request is told once.
    pub(crate) fn take_layer_requests(&self) -> impl Iterator<Item = usize> {
        let asked = self.renditions.iter().filter(|rendition| rendition.take_keyframe_request());
        asked.map(Rendition::layer)
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
