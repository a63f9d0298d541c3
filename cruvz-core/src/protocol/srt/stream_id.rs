//! What a caller asks for, in one line of text.
//!
//! The line comes from people and their tools in several forms:
//!
//! | form | asks |
//! |---|---|
//! | `#!::r=live/cam,m=publish,key=abc` | as the keys say (libsrt's access control guidelines) |
//! | `publish:live/cam?key=abc`, `publish:live/cam:abc` | to publish |
//! | `read:live/cam`, `play:`, `request:` | to play |
//! | `live/cam?key=abc`, `live/cam?m=publish` | to play, or what `m` says |

use std::fmt;

use super::Reject;
use super::extension::MAX_TEXT_BYTES;
use crate::protocol::Params;

/// Why a stream id cannot be understood. The text itself is not repeated, for it may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamIdError {
    /// It is longer than 512 bytes.
    #[error("stream id of {0} bytes, want 512 at most")]
    TooLong(usize),
    /// It names no stream.
    #[error("stream id without a stream name")]
    NoName,
    /// It begins with `#!` and goes on with neither `::` nor `:{`, or has braces that do not match or are nested.
    #[error("stream id of unknown form")]
    Form,
    /// Something between the commas is no `key=value`.
    #[error("stream id with a part that is no key=value")]
    Part,
    /// The name or the mode comes twice.
    #[error("stream id with two values of {0:?}")]
    Twice(char),
    /// A mode other than `request`, `publish` and `bidirectional`.
    #[error("stream id with an unknown mode")]
    Mode,
    /// A type other than `stream`.
    #[error("stream id for something else than a stream")]
    Kind,
}

impl StreamIdError {
    /// The code that tells the caller.
    pub const fn reject(self) -> Reject {
        match self {
            Self::Mode => Reject::BAD_MODE,
            Self::Kind => Reject::NOTSUP_MEDIA,
            _ => Reject::BAD_REQUEST,
        }
    }
}

/// What is to be done with a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamMode {
    /// The caller wants to have it.
    #[default]
    Request,
    /// The caller brings it.
    Publish,
    /// Both.
    Bidirectional,
}

/// A stream id that has been understood. See the [module](self).
///
/// ```
/// use cruvz_core::protocol::srt::{StreamId, StreamMode};
/// let id = StreamId::parse("#!::r=live/cam,m=publish,key=abc")?;
/// assert_eq!((id.mode(), id.resource()), (StreamMode::Publish, "live/cam"));
/// assert_eq!(id.params().collect::<Vec<_>>(), [("key", "abc")]);
/// assert_eq!(format!("{id:?}"), r#"StreamId { mode: Publish, resource: "live/cam", params: ["key"] }"#);
/// # Ok::<(), cruvz_core::protocol::srt::StreamIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamId {
    mode: StreamMode,
    resource: String,
    params: Params,
}

impl StreamId {
    /// Understands `text`.
    ///
    /// # Errors
    /// If that cannot be done; whether the name is one is not looked at.
    pub fn parse(text: &str) -> Result<Self, StreamIdError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(StreamIdError::TooLong(text.len()));
        }
        let draft = match text.strip_prefix("#!") {
            Some(rest) => keyed(rest)?,
            None => plain(text),
        };
        draft.finish()
    }

    /// What is to be done.
    pub const fn mode(&self) -> StreamMode {
        self.mode
    }

    /// The stream: `app/name`, without slashes around it. Any text may stand here.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// All other keys, such as `u` (user), `s` (session), `key` and `token`, percent-decoded, in order.
    pub fn params(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.params.iter()
    }
}

/// A stream id as it was written, which may be a secret: `Debug` says `StreamIdText(***)`.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamIdText(String);

impl StreamIdText {
    /// The text itself. Do not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for StreamIdText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for StreamIdText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for StreamIdText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamIdText(***)")
    }
}

/// The parts of a stream id, before they are looked at.
#[derive(Default)]
struct Draft {
    mode: Option<StreamMode>,
    name: String,
    params: Params,
}

impl Draft {
    /// Takes the query off the name and the mode out of the query.
    fn finish(mut self) -> Result<StreamId, StreamIdError> {
        let (name, query) = self.name.split_once('?').unwrap_or((&self.name, ""));
        let resource = name.trim_matches('/').to_owned();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("m", _) if self.mode.is_some() => return Err(StreamIdError::Twice('m')),
                ("m", value) => self.mode = Some(mode(value)?),
                (key, value) => self.params.push(key, value),
            }
        }
        if resource.is_empty() {
            return Err(StreamIdError::NoName);
        }
        Ok(StreamId { mode: self.mode.unwrap_or_default(), resource, params: self.params })
    }
}

/// `action:name`, `action:name:key` or just `name`, each with a query behind it.
fn plain(text: &str) -> Draft {
    let action = text.split_once(':').and_then(|(action, rest)| Some((mode(action).ok()?, rest)));
    let Some((mode, rest)) = action else {
        return Draft { name: text.to_owned(), ..Draft::default() };
    };
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    let (name, key) = path.split_once(':').unwrap_or((path, ""));
    let mut draft = Draft { mode: Some(mode), ..Draft::default() };
    draft.name = query.map_or_else(|| name.to_owned(), |query| format!("{name}?{query}"));
    if !key.is_empty() {
        draft.params.push("key", key);
    }
    draft
}

