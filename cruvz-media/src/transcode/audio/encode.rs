//! Sound to packets, by libopus or FFmpeg's own AAC encoder.

use bytes::Bytes;
use ffmpeg_next::{
    Dictionary, Packet, Rational,
    codec::Id,
    encoder,
    format::{Sample, sample::Type},
    frame,
};

use super::{SAMPLE_RATE_HZ, resample::layout};
use crate::{
    Codec,
    transcode::{Error, encode_error, is_all},
};

/// Encodes one track. Its input is numbered: the first sample that is pushed is number 0.
pub(super) struct Encoder {
    codec: Codec,
    encoder: encoder::audio::Encoder,
    format: Sample,
    channels: u8,
    /// Samples in one packet.
    frame_samples: usize,
    /// Interleaved samples that do not fill a packet yet.
    waiting: Vec<f32>,
    /// Samples that were handed to the encoder.
    encoded: i64,
    packets: Vec<Encoded>,
}

/// A packet and the number of the sample that it begins with, when it is decoded: before 0 while the encoder begins.
pub(super) struct Encoded {
    pub(super) payload: Bytes,
    pub(super) sample: i64,
}

impl Encoder {
    pub(super) fn new(codec: Codec, channels: u8, bitrate_bps: u32) -> Result<Self, Error> {
        let (found, format) = match codec {
            Codec::Aac => (encoder::find(Id::AAC), Sample::F32(Type::Planar)),
            Codec::Opus => (encoder::find_by_name("libopus"), Sample::F32(Type::Packed)),
            _ => (None, Sample::None),
        };
        let found = found.ok_or(Error::NoEncoder(codec))?;
        let context = ffmpeg_next::codec::Context::new_with_codec(found);
        let mut audio = context.encoder().audio().map_err(|error| encode_error(codec, error))?;
        audio.set_rate(SAMPLE_RATE_HZ as i32);
        audio.set_format(format);
        audio.set_channel_layout(layout(channels));
        audio.set_bit_rate(bitrate_bps as usize);
        audio.set_time_base(Rational::new(1, SAMPLE_RATE_HZ as i32));
        let mut options = Dictionary::new();
        match codec {
            Codec::Opus => options.set("frame_duration", "20"),
            // From 64 kbit/s on it sounds as well as the default, by FFmpeg's own account, for a fraction of the time.
            _ => options.set("aac_coder", "fast"),
        }
        let encoder = audio.open_as_with(found, options).map_err(|error| encode_error(codec, error))?;
        let frame_samples = encoder.frame_size() as usize;
        if frame_samples == 0 {
            return Err(encode_error(codec, "it does not say how long its frames are"));
        }
        let (waiting, packets) = (Vec::new(), Vec::new());
        Ok(Self { codec, encoder, format, channels, frame_samples, waiting, encoded: 0, packets })
    }

    pub(super) const fn channels(&self) -> u8 {
        self.channels
    }

    /// Samples that were pushed so far, which is the number of the next.
    pub(super) fn samples(&self) -> i64 {
        self.encoded + (self.waiting.len() / usize::from(self.channels)) as i64
    }

    /// Takes interleaved samples, and encodes as many as fill packets.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.waiting.extend_from_slice(samples);
        let in_packet = self.frame_samples * usize::from(self.channels);
        let whole = self.waiting.len() / in_packet * in_packet;
        let rest = self.waiting.split_off(whole);
        let whole = std::mem::replace(&mut self.waiting, rest);
        for samples in whole.chunks_exact(in_packet) {
            self.encode(samples)?;
        }
        Ok(())
    }

    /// Fills what does not make a packet up with silence.
    pub(super) fn fill_up(&mut self) -> Result<(), Error> {
        let in_packet = self.frame_samples * usize::from(self.channels);
        match self.waiting.len() % in_packet {
            0 => Ok(()),
            begun => self.push(&vec![0.0; in_packet - begun]),
        }
    }

    /// No more samples come.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.encoder.send_eof().map_err(|error| encode_error(self.codec, error))?;
        self.drain()
    }

    /// What was encoded and not taken yet.
    pub(super) const fn packets(&mut self) -> &mut Vec<Encoded> {
        &mut self.packets
    }

    fn encode(&mut self, samples: &[f32]) -> Result<(), Error> {
        let mut sound = frame::Audio::new(self.format, self.frame_samples, layout(self.channels));
        sound.set_rate(SAMPLE_RATE_HZ);
        sound.set_pts(Some(self.encoded));
        self.encoded += self.frame_samples as i64;
        if self.format.is_planar() {
            for channel in 0..usize::from(self.channels) {
                let of_channel = samples.iter().skip(channel).step_by(self.channels.into());
                sound.plane_mut::<f32>(channel).iter_mut().zip(of_channel).for_each(|(to, from)| *to = *from);
            }
        } else {
            sound.plane_mut::<f32>(0).copy_from_slice(samples);
        }
        self.encoder.send_frame(&sound).map_err(|error| encode_error(self.codec, error))?;
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Error> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(error) if is_all(error) => return Ok(()),
                Err(error) => return Err(encode_error(self.codec, error)),
            }
            // Encoders set the time of a packet back by what they put before the sound.
            if let (Some(data), Some(sample)) = (packet.data(), packet.pts()) {
                self.packets.push(Encoded { payload: Bytes::copy_from_slice(data), sample });
            }
        }
    }
}
