//! Where segments are kept: a small trait, and the local disk behind it.
//!
//! A store holds immutable files under keys of the form `live/cam/1763800000123-1a2b3c4d/main/…` (`docs/adr/0012-segment-store.md`). It knows nothing of
//! media. Recording needs more than that, a file that grows, and so goes to a local disk first ([`disk`]).

pub(crate) mod archive;
pub(crate) mod disk;
mod memory;

use std::{fmt, future::Future, ops::Range, pin::Pin};

use bytes::Bytes;

pub use self::{archive::Archive, disk::Disk, memory::Memory};
use crate::{Error, ErrorKind, Result};

/// The longest key, in bytes: two parts of a stream's name, and what is below.
const MAX_KEY_BYTES: usize = 512;

/// What a store will have done.
pub type Done<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A file in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub bytes: u64,
}

/// Keeps immutable files under keys: parts of letters, digits and `. _ ~ -`, none beginning with a dot, with slashes between.
pub trait SegmentStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps `body` under `key`, in whole or not at all, over what was there.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad key; `Io` or `Unavailable` when it cannot be kept.
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> Done<'a, ()>;

    /// What is kept under `key`: all of it, or the bytes of `range` as far as they exist.
    ///
    /// # Errors
    /// `NotFound` when there is nothing; `InvalidArgument` for a bad key; `Io` or `Unavailable`.
    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> Done<'a, Bytes>;

    /// Every file below `folder` at any depth, by key. Nothing for a folder that is not there; everything for an empty one.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad key; `Io` or `Unavailable`.
    fn list<'a>(&'a self, folder: &'a str) -> Done<'a, Vec<Stored>>;

    /// The names of the folders in `folder`, in order.
    ///
    /// # Errors
    /// As [`Self::list`].
    fn folders<'a>(&'a self, folder: &'a str) -> Done<'a, Vec<String>>;

    /// Removes what is under `key`, if anything is.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad key; `Io` or `Unavailable`.
    fn delete<'a>(&'a self, key: &'a str) -> Done<'a, ()>;
}

/// Checks that `key` cannot lead out of a store. Empty is allowed where `folder` says so.
fn check_key(key: &str, folder: bool) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed);
    if (folder && key.is_empty()) || (key.len() <= MAX_KEY_BYTES && key.split('/').all(part)) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidArgument, format!("{key:?} is no key of a store")))
}
