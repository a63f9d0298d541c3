//! What stands behind a name: `?token=abc&user=me`.

use std::fmt;

/// The parameters that a peer put behind the application or the stream name, percent-decoded, in order.
///
/// They carry tokens and keys, so `Debug` shows their names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// The most parameters kept; more are passed over. Each costs many times the bytes it takes on the wire.
    pub const MAX: usize = 64;

    /// The value of the first parameter `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds those of `more` at the end.
    pub(super) fn add(&mut self, more: &Self) {
        let room = Self::MAX.saturating_sub(self.0.len());
        self.0.extend(more.0.iter().take(room).cloned());
    }

    /// Adds one, percent-decoded, if there is room.
    pub(super) fn push(&mut self, name: &str, value: &str) {
        if self.0.len() < Self::MAX {
            self.0.push((percent_decode(name), percent_decode(value)));
        }
    }

    /// Adds what a query, without its question mark, says.
    pub(super) fn add_query(&mut self, query: &str) {
        for pair in query.split(['&', ';']).filter(|pair| !pair.is_empty()).take(Self::MAX) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.push(name, value);
        }
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(key, _)| key)).finish()
    }
}

/// Replaces `%41` by `A`; what is no such sequence stays, what is no UTF-8 becomes U+FFFD.
pub(super) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut place = 0;
    while let Some(byte) = bytes.get(place) {
        let digits = (*byte == b'%').then(|| text.get(place + 1..place + 3)).flatten();
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            // `from_str_radix` would also take a sign.
            Some(decoded) if bytes[place + 1] != b'+' => {
                out.push(decoded);
                place += 3;
            }
            _ => {
                out.push(*byte);
                place += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let mut params = Params::default();
        params.add_query("a=1&token=%41b%zz%+1%");
        params.add_query("token=second;flag");
        assert_eq!(params.get("a"), Some("1"));
        assert_eq!(params.get("token"), Some("Ab%zz%+1%"));
        assert_eq!(params.get("flag"), Some(""));
        assert_eq!(params.get("none"), None);
        assert_eq!(format!("{params:?}"), r#"["a", "token", "token", "flag"]"#);
    }

    proptest! {
        #[test]
        fn any_query_is_read(text in any::<String>()) {
            let mut params = Params::default();
            params.add_query(&text);
            prop_assert_eq!(params.is_empty(), params.iter().len() == 0);
            prop_assert!(params.iter().len() <= Params::MAX);
        }
    }
}
