//! Video as H.264 that is shown in the order it is sent: decoded and encoded again, picture by picture, with timestamps that
//! are those of the source.
//!
//! Three pieces, each of use by itself: a [`Decoder`] makes pictures of frames, a [`Scaler`] brings a picture into another
//! size or layout, an [`Encoder`] makes frames of pictures. A [`Rung`] is what one output needs of the latter two, so
//! that one decoder can feed several.
//!
//! # What comes out when
//! A picture leaves as soon as those that are shown before it have come, and bears the time of the frame it came in.
//! Keyframes stand where the source has them. No picture comes out twice or steps back: one that would is left out.

mod decode;
mod encode;
mod scale;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use decode::{Decoder, Picture};
use encode::{Encoder, Form};
use scale::Scaler;

use super::{Error, silence_ffmpeg};
use crate::{CodecParams, Frame, Timestamp, Track};

/// The longest frame that is decoded, in bytes.
pub const MAX_PICTURE_BYTES: usize = 16 << 20;
/// The largest picture that is decoded, in luma samples: 4K of the cinema, as level 5.1 of H.264 has it.
pub const MAX_PIXELS: u32 = 4_096 * 2_304;

/// Pictures per second where the source does not say, for the rate control.
const USUAL_RATE: (u32, u32) = (30, 1);

/// The size that is supposed where the source does not say it before its first picture.
const USUAL_SIZE: (u32, u32) = (1_280, 720);

/// How video is encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VideoOptions {
    /// Width and height of the pictures in pixels; odd numbers become the even ones below. Default `None`: those of the source.
    pub size: Option<(u32, u32)>,
    /// Bits per second. Default 0: a constant quality, within what pictures of such a size and rate usually need (0.12 bits per
    /// pixel: 3.3 Mbit/s for 720p30).
    pub bitrate_bps: u32,
    /// The name of FFmpeg's encoder. Default `None`: the first of `libx264`, `libopenh264`, `h264_videotoolbox`, `h264_nvenc`
    /// and `h264_mf` that works here.
    pub encoder: Option<String>,
}

/// Makes the frames of one video track into H.264 of the constrained baseline profile, which every browser plays (RFC 7742
/// §6.2).
pub struct VideoTranscoder {
    track: Track,
    decoder: Decoder,
    rung: Rung,
}

impl std::fmt::Debug for VideoTranscoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoTranscoder").field("track", &self.track).finish_non_exhaustive()
    }
}

impl VideoTranscoder {
    /// Makes video of `from` into H.264.
    ///
    /// # Errors
    /// [`Error::NoDecoder`], [`Error::NoEncoder`]; [`Error::Size`]; [`Error::Decode`] and [`Error::Encode`] when FFmpeg
    /// refuses the parameters.
    pub fn new(from: &Track, options: VideoOptions) -> Result<Self, Error> {
        silence_ffmpeg();
        let decoder = Decoder::new(&from.params)?;
        let rung = Rung::new(&from.params, options)?;
        let track = Track { params: rung.params().clone(), ..from.clone() };
        Ok(Self { track, decoder, rung })
    }

    /// The track that comes out. It changes where the source's pictures turn out to have another size, or other colours: at the
    /// frame that [`Self::push`] then gives.
    pub const fn track(&self) -> &Track {
        &self.track
    }

