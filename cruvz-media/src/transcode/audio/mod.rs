//! Audio in another codec: decoded, brought to 48 kHz and to one or two channels, and encoded again, with timestamps that
//! are those of the source.
//!
//! An [`AudioTranscoder`] has no thread and reads no clock: whoever calls [`AudioTranscoder::push`] pays for the work,
//! a third of a millisecond for each packet of Opus, two thirds for AAC.
//!
//! # What the ear hears when
//! A frame's `pts` says when the first sample that a decoder makes of it is heard. Encoders put a few milliseconds of what
//! they need to begin in front of the sound (Opus 6.5 ms, AAC 21 ms); the timestamps here are earlier by just that, so that
//! the sound stands where it stood, and the pre-skip of an [OpusHead](crate::codec::opus::Head) is 0.
//! Where the source pauses or jumps, see [`SampleClock`].

mod clock;
mod decode;
mod encode;
mod resample;
#[cfg(test)]
mod tests;

use clock::{SampleClock, Step};
use decode::Decoder;
use encode::Encoder;
use resample::{Resampler, stretch};

use super::{Error, encode_error, silence_ffmpeg};
use crate::{Codec, CodecParams, Frame, Timescale, Timestamp, Track, TrackId, codec};

/// Samples per second of everything that comes out.
pub const SAMPLE_RATE_HZ: u32 = 48_000;

/// The longest packet that is decoded, in bytes. FLAC's are the longest, with less than 64 KiB in practice.
pub const MAX_PACKET_BYTES: usize = 1 << 20;

/// How audio is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioOptions {
    /// Bits per second of stereo; mono gets half. 16,000 to 510,000, beyond which the nearest of them holds. Default 128,000.
    pub bitrate_bps: u32,
}

impl AudioOptions {
    /// The defaults at so many bits per second.
    pub const fn new(bitrate_bps: u32) -> Self {
        Self { bitrate_bps }
    }
}

impl Default for AudioOptions {
    fn default() -> Self {
        Self::new(128_000)
    }
}

/// Makes the frames of one audio track into another codec.
pub struct AudioTranscoder {
    track: Track,
    decoder: Decoder,
    resampler: Option<Resampler>,
    clock: SampleClock,
    encoder: Encoder,
    /// Whether a packet was lost since the last that was decoded.
    lost: bool,
    /// The time of the newest frame that was made.
    newest: Option<i64>,
}

impl std::fmt::Debug for AudioTranscoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AudioTranscoder").field("track", &self.track).finish_non_exhaustive()
    }
}

impl AudioTranscoder {
    /// Makes audio of `from` into `to`, which is [`Codec::Aac`] or [`Codec::Opus`]: mono stays mono, everything else becomes
    /// stereo, mixed down by the coefficients of ITU-R BS.775 and scaled so that nothing clips; the LFE channel is left out.
    ///
    /// # Errors
    /// [`Error::NoDecoder`], [`Error::NoEncoder`]; [`Error::Decode`] and [`Error::Encode`] when FFmpeg refuses the
    /// parameters.
    pub fn new(from: &CodecParams, to: Codec, options: AudioOptions) -> Result<Self, Error> {
        silence_ffmpeg();
        let mono = from.audio().is_some_and(|audio| audio.channels == 1);
        let channels = if mono { 1 } else { 2 };
        let bitrate_bps = options.bitrate_bps.clamp(16_000, 510_000) * u32::from(channels) / 2;
        let (decoder, encoder) = (Decoder::new(from)?, Encoder::new(to, channels, bitrate_bps)?);
        let track = Track {
            id: TrackId::AUDIO,
            timescale: Timescale::new(SAMPLE_RATE_HZ).expect("48,000 is not zero"),
            params: params(to, channels).map_err(|error| encode_error(to, error))?,
        };
        let clock = SampleClock::default();
        Ok(Self { track, decoder, resampler: None, clock, encoder, lost: false, newest: None })
    }

