//! Who may publish and who may play.

use std::{collections::BTreeMap, fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use crate::{StreamName, session::Protocol};

/// The secret a publisher or viewer presents. Never shown: `Debug` says `StreamKey(***)`.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamKey(String);

impl StreamKey {
    /// This secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself, for comparing. Do not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it equals `secret`, in a time that depends on the lengths only.
    pub fn matches(&self, secret: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), secret.as_bytes());
        let differing = a.iter().zip(b).fold(0u8, |acc, (x, y)| acc | (x ^ y));
        std::hint::black_box(differing) == 0 && a.len() == b.len()
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamKey(***)")
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To watch a stream.
    Play,
    /// To bring a stream.
    Publish,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Play => "play",
            Self::Publish => "publish",
        })
    }
}

/// One question to the [`Authorizer`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AccessRequest {
    /// What is asked for.
    pub action: Action,
    /// The stream it is asked for. For a rendition the authorizer is asked about the stream that it is one of.
    pub stream: StreamName,
    /// How the peer is connected.
    pub protocol: Protocol,
    /// Where the peer is connected from.
    pub remote: SocketAddr,
    /// The secret it presented: the parameter `key` or `token` of the query, or a bearer token.
    pub key: Option<StreamKey>,
    /// All parameters of the query. May hold secrets: `Debug` shows the names only.
    pub params: Params,
}

impl AccessRequest {
    /// A request with the parameters of `query` (`a=b&c=d`, percent-decoded); the key is the value of `key` or `token`.
    pub fn new(
        action: Action,
        stream: StreamName,
        protocol: Protocol,
        remote: SocketAddr,
        query: &str,
    ) -> Self {
        Self::with_params(action, stream, protocol, remote, Params::parse(query))
    }

    /// A request with `params`; the key is the value of `key` or `token`.
    pub fn with_params(
        action: Action,
        stream: StreamName,
        protocol: Protocol,
        remote: SocketAddr,
        params: Params,
    ) -> Self {
        let key = params.get("key").or_else(|| params.get("token")).map(StreamKey::new);
        Self { action, stream, protocol, remote, key, params }
    }

    /// Yes.
    pub const fn allow(&self) -> Decision {
        Decision::Allow
    }

    /// No, and `reason` is told to the peer and to the log.
    pub fn deny(&self, reason: impl Into<String>) -> Decision {
        Decision::Deny { reason: reason.into() }
    }
}

/// The parameters of a query string; of a name that occurs twice, the last.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The most parameters kept; more are ignored.
    pub const MAX: usize = 64;

    /// Reads `a=b&c=d`, percent-decoded, `+` as a space.
    pub fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(Self::MAX);
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (decode(k), decode(v)))
                .collect(),
        )
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl FromIterator<(String, String)> for Params {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().take(Self::MAX).collect())
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = |at: usize| tail.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        match (byte, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
                continue;
            }
            (b'+', ..) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The answer to an [`AccessRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it in.
    Allow,
    /// Turn it away and say why.
    Deny {
        /// Told to the peer in its own protocol, logged, and part of the event.
        reason: String,
    },
}

/// A [`Decision`] that is still being made.
pub type DecisionFuture = Pin<Box<dyn Future<Output = Decision> + Send>>;

/// Decides who may publish and play.
///
/// The engine asks once per session and waits at most [`crate::EngineConfig::authorize_timeout_ms`]; an authorizer
/// that takes longer or panics has said no. Any `Fn(AccessRequest) -> impl Future<Output = Decision>` is one.
pub trait Authorizer: Send + Sync + 'static {
    /// Decides on `request`.
    fn authorize(&self, request: AccessRequest) -> DecisionFuture;
}

impl<F, Fut> Authorizer for F
where
    F: Fn(AccessRequest) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Decision> + Send + 'static,
{
    fn authorize(&self, request: AccessRequest) -> DecisionFuture {
        Box::pin(self(request))
    }
}

impl Authorizer for Arc<dyn Authorizer> {
    fn authorize(&self, request: AccessRequest) -> DecisionFuture {
        (**self).authorize(request)
    }
}

/// The default: everybody may play, and only peers on this machine may publish.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishFromLoopback;

impl Authorizer for PublishFromLoopback {
    fn authorize(&self, request: AccessRequest) -> DecisionFuture {
        let local = request.remote.ip().to_canonical().is_loopback();
        let decision = match request.action {
            Action::Publish if !local => request.deny("publishing from another machine needs a key"),
            Action::Play | Action::Publish => request.allow(),
        };
        Box::pin(std::future::ready(decision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_secrets_stay_out_of_debug() {
        let remote = "127.0.0.1:1".parse().unwrap();
        let name = "live/cam".parse().unwrap();
        let request =
            AccessRequest::new(Action::Publish, name, Protocol::Rtmp, remote, "token=s%2Fe+c%&x&x=2%zz");
        assert_eq!(request.key.as_ref().unwrap().reveal(), "s/e c%");
        assert_eq!(request.params.get("x"), Some("2%zz"));
        assert!(!format!("{request:?}").contains("s/e"));
    }

    #[test]
    fn keys_compare_by_content() {
        let key = StreamKey::new("secret");
        assert!(key.matches("secret"));
        assert!(
            !key.matches("secre") && !key.matches("secret!") && !key.matches("") && !key.matches("Secret")
        );
    }

    #[tokio::test]
    async fn publishing_is_local_by_default_and_playing_is_open() {
        let ask = |action, remote: &str| {
            let name = "live/cam".parse().unwrap();
            PublishFromLoopback.authorize(AccessRequest::new(
                action,
                name,
                Protocol::Rtmp,
                remote.parse().unwrap(),
                "",
            ))
        };
        assert_eq!(ask(Action::Publish, "127.0.0.1:9").await, Decision::Allow);
        assert_eq!(ask(Action::Publish, "[::ffff:127.0.0.1]:9").await, Decision::Allow);
        assert!(matches!(ask(Action::Publish, "192.0.2.1:9").await, Decision::Deny { .. }));
        assert_eq!(ask(Action::Play, "192.0.2.1:9").await, Decision::Allow);
    }
}
