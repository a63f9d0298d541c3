//! From a wire clock that wraps to one that does not.

/// Extends an n-bit wire clock to 64 bits, forwards and backwards across its wrap.
///
/// Each value is taken for the one nearest to the value before it, so that up to half the clock's range may lie
/// between two values in either direction: 24 days for RTMP's 32-bit milliseconds, 13 hours for the 33-bit 90 kHz
/// of MPEG-TS. Keep one per connection, shared by its tracks, so that tracks which interleave around the wrap stay
/// together. The first value is taken as it is, in `0..2^bits`.
///
/// ```
/// use cruvz_media::time::Unwrapper;
///
/// let mut clock = Unwrapper::RTMP;
/// assert_eq!(clock.unwrap(0xffff_fff0), 0xffff_fff0);
/// assert_eq!(clock.unwrap(0x10), 0x1_0000_0010);
/// assert_eq!(clock.unwrap(0xffff_fff8), 0xffff_fff8);
/// ```
#[derive(Clone, Debug)]
pub struct Unwrapper {
    bits: u32,
    last: Option<i64>,
}

impl Unwrapper {
    /// The 32-bit millisecond clock of RTMP and FLV. A 24-bit timestamp field must be joined with its extension first.
    pub const RTMP: Self = Self::new(32);
    /// The 33-bit 90 kHz clock of MPEG-TS (ISO/IEC 13818-1 §2.4.3.7).
    pub const MPEG_TS: Self = Self::new(33);

    /// A clock of `bits` bits; taken into `1..=62`.
    pub const fn new(bits: u32) -> Self {
        let bits = match bits {
            0 => 1,
            63.. => 62,
            bits => bits,
        };
        Self { bits, last: None }
    }

    /// The 64-bit value of `wire`, whose bits above the clock's are ignored. Saturates at the ends of 64 bits.
    pub const fn unwrap(&mut self, wire: u64) -> i64 {
        let range = 1_i64 << self.bits;
        let wire = (wire & (range as u64 - 1)) as i64;
        let value = match self.last {
            None => wire,
            Some(last) => {
                let ahead = wire.wrapping_sub(last) & (range - 1);
                last.saturating_add(if ahead < range / 2 { ahead } else { ahead - range })
            }
        };
        self.last = Some(value);
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_24_bit_field_of_rtmp_is_no_wrap() {
        let mut clock = Unwrapper::RTMP;
        for wire in [0x00ff_ffd8, 0x00ff_ffff, 0x0100_0000, 0x0100_0021] {
            assert_eq!(clock.unwrap(wire), i64::try_from(wire).unwrap());
        }
    }

    #[test]
    fn a_track_that_lags_crosses_back_over_the_wrap() {
        let mut clock = Unwrapper::MPEG_TS;
        let wrap = 1_u64 << 33;
        let wire = [wrap - 3_000, 600, wrap - 1_200, 3_600, 1_800];
        let values: Vec<i64> = wire.iter().map(|&wire| clock.unwrap(wire)).collect();
        let wrap = 1_i64 << 33;
        assert_eq!(values, [wrap - 3_000, wrap + 600, wrap - 1_200, wrap + 3_600, wrap + 1_800]);
    }

    #[test]
    fn a_clock_may_go_below_the_zero_it_began_at() {
        let mut clock = Unwrapper::RTMP;
        assert_eq!(clock.unwrap(5), 5);
        assert_eq!(clock.unwrap(0xffff_fffb), -5);
    }

    proptest! {
        #[test]
        fn follows_any_clock_whose_steps_are_below_half_its_range(
            bits in 8u32..=40,
            start: u32,
            steps in prop::collection::vec(-0.49f64..0.49, 1..200),
        ) {
            let range = 1_i64 << bits;
            let mut clock = Unwrapper::new(bits);
            let mut truth = i64::from(start) & (range - 1);
            prop_assert_eq!(clock.unwrap(truth as u64), truth);
            for step in steps {
                truth += (step * range as f64) as i64;
                prop_assert_eq!(clock.unwrap(truth as u64), truth);
            }
        }

        #[test]
        fn stays_congruent_to_the_wire(bits in 0u32..=50, wires in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut clock = Unwrapper::new(bits);
            let mask = (1_u64 << bits.max(1)) - 1;
            for wire in wires {
                prop_assert_eq!(clock.unwrap(wire) as u64 & mask, wire & mask);
            }
        }

        #[test]
        fn any_sequence_is_survived(bits: u32, wires: Vec<u64>) {
            let mut clock = Unwrapper::new(bits);
            for wire in wires {
                clock.unwrap(wire);
            }
        }
    }
}
