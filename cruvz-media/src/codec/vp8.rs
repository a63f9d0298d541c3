//! VP8: what the front of a frame says (RFC 6386 §9.1). It has no configuration record.

use bytes::Bytes;

use crate::{Codec, CodecParams, Format, VideoFormat};

/// Whether decoding can start at this frame.
pub fn is_keyframe(payload: &[u8]) -> bool {
    payload.first().is_some_and(|tag| tag & 1 == 0)
}

/// Width and height of a key frame; `None` of any other payload.
pub fn frame_size(keyframe: &[u8]) -> Option<(u32, u32)> {
    // A tag of three bytes, the start code, and twice 14 bits of size under two bits of scale, little-endian.
    let [tag, _, _, 0x9D, 0x01, 0x2A, width @ .., height_low, height_high] = keyframe.first_chunk::<10>()?
    else {
        return None;
    };
    let size = [u16::from_le_bytes(*width), u16::from_le_bytes([*height_low, *height_high])];
    let [width, height] = size.map(|size| u32::from(size & 0x3FFF));
    (tag & 1 == 0 && width > 0 && height > 0).then_some((width, height))
}

/// VP8's parameters, whose size only a key frame tells: 0 by 0 here.
///
/// The codec string is the one that WebM players know; no browser plays VP8 from MP4.
pub(super) fn params() -> CodecParams {
    let format = VideoFormat { reorder_depth: Some(0), ..VideoFormat::default() };
    CodecParams {
        codec: Codec::Vp8,
        config: Bytes::new(),
        format: Format::Video(format),
        rfc6381: "vp8".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{self, hex};

    /// The fronts of the first two frames of FFmpeg 9's `-c:v libvpx -deadline realtime` at 320x180.
    const KEY: &str = "f062009d012a4001b4000007";
    const INTER: &str = "7113000b117c001eae0a4abb";

    #[test]
    fn the_size_comes_from_a_keyframe() {
        assert!(is_keyframe(&hex(KEY)) && !is_keyframe(&hex(INTER)) && !is_keyframe(&[]));
        assert_eq!(frame_size(&hex(KEY)), Some((320, 180)));
        assert_eq!(frame_size(&hex(INTER)), None);
        assert_eq!(frame_size(&hex(KEY)[..9]), None);
        let params = codec::parse(Codec::Vp8, Bytes::new()).unwrap();
        let whole = codec::complete(params, &hex(KEY)).unwrap();
        assert_eq!(whole, codec::from_frame(Codec::Vp8, &hex(KEY)).unwrap());
        let video = whole.video().unwrap();
        assert_eq!((video.width, video.height, whole.rfc6381.as_str()), (320, 180, "vp8"));
        assert!(codec::from_frame(Codec::Vp8, &hex(INTER)).is_err());
    }

    #[test]
    fn the_scale_above_the_size_is_left_out() {
        assert_eq!(frame_size(&hex("f062009d012a4041b480")), Some((320, 180)));
        assert_eq!(frame_size(&hex("f062009d012a0000b400")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            let _ = (is_keyframe(&bytes), frame_size(&bytes));
        }
    }
}
