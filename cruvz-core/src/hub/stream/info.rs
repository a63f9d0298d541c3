//! A stream and its tracks as plain values.

use cruvz_media::TrackKind;
use serde::Serialize;

use crate::{
    SessionId, StreamName,
    analytics::samples::{Sample, StreamTotals},
    hub::view::{LeftOut, Transcoded},
};

/// A stream as the API shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub name: StreamName,
    /// `awaited`, `live`, `grace` or `ended`.
    pub state: &'static str,
    /// The stream that it is a rendition of, if it is one.
    pub rendition_of: Option<StreamName>,
    /// Of a stream with renditions: the one that it shows, as `f` of `live/cam~f`.
    pub layer: Option<String>,
    /// The session that publishes it, if it is not code, and it no rendition.
    pub publisher: Option<SessionId>,
    /// Its tracks.
    pub tracks: Vec<TrackInfo>,
    /// Running totals.
    pub totals: StreamTotals,
    /// The newest finished second.
    pub latest: Sample,
    /// Bytes its log holds.
    pub log_bytes: usize,
    /// Tracks that the viewers of some protocol do not get, as long as it has viewers.
    pub left_out: Vec<LeftOut>,
    /// Tracks that the viewers of some protocol get in another form, as long as it has viewers.
    pub transcoded: Vec<Transcoded>,
}

/// A track as the API shows it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TrackInfo {
    /// Its id within the stream.
    pub id: u32,
    /// `audio`, `video` or `data`.
    pub kind: &'static str,
    /// The codec's name, as in `H.264`.
    pub codec: &'static str,
    /// The RFC 6381 codec string, as in `avc1.64001f`.
    pub rfc6381: String,
    /// Width in pixels, of video.
    pub width: Option<u32>,
    /// Height in pixels, of video.
    pub height: Option<u32>,
    /// Frames per second as the headers state it, of video.
    pub fps: Option<f64>,
    /// Whether frames are reordered (B-frames), of video, where the headers state it.
    pub reordered: Option<bool>,
    /// Samples per second, of audio.
    pub sample_rate_hz: Option<u32>,
    /// Channels, of audio.
    pub channels: Option<u8>,
}

impl TrackInfo {
    pub(super) fn of(track: &cruvz_media::Track) -> Self {
        let (video, audio) = (track.params.video(), track.params.audio());
        Self {
            id: track.id.0,
            kind: match track.kind() {
                TrackKind::Audio => "audio",
                TrackKind::Data => "data",
                TrackKind::Video => "video",
            },
            codec: track.params.codec.name(),
            rfc6381: track.params.rfc6381.clone(),
            width: video.map(|video| video.width),
            height: video.map(|video| video.height),
            fps: video
                .and_then(|video| video.frame_rate)
                .map(|(num, den)| f64::from(num) / f64::from(den.max(1))),
            reordered: video.and_then(|video| video.reorder_depth).map(|depth| depth > 0),
            sample_rate_hz: audio.map(|audio| audio.sample_rate_hz),
            channels: audio.map(|audio| audio.channels),
        }
    }
}
