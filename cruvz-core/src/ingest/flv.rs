//! Tag bodies into a publisher: what RTMP publishers and RTMP pulls have in common.

use bytes::Bytes;
use cruvz_media::{
    container::flv::{self, Demuxer, TagKind},
    time::{ExactAudio, Unwrapper},
};

use crate::{
    Error, Publisher,
    protocol::rtmp::{MediaKind, MediaMessage},
};

/// A publisher and what turns its messages into frames with exact, unwrapped times.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) publisher: Publisher,
    demuxer: Demuxer,
    clock: Unwrapper,
    exact: ExactAudio,
    /// Whether a message that could not be used was logged.
    complained: bool,
}

impl Feed {
    pub(crate) fn new(publisher: Publisher) -> Self {
        let (demuxer, exact) = (Demuxer::default(), ExactAudio::default());
        Self { publisher, demuxer, clock: Unwrapper::RTMP, exact, complained: false }
    }

    /// Takes a message; readers learn of its frames at the publisher's next flush. One that cannot be used is counted and
    /// passed over.
    ///
    /// # Errors
    /// As [`Publisher::append`].
    pub(crate) fn append(&mut self, message: MediaMessage) -> Result<(), Error> {
        let kind = match message.kind {
            MediaKind::Audio => TagKind::Audio,
            MediaKind::Video => TagKind::Video,
            MediaKind::Data => TagKind::Script,
        };
        if let Err(error) = self.tag(kind, message.timestamp_ms, message.payload) {
            self.publisher.dropped();
            if !std::mem::replace(&mut self.complained, true) {
                let session = self.publisher.session();
                let (id, stream) = (session.id.0, &session.stream);
                tracing::warn!(session = id, %stream, %error, "a message cannot be used; more like it are only counted");
            }
        }
        while let Some(event) = self.demuxer.next_event() {
            match event {
                flv::Event::Tracks(tracks) => self.publisher.set_tracks(self.exact.tracks(&tracks)),
                flv::Event::Frame(mut frame) => {
                    self.exact.place(&mut frame);
                    self.publisher.append(frame)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn tag(&mut self, kind: TagKind, timestamp_ms: u32, body: Bytes) -> Result<(), flv::Error> {
        let at = self.clock.unwrap(u64::from(timestamp_ms));
        self.demuxer.tag(kind, at, body)
    }
}