    /// Takes a frame and gives those that are complete with it: none, one or a few. Frames before the first keyframe give
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::Size`] and [`Error::TooLarge`] for a frame that is broken; [`Error::Encode`]. The next one may
    /// be better.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        self.take(frame, true)
    }

    /// Takes a frame that nobody will see, as others refer to it: it is decoded, which costs a tenth of encoding it. What comes
    /// out is older frames, if any. The next that is seen is a keyframe if one was passed over.
    ///
    /// # Errors
    /// Those of [`Self::push`].
    pub fn pass_over(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        self.take(frame, false)
    }

    /// Makes the next picture that comes out a keyframe.
    pub const fn make_keyframe(&mut self) {
        self.rung.owes_keyframe = true;
    }

    /// Gives what is left.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::Encode`].
    pub fn finish(mut self) -> Result<Vec<Frame>, Error> {
        self.decoder.finish()?;
        self.made()
    }

    fn take(&mut self, frame: &Frame, is_seen: bool) -> Result<Vec<Frame>, Error> {
        self.decoder.push(frame, is_seen)?;
        self.made()
    }

    fn made(&mut self) -> Result<Vec<Frame>, Error> {
        let mut made = Vec::new();
        while let Some(mut picture) = self.decoder.next_picture()? {
            for Made { pts, keyframe, payload } in self.rung.push(&mut picture)? {
                made.push(Frame { track: self.track.id, pts, dts: pts, keyframe, payload });
            }
        }
        if self.track.params != *self.rung.params() {
            self.track.params = self.rung.params().clone();
        }
        Ok(made)
    }
}

/// One output: pictures of one size, at one bit rate.
struct Rung {
    options: VideoOptions,
    rate: (u32, u32),
    encoder: Encoder,
    /// Pictures that the encoder was given so far.
    given: i64,
    /// Those that it has not given back yet, by number, and when they are shown.
    under_way: VecDeque<(i64, Timestamp)>,
    /// When the latest is shown.
    newest: Option<Timestamp>,
    owes_keyframe: bool,
}

/// A frame of a rung.
struct Made {
    pts: Timestamp,
    keyframe: bool,
    payload: bytes::Bytes,
}

impl Rung {
    fn new(from: &CodecParams, options: VideoOptions) -> Result<Self, Error> {
        let video = from.video().copied().unwrap_or_default();
        let rate = video.frame_rate.unwrap_or(USUAL_RATE);
        let size = match (video.width, video.height) {
            (0, 0) => USUAL_SIZE,
            size => size,
        };
        let form = Form::of_size(options.size.unwrap_or(size))?;
        let encoder = Encoder::new(form, rate, &options)?;
        let under_way = VecDeque::new();
        Ok(Self { options, rate, encoder, given: 0, under_way, newest: None, owes_keyframe: true })
    }

    const fn params(&self) -> &CodecParams {
        self.encoder.params()
    }

    fn push(&mut self, picture: &mut Picture) -> Result<Vec<Made>, Error> {
        self.owes_keyframe |= picture.keyframe;
        if !picture.is_seen || self.newest.is_some_and(|newest| picture.pts <= newest) {
            return Ok(Vec::new());
        }
        if picture.keyframe {
            self.fit(picture)?;
        }
        let number = self.given;
        (self.given, self.newest) = (number + 1, Some(picture.pts));
        self.under_way.push_back((number, picture.pts));
        let keyframe = self.owes_keyframe;
        let form = *self.encoder.form();
        match Scaler::between(&picture.image, &form) {
            None => self.encoder.push(&mut picture.image, number, keyframe)?,
            Some(scaler) => self.encoder.push(&mut scaler.run(&picture.image)?, number, keyframe)?,
        }
        self.owes_keyframe = false;
        let mut made = Vec::new();
        while let Some(encoded) = self.encoder.next_frame()? {
            let place = self.under_way.iter().position(|(number, _)| *number == encoded.number);
            let Some((_, pts)) = place.and_then(|at| self.under_way.drain(..=at).next_back()) else {
                continue;
            };
            made.push(Made { pts, keyframe: encoded.keyframe, payload: encoded.payload });
        }
        Ok(made)
    }

    /// Makes another encoder where the pictures from `picture` on are of another form.
    fn fit(&mut self, picture: &Picture) -> Result<(), Error> {
        let form = Form::of(&picture.image, self.options.size)?;
        if form != *self.encoder.form() {
            self.encoder = Encoder::new(form, self.rate, &self.options)?;
            self.under_way.clear();
        }
        Ok(())
    }
}
