//! The names of recordings and of the files in them. A thing has one name: whatever is not written exactly so names nothing.

use std::{fmt, str::FromStr};

/// The longest name that is looked at, in bytes.
const MAX_NAME_BYTES: usize = 96;
/// The largest sequence number: eight digits, so that names sort. At two seconds a segment, six years.
pub const MAX_SEQUENCE: u32 = 99_999_999;

/// Text that names nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of a {1}")]
pub struct NameError(String, &'static str);

/// The name of a recording: when it began, and chance, so that no two are alike. `1763800000123-1a2b3c4d`.
///
/// In the order of their names, recordings are in the order of their beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordingId {
    /// When it began, in milliseconds since 1970 (UTC).
    pub started_unix_ms: u64,
    /// Chance.
    pub random: u32,
}

/// How a segment follows the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Join {
    /// Its time and coding go on.
    #[default]
    Continues,
    /// They do not (EXT-X-DISCONTINUITY), but nothing that was live is missing.
    Discontinuity,
    /// They do not, and something that was live, or would have been, is missing.
    Gap,
}

impl Join {
    const fn mark(self) -> &'static str {
        match self {
            Self::Continues => "",
            Self::Discontinuity => "-d",
            Self::Gap => "-g",
        }
    }
}

/// The name of a segment: `00000042-1763800000123-i0-d-1a2b3c4d.m4s`, or `00000042-1763800000123-i0-d.open` while it is being filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentName {
    /// Counts the segments of a recording, from 0 to [`MAX_SEQUENCE`].
    pub sequence: u32,
    /// When it begins by the wall clock, in milliseconds since 1970 (UTC).
    pub starts_at_unix_ms: u64,
    /// The number of its initialisation segment.
    pub init: u32,
    /// How it follows the one before.
    pub join: Join,
    /// CRC-32C of its bytes; `None` while it is being filled.
    pub checksum: Option<u32>,
}

/// The name of an initialisation segment: `init-0-1a2b3c4d.mp4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InitName {
    /// Counts the initialisation segments of a recording, from 0.
    pub number: u32,
    /// CRC-32C of its bytes.
    pub checksum: u32,
}

/// What a file in a rendition's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaName {
    /// An initialisation segment.
    Init(InitName),
    /// A segment, complete or not.
    Segment(SegmentName),
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}-{:08x}", self.started_unix_ms, self.random)
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, starts_at_unix_ms, init, join, checksum } = self;
        write!(f, "{sequence:08}-{starts_at_unix_ms:013}-i{init}{}", join.mark())?;
        match checksum {
            Some(checksum) => write!(f, "-{checksum:08x}.m4s"),
            None => f.write_str(".open"),
        }
    }
}

impl fmt::Display for InitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "init-{}-{:08x}.mp4", self.number, self.checksum)
    }
}

impl fmt::Display for MediaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(init) => init.fmt(f),
            Self::Segment(segment) => segment.fmt(f),
        }
    }
}

impl FromStr for RecordingId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parse = || {
            let (started, random) = text.split_once('-')?;
            Some(Self {
                started_unix_ms: started.parse().ok()?,
                random: u32::from_str_radix(random, 16).ok()?,
            })
        };
        exact(text, "recording", parse)
    }
}

impl FromStr for SegmentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        exact(text, "segment", || {
            let (stem, complete) = match text.strip_suffix(".m4s") {
                Some(stem) => (stem, true),
                None => (text.strip_suffix(".open")?, false),
            };
            let mut fields = stem.split('-').peekable();
            let sequence = fields.next()?.parse().ok().filter(|sequence| *sequence <= MAX_SEQUENCE)?;
            let starts_at_unix_ms = fields.next()?.parse().ok()?;
            let init = fields.next()?.strip_prefix('i')?.parse().ok()?;
            let join = match fields.peek() {
                Some(&"d") => Join::Discontinuity,
                Some(&"g") => Join::Gap,
                _ => Join::Continues,
            };
            if join != Join::Continues {
                fields.next();
            }
            let checksum = if complete { Some(u32::from_str_radix(fields.next()?, 16).ok()?) } else { None };
            fields.next().is_none().then_some(Self { sequence, starts_at_unix_ms, init, join, checksum })
        })
    }
}

