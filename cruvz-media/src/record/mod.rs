//! The recorder, sans-IO: parts of a live stream come in, and what to write under which name goes out.
//!
//! The parts are those that [`crate::hls::Packager`] makes, unchanged. [`Recorder::place`] says what must be written before a part: a new initialisation
//! segment, a new file. Once the part is on disk, [`Recorder::wrote`] takes note of it; [`Recorder::complete`] says what the finished file is to be called,
//! and what the index is to say of it. Whoever writes may fail in between: [`Recorder::broken`] marks the gap, and recording goes on with the next
//! part that a decoder can start with. It never reads a clock and holds no media.

use bytes::Bytes;

use crate::{
    container::mp4::Error,
    hls::LivePart,
    segment::{Crc32c, InitInfo, InitName, Join, Scan, SegmentName, SegmentRecord, name::MAX_SEQUENCE},
};

/// The least time between two segments that counts as a gap, in milliseconds: one part at the defaults.
const GAP_MS: u64 = 200;

/// What must be written before a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// An initialisation segment that is not there yet.
    pub init: Option<(InitName, Bytes)>,
    /// The file that the part is appended to.
    pub file: SegmentName,
    /// Whether that file is to be made.
    pub new: bool,
}

/// The file that is being filled.
#[derive(Debug)]
struct Filling {
    name: SegmentName,
    /// Its number in the packager.
    msn: u64,
    init: InitInfo,
    checksum: Crc32c,
    scan: Scan,
}

/// An initialisation segment that was written.
#[derive(Debug)]
struct Init {
    /// Its number in the packager.
    live: u32,
    name: InitName,
    info: InitInfo,
    /// Its bytes, until they are written.
    unwritten: Option<Bytes>,
}

/// Names what is recorded of one rendition.
#[derive(Debug, Default)]
pub struct Recorder {
    next_sequence: u32,
    inits: Vec<Init>,
    filling: Option<Filling>,
    /// Whether media is missing before the next segment.
    broken: bool,
    /// When the segment before ended by the wall clock, ms since 1970.
    ended_unix_ms: Option<u64>,
    /// The file that [`Self::place`] named last, until something was written to it.
    placed: Option<(SegmentName, u64)>,
}

/// Why a part cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The sequence numbers are used up.
    #[error("a recording has at most {MAX_SEQUENCE} segments")]
    TooLong,
    /// The packager's bytes are not what a part is.
    #[error("not a part: {0}")]
    Part(#[from] Error),
}

impl Recorder {
    /// Says where `part` is to be written, `init` being its initialisation segment. The segment before must be complete: see [`Self::is_done_before`].
    ///
    /// # Errors
    /// When the recording is as long as one can be, or the initialisation segment is none.
    pub fn place(&mut self, part: &LivePart, init: &Bytes) -> Result<Place, RecordError> {
        if let Some(filling) = &self.filling {
            return Ok(Place { init: None, file: filling.name, new: false });
        }
        if self.next_sequence > MAX_SEQUENCE {
            return Err(RecordError::TooLong);
        }
        let init = match self.inits.iter().position(|known| known.live == part.init) {
            Some(at) => &self.inits[at],
            None => {
                let name = InitName { number: self.inits.len() as u32, checksum: Crc32c::of(init) };
                let (info, unwritten) = (InitInfo::parse(init)?, Some(init.clone()));
                self.inits.push(Init { live: part.init, name, info, unwritten });
                &self.inits[name.number as usize]
            }
        };
        let (name, new) = (init.name, init.unwritten.clone().map(|body| (init.name, body)));
        let starts_at_unix_ms = u64::try_from(part.starts_at_unix_us / 1000).unwrap_or(0);
        let file = SegmentName {
            sequence: self.next_sequence,
            starts_at_unix_ms,
            init: name.number,
            join: self.join(part, starts_at_unix_ms),
            checksum: None,
        };
        self.placed = Some((file, part.msn));
        Ok(Place { init: new, file, new: true })
    }

    /// Takes note that an initialisation segment was written.
    pub fn wrote_init(&mut self, name: InitName) {
        if let Some(init) = self.inits.iter_mut().find(|init| init.name == name) {
            init.unwritten = None;
        }
    }

    /// How a segment that begins with `part` follows the one before.
    fn join(&self, part: &LivePart, starts_at_unix_ms: u64) -> Join {
        let Some(ended) = self.ended_unix_ms else { return Join::Continues };
        match part.discontinuity || part.number > 0 {
            _ if self.broken => Join::Gap,
            true if starts_at_unix_ms.saturating_sub(ended) >= GAP_MS => Join::Gap,
            true => Join::Discontinuity,
            false => Join::Continues,
        }
    }

    /// Looks whether `bytes`, the body of the part that was placed, are a part.
    ///
    /// # Errors
    /// When they are not, which would be a bug of the packager.
    pub fn check(&self, bytes: &Bytes) -> Result<(), RecordError> {
        let placed = || self.placed.and_then(|(name, _)| self.info(name.init));
        let init = self.filling.as_ref().map(|filling| &filling.init).or_else(placed);
        let unknown = InitInfo::default();
        Scan::default().add(bytes, init.unwrap_or(&unknown))?;
        Ok(())
    }

    fn info(&self, number: u32) -> Option<&InitInfo> {
        self.inits.iter().find(|init| init.name.number == number).map(|init| &init.info)
    }

    /// Takes note that `bytes`, the body of `part`, were written to the file that [`Self::place`] named.
    ///
    /// # Errors
    /// When they are none, as [`Self::check`] would have said: the file is then not whole.
    pub fn wrote(&mut self, bytes: &Bytes) -> Result<(), RecordError> {
        if let Some((name, msn)) = self.placed.take() {
            let init = self.info(name.init).cloned().unwrap_or_default();
            let (checksum, scan) = (Crc32c::default(), Scan::default());
            self.filling = Some(Filling { name, msn, init, checksum, scan });
            (self.next_sequence, self.broken) = (self.next_sequence + 1, false);
        }
        let Some(filling) = &mut self.filling else { return Ok(()) };
        filling.checksum.update(bytes);
        filling.scan.add(bytes, &filling.init)?;
        Ok(())
    }

    /// Whether the file being filled must be completed before `part` is placed.
    pub fn is_done_before(&self, part: &LivePart) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.msn != part.msn)
    }

    /// Ends the file that is being filled: what it is called now, and what the index is to say, its final name included.
    pub fn complete(&mut self) -> Option<(SegmentName, SegmentRecord)> {
        self.placed = None;
        let Filling { name, checksum, scan, .. } = self.filling.take()?;
        let complete = SegmentName { checksum: Some(checksum.value()), ..name };
        let record = SegmentRecord::new(complete, scan);
        self.ended_unix_ms = Some(record.ends_at_unix_ms());
        Some((name, record))
    }

    /// Something is missing from here on. The file that is being filled must be completed first.
    pub const fn broken(&mut self) {
        self.broken = true;
    }
}

#[cfg(test)]
mod tests;
