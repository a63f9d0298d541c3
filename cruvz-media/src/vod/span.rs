//! A part of a recording: from one moment to another, wherever these lie in its segments.

use std::{ops::Range, str::FromStr};

use crate::segment::{Index, SegmentRecord};

/// Seconds from which on a number is a time of the wall clock: September 2001, and thirty years of media.
const WALL_CLOCK_S: f64 = 1e9;
/// The latest moment, in nanoseconds; and the earliest, in nanoseconds before the end.
const MOST_S: f64 = 9e9;

/// A moment of a recording, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// Of media since its beginning, as players count: what is missing has no length.
    Played(u64),
    /// Of media before its end.
    BeforeEnd(u64),
    /// Since 1970 (UTC), by the clock of the server that recorded it.
    Wall(u64),
}

/// From one moment to another; an end that is not said is that of the recording.
///
/// As text, which is the query of a URL, moments are seconds: `from=12.5&to=20` since the recording's beginning, `from=-30` before its end,
/// `from=1763800000.5` since 1970.
///
/// ```
/// use cruvz_media::vod::span::{Moment, Span};
///
/// let span = Span::of_query("key=secret&from=-30")?;
/// assert_eq!(span, Span { from: Some(Moment::BeforeEnd(30_000_000_000)), to: None });
/// # Ok::<(), cruvz_media::vod::span::SpanError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// What is shown first.
    pub from: Option<Moment>,
    /// What is not shown any more.
    pub to: Option<Moment>,
}

/// Why a text is no span, or a recording has nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpanError {
    /// A moment is no number of seconds.
    #[error("{0:?} is no number of seconds")]
    Number(String),
    /// There is nothing of the recording between the two.
    #[error("the recording has nothing in that time")]
    Nothing,
}

/// What a recording has of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its segments, by their places in the index: from one that decoding can start with on.
    pub segments: Range<usize>,
    /// The segment that holds the first moment, and how far into it that is, in nanoseconds.
    pub from: (usize, u64),
    /// The same of the last moment.
    pub to: (usize, u64),
}

impl FromStr for Moment {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let no_number = || SpanError::Number(text.chars().take(40).collect());
        let seconds: f64 = text.parse().map_err(|_| no_number())?;
        // Which leaves out what is no number, too.
        let Some(seconds) = Some(seconds).filter(|seconds| seconds.abs() <= MOST_S) else {
            return Err(no_number());
        };
        let ns = (seconds.abs() * 1e9).round() as u64;
        Ok(match seconds {
            ..0.0 => Self::BeforeEnd(ns),
            WALL_CLOCK_S.. => Self::Wall(ns),
            _ => Self::Played(ns),
        })
    }
}

impl Span {
    /// What a query says by `from` and `to`; other keys are passed over.
    ///
    /// # Errors
    /// [`SpanError::Number`].
    pub fn of_query(query: &str) -> Result<Self, SpanError> {
        let value = |key| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let moment = |key| value(key).map(str::parse).transpose();
        Ok(Self { from: moment("from")?, to: moment("to")? })
    }

