//! The index of a rendition: one line per file, so that a playlist needs no look into every file. A cache: [`super::scan`] gives the same lines.
//!
//! ```text
//! cruvz-index 1
//! init-0-5e6f7081.mp4
//! 00000000-1763800000123-i0-1a2b3c4d.m4s 512345 0 2000000000 51234k@0 40231@200000000 …
//! ```
//! An initialisation segment has its name only. A segment has name, bytes, start and duration in nanoseconds, then each part: bytes, `k` if it is
//! independent, start. A line cut short by a crash is left out.

use std::fmt;

use super::{InitName, Join, MediaName, PartRecord, Scan, SegmentName};

/// The first line; another version is another number.
const HEAD: &str = "cruvz-index 1";
/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 1 << 18;

/// What is known of a complete segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Its name.
    pub name: SegmentName,
    /// Its bytes.
    pub bytes: u64,
    /// When it begins to be decoded, in nanoseconds of the media's own time, which may start anew at a [`super::Join`].
    pub start_ns: u64,
    /// How long it is, in nanoseconds.
    pub duration_ns: u64,
    /// Its parts.
    pub parts: Vec<PartRecord>,
}

impl SegmentRecord {
    /// What `scan` found in the segment called `name`.
    pub fn new(name: SegmentName, scan: Scan) -> Self {
        let (bytes, start_ns, duration_ns) = (scan.whole_bytes, scan.start_ns(), scan.duration_ns);
        Self { name, bytes, start_ns, duration_ns, parts: scan.parts }
    }

    /// Whether a decoder can start with it.
    pub fn independent(&self) -> bool {
        self.parts.first().is_some_and(|part| part.independent)
    }

    /// When it ends by the wall clock, in milliseconds since 1970 (UTC).
    pub const fn ends_at_unix_ms(&self) -> u64 {
        self.name.starts_at_unix_ms.saturating_add(self.duration_ns / 1_000_000)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(' ');
        let MediaName::Segment(name) = fields.next()?.parse().ok()? else { return None };
        name.checksum?;
        let mut number = || fields.next()?.parse().ok();
        let (bytes, start_ns, duration_ns) = (number()?, number()?, number()?);
        let parts: Option<Vec<_>> = fields.map(part).collect();
        Some(Self { name, bytes, start_ns, duration_ns, parts: parts? })
    }
}

fn part(text: &str) -> Option<PartRecord> {
    let (bytes, start) = text.split_once('@')?;
    let (bytes, independent) = match bytes.strip_suffix('k') {
        Some(bytes) => (bytes, true),
        None => (bytes, false),
    };
    Some(PartRecord { bytes: bytes.parse().ok()?, start_ns: start.parse().ok()?, independent })
}

/// The line of the index, without its end.
impl fmt::Display for SegmentRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.name, self.bytes, self.start_ns, self.duration_ns)?;
        for PartRecord { bytes, start_ns, independent } in &self.parts {
            write!(f, " {bytes}{}@{start_ns}", if *independent { "k" } else { "" })?;
        }
        Ok(())
    }
}

/// The files of a rendition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The initialisation segments, in the order of their numbers.
    pub inits: Vec<InitName>,
    /// The segments, in the order of their sequence numbers.
    pub segments: Vec<SegmentRecord>,
}

impl Index {
    /// What an index file begins with.
    pub fn head() -> String {
        format!("{HEAD}\n")
    }

