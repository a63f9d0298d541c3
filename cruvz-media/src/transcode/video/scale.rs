//! Pictures of any size and layout to those that an encoder takes.

use ffmpeg_next::{
    format::Pixel,
    frame,
    software::scaling::{Context, Flags},
};

use super::encode::Form;
use crate::{
    Codec,
    transcode::{Error, encode_error},
};

/// What encoders take: 8 bits, 4:2:0, of the range that television uses.
pub(super) const LAYOUT: Pixel = Pixel::YUV420P;

/// Brings pictures of one form into another.
///
/// FFmpeg's context for it may not leave its thread, so it is made for each picture: 0.1 ms, where scaling one takes 1 to 3.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scaler {
    to: (u32, u32),
}

impl Scaler {
    /// What makes a picture like `image` into one of `form`; `None` where it is one.
    pub(super) fn between(image: &frame::Video, form: &Form) -> Option<Self> {
        let same = image.format() == LAYOUT && (image.width(), image.height()) == form.size();
        (!same).then_some(Self { to: form.size() })
    }

    pub(super) fn run(&self, image: &frame::Video) -> Result<frame::Video, Error> {
        let (width, height) = self.to;
        let context = Context::get(
            image.format(),
            image.width(),
            image.height(),
            LAYOUT,
            width,
            height,
            Flags::BICUBIC,
        );
        let mut scaled = frame::Video::empty();
        let done = context.and_then(|mut context| context.run(image, &mut scaled));
        done.map_err(|error| encode_error(Codec::H264, error))?;
        Ok(scaled)
    }
}
