//! One track in another codec, by FFmpeg (`cruvz_media::transcode`). In a build without the feature `transcode` there is none, so
//! nothing of one can be called.

use cruvz_media::{Codec, Frame, Track};
#[cfg(feature = "transcode")]
use cruvz_media::{
    Timestamp, TrackKind,
    transcode::{AudioOptions, AudioTranscoder, VideoOptions, VideoTranscoder},
};

use crate::config::EgressConfig;

/// Where pictures are made too late, one in so many µs is made all the same: it moves on, if not well.
#[cfg(feature = "transcode")]
const LEAST_US: i64 = 250_000;

#[cfg(feature = "transcode")]
pub(super) enum Transcoder {
    Audio(AudioTranscoder),
    /// `seen`: the newest frame that was not passed over.
    Video {
        video: VideoTranscoder,
        seen: Option<Timestamp>,
    },
}

#[cfg(not(feature = "transcode"))]
pub(super) enum Transcoder {}

#[cfg(feature = "transcode")]
impl Transcoder {
    /// Makes `from` into `to`.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn new(from: &Track, to: Codec, egress: &EgressConfig) -> Result<Self, String> {
        let made = if from.kind() == TrackKind::Audio {
            let options = AudioOptions::new(egress.audio_bitrate_bps);
            AudioTranscoder::new(&from.params, to, options).map(Self::Audio)
        } else {
            let mut options = VideoOptions::default();
            options.bitrate_bps = egress.video_bitrate_bps;
            VideoTranscoder::new(from, options).map(|video| Self::Video { video, seen: None })
        };
        made.map_err(|error| error.to_string())
    }

    /// What is made of a frame. Of most pictures that are `late` nothing is.
    pub(super) fn push(&mut self, frame: &Frame, late: bool) -> Result<Vec<Frame>, String> {
        let made = match self {
            Self::Audio(audio) => audio.push(frame),
            Self::Video { video, seen } => {
                // Before the first of all, nobody is waiting.
                let since_us = seen.map_or(0, |seen| frame.pts.micros_since(seen));
                if late && since_us.saturating_abs() < LEAST_US {
                    video.pass_over(frame)
                } else {
                    *seen = Some(frame.pts);
                    video.push(frame)
                }
            }
        };
        made.map_err(|error| error.to_string())
    }

    /// The track that comes out.
    pub(super) const fn track(&self) -> &Track {
        match self {
            Self::Audio(audio) => audio.track(),
            Self::Video { video, .. } => video.track(),
        }
    }
}

#[cfg(not(feature = "transcode"))]
impl Transcoder {
    pub(super) fn new(from: &Track, to: Codec, _: &EgressConfig) -> Result<Self, String> {
        Err(format!("{} is not made into {to}: this build has no transcoding", from.params.codec))
    }

    pub(super) fn push(&mut self, _: &Frame, _: bool) -> Result<Vec<Frame>, String> {
        match *self {}
    }

    pub(super) fn track(&self) -> &Track {
        match *self {}
    }
}