    /// Reads an index file. Lines that are none, or out of order, are left out: it is only a cache.
    pub fn parse(text: &str) -> Self {
        let Some(rest) = text.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix('\n')) else {
            return Self::default();
        };
        let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
        let mut index = Self::default();
        for line in whole.lines().filter(|line| line.len() <= MAX_LINE_BYTES) {
            if let Ok(name) = line.parse() {
                index.add_init(name);
            } else if let Some(record) = SegmentRecord::parse(line) {
                index.add(record);
            }
        }
        index
    }

    /// Adds an initialisation segment, unless it is out of order.
    pub fn add_init(&mut self, name: InitName) {
        if self.inits.last().is_none_or(|last| last.number < name.number) {
            self.inits.push(name);
        }
    }

    /// Adds a segment, unless it is out of order.
    pub fn add(&mut self, record: SegmentRecord) {
        if self.segments.last().is_none_or(|last| last.name.sequence < record.name.sequence) {
            self.segments.push(record);
        }
    }

    /// The name of initialisation segment `number`.
    pub fn init(&self, number: u32) -> Option<InitName> {
        self.inits.iter().find(|init| init.number == number).copied()
    }

    /// How many segments have something missing before them: they say so, or their sequence number does.
    pub fn gaps(&self) -> usize {
        let said = self.segments.iter().skip(1).filter(|segment| segment.name.join == Join::Gap).count();
        let holes = self.segments.windows(2).filter(|pair| {
            let (before, after) = (&pair[0].name, &pair[1].name);
            after.join != Join::Gap && after.sequence - before.sequence > 1
        });
        said + holes.count()
    }

    /// Takes away the oldest segments as long as `surplus` says so, but never the last, and gives them.
    pub fn trim(&mut self, mut surplus: impl FnMut(&SegmentRecord) -> bool) -> Vec<SegmentRecord> {
        let most = self.segments.len().saturating_sub(1);
        let count = self.segments.iter().take(most).take_while(|segment| surplus(segment)).count();
        self.segments.drain(..count).collect()
    }

    /// The bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// How long all segments are together, in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        self.segments.iter().map(|segment| segment.duration_ns).sum()
    }
}

/// The whole file.
impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        let mut inits = self.inits.iter().peekable();
        for segment in &self.segments {
            while let Some(init) = inits.next_if(|init| init.number <= segment.name.init) {
                writeln!(f, "{init}")?;
            }
            writeln!(f, "{segment}")?;
        }
        inits.try_for_each(|init| writeln!(f, "{init}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(sequence: u32, parts: &[(u32, u64, bool)]) -> SegmentRecord {
        let name = SegmentName {
            sequence,
            starts_at_unix_ms: 1_763_800_000_123,
            init: 0,
            join: Join::Continues,
            checksum: Some(sequence),
        };
        let part = |&(bytes, start_ns, independent): &_| PartRecord { bytes, start_ns, independent };
        let parts = parts.iter().map(part).collect();
        SegmentRecord { name, bytes: 500, start_ns: 7, duration_ns: 2_000_000_000, parts }
    }

    #[test]
    fn a_line_looks_as_documented() {
        let line = "00000000-1763800000123-i0-00000000.m4s 500 7 2000000000 300k@7 200@200000007";
        assert_eq!(record(0, &[(300, 7, true), (200, 200_000_007, false)]).to_string(), line);
    }

    #[test]
    fn a_torn_or_foreign_line_costs_only_itself() {
        let text =
            Index { inits: vec![], segments: vec![record(0, &[]), record(1, &[(1, 2, true)])] }.to_string();
        assert_eq!(Index::parse(&text[..text.len() - 1]).segments.len(), 1, "no end of line, no line");
        let more = format!("{text}what is this\n{}\n", record(0, &[]));
        assert_eq!(Index::parse(&more).segments.len(), 2);
        assert_eq!(Index::parse("cruvz-index 2\n"), Index::default());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(parts in proptest::collection::vec(any::<(u32, u64, bool)>(), 0..20)) {
            let inits = [0, 4].map(|number| InitName { number, checksum: 9 }).to_vec();
            let index = Index { inits, segments: vec![record(3, &parts), record(9, &parts)] };
            prop_assert_eq!(Index::parse(&index.to_string()), index);
        }

        #[test]
        fn any_text_is_safe(text in "(cruvz-index 1\n)?[-0-9 k@im.s\n]{0,200}") {
            let _ = Index::parse(&text);
        }
    }
}
