//! `udp://address:port`: MPEG-TS in bare datagrams, as encoders in studios send it. There is no more to the protocol.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use super::{
    params::percent_decode,
    url::{self, AddressError},
};

/// How long a source may say nothing before another may take its place, and the bounds of that.
const DEFAULT_TIMEOUT_MS: u32 = 3_000;
const TIMEOUTS_MS: std::ops::RangeInclusive<u32> = 100..=60_000;

/// Why a text is no UDP URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It does not begin with `udp://`.
    #[error("want udp://")]
    Scheme,
    /// Where datagrams are to come in is no IP address.
    #[error("want an IP address of this machine or of a multicast group, as in udp://0.0.0.0:5000")]
    Host,
    /// The port is not a number from 1 to 65,535.
    #[error("port is not a number from 1 to 65535")]
    Port,
    /// There is something behind the port that is no parameter.
    #[error("a UDP URL has no path")]
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

/// Where datagrams come in.
///
/// The host is an address of this machine, `0.0.0.0`, `[::]` or nothing for all of them, or a multicast group, which is then
/// joined; an `@` before it, as players write it, changes nothing. Parameters: `program`, the number of the program to read
/// where it is not the first; `from`, the only address to take datagrams from; `timeout_ms`, how long a source may say nothing
/// before another may take its place (default 3,000, from 100 to 60,000).
///
/// ```
/// use cruvz_core::protocol::udp::Url;
/// let url: Url = "udp://239.1.2.3:5000?program=2".parse()?;
/// assert_eq!((url.group(), url.program()), (Some("239.1.2.3".parse().unwrap()), Some(2)));
/// assert_eq!(url.bind().to_string(), "0.0.0.0:5000");
/// # Ok::<(), cruvz_core::protocol::udp::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    address: SocketAddr,
    program: Option<u16>,
    from: Option<IpAddr>,
    timeout_ms: u32,
}

impl Url {
    /// The multicast group to join, if it is one.
    pub fn group(&self) -> Option<IpAddr> {
        Some(self.address.ip()).filter(IpAddr::is_multicast)
    }

    /// Where to listen.
    pub fn bind(&self) -> SocketAddr {
        let ip = match self.address.ip() {
            IpAddr::V4(group) if group.is_multicast() => IpAddr::from([0, 0, 0, 0]),
            IpAddr::V6(group) if group.is_multicast() => Ipv6Addr::UNSPECIFIED.into(),
            ip => ip,
        };
        SocketAddr::new(ip, self.address.port())
    }

    /// The program to read; `None`: the first.
    pub const fn program(&self) -> Option<u16> {
        self.program
    }

    /// Whether datagrams from `ip` are wanted.
    pub fn is_from(&self, ip: IpAddr) -> bool {
        self.from.is_none_or(|from| from == ip.to_canonical())
    }

