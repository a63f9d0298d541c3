//! The lines of a description.

use super::{MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, SdpError};

/// A line: a letter, and what it says.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Counted from one.
    pub(super) number: usize,
    pub(super) kind: u8,
    pub(super) value: &'a str,
}

impl<'a> Line<'a> {
    /// An attribute's name and its value, which is empty where there is none.
    pub(super) fn attribute(&self) -> (&'a str, &'a str) {
        self.value.split_once(':').unwrap_or((self.value, ""))
    }
}

/// The lines of `text`, whether they end as they should or with a mere newline. Empty ones are passed over.
pub(super) fn lines(text: &str) -> Result<impl Iterator<Item = Result<Line<'_>, SdpError>>, SdpError> {
    if text.len() > MAX_BYTES {
        return Err(SdpError::TooLong(text.len()));
    }
    if text.lines().nth(MAX_LINES).is_some() {
        return Err(SdpError::TooManyLines);
    }
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty());
    Ok(numbered.map(|(number, line)| match line.as_bytes() {
        long if long.len() > MAX_LINE_BYTES => Err(SdpError::LongLine(number)),
        // A stray carriage return would end up in the answer as a line of its own.
        line_bytes if line_bytes.contains(&b'\r') => Err(SdpError::Line(number)),
        [kind @ b'a'..=b'z', b'=', ..] => Ok(Line { number, kind: *kind, value: &line[2..] }),
        _ => Err(SdpError::Line(number)),
    }))
}
