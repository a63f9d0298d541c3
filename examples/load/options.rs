//! The command line: a mode, then `--name value` pairs.

use std::{collections::HashMap, fmt::Display, io, net::SocketAddr, str::FromStr};

use cruvz_core::protocol::rtmp::Url;

/// `--name value` pairs; each mode asks for those that it knows.
pub(crate) struct Options(HashMap<String, String>);

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut pairs = HashMap::new();
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("{name:?} is no option"))?.to_owned();
            let value = arguments.next().ok_or_else(|| format!("--{name} wants a value"))?;
            pairs.insert(name, value);
        }
        Ok(Self(pairs))
    }

    /// Takes the option of that name.
    pub(crate) fn take<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|error| format!("--{name} {value}: {error}"))
    }

    /// Fails where an option was given that nobody has taken.
    pub(crate) fn finish(self) -> Result<(), String> {
        self.0.into_keys().next().map_or(Ok(()), |name| Err(format!("--{name} is not known here")))
    }
}

/// Where to publish or play, and by which protocol.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// `rtmp`, `http`, or `chunks` and `flv`, which are the bare loop's wires without a handshake.
    pub(crate) scheme: String,
    /// The authority as written.
    pub(crate) host: String,
    pub(crate) addr: SocketAddr,
    /// What follows the authority, with its leading slash.
    pub(crate) path: String,
}

impl Target {
    /// The same with `{n}` in the path replaced by `n`.
    pub(crate) fn numbered(&self, n: u32) -> Self {
        Self { path: self.path.replace("{n}", &n.to_string()), ..self.clone() }
    }

    /// The RTMP client's form of it.
    pub(crate) fn rtmp_url(&self) -> io::Result<Url> {
        format!("{}://{}{}", self.scheme, self.host, self.path).parse().map_err(io::Error::other)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let bad =
            || format!("{url:?} is no URL with a numeric address, as in rtmp://127.0.0.1:1935/live/cam");
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let addr = host.parse().map_err(|_| bad())?;
        Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), addr, path: path.to_owned() })
    }
}
