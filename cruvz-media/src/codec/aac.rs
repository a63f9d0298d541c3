//! AAC: AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1), with SBR and PS however they are signalled, and ADTS headers.

use bytes::Bytes;

use super::{
    Error,
    bits::{BitReader, BitWriter},
};
use crate::{AudioFormat, Codec, CodecParams, Format};

/// Audio object types (ISO/IEC 14496-3 table 1.17).
mod object {
    pub(super) const SBR: u8 = 5;
    pub(super) const SCALABLE: u8 = 6;
    pub(super) const ER_SCALABLE: u8 = 20;
    pub(super) const ER_BSAC: u8 = 22;
    pub(super) const ER_LD: u8 = 23;
    pub(super) const PS: u8 = 29;
    pub(super) const ER_ELD: u8 = 39;
    pub(super) const USAC: u8 = 42;
}

/// Sampling frequencies by index (ISO/IEC 14496-3 table 1.18).
const SAMPLE_RATES_HZ: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
/// The index behind which the frequency itself is written in 24 bits.
const RATE_ESCAPE: u32 = 15;
/// Channels by channelConfiguration (ISO/IEC 14496-3 table 1.19); 0 where it is reserved.
const CHANNELS: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0];

/// What a decoder must know of an AAC stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioSpecificConfig {
    /// The audio object type of the core: 2 for AAC-LC, also under SBR and PS.
    pub object_type: u8,
    /// Samples per second of the core, before SBR.
    pub sample_rate_hz: u32,
    /// channelConfiguration; 0: the channels are listed in a program config element.
    pub channel_config: u8,
    /// Channels of the core, before PS.
    pub channels: u8,
    /// Samples per frame of the core: 1024 or 960 (512 or 480 for the low-delay types).
    pub samples_per_frame: u32,
    /// Samples per second after spectral band replication (HE-AAC), where it is signalled.
    pub sbr_sample_rate_hz: Option<u32>,
    /// Whether parametric stereo (HE-AAC v2) makes two channels of one.
    pub parametric_stereo: bool,
}

impl AudioSpecificConfig {
    /// Reads the record.
    ///
    /// # Errors
    /// [`Error::Truncated`] when it ends early, [`Error::Invalid`] for a reserved or impossible value,
    /// [`Error::Unsupported`] for an object type that is no AAC.
    pub fn parse(config: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(config);
        let mut config = Self::read(&mut bits)?;
        if config.sbr_sample_rate_hz.is_none() {
            config.read_sync_extension(&mut bits);
        }
        Ok(config)
    }

