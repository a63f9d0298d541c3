//! A store in memory, for tests and for trying things.

use std::{collections::BTreeMap, future::ready, ops::Range};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Done, SegmentStore, Stored, check_key};
use crate::{Error, ErrorKind};

/// Keeps everything in memory, without a bound.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Bytes>>);

/// What a key in `folder` begins with.
fn prefix(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

impl SegmentStore for Memory {
    fn put<'a>(&'a self, key: &'a str, body: Bytes) -> Done<'a, ()> {
        let checked = check_key(key, false);
        Box::pin(ready(checked.map(|()| _ = self.0.lock().insert(key.to_owned(), body))))
    }

    fn get<'a>(&'a self, key: &'a str, range: Option<Range<u64>>) -> Done<'a, Bytes> {
        let found = check_key(key, false).and_then(|()| {
            let body = self.0.lock().get(key).cloned();
            let body = body.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no {key}")))?;
            let len = body.len() as u64;
            let Range { start, end } = range.unwrap_or(0..len);
            let (start, end) = (start.min(len), end.min(len));
            Ok(body.slice(start as usize..end.max(start) as usize))
        });
        Box::pin(ready(found))
    }

    fn list<'a>(&'a self, folder: &'a str) -> Done<'a, Vec<Stored>> {
        let listed = check_key(folder, true).map(|()| {
            let (prefix, files) = (prefix(folder), self.0.lock());
            let below = files.iter().filter(|(key, _)| key.starts_with(&prefix));
            below.map(|(key, body)| Stored { key: key.clone(), bytes: body.len() as u64 }).collect()
        });
        Box::pin(ready(listed))
    }

    fn folders<'a>(&'a self, folder: &'a str) -> Done<'a, Vec<String>> {
        let listed = check_key(folder, true).map(|()| {
            let (prefix, files) = (prefix(folder), self.0.lock());
            let below = files.keys().filter_map(|key| key.strip_prefix(&prefix)?.split_once('/'));
            let mut names: Vec<_> = below.map(|(name, _)| name.to_owned()).collect();
            names.dedup();
            names
        });
        Box::pin(ready(listed))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Done<'a, ()> {
        Box::pin(ready(check_key(key, false).map(|()| _ = self.0.lock().remove(key))))
    }
}
