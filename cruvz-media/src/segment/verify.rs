//! Whether a rendition's folder is whole, and what to do where it is not.
//!
//! [`verify`] looks at every file: names, checksums, structure, the row of sequence numbers, the times, and whether the index says the same. It needs no
//! index. What a crash can leave behind has a [`Repair`]; what only a failing disk or a stranger's hand can do is set aside, never deleted.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
};

use bytes::Bytes;

use super::{Crc32c, Index, InitInfo, InitName, Join, MediaName, Scan, SegmentName, SegmentRecord, scan};

/// The name of the index in a rendition's folder.
pub const INDEX: &str = "index";
/// What is behind the name of a file that was set aside.
pub const DAMAGED: &str = ".damaged";
/// How far the times of two segments that follow each other may be apart, in nanoseconds: two pictures at 40 per second.
const TOLERANCE_NS: u64 = 50_000_000;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the index.
    pub file: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It cannot be read.
    Unreadable(String),
    /// Its bytes are not those that its name says.
    Checksum,
    /// It is no row of whole parts, or no initialisation segment.
    Structure(String),
    /// The initialisation segment that it names is not there or damaged.
    NoInit(u32),
    /// It was being filled when writing stopped; so many bytes behind the last whole part are lost.
    Open {
        /// Bytes that are no whole part.
        torn_bytes: u64,
    },
    /// Another file has its sequence number.
    Twice,
    /// Segments before it are not there.
    Missing {
        /// How many.
        segments: u32,
    },
    /// It says to go on with the segment before it, and does not: so many nanoseconds lie between.
    Jump {
        /// Forwards or backwards.
        ns: u64,
    },
    /// It is nothing that belongs here.
    Foreign,
    /// The index does not say what the segments say.
    Stale,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        match &self.fault {
            Fault::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Fault::Checksum => f.write_str("its bytes are not those that were written"),
            Fault::Structure(why) => write!(f, "not whole: {why}"),
            Fault::NoInit(number) => write!(f, "initialisation segment {number} is not there, or damaged"),
            Fault::Open { torn_bytes } => write!(f, "was being filled; {torn_bytes} bytes are no whole part"),
            Fault::Twice => f.write_str("another file has the same sequence number"),
            Fault::Missing { segments } => write!(f, "{segments} segments before it are not there"),
            Fault::Jump { ns } => write!(f, "is {} ms off the segment before it", ns / 1_000_000),
            Fault::Foreign => f.write_str("does not belong here"),
            Fault::Stale => f.write_str("does not say what the segments say"),
        }
    }
}

/// Something to do so that a folder is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Cut a file that was being filled to `bytes`, and give it its final name.
    Complete {
        /// What it is called.
        open: SegmentName,
        /// How much of it is whole parts.
        bytes: u64,
        /// What it is called then.
        name: SegmentName,
    },
    /// Remove a file that holds nothing.
    Remove(String),
    /// Put [`DAMAGED`] behind the name of a file that cannot be used.
    SetAside(String),
    /// Write the index anew, as [`Report::index`] has it.
    WriteIndex,
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What the segments say, those that were being filled included as they will be once they are complete.
    pub index: Index,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
    /// What to do about it, in this order.
    pub repairs: Vec<Repair>,
}

/// Looks at every file of a rendition's folder, `files` being their names, and `read` giving their bytes.
pub fn verify(files: &[String], read: &mut dyn FnMut(&str) -> io::Result<Bytes>) -> Report {
    examine(files, BTreeMap::new(), read)
}

/// As [`verify`], but believes what the index says of complete segments: after a crash, only what was being written then is read.
pub fn recover(files: &[String], read: &mut dyn FnMut(&str) -> io::Result<Bytes>) -> Report {
    let there = files.iter().any(|file| file == INDEX);
    let index = if there { read(INDEX).ok() } else { None };
    let index = index.map(|text| Index::parse(&String::from_utf8_lossy(&text))).unwrap_or_default();
    let known = index.segments.into_iter().map(|record| (record.name.sequence, record)).collect();
    examine(files, known, read)
}

fn examine(
    files: &[String],
    known: BTreeMap<u32, SegmentRecord>,
    read: &mut dyn FnMut(&str) -> io::Result<Bytes>,
) -> Report {
    let set_aside = files.iter().filter(|file| file.ends_with(DAMAGED));
    let set_aside = set_aside.filter_map(|file| file.get(..8)?.parse().ok()).collect();
    let (report, inits) = (Report::default(), BTreeMap::new());
    let mut verifier = Verifier { files, read, set_aside, known, report, inits };
    let mut segments = BTreeSet::new();
    for file in files {
        match file.parse() {
            Ok(MediaName::Init(name)) => verifier.init(file, name),
            Ok(MediaName::Segment(name)) => _ = segments.insert((name.sequence, file)),
            Err(_) => verifier.other(file),
        }
    }
    verifier.report.index.inits.sort_unstable_by_key(|init| init.number);
    verifier.segments(segments);
    verifier.index();
    verifier.report
}

struct Verifier<'a> {
    files: &'a [String],
    read: &'a mut dyn FnMut(&str) -> io::Result<Bytes>,
    /// The sequence numbers of what was set aside.
    set_aside: BTreeSet<u32>,
    /// What is believed of segments without looking.
    known: BTreeMap<u32, SegmentRecord>,
    report: Report,
    /// The sound initialisation segments, and the scales of their tracks.
    inits: BTreeMap<u32, InitInfo>,
}