    /// Reads the record as far as it says itself how long it is: what may follow it unannounced is left.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, Error> {
        let mut object_type = read_object_type(bits)?;
        let sample_rate_hz = read_sample_rate(bits)?;
        let channel_config = bits.byte(4)?;
        let parametric_stereo = object_type == object::PS;
        let mut sbr_sample_rate_hz = None;
        let hierarchical = matches!(object_type, object::SBR | object::PS);
        if hierarchical {
            sbr_sample_rate_hz = Some(read_sample_rate(bits)?);
            object_type = read_object_type(bits)?;
            if object_type == object::ER_BSAC {
                bits.skip(4)?; // extensionChannelConfiguration
            }
        }
        let mut config = Self {
            object_type,
            sample_rate_hz,
            channel_config,
            channels: CHANNELS[usize::from(channel_config)],
            samples_per_frame: 1024,
            sbr_sample_rate_hz,
            parametric_stereo,
        };
        config.read_specific(bits)?;
        if config.channels == 0 {
            return Err(Error::Invalid { field: "channelConfiguration", value: channel_config.into() });
        }
        Ok(config)
    }

    /// The record, with SBR and PS signalled hierarchically, as decoders have read it since 2003.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a low-delay or error-resilient object type or a channel list, whose records have
    /// fields that are not kept here: hand on the original instead. [`Error::Invalid`] for values no record can hold.
    pub fn to_bytes(&self) -> Result<Bytes, Error> {
        if !matches!(self.object_type, 1..=4) {
            return Err(Error::Unsupported { field: "audio object type", value: self.object_type.into() });
        }
        if self.channel_config == 0 || self.channel_config > 15 {
            return Err(Error::Unsupported {
                field: "channelConfiguration",
                value: self.channel_config.into(),
            });
        }
        let mut bits = BitWriter::default();
        let outer = match (self.sbr_sample_rate_hz, self.parametric_stereo) {
            (None, _) => self.object_type,
            (Some(_), false) => object::SBR,
            (Some(_), true) => object::PS,
        };
        bits.write(5, outer.into());
        write_sample_rate(&mut bits, self.sample_rate_hz)?;
        bits.write(4, self.channel_config.into());
        if let Some(sample_rate_hz) = self.sbr_sample_rate_hz {
            write_sample_rate(&mut bits, sample_rate_hz)?;
            bits.write(5, self.object_type.into());
        }
        bits.write(1, u32::from(self.samples_per_frame == 960));
        bits.write(2, 0); // dependsOnCoreCoder, extensionFlag
        Ok(bits.into_bytes().into())
    }

    /// The header of an ADTS frame, without checksum, before an access unit of so many bytes. SBR and PS are not told in
    /// it: decoders find them in the access units.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an object type, frequency, channel list or frame length that ADTS has no room for;
    /// [`Error::Invalid`] for an access unit beyond its 13 bits.
    pub fn adts_header(&self, access_unit_bytes: usize) -> Result<[u8; 7], Error> {
        let refuse = |field, value: u32| Error::Unsupported { field, value: value.into() };
        if !matches!(self.object_type, 1..=4) {
            return Err(refuse("audio object type", self.object_type.into()));
        }
        if !matches!(self.channel_config, 1..=7) {
            return Err(refuse("channelConfiguration", self.channel_config.into()));
        }
        if self.samples_per_frame != 1024 {
            return Err(refuse("frame length", self.samples_per_frame));
        }
        let rate = SAMPLE_RATES_HZ.iter().position(|rate| *rate == self.sample_rate_hz);
        let rate = rate.ok_or_else(|| refuse("samplingFrequency", self.sample_rate_hz))? as u8;
        let bytes = access_unit_bytes.saturating_add(7);
        if bytes >= 1 << 13 {
            return Err(Error::Invalid { field: "ADTS frame length", value: bytes as u64 });
        }
        let channels = self.channel_config;
        Ok([
            0xFF,
            0xF1, // the rest of the sync word, MPEG-4, no layer, no checksum
            (self.object_type - 1) << 6 | rate << 2 | channels >> 2,
            (channels & 3) << 6 | (bytes >> 11) as u8,
            (bytes >> 3) as u8,
            ((bytes & 7) << 5) as u8 | 0x1F, // adts_buffer_fullness 0x7FF: variable rate
            0xFC,
        ])
    }

    /// What is heard: after SBR and PS.
    pub fn audio_format(&self) -> AudioFormat {
        let sample_rate_hz = self.sbr_sample_rate_hz.unwrap_or(self.sample_rate_hz);
        let samples = u64::from(self.samples_per_frame) * u64::from(sample_rate_hz);
        AudioFormat {
            sample_rate_hz,
            channels: if self.parametric_stereo && self.channels == 1 { 2 } else { self.channels },
            samples_per_frame: u32::try_from(samples / u64::from(self.sample_rate_hz)).ok(),
        }
    }

    /// The codec string: `mp4a.40.` and the object type that a decoder must know to play all of it.
    pub fn rfc6381(&self) -> String {
        let object_type = match (self.sbr_sample_rate_hz, self.parametric_stereo) {
            (_, true) => object::PS,
            (Some(_), false) => object::SBR,
            (None, false) => self.object_type,
        };
        format!("mp4a.40.{object_type}")
    }

    /// The part that depends on the object type.
    fn read_specific(&mut self, bits: &mut BitReader<'_>) -> Result<(), Error> {
        match self.object_type {
            1..=4 | object::SCALABLE | 7 | 17 | 19..=object::ER_LD => self.read_general(bits),
            object::ER_ELD => {
                self.samples_per_frame = if bits.flag()? { 480 } else { 512 };
                Ok(())
            }
            object::USAC => self.read_usac(bits),
            _ => Err(Error::Unsupported { field: "audio object type", value: self.object_type.into() }),
        }
    }

    /// GASpecificConfig (ISO/IEC 14496-3 §4.4.1).
    fn read_general(&mut self, bits: &mut BitReader<'_>) -> Result<(), Error> {
        let short = bits.flag()?;
        self.samples_per_frame = match (self.object_type, short) {
            (object::ER_LD, false) => 512,
            (object::ER_LD, true) => 480,
            (_, false) => 1024,
            (_, true) => 960,
        };
        if bits.flag()? {
            bits.skip(14)?; // coreCoderDelay
        }
        let extension = bits.flag()?;
        if self.channel_config == 0 {
            self.channels = read_program_channels(bits)?;
        }
        if matches!(self.object_type, object::SCALABLE | object::ER_SCALABLE) {
            bits.skip(3)?; // layerNr
        }
        if extension {
            match self.object_type {
                object::ER_BSAC => bits.skip(5 + 11)?, // numOfSubFrame, layer_length
                17 | 19 | object::ER_SCALABLE | object::ER_LD => bits.skip(3)?, // resilience flags
                _ => {}
            }
            bits.skip(1)?; // extensionFlag3
        }
        Ok(())
    }

    /// The start of UsacConfig (ISO/IEC 23003-3 §5.2), whose own frequency and channels count.
    fn read_usac(&mut self, bits: &mut BitReader<'_>) -> Result<(), Error> {
        let index = bits.read(5)?;
        if index == 31 {
            self.sample_rate_hz = nonzero_rate(bits.read(24)?)?;
        }
        let (samples, sbr_ratio) = match bits.read(3)? {
            0 => (768, (1, 1)),
            1 => (1024, (1, 1)),
            2 => (768, (8, 3)),
            3 => (1024, (2, 1)),
            4 => (1024, (4, 1)),
            other => return Err(Error::Invalid { field: "coreSbrFrameLengthIndex", value: other.into() }),
        };
        // usacSamplingFrequency is that of the output, unlike AAC's, so the frame is counted there too.
        self.samples_per_frame = samples * sbr_ratio.0 / sbr_ratio.1;
        Ok(())
    }

    /// SBR and PS signalled behind the core's config, where an old decoder does not look (§1.6.5.3). What is no
    /// whole extension is padding.
    fn read_sync_extension(&mut self, bits: &mut BitReader<'_>) {
        let mut read = || -> Result<(), Error> {
            if bits.read(11)? != 0x2B7 || read_object_type(bits)? != object::SBR || !bits.flag()? {
                return Ok(());
            }
            self.sbr_sample_rate_hz = Some(read_sample_rate(bits)?);
            self.parametric_stereo = bits.read(11)? == 0x548 && bits.flag()?;
            Ok(())
        };
        let _ = read();
    }
}

