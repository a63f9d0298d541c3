//! Layers of a simulcast: which the offer sends (RFC 8851, RFC 8853).

/// A layer that the peer can send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rid {
    pub(super) id: String,
    /// The payload types it is restricted to; `None`: any.
    payloads: Option<Vec<u8>>,
}

impl Rid {
    /// Reads what stands behind `a=rid:`, such as `h send pt=96;max-width=1280`. `Some(None)`: one that the peer receives.
    pub(super) fn parse(value: &str) -> Option<Option<Self>> {
        let mut words = value.split(' ');
        let (id, direction) = (words.next()?, words.next()?);
        if !is_rid(id) {
            return None;
        }
        if direction != "send" {
            return Some(None);
        }
        let restrictions = words.next().unwrap_or("");
        let payloads = restrictions
            .split(';')
            .find_map(|part| part.strip_prefix("pt="))
            .map(|list| list.split(',').map_while(|number| number.parse().ok()).collect());
        Some(Some(Self { id: id.to_owned(), payloads }))
    }

    /// Whether it may come as this payload type.
    pub(super) fn allows(&self, payload: u8) -> bool {
        self.payloads.as_ref().is_none_or(|list| list.contains(&payload))
    }
}

/// Letters, digits, `-` and `_` (RFC 8851 §10), as many as a header extension carries.
fn is_rid(id: &str) -> bool {
    (1..=16).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The RIDs that `a=simulcast:` says the peer sends, in its order of preference, whether they begin paused or not. Of alternatives, the
/// first.
pub(super) fn sent<'a>(value: &'a str) -> Vec<&'a str> {
    let mut words = value.split_ascii_whitespace();
    while let (Some(direction), Some(list)) = (words.next(), words.next()) {
        if direction == "send" {
            let first = |stream: &'a str| stream.split(',').next().map(|rid| rid.trim_start_matches('~'));
            return list.split(';').filter_map(first).collect();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_that_are_sent() {
        assert_eq!(sent("send f;h;q"), ["f", "h", "q"]);
        assert_eq!(sent("recv a send ~1,2;3"), ["1", "3"]);
        assert_eq!(sent("recv a"), [""; 0]);
        assert_eq!(sent(""), [""; 0]);
    }

    #[test]
    fn rids() {
        let rid = Rid::parse("h send pt=96,98;max-width=1280").unwrap().unwrap();
        assert_eq!(rid.id, "h");
        assert!(rid.allows(96) && rid.allows(98) && !rid.allows(97));
        assert!(Rid::parse("q send").unwrap().unwrap().allows(97));
        assert_eq!(Rid::parse("q recv"), Some(None));
        for broken in ["", "q", "a.b send", "12345678901234567 send"] {
            assert_eq!(Rid::parse(broken), None, "{broken:?}");
        }
    }
}