impl FromStr for InitName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        exact(text, "initialisation segment", || {
            let (number, checksum) = text.strip_prefix("init-")?.strip_suffix(".mp4")?.split_once('-')?;
            Some(Self { number: number.parse().ok()?, checksum: u32::from_str_radix(checksum, 16).ok()? })
        })
    }
}

impl FromStr for MediaName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.starts_with("init-") { text.parse().map(Self::Init) } else { text.parse().map(Self::Segment) }
    }
}

/// What `parse` makes of `text`, if that is written as `text` again.
fn exact<N: fmt::Display>(
    text: &str,
    what: &'static str,
    parse: impl FnOnce() -> Option<N>,
) -> Result<N, NameError> {
    let name = if text.len() <= MAX_NAME_BYTES { parse() } else { None };
    name.filter(|name| name.to_string() == text).ok_or_else(|| {
        let shown = text.chars().take(MAX_NAME_BYTES).collect();
        NameError(shown, what)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_look_as_documented() {
        let mut segment = SegmentName {
            sequence: 42,
            starts_at_unix_ms: 1_763_800_000_123,
            init: 0,
            join: Join::Continues,
            checksum: Some(0x1A2B_3C4D),
        };
        assert_eq!(segment.to_string(), "00000042-1763800000123-i0-1a2b3c4d.m4s");
        segment.join = Join::Gap;
        assert_eq!(segment.to_string(), "00000042-1763800000123-i0-g-1a2b3c4d.m4s");
        segment.checksum = None;
        assert_eq!(segment.to_string(), "00000042-1763800000123-i0-g.open");
        assert_eq!(InitName { number: 3, checksum: 7 }.to_string(), "init-3-00000007.mp4");
        let id = RecordingId { started_unix_ms: 1_763_800_000_123, random: 0xABC };
        assert_eq!(id.to_string(), "1763800000123-00000abc");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn near_misses_name_nothing() {
        for text in [
            "",
            "index",
            "42-1763800000123-i0-1a2b3c4d.m4s",
            "00000042-1763800000123-i0.m4s",
            "00000042-1763800000123-i0-1a2b3c4d.open",
            "00000042-1763800000123-i0-1A2B3C4D.m4s",
            "00000042-1763800000123-i0-x-1a2b3c4d.m4s",
            "00000042-1763800000123-i00-1a2b3c4d.m4s",
            "00000042-1763800000123-i0-1a2b3c4d-1.m4s",
            "+0000042-1763800000123-i0-1a2b3c4d.m4s",
            "100000000-1763800000123-i0-1a2b3c4d.m4s",
            "init-0-1a2b3c4.mp4",
            "init-+1-1a2b3c4d.mp4",
            "../00000042-1763800000123-i0-1a2b3c4d.m4s",
        ] {
            assert!(text.parse::<MediaName>().is_err(), "{text}");
        }
        for text in ["1-1", "1763800000123", "1763800000123-xyz", "1763800000123-00000ABC"] {
            assert!(text.parse::<RecordingId>().is_err(), "{text}");
        }
    }

    fn join() -> impl Strategy<Value = Join> {
        prop_oneof![Just(Join::Continues), Just(Join::Discontinuity), Just(Join::Gap)]
    }

    proptest! {
        #[test]
        fn names_are_read_as_they_are_written(
            (sequence, starts_at_unix_ms, init) in (0..=MAX_SEQUENCE, any::<u64>(), any::<u32>()),
            join in join(),
            checksum: Option<u32>,
        ) {
            let name = SegmentName { sequence, starts_at_unix_ms, init, join, checksum };
            prop_assert_eq!(name.to_string().parse(), Ok(MediaName::Segment(name)));
        }

        #[test]
        fn any_text_is_safe(text in "[-0-9a-fidgmso.]{0,100}", other in ".{0,60}") {
            for text in [text, other] {
                if let Ok(name) = text.parse::<MediaName>() {
                    prop_assert_eq!(name.to_string(), text);
                }
            }
        }
    }
}
