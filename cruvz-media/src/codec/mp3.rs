//! MP3: the header of each frame (ISO/IEC 11172-3 §2.4.1.3, ISO/IEC 13818-3), which is all the configuration there is.

use bytes::Bytes;

use super::{Error, bits::BitReader};
use crate::{AudioFormat, Codec, CodecParams, Format};

/// Sampling frequencies of MPEG-1; MPEG-2 has halves of them, MPEG-2.5 quarters.
const SAMPLE_RATES_HZ: [u32; 3] = [44_100, 48_000, 32_000];
/// Bit rates of MPEG-1 layer III by index, in kbit/s; 0: free format.
const BITRATES_KBPS: [u32; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
/// The same of MPEG-2 and 2.5.
const LOW_BITRATES_KBPS: [u32; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];

/// What the four bytes before each frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// 1 or 2.
    pub channels: u8,
    /// 1152, or 576 below 32 kHz.
    pub samples: u32,
    /// Bytes of the whole frame, header included; `None` in free format.
    pub frame_bytes: Option<usize>,
}

impl Header {
    /// Reads the header at the front of a frame.
    ///
    /// # Errors
    /// [`Error::Truncated`] below 4 bytes, [`Error::Invalid`] without the sync word or with reserved values,
    /// [`Error::Unsupported`] for layers I and II.
    pub fn parse(frame: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(frame);
        let sync = bits.read(11)?;
        if sync != 0x7FF {
            return Err(Error::Invalid { field: "MP3 sync word", value: sync.into() });
        }
        let version = bits.read(2)?;
        // How far the rates of MPEG-1 are shifted down.
        let shift = match version {
            3 => 0,
            2 => 1,
            0 => 2,
            _ => return Err(Error::Invalid { field: "MPEG audio version", value: version.into() }),
        };
        let layer = bits.read(2)?;
        if layer != 1 {
            return Err(Error::Unsupported { field: "MPEG audio layer", value: u64::from(4 - layer) });
        }
        bits.skip(1)?; // protection_bit
        let (bitrate, rate) = (bits.read(4)?, bits.read(2)?);
        let padding = bits.read(1)?;
        bits.skip(1)?; // private_bit
        let channels = if bits.read(2)? == 3 { 1 } else { 2 };
        let sample_rate_hz = SAMPLE_RATES_HZ
            .get(rate as usize)
            .ok_or(Error::Invalid { field: "MP3 sampling frequency", value: 3 })?
            >> shift;
        let bitrates = if shift == 0 { BITRATES_KBPS } else { LOW_BITRATES_KBPS };
        let kbps =
            bitrates.get(bitrate as usize).ok_or(Error::Invalid { field: "MP3 bit rate", value: 15 })?;
        let samples = if shift == 0 { 1_152 } else { 576 };
        let bytes = samples / 8 * kbps * 1_000 / sample_rate_hz + padding;
        let frame_bytes = (*kbps > 0).then_some(bytes as usize);
        Ok(Self { sample_rate_hz, channels, samples, frame_bytes })
    }
}

/// Samples in `frame`, or `None` when it does not begin with a header.
pub fn samples(frame: &[u8]) -> Option<u32> {
    Header::parse(frame).ok().map(|header| header.samples)
}

/// What the frame `frame` says of its stream. The record in the result is empty: each frame has it all.
///
/// The codec string is the one of Apple's HLS specification, which hls.js knows too. It is honest rather than useful
/// in Chromium, whose Media Source Extensions take MP3 from `audio/mpeg` alone, under no name from MP4.
pub(super) fn params(frame: &Bytes) -> Result<CodecParams, Error> {
    let header = Header::parse(frame)?;
    Ok(CodecParams {
        codec: Codec::Mp3,
        config: Bytes::new(),
        format: Format::Audio(AudioFormat {
            sample_rate_hz: header.sample_rate_hz,
            channels: header.channels,
            samples_per_frame: Some(header.samples),
        }),
        rfc6381: "mp4a.40.34".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    #[test]
    fn frame_headers_say_what_ffprobe_says() {
        // `-c:a libmp3lame`: 48 kHz stereo at 128 kbit/s, 22.05 kHz mono at 56; the last is of MPEG-2.5 at 8 kHz.
        for (header, sample_rate_hz, channels, samples, frame_bytes) in [
            ("fffb9464", 48_000, 2, 1_152, 384),
            ("fff370c0", 22_050, 1, 576, 182),
            ("ffe318c4", 8_000, 1, 576, 72),
        ] {
            let params = codec::parse(Codec::Mp3, hex(header)).unwrap();
            let expected = AudioFormat { sample_rate_hz, channels, samples_per_frame: Some(samples) };
            assert_eq!(
                (params.audio(), params.rfc6381.as_str()),
                (Some(&expected), "mp4a.40.34"),
                "{header}"
            );
            assert_eq!(params.config, Bytes::new());
            assert_eq!(Header::parse(&hex(header)).unwrap().frame_bytes, Some(frame_bytes), "{header}");
        }
        assert_eq!(Header::parse(&hex("fffb04c0")).unwrap().frame_bytes, None, "free format");
        assert_eq!(samples(&hex("fffb9464")), Some(1_152));
    }

    #[test]
    fn headers_that_lie_are_refused_with_the_reason() {
        let parse = |header| Header::parse(&hex(header)).unwrap_err();
        assert_eq!(parse(""), Error::Truncated { bytes: 0 });
        assert_eq!(parse("fffb94"), Error::Truncated { bytes: 3 });
        assert_eq!(parse("49443304"), Error::Invalid { field: "MP3 sync word", value: 0x24A });
        assert_eq!(parse("ffeb9464"), Error::Invalid { field: "MPEG audio version", value: 1 });
        assert_eq!(parse("fffd9464"), Error::Unsupported { field: "MPEG audio layer", value: 2 });
        assert_eq!(parse("fffb9c64"), Error::Invalid { field: "MP3 sampling frequency", value: 3 });
        assert_eq!(parse("fffbf464"), Error::Invalid { field: "MP3 bit rate", value: 15 });
        assert_eq!(samples(b"ID3\x04"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = codec::parse(Codec::Mp3, Bytes::from(bytes));
        }

        #[test]
        fn any_header_never_panics(tail in 0u32..1 << 21) {
            let _ = Header::parse(&(0xFFE0_0000 | tail).to_be_bytes());
        }
    }
}