    /// Whether it is a whole recording, however long that is.
    pub const fn is_all(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Where it lies in a recording.
    ///
    /// # Errors
    /// [`SpanError::Nothing`].
    pub fn find(&self, index: &Index) -> Result<Found, SpanError> {
        let segments = &index.segments;
        let last = segments.len().checked_sub(1).ok_or(SpanError::Nothing)?;
        let from = self.from.map_or(Some((0, 0)), |from| begins(segments, from));
        let end = (last, segments[last].duration_ns);
        let to = self.to.map_or(Some(end), |to| ends(segments, to));
        let (from, to) = from.zip(to).filter(|(from, to)| from < to).ok_or(SpanError::Nothing)?;
        let start = segments[..=from.0].iter().rposition(SegmentRecord::independent).unwrap_or(0);
        Ok(Found { segments: start..to.0 + 1, from, to })
    }
}

/// The first segment that has something at or behind `moment`, and how far into it. `None` behind the end.
fn begins(segments: &[SegmentRecord], moment: Moment) -> Option<(usize, u64)> {
    if let Moment::Wall(ns) = moment {
        let at =
            segments.iter().position(|segment| wall_ns(segment).saturating_add(segment.duration_ns) > ns)?;
        return Some((at, ns.saturating_sub(wall_ns(&segments[at]))));
    }
    let mut left = played(segments, moment);
    for (at, segment) in segments.iter().enumerate() {
        if left < segment.duration_ns {
            return Some((at, left));
        }
        left -= segment.duration_ns;
    }
    None
}

/// The last segment that has something before `moment`, and how far into it. `None` before the beginning.
fn ends(segments: &[SegmentRecord], moment: Moment) -> Option<(usize, u64)> {
    if let Moment::Wall(ns) = moment {
        let at = segments.iter().rposition(|segment| wall_ns(segment) < ns)?;
        return Some((at, (ns - wall_ns(&segments[at])).min(segments[at].duration_ns)));
    }
    let mut left = played(segments, moment);
    if left == 0 {
        return None;
    }
    for (at, segment) in segments.iter().enumerate() {
        if left <= segment.duration_ns || at + 1 == segments.len() {
            return Some((at, left.min(segment.duration_ns)));
        }
        left -= segment.duration_ns;
    }
    None
}

/// When a segment begins by the wall clock, in nanoseconds.
const fn wall_ns(segment: &SegmentRecord) -> u64 {
    segment.name.starts_at_unix_ms.saturating_mul(1_000_000)
}

/// A moment in nanoseconds of media since the beginning.
fn played(segments: &[SegmentRecord], moment: Moment) -> u64 {
    match moment {
        Moment::BeforeEnd(ns) => {
            let all: u64 = segments.iter().map(|segment| segment.duration_ns).sum();
            all.saturating_sub(ns)
        }
        Moment::Played(ns) | Moment::Wall(ns) => ns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Join, PartRecord, SegmentName};

    const S: u64 = 1_000_000_000;

    /// Ten segments of two seconds, with three minutes missing before the sixth. The fourth is not independent.
    fn index() -> Index {
        let segment = |sequence: u32| {
            let late_ms = if sequence >= 5 { 180_000 } else { 0 };
            let name = SegmentName {
                sequence,
                starts_at_unix_ms: 1_763_800_000_000 + u64::from(sequence) * 2_000 + late_ms,
                init: 0,
                join: if sequence == 5 { Join::Gap } else { Join::Continues },
                checksum: Some(0),
            };
            let independent = sequence != 3;
            let parts = vec![PartRecord { bytes: 9, start_ns: 0, independent }];
            SegmentRecord { name, bytes: 9, start_ns: 0, duration_ns: 2 * S, parts }
        };
        Index { inits: Vec::new(), segments: (0..10).map(segment).collect() }
    }

    /// Segments; the place of the first moment, and of the last.
    type Places = (Range<usize>, (usize, u64), (usize, u64));

    fn find(query: &str) -> Result<Places, SpanError> {
        let Found { segments, from, to } = Span::of_query(query)?.find(&index())?;
        Ok((segments, from, to))
    }

    #[test]
    fn moments_are_found_however_they_are_said() {
        let all = (0..10, (0, 0), (9, 2 * S));
        for query in ["", "key=x&fromage=1", "from=0", "to=100", "from=0&to=20", "from=1000000000"] {
            assert_eq!(find(query), Ok(all.clone()), "{query}");
        }
        let middle = (2..4, (2, S / 2), (3, S));
        assert_eq!(find("from=4.5&to=7"), Ok(middle.clone()));
        assert_eq!(find("from=-15.5&to=-13"), Ok(middle.clone()));
        assert_eq!(find("from=1763800004.5&to=1763800007&a=b"), Ok(middle));
        assert_eq!(find("to=4"), Ok((0..2, (0, 0), (1, 2 * S))), "nothing of a segment that is not shown");
    }

    #[test]
    fn decoding_starts_where_it_can() {
        assert_eq!(find("from=6.5"), Ok((2..10, (3, S / 2), (9, 2 * S))));
    }

    #[test]
    fn a_moment_that_was_not_recorded_is_the_next_that_was_or_the_last_that_was() {
        assert_eq!(find("from=1763800100"), Ok((5..10, (5, 0), (9, 2 * S))));
        assert_eq!(find("to=1763800100"), Ok((0..5, (0, 0), (4, 2 * S))));
    }

    #[test]
    fn what_is_not_there_says_so() {
        for query in ["from=20", "from=5&to=5", "from=9&to=8", "to=0", "from=1763900000", "to=1700000000"] {
            assert_eq!(find(query), Err(SpanError::Nothing), "{query}");
        }
        for query in ["from=", "to=x", "from=NaN", "from=inf", "to=-inf", "from=1e30", "to=1%2e5"] {
            assert!(matches!(find(query), Err(SpanError::Number(_))), "{query}");
        }
        assert_eq!(Span::default().find(&Index::default()), Err(SpanError::Nothing));
    }
}
