//! The local disk: a store, and the one place where a recording is written while it goes on.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use cruvz_media::segment::{Index, InitName, SegmentName, SegmentRecord, verify};

use super::{Done, SegmentStore, Stored, check_key};
use crate::{Error, ErrorKind, Result, config::record::Durability};

/// The file whose lock says that somebody writes here.
const LOCK: &str = ".lock";
/// What is behind the name of a file that is being put, until it is whole.
const PUTTING: &str = ".putting";

/// A folder of the local disk.
#[derive(Clone, Debug)]
pub struct Disk {
    root: Arc<Path>,
}

impl Disk {
    /// The store in `root`, which is made when something is kept.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }

    /// Where `key` is.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Takes the folder for this process alone, for as long as the file is held.
    ///
    /// # Errors
    /// `Unavailable` when another process has it; `Io` when it cannot be made or locked.
    pub fn lock(&self) -> Result<File> {
        let failed = |error: io::Error| {
            let text = format!("cannot use the folder of recordings, {}", self.root.display());
            Error::new(ErrorKind::Io, text).with_source(error)
        };
        fs::create_dir_all(&self.root).map_err(failed)?;
        let options = OpenOptions::new().create(true).truncate(false).write(true).open(self.root.join(LOCK));
        let file = options.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(fs::TryLockError::WouldBlock) => Err(Error::new(
                ErrorKind::Unavailable,
                format!("another process records into {}", self.root.display()),
            )),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Bytes that may still be written to the disk.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(&*self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The names of the files in `folder`.
    pub(crate) fn files(&self, folder: &str) -> io::Result<Vec<String>> {
        self.names(folder, false)
    }

    /// The names of the folders in `folder`.
    pub(crate) fn subfolders(&self, folder: &str) -> io::Result<Vec<String>> {
        self.names(folder, true)
    }

    fn names(&self, folder: &str, folders: bool) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().into_string().ok();
            let name = name.filter(|name| check_key(name, false).is_ok() && !name.ends_with(PUTTING));
            if entry.file_type()?.is_dir() == folders {
                names.extend(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a whole file.
    pub(crate) fn read(&self, key: &str) -> io::Result<Bytes> {
        fs::read(self.path(key)).map(Bytes::from)
    }

    /// Writes a whole file, or nothing.
    pub(crate) fn write(&self, key: &str, body: &[u8], sync: bool) -> io::Result<()> {
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut putting = path.clone().into_os_string();
        putting.push(PUTTING);
        let written = File::create(&putting).and_then(|mut file| {
            file.write_all(body)?;
            if sync { file.sync_data() } else { Ok(()) }
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&putting);
            return Err(error);
        }
        fs::rename(&putting, &path)
    }

    /// Removes what was being put into a folder when its process ended.
    pub(crate) fn sweep(&self, folder: &str) -> io::Result<()> {
        let entries = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            if path.to_str().is_some_and(|path| path.ends_with(PUTTING)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes a folder with everything in it, and the folders above that are empty then.
    pub(crate) fn remove_folder(&self, folder: &str) -> io::Result<()> {
        match fs::remove_dir_all(self.path(folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let above = Path::new(folder).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        for above in above {
            // An error means that there is something in it.
            if fs::remove_dir(self.root.join(above)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Does what was found to be needed in the folder of a rendition.
    pub(crate) fn repair(&self, folder: &str, report: &verify::Report) -> io::Result<()> {
        let at = |name: &dyn fmt::Display| self.path(&format!("{folder}/{name}"));
        for repair in &report.repairs {
            match repair {
                verify::Repair::Complete { open, bytes, name } => {
                    let file = OpenOptions::new().write(true).open(at(open))?;
                    file.set_len(*bytes)?;
                    file.sync_data()?;
                    fs::rename(at(open), at(name))?;
                }
                verify::Repair::Remove(file) => fs::remove_file(at(file))?,
                verify::Repair::SetAside(file) => {
                    fs::rename(at(file), at(&format!("{file}{}", verify::DAMAGED)))?;
                }
                verify::Repair::WriteIndex => {
                    let index = format!("{folder}/{}", verify::INDEX);
                    self.write(&index, report.index.to_string().as_bytes(), true)?;
                }
            }
        }
        Ok(())
    }

    fn blocking<'a, T: Send + 'static>(
        &self,
        key: &str,
        folder: bool,
        work: impl FnOnce(&Self, &str) -> io::Result<T> + Send + 'static,
    ) -> Done<'a, T> {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            check_key(&key, folder)?;
            let done = tokio::task::spawn_blocking(move || work(&this, &key).map_err(|error| (error, key)));
            match done.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err((error, key))) if error.kind() == io::ErrorKind::NotFound => {
                    Err(Error::new(ErrorKind::NotFound, format!("there is no {key}")))
                }
                Ok(Err((error, _))) => Err(error.into()),
                Err(_) => Err(Error::new(ErrorKind::Closed, "the runtime is shutting down")),
            }
        })
    }

    fn list_into(&self, folder: &str, listed: &mut Vec<Stored>) -> io::Result<()> {
        let key = |name: &str| if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") };
        for name in self.files(folder)? {
            let key = key(&name);
            let bytes = fs::metadata(self.path(&key))?.len();
            listed.push(Stored { key, bytes });
        }
        self.subfolders(folder)?.iter().try_for_each(|name| self.list_into(&key(name), listed))
    }
}

impl SegmentStore for Disk {
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> Done<'a, ()> {
        self.blocking(key, false, move |disk, key| disk.write(key, &body, true))
    }

    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> Done<'a, Bytes> {
        self.blocking(key, false, move |disk, key| {
            let Some(Range { start, end }) = range else { return disk.read(key) };
            let mut file = File::open(disk.path(key))?;
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(end.saturating_sub(start)).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> Done<'a, Vec<Stored>> {
        self.blocking(folder, true, |disk, folder| {
            let mut listed = Vec::new();
            disk.list_into(folder, &mut listed)?;
            listed.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            Ok(listed)
        })
    }

    fn folders<'a>(&'a self, folder: &'a str) -> Done<'a, Vec<String>> {
        self.blocking(folder, true, Self::subfolders)
    }

    fn delete<'a>(&'a self, key: &'a str) -> Done<'a, ()> {
        self.blocking(key, false, |disk, key| match fs::remove_file(disk.path(key)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
    }
}

/// The file that is being filled.
#[derive(Debug)]
struct Filling {
    file: File,
    name: SegmentName,
    /// How many of its bytes are whole parts.
    whole: u64,
}

/// Writes one rendition of a recording. Every call blocks, and may be made again after an error.
#[derive(Debug)]
pub(crate) struct RenditionWriter {
    folder: PathBuf,
    sync: Durability,
    filling: Option<Filling>,
    index: Option<File>,
    /// Whether the index lacks a line.
    pub(crate) index_is_stale: bool,
}

impl RenditionWriter {
    pub(crate) fn new(disk: &Disk, folder: &str, sync: Durability) -> Self {
        Self { folder: disk.path(folder), sync, filling: None, index: None, index_is_stale: false }
    }

    /// Writes an initialisation segment.
    pub(crate) fn init(&mut self, name: InitName, body: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let (open, path) =
            (self.folder.join(format!("init-{}.open", name.number)), self.folder.join(name.to_string()));
        let mut file = File::create(&open)?;
        file.write_all(body)?;
        if self.sync != Durability::Never {
            file.sync_data()?;
        }
        fs::rename(open, path)?;
        self.note(&name);
        Ok(())
    }

    /// Appends a part to the file being filled, which is made if it is not there. After an error it has what it had before.
    pub(crate) fn append(&mut self, name: SegmentName, part: &[u8]) -> io::Result<()> {
        if self.filling.as_ref().is_some_and(|filling| filling.name != name) {
            self.abandon();
        }
        let Filling { file, whole, .. } = match &mut self.filling {
            Some(filling) => filling,
            none => {
                let path = self.folder.join(name.to_string());
                let file = OpenOptions::new().append(true).create(true).open(path)?;
                // What an earlier attempt left.
                file.set_len(0)?;
                none.insert(Filling { file, name, whole: 0 })
            }
        };
        let written = file.write_all(part).and_then(|()| match self.sync {
            Durability::Part => file.sync_data(),
            Durability::Segment | Durability::Never => Ok(()),
        });
        if let Err(error) = written {
            file.set_len(*whole)?;
            return Err(error);
        }
        *whole += part.len() as u64;
        Ok(())
    }

    /// Removes the file being filled, to which nothing could be written.
    pub(crate) fn abandon(&mut self) {
        if let Some(filling) = self.filling.take() {
            let _ = fs::remove_file(self.folder.join(filling.name.to_string()));
        }
    }

    /// Gives the file that was filled its final name, and notes it in the index.
    pub(crate) fn complete(&mut self, open: SegmentName, record: &SegmentRecord) -> io::Result<()> {
        if let Some(Filling { file, .. }) = &self.filling {
            if self.sync != Durability::Never {
                file.sync_data()?;
            }
            fs::rename(self.folder.join(open.to_string()), self.folder.join(record.name.to_string()))?;
            self.filling = None;
        }
        self.note(&record);
        Ok(())
    }

    /// Adds a line to the index, which is a cache: if that fails, it is made anew in the end.
    fn note(&mut self, line: &dyn fmt::Display) {
        if let Err(error) = self.append_to_index(line) {
            (self.index, self.index_is_stale) = (None, true);
            tracing::debug!(%error, "the index of a recording was not written");
        }
    }

    fn append_to_index(&mut self, line: &dyn fmt::Display) -> io::Result<()> {
        let index = match &mut self.index {
            Some(index) => index,
            none => {
                let path = self.folder.join(verify::INDEX);
                let mut file = OpenOptions::new().append(true).create(true).open(path)?;
                if file.metadata()?.len() == 0 {
                    file.write_all(Index::head().as_bytes())?;
                }
                none.insert(file)
            }
        };
        let len = index.metadata()?.len();
        index.write_all(format!("{line}\n").as_bytes()).or_else(|error| {
            index.set_len(len)?;
            Err(error)
        })
    }

    /// Lets go of the file being filled, which is not there any more.
    pub(crate) fn forget(&mut self) {
        (self.filling, self.index) = (None, None);
    }
}
