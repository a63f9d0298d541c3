//! Recordings on a disk, looked at from outside an engine: verify and repair.

use std::{fs::File, io, path::Path};

use cruvz_media::segment::{
    End, Index, RecordingId,
    verify::{Fault, Problem, Report, recover, verify},
};

use super::Disk;
use crate::{Error, ErrorKind, Result, StreamName};

/// The file with the last word on a recording.
pub(crate) const END: &str = "end";
/// The rendition that holds what the publisher sent.
pub(crate) const RENDITION: &str = "main";

/// A folder of recordings: see [`crate::config::RecordConfig::folder`]. Every call blocks.
#[derive(Debug)]
pub struct Archive {
    disk: Disk,
    /// Held so that nobody records meanwhile.
    lock: Option<File>,
}

/// A recording in it.
pub(crate) struct Place {
    pub(crate) id: RecordingId,
    pub(crate) stream: StreamName,
}

impl Place {
    /// The folder of the recording.
    pub(crate) fn folder(&self) -> String {
        format!("{}/{}", self.stream, self.id)
    }
}

impl Archive {
    /// The recordings in `folder`, to be looked at.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder.
    pub fn new(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::new(ErrorKind::NotFound, format!("{} is no folder", folder.display())));
        }
        Ok(Self { disk: Disk::new(folder), lock: None })
    }

    /// The same, to be mended: nobody else may write there as long as this lives.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when an engine records there.
    pub fn to_repair(folder: &Path) -> Result<Self> {
        let archive = Self::new(folder)?;
        Ok(Self { lock: Some(archive.disk.lock()?), ..archive })
    }

    /// The names of the recordings, oldest first.
    ///
    /// # Errors
    /// `Io` when the folder cannot be read.
    pub fn ids(&self) -> Result<Vec<String>> {
        let mut ids: Vec<_> = places(&self.disk)?.into_iter().map(|place| place.id).collect();
        ids.sort_unstable();
        Ok(ids.iter().map(RecordingId::to_string).collect())
    }

    /// Reads every file of a recording, and says in words what is not as it should be. One that has no end yet is going on, or was
    /// interrupted.
    ///
    /// # Errors
    /// `NotFound`; `Io` when the folder cannot be read.
    pub fn verify(&self, id: &str) -> Result<Vec<String>> {
        let place = self.find(id)?;
        let report = self.examine(&place, verify)?;
        let mut problems: Vec<_> = report.problems.iter().map(Problem::to_string).collect();
        problems.extend(end_problem(read_end(&self.disk, &place.folder()).as_ref(), &report.index));
        Ok(problems)
    }

    /// Mends a recording, and says what was wrong with it. What cannot be used is set aside, never deleted.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` without [`Self::to_repair`]; `Io` when it cannot be read or written.
    pub fn repair(&self, id: &str) -> Result<Vec<String>> {
        if self.lock.is_none() {
            return Err(Error::new(ErrorKind::Unavailable, "the folder is open for looking only"));
        }
        let place = self.find(id)?;
        let (report, folder) = (self.examine(&place, verify)?, place.folder());
        self.disk.repair(&rendition(&folder), &report)?;
        let mut problems: Vec<_> = report.problems.iter().map(Problem::to_string).collect();
        let end = read_end(&self.disk, &folder);
        if let Some(problem) = end_problem(end.as_ref(), &report.index) {
            problems.push(problem);
            let reason = end.map_or_else(|| "interrupted".to_owned(), |end| end.reason);
            write_end(&self.disk, &folder, &End::new(&report.index, &reason))?;
        }
        Ok(problems)
    }

    fn find(&self, id: &str) -> Result<Place> {
        let missing = || Error::new(ErrorKind::NotFound, format!("there is no recording {id:.40}"));
        let id: RecordingId = id.parse().map_err(|_| missing())?;
        places(&self.disk)?.into_iter().find(|place| place.id == id).ok_or_else(missing)
    }

    fn examine(&self, place: &Place, examine: Examine) -> Result<Report> {
        Ok(look(&self.disk, &rendition(&place.folder()), examine)?)
    }
}

/// [`verify`] or [`recover`].
pub(crate) type Examine = fn(&[String], &mut dyn FnMut(&str) -> io::Result<bytes::Bytes>) -> Report;

/// Looks at the folder of a rendition.
pub(crate) fn look(disk: &Disk, rendition: &str, examine: Examine) -> io::Result<Report> {
    Ok(examine(&disk.files(rendition)?, &mut |file| disk.read(&format!("{rendition}/{file}"))))
}

/// The folder of the only rendition of the recording in `folder`.
pub(crate) fn rendition(folder: &str) -> String {
    format!("{folder}/{RENDITION}")
}

/// Every recording on `disk`.
pub(crate) fn places(disk: &Disk) -> io::Result<Vec<Place>> {
    let mut places = Vec::new();
    for app in disk.subfolders("")? {
        for name in disk.subfolders(&app)? {
            let Ok(stream) = StreamName::new(&app, &name) else { continue };
            let ids = disk.subfolders(stream.as_str())?;
            let ids = ids.iter().filter_map(|id| id.parse().ok());
            places.extend(ids.map(|id| Place { id, stream: stream.clone() }));
        }
    }
    Ok(places)
}

/// The last word on the recording in `folder`, if it was said.
pub(crate) fn read_end(disk: &Disk, folder: &str) -> Option<End> {
    let text = disk.read(&format!("{folder}/{END}")).ok()?;
    End::parse(&String::from_utf8_lossy(&text))
}

pub(crate) fn write_end(disk: &Disk, folder: &str, end: &End) -> io::Result<()> {
    disk.write(&format!("{folder}/{END}"), end.to_string().as_bytes(), true)
}

/// Makes a recording whole that was going on when its process ended; `None` if there was nothing in it, and it is gone.
pub(crate) fn mend(disk: &Disk, folder: &str) -> io::Result<Option<End>> {
    let rendition = rendition(folder);
    let report = look(disk, &rendition, recover)?;
    disk.sweep(folder)?;
    disk.sweep(&rendition)?;
    disk.repair(&rendition, &report)?;
    let nothing = |problem: &Problem| match problem.fault {
        Fault::Open { .. } | Fault::Stale => true,
        _ => problem.file.starts_with("init-") && problem.file.ends_with(".open"),
    };
    if report.index.segments.is_empty() && report.problems.iter().all(nothing) {
        disk.remove_folder(folder)?;
        return Ok(None);
    }
    let end = End::new(&report.index, "interrupted");
    write_end(disk, folder, &end)?;
    tracing::warn!(
        recording = folder,
        repairs = report.repairs.len(),
        "mended a recording that was interrupted"
    );
    Ok(Some(end))
}

/// What is wrong with the last word on a recording that has `index`.
fn end_problem(end: Option<&End>, index: &Index) -> Option<String> {
    let Some(end) = end else { return Some(format!("{END}: is not there: it goes on, or was interrupted")) };
    let now = End::new(index, &end.reason);
    (now != *end).then(|| {
        let (was, is) = (end.segments, now.segments);
        format!("{END}: it had {was} segments and {} bytes, now {is} and {}", end.bytes, now.bytes)
    })
}
