//! Which tracks of a stream go into its HLS rendition, and why the others do not.

use crate::{Codec, Track, TrackId, TrackKind, Tracks};

/// A track that HLS does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The track.
    pub track: TrackId,
    /// Its coding.
    pub codec: Codec,
    /// Why.
    pub reason: Reason,
}

/// Why a track is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// HLS has no place for this coding.
    #[error("HLS cannot carry this codec")]
    Codec,
    /// The decoder configuration is missing or cut short.
    #[error("the codec configuration is missing or too short")]
    Config,
    /// A muxed rendition has one video and one audio track: the first of each.
    #[error("another track of this kind comes first")]
    NotFirst,
}

/// The tracks of a muxed rendition: at most one of video, then at most one of audio.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) tracks: Vec<Track>,
    pub(super) unsupported: Vec<Unsupported>,
}

impl Selection {
    pub(super) fn of(tracks: &Tracks) -> Self {
        let mut selection = Self::default();
        for kind in [TrackKind::Video, TrackKind::Audio, TrackKind::Data] {
            for track in tracks.iter().filter(|track| track.kind() == kind) {
                selection.add(track);
            }
        }
        selection
    }

    fn add(&mut self, track: &Track) {
        use crate::container::cmaf::{Error, init_segment};
        let reason = match init_segment(std::slice::from_ref(track)) {
            Err(Error::ShortConfig { .. }) => Reason::Config,
            Err(_) => Reason::Codec,
            Ok(_) if self.tracks.iter().any(|other| other.kind() == track.kind()) => Reason::NotFirst,
            Ok(_) => return self.tracks.push(track.clone()),
        };
        self.unsupported.push(Unsupported { track: track.id, codec: track.params.codec, reason });
    }

    pub(super) fn has_video(&self) -> bool {
        self.tracks.iter().any(|track| track.kind() == TrackKind::Video)
    }
}
