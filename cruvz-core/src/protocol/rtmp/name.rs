//! Names with a query behind them: `cam?token=abc`.

use crate::protocol::params::Params;

/// Splits `text` at its first question mark into a name without slashes around it and parameters.
pub(super) fn split(text: &str, params: &mut Params) -> String {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    params.add_query(query);
    name.trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_split_off() {
        let mut params = Params::default();
        assert_eq!(split("/live/room/?a=1", &mut params), "live/room");
        assert_eq!(split("cam?token=abc", &mut params), "cam");
        assert_eq!((params.get("a"), params.get("token")), (Some("1"), Some("abc")));
    }

    proptest! {
        #[test]
        fn any_text_is_split(text in any::<String>()) {
            let mut params = Params::default();
            let name = split(&text, &mut params);
            prop_assert!(!name.contains('?') && !name.starts_with('/') && !name.ends_with('/'));
        }
    }
}
