//! The addresses that answers offer as candidates: the configured ones, or those of this machine.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use crate::config::WebRtcConfig;

/// How long finding out the address of a host name may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses that are offered at most: every one is a pair that clients check.
const MAX_ADDRESSES: usize = 16;

/// Where peers reach us.
pub(super) struct Addresses {
    /// Where we listen.
    bound: SocketAddr,
    public: Vec<String>,
    extra: Vec<String>,
    known: Mutex<Arc<[SocketAddr]>>,
}

impl Addresses {
    /// The addresses of a listener at `bound`, found out once.
    pub(super) async fn new(bound: SocketAddr, config: &WebRtcConfig) -> Self {
        let (public, extra) = (config.public_addresses.clone(), config.extra_addresses.clone());
        let addresses = Self { bound, public, extra, known: Mutex::new(Arc::from([])) };
        addresses.refresh().await;
        addresses
    }

    /// What is offered now, the best first.
    pub(super) fn list(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.known.lock())
    }

    /// Finds them out again: host names and interfaces change.
    pub(super) async fn refresh(&self) {
        let mut found = self.look_up(&self.public).await;
        if found.is_empty() {
            if !self.public.is_empty() {
                tracing::warn!(
                    "no public address of WebRTC is known; those of this machine are offered instead"
                );
            }
            found = own(self.bound);
        }
        found.extend(self.look_up(&self.extra).await);
        let mut distinct: Vec<SocketAddr> = Vec::new();
        for address in found {
            if distinct.len() < MAX_ADDRESSES && !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        *self.known.lock() = distinct.into();
    }

    async fn look_up(&self, names: &[String]) -> Vec<SocketAddr> {
        let mut found = Vec::new();
        for name in names {
            match look_up(name, self.bound.port()).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => tracing::warn!(name, %error, "this WebRTC address cannot be found out"),
            }
        }
        found
    }
}

/// The addresses that `name` means: an IP address or a host name, with a port where it is not `port`.
async fn look_up(name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if let Ok(address) = name.parse::<SocketAddr>() {
        return Ok(vec![address]);
    }
    let full = if name.contains(':') { name.to_owned() } else { format!("{name}:{port}") };
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(full)).await;
    Ok(found.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??.collect())
}

/// The address that is listened on, or those of all interfaces where it is any.
fn own(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "the system does not tell its addresses");
        Vec::new()
    });
    of_interfaces(interfaces.iter().map(if_addrs::Interface::ip), bound)
}

/// Of the interfaces' addresses those that a peer may reach `bound` at: loopback only where there is nothing else.
fn of_interfaces(interfaces: impl Iterator<Item = IpAddr>, bound: SocketAddr) -> Vec<SocketAddr> {
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_link_local() && !ip.is_unspecified(),
        // An IPv6 wildcard serves IPv4 as well, and not the other way round. A link-local address means nothing elsewhere.
        IpAddr::V6(ip) => bound.is_ipv6() && !ip.is_unicast_link_local() && !ip.is_unspecified(),
    };
    let (mut loopback, mut found): (Vec<IpAddr>, Vec<IpAddr>) =
        interfaces.filter(usable).partition(IpAddr::is_loopback);
    if found.is_empty() {
        found.append(&mut loopback);
    }
    // Most networks carry IPv4, and a client that has no IPv6 looks no further.
    found.sort_by_key(IpAddr::is_ipv6);
    found.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(public: &[&str], extra: &[&str]) -> WebRtcConfig {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        WebRtcConfig {
            public_addresses: owned(public),
            extra_addresses: owned(extra),
            ..WebRtcConfig::default()
        }
    }

    async fn offered(bound: &str, public: &[&str], extra: &[&str]) -> Vec<String> {
        let addresses = Addresses::new(bound.parse().unwrap(), &config(public, extra)).await;
        addresses.list().iter().map(SocketAddr::to_string).collect()
    }

    #[tokio::test]
    async fn configured_addresses_come_instead_and_extra_ones_beside() {
        assert_eq!(offered("127.0.0.1:9", &[], &[]).await, ["127.0.0.1:9"]);
        assert_eq!(
            offered("127.0.0.1:9", &[], &["10.0.0.1", "10.0.0.1:7"]).await,
            ["127.0.0.1:9", "10.0.0.1:9", "10.0.0.1:7"]
        );
        assert_eq!(
            offered(
                "0.0.0.0:9",
                &["203.0.113.5", "[2001:db8::1]:7", "2001:db8::2"],
                &["10.0.0.1", "203.0.113.5"]
            )
            .await,
            ["203.0.113.5:9", "[2001:db8::1]:7", "[2001:db8::2]:9", "10.0.0.1:9"]
        );
        assert_eq!(
            offered("0.0.0.0:9", &["localhost:7"], &[]).await.first().map(|text| text.ends_with(":7")),
            Some(true)
        );
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_leaves_the_own_address() {
        assert_eq!(offered("127.0.0.1:9", &["nowhere.invalid"], &[]).await, ["127.0.0.1:9"]);
    }

    #[test]
    fn of_interfaces_loopback_comes_only_where_there_is_nothing_else() {
        let list = |ips: &[&str], bound: &str| -> Vec<String> {
            let ips = ips.iter().map(|ip| ip.parse().unwrap());
            of_interfaces(ips, bound.parse().unwrap()).iter().map(SocketAddr::to_string).collect()
        };
        let all = ["127.0.0.1", "::1", "2001:db8::1", "fe80::1", "10.0.0.2", "169.254.1.1"];
        assert_eq!(list(&all, "[::]:9"), ["10.0.0.2:9", "[2001:db8::1]:9"]);
        assert_eq!(list(&all, "0.0.0.0:9"), ["10.0.0.2:9"]);
        assert_eq!(list(&all[..2], "0.0.0.0:9"), ["127.0.0.1:9"]);
        assert_eq!(list(&all[..2], "[::]:9"), ["127.0.0.1:9", "[::1]:9"]);
    }
}
