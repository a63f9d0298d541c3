//! VP9: the VPCodecConfigurationRecord (VP Codec ISO Media File Format Binding §2.2), and what a key frame's
//! uncompressed header says (VP9 bitstream specification §6.2).

use bytes::Bytes;

use super::{Error, bits::BitReader};
use crate::{Codec, CodecParams, Format, VideoFormat};

/// Bytes of the record without codec initialisation data, which VP9 does not have.
const RECORD_BYTES: usize = 8;
/// Version 1 and flags 0 before the record where it comes as a whole vpcC box's content.
const FULL_BOX: [u8; 4] = [1, 0, 0, 0];
/// Levels by the luma samples of a picture they allow (annex A), ten times the level first.
const LEVELS: [(u8, u64); 9] = [
    (10, 36_864),
    (11, 73_728),
    (20, 122_880),
    (21, 245_760),
    (30, 552_960),
    (31, 983_040),
    (40, 2_228_224),
    (50, 8_912_896),
    (60, 35_651_584),
];

/// What a key frame says of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyframeHeader {
    /// 0 to 3.
    pub profile: u8,
    /// Bits of a sample: 8, 10 or 12.
    pub bit_depth: u8,
    /// Chroma has half the width.
    pub subsampling_x: bool,
    /// Chroma has half the height.
    pub subsampling_y: bool,
    /// Samples use the full range.
    pub full_range: bool,
    /// Width of the frame.
    pub width: u32,
    /// Height of the frame.
    pub height: u32,
}

impl KeyframeHeader {
    /// Reads the front of a frame or superframe.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is no key frame, [`Error::Invalid`] and [`Error::Truncated`] when it is broken.
    pub fn parse(payload: &[u8]) -> Result<Self, Error> {
        let mut bits = BitReader::new(payload);
        let profile = read_profile(&mut bits)?;
        // show_existing_frame 0, frame_type 0 (KEY_FRAME).
        if bits.read(2)? != 0 {
            return Err(Error::Missing("key frame"));
        }
        bits.skip(2)?; // show_frame, error_resilient_mode
        let sync = bits.read(24)?;
        if sync != 0x49_83_42 {
            return Err(Error::Invalid { field: "VP9 sync code", value: sync.into() });
        }
        let bit_depth = match profile {
            0 | 1 => 8,
            _ if bits.flag()? => 12,
            _ => 10,
        };
        // Color space 7 is RGB.
        let rgb = bits.read(3)? == 7;
        let full_range = rgb || bits.flag()?;
        let [mut subsampling_x, mut subsampling_y] = [!rgb; 2];
        if matches!(profile, 1 | 3) {
            if !rgb {
                [subsampling_x, subsampling_y] = [bits.flag()?, bits.flag()?];
            }
            bits.skip(1)?; // reserved
        }
        let [width, height] = [bits.read(16)? + 1, bits.read(16)? + 1];
        Ok(Self { profile, bit_depth, subsampling_x, subsampling_y, full_range, width, height })
    }
}

fn read_profile(bits: &mut BitReader<'_>) -> Result<u8, Error> {
    let marker = bits.read(2)?;
    if marker != 2 {
        return Err(Error::Invalid { field: "VP9 frame marker", value: marker.into() });
    }
    let profile = u8::from(bits.flag()?) | (u8::from(bits.flag()?) << 1);
    if profile == 3 {
        bits.skip(1)?; // reserved
    }
    Ok(profile)
}

/// Whether decoding can start at this frame or superframe.
pub fn is_keyframe(payload: &[u8]) -> bool {
    let mut bits = BitReader::new(payload);
    read_profile(&mut bits).is_ok() && bits.read(2) == Ok(0)
}

/// Width and height of a key frame; `None` of any other payload.
pub fn frame_size(keyframe: &[u8]) -> Option<(u32, u32)> {
    KeyframeHeader::parse(keyframe).ok().map(|header| (header.width, header.height))
}

/// The VPCodecConfigurationRecord of a stream that came without one, from a key frame. The level is the lowest whose
/// picture size fits; the color is left unspecified.
///
/// # Errors
/// Those of [`KeyframeHeader::parse`].
pub fn record_from_keyframe(keyframe: &[u8]) -> Result<Bytes, Error> {
    let header = KeyframeHeader::parse(keyframe)?;
    let samples = u64::from(header.width) * u64::from(header.height);
    let level = LEVELS.iter().find(|(_, most)| samples <= *most).map_or(62, |(level, _)| *level);
    // 1: 4:2:0 with chroma beside the left-most luma samples; 2: 4:2:2; 3: 4:4:4.
    let chroma = match (header.subsampling_x, header.subsampling_y) {
        (true, true) => 1,
        (true, false) => 2,
        (false, _) => 3,
    };
    let depth = (header.bit_depth << 4) | (chroma << 1) | u8::from(header.full_range);
    Ok(Bytes::copy_from_slice(&[header.profile, level, depth, 2, 2, 2, 0, 0]))
}

