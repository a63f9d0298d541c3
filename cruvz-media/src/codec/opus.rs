//! Opus: the identification header OpusHead (RFC 7845 §5.1), its form in MP4 (dOps, Opus in ISOBMFF §4.3.2), and the
//! duration that the first bytes of each packet tell (RFC 6716 §3.1).

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Error;
use crate::{AudioFormat, Codec, CodecParams, Format};

/// What an OpusHead begins with.
const MAGIC: &[u8; 8] = b"OpusHead";
/// Bytes of an OpusHead before its channel mapping table.
const HEAD_BYTES: usize = 19;
/// Bytes of a dOps before its channel mapping table.
const DOPS_BYTES: usize = 11;
/// Opus always decodes to 48 kHz, whatever the input's rate was.
const SAMPLE_RATE_HZ: u32 = 48_000;
/// The longest packet: 120 ms.
const MAX_PACKET_SAMPLES: u32 = 5_760;

/// What an OpusHead or dOps says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Output channels, at least one.
    pub channels: u8,
    /// Samples at 48 kHz to discard at the start.
    pub pre_skip: u16,
    /// The rate of the encoder's input, for information; 0: not stated.
    pub input_sample_rate_hz: u32,
    /// Gain to apply when decoding, in 1/256 dB.
    pub output_gain: i16,
    /// 0: mono or stereo; 1: Vorbis channel order; 255: no defined order.
    pub mapping_family: u8,
    /// Stream count, coupled count and channel mapping; empty for family 0.
    pub mapping: Bytes,
}

impl Head {
    /// Reads an OpusHead, or a dOps by its missing magic.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it ends early, [`Error::Invalid`] for an unknown version or no channels.
    pub fn parse(config: &Bytes) -> Result<Self, Error> {
        let truncated = Error::Truncated { bytes: config.len() };
        let is_head = config.starts_with(MAGIC);
        let size = if is_head { HEAD_BYTES } else { DOPS_BYTES };
        let mut fixed = config.get(..size).ok_or_else(|| truncated.clone())?;
        if is_head {
            fixed.advance(MAGIC.len());
        }
        let version = fixed.get_u8();
        // An OpusHead's major version stands in the upper four bits; a dOps has version 0.
        if version > if is_head { 15 } else { 0 } {
            return Err(Error::Invalid { field: "Opus header version", value: version.into() });
        }
        let channels = fixed.get_u8();
        let (pre_skip, input_sample_rate_hz, output_gain) = if is_head {
            (fixed.get_u16_le(), fixed.get_u32_le(), fixed.get_i16_le())
        } else {
            (fixed.get_u16(), fixed.get_u32(), fixed.get_i16())
        };
        let mapping_family = fixed.get_u8();
        if channels == 0 || (mapping_family == 0 && channels > 2) {
            return Err(Error::Invalid { field: "Opus channel count", value: channels.into() });
        }
        let mapping_bytes = if mapping_family == 0 { 0 } else { 2 + usize::from(channels) };
        if config.len() < size + mapping_bytes {
            return Err(truncated);
        }
        let mapping = config.slice(size..size + mapping_bytes);
        Ok(Self { channels, pre_skip, input_sample_rate_hz, output_gain, mapping_family, mapping })
    }

    /// The OpusHead, as Ogg, FLV and [`CodecParams`] hold it.
    pub fn to_bytes(&self) -> Bytes {
        let mut head = BytesMut::with_capacity(HEAD_BYTES + self.mapping.len());
        head.put_slice(MAGIC);
        head.put_slice(&[1, self.channels]);
        head.put_u16_le(self.pre_skip);
        head.put_u32_le(self.input_sample_rate_hz);
        head.put_i16_le(self.output_gain);
        head.put_u8(self.mapping_family);
        head.put_slice(&self.mapping);
        head.freeze()
    }

    /// The content of a dOps box, as MP4 holds it.
    pub fn to_dops(&self) -> Bytes {
        let mut dops = BytesMut::with_capacity(DOPS_BYTES + self.mapping.len());
        dops.put_slice(&[0, self.channels]);
        dops.put_u16(self.pre_skip);
        dops.put_u32(self.input_sample_rate_hz);
        dops.put_i16(self.output_gain);
        dops.put_u8(self.mapping_family);
        dops.put_slice(&self.mapping);
        dops.freeze()
    }
}

/// What an OpusHead or dOps says of the media; the record in the result is an OpusHead.
pub(super) fn params(config: Bytes) -> Result<CodecParams, Error> {
    let head = Head::parse(&config)?;
    let config = if config.starts_with(MAGIC) { config } else { head.to_bytes() };
    Ok(CodecParams {
        codec: Codec::Opus,
        config,
        format: Format::Audio(AudioFormat {
            sample_rate_hz: SAMPLE_RATE_HZ,
            channels: head.channels,
            samples_per_frame: None,
        }),
        rfc6381: "opus".to_owned(),
    })
}

