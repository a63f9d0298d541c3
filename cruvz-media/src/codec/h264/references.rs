//! Which pictures of H.264 can be decoded when others are left out: read from slice headers (ISO/IEC 14496-10 §7.3.3) and the
//! marking of reference pictures (§8.2.5), without looking at a single macroblock.

use std::collections::VecDeque;

use super::{Chroma, Picture, Record, nal_units, read_poc_type, unit, unit_type};
use crate::codec::{Error, bits::BitReader, nal::unescape};

/// Bytes of a slice that are looked at: the longest header, of 32 weighted references, has half as many.
const HEADER_BYTES: usize = 1_024;
/// References of a slice (§7.4.3, num_ref_idx_l0_active_minus1), and the pictures that a decoder holds (§A.3.1).
const MAX_ACTIVE: u32 = 32;
const MAX_HELD: usize = 16;
/// `slice_type` modulo 5 (table 7-6).
mod kind {
    pub(super) const P: u32 = 0;
    pub(super) const B: u32 = 1;
    pub(super) const SP: u32 = 3;
}

/// Follows which pictures a decoder holds, and which of them it was given as they should be.
///
/// Progressive pictures with short-term references are understood, as encoders for streaming make them. Behind anything else (fields,
/// long-term references, several sequence parameter sets, headers that make no sense) nothing is known up to the next keyframe.
#[derive(Clone, Debug)]
pub struct References {
    sequence: Sequence,
    pictures: Vec<PictureSet>,
    held: VecDeque<Held>,
    /// Whether what is held is known.
    is_sure: bool,
}

/// A picture that others may refer to.
#[derive(Clone, Copy, Debug)]
struct Held {
    frame_num: u32,
    whole: bool,
}

/// What of a sequence parameter set the slice headers need.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    frame_num_bits: u32,
    poc_type: u32,
    poc_bits: u32,
    poc_deltas: bool,
    max_references: usize,
    frames_only: bool,
    has_chroma: bool,
}

/// What of a picture parameter set they need.
#[derive(Clone, Copy, Debug)]
struct PictureSet {
    id: u32,
    has_bottom_order: bool,
    active: [u32; 2],
    weighted_p: bool,
    weighted_b: bool,
    has_redundant: bool,
}

/// What a slice header says.
struct Slice {
    kind: u32,
    frame_num: u32,
    active: u32,
    /// Changes to the list of references: whether to add, and how much.
    changes: Vec<(bool, u32)>,
    /// Pictures that are no reference any more behind this one, by how far they are back.
    forgotten: Vec<u32>,
}

impl References {
    /// Follows a stream with these parameter sets; `None` if they are of another kind than is understood.
    pub fn new(record: &Record) -> Option<Self> {
        let [sequence] = &record.sps[..] else { return None };
        let sequence = Sequence::read(sequence).ok().filter(|sequence| sequence.frames_only)?;
        let pictures: Result<Vec<_>, _> = record.pps.iter().map(|set| PictureSet::read(set)).collect();
        let pictures = pictures.ok().filter(|sets| !sets.is_empty())?;
        Some(Self { sequence, pictures, held: VecDeque::new(), is_sure: false })
    }

    /// Takes the next picture in decoding order. Whether a decoder can decode it that was given all pictures for which this was so
    /// and `wanted` set, and only these. In doubt it is not so.
    pub fn picture(&mut self, payload: &[u8], wanted: bool) -> bool {
        match self.take(payload, wanted) {
            Ok(whole) => whole,
            Err(_) => {
                self.is_sure = false;
                false
            }
        }
    }

    fn take(&mut self, payload: &[u8], wanted: bool) -> Result<bool, Error> {
        let mut whole = wanted;
        let mut first = None;
        for nal in nal_units(payload) {
            let nal = nal?;
            match unit_type(nal) {
                unit::IDR => {
                    self.held.clear();
                    self.is_sure = true;
                }
                unit::SLICE => {}
                unit::SPS | unit::PPS | unit::SLICE_A => return Err(Error::Missing("plain slice")),
                _ => continue,
            }
            let slice = self.slice(nal)?;
            whole &= self.is_sure && self.is_whole(&slice);
            first.get_or_insert_with(|| (slice, is_reference_unit(nal)));
        }
        let (slice, is_reference) = first.ok_or(Error::Missing("slice"))?;
        if is_reference {
            self.hold(&slice, whole);
        }
        Ok(whole)
    }

