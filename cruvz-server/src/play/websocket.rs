//! The server's side of the WebSocket opening handshake (RFC 6455 §4.2).

use axum::http::{HeaderMap, HeaderValue, Version, header};
use sha1::{Digest, Sha1};

/// What is appended to the client's key before it is hashed (RFC 6455 §1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a request that wants to become a WebSocket needs to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    /// Yes: the value of `Sec-WebSocket-Accept`.
    Accept(String),
    /// It is not a handshake of version 13.
    Malformed(&'static str),
}

/// The answer to the handshake in `headers`; `None`: the request does not want to become a WebSocket.
pub(crate) fn handshake(version: Version, headers: &HeaderMap) -> Option<Handshake> {
    if !has_token(headers, header::UPGRADE, "websocket") {
        return None;
    }
    let value = |name| {
        headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default().trim()
    };
    let key = value(header::SEC_WEBSOCKET_KEY);
    Some(if version != Version::HTTP_11 || !has_token(headers, header::CONNECTION, "upgrade") {
        Handshake::Malformed("a WebSocket begins with HTTP/1.1 and Connection: Upgrade")
    } else if value(header::SEC_WEBSOCKET_VERSION) != "13" {
        Handshake::Malformed("only version 13 of the WebSocket protocol is spoken here")
    } else if key.len() != 24 || !key.ends_with("==") {
        Handshake::Malformed("Sec-WebSocket-Key must be 16 bytes in base64")
    } else {
        Handshake::Accept(base64(&Sha1::new().chain_update(key).chain_update(GUID).finalize()))
    })
}

/// Whether the list in header `name` has `token`.
fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(version: Version, headers: &[(&str, &str)]) -> Option<Handshake> {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        handshake(version, &headers)
    }

    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const V13: (&str, &str) = ("sec-websocket-version", "13");
    const UPGRADE: (&str, &str) = ("upgrade", "WebSocket");

    #[test]
    fn the_example_of_the_rfc() {
        let answer = ask(Version::HTTP_11, &[UPGRADE, ("connection", "keep-alive, Upgrade"), KEY, V13]);
        assert_eq!(answer, Some(Handshake::Accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".into())));
    }

    #[test]
    fn what_is_no_handshake_is_told_so() {
        let connection = ("connection", "upgrade");
        assert_eq!(ask(Version::HTTP_11, &[connection, KEY, V13]), None);
        for (version, headers) in [
            (Version::HTTP_10, vec![UPGRADE, connection, KEY, V13]),
            (Version::HTTP_11, vec![UPGRADE, KEY, V13]),
            (Version::HTTP_11, vec![UPGRADE, connection, KEY, ("sec-websocket-version", "8")]),
            (Version::HTTP_11, vec![UPGRADE, connection, V13, ("sec-websocket-key", "short==")]),
            (Version::HTTP_11, vec![UPGRADE, connection, V13]),
        ] {
            assert!(matches!(ask(version, &headers), Some(Handshake::Malformed(_))), "{headers:?}");
        }
    }

    #[test]
    fn base64_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
