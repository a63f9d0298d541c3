//! Script tags: their names, and the prefix that only a server should see.

use bytes::Bytes;

use super::Error;
use crate::amf0::{Decoder, Limits, Value};

/// What a publisher puts before `onMetaData` to ask the server to keep it: an AMF0 string, as bytes.
pub(super) const SET_DATA_FRAME: &[u8; 16] = b"\x02\x00\x0d@setDataFrame";

/// The name a script tag's body begins with, such as `onMetaData`; `None` where it begins with none.
///
/// This tells the frames of a data track apart: a late viewer needs the last `onMetaData` and the last `colorInfo`.
pub fn script_name(body: &[u8]) -> Option<String> {
    let limits = Limits { total_bytes: usize::MAX, values: 1, string_bytes: 256, ..Limits::default() };
    match Decoder::new(body, &limits).next() {
        Some(Ok(Value::String(name))) => Some(name),
        _ => None,
    }
}

/// `body` as viewers get it: without the prefix `@setDataFrame`, otherwise untouched. `None` for `@clearDataFrame`,
/// which is for the server alone.
pub(super) fn for_viewers(mut body: Bytes) -> Result<Option<Bytes>, Error> {
    if body.starts_with(SET_DATA_FRAME) {
        let _ = body.split_to(SET_DATA_FRAME.len());
    }
    match script_name(&body).ok_or(Error::Script)?.as_str() {
        "@clearDataFrame" => Ok(None),
        _ => Ok(Some(body)),
    }
}
