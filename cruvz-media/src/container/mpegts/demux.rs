//! The demuxer as its users see it.

use super::{Counters, program::Program, sync::Sync};
use crate::{Frame, Tracks};

/// What a sender may make a [`Demuxer`] keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Streams of the program that are read, data counted. Default 16. Further ones in the program map are passed over.
    pub streams: usize,
    /// The longest PES packet of video, in bytes. Default 8 MiB; a keyframe must fit. Those of audio and data never
    /// have more than 64 KiB.
    pub pes_bytes: usize,
    /// Memory of unfinished PES packets and of held frames together, in bytes. Default 16 MiB. It grows with what has
    /// come, never with what was declared.
    pub buffered_bytes: usize,
    /// How long frames are held, in milliseconds of media time, until all tracks of the program have shown their
    /// configuration. Default 2,000; a track that shows it later is added then. Larger: a stream that is announced and
    /// never sent delays the start by as much.
    pub hold_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { streams: 16, pes_bytes: 8 << 20, buffered_bytes: 16 << 20, hold_ms: 2_000 }
    }
}

/// What was found in a transport stream.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// These are the tracks from now on. Never sent for the same ones again.
    Tracks(Tracks),
    /// A frame of one of the tracks, on the 90 kHz scale. Its times go on across the wrap of the 33-bit clock; where
    /// the sender's clock jumps, they jump.
    Frame(Frame),
}

/// Turns a transport stream into [`Event`]s.
///
/// Feed it with [`Self::push`], then take what came of it with [`Self::next_event`]. It reads one program: the first in
/// the program association, unless [`Self::program`] names another. Packets may be bare (188 bytes), with a time code
/// before each (192) or with parity behind (204).
///
/// ```
/// use cruvz_media::container::mpegts::{Demuxer, Limits};
///
/// let mut demuxer = Demuxer::new(Limits::default());
/// demuxer.push(&[0; 1_316]);
/// assert_eq!(demuxer.next_event(), None);
/// assert_eq!(demuxer.counters().skipped_bytes, 1_316);
/// ```
#[derive(Debug)]
pub struct Demuxer {
    sync: Sync,
    program: Program,
    counters: Counters,
}

impl Default for Demuxer {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Demuxer {
    /// A demuxer that has seen nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self { sync: Sync::default(), program: Program::new(limits), counters: Counters::default() }
    }

    /// Reads the program with this number instead of the first.
    #[must_use]
    pub fn program(mut self, number: u16) -> Self {
        self.program.choose(number);
        self
    }

    /// Takes the next bytes of the stream, cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        let Self { sync, program, counters } = self;
        sync.push(bytes, counters, |packet, counters| program.packet(packet, counters));
    }

    /// Says that no more will come: what only the next packet would have ended is given out, as are held frames.
    pub fn finish(&mut self) {
        self.program.finish(&mut self.counters);
    }

    /// What came of the bytes so far and was not taken yet, in order.
    pub fn next_event(&mut self) -> Option<Event> {
        self.program.next_event()
    }

    /// The tracks as of the last event that said so, taken or not.
    pub const fn tracks(&self) -> &Tracks {
        self.program.tracks()
    }

    /// What was wrong so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }
}