    /// Whether everything that a slice may refer to is whole.
    fn is_whole(&self, slice: &Slice) -> bool {
        match slice.kind {
            // The two lists of B-slices take from all that is held.
            kind::B => self.held.iter().all(|held| held.whole),
            kind::P | kind::SP => {
                let list = self.list(slice);
                list.len() == slice.active as usize
                    && list.iter().all(|held| held.is_some_and(|held| held.whole))
            }
            _ => true,
        }
    }

    /// The references of a P-slice in their order (§8.2.4.2.1, §8.2.4.3.1); `None` for one that is not there.
    fn list(&self, slice: &Slice) -> Vec<Option<Held>> {
        let max = 1i64 << self.sequence.frame_num_bits;
        let current = i64::from(slice.frame_num);
        let number = |held: &Held| match i64::from(held.frame_num) {
            number if number > current => number - max,
            number => number,
        };
        let mut held: Vec<_> = self.held.iter().copied().collect();
        held.sort_by_key(|held| std::cmp::Reverse(number(held)));
        let mut list: Vec<_> = held.iter().copied().map(Some).collect();
        let mut predicted = current;
        for (place, (adds, difference)) in slice.changes.iter().enumerate() {
            let difference = i64::from(*difference);
            predicted = (predicted + if *adds { difference } else { -difference }).rem_euclid(max);
            let wanted = if predicted > current { predicted - max } else { predicted };
            let chosen = held.iter().find(|held| number(held) == wanted).copied();
            list.insert(place.min(list.len()), chosen);
            let mut at = 0;
            list.retain(|entry| {
                at += 1;
                at <= place + 1 || entry.is_none_or(|entry| number(&entry) != wanted)
            });
        }
        list.truncate(slice.active as usize);
        list
    }

    /// The picture is a reference from now on (§8.2.5.3, §8.2.5.4).
    fn hold(&mut self, slice: &Slice, whole: bool) {
        let max = 1u32 << self.sequence.frame_num_bits;
        for back in &slice.forgotten {
            let gone = slice.frame_num.wrapping_sub(*back) % max;
            self.held.retain(|held| held.frame_num != gone);
        }
        if slice.forgotten.is_empty() && self.held.len() >= self.sequence.max_references.max(1) {
            self.held.pop_front();
        }
        self.held.push_back(Held { frame_num: slice.frame_num, whole });
        if self.held.len() > MAX_HELD {
            self.held.pop_front();
        }
    }

    fn slice(&self, nal: &[u8]) -> Result<Slice, Error> {
        let rbsp = unescape(&nal[1..nal.len().min(HEADER_BYTES)]);
        let mut bits = BitReader::new(&rbsp);
        bits.ue()?; // first_mb_in_slice
        let kind = bits.ue_up_to(9, "slice_type")? % 5;
        let id = bits.ue_up_to(255, "pic_parameter_set_id")?;
        let set =
            self.pictures.iter().find(|set| set.id == id).ok_or(Error::Missing("picture parameter set"))?;
        let frame_num = bits.read(self.sequence.frame_num_bits as usize)?;
        let is_idr = unit_type(nal) == unit::IDR;
        if is_idr {
            bits.ue()?; // idr_pic_id
        }
        self.sequence.skip_order(&mut bits, set)?;
        if set.has_redundant {
            bits.ue()?;
        }
        if kind == kind::B {
            bits.skip(1)?; // direct_spatial_mv_pred_flag
        }
        let lists = match kind {
            kind::P | kind::SP => 1,
            kind::B => 2,
            _ => 0,
        };
        let mut active = set.active;
        if lists > 0 && bits.flag()? {
            for active in &mut active[..lists] {
                *active = bits.ue_up_to(MAX_ACTIVE - 1, "num_ref_idx_active_minus1")? + 1;
            }
        }
        let mut changes = Vec::new();
        for list in 0..lists {
            let read = read_changes(&mut bits)?;
            if list == 0 {
                changes = read;
            }
        }
        if lists == 1 && set.weighted_p || lists == 2 && set.weighted_b {
            self.sequence.skip_weights(&mut bits, &active[..lists])?;
        }
        let forgotten = if is_reference_unit(nal) { read_marking(&mut bits, is_idr)? } else { Vec::new() };
        Ok(Slice { kind, frame_num, active: active[0], changes, forgotten })
    }
}

/// `nal_ref_idc` (§7.4.1).
fn is_reference_unit(nal: &[u8]) -> bool {
    nal.first().is_some_and(|header| header & 0x60 != 0)
}

