//! `srt://host:port?streamid=…` and its parameters.

use std::{fmt, str::FromStr};

use super::Cipher;
use crate::protocol::{
    params::percent_decode,
    url::{self, AddressError},
};

/// The port that SRT has where the URL names none.
const DEFAULT_PORT: u16 = 8890;

/// Why a text is no SRT URL. Values are not repeated, for they may hold keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `srt://`.
    #[error("want srt://")]
    Scheme,
    /// There is no host, or one with characters that no host has.
    #[error("no host, or not a host")]
    Host,
    /// The port is not a number from 1 to 65,535.
    #[error("port is not a number from 1 to 65535")]
    Port,
    /// There is something behind the port: SRT says what it wants in `streamid`.
    #[error("an SRT URL has no path: name the stream with ?streamid=…")]
    Path,
    /// A parameter that means nothing here.
    #[error("unknown parameter {0:?}")]
    Unknown(String),
    /// A parameter with a value it cannot have.
    #[error("bad value of {name}: want {want}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What would do.
        want: &'static str,
    },
}

/// Who connects to whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UrlMode {
    /// We connect to them.
    #[default]
    Caller,
    /// They connect to us.
    Listener,
    /// Both connect to each other at once, through firewalls.
    Rendezvous,
}

/// Where to send to or fetch from, and how.
///
/// Parameters are named as in other tools: `mode`, `streamid`, `passphrase`, `pbkeylen` (bytes), `cryptomode` (1 for AES-CTR,
/// 2 for AES-GCM), `latency` (milliseconds), `maxbw` (bytes per second), and `localaddr` and `localport`, or `adapter` and
/// `port`, of ours; `transtype=live` and `pkt_size=1316` may be there. `Display` and `Debug` show
/// no value of them but the mode, since stream ids hold keys.
///
/// ```
/// use cruvz_core::protocol::srt::{Url, UrlMode};
/// let url: Url = "srt://example.com:9000?streamid=read:live/cam&latency=300".parse()?;
/// assert_eq!((url.host(), url.port(), url.mode()), ("example.com", 9000, UrlMode::Caller));
/// assert_eq!((url.stream_id(), url.latency_ms()), ("read:live/cam", Some(300)));
/// assert_eq!(url.to_string(), "srt://example.com:9000?streamid=***");
/// # Ok::<(), cruvz_core::protocol::srt::UrlError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Url {
    host: String,
    port: u16,
    mode: UrlMode,
    stream_id: String,
    passphrase: Option<String>,
    key_bytes: Option<u8>,
    cipher: Cipher,
    latency_ms: Option<u16>,
    max_bandwidth_bps: Option<u64>,
    local_host: Option<String>,
    local_port: Option<u16>,
}

impl Url {
    /// The host name or address; an IPv6 address without brackets. Empty where a listener takes every interface.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 8890 where the URL has none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Who connects to whom.
    pub const fn mode(&self) -> UrlMode {
        self.mode
    }

    /// What is said of the stream, as it is sent; may be empty. Often holds a secret.
    pub fn stream_id(&self) -> &str {
        &self.stream_id
    }

    /// The passphrase, 10 to 79 bytes. A secret.
    pub fn passphrase(&self) -> Option<&str> {
        self.passphrase.as_deref()
    }

    /// How long the AES key is, in bytes: 16, 24 or 32.
    pub const fn key_bytes(&self) -> Option<u8> {
        self.key_bytes
    }

    /// How we encrypt where we call.
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The latency asked for, in milliseconds, at most 60,000.
    pub const fn latency_ms(&self) -> Option<u16> {
        self.latency_ms
    }

    /// The most that is sent, in bits per second.
    pub const fn max_bandwidth_bps(&self) -> Option<u64> {
        self.max_bandwidth_bps
    }

    /// The address of ours to call from, if not any.
    pub fn local_host(&self) -> Option<&str> {
        self.local_host.as_deref()
    }

