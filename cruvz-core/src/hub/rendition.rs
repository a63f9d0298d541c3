//! A publisher's hold on a rendition: see [`LiveStream::renditions`].

use cruvz_media::{Frame, Track, Tracks};

use super::stream::{LiveStream, PublisherId};
use crate::Error;

/// See the module. Dropping it begins the rendition's grace, as a publisher's does.
#[derive(Debug)]
pub(super) struct Rendition {
    /// As its publisher numbers it.
    layer: usize,
    stream: LiveStream,
    id: PublisherId,
    /// The tracks of its origin, and what it has itself: a picture of its own, and the rest.
    origin: Tracks,
    tracks: Tracks,
}

impl Rendition {
    /// The rendition `name` of `origin`.
    ///
    /// # Errors
    /// As [`LiveStream::open_rendition`].
    pub(super) fn open(origin: &LiveStream, layer: usize, name: &str) -> Result<Self, Error> {
        let (stream, id) = origin.open_rendition(name)?;
        Ok(Self { layer, stream, id, origin: Tracks::empty(), tracks: Tracks::empty() })
    }

    pub(super) fn layer(&self) -> usize {
        self.layer
    }

    pub(super) fn flush(&self) {
        self.stream.flush();
    }

    /// Whether its viewers need a keyframe; told once.
    pub(super) fn take_keyframe_request(&self) -> bool {
        self.stream.take_keyframe_request(self.id)
    }

    /// From here on its picture is `track`, and the rest that of `origin`.
    pub(super) fn retrack(&mut self, track: &Track, origin: &Tracks) {
        if self.origin.same(origin) && self.tracks.by_id(track.id) == Some(track) {
            return;
        }
        let others = origin.iter().filter(|other| other.id != track.id);
        self.tracks = Tracks::new(std::iter::once(track).chain(others).cloned().collect());
        self.origin = origin.clone();
    }

    /// Takes a frame that has its place on the timeline already.
    ///
    /// # Errors
    /// `Closed` when somebody else has it, or it ended.
    pub(super) fn append(&self, frame: Frame) -> Result<(), Error> {
        self.stream.append(self.id, &self.tracks, frame).map(|_| ())
    }
}

impl Drop for Rendition {
    fn drop(&mut self) {
        self.stream.detach(self.id, false);
    }
}
