//! The STUN and TURN servers that clients are told of.
//!
//! TURN credentials are made on the spot (draft-uberti-behave-turn-rest-00, as coturn's `use-auth-secret` has it): the user name is
//! the second at which it expires and whatever we like, the password an HMAC of it under a secret that the TURN server shares.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::request::IceServer;
use crate::{
    SessionId,
    config::{TurnConfig, WebRtcConfig},
};

/// The servers for `session`, as of `unix_s` seconds since 1970.
pub(super) fn ice_servers(config: &WebRtcConfig, session: SessionId, unix_s: i64) -> Vec<IceServer> {
    let stun = (!config.stun.is_empty()).then(|| IceServer::new(config.stun.clone(), None, None));
    stun.into_iter().chain(config.turn.iter().map(|turn| with_credentials(turn, session, unix_s))).collect()
}

fn with_credentials(turn: &TurnConfig, session: SessionId, unix_s: i64) -> IceServer {
    let username = format!("{}:{session}", unix_s.saturating_add(turn.ttl_s.into()));
    let mac = Hmac::<Sha1>::new_from_slice(turn.secret.as_bytes());
    let mut mac = mac.expect("HMAC takes keys of any length");
    mac.update(username.as_bytes());
    let password = base64(&mac.finalize().into_bytes());
    IceServer::new(turn.urls.clone(), Some(username), Some(password))
}

/// `bytes` in base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= group.len() { char::from(ALPHABET[value as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_as_in_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    /// The password was made with `printf 1700086400:7 | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn turn_credentials_expire_and_are_what_the_server_computes() {
        let mut config = WebRtcConfig::default();
        assert!(ice_servers(&config, SessionId(7), 0).is_empty());
        config.stun = vec!["stun:a".into()];
        config.turn = vec![TurnConfig::new(vec!["turn:b".into(), "turns:b".into()], "north")];
        let servers = ice_servers(&config, SessionId(7), 1_700_000_000);
        assert_eq!(servers[0], IceServer::new(vec!["stun:a".into()], None, None));
        assert_eq!(servers[1].urls, ["turn:b", "turns:b"]);
        assert_eq!(servers[1].username.as_deref(), Some("1700086400:7"));
        assert_eq!(servers[1].credential.as_deref(), Some("VQBoFbUjwRf6jg8ak5HeALvzb34="));
    }
}
