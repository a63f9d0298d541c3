//! FLAC: the STREAMINFO block (RFC 9639 §8.2), and the block size in each frame's header (§9.1).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Error, bits::BitReader};
use crate::{AudioFormat, Codec, CodecParams, Format};

/// Bytes of a STREAMINFO block's content.
const STREAMINFO_BYTES: usize = 34;
/// The header of a metadata block that is the last one, of type 0 (STREAMINFO).
const LAST_STREAMINFO: [u8; 4] = [0x80, 0, 0, STREAMINFO_BYTES as u8];
/// What a FLAC file begins with.
const MARKER: &[u8; 4] = b"fLaC";

/// The 34 bytes of STREAMINFO in any of the forms it travels in: bare, as a metadata block, behind `fLaC` (Enhanced
/// RTMP, files), or as the content of MP4's dfLa box.
///
/// # Errors
/// [`Error::Truncated`] when the block is not whole, [`Error::Missing`] when the first block is another.
pub fn streaminfo(config: &Bytes) -> Result<Bytes, Error> {
    if config.len() == STREAMINFO_BYTES {
        return Ok(config.clone());
    }
    // A dfLa box has version 0 and flags 0 there. A bare block is told by its own header.
    let marked = config.starts_with(MARKER) || config.starts_with(&[0; 4]);
    let block = if marked { config.slice(4..) } else { config.clone() };
    match block.first_chunk::<4>() {
        Some([0 | 0x80, 0, 0, size]) if usize::from(*size) == STREAMINFO_BYTES => {}
        Some(_) => return Err(Error::Missing("STREAMINFO block")),
        None => return Err(Error::Truncated { bytes: config.len() }),
    }
    let whole = block.len() >= 4 + STREAMINFO_BYTES;
    if whole {
        Ok(block.slice(4..4 + STREAMINFO_BYTES))
    } else {
        Err(Error::Truncated { bytes: config.len() })
    }
}

/// `fLaC` and one metadata block: the start of a file, and Enhanced RTMP's sequence header.
pub fn stream_header(streaminfo: &[u8]) -> Bytes {
    let mut header = BytesMut::from(&MARKER[..]);
    header.put_slice(&LAST_STREAMINFO);
    header.put_slice(streaminfo);
    header.freeze()
}

/// What a STREAMINFO says of the media; the record in the result is its 34 bytes.
pub(super) fn params(config: &Bytes) -> Result<CodecParams, Error> {
    let config = streaminfo(config)?;
    let mut bits = BitReader::new(&config);
    let (smallest, largest) = (bits.read(16)?, bits.read(16)?);
    bits.skip(24 + 24)?; // frame sizes
    let sample_rate_hz = bits.read(20)?;
    let channels = bits.byte(3)? + 1;
    if sample_rate_hz == 0 {
        return Err(Error::Invalid { field: "FLAC sample rate", value: 0 });
    }
    if smallest < 16 || largest < smallest {
        return Err(Error::Invalid { field: "FLAC minimum block size", value: smallest.into() });
    }
    let samples_per_frame = (smallest == largest).then_some(largest);
    let format = AudioFormat { sample_rate_hz, channels, samples_per_frame };
    Ok(CodecParams { codec: Codec::Flac, config, format: Format::Audio(format), rfc6381: "fLaC".to_owned() })
}

/// Samples in `frame`, or `None` when it does not begin with a frame header.
pub fn samples(frame: &[u8]) -> Option<u32> {
    let mut bits = BitReader::new(frame);
    // Sync code and a reserved bit; then the blocking strategy.
    if bits.read(15).ok()? != 0x7FFC {
        return None;
    }
    bits.skip(1).ok()?;
    let code = bits.read(4).ok()?;
    bits.skip(12).ok()?; // sample rate, channels, bit depth, reserved
    // The coded number: as many bytes as its first has leading ones, as in UTF-8.
    let first = bits.byte(8).ok()?;
    bits.skip(8 * (first.leading_ones() as usize).saturating_sub(1)).ok()?;
    match code {
        1 => Some(192),
        2..=5 => Some(576 << (code - 2)),
        6 => Some(bits.read(8).ok()? + 1),
        7 => Some(bits.read(16).ok()? + 1),
        8..=15 => Some(256 << (code - 8)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    /// Of FFmpeg 9's `-c:a flac`: dfLa of 48 kHz stereo and of 96 kHz stereo with 24 bits.
    const DFLA: &str = "0000000080000022040004000000570001670bb802f0000038407c78e3944dce6500a8358719aed00c4d";
    const DFLA_24: &str =
        "000000008000002207e007e000029f0007f517700370000070803273888884c4b84e9e8ee30e9098dd86";

    #[test]
    fn stream_infos_say_what_ffprobe_says() {
        for (record, sample_rate_hz, samples) in [(DFLA, 48_000, 1_024), (DFLA_24, 96_000, 2_016)] {
            let params = codec::parse(Codec::Flac, hex(record)).unwrap();
            let expected = AudioFormat { sample_rate_hz, channels: 2, samples_per_frame: Some(samples) };
            assert_eq!((params.audio(), params.rfc6381.as_str()), (Some(&expected), "fLaC"));
            assert_eq!(params.config, hex(record).slice(8..));
        }
    }

    #[test]
    fn every_form_of_the_record_is_the_same_stream_info() {
        let dfla = hex(DFLA);
        let bare = dfla.slice(8..);
        for form in [dfla.clone(), dfla.slice(4..), bare.clone(), stream_header(&bare)] {
            assert_eq!(streaminfo(&form), Ok(bare.clone()));
        }
        assert_eq!(streaminfo(&dfla.slice(..41)), Err(Error::Truncated { bytes: 41 }));
        assert_eq!(streaminfo(&dfla.slice(..7)), Err(Error::Truncated { bytes: 7 }));
        assert_eq!(streaminfo(&hex("0400002a00")), Err(Error::Missing("STREAMINFO block")));
    }

    #[test]
    fn stream_infos_that_lie_are_refused_with_the_reason() {
        let mut block = BytesMut::from(&hex(DFLA)[8..]);
        block[2] = 0;
        let error = codec::parse(Codec::Flac, block.clone().freeze()).unwrap_err();
        assert_eq!(error, Error::Invalid { field: "FLAC minimum block size", value: 1024 });
        block[10..13].fill(0);
        let error = codec::parse(Codec::Flac, block.freeze()).unwrap_err();
        assert_eq!(error, Error::Invalid { field: "FLAC sample rate", value: 0 });
    }

    #[test]
    fn frames_tell_their_block_size() {
        // The first frame of the 48 kHz stream; then codes 1, 5, 6, 7 behind coded numbers of one and two bytes.
        assert_eq!(samples(&hex("fff8aa88005b")), Some(1_024));
        assert_eq!(samples(&hex("fff81a8800")), Some(192));
        assert_eq!(samples(&hex("fff85a8800")), Some(4_608));
        assert_eq!(samples(&hex("fff86a88002f")), Some(48));
        assert_eq!(samples(&hex("fff87a88c280012b")), Some(300));
        assert_eq!(samples(&hex("fff80a8800")), None);
        assert_eq!(samples(&hex("fffb946400")), None);
        assert_eq!(samples(&[]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (samples(&bytes), codec::parse(Codec::Flac, Bytes::from(bytes.clone())));
        }
    }
}