/// ref_pic_list_modification (§7.3.3.1).
fn read_changes(bits: &mut BitReader<'_>) -> Result<Vec<(bool, u32)>, Error> {
    let mut changes = Vec::new();
    if !bits.flag()? {
        return Ok(changes);
    }
    loop {
        match bits.ue_up_to(3, "modification_of_pic_nums_idc")? {
            way @ (0 | 1) if changes.len() < MAX_ACTIVE as usize => {
                changes.push((way == 1, bits.ue_up_to(1 << 17, "abs_diff_pic_num_minus1")? + 1));
            }
            3 => return Ok(changes),
            other => {
                return Err(Error::Unsupported { field: "change to a reference list", value: other.into() });
            }
        }
    }
}

/// dec_ref_pic_marking (§7.3.3.3).
fn read_marking(bits: &mut BitReader<'_>, is_idr: bool) -> Result<Vec<u32>, Error> {
    let mut forgotten = Vec::new();
    if is_idr {
        bits.skip(1)?; // no_output_of_prior_pics_flag
        return match bits.flag()? {
            true => Err(Error::Unsupported { field: "long-term reference", value: 1 }),
            false => Ok(forgotten),
        };
    }
    if !bits.flag()? {
        return Ok(forgotten);
    }
    loop {
        match bits.ue_up_to(6, "memory_management_control_operation")? {
            0 => return Ok(forgotten),
            1 if forgotten.len() < MAX_HELD => {
                forgotten.push(bits.ue_up_to(1 << 16, "difference_of_pic_nums_minus1")? + 1);
            }
            other => return Err(Error::Unsupported { field: "memory management", value: other.into() }),
        }
    }
}

impl Sequence {
    fn read(nal: &[u8]) -> Result<Self, Error> {
        let rbsp = unescape(&nal[1..]);
        let mut bits = BitReader::new(&rbsp);
        let profile_idc = bits.byte(8)?;
        bits.skip(16)?; // constraints, level_idc
        bits.ue_up_to(31, "seq_parameter_set_id")?;
        let chroma = Chroma::read(&mut bits, profile_idc)?;
        if chroma.format_idc == 3 {
            // Its planes may have slices of their own.
            return Err(Error::Unsupported { field: "chroma_format_idc", value: 3 });
        }
        let frame_num_bits = bits.ue_up_to(12, "log2_max_frame_num_minus4")? + 4;
        let mut ahead = bits.clone();
        let poc_type = read_poc_type(&mut bits)?;
        ahead.ue()?; // pic_order_cnt_type
        let (mut poc_bits, mut poc_deltas) = (0, false);
        match poc_type {
            0 => poc_bits = ahead.ue_up_to(12, "log2_max_pic_order_cnt_lsb_minus4")? + 4,
            1 => poc_deltas = !ahead.flag()?,
            _ => {}
        }
        let max_references = bits.ue_up_to(16, "max_num_ref_frames")? as usize;
        bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
        let frames_only = !Picture::read(&mut bits, &chroma)?.interlaced;
        let has_chroma = chroma.array_type != 0;
        Ok(Self { frame_num_bits, poc_type, poc_bits, poc_deltas, max_references, frames_only, has_chroma })
    }