/// Samples at 48 kHz in `packet`, or `None` when it is empty, cut short or claims more than 120 ms.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        // SILK: 10, 20, 40, 60 ms.
        config @ 0..12 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        config @ 12..16 => 480 << (config & 1),
        // CELT: 2.5, 5, 10, 20 ms.
        config => 120 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3F),
    };
    let samples = frame * frames;
    (1..=MAX_PACKET_SAMPLES).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    /// Of FFmpeg 9's `-c:a libopus`, stereo in FLV, and stereo and 5.1 in MP4.
    const FLV_STEREO: &str = "4f707573486561640102380180bb0000000000";
    const MP4_STEREO: &str = "000201380000bb80000000";
    const MP4_SURROUND: &str = "000601380000bb800000010402000401020305";

    #[test]
    fn both_forms_of_the_header_say_what_ffprobe_says() {
        for (record, channels) in [(FLV_STEREO, 2), (MP4_STEREO, 2), (MP4_SURROUND, 6)] {
            let params = codec::parse(Codec::Opus, hex(record)).unwrap();
            let expected = AudioFormat { sample_rate_hz: 48_000, channels, samples_per_frame: None };
            assert_eq!((params.audio(), params.rfc6381.as_str()), (Some(&expected), "opus"));
            assert!(params.config.starts_with(MAGIC));
        }
    }

    #[test]
    fn each_form_turns_into_the_other() {
        assert_eq!(Head::parse(&hex(MP4_STEREO)).unwrap().to_bytes(), hex(FLV_STEREO));
        assert_eq!(Head::parse(&hex(FLV_STEREO)).unwrap().to_dops(), hex(MP4_STEREO));
        let surround = Head::parse(&hex(MP4_SURROUND)).unwrap();
        assert_eq!(surround.mapping, hex("0402000401020305"));
        assert_eq!(surround.to_dops(), hex(MP4_SURROUND));
        assert_eq!(Head::parse(&surround.to_bytes()).unwrap(), surround);
    }

    #[test]
    fn headers_that_lie_are_refused_with_the_reason() {
        let parse = |record: &str| codec::parse(Codec::Opus, hex(record)).unwrap_err();
        assert_eq!(parse(""), Error::Truncated { bytes: 0 });
        assert_eq!(parse(&FLV_STEREO[..36]), Error::Truncated { bytes: 18 });
        assert_eq!(parse(&MP4_SURROUND[..36]), Error::Truncated { bytes: 18 });
        let version = FLV_STEREO.replace("6164010", "6164100");
        assert_eq!(parse(&version), Error::Invalid { field: "Opus header version", value: 16 });
        assert_eq!(parse("000301380000bb80000000"), Error::Invalid { field: "Opus channel count", value: 3 });
        assert_eq!(parse("000001380000bb80000001"), Error::Invalid { field: "Opus channel count", value: 0 });
    }

    #[test]
    fn packet_durations_are_those_of_the_table() {
        // RFC 6716 table 2 by configuration, one frame each, in samples at 48 kHz.
        let expected = [480, 960, 1_920, 2_880].repeat(3).into_iter();
        let expected = expected.chain([480, 960].repeat(2)).chain([120, 240, 480, 960].repeat(4));
        for (config, samples) in (0u8..32).zip(expected) {
            assert_eq!(super::samples(&[config << 3, 0]), Some(samples), "configuration {config}");
        }
        assert_eq!(samples(&[0xFC]), Some(960), "libopus at 20 ms");
        assert_eq!(samples(&[0xFD]), Some(1_920), "two frames");
        assert_eq!(samples(&[0xFF, 0x86]), Some(5_760), "six frames: 120 ms");
        assert_eq!(samples(&[0xFF, 7]), None, "140 ms");
        assert_eq!(samples(&[0xFF, 0]), None, "no frame");
        assert_eq!(samples(&[0xFF]), None, "frame count cut off");
        assert_eq!(samples(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (samples(&bytes), codec::parse(Codec::Opus, Bytes::from(bytes.clone())));
        }

        #[test]
        fn what_is_written_is_read(
            channels in 1u8..=255, pre_skip: u16, input_sample_rate_hz: u32, output_gain: i16,
            mapping_family in 1u8..=255, table in proptest::collection::vec(any::<u8>(), 257),
        ) {
            let mapping = Bytes::from(table).slice(..2 + usize::from(channels));
            let head =
                Head { channels, pre_skip, input_sample_rate_hz, output_gain, mapping_family, mapping };
            prop_assert_eq!(&Head::parse(&head.to_bytes()).unwrap(), &head);
            prop_assert_eq!(&Head::parse(&head.to_dops()).unwrap(), &head);
        }
    }
}
