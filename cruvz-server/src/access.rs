//! Who may publish, and who may manage.

use std::{future::ready, net::IpAddr};

use axum::http::{HeaderMap, header};
use cruvz_core::{AccessRequest, Action, Authorizer, Decision, session::access::DecisionFuture};

use crate::config::{AccessConfig, Config, PublishKey};

/// Lets everybody play, this machine publish, and others publish with a configured key.
#[derive(Clone, Debug)]
pub struct KeyAuthorizer {
    keys: Vec<PublishKey>,
    require_key: bool,
}

impl KeyAuthorizer {
    /// As `config` says.
    pub fn new(config: &Config) -> Self {
        Self { keys: config.publish.clone(), require_key: config.access.require_key }
    }

    fn decide(&self, request: &AccessRequest) -> Decision {
        if request.action == Action::Play {
            return request.allow();
        }
        let local = request.remote.ip().to_canonical().is_loopback() && !self.require_key;
        match &request.key {
            // A key that is presented is looked at, also from this machine: who mistypes it wants to know.
            Some(presented) if !self.keys.is_empty() => {
                // Every key is compared, so that the time taken says nothing about which one it nearly was.
                let known: Vec<_> =
                    self.keys.iter().filter(|key| key.key.matches(presented.reveal())).collect();
                let fits =
                    |key: &&PublishKey| key.streams.iter().any(|pattern| request.stream.matches(pattern));
                if known.iter().any(fits) {
                    request.allow()
                } else if known.is_empty() {
                    request.deny("the key is not known here")
                } else {
                    request.deny(format!("this key may not publish {}", request.stream))
                }
            }
            _ if local => request.allow(),
            _ if self.require_key => request.deny("publishing needs a key: add ?key=… to the stream key"),
            _ => request.deny("publishing from another machine needs a key: add ?key=… to the stream key"),
        }
    }
}

impl Authorizer for KeyAuthorizer {
    fn authorize(&self, request: AccessRequest) -> DecisionFuture {
        Box::pin(ready(self.decide(&request)))
    }
}

/// Why a request may not manage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// It came without a token from somewhere that needs one.
    TokenNeeded,
    /// Its token is not the configured one.
    TokenWrong,
}

/// Whether a request with these headers from `remote` may use the managing part of the API.
///
/// Without a token only this machine may, and only directly: a forwarding header means that a proxy speaks for somebody
/// else, and a foreign `Host` or `Origin` that a web page speaks through the browser of somebody on this machine (DNS
/// rebinding, cross-site requests).
pub(crate) fn may_manage(config: &AccessConfig, remote: IpAddr, headers: &HeaderMap) -> Result<(), Denied> {
    if let Some(presented) = bearer(headers) {
        let right = config.admin_token.as_ref().is_some_and(|token| token.matches(presented));
        return if right { Ok(()) } else { Err(Denied::TokenWrong) };
    }
    if remote.to_canonical().is_loopback() && is_direct(headers) && !config.require_key {
        Ok(())
    } else {
        Err(Denied::TokenNeeded)
    }
}

/// Whether a request from this machine also comes from somebody on it: not through a proxy, and not from a page of another site.
pub(crate) fn is_direct(headers: &HeaderMap) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let direct = !forwarded.iter().any(|name| headers.contains_key(*name));
    let local_host = headers.get(header::HOST).is_none_or(|host| is_local(host.to_str().unwrap_or_default()));
    let local_origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        origin.to_str().unwrap_or_default().split_once("://").is_some_and(|(_, host)| is_local(host))
    });
    direct && local_host && local_origin
}

/// The token of a request; empty where it is not a bearer token.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or_default();
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    Some(if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" })
}

