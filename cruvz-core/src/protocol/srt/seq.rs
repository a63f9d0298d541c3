//! Packet sequence numbers.

use std::fmt;
use std::ops::{Add, Sub};

const MASK: u32 = 0x7fff_ffff;

/// A packet's number: 31 bits that wrap (§3.1).
///
/// It has no `Ord`, as an order on a circle depends on where one stands: ask [`distance_from`](Self::distance_from)
/// or [`is_before`](Self::is_before), which hold for numbers less than 2^30 apart.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seq(u32);

impl Seq {
    /// The number in the low 31 bits of `value`.
    pub const fn new(value: u32) -> Self {
        Self(value & MASK)
    }

    /// The number, below 2^31.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The number behind this one.
    pub const fn next(self) -> Self {
        Self::new(self.0.wrapping_add(1))
    }

    /// How far this number is ahead of `other`, -2^30 to 2^30 - 1; negative if it is behind.
    pub const fn distance_from(self, other: Self) -> i32 {
        // The 31-bit difference, moved to the top so that its sign bit is the sign bit of the `i32`.
        (self.0.wrapping_sub(other.0) << 1).cast_signed() >> 1
    }

    /// Whether this number is behind `other`.
    pub const fn is_before(self, other: Self) -> bool {
        self.distance_from(other) < 0
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, count: u32) -> Self {
        Self::new(self.0.wrapping_add(count))
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, count: u32) -> Self {
        Self::new(self.0.wrapping_sub(count))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_wrap_behind_the_last() {
        let last = Seq::new(MASK);
        assert_eq!(last.next(), Seq::new(0));
        assert_eq!(last + 3, Seq::new(2));
        assert_eq!(Seq::new(2) - 3, last);
        assert_eq!(Seq::new(2).distance_from(last), 3);
        assert_eq!(last.distance_from(Seq::new(2)), -3);
        assert!(last.is_before(Seq::new(0)) && !Seq::new(0).is_before(last));
        assert!(!last.is_before(last));
        assert_eq!(Seq::new(u32::MAX), last);
        assert_eq!(Seq::new(0).distance_from(Seq::new(1 << 30)), -(1 << 30));
    }

    proptest! {
        #[test]
        fn a_distance_undoes_an_addition(start in any::<u32>(), step in 0u32..1 << 30) {
            let start = Seq::new(start);
            let end = start + step;
            prop_assert_eq!(end.distance_from(start), step.cast_signed());
            prop_assert_eq!(start.distance_from(end), -step.cast_signed());
            prop_assert_eq!(end - step, start);
            prop_assert_eq!(start.is_before(end), step > 0);
        }
    }
}