/// What an AudioSpecificConfig says of the media.
pub(super) fn params(config: Bytes) -> Result<CodecParams, Error> {
    let parsed = AudioSpecificConfig::parse(&config)?;
    Ok(CodecParams {
        codec: Codec::Aac,
        config,
        format: Format::Audio(parsed.audio_format()),
        rfc6381: parsed.rfc6381(),
    })
}

fn read_object_type(bits: &mut BitReader<'_>) -> Result<u8, Error> {
    match bits.byte(5)? {
        31 => Ok(32 + bits.byte(6)?),
        object_type => Ok(object_type),
    }
}

fn read_sample_rate(bits: &mut BitReader<'_>) -> Result<u32, Error> {
    match bits.read(4)? {
        RATE_ESCAPE => nonzero_rate(bits.read(24)?),
        index => sample_rate(index),
    }
}

fn sample_rate(index: u32) -> Result<u32, Error> {
    let rate = usize::try_from(index).ok().and_then(|index| SAMPLE_RATES_HZ.get(index));
    rate.copied().ok_or_else(|| Error::Invalid { field: "samplingFrequencyIndex", value: index.into() })
}

fn nonzero_rate(sample_rate_hz: u32) -> Result<u32, Error> {
    match sample_rate_hz {
        0 => Err(Error::Invalid { field: "samplingFrequency", value: 0 }),
        rate => Ok(rate),
    }
}

