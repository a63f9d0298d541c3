//! Video usability information, as far as H.264 and H.265 write it alike.

use super::{Error, bits::BitReader};

/// Passes over what vui_parameters begin with: how pictures are to be shown (ISO/IEC 14496-10 §E.1.1, ISO/IEC 23008-2 §E.2.1).
pub(super) fn skip_display(bits: &mut BitReader<'_>) -> Result<(), Error> {
    // aspect_ratio_info_present_flag, aspect_ratio_idc; 255 is Extended_SAR.
    if bits.flag()? && bits.read(8)? == 255 {
        bits.skip(32)?;
    }
    if bits.flag()? {
        bits.skip(1)?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.skip(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.skip(24)?; // colour_primaries, transfer_characteristics, matrix_coefficients
        }
    }
    if bits.flag()? {
        bits.ue()?; // chroma_sample_loc_type_top_field
        bits.ue()?; // chroma_sample_loc_type_bottom_field
    }
    Ok(())
}