    /// The port of ours to call from, if not any. Who meets does so at the same port unless it is said.
    pub const fn local_port(&self) -> Option<u16> {
        self.local_port
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), UrlError> {
        let bad = |name, want| UrlError::Value { name, want };
        match name {
            "mode" => {
                self.mode = match value {
                    "caller" | "client" => UrlMode::Caller,
                    "listener" | "server" => UrlMode::Listener,
                    "rendezvous" => UrlMode::Rendezvous,
                    _ => return Err(bad("mode", "caller, listener or rendezvous")),
                }
            }
            "streamid" if value.len() <= 512 => self.stream_id = value.to_owned(),
            "streamid" => return Err(bad("streamid", "at most 512 bytes")),
            "passphrase" if (10..80).contains(&value.len()) => self.passphrase = Some(value.to_owned()),
            "passphrase" => return Err(bad("passphrase", "10 to 79 bytes")),
            "pbkeylen" => {
                let bytes = value.parse().ok().filter(|bytes| [16, 24, 32].contains(bytes));
                self.key_bytes = Some(bytes.ok_or_else(|| bad("pbkeylen", "16, 24 or 32"))?);
            }
            "cryptomode" => {
                self.cipher = match value {
                    "0" | "1" => Cipher::Ctr,
                    "2" => Cipher::Gcm,
                    _ => return Err(bad("cryptomode", "0, 1 (AES-CTR) or 2 (AES-GCM)")),
                }
            }
            "latency" => {
                let ms = value.parse().ok().filter(|ms| *ms <= 60_000);
                self.latency_ms = Some(ms.ok_or_else(|| bad("latency", "0 to 60000 milliseconds"))?);
            }
            "maxbw" => {
                let bytes_per_s = value.parse::<u64>().ok().and_then(|bytes| bytes.checked_mul(8));
                self.max_bandwidth_bps = Some(bytes_per_s.ok_or_else(|| bad("maxbw", "bytes per second"))?);
            }
            "adapter" | "localaddr" if !value.is_empty() => self.local_host = Some(value.to_owned()),
            "port" | "localport" => {
                let port = value.parse().ok().filter(|port| *port > 0);
                self.local_port = Some(port.ok_or_else(|| bad("localport", "1 to 65535"))?);
            }
            // What many write although it goes without saying.
            "pkt_size" | "payload_size" if value == "1316" => {}
            "transtype" if value == "live" => {}
            "transtype" => return Err(bad("transtype", "live")),
            _ => return Err(UrlError::Unknown(name.chars().take(32).collect())),
        }
        Ok(())
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("srt") {
            return Err(UrlError::Scheme);
        }
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = authority.strip_suffix('/').unwrap_or(authority);
        if address.contains('/') {
            return Err(UrlError::Path);
        }
        let mut url = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.set(name, &percent_decode(value))?;
        }
        // Without a host it can only be a listener, as in other tools.
        let (host, port) = match address.strip_prefix(':') {
            Some(_) => {
                url::split_address(&format!("0.0.0.0{address}")).map(|(_, port)| (String::new(), port))
            }
            None => url::split_address(address).map(|(host, port)| (host.to_owned(), port)),
        }
        .map_err(|error| match error {
            AddressError::Host => UrlError::Host,
            AddressError::Port => UrlError::Port,
        })?;
        if host.is_empty() {
            match url.mode {
                UrlMode::Caller if !query.contains("mode=") => url.mode = UrlMode::Listener,
                UrlMode::Listener => {}
                UrlMode::Caller | UrlMode::Rendezvous => return Err(UrlError::Host),
            }
        }
        (url.host, url.port) = (host, port.unwrap_or(DEFAULT_PORT));
        Ok(url)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "srt://{open}{}{close}:{}", self.host, self.port)?;
        let mode = match self.mode {
            UrlMode::Caller => None,
            UrlMode::Listener => Some("mode=listener"),
            UrlMode::Rendezvous => Some("mode=rendezvous"),
        };
        let stream_id = (!self.stream_id.is_empty()).then_some("streamid=***");
        for (mark, shown) in ['?', '&'].into_iter().zip(mode.into_iter().chain(stream_id)) {
            write!(f, "{mark}{shown}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_come_apart() {
        let url: Url =
            "SRT://h:9?streamid=%23!::r=live/cam,m=publish&passphrase=0123456789&pbkeylen=32&cryptomode=2&latency=250\
                        &maxbw=125000&pkt_size=1316&transtype=live&mode=caller&adapter=192.0.2.1&localport=7000"
                .parse()
                .unwrap();
        assert_eq!((url.host(), url.port(), url.mode()), ("h", 9, UrlMode::Caller));
        assert_eq!(url.stream_id(), "#!::r=live/cam,m=publish");
        assert_eq!((url.passphrase(), url.key_bytes()), (Some("0123456789"), Some(32)));
        assert_eq!(url.cipher(), Cipher::Gcm);
        assert_eq!((url.latency_ms(), url.max_bandwidth_bps()), (Some(250), Some(1_000_000)));
        assert_eq!((url.local_host(), url.local_port()), (Some("192.0.2.1"), Some(7_000)));
        let plain: Url = "srt://[::1]/".parse().unwrap();
        assert_eq!((plain.host(), plain.port(), plain.stream_id()), ("::1", 8890, ""));
        assert_eq!(plain.to_string(), "srt://[::1]:8890");
    }

    #[test]
    fn who_names_no_host_waits_for_a_caller() {
        for text in ["srt://:9000", "srt://:9000?mode=listener&latency=80"] {
            let url: Url = text.parse().unwrap();
            assert_eq!((url.host(), url.port(), url.mode()), ("", 9_000, UrlMode::Listener));
            assert_eq!(url.to_string(), "srt://:9000?mode=listener");
        }
        assert_eq!("srt://h:1?mode=rendezvous".parse::<Url>().unwrap().mode(), UrlMode::Rendezvous);
    }

    #[test]
    fn what_is_no_url_says_why_and_shows_no_secret() {
        for (text, error) in [
            ("rtmp://h/a/b", UrlError::Scheme),
            ("h:1", UrlError::Scheme),
            ("srt://", UrlError::Host),
            ("srt://:1?mode=caller", UrlError::Host),
            ("srt://a b:1", UrlError::Host),
            ("srt://h:0", UrlError::Port),
            ("srt://h:1/live/cam", UrlError::Path),
            ("srt://h?passphase=x", UrlError::Unknown("passphase".into())),
            ("srt://h?passphrase=short", UrlError::Value { name: "passphrase", want: "10 to 79 bytes" }),
            ("srt://h?pbkeylen=20", UrlError::Value { name: "pbkeylen", want: "16, 24 or 32" }),
            ("srt://h?latency=-1", UrlError::Value { name: "latency", want: "0 to 60000 milliseconds" }),
            ("srt://h?transtype=file", UrlError::Value { name: "transtype", want: "live" }),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
        let url: Url = "srt://h?streamid=secret&passphrase=0123456789".parse().unwrap();
        assert_eq!(format!("{url:?}"), "Url(srt://h:8890?streamid=***)");
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_not(text in "(srt://)?[a-z:@\\[\\]/?%&=é0-9]{0,40}") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert!(!url.host().is_empty() || url.mode() == UrlMode::Listener);
            }
        }
    }
}