fn write_sample_rate(bits: &mut BitWriter, sample_rate_hz: u32) -> Result<(), Error> {
    if let Some(index) = SAMPLE_RATES_HZ.iter().position(|rate| *rate == sample_rate_hz) {
        bits.write(4, u32::try_from(index).expect("the table has 13 rows"));
        return Ok(());
    }
    if sample_rate_hz == 0 || sample_rate_hz >= 1 << 24 {
        return Err(Error::Invalid { field: "samplingFrequency", value: sample_rate_hz.into() });
    }
    bits.write(4, RATE_ESCAPE);
    bits.write(24, sample_rate_hz);
    Ok(())
}

/// The channels that a program config element lists (ISO/IEC 14496-3 §4.4.1.1).
fn read_program_channels(bits: &mut BitReader<'_>) -> Result<u8, Error> {
    bits.skip(4 + 2 + 4)?; // element_instance_tag, object_type, sampling_frequency_index
    let [front, side, back] = [bits.read(4)?, bits.read(4)?, bits.read(4)?];
    let low_frequency = bits.read(2)?;
    let [data, coupling] = [bits.read(3)?, bits.read(4)?];
    for tag_bits in [4, 4, 3] {
        // Mono mixdown, stereo mixdown, matrix mixdown.
        if bits.flag()? {
            bits.skip(tag_bits)?;
        }
    }
    let mut channels = low_frequency;
    for _ in 0..front + side + back {
        channels += 1 + u32::from(bits.flag()?); // is_cpe: a pair
        bits.skip(4)?; // tag
    }
    bits.skip(usize::try_from(4 * (low_frequency + data) + 5 * coupling).expect("at most 115"))?;
    bits.align();
    let comment = bits.read(8)?;
    bits.skip(8 * usize::try_from(comment).expect("one byte"))?;
    Ok(u8::try_from(channels).expect("at most 3 + 2 * 45"))
}

/// The fixed and variable header before each frame of an ADTS stream (ISO/IEC 14496-3 §1.A.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdtsHeader {
    /// The audio object type: 1 (Main) to 4 (LTP), 2 for AAC-LC.
    pub object_type: u8,
    /// Samples per second of the core.
    pub sample_rate_hz: u32,
    /// channelConfiguration.
    pub channel_config: u8,
    /// Bytes of this header: 7, or 9 with a checksum. The raw access unit begins behind it.
    pub header_bytes: usize,
    /// Bytes of the whole ADTS frame, this header included.
    pub frame_bytes: usize,
    /// Raw access units in the frame: 1 to 4, nearly always 1.
    pub access_units: u8,
}

impl AdtsHeader {
    /// Reads the header at the front of `bytes`.
    ///
    /// # Errors
    /// [`Error::Invalid`] without the sync word or with impossible values, [`Error::Truncated`] below 7 bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(bytes);
        let sync = bits.read(12)?;
        if sync != 0xFFF {
            return Err(Error::Invalid { field: "ADTS sync word", value: sync.into() });
        }
        bits.skip(1)?; // ID: MPEG-4 or MPEG-2
        let layer = bits.read(2)?;
        if layer != 0 {
            return Err(Error::Invalid { field: "ADTS layer", value: layer.into() });
        }
        let header_bytes = if bits.flag()? { 7 } else { 9 };
        let object_type = bits.byte(2)? + 1;
        let sample_rate_hz = sample_rate(bits.read(4)?)?;
        bits.skip(1)?; // private_bit
        let channel_config = bits.byte(3)?;
        bits.skip(4)?; // original_copy, home, copyright_identification_bit and _start
        let frame_bytes = usize::try_from(bits.read(13)?).expect("13 bits");
        bits.skip(11)?; // adts_buffer_fullness
        let access_units = bits.byte(2)? + 1;
        if frame_bytes < header_bytes {
            return Err(Error::Invalid { field: "ADTS frame length", value: frame_bytes as u64 });
        }
        Ok(Self { object_type, sample_rate_hz, channel_config, header_bytes, frame_bytes, access_units })
    }
}

