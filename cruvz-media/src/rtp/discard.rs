//! Which frames nobody misses.

use crate::{Codec, CodecParams, codec::nal::nal_units};

/// Whether no other frame of the track refers to this one, so that a viewer can do without it: B-frames at the end of
/// their pyramid. False where it cannot be told from the headers of its NAL units, and for codecs other than H.264 and
/// H.265, which show frames in the order they are decoded in.
///
/// In H.264 all slices have nal_ref_idc 0 (ISO/IEC 14496-10 §7.4.1). In H.265 they belong to a sub-layer non-reference
/// picture (ISO/IEC 23008-2 table 7-1) of the highest sub-layer, as the track's record counts them.
pub fn is_discardable(params: &CodecParams, payload: &[u8]) -> bool {
    /// Where hvcC has numTemporalLayers, in bits 3 to 5; 0 is unknown.
    const SUB_LAYERS_AT: usize = 21;
    let is_spare: &dyn Fn(&[u8]) -> Option<bool> = match params.codec {
        Codec::H264 => &|unit| matches!(unit[0] & 0x1F, 1..=5).then_some(unit[0] & 0x60 == 0),
        Codec::H265 => &|unit| {
            let (unit_type, temporal_id_plus1) = (unit[0] >> 1 & 0x3F, unit.get(1)? & 7);
            let sub_layers = params.config.get(SUB_LAYERS_AT).map_or(0, |byte| byte >> 3 & 7);
            let is_highest = sub_layers > 0 && temporal_id_plus1 >= sub_layers;
            // Even types below 16 are of sub-layer non-reference pictures.
            (unit_type < 32).then_some(is_highest && unit_type < 16 && unit_type % 2 == 0)
        },
        _ => return false,
    };
    let mut slices = nal_units(payload).map_while(Result::ok).filter_map(is_spare).peekable();
    slices.peek().is_some() && slices.all(|is_spare| is_spare)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Format, VideoFormat};

    fn params(codec: Codec, config: &'static [u8]) -> CodecParams {
        let format = Format::Video(VideoFormat::default());
        CodecParams { codec, config: Bytes::from_static(config), format, rfc6381: String::new() }
    }

    #[test]
    fn h264_frames_are_discardable_when_none_of_their_slices_is_referred_to() {
        let h264 = params(Codec::H264, &[]);
        for (payload, expected) in [
            (&[0, 0, 0, 2, 0x06, 5, 0, 0, 0, 2, 0x01, 0x9E][..], true),
            (&[0, 0, 0, 2, 0x41, 0x9A], false),
            (&[0, 0, 0, 2, 0x01, 0x9E, 0, 0, 0, 2, 0x21, 0x9E], false),
            (&[0, 0, 0, 2, 0x65, 0x88], false),
            (&[0, 0, 0, 2, 0x06, 5], false),
            (&[0, 0, 0, 9, 0x01], false),
            (&[], false),
        ] {
            assert_eq!(is_discardable(&h264, payload), expected, "{payload:?}");
        }
        assert!(!is_discardable(&params(Codec::Vp8, &[]), &[1, 2, 3]));
    }

    #[test]
    fn h265_frames_are_discardable_in_the_highest_sub_layer_alone() {
        const LAYERS: fn(u8) -> [u8; 22] = |layers| {
            let mut config = [0; 22];
            config[21] = layers << 3;
            config
        };
        for (layers, unit, expected) in [
            (1, [0x00, 1], true),  // TRAIL_N
            (1, [0x02, 1], false), // TRAIL_R
            (1, [0x10, 1], true),  // RASL_N
            (1, [0x26, 1], false), // IDR_W_RADL
            (2, [0x00, 1], false), // the layer above may refer to it
            (2, [0x00, 2], true),
            (0, [0x00, 1], false),
        ] {
            let mut h265 = params(Codec::H265, &[]);
            h265.config = Bytes::copy_from_slice(&LAYERS(layers));
            let payload = [&[0, 0, 0, 3][..], &unit, &[0x80]].concat();
            assert_eq!(is_discardable(&h265, &payload), expected, "{layers} {unit:?}");
        }
    }
}
