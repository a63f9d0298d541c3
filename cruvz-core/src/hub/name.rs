//! How streams are named.

use std::{fmt, str::FromStr, sync::Arc};

use crate::error::{Error, ErrorKind};

/// The longest segment of a stream name, in bytes.
pub const MAX_SEGMENT_BYTES: usize = 128;

/// The name of a [`crate::LiveStream`]: `app/name`, as in `live/cam`.
///
/// Both segments are 1 to 128 characters of `A-Z a-z 0-9 . _ ~ -` and do not begin with a dot, so that a name is
/// safe in a URL, a file path and a log line as it stands.
///
/// What stands behind the last `~` of a name is a rendition: `live/cam~h` is the layer `h` of the stream `live/cam`, which the publisher
/// of `live/cam` brings along. Who may play the stream may play its renditions, and nobody publishes them over a network.
///
/// ```
/// let name: cruvz_core::StreamName = "live/cam".parse()?;
/// assert_eq!((name.app(), name.name()), ("live", "cam"));
/// assert!("live/../etc".parse::<cruvz_core::StreamName>().is_err());
/// # Ok::<(), cruvz_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName {
    text: Arc<str>,
    slash: usize,
}

impl StreamName {
    /// The name made of `app` and `name`.
    ///
    /// # Errors
    /// `InvalidArgument` when a segment is empty, too long or has a character that is not allowed.
    pub fn new(app: &str, name: &str) -> Result<Self, Error> {
        check_segment(app)?;
        check_segment(name)?;
        Ok(Self { text: format!("{app}/{name}").into(), slash: app.len() })
    }

    /// The application: what stands before the slash.
    pub fn app(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The name within the application: what stands behind the slash.
    pub fn name(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// The name of a rendition of it: `live/cam~h` for `h`.
    ///
    /// # Errors
    /// `InvalidArgument` as [`Self::new`].
    pub fn rendition(&self, layer: &str) -> Result<Self, Error> {
        Self::new(self.app(), &format!("{}~{layer}", self.name()))
    }

    /// The stream that this is a rendition of, and which: `live/cam` and `h` for `live/cam~h`.
    pub fn rendition_of(&self) -> Option<(Self, &str)> {
        let (origin, layer) = self.name().rsplit_once('~').filter(|(_, layer)| !layer.is_empty())?;
        Some((Self::new(self.app(), origin).ok()?, layer))
    }

    /// The whole name, `app/name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole name is as `pattern` says, `*` standing for any text.
    ///
    /// ```
    /// # let name: cruvz_core::StreamName = "live/cam".parse().unwrap();
    /// assert!(name.matches("live/*") && name.matches("*") && !name.matches("tv/*"));
    /// ```
    pub fn matches(&self, pattern: &str) -> bool {
        let Some((head, rest)) = pattern.split_once('*') else { return pattern == self.as_str() };
        let Some(mut text) = self.as_str().strip_prefix(head) else { return false };
        let mut pieces: Vec<&str> = rest.split('*').collect();
        let tail = pieces.pop().unwrap_or_default();
        for piece in pieces {
            let Some(at) = text.find(piece) else { return false };
            text = &text[at + piece.len()..];
        }
        text.ends_with(tail)
    }
}

fn check_segment(segment: &str) -> Result<(), Error> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    let good = !segment.is_empty()
        && segment.len() <= MAX_SEGMENT_BYTES
        && !segment.starts_with('.')
        && segment.bytes().all(allowed);
    if good {
        return Ok(());
    }
    let shown: String = segment.chars().take(32).flat_map(char::escape_default).collect();
    Err(Error::new(
        ErrorKind::InvalidArgument,
        format!(
            "{shown:?} is no part of a stream name: 1 to 128 of A-Z a-z 0-9 . _ ~ -, not beginning with a dot"
        ),
    ))
}

impl FromStr for StreamName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (app, name) = text.split_once('/').ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, "a stream name has two parts, as in live/cam")
        })?;
        Self::new(app, name)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl serde::Serialize for StreamName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for StreamName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_their_folder_are_refused() {
        for bad in [
            "", "live", "/cam", "live/", "live/..", "../x", "live/a/b", "live/a b", "live/\0", "live/%2e",
            "lïve/a",
        ] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
        assert!(StreamName::new("live", &"x".repeat(129)).is_err());
        assert!("live/a.b_c~d-9".parse::<StreamName>().is_ok());
    }

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "live/a", true),
            ("live/*", "live/a", true),
            ("live/*", "alive/a", false),
            ("*/a", "live/a", true),
            ("*/a", "live/ab", false),
            ("l*e/*b", "live/ab", true),
            ("l*x*b", "live/ab", false),
            ("live/a", "live/a", true),
            ("live/a", "live/ab", false),
            ("ab/*/a", "ab/a", false),
            ("", "live/a", false),
        ] {
            let name = text.parse::<StreamName>();
            assert_eq!(name.is_ok_and(|name| name.matches(pattern)), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rendition_is_named_after_its_stream() {
        let cam: StreamName = "live/cam".parse().unwrap();
        let half = cam.rendition("h").unwrap();
        assert_eq!(half.as_str(), "live/cam~h");
        assert_eq!(half.rendition_of(), Some((cam.clone(), "h")));
        assert_eq!(half.rendition("x").unwrap().rendition_of(), Some((half, "x")));
        assert!(cam.rendition("a/b").is_err() && cam.rendition(&"x".repeat(126)).is_err());
        for ordinary in ["live/cam", "live/~h", "live/cam~", "live~h/cam"] {
            assert_eq!(ordinary.parse::<StreamName>().unwrap().rendition_of(), None, "{ordinary}");
        }
    }
}
