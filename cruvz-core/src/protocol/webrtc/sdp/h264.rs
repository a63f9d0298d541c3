//! Profiles and levels of H.264 in SDP (RFC 6184 §8.1).

use std::fmt;

/// The three bytes behind the header of a sequence parameter set: profile, constraints, level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProfileLevel {
    profile: u8,
    constraints: u8,
    pub(super) level: u8,
}

/// What everybody takes who says nothing: constrained baseline, level 3.1. RFC 6184 says less, but nobody means that.
impl Default for ProfileLevel {
    fn default() -> Self {
        Self { profile: 0x42, constraints: 0xe0, level: 0x1f }
    }
}

/// How well a decoder suits a stream of its own profile.
pub(super) const SAME: u8 = 100;
/// The same of a decoder of more than that.
pub(super) const CONTAINS: u8 = 50;

/// The rank of the high profile.
const HIGH: u8 = 4;

/// Profiles that matter, each mostly a subset of those further down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Profile {
    ConstrainedBaseline,
    Baseline,
    Main,
    ConstrainedHigh,
    High,
    High10,
    High422,
    High444,
    /// By its number. What it is part of is not known.
    Other(u8),
}

impl ProfileLevel {
    /// Reads six hexadecimal digits, as they stand in `profile-level-id` and behind `avc1.`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 6 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let [_, profile, constraints, level] =
            u32::from_str_radix(text, 16).ok().filter(|_| digits)?.to_be_bytes();
        Some(Self { profile, constraints, level })
    }

    /// The same profile at another level.
    pub(super) const fn at(self, level: u8) -> Self {
        Self { level, ..self }
    }

    /// RFC 6184 §8.1, table 5.
    fn profile(self) -> Profile {
        match (self.profile, self.constraints) {
            (0x42, bits) if bits & 0x40 != 0 => Profile::ConstrainedBaseline,
            (0x4d, bits) if bits & 0x80 != 0 => Profile::ConstrainedBaseline,
            (0x58, bits) if bits & 0xc0 == 0xc0 => Profile::ConstrainedBaseline,
            (0x42 | 0x58, _) => Profile::Baseline,
            (0x4d, _) => Profile::Main,
            (0x64, bits) if bits & 0x0c == 0x0c => Profile::ConstrainedHigh,
            (0x64, _) => Profile::High,
            (0x6e, _) => Profile::High10,
            (0x7a, _) => Profile::High422,
            (0xf4, _) => Profile::High444,
            (other, _) => Profile::Other(other),
        }
    }

    /// How well a decoder of this profile suits a stream of that one: the greatest fits best. `None`: not at all.
    ///
    /// The same is best, then the smallest that contains it, then the largest below: browsers list baseline and main and
    /// decode high all the same, but not more than that.
    pub(super) fn suits(self, stream: Self) -> Option<u8> {
        let (decoder, stream) = (self.profile(), stream.profile());
        if decoder == stream {
            return Some(SAME);
        }
        match (decoder.rank()?, stream.rank()?) {
            (decoder, stream) if decoder > stream => Some(CONTAINS - decoder),
            (decoder, 0..=HIGH) => Some(decoder),
            _ => None,
        }
    }
}

impl Profile {
    /// Its place among those that contain each other; `None`: it does not belong there.
    fn rank(self) -> Option<u8> {
        match self {
            Self::ConstrainedBaseline => Some(0),
            Self::Baseline => Some(1),
            Self::Main => Some(2),
            Self::ConstrainedHigh => Some(3),
            Self::High => Some(HIGH),
            Self::High10 => Some(5),
            Self::High422 => Some(6),
            Self::High444 => Some(7),
            Self::Other(_) => None,
        }
    }
}

impl fmt::Display for ProfileLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}{:02x}", self.profile, self.constraints, self.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The best of `offered` for a stream.
    fn best<'a>(stream: &str, offered: &[&'a str]) -> Option<&'a str> {
        let stream = ProfileLevel::parse(stream).unwrap();
        offered
            .iter()
            .filter_map(|text| Some((ProfileLevel::parse(text).unwrap().suits(stream)?, *text)))
            .max()
            .map(|(_, text)| text)
    }

    #[test]
    fn the_best_decoder_is_found() {
        let chromium = ["42001f", "42e01f", "4d001f", "64001f", "f4001f"];
        assert_eq!(best("640028", &chromium), Some("64001f"));
        assert_eq!(best("4d401f", &chromium), Some("4d001f"));
        assert_eq!(best("42c01e", &chromium), Some("42e01f"));
        assert_eq!(best("42001e", &chromium), Some("42001f"));
        assert_eq!(best("f40028", &chromium), Some("f4001f"));
        // What contains it, then what is nearest.
        assert_eq!(best("42c01e", &["64001f", "4d001f"]), Some("4d001f"));
        assert_eq!(best("640028", &["42e01f", "4d001f"]), Some("4d001f"));
        assert_eq!(best("640028", &["42e01f", "640c1f"]), Some("640c1f"));
        // Debian's Chromium has no high profile, but one that contains it.
        assert_eq!(best("640028", &["42001f", "42e01f", "4d001f", "f4001f"]), Some("f4001f"));
        assert_eq!(best("6e0028", &chromium), Some("f4001f"));
        // Ten bits do not fit into eight, and nobody knows what profile 0x2c fits into.
        assert_eq!(best("6e0028", &["42e01f", "64001f"]), None);
        assert_eq!(best("2c0028", &chromium), None);
    }

    #[test]
    fn text_and_back() {
        assert_eq!(ProfileLevel::parse("640C1f").unwrap().to_string(), "640c1f");
        assert_eq!(ProfileLevel::parse("64001"), None);
        assert_eq!(ProfileLevel::parse("+64001"), None);
        assert_eq!(ProfileLevel::default().to_string(), "42e01f");
        assert_eq!(ProfileLevel::parse("58c01f").unwrap().profile(), Profile::ConstrainedBaseline);
        assert_eq!(ProfileLevel::parse("4d801f").unwrap().profile(), Profile::ConstrainedBaseline);
    }
}
