//! Sound of any rate and layout to 48 kHz, mono or stereo, as interleaved floats.

use ffmpeg_next::{
    ChannelLayout, Dictionary,
    format::{Sample, sample::Type},
    frame,
    software::resampling::Context,
};

use super::SAMPLE_RATE_HZ;
use crate::transcode::Error;

/// Samples that a conversion may give beyond what its input is worth: what the filter held back.
const SLACK: usize = 256;

/// What a sound is: its samples, their places, their rate.
#[derive(Clone, Copy, PartialEq)]
struct Form {
    format: Sample,
    channel_layout: ChannelLayout,
    rate: u32,
}

/// Brings sound of one form into ours.
pub(super) struct Resampler {
    context: Context,
    from: Form,
    to: Form,
    /// Samples in, at the rate they came in, and out.
    taken: u64,
    given: u64,
}

impl Resampler {
    /// The resampler in `slot` if it is for such sound, else a new one in its place.
    ///
    /// Most codecs say in each packet which sound it has, so that a packet can change it.
    pub(super) fn fit<'a>(
        slot: &'a mut Option<Self>,
        sound: &frame::Audio,
        channels: u8,
    ) -> Result<&'a mut Self, Error> {
        let form = form(sound);
        if slot.as_ref().is_none_or(|resampler| resampler.from != form) {
            *slot = Some(Self::new(form, channels, sound)?);
        }
        slot.as_mut().ok_or_else(|| refused(sound))
    }

    fn new(from: Form, channels: u8, sound: &frame::Audio) -> Result<Self, Error> {
        let mut options = Dictionary::new();
        // The sum of what is mixed into one channel is at most 1: nothing clips.
        options.set("rematrix_maxval", "1.0");
        let (format, channel_layout) = (Sample::F32(Type::Packed), layout(channels));
        let to = Form { format, channel_layout, rate: SAMPLE_RATE_HZ };
        let context = Context::get_with(
            from.format,
            from.channel_layout,
            from.rate,
            to.format,
            to.channel_layout,
            to.rate,
            options,
        )
        .map_err(|_| refused(sound))?;
        Ok(Self { context, from, to, taken: 0, given: 0 })
    }

    /// Samples at 48 kHz that went in and did not come out yet: what comes out next is older by so many.
    pub(super) fn held(&self) -> i64 {
        let due = self.taken as i128 * i128::from(SAMPLE_RATE_HZ) / i128::from(self.from.rate);
        i64::try_from(due - i128::from(self.given)).unwrap_or(0)
    }

    /// What comes out, channels interleaved, for `sound`.
    pub(super) fn run(&mut self, sound: &mut frame::Audio) -> Result<Vec<f32>, Error> {
        let worth = sound.samples() as u64 * u64::from(SAMPLE_RATE_HZ) / u64::from(self.from.rate);
        let mut converted = frame::Audio::new(self.to.format, worth as usize + SLACK, self.to.channel_layout);
        sound.set_channel_layout(self.from.channel_layout);
        self.context.run(sound, &mut converted).map_err(|_| refused(sound))?;
        self.taken += sound.samples() as u64;
        self.given += converted.samples() as u64;
        Ok(converted.plane::<f32>(0).to_vec())
    }
}

/// `samples` with so many more (or fewer, below 0) of them, the wave unchanged: each is taken from between two.
pub(super) fn stretch(samples: &[f32], channels: usize, more: i64) -> Vec<f32> {
    let len = samples.len() / channels;
    let stretched = usize::try_from(len as i64 + more).unwrap_or(0);
    if len < 2 || stretched < 2 {
        return samples.to_vec();
    }
    let step = (len - 1) as f64 / (stretched - 1) as f64;
    let mut out = Vec::with_capacity(stretched * channels);
    for n in 0..stretched {
        let at = n as f64 * step;
        let (before, share) = ((at as usize).min(len - 2), at.fract() as f32);
        let share = if at as usize > len - 2 { 1.0 } else { share };
        for channel in 0..channels {
            let of = |sample: usize| samples[sample * channels + channel];
            out.push(of(before) + (of(before + 1) - of(before)) * share);
        }
    }
    out
}

fn form(sound: &frame::Audio) -> Form {
    let stated = sound.channel_layout();
    // Decoders that know only how many channels there are name no layout.
    let known = stated.channels() == i32::from(sound.channels());
    let channel_layout = if known { stated } else { ChannelLayout::default(sound.channels().into()) };
    Form { format: sound.format(), channel_layout, rate: sound.rate() }
}

pub(super) fn layout(channels: u8) -> ChannelLayout {
    if channels == 1 { ChannelLayout::MONO } else { ChannelLayout::STEREO }
}

fn refused(sound: &frame::Audio) -> Error {
    Error::Format { sample_rate_hz: sound.rate(), channels: sound.channels() }
}
