//! H.264 and H.265 in PES packets, one access unit each (ISO/IEC 13818-1 §2.14, §2.17).

use super::{
    Counters,
    elementary::{Access, Output, Unit},
};
use crate::{
    Codec,
    codec::{
        self,
        access_unit::{AccessUnit, InBandSets},
        nal,
    },
};

/// Turns byte streams into payloads with lengths, and gathers the parameter sets on the way.
///
/// Parameter sets that [`crate::CodecParams`] hold are taken out of the payload, as are access unit delimiters and filler
/// data: other containers have no use for them, and [`super::Muxer`] writes them anew.
#[derive(Debug)]
pub(super) struct Parser {
    codec: Codec,
    sets: InBandSets,
}

impl Parser {
    pub(super) const fn new(codec: Codec) -> Self {
        Self { codec, sets: InBandSets::new(codec) }
    }

    pub(super) fn push(&mut self, access: Access, counters: &mut Counters, out: &mut Vec<Output>) {
        let mut unit = AccessUnit::with_capacity(self.codec, access.payload.len() + 16);
        nal::annex_b_units(&access.payload).for_each(|nal| unit.push(nal));
        let has_sets = unit.has_sets();
        match self.sets.learn(&unit) {
            Ok(Some(params)) => out.push(Output::Params(params)),
            Ok(None) => {}
            Err(_) => counters.malformed += 1,
        }
        if unit.is_empty() {
            // Parameter sets alone are no picture; nothing at all is.
            counters.malformed += u64::from(!has_sets);
            return;
        }
        if self.sets.params().is_none() {
            counters.unconfigured += 1;
            return;
        }
        let Some(moment) = access.moment else {
            counters.untimed += 1;
            return;
        };
        let payload = self.sets.payload(unit);
        // Open GOPs of broadcasters have no IDR pictures, but say where decoding can start.
        let keyframe = codec::is_keyframe(self.codec, &payload) || (access.random_access && has_sets);
        out.push(Output::Unit(Unit { pts: moment.pts, dts: moment.dts, keyframe, payload }));
    }
}