    /// How long a source may say nothing.
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms as u64)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), UrlError> {
        let bad = |name, want| UrlError::Value { name, want };
        match name {
            "program" => {
                let program = value.parse().ok().filter(|program| *program > 0);
                self.program = Some(program.ok_or_else(|| bad("program", "a number from 1 to 65535"))?);
            }
            "from" => self.from = Some(value.parse().map_err(|_| bad("from", "an IP address"))?),
            "timeout_ms" => {
                let timeout = value.parse().ok().filter(|timeout| TIMEOUTS_MS.contains(timeout));
                self.timeout_ms =
                    timeout.ok_or_else(|| bad("timeout_ms", "milliseconds from 100 to 60000"))?;
            }
            _ => return Err(UrlError::Unknown(name.chars().take(32).collect())),
        }
        Ok(())
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_at_checked(6).ok_or(UrlError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("udp://") {
            return Err(UrlError::Scheme);
        }
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let address = address.strip_suffix('/').unwrap_or(address);
        if address.contains('/') {
            return Err(UrlError::Path);
        }
        let address = address.strip_prefix('@').unwrap_or(address);
        let everywhere = format!("0.0.0.0{address}");
        let address = if address.starts_with(':') { &everywhere } else { address };
        let (host, port) = url::split_address(address).map_err(|error| match error {
            AddressError::Host => UrlError::Host,
            AddressError::Port => UrlError::Port,
        })?;
        let ip: IpAddr = host.parse().map_err(|_| UrlError::Host)?;
        let address = SocketAddr::new(ip, port.ok_or(UrlError::Port)?);
        let mut url = Self { address, program: None, from: None, timeout_ms: DEFAULT_TIMEOUT_MS };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            url.set(name, &percent_decode(value))?;
        }
        Ok(url)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp://{}", self.address)?;
        let mut separator = '?';
        let mut put = |name: &str, value: Option<String>| {
            let Some(value) = value else { return Ok(()) };
            write!(f, "{separator}{name}={value}")?;
            separator = '&';
            Ok(())
        };
        put("program", self.program.map(|program| program.to_string()))?;
        put("from", self.from.map(|from| from.to_string()))?;
        let timeout = Some(self.timeout_ms).filter(|timeout| *timeout != DEFAULT_TIMEOUT_MS);
        put("timeout_ms", timeout.map(|timeout| timeout.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Url, UrlError> {
        text.parse()
    }

    #[test]
    fn addresses_of_this_machine_and_groups() {
        for (text, bind, group) in [
            ("udp://0.0.0.0:5000", "0.0.0.0:5000", None),
            ("UDP://:5000", "0.0.0.0:5000", None),
            ("udp://@:5000", "0.0.0.0:5000", None),
            ("udp://[::1]:9/", "[::1]:9", None),
            ("udp://@239.1.2.3:5000", "0.0.0.0:5000", Some("239.1.2.3")),
            ("udp://[ff15::1]:5000", "[::]:5000", Some("ff15::1")),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(
                (url.bind().to_string(), url.group()),
                (bind.into(), group.map(|ip| ip.parse().unwrap()))
            );
        }
    }

    #[test]
    fn parameters_say_what_is_taken() {
        let url = parse("udp://:5000?program=7&from=192.0.2.1&timeout_ms=500").unwrap();
        assert_eq!((url.program(), url.timeout()), (Some(7), Duration::from_millis(500)));
        assert!(url.is_from("192.0.2.1".parse().unwrap()) && !url.is_from("192.0.2.2".parse().unwrap()));
        assert!(url.is_from("::ffff:192.0.2.1".parse().unwrap()), "as an IPv6 socket has it");
        assert_eq!(url.to_string(), "udp://0.0.0.0:5000?program=7&from=192.0.2.1&timeout_ms=500");
        assert!(parse("udp://:5000").unwrap().is_from("192.0.2.2".parse().unwrap()));
    }

    #[test]
    fn what_is_no_url_is_told_why() {
        let value = |name, want| UrlError::Value { name, want };
        for (text, error) in [
            ("tcp://:5000", UrlError::Scheme),
            ("udp", UrlError::Scheme),
            ("udp://example.com:5000", UrlError::Host),
            ("udp://0.0.0.0", UrlError::Port),
            ("udp://:70000", UrlError::Port),
            ("udp://:5000/live", UrlError::Path),
            ("udp://:5000?pkt_size=1316", UrlError::Unknown("pkt_size".into())),
            ("udp://:5000?program=0", value("program", "a number from 1 to 65535")),
            ("udp://:5000?from=cam", value("from", "an IP address")),
            ("udp://:5000?timeout_ms=1", value("timeout_ms", "milliseconds from 100 to 60000")),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(text in "udp://(@?:|0\\.0\\.0\\.0:|\\[::1\\]:)[1-9][0-9]{0,3}(\\?program=[1-9])?") {
            let url = parse(&text).unwrap();
            prop_assert_eq!(parse(&url.to_string()), Ok(url));
        }

        #[test]
        fn any_text_is_survived(text: String) {
            let _ = parse(&text);
            let _ = parse(&format!("udp://{text}"));
        }
    }
}