    /// The track that comes out, by the name [`TrackId::AUDIO`] until frames of another name come in.
    pub const fn track(&self) -> &Track {
        &self.track
    }

    /// Takes a frame and gives those that are complete with it: none, one or a few. They bear the name of the track that
    /// `frame` belongs to.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::TooLarge`] and [`Error::Format`] for a frame that is broken: it is passed over, and
    /// the silence in its place is as long as it was. [`Error::Encode`].
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, Error> {
        self.track.id = frame.track;
        let at = frame.pts.rescale(self.track.timescale).ticks();
        let taken = self.take(&frame.payload, at);
        self.lost = taken.is_err();
        if self.lost {
            self.decoder.drain();
        }
        taken?;
        Ok(self.made())
    }

    /// Gives what is left, filled up with silence to a whole frame.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn finish(mut self) -> Result<Vec<Frame>, Error> {
        self.encoder.fill_up()?;
        self.encoder.finish()?;
        Ok(self.made())
    }

    fn take(&mut self, payload: &[u8], at: i64) -> Result<(), Error> {
        self.decoder.push(payload, at)?;
        let mut at = Some(at);
        while let Some(mut sound) = self.decoder.next_sound()? {
            let resampler = Resampler::fit(&mut self.resampler, &sound, self.encoder.channels())?;
            let held = resampler.held();
            let samples = resampler.run(&mut sound)?;
            // Whatever comes behind the first frame of a packet follows it without a gap.
            match at.take() {
                Some(at) => self.place(&samples, at.saturating_sub(held))?,
                None => self.encoder.push(&samples)?,
            }
        }
        Ok(())
    }

    /// Hands `samples`, which belong to the moment `at`, to the encoder, with silence before them, or without some of them,
    /// as the clock says.
    fn place(&mut self, samples: &[f32], at: i64) -> Result<(), Error> {
        let channels = usize::from(self.encoder.channels());
        let step = self.clock.step(self.encoder.samples(), at, samples.len() / channels, self.lost);
        match step {
            Step::Follow { more: 0 } => self.encoder.push(samples),
            Step::Follow { more } => self.encoder.push(&stretch(samples, channels, more)),
            Step::Pad(silence) => {
                self.encoder.push(&vec![0.0; silence * channels])?;
                self.encoder.push(samples)
            }
            Step::Skip(left_out) => self.encoder.push(samples.get(left_out * channels..).unwrap_or_default()),
            Step::Restart => {
                self.encoder.fill_up()?;
                self.clock.restart(self.encoder.samples(), at);
                self.encoder.push(samples)
            }
        }
    }

    /// The frames that the encoder has finished.
    fn made(&mut self) -> Vec<Frame> {
        let made = std::mem::take(self.encoder.packets());
        made.into_iter()
            .map(|packet| {
                // A restart may lie a little before what was made already.
                let at = self.clock.time_of(packet.sample);
                let at = self.newest.map_or(at, |newest| at.max(newest.saturating_add(1)));
                self.newest = Some(at);
                let pts = Timestamp::new(at, self.track.timescale);
                Frame { track: self.track.id, pts, dts: pts, keyframe: true, payload: packet.payload }
            })
            .collect()
    }
}

/// The parameters of what the encoders write.
fn params(to: Codec, channels: u8) -> Result<CodecParams, codec::Error> {
    let config = match to {
        Codec::Opus => codec::opus::Head {
            channels,
            pre_skip: 0,
            input_sample_rate_hz: SAMPLE_RATE_HZ,
            output_gain: 0,
            mapping_family: 0,
            mapping: bytes::Bytes::new(),
        }
        .to_bytes(),
        // AAC-LC, 48 kHz (ISO/IEC 14496-3 §1.6.2.1): five bits 2, four bits 3, four bits of channels, three bits 0.
        _ => bytes::Bytes::copy_from_slice(&[0x11, 0x80 | channels << 3]),
    };
    codec::parse(to, config)
}
