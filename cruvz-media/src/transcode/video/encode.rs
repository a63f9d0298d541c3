//! Pictures to H.264, by libx264 or another of FFmpeg's encoders.

use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Packet, Rational,
    codec::{Context, Id},
    color, encoder, frame, picture,
};

use super::{MAX_PIXELS, VideoOptions, scale::LAYOUT};
use crate::{
    Codec, CodecParams,
    codec::{
        access_unit::{AccessUnit, InBandSets},
        nal,
    },
    transcode::{Error, encode_error, is_all},
};

/// By preference: quality for its bit rate first.
const ENCODERS: [&str; 5] = ["libx264", "libopenh264", "h264_videotoolbox", "h264_nvenc", "h264_mf"];
/// Pixels that one thread is given: 720p. What is larger is cut into slices, so that a picture is not late.
const PIXELS_PER_THREAD: u32 = 1_280 * 720;
const MAX_THREADS: u32 = 4;
/// Bits per 100 pixels that a picture may have in the long run, where no bit rate is wished for.
const BITS_PER_100_PIXELS: u64 = 12;
const BITRATE_BPS: std::ops::RangeInclusive<u64> = 200_000..=50_000_000;
/// The most frames between keyframes, which are the source's: as many as the encoders can count.
const GOP: u32 = 1 << 20;
const MAX_RATE: u32 = 240;

/// What pictures are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Form {
    width: u32,
    height: u32,
    colour: Colour,
}

/// How samples are colours (ISO/IEC 23091-2).
#[derive(Clone, Copy, Debug, PartialEq)]
struct Colour {
    primaries: color::Primaries,
    transfer: color::TransferCharacteristic,
    matrix: color::Space,
}

impl Form {
    /// Pictures of such a size of which nothing else is known.
    pub(super) fn of_size((width, height): (u32, u32)) -> Result<Self, Error> {
        let colour = Colour {
            primaries: color::Primaries::Unspecified,
            transfer: color::TransferCharacteristic::Unspecified,
            matrix: color::Space::Unspecified,
        };
        if width < 2 || height < 2 || u64::from(width) * u64::from(height) > u64::from(MAX_PIXELS) {
            return Err(Error::Size { width, height });
        }
        // A sample of colour stands for two by two pixels.
        Ok(Self { width: width & !1, height: height & !1, colour })
    }

    /// Pictures like `image`, in another `size` if one is wished for.
    pub(super) fn of(image: &frame::Video, size: Option<(u32, u32)>) -> Result<Self, Error> {
        let form = Self::of_size(size.unwrap_or_else(|| (image.width(), image.height())))?;
        // What else there is, as RGB, is converted.
        if image.color_space() == color::Space::RGB {
            return Ok(form);
        }
        let colour = Colour {
            primaries: image.color_primaries(),
            transfer: image.color_transfer_characteristic(),
            matrix: image.color_space(),
        };
        Ok(Self { colour, ..form })
    }

    pub(super) const fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn threads(&self) -> u32 {
        (self.width * self.height).div_ceil(PIXELS_PER_THREAD).clamp(1, MAX_THREADS)
    }

    /// Bits per second that pictures of it may take at `rate`.
    fn bitrate_bps(&self, (num, den): (u32, u32)) -> u64 {
        let per_picture = u64::from(self.width * self.height) * BITS_PER_100_PIXELS / 100;
        (per_picture * u64::from(num) / u64::from(den)).clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end())
    }
}

/// Encodes pictures of one form. Each comes out before the next goes in.
pub(super) struct Encoder {
    form: Form,
    encoder: encoder::video::Encoder,
    sets: InBandSets,
    params: CodecParams,
}

/// A frame, and the number of its picture.
pub(super) struct Encoded {
    pub(super) number: i64,
    pub(super) keyframe: bool,
    pub(super) payload: Bytes,
}