/// What the segment before left to compare with.
struct Before {
    sequence: u32,
    init: u32,
    /// Where its first track ends, in nanoseconds.
    end_ns: Option<u64>,
}

impl Verifier<'_> {
    fn problem(&mut self, file: &str, fault: Fault) {
        self.report.problems.push(Problem { file: file.to_owned(), fault });
    }

    fn init(&mut self, file: &str, name: InitName) {
        let fault = match (self.read)(file) {
            Err(error) => Fault::Unreadable(error.to_string()),
            Ok(bytes) if Crc32c::of(&bytes) != name.checksum => Fault::Checksum,
            Ok(bytes) => match InitInfo::parse(&bytes) {
                Ok(info) => {
                    self.inits.insert(name.number, info);
                    self.report.index.inits.push(name);
                    return;
                }
                Err(error) => Fault::Structure(error.to_string()),
            },
        };
        self.problem(file, fault);
    }

    fn other(&mut self, file: &str) {
        if file == INDEX || file.ends_with(DAMAGED) {
            return;
        }
        self.problem(file, Fault::Foreign);
        // An initialisation segment that was being written.
        if file.starts_with("init-") && file.ends_with(".open") {
            self.report.repairs.push(Repair::Remove(file.to_owned()));
        }
    }

    fn segments(&mut self, segments: BTreeSet<(u32, &String)>) {
        let mut before: Option<Before> = None;
        for (sequence, file) in segments {
            let Ok(MediaName::Segment(name)) = file.parse() else { continue };
            if before.as_ref().is_some_and(|before| before.sequence == sequence) {
                self.problem(file, Fault::Twice);
                self.report.repairs.push(Repair::SetAside(file.clone()));
                continue;
            }
            if let Some((record, end_ns)) = self.segment(file, name) {
                self.follows(file, &record, before.as_ref());
                before = Some(Before { sequence, init: name.init, end_ns });
                self.report.index.segments.push(record);
            }
        }
    }

    /// What is in a segment, and where its first track ends; `None` if it cannot be used.
    fn segment(&mut self, file: &str, name: SegmentName) -> Option<(SegmentRecord, Option<u64>)> {
        if let Some(known) = self.known.remove(&name.sequence).filter(|known| known.name == name) {
            return Some((known, None));
        }
        let bytes = match (self.read)(file) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problem(file, Fault::Unreadable(error.to_string()));
                return None;
            }
        };
        let Some(init) = self.inits.get(&name.init) else {
            self.problem(file, Fault::NoInit(name.init));
            return None;
        };
        let end_of = |scan: &Scan| {
            let hz = u128::from(init.tracks.first()?.timescale.hz());
            let (_, end) = (*scan.spans.first()?)?;
            u64::try_from(u128::from(end) * 1_000_000_000 / hz).ok()
        };
        let (scan, error) = scan(&bytes, init);
        let end_ns = end_of(&scan);
        let fault = match (name.checksum, error) {
            (None, _) => return self.open(file, name, &bytes, scan).map(|record| (record, end_ns)),
            (Some(checksum), _) if Crc32c::of(&bytes) != checksum => Fault::Checksum,
            (Some(_), Some(error)) => Fault::Structure(error.to_string()),
            (Some(_), None) if scan.parts.is_empty() => Fault::Structure("it is empty".into()),
            (Some(_), None) => return Some((SegmentRecord::new(name, scan), end_ns)),
        };
        self.problem(file, fault);
        self.report.repairs.push(Repair::SetAside(file.to_owned()));
        None
    }

    /// A segment that was being filled, as it will be once it is complete.
    fn open(&mut self, file: &str, name: SegmentName, bytes: &Bytes, scan: Scan) -> Option<SegmentRecord> {
        self.problem(file, Fault::Open { torn_bytes: bytes.len() as u64 - scan.whole_bytes });
        if scan.parts.is_empty() {
            self.report.repairs.push(Repair::Remove(file.to_owned()));
            return None;
        }
        let checksum = Some(Crc32c::of(&bytes[..scan.whole_bytes as usize]));
        let complete = SegmentName { checksum, ..name };
        let repair = Repair::Complete { open: name, bytes: scan.whole_bytes, name: complete };
        self.report.repairs.push(repair);
        Some(SegmentRecord::new(complete, scan))
    }

    fn follows(&mut self, file: &str, record: &SegmentRecord, before: Option<&Before>) {
        let Some(before) = before else { return };
        let missing = record.name.sequence - before.sequence - 1;
        let set_aside = self.set_aside.range(before.sequence + 1..record.name.sequence).count();
        let unexplained = (missing as usize).saturating_sub(set_aside);
        if missing > 0 {
            if unexplained > 0 {
                self.problem(file, Fault::Missing { segments: unexplained as u32 });
            }
            return;
        }
        if record.name.join != Join::Continues {
            return;
        }
        let ns = before.end_ns.map_or(0, |end_ns| end_ns.abs_diff(record.start_ns));
        if before.init != record.name.init || ns > TOLERANCE_NS {
            self.problem(file, Fault::Jump { ns });
        }
    }

    fn index(&mut self) {
        let there = self.files.iter().any(|file| file == INDEX);
        let text = if there { (self.read)(INDEX).ok() } else { None };
        let text = text.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if text.as_deref() != Some(&self.report.index.to_string()[..]) {
            self.problem(INDEX, Fault::Stale);
            self.report.repairs.push(Repair::WriteIndex);
        }
    }
}
