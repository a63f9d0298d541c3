//! The last word on a recording: a small file that is written when it has ended, and tells whether anything was lost since.

use std::fmt;

use super::Index;

/// The first line.
const HEAD: &str = "cruvz-recording 1";

/// How a recording ended, and what it had then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Why it ended, in words.
    pub reason: String,
    /// When, in milliseconds since 1970 (UTC).
    pub ended_unix_ms: u64,
    /// Segments.
    pub segments: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// How long the segments are together, in nanoseconds.
    pub duration_ns: u64,
    /// How many gaps there are.
    pub gaps: u64,
}

impl End {
    /// The end of a recording that has `index`.
    pub fn new(index: &Index, reason: &str) -> Self {
        let ended_unix_ms = index.segments.last().map_or(0, super::SegmentRecord::ends_at_unix_ms);
        Self {
            // One line.
            reason: reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect(),
            ended_unix_ms,
            segments: index.segments.len() as u64,
            bytes: index.bytes(),
            duration_ns: index.duration_ns(),
            gaps: index.gaps() as u64,
        }
    }

    /// Reads the file; `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != HEAD {
            return None;
        }
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(' ');
        let reason = value("reason")?.to_owned();
        let mut number = |key| value(key)?.parse().ok();
        Some(Self {
            reason,
            ended_unix_ms: number("ended_unix_ms")?,
            segments: number("segments")?,
            bytes: number("bytes")?,
            duration_ns: number("duration_ns")?,
            gaps: number("gaps")?,
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, ended_unix_ms, segments, bytes, duration_ns, gaps } = self;
        writeln!(f, "{HEAD}\nreason {reason}\nended_unix_ms {ended_unix_ms}\nsegments {segments}")?;
        writeln!(f, "bytes {bytes}\nduration_ns {duration_ns}\ngaps {gaps}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut end = End::new(&Index::default(), "stopped\nby hand");
        (end.segments, end.gaps) = (7, 1);
        assert_eq!(End::parse(&end.to_string()).as_ref(), Some(&end));
        assert_eq!(end.reason, "stopped by hand");
        assert_eq!(End::parse(""), None);
        assert_eq!(End::parse("cruvz-recording 1\nreason x\n"), None);
    }
}
