//! What no single field can say: whether the values go together.

use std::net::{SocketAddr, ToSocketAddrs};

use super::{Config, ConfigError};

impl Config {
    /// Checks that the values go together. What is legal but probably not meant comes back as warnings.
    ///
    /// # Errors
    /// A listener without an address that can be one, TLS without a certificate, nothing to listen on, a limit of zero.
    pub fn validate(&self) -> Result<Vec<String>, ConfigError> {
        let invalid = |text: String| Err(ConfigError::Invalid(text));
        for (key, addr) in self.listeners() {
            resolve(addr).map_err(|error| ConfigError::Invalid(format!("{key} = {addr:?}: {error}")))?;
            if self.tls.is_none() && matches!(key, "rtmps.listen" | "https.listen") {
                return invalid(format!("{key} needs a certificate: set cert and key in [tls]"));
            }
        }
        if self.listeners().next().is_none() {
            return invalid(
                "nothing to listen on: rtmp, rtmps, srt, webrtc, http and https are all switched off".into(),
            );
        }
        let limits = [
            ("http.max_connections", self.http.max_connections as u64, 1),
            ("http.header_timeout_ms", self.http.header_timeout_ms, 1),
            ("http.write_timeout_ms", self.http.write_timeout_ms, 1),
            // hyper's own lower bound.
            ("http.max_header_bytes", self.http.max_header_bytes as u64, 8_192),
        ];
        for (key, value, least) in limits {
            if value < least {
                return invalid(format!("{key} = {value}: must be at least {least}"));
            }
        }
        if self.publish.iter().any(|key| key.streams.is_empty()) {
            return invalid(
                "a [[publish]] key with streams = [] may publish nothing: leave streams out for all".into(),
            );
        }
        Ok(self.warnings())
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.access.require_key && self.publish.is_empty() {
            warnings
                .push("access.require_key is set and there is no [[publish]] key: nobody can publish".into());
        }
        if !self.webrtc.listen.is_empty() && self.http.listen.is_empty() && self.https.listen.is_empty() {
            warnings.push(
                "webrtc listens, but neither http nor https: nobody can agree with it on a session".into(),
            );
        }
        if self.tls.is_some() && self.rtmps.listen.is_empty() && self.https.listen.is_empty() {
            warnings.push("[tls] is set, but neither rtmps nor https listens".into());
        }
        warnings
    }

    /// The configured listeners: key and address.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("rtmp.listen", self.rtmp.listen.as_str()),
            ("rtmps.listen", &self.rtmps.listen),
            ("srt.listen", &self.srt.listen),
            ("webrtc.listen", &self.webrtc.listen),
            ("http.listen", &self.http.listen),
            ("https.listen", &self.https.listen),
        ]
        .into_iter()
        .filter(|(_, addr)| !addr.is_empty())
    }
}

/// The address `text` means. `:8080` is every interface, over IPv6 and IPv4 where the machine has both.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, String> {
    let full = match text.strip_prefix(':') {
        Some(port) if has_ipv6() => format!("[::]:{port}"),
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.to_owned(),
    };
    let addr = full.to_socket_addrs().ok().and_then(|mut addrs| addrs.next());
    addr.ok_or_else(|| "is no address to listen on, as in :8080 or 127.0.0.1:8080".into())
}

/// Whether this machine has IPv6: containers often do not.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Vec<String>, String> {
        toml::from_str::<Config>(text).unwrap().validate().map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_give_no_warning() {
        assert_eq!(check(""), Ok(vec![]));
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_name() {
        for (text, named) in [
            ("https.listen = ':1'", "https.listen"),
            ("rtmps.listen = ':1'", "[tls]"),
            ("http.listen = 'nowhere'", "http.listen"),
            ("http.listen = ':99999'", ":99999"),
            (
                "http.listen = ''\nrtmp.listen = ''\nsrt.listen = ''\nwebrtc.listen = ''",
                "nothing to listen on",
            ),
            ("srt.listen = ':99999'", "srt.listen"),
            ("http.max_connections = 0", "http.max_connections"),
            ("http.max_header_bytes = 10", "at least 8192"),
            ("[[publish]]\nkey = 'k'\nstreams = []", "publish"),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_probably_not_meant_is_a_warning() {
        assert_eq!(check("access.require_key = true").unwrap().len(), 1);
        assert_eq!(check("tls = { cert = 'a', key = 'b' }").unwrap().len(), 1);
        let good = "https.listen = ':8443'\ntls = { cert = 'a', key = 'b' }";
        assert_eq!(check(good), Ok(vec![]));
    }
}
