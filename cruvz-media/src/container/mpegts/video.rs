//! H.264 and H.265 in PES packets, one access unit each (ISO/IEC 13818-1 §2.14, §2.17).

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Counters,
    elementary::{Access, Output, Unit},
};
use crate::{
    Codec, CodecParams,
    codec::{self, nal},
};

/// Parameter sets of one access unit that are looked at; real ones have 2 or 3, at most 16 layers of them.
const MAX_SETS: usize = 64;

/// Turns byte streams into payloads with lengths, and gathers the parameter sets on the way.
///
/// Parameter sets that [`CodecParams`] hold are taken out of the payload, as are access unit delimiters and filler data:
/// other containers have no use for them, and [`super::Muxer`] writes them anew.
#[derive(Debug)]
pub(super) struct Parser {
    codec: Codec,
    /// The parameter sets that `params` was made of.
    sets: Vec<Bytes>,
    params: Option<CodecParams>,
}

/// What a NAL unit is to a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    ParameterSet,
    /// Of use in a byte stream only.
    Filling,
    Coded,
}

impl Parser {
    pub(super) const fn new(codec: Codec) -> Self {
        Self { codec, sets: Vec::new(), params: None }
    }

    pub(super) fn push(&mut self, access: Access, counters: &mut Counters, out: &mut Vec<Output>) {
        let (sets, coded) = self.split(&access.payload);
        let has_sets = !sets.is_empty();
        if sets.iter().any(|set| !self.sets.contains(set)) {
            self.learn(&sets, counters, out);
        }
        if coded.is_empty() {
            // Parameter sets alone are no picture; nothing at all is.
            counters.malformed += u64::from(!has_sets);
            return;
        }
        if self.params.is_none() {
            counters.unconfigured += 1;
            return;
        }
        let Some(moment) = access.moment else {
            counters.untimed += 1;
            return;
        };
        // Open GOPs of broadcasters have no IDR pictures, but say where decoding can start.
        let keyframe = codec::is_keyframe(self.codec, &coded) || (access.random_access && has_sets);
        let payload = self.with_unknown(&sets, coded);
        out.push(Output::Unit(Unit { pts: moment.pts, dts: moment.dts, keyframe, payload }));
    }

    /// The parameter sets of an access unit, and its other NAL units as a payload.
    fn split(&self, stream: &Bytes) -> (Vec<Bytes>, BytesMut) {
        let mut sets = Vec::new();
        let mut coded = BytesMut::with_capacity(stream.len() + 16);
        for unit in nal::annex_b_units(stream) {
            match self.role(unit[0]) {
                Role::ParameterSet if sets.len() < MAX_SETS => {
                    let set = stream.slice_ref(unit);
                    if !sets.contains(&set) {
                        sets.push(set);
                    }
                }
                Role::Filling => {}
                Role::ParameterSet | Role::Coded => put_unit(&mut coded, unit),
            }
        }
        (sets, coded)
    }

    /// Takes the parameter sets for the track's from now on, if they are complete.
    fn learn(&mut self, sets: &[Bytes], counters: &mut Counters, out: &mut Vec<Output>) {
        let mut payload = BytesMut::new();
        for set in sets {
            put_unit(&mut payload, set);
        }
        match codec::from_frame(self.codec, &payload.freeze()) {
            Ok(params) => {
                // Copies: slices would keep the whole access unit alive.
                self.sets = sets.iter().map(|set| Bytes::copy_from_slice(set)).collect();
                if self.params.as_ref() != Some(&params) {
                    self.params = Some(params.clone());
                    out.push(Output::Params(params));
                }
            }
            // One kind of them alone: the others did not change.
            Err(codec::Error::Missing(_)) => {}
            Err(_) => counters.malformed += 1,
        }
    }

    /// The payload, behind those parameter sets that its track's configuration does not hold.
    fn with_unknown(&self, sets: &[Bytes], coded: BytesMut) -> Bytes {
        if sets.iter().all(|set| self.sets.contains(set)) {
            // Where most was filling, the room for it would be kept as long as the frame.
            let is_tight = coded.len() >= coded.capacity() / 2;
            return if is_tight { coded.freeze() } else { Bytes::copy_from_slice(&coded) };
        }
        let mut payload = BytesMut::new();
        for set in sets.iter().filter(|set| !self.sets.contains(set)) {
            put_unit(&mut payload, set);
        }
        payload.unsplit(coded);
        payload.freeze()
    }

    fn role(&self, header: u8) -> Role {
        match self.codec {
            Codec::H265 => match header >> 1 & 0x3F {
                32..=34 => Role::ParameterSet,
                // AUD_NUT, FD_NUT (ISO/IEC 23008-2 table 7-1).
                35 | 38 => Role::Filling,
                _ => Role::Coded,
            },
            _ => match header & 0x1F {
                7 | 8 => Role::ParameterSet,
                // Access unit delimiter, filler data (ISO/IEC 14496-10 table 7-1).
                9 | 12 => Role::Filling,
                _ => Role::Coded,
            },
        }
    }
}

/// Appends `unit`, which is shorter than a PES packet may be, behind its length.
fn put_unit(payload: &mut BytesMut, unit: &[u8]) {
    payload.put_u32(unit.len() as u32);
    payload.put_slice(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_picture_in_much_filling_keeps_little_memory() {
        let mut coded = BytesMut::with_capacity(1 << 20);
        put_unit(&mut coded, &[0x65; 100]);
        let payload = Parser::new(Codec::H264).with_unknown(&[], coded);
        let held = payload.try_into_mut().expect("nobody else has it");
        assert!(held.len() == 104 && held.capacity() < 1_000, "{} bytes", held.capacity());
    }
}
