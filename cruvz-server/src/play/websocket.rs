//! The server's side of a WebSocket's opening and closing handshakes (RFC 6455 §4.2, §7).

use std::io;

use axum::http::{HeaderMap, HeaderValue, Version, header};
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt, copy, sink};

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

/// A close frame that says that all went well (status 1000).
pub(crate) const CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xe8];

/// The largest frame a viewer may send: it has nothing to say but to close and to answer pings.
const MAX_FRAME_BYTES: u64 = 65_536;

/// Reads what the peer sends, and throws it away, until it closes, leaves or breaks the rules.
///
/// Pings are not answered: browsers have no way to send one.
pub(crate) async fn closed(mut reading: impl AsyncRead + Unpin) {
    while let Ok(true) = skip_frame(&mut reading).await {}
}

/// Reads one frame (RFC 6455 §5.2); `false` when it was the last.
async fn skip_frame(reading: &mut (impl AsyncRead + Unpin)) -> io::Result<bool> {
    let [first, second] = [reading.read_u8().await?, reading.read_u8().await?];
    let length = match second & 0x7f {
        126 => reading.read_u16().await?.into(),
        127 => reading.read_u64().await?,
        short => short.into(),
    };
    let (close, masked) = (first & 0x0f == 8, second & 0x80 != 0);
    if close || !masked || length > MAX_FRAME_BYTES {
        return Ok(false);
    }
    const MASK_BYTES: u64 = 4;
    let skipped = copy(&mut reading.take(MASK_BYTES + length), &mut sink()).await?;
    Ok(skipped == MASK_BYTES + length)
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

    #[tokio::test]
    async fn reading_ends_with_a_close_a_hang_up_or_a_broken_rule() {
        let text = [&[0x81u8, 0x83, 1, 2, 3, 4][..], b"abc"].concat();
        let long = [&[0x82, 0xfe, 1, 0, 9, 9, 9, 9][..], &[7; 256]].concat();
        for (last, left) in [
            (&[0x88u8, 0x80, 0, 0, 0, 0][..], 4),
            (&[0x82, 0x01, b'x', b'y'], 2),
            (&[0x82, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 5], 1),
            (&[0x82], 0),
            (&[], 0),
        ] {
            let bytes = [&text[..], &long, last].concat();
            let mut rest = &bytes[..];
            closed(&mut rest).await;
            assert_eq!(rest.len(), left, "{last:?}");
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