/// The AudioSpecificConfig of an ADTS stream, from any of its headers.
///
/// # Errors
/// Those of [`AdtsHeader::parse`]; [`Error::Unsupported`] when the channels are listed inside the frames.
pub fn config_from_adts(header: &[u8]) -> Result<Bytes, Error> {
    let header = AdtsHeader::parse(header)?;
    let config = AudioSpecificConfig {
        object_type: header.object_type,
        sample_rate_hz: header.sample_rate_hz,
        channel_config: header.channel_config,
        channels: CHANNELS[usize::from(header.channel_config)],
        samples_per_frame: 1024,
        sbr_sample_rate_hz: None,
        parametric_stereo: false,
    };
    config.to_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    /// Records, and what ffprobe says of an MP4 file with each: sample rate, channels. The first three are FFmpeg's
    /// own encoder's (`-c:a aac`, mono, stereo, 5.1), the others put into such a file in place of its own.
    const RECORDS: [(&str, &str, u32, u8, u32); 9] = [
        ("118856e500", "mp4a.40.2", 48_000, 1, 1024),
        ("121056e500", "mp4a.40.2", 44_100, 2, 1024),
        ("11b056e500", "mp4a.40.2", 48_000, 6, 1024),
        // SBR signalled hierarchically; the same with PS; behind the core's config; the same with PS.
        ("2b118800", "mp4a.40.5", 48_000, 2, 2048),
        ("eb098800", "mp4a.40.29", 48_000, 2, 2048),
        ("131056e598", "mp4a.40.5", 48_000, 2, 2048),
        ("130856e59d4880", "mp4a.40.29", 48_000, 2, 2048),
        // 960 samples; a frequency written out (escape 15), which the standard allows and FFmpeg does not.
        ("1214", "mp4a.40.2", 44_100, 2, 960),
        ("17805dc010", "mp4a.40.2", 48_000, 2, 1024),
    ];

    #[test]
    fn records_say_what_ffprobe_says() {
        for (record, rfc6381, sample_rate_hz, channels, samples) in RECORDS {
            let params = codec::parse(Codec::Aac, hex(record)).expect(record);
            let expected = AudioFormat { sample_rate_hz, channels, samples_per_frame: Some(samples) };
            assert_eq!(params.audio(), Some(&expected), "{record}");
            assert_eq!(params.rfc6381, rfc6381, "{record}");
            assert_eq!(params.config, hex(record));
        }
    }

    #[test]
    fn channels_listed_in_the_config_are_counted() {
        // `-c:a aac -ch_layout 6.1`: FFmpeg 9 lists seven channels in a program config element.
        let config = hex("118004c80900010884000c4c61766336332e312e31303256e500");
        let params = codec::parse(Codec::Aac, config).unwrap();
        assert_eq!(params.audio().unwrap().channels, 7);
    }

    #[test]
    fn frame_lengths_of_low_delay_and_unified_coding_are_their_own() {
        // LD, ELD with 512 and 480 samples; USAC with 1024, and with 2:1 SBR.
        for (record, rfc6381, samples) in [
            ("b990", "mp4a.40.23", 512),
            ("f8e640", "mp4a.40.39", 512),
            ("f8e650", "mp4a.40.39", 480),
            ("f9464320", "mp4a.40.42", 1024),
            ("f9464360", "mp4a.40.42", 2048),
        ] {
            let config = AudioSpecificConfig::parse(&hex(record)).expect(record);
            let expected =
                AudioFormat { sample_rate_hz: 48_000, channels: 2, samples_per_frame: Some(samples) };
            assert_eq!((config.audio_format(), config.rfc6381().as_str()), (expected, rfc6381), "{record}");
            assert!(config.to_bytes().is_err(), "{record}: has fields that are not kept");
        }
        let error = AudioSpecificConfig::parse(&hex("f94643a0")).unwrap_err();
        assert_eq!(error, Error::Invalid { field: "coreSbrFrameLengthIndex", value: 5 });
    }

    #[test]
    fn records_that_lie_are_refused_with_the_reason() {
        let parse = |record| AudioSpecificConfig::parse(&hex(record)).unwrap_err();
        assert_eq!(parse(""), Error::Truncated { bytes: 0 });
        assert_eq!(parse("12"), Error::Truncated { bytes: 1 });
        assert_eq!(parse("1690"), Error::Invalid { field: "samplingFrequencyIndex", value: 13 });
        assert_eq!(parse("1780000010"), Error::Invalid { field: "samplingFrequency", value: 0 });
        assert_eq!(parse("1250"), Error::Invalid { field: "channelConfiguration", value: 10 });
        assert_eq!(parse("4a10"), Error::Unsupported { field: "audio object type", value: 9 });
    }

    #[test]
    fn an_adts_header_gives_the_config_of_its_stream() {
        // Of `-c:a aac` at 44.1 kHz stereo and at 48 kHz 5.1, by FFmpeg's ADTS muxer.
        let stereo = hex("fff150802a7ffcdc00");
        let header = AdtsHeader::parse(&stereo).unwrap();
        assert_eq!((header.header_bytes, header.frame_bytes, header.access_units), (7, 339, 1));
        assert_eq!(config_from_adts(&stereo).unwrap(), hex("1210"));
        assert_eq!(config_from_adts(&hex("fff14d802cdffcdc00")).unwrap(), hex("11b0"));
        assert_eq!(AdtsHeader::parse(&hex("fff050802a7ffcdc00")).unwrap().header_bytes, 9);
        assert!(AdtsHeader::parse(&hex("fff15080")).is_err());
        assert!(AdtsHeader::parse(&hex("ffe150802a7ffcdc00")).is_err());
        assert!(AdtsHeader::parse(&hex("fff750802a7ffcdc00")).is_err());
        assert!(AdtsHeader::parse(&hex("fff150800000fcdc00")).is_err());
    }

    fn config() -> impl Strategy<Value = AudioSpecificConfig> {
        let rate = || prop_oneof![prop::sample::select(&SAMPLE_RATES_HZ[..]), 1u32..1 << 24];
        let channels = prop::sample::select(&[1u8, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14][..]);
        (1u8..=4, rate(), channels, any::<bool>(), proptest::option::of(rate()), any::<bool>()).prop_map(
            |(object_type, sample_rate_hz, channel_config, short, sbr_sample_rate_hz, stereo)| {
                AudioSpecificConfig {
                    object_type,
                    sample_rate_hz,
                    channel_config,
                    channels: CHANNELS[usize::from(channel_config)],
                    samples_per_frame: if short { 960 } else { 1024 },
                    sbr_sample_rate_hz,
                    parametric_stereo: stereo && sbr_sample_rate_hz.is_some(),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(config in config()) {
            let bytes = config.to_bytes().unwrap();
            prop_assert_eq!(AudioSpecificConfig::parse(&bytes), Ok(config));
        }

        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            if let Ok(config) = AudioSpecificConfig::parse(&bytes) {
                prop_assert!(config.audio_format().channels > 0 && config.audio_format().sample_rate_hz > 0);
                let _ = (config.to_bytes(), config.rfc6381());
            }
            let _ = config_from_adts(&bytes);
        }
    }
}