/// Whether `host[:port]` is this machine under a name no DNS answer can take.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use cruvz_core::Protocol;

    use super::*;

    const NEAR: &str = "127.0.0.1:9";
    const NEAR_MAPPED: &str = "[::ffff:127.0.0.1]:9";
    const FAR: &str = "192.0.2.1:9";

    fn decide(config: &str, action: Action, stream: &str, remote: &str, query: &str) -> Result<(), String> {
        let config: Config = toml::from_str(config).unwrap();
        let request = AccessRequest::new(
            action,
            stream.parse().unwrap(),
            Protocol::Rtmp,
            remote.parse().unwrap(),
            query,
        );
        match KeyAuthorizer::new(&config).decide(&request) {
            Decision::Allow => Ok(()),
            Decision::Deny { reason } => Err(reason),
        }
    }

    #[test]
    fn the_publishing_table() {
        const OPEN: &str = "";
        const KEYS: &str =
            "[[publish]]\nkey = 'all'\n[[publish]]\nkey = 'some'\nstreams = ['live/*', 'tv/one']";
        const STRICT: &str = "access.require_key = true\n[[publish]]\nkey = 'all'";
        for (config, stream, remote, query, allowed) in [
            (OPEN, "live/a", NEAR, "", true),
            (OPEN, "live/a", NEAR_MAPPED, "", true),
            (OPEN, "live/a", NEAR, "key=whatever", true),
            (OPEN, "live/a", FAR, "", false),
            (OPEN, "live/a", FAR, "key=", false),
            (OPEN, "live/a", FAR, "key=guess", false),
            (KEYS, "live/a", NEAR, "", true),
            (KEYS, "live/a", NEAR, "key=typo", false),
            (KEYS, "live/a", FAR, "", false),
            (KEYS, "live/a", FAR, "key=typo", false),
            (KEYS, "live/a", FAR, "key=all", true),
            (KEYS, "live/a", FAR, "token=all", true),
            (KEYS, "live/a", FAR, "key=some", true),
            (KEYS, "tv/one", FAR, "key=some", true),
            (KEYS, "tv/two", FAR, "key=some", false),
            (STRICT, "live/a", NEAR, "", false),
            (STRICT, "live/a", NEAR, "key=all", true),
            (STRICT, "live/a", FAR, "key=all", true),
        ] {
            let answer = decide(config, Action::Publish, stream, remote, query);
            assert_eq!(answer.is_ok(), allowed, "{config} {stream} {remote} {query}: {answer:?}");
            if let Err(reason) = answer {
                assert!(!reason.contains("typo") && !reason.contains("guess"), "{reason}");
            }
            assert!(decide(config, Action::Play, stream, remote, query).is_ok());
        }
    }

    #[test]
    fn the_managing_table() {
        use Denied::{TokenNeeded, TokenWrong};
        let (open, token, strict) =
            ("", "access.admin_token = 't'", "access = { require_key = true, admin_token = 't' }");
        for (config, remote, headers, expected) in [
            (open, NEAR, vec![], Ok(())),
            (open, NEAR, vec![("host", "localhost:8080")], Ok(())),
            (open, NEAR, vec![("host", "[::1]:8080"), ("origin", "http://127.0.0.1:8080")], Ok(())),
            (open, NEAR, vec![("host", "evil.example:8080")], Err(TokenNeeded)),
            (open, NEAR, vec![("origin", "https://evil.example")], Err(TokenNeeded)),
            (open, NEAR, vec![("origin", "null")], Err(TokenNeeded)),
            (open, NEAR, vec![("x-forwarded-for", "192.0.2.1")], Err(TokenNeeded)),
            (open, NEAR, vec![("authorization", "Bearer t")], Err(TokenWrong)),
            (open, FAR, vec![], Err(TokenNeeded)),
            (token, FAR, vec![], Err(TokenNeeded)),
            (token, FAR, vec![("authorization", "Bearer t")], Ok(())),
            (token, FAR, vec![("authorization", "bearer t")], Ok(())),
            (token, FAR, vec![("authorization", "Bearer x")], Err(TokenWrong)),
            (token, FAR, vec![("authorization", "Basic t")], Err(TokenWrong)),
            (token, FAR, vec![("authorization", "Bearer ")], Err(TokenWrong)),
            (token, NEAR, vec![], Ok(())),
            (strict, NEAR, vec![], Err(TokenNeeded)),
            (strict, NEAR, vec![("authorization", "Bearer t")], Ok(())),
        ] {
            let config: Config = toml::from_str(config).unwrap();
            let remote = remote.parse::<std::net::SocketAddr>().unwrap().ip();
            let map = headers
                .iter()
                .map(|(name, value)| (name.parse::<header::HeaderName>().unwrap(), value.parse().unwrap()))
                .collect();
            assert_eq!(may_manage(&config.access, remote, &map), expected, "{remote} {headers:?}");
        }
    }
}
