//! Transport streams into a publisher: what SRT and UDP have in common.

use cruvz_media::{
    container::mpegts::{Demuxer, Event, Limits},
    time::ExactAudio,
};

use crate::{Error, Publisher, analytics::mpegts::MpegTsStats};

/// A publisher and what turns its packets into frames with exact times.
#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) publisher: Publisher,
    demuxer: Demuxer,
    exact: ExactAudio,
    /// What was wrong, as far as the session was told.
    told: MpegTsStats,
}

impl Feed {
    pub(crate) fn new(publisher: Publisher, limits: Limits) -> Self {
        Self::with(publisher, Demuxer::new(limits))
    }

    /// For a demuxer that is set up already.
    pub(crate) fn with(publisher: Publisher, demuxer: Demuxer) -> Self {
        let told = MpegTsStats::default();
        publisher.session().set_mpegts(told);
        Self { publisher, demuxer, exact: ExactAudio::default(), told }
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
        let stats = MpegTsStats::of(&self.demuxer.counters());
        if stats != self.told {
            for _ in self.told.dropped_units..stats.dropped_units {
                self.publisher.dropped();
            }
            self.publisher.session().set_mpegts(stats);
            self.told = stats;
        }
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
