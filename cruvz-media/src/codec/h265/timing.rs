//! The way through the second half of a sequence parameter set to its frame rate: all of it has a variable length
//! and must be read to know where the next field begins (ISO/IEC 23008-2 §7.3.2.2.1 from the block sizes on).

use super::super::{Error, bits::BitReader, frame_rate, vui::skip_display};

/// Pictures a decoder can hold (§A.4.2), and so the most that one set can refer to.
const MAX_REFERENCES: u32 = 16;

/// vui_time_scale over vui_num_units_in_tick, where both are there. `poc_bits`: of a picture order count.
pub(super) fn read(bits: &mut BitReader<'_>, poc_bits: u32) -> Result<Option<(u32, u32)>, Error> {
    for _ in 0..6 {
        bits.ue()?; // block sizes and transform depths
    }
    if bits.flag()? && bits.flag()? {
        skip_scaling_lists(bits)?;
    }
    bits.skip(2)?; // amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag()? {
        bits.skip(8)?; // PCM bit depths
        bits.ue()?;
        bits.ue()?;
        bits.skip(1)?; // pcm_loop_filter_disabled_flag
    }
    skip_reference_sets(bits)?;
    if bits.flag()? {
        for _ in 0..bits.ue_up_to(32, "num_long_term_ref_pics_sps")? {
            bits.skip(poc_bits as usize + 1)?; // lt_ref_pic_poc_lsb_sps, used_by_curr_pic_lt_sps_flag
        }
    }
    bits.skip(2)?; // sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
    if !bits.flag()? {
        return Ok(None);
    }
    read_vui(bits)
}

/// vui_parameters up to the timing (§E.2.1).
fn read_vui(bits: &mut BitReader<'_>) -> Result<Option<(u32, u32)>, Error> {
    skip_display(bits)?;
    bits.skip(3)?; // neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
    if bits.flag()? {
        for _ in 0..4 {
            bits.ue()?; // default display window
        }
    }
    if !bits.flag()? {
        return Ok(None);
    }
    let (units_in_tick, time_scale) = (bits.read(32)?, bits.read(32)?);
    Ok(frame_rate(time_scale.into(), units_in_tick.into()))
}

/// scaling_list_data (§7.3.4).
fn skip_scaling_lists(bits: &mut BitReader<'_>) -> Result<(), Error> {
    for size_id in 0..4u32 {
        for _ in 0..if size_id == 3 { 2 } else { 6 } {
            if !bits.flag()? {
                bits.ue()?; // scaling_list_pred_matrix_id_delta
                continue;
            }
            if size_id > 1 {
                bits.se()?; // scaling_list_dc_coef_minus8
            }
            for _ in 0..64.min(16 << (2 * size_id)) {
                bits.se()?;
            }
        }
    }
    Ok(())
}

/// The short-term reference picture sets (§7.3.7). Only how many pictures each holds matters for the next one.
fn skip_reference_sets(bits: &mut BitReader<'_>) -> Result<(), Error> {
    let mut pictures = 0;
    for index in 0..bits.ue_up_to(64, "num_short_term_ref_pic_sets")? {
        let predicted = index > 0 && bits.flag()?;
        pictures = if predicted { skip_predicted_set(bits, pictures)? } else { skip_explicit_set(bits)? };
        if pictures > MAX_REFERENCES {
            return Err(Error::Invalid { field: "NumDeltaPocs", value: pictures.into() });
        }
    }
    Ok(())
}

/// A set told by its difference from the one before, which held `before` pictures.
fn skip_predicted_set(bits: &mut BitReader<'_>, before: u32) -> Result<u32, Error> {
    bits.skip(1)?; // delta_rps_sign
    bits.ue()?; // abs_delta_rps_minus1
    let mut pictures = 0;
    for _ in 0..=before {
        let used = bits.flag()?;
        // use_delta_flag, 1 where it is not written.
        pictures += u32::from(used || bits.flag()?);
    }
    Ok(pictures)
}

fn skip_explicit_set(bits: &mut BitReader<'_>) -> Result<u32, Error> {
    let before = bits.ue_up_to(MAX_REFERENCES, "num_negative_pics")?;
    let after = bits.ue_up_to(MAX_REFERENCES, "num_positive_pics")?;
    for _ in 0..before + after {
        bits.ue()?; // delta_poc_minus1
        bits.skip(1)?; // used_by_curr_pic_flag
    }
    Ok(before + after)
}
