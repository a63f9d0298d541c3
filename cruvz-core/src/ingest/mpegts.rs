//! Transport streams into a publisher: what SRT and UDP have in common.

use cruvz_media::{
    container::mpegts::{Demuxer, Event, Limits},
    time::ExactAudio,
};

use crate::{Error, Publisher};

/// A publisher and what turns its packets into frames with exact times.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) publisher: Publisher,
    demuxer: Demuxer,
    exact: ExactAudio,
    /// Access units that could not be used, as far as they were counted.
    dropped: u64,
}

impl Feed {
    pub(crate) fn new(publisher: Publisher, limits: Limits) -> Self {
        Self { publisher, demuxer: Demuxer::new(limits), exact: ExactAudio::default(), dropped: 0 }
    }

    /// Takes the next bytes; readers learn of their frames at the publisher's next flush. What cannot be used is counted
    /// and passed over.
    ///
    /// # Errors
    /// As [`Publisher::append`].
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.demuxer.push(bytes);
        self.drain()
    }

    /// Gives out what only the next bytes would have ended.
    ///
    /// # Errors
    /// As [`Publisher::append`].
    pub(crate) fn finish(&mut self) -> Result<(), Error> {
        self.demuxer.finish();
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Error> {
        self.publisher.session().set_continuity_errors(self.demuxer.counters().continuity_errors);
        let dropped = self.demuxer.counters().dropped();
        for _ in self.dropped..dropped {
            self.publisher.dropped();
        }
        self.dropped = dropped;
        while let Some(event) = self.demuxer.next_event() {
            match event {
                Event::Tracks(tracks) => self.publisher.set_tracks(self.exact.tracks(&tracks)),
                Event::Frame(mut frame) => {
                    self.exact.place(&mut frame);
                    self.publisher.append(frame)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
