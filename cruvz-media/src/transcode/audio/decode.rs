//! Packets to sound, by FFmpeg's decoders.

use ffmpeg_next::{Packet, Rational, codec::Id, decoder, frame};

use super::{MAX_PACKET_BYTES, SAMPLE_RATE_HZ};
use crate::{
    Codec, CodecParams,
    codec::aac::AudioSpecificConfig,
    transcode::{Error, decode_error, is_all},
};

/// Sample rates that are sound: from the lowest of AAC to the highest that anybody uses.
const RATES_HZ: std::ops::RangeInclusive<u32> = 7_350..=192_000;
/// Channels at most: those of 22.2.
const MAX_CHANNELS: u16 = 24;

/// Decodes one track.
pub(super) struct Decoder {
    codec: Codec,
    decoder: decoder::Audio,
    /// What the header before each access unit says, for AAC, whose decoder learns it from there.
    adts: Option<AudioSpecificConfig>,
}

impl Decoder {
    pub(super) fn new(from: &CodecParams) -> Result<Self, Error> {
        let codec = from.codec;
        let found = match codec {
            Codec::Aac => decoder::find(Id::AAC),
            Codec::Ac3 => decoder::find(Id::AC3),
            Codec::Eac3 => decoder::find(Id::EAC3),
            Codec::Flac => decoder::find(Id::FLAC),
            Codec::Mp3 => decoder::find(Id::MP3),
            // The reference implementation where it is there.
            Codec::Opus => decoder::find_by_name("libopus").or_else(|| decoder::find(Id::OPUS)),
            _ => None,
        };
        let found = found.ok_or(Error::NoDecoder(codec))?;
        let mut context = ffmpeg_next::codec::Context::new_with_codec(found).decoder();
        context.set_packet_time_base(Rational::new(1, SAMPLE_RATE_HZ as i32));
        let decoder =
            context.open().and_then(|opened| opened.audio()).map_err(|error| decode_error(codec, error))?;
        let adts = match codec {
            Codec::Aac => {
                Some(AudioSpecificConfig::parse(&from.config).map_err(|error| decode_error(codec, error))?)
            }
            _ => None,
        };
        Ok(Self { codec, decoder, adts })
    }

    /// Takes a packet that belongs to the moment `at`. All of its sound must be taken before the next.
    pub(super) fn push(&mut self, payload: &[u8], at: i64) -> Result<(), Error> {
        // FFmpeg takes an empty packet for the end.
        if payload.is_empty() || payload.len() > MAX_PACKET_BYTES {
            return Err(Error::TooLarge { bytes: payload.len(), most: MAX_PACKET_BYTES });
        }
        let mut packet = match &self.adts {
            Some(config) => {
                let header =
                    config.adts_header(payload.len()).map_err(|error| decode_error(self.codec, error))?;
                Packet::copy(&[&header[..], payload].concat())
            }
            None => Packet::copy(payload),
        };
        packet.set_pts(Some(at));
        self.decoder.send_packet(&packet).map_err(|error| decode_error(self.codec, error))
    }

    /// The next sound of the packet, if there is more.
    pub(super) fn next_sound(&mut self) -> Result<Option<frame::Audio>, Error> {
        let mut sound = frame::Audio::empty();
        match self.decoder.receive_frame(&mut sound) {
            Ok(()) => {}
            Err(error) if is_all(error) => return Ok(None),
            Err(error) => return Err(decode_error(self.codec, error)),
        }
        let (sample_rate_hz, channels) = (sound.rate(), sound.channels());
        if !RATES_HZ.contains(&sample_rate_hz) || channels == 0 || channels > MAX_CHANNELS {
            return Err(Error::Format { sample_rate_hz, channels });
        }
        Ok(Some(sound))
    }

    /// Forgets what is left of a packet.
    pub(super) fn drain(&mut self) {
        let mut sound = frame::Audio::empty();
        while self.decoder.receive_frame(&mut sound).is_ok() {}
    }
}
