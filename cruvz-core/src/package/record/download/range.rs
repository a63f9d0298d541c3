//! The header `Range` (RFC 9110 §14).

use std::ops::Range;

/// What a client wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file: also where several ranges are asked for, and where the header makes no sense (§14.2).
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that it does not have.
    Nothing,
}

impl Wanted {
    /// What `header` wants of a file of `len` bytes.
    pub(super) fn parse(header: &str, len: u64) -> Self {
        let Some((first, last)) = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'))
        else {
            return Self::All;
        };
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
        let range = match (number(first), number(last)) {
            (Some(None), Some(Some(count))) if first.is_empty() => len.saturating_sub(count)..len,
            (Some(Some(first)), Some(None)) if last.is_empty() => first..len,
            (Some(Some(first)), Some(Some(last))) if first <= last => first..last.saturating_add(1).min(len),
            _ => return Self::All,
        };
        if range.is_empty() { Self::Nothing } else { Self::Part(range) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_as_the_rfc_has_them() {
        for (header, wanted) in [
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=10-", Wanted::Part(10..100)),
            ("bytes=90-1000", Wanted::Part(90..100)),
            ("bytes=-5", Wanted::Part(95..100)),
            ("bytes=-1000", Wanted::Part(0..100)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..100)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-2", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=1-2,5-6", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=99999999999999999999-", Wanted::All),
            ("items=0-5", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(Wanted::parse(header, 100), wanted, "{header}");
        }
    }
}