/// What a vpcC says of the media: all but the size, which is 0 by 0. The result has no version and flags before it.
pub(super) fn params(config: Bytes) -> Result<CodecParams, Error> {
    let full_box = config.len() >= FULL_BOX.len() + RECORD_BYTES && config.starts_with(&FULL_BOX);
    let config = if full_box { config.slice(FULL_BOX.len()..) } else { config };
    let record = config.first_chunk::<RECORD_BYTES>().ok_or(Error::Truncated { bytes: config.len() })?;
    let [profile, level, bit_depth] = [record[0], record[1], record[2] >> 4];
    if profile > 3 {
        return Err(Error::Invalid { field: "VP9 profile", value: profile.into() });
    }
    if !matches!(bit_depth, 8 | 10 | 12) {
        return Err(Error::Invalid { field: "VP9 bit depth", value: bit_depth.into() });
    }
    // 0 says that the level is not known. No player takes that for an answer, so it becomes 1.0.
    let level = if level == 0 { 10 } else { level };
    let rfc6381 = format!("vp09.{profile:02}.{level:02}.{bit_depth:02}");
    let format = VideoFormat { reorder_depth: Some(0), ..VideoFormat::default() };
    Ok(CodecParams { codec: Codec::Vp9, config, format: Format::Video(format), rfc6381 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    /// Of FFmpeg 9's `-c:v libvpx-vp9 -deadline realtime` at 322x182, and with `-pix_fmt yuv422p10le` at 320x180: vpcC
    /// as in FLV, front of the first frame, front of the second.
    const PROFILE_0: [&str; 3] = ["01000000000b820202020000", "824983420014100b5606", "86004092f121"];
    const PROFILE_3: [&str; 3] = ["01000000030ba40202020000", "b124c1a102009f8059b031", "b30020497890"];

    #[test]
    fn real_records_and_keyframes_say_what_ffprobe_says() {
        for ([record, key, inter], size, rfc6381) in
            [(PROFILE_0, (322, 182), "vp09.00.11.08"), (PROFILE_3, (320, 180), "vp09.03.11.10")]
        {
            let params = codec::parse(Codec::Vp9, hex(record)).unwrap();
            assert_eq!((params.rfc6381.as_str(), params.video().unwrap().width), (rfc6381, 0));
            assert_eq!(params.config, hex(record).slice(4..));
            assert_eq!(codec::parse(Codec::Vp9, params.config.clone()).unwrap(), params);
            assert_eq!(frame_size(&hex(key)), Some(size));
            assert!(is_keyframe(&hex(key)) && !is_keyframe(&hex(inter)));
            assert_eq!(frame_size(&hex(inter)), None);
            let whole = codec::complete(params.clone(), &hex(key)).unwrap();
            let expected =
                VideoFormat { width: size.0, height: size.1, frame_rate: None, reorder_depth: Some(0) };
            assert_eq!(whole.video(), Some(&expected));
            assert_eq!(codec::complete(whole.clone(), &hex(inter)), Ok(whole), "nothing left to complete");
            assert!(codec::complete(params, &hex(inter)).is_err());
        }
    }

    #[test]
    fn a_record_is_made_from_a_keyframe() {
        // 322x182 has 58,604 luma samples: level 1.1, as FFmpeg wrote it.
        assert_eq!(record_from_keyframe(&hex(PROFILE_0[1])).unwrap(), hex("000b820202020000"));
        // 4:2:2, where FFmpeg wrote the same too.
        assert_eq!(record_from_keyframe(&hex(PROFILE_3[1])).unwrap(), hex("030ba40202020000"));
    }

    #[test]
    fn rgb_and_full_range_are_read() {
        // Profile 1, color space 7: 0b10_1_0_0_0_1_0, sync code, 0b111_0, 319 and 179.
        let rgb = hex("a2498342e013f00b30");
        let header = KeyframeHeader::parse(&rgb).unwrap();
        assert_eq!((header.width, header.height, header.full_range), (320, 180, true));
        assert!(!header.subsampling_x && !header.subsampling_y);
        assert_eq!(record_from_keyframe(&rgb).unwrap()[2], 0x87);
    }

    #[test]
    fn records_and_frames_that_lie_are_refused_with_the_reason() {
        let parse = |record: &str| codec::parse(Codec::Vp9, hex(record)).unwrap_err();
        assert_eq!(parse("000b8202020200"), Error::Truncated { bytes: 7 });
        assert_eq!(parse("040b820202020000"), Error::Invalid { field: "VP9 profile", value: 4 });
        assert_eq!(parse("000b720202020000"), Error::Invalid { field: "VP9 bit depth", value: 7 });
        let parse = |frame: &str| KeyframeHeader::parse(&hex(frame)).unwrap_err();
        assert_eq!(parse(""), Error::Truncated { bytes: 0 });
        assert_eq!(parse("42"), Error::Invalid { field: "VP9 frame marker", value: 1 });
        assert_eq!(parse("82498343"), Error::Invalid { field: "VP9 sync code", value: 0x49_83_43 });
        assert_eq!(parse("8249834200"), Error::Truncated { bytes: 5 });
        let unknown = codec::parse(Codec::Vp9, hex("0000820202020000")).unwrap();
        assert_eq!(unknown.rfc6381, "vp09.00.10.08");
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (is_keyframe(&bytes), frame_size(&bytes), record_from_keyframe(&bytes));
            let _ = codec::parse(Codec::Vp9, Bytes::from(bytes));
        }

        #[test]
        fn a_keyframe_of_any_size_is_read(width in 1u32..=65_536, height in 1u32..=65_536) {
            let mut bits = codec::bits::BitWriter::default();
            for (count, value) in [(8, 0x82), (24, 0x49_83_42), (4, 0), (16, width - 1), (16, height - 1)] {
                bits.write(count, value);
            }
            prop_assert_eq!(frame_size(&bits.into_bytes()), Some((width, height)));
        }
    }
}