impl Encoder {
    pub(super) fn new(form: Form, rate: (u32, u32), options: &VideoOptions) -> Result<Self, Error> {
        let rate = sane(rate);
        let wished = options.encoder.as_deref();
        let names = wished.map_or(&ENCODERS[..], |_| &[]).iter().copied().chain(wished);
        let mut refused = Error::NoEncoder(Codec::H264);
        for found in names.filter_map(encoder::find_by_name).filter(|found| found.id() == Id::H264) {
            match open(found, form, rate, options).and_then(|encoder| Self::try_out(form, encoder)) {
                Ok(encoder) => return Ok(encoder),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Encodes a grey picture, to learn the parameter sets, and that nothing is held back.
    fn try_out(form: Form, encoder: encoder::video::Encoder) -> Result<Self, Error> {
        let sets = InBandSets::new(Codec::H264);
        let unknown = crate::codec::parse(Codec::Vp8, Bytes::new()).map_err(failed)?;
        let mut tried = Self { form, encoder, sets, params: unknown };
        let mut grey = frame::Video::new(LAYOUT, form.width, form.height);
        (0..grey.planes()).for_each(|plane| grey.data_mut(plane).fill(0x80));
        tried.push(&mut grey, -1, true)?;
        if tried.next_frame()?.is_none() {
            return Err(failed("the encoder holds pictures back"));
        }
        if tried.sets.params().is_none() {
            return Err(failed("the encoder does not put parameter sets before keyframes"));
        }
        Ok(tried)
    }

    pub(super) const fn form(&self) -> &Form {
        &self.form
    }

    pub(super) const fn params(&self) -> &CodecParams {
        &self.params
    }

    /// Takes a picture of its form by a `number`, each greater than the one before.
    pub(super) fn push(
        &mut self,
        image: &mut frame::Video,
        number: i64,
        keyframe: bool,
    ) -> Result<(), Error> {
        image.set_pts(Some(number));
        // What it was in the source is of no interest.
        image.set_kind(if keyframe { picture::Type::I } else { picture::Type::None });
        self.encoder.send_frame(image).map_err(failed)
    }

    /// The next frame that is done.
    pub(super) fn next_frame(&mut self) -> Result<Option<Encoded>, Error> {
        let mut packet = Packet::empty();
        match self.encoder.receive_packet(&mut packet) {
            Ok(()) => {}
            Err(error) if is_all(error) => return Ok(None),
            Err(error) => return Err(failed(error)),
        }
        let (Some(data), Some(number)) = (packet.data(), packet.pts()) else { return Ok(None) };
        let mut unit = AccessUnit::with_capacity(Codec::H264, data.len() + 16);
        nal::annex_b_units(data).for_each(|nal| unit.push(nal));
        if let Some(params) = self.sets.learn(&unit).map_err(failed)? {
            self.params = params;
        }
        let payload = self.sets.payload(unit);
        Ok(Some(Encoded { number, keyframe: packet.is_key(), payload }))
    }
}

fn open(
    found: ffmpeg_next::Codec,
    form: Form,
    rate: (u32, u32),
    options: &VideoOptions,
) -> Result<encoder::video::Encoder, Error> {
    let mut video = Context::new_with_codec(found).encoder().video().map_err(failed)?;
    video.set_width(form.width);
    video.set_height(form.height);
    video.set_format(LAYOUT);
    video.set_color_range(color::Range::MPEG);
    video.set_color_primaries(form.colour.primaries);
    video.set_color_transfer_characteristic(form.colour.transfer);
    video.set_colorspace(form.colour.matrix);
    video.set_time_base(Rational::new(rate.1 as i32, rate.0 as i32));
    video.set_frame_rate(Some(Rational::new(rate.0 as i32, rate.1 as i32)));
    video.set_max_b_frames(0);
    video.set_gop(GOP);
    let limit_bps = match options.bitrate_bps {
        0 => form.bitrate_bps(rate),
        wished => u64::from(wished).clamp(*BITRATE_BPS.start(), *BITRATE_BPS.end()),
    };
    let is_x264 = found.name() == "libx264";
    let mut settings = Dictionary::new();
    settings.set("threads", &form.threads().to_string());
    settings.set("maxrate", &limit_bps.to_string());
    // Half a second: a keyframe may take a few frames' time on the way, and no more.
    settings.set("bufsize", &(limit_bps / 2).to_string());
    if !is_x264 || options.bitrate_bps > 0 {
        video.set_bit_rate(usize::try_from(limit_bps).unwrap_or(usize::MAX));
    }
    if is_x264 {
        settings.set("preset", "veryfast");
        settings.set("tune", "zerolatency");
        settings.set("profile", "baseline");
        settings.set("forced-idr", "1");
        settings.set("x264-params", "scenecut=0");
        if options.bitrate_bps == 0 {
            settings.set("crf", "23");
        }
    }
    video.open_as_with(found, settings).map_err(failed)
}

/// `rate` if pictures can come that fast, else the nearest that they can.
fn sane((num, den): (u32, u32)) -> (u32, u32) {
    match (num, den) {
        (0, _) | (_, 0) => super::USUAL_RATE,
        (num, den) if u64::from(num) > u64::from(den) * u64::from(MAX_RATE) => (MAX_RATE, 1),
        // Less than one in a second would make the rate control stingy; more digits than this say nothing.
        (num, den) if num < den || num > i32::MAX as u32 => (1, 1),
        sane => sane,
    }
}

fn failed(reason: impl ToString) -> Error {
    encode_error(Codec::H264, reason)
}
