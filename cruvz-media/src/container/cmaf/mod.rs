//! Fragmented MP4 as CMAF and HLS use it: an initialisation segment per set of tracks, then fragments.
//!
//! [`init_segment`] turns [`Track`]s into `ftyp` and `moov`; [`fragment`] turns samples into a `moof`, the head of an
//! `mdat` and the payloads themselves, as slices: media is never copied. Decoder configuration records go into their
//! boxes as they came, because re-encoding one loses what this code does not know. Several tracks may share a fragment
//! (one `traf` each), which is what a muxed HLS rendition is.
//!
//! Source: ISO/IEC 14496-12 (boxes), 14496-14 and -15 (AAC, AVC, HEVC), 23000-19 (CMAF), and the ISOBMFF bindings of
//! AV1, VP9, Opus, FLAC and ETSI TS 102 366 annex F (AC-3).

pub(super) mod boxes;
mod fragment;
pub(super) mod init;
mod sample_entry;

pub use fragment::{Run, Sample, fragment};
pub use init::init_segment;

use crate::{Codec, Timescale, Track, TrackKind};

/// Why something cannot be written as fragmented MP4.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The codec has no place in ISO media files, or none that players read.
    #[error("{0} cannot be carried in fragmented MP4")]
    UnsupportedCodec(Codec),
    /// The decoder configuration record is missing or cut short.
    #[error("the {codec} configuration record has {len} bytes, too few")]
    ShortConfig {
        /// The coding.
        codec: Codec,
        /// Bytes in the record.
        len: usize,
    },
    /// More than a `trun`'s 31-bit data offset can reach.
    #[error("a fragment of {0} bytes is too large")]
    FragmentTooLarge(u64),
}

/// The scale a track is written in.
///
/// Audio counts samples, so that frame durations are whole; Opus always counts 48 kHz (Opus in ISOBMFF §4.3.4). Video
/// keeps a scale of its own from 10 kHz to 1 MHz, and otherwise (RTMP's milliseconds) gets 90 kHz.
pub fn timescale(track: &Track) -> Timescale {
    match track.kind() {
        TrackKind::Audio if track.params.codec == Codec::Opus => Timescale::new(48_000),
        TrackKind::Audio => track.params.audio().and_then(|audio| Timescale::new(audio.sample_rate_hz)),
        TrackKind::Video if (10_000..=1_000_000).contains(&track.timescale.hz()) => Some(track.timescale),
        TrackKind::Video | TrackKind::Data => None,
    }
    .unwrap_or(Timescale::MPEG)
}

#[cfg(test)]
mod tests;