    /// The fields of a slice header that tell the order of output.
    fn skip_order(&self, bits: &mut BitReader<'_>, set: &PictureSet) -> Result<(), Error> {
        match self.poc_type {
            0 => {
                bits.skip(self.poc_bits as usize)?;
                if set.has_bottom_order {
                    bits.se()?;
                }
            }
            1 if self.poc_deltas => {
                bits.se()?;
                if set.has_bottom_order {
                    bits.se()?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// pred_weight_table (§7.3.3.2).
    fn skip_weights(&self, bits: &mut BitReader<'_>, active: &[u32]) -> Result<(), Error> {
        bits.ue()?;
        if self.has_chroma {
            bits.ue()?;
        }
        for _ in 0..active.iter().sum() {
            if bits.flag()? {
                bits.se()?;
                bits.se()?;
            }
            if self.has_chroma && bits.flag()? {
                for _ in 0..4 {
                    bits.se()?;
                }
            }
        }
        Ok(())
    }
}

impl PictureSet {
    fn read(nal: &[u8]) -> Result<Self, Error> {
        let rbsp = unescape(nal.get(1..).unwrap_or_default());
        let mut bits = BitReader::new(&rbsp);
        let id = bits.ue_up_to(255, "pic_parameter_set_id")?;
        bits.ue()?; // seq_parameter_set_id: there is but one
        bits.skip(1)?; // entropy_coding_mode_flag
        let has_bottom_order = bits.flag()?;
        let groups = bits.ue()?;
        if groups > 0 {
            return Err(Error::Unsupported { field: "slice groups", value: groups.into() });
        }
        let mut active = [0; 2];
        for active in &mut active {
            *active = bits.ue_up_to(MAX_ACTIVE - 1, "num_ref_idx_default_active_minus1")? + 1;
        }
        let weighted_p = bits.flag()?;
        let weighted_b = bits.read(2)? == 1;
        bits.se()?; // pic_init_qp_minus26
        bits.se()?; // pic_init_qs_minus26
        bits.se()?; // chroma_qp_index_offset
        bits.skip(2)?; // deblocking_filter_control_present_flag, constrained_intra_pred_flag
        Ok(Self { id, has_bottom_order, active, weighted_p, weighted_b, has_redundant: bits.flag()? })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        Codec, TrackKind,
        codec::h264,
        container::file::{Limits, Reader},
    };

    /// The record of a fixture with B-frames, and for each picture its payload and when it is shown.
    fn pictures(file: &str) -> (Record, Vec<(Vec<u8>, i64)>) {
        let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
        let mut reader = Reader::open(std::fs::File::open(path).unwrap(), Limits::default()).unwrap();
        let track = reader.tracks().first(TrackKind::Video).unwrap().clone();
        assert_eq!(track.params.codec, Codec::H264);
        let mut pictures = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            if frame.track == track.id {
                pictures.push((frame.payload.to_vec(), frame.pts.as_micros()));
            }
        }
        (Record::parse(&track.params.config).unwrap(), pictures)
    }

    const FILES: [&str; 2] = ["flv/h264_aac.flv", "mp4/avc-aac.mp4"];

    #[test]
    fn where_nothing_is_left_out_everything_can_be_decoded() {
        for file in FILES {
            let (record, pictures) = pictures(file);
            let mut references = References::new(&record).unwrap();
            assert!(pictures.iter().all(|(payload, _)| references.picture(payload, true)), "{file}");
        }
    }

    #[test]
    fn before_a_keyframe_and_behind_nonsense_nothing_is_known() {
        let (record, pictures) = pictures(FILES[0]);
        let mut references = References::new(&record).unwrap();
        assert!(!references.picture(&pictures[1].0, true));
        assert!(references.picture(&pictures[0].0, true));
        assert!(references.picture(&pictures[1].0, true));
        assert!(!references.picture(&[0, 0, 0, 1, 0x41], true));
        assert!(!references.picture(&pictures[1].0, true));
    }

    #[test]
    fn who_refers_to_what_is_missing_is_not_whole() {
        let (record, pictures) = pictures(FILES[0]);
        let mut references = References::new(&record).unwrap();
        assert!(references.picture(&pictures[0].0, true));
        // The first P-picture: all others up to the next keyframe need it.
        assert!(!references.picture(&pictures[1].0, false));
        let next = pictures.iter().skip(1).position(|(payload, _)| h264::is_keyframe(payload)).unwrap() + 1;
        assert!(pictures[2..next].iter().all(|(payload, _)| !references.picture(payload, true)));
        assert!(references.picture(&pictures[next].0, true));
    }

    proptest! {
           #[test]
           fn any_bytes_never_panic(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20), at in 0usize..400, change in 1u8..) {
               for file in FILES {
                   let (record, pictures) = pictures(file);
                   let mut references = References::new(&record).unwrap();
                   for (good, any) in pictures.iter().zip(&payloads) {
                       references.picture(&good.0, true);
                       references.picture(any, true);
                       let mut damaged = good.0.clone();
                       let at = at % damaged.len();
                       damaged[at] ^= change;
                       references.picture(&damaged, true);
                   }
                   let mut sets = record.clone();
                   for set in sets.sps.iter_mut().chain(&mut sets.pps) {
                       let mut bytes = set.to_vec();
                       let at = at % bytes.len();
                       bytes[at] ^= change;
                       *set = bytes.into();
                   }
                   if let Some(mut references) = References::new(&sets) {
                       pictures.iter().for_each(|(payload, _)| {
    references.picture(payload, true);
    });
                   }
               }
           }
       }
}
