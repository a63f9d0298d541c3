//! `rtmp://host/app/name` and its relatives.

use std::{fmt, str::FromStr};

use crate::protocol::url::{self, AddressError};

/// Why a text is no RTMP URL. The text itself is not repeated, for it may hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It begins with neither `rtmp://` nor `rtmps://`.
    #[error("want rtmp:// or rtmps://")]
    Scheme,
    /// There is no host, or one with characters that no host has.
    #[error("no host, or not a host")]
    Host,
    /// The port is not a number from 1 to 65,535.
    #[error("port is not a number from 1 to 65535")]
    Port,
    /// It lacks the application or the stream name: `rtmp://host/app/name`.
    #[error("want an application and a stream name: rtmp://host/app/name")]
    Path,
}

/// Where to publish to or play from.
///
/// The first path segment is the application and the rest the name, except that of three or more segments the
/// second belongs to the application as its instance, as in ffmpeg: `rtmp://host/app/instance/name?query`.
/// User information is kept apart and is no part of what is sent. `Display` and `Debug` show neither it nor the
/// name, which often is a secret key.
///
/// ```
/// use cruvz_core::protocol::rtmp::Url;
/// let url: Url = "rtmps://example.com/live/cam?token=abc".parse()?;
/// assert_eq!((url.host(), url.port(), url.is_tls()), ("example.com", 443, true));
/// assert_eq!((url.app(), url.name()), ("live", "cam?token=abc"));
/// assert_eq!(url.to_string(), "rtmps://example.com/live/***");
/// # Ok::<(), cruvz_core::protocol::rtmp::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    tls: bool,
    user_info: Option<String>,
    host: String,
    port: Option<u16>,
    app: String,
    name: String,
}

impl Url {
    /// Whether the connection is to be encrypted (`rtmps`).
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host name or address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 1935 for `rtmp` and 443 for `rtmps` where the URL has none.
    pub const fn port(&self) -> u16 {
        match (self.port, self.tls) {
            (Some(port), _) => port,
            (None, false) => 1935,
            (None, true) => 443,
        }
    }

    /// `user:password`, as written before the host.
    pub fn user_info(&self) -> Option<&str> {
        self.user_info.as_deref()
    }

    /// The application, with its instance and query if it has them.
    pub fn app(&self) -> &str {
        &self.app
    }

    /// The stream name with its query, as it is sent. Often a secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `connect` says as `tcUrl`: everything up to the application.
    pub fn tc_url(&self) -> String {
        let scheme = if self.tls { "rtmps" } else { "rtmp" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{scheme}://{open}{}{close}{port}/{}", self.host, self.app)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.tc_url();
        write!(f, "{}/***", url.split('?').next().unwrap_or_default())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(UrlError::Scheme),
        };
        let (authority, path) = rest.split_once('/').ok_or(UrlError::Path)?;
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info.to_owned()), address),
            None => (None, authority),
        };
        let (host, port) = url::split_address(address).map_err(|error| match error {
            AddressError::Host => UrlError::Host,
            AddressError::Port => UrlError::Port,
        })?;
        let (app, name) = split_path(path).ok_or(UrlError::Path)?;
        Ok(Self { tls, user_info, host: host.into(), port, app: app.into(), name: name.into() })
    }
}

/// Application and name.
fn split_path(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_start_matches('/');
    let query = path.find('?').unwrap_or(path.len());
    let mut slashes = path[..query].match_indices('/').map(|(place, _)| place);
    let place = match (slashes.next(), slashes.next()) {
        (_, Some(second)) => second,
        (Some(first), None) => first,
        // The application has the query: `app?token=…/name`.
        (None, None) => path.rfind('/')?,
    };
    let (app, name) = (&path[..place], path[place..].trim_start_matches('/'));
    (!app.is_empty() && !name.is_empty()).then_some((app, name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_come_apart() {
        for (text, tls, host, port, app, name, tc_url) in [
            ("rtmp://h/live/cam", false, "h", 1935, "live", "cam", "rtmp://h/live"),
            ("RTMPS://h/live/cam", true, "h", 443, "live", "cam", "rtmps://h/live"),
            ("rtmp://h:19350//live/cam?k=a/b", false, "h", 19350, "live", "cam?k=a/b", "rtmp://h:19350/live"),
            ("rtmp://[::1]:1936/a/b/c/d", false, "::1", 1936, "a/b", "c/d", "rtmp://[::1]:1936/a/b"),
            ("rtmp://u:p@h/app?t=1/cam", false, "h", 1935, "app?t=1", "cam", "rtmp://h/app?t=1"),
            (" rtmp://h/a//b ", false, "h", 1935, "a/", "b", "rtmp://h/a/"),
        ] {
            let url: Url = text.parse().unwrap();
            let seen = (url.is_tls(), url.host(), url.port(), url.app(), url.name());
            assert_eq!(seen, (tls, host, port, app, name), "{text}");
            assert_eq!(url.tc_url(), tc_url);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let url: Url = "rtmp://user:pass@h/live?token=tok/key?secret=s".parse().unwrap();
        assert_eq!(url.user_info(), Some("user:pass"));
        for shown in [url.to_string(), format!("{url:?}")] {
            assert!(shown.contains("rtmp://h/live/***"), "{shown}");
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, error) in [
            ("http://h/a/b", UrlError::Scheme),
            ("h/a/b", UrlError::Scheme),
            ("rtmp://h", UrlError::Path),
            ("rtmp://h/", UrlError::Path),
            ("rtmp://h/live", UrlError::Path),
            ("rtmp://h/live/", UrlError::Path),
            ("rtmp:///live/cam", UrlError::Host),
            ("rtmp://a b/live/cam", UrlError::Host),
            ("rtmp://[::1/live/cam", UrlError::Host),
            ("rtmp://[::1]x/live/cam", UrlError::Host),
            ("rtmp://h:0/live/cam", UrlError::Port),
            ("rtmp://h:65536/live/cam", UrlError::Port),
            ("rtmp://h:/live/cam", UrlError::Port),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_url_or_not(text in "(rtmp://)?[a-z:@\\[\\]/?%é0-9]{0,40}") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert!(!url.host().is_empty() && !url.app().is_empty() && !url.name().is_empty());
            }
        }
    }
}