/// `::key=value,key=value` or the same in braces, behind the `#!`.
fn keyed(rest: &str) -> Result<Draft, StreamIdError> {
    let parts = match rest.strip_prefix("::") {
        Some(parts) => parts,
        None => rest.strip_prefix(":{").and_then(|rest| rest.strip_suffix('}')).ok_or(StreamIdError::Form)?,
    };
    if parts.contains(['{', '}']) {
        return Err(StreamIdError::Form);
    }
    let mut draft = Draft::default();
    for part in parts.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=').ok_or(StreamIdError::Part)? {
            ("m", _) if draft.mode.is_some() => return Err(StreamIdError::Twice('m')),
            ("m", value) => draft.mode = Some(mode(value)?),
            ("r", _) if !draft.name.is_empty() => return Err(StreamIdError::Twice('r')),
            ("r", value) => value.clone_into(&mut draft.name),
            ("t", "stream") => {}
            ("t", _) => return Err(StreamIdError::Kind),
            (key, value) => draft.params.push(key, value),
        }
    }
    Ok(draft)
}

fn mode(text: &str) -> Result<StreamMode, StreamIdError> {
    match text {
        "request" | "read" | "play" => Ok(StreamMode::Request),
        "publish" => Ok(StreamMode::Publish),
        "bidirectional" => Ok(StreamMode::Bidirectional),
        _ => Err(StreamIdError::Mode),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_form_says_what_is_wanted() {
        use StreamMode::{Bidirectional, Publish, Request};
        type Params = [(&'static str, &'static str)];
        let cases: [(&str, StreamMode, &Params); 14] = [
            ("#!::r=live/cam", Request, &[]),
            (
                "#!::u=me,r=/live/cam,m=publish,s=1,key=a=b,",
                Publish,
                &[("u", "me"), ("s", "1"), ("key", "a=b")],
            ),
            ("#!::m=request,t=stream,h=host,r=live/cam?key=a%2Cb", Request, &[("h", "host"), ("key", "a,b")]),
            ("#!:{r=live/cam,m=bidirectional}", Bidirectional, &[]),
            ("publish:live/cam", Publish, &[]),
            ("publish:live/cam?key=abc&x", Publish, &[("key", "abc"), ("x", "")]),
            ("publish:live/cam:abc:d", Publish, &[("key", "abc:d")]),
            ("publish:live/cam:abc?u=me", Publish, &[("key", "abc"), ("u", "me")]),
            ("read:live/cam/", Request, &[]),
            ("play:/live/cam", Request, &[]),
            ("request:live/cam", Request, &[]),
            ("live/cam", Request, &[]),
            ("live/cam?key=a:b", Request, &[("key", "a:b")]),
            ("live/cam?m=publish", Publish, &[]),
        ];
        for (text, mode, params) in cases {
            let id = StreamId::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((id.mode(), id.resource()), (mode, "live/cam"), "{text}");
            assert_eq!(id.params().collect::<Vec<_>>(), params, "{text}");
        }
        // A word before a colon that is no action is part of the name.
        assert_eq!(StreamId::parse("rtmp:live/cam").unwrap().resource(), "rtmp:live/cam");
    }

    #[test]
    fn what_cannot_be_understood_has_a_code() {
        let long = "x".repeat(513);
        let cases = [
            ("", StreamIdError::NoName, Reject::BAD_REQUEST),
            ("publish:", StreamIdError::NoName, Reject::BAD_REQUEST),
            ("#!::m=publish", StreamIdError::NoName, Reject::BAD_REQUEST),
            ("/?key=1", StreamIdError::NoName, Reject::BAD_REQUEST),
            ("#!R1", StreamIdError::Form, Reject::BAD_REQUEST),
            ("#!:{r=a/b", StreamIdError::Form, Reject::BAD_REQUEST),
            ("#!:{r=a/b,x={y=1}}", StreamIdError::Form, Reject::BAD_REQUEST),
            ("#!::r=a/b,publish", StreamIdError::Part, Reject::BAD_REQUEST),
            ("#!::r=a/b,r=c/d", StreamIdError::Twice('r'), Reject::BAD_REQUEST),
            ("#!::r=a/b?m=publish,m=request", StreamIdError::Twice('m'), Reject::BAD_REQUEST),
            ("publish:a/b?m=publish", StreamIdError::Twice('m'), Reject::BAD_REQUEST),
            ("#!::r=a/b,m=steal", StreamIdError::Mode, Reject::BAD_MODE),
            ("a/b?m=", StreamIdError::Mode, Reject::BAD_MODE),
            ("#!::r=a/b,t=file", StreamIdError::Kind, Reject::NOTSUP_MEDIA),
            (long.as_str(), StreamIdError::TooLong(513), Reject::BAD_REQUEST),
        ];
        for (text, error, reject) in cases {
            assert_eq!(StreamId::parse(text), Err(error), "{text}");
            assert_eq!(error.reject(), reject);
            assert!(!error.to_string().contains("a/b"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_understood_or_refused(
            text in "(#!)?(::|:\\{|publish:|read:)?([a-z/?=&,:}{%]{0,20}|r=|m=publish|t=stream|,|\\PC{0,5}){0,8}",
        ) {
            if let Ok(id) = StreamId::parse(&text) {
                prop_assert!(!id.resource().is_empty() && !id.resource().contains('?'));
                prop_assert!(!id.resource().starts_with('/') && !id.resource().ends_with('/'));
                prop_assert!(id.params().len() <= Params::MAX);
            }
        }
    }
}
