//! Whether people elsewhere can find this machine.
//!
//! RTMP, SRT and HTTP are reached at whatever address people use. WebRTC tells them one, and must know it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::Finding;
use crate::config::{Config, resolve};

const TOPIC: &str = "public address";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    if config.webrtc.listen.is_empty() {
        return Vec::new();
    }
    let mut declared = Vec::new();
    for name in &config.engine.webrtc.public_addresses {
        match look_up(name) {
            Some(found) => declared.extend(found),
            None => {
                let found = format!("{name:?} is neither an address nor a name that is known");
                return vec![Finding::problem(TOPIC, found, "correct engine.webrtc.public_addresses")];
            }
        }
    }
    vec![judge(&declared, &own(), &port(config))]
}

/// What carries media, in words.
fn port(config: &Config) -> String {
    let over = if config.engine.webrtc.tcp { "UDP and TCP" } else { "UDP" };
    match resolve(&config.webrtc.listen) {
        Ok(addr) => format!("{over} port {}", addr.port()),
        // The check of the ports has said what is wrong with it.
        Err(_) => format!("its {over} port"),
    }
}

/// The addresses that `name` means: an IP address or a host name, with or without a port.
fn look_up(name: &str) -> Option<Vec<IpAddr>> {
    if let Ok(address) = name.trim_matches(['[', ']']).parse() {
        return Some(vec![address]);
    }
    let found: Vec<IpAddr> = match name.to_socket_addrs() {
        Ok(found) => found.map(|addr| addr.ip()).collect(),
        Err(_) => (name, 0).to_socket_addrs().ok()?.map(|addr| addr.ip()).collect(),
    };
    (!found.is_empty()).then_some(found)
}

/// The addresses that this machine uses towards the rest of the world, one per version of IP. Nothing is sent: a socket of UDP
/// that is connected has only looked for its way.
fn own() -> Vec<IpAddr> {
    let far: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    let address = |(any, far): (IpAddr, IpAddr)| {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
        socket.connect(SocketAddr::new(far, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    far.into_iter()
        .filter_map(address)
        .filter(|address| !address.is_loopback() && !address.is_unspecified())
        .collect()
}

fn judge(declared: &[IpAddr], own: &[IpAddr], port: &str) -> Finding {
    let list = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let advice = "set engine.webrtc.public_addresses to the address that your router or provider shows to the world, or offer TURN";
    if let Some(private) = declared.iter().find(|address| !is_public(**address)) {
        let found = format!(
            "{private} is declared, which only its own network can reach: WebRTC works there, and nowhere else"
        );
        return Finding::warning(TOPIC, found, advice);
    }
    if !declared.is_empty() {
        let mut found = format!("{} is declared", list(declared));
        if !declared.iter().any(|address| own.contains(address)) {
            found.push_str(&format!(", and is not this machine's: {port} must be forwarded from there"));
            if !own.is_empty() {
                found.push_str(&format!(" to {}", list(own)));
            }
        }
        return Finding::ok(TOPIC, found);
    }
    let public: Vec<IpAddr> = own.iter().copied().filter(|address| is_public(*address)).collect();
    if !public.is_empty() {
        return Finding::ok(TOPIC, format!("{} belongs to this machine", list(&public)));
    }
    let found = if own.is_empty() {
        "this machine has no address towards the outside: WebRTC works on this machine only".to_owned()
    } else {
        format!(
            "only private addresses ({}): WebRTC works in that network only, NAT or Docker is in between",
            list(own)
        )
    };
    Finding::warning(TOPIC, found, advice)
}

/// Whether the whole internet can send to `address`, by the registries of special addresses (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            // 100.64.0.0/10: behind a provider's NAT (RFC 6598).
            let shared = a == 100 && b & 0xc0 == 64;
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation();
            !(shared || special || a == 0 || a >= 224)
        }
        // 2000::/3 is all that was ever given out.
        IpAddr::V6(v6) => {
            v6.segments()[0] & 0xe000 == 0x2000 && !matches!(v6.segments(), [0x2001, 0xdb8, ..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn private_and_special_addresses_are_not_public() {
        for address in [
            "10.1.2.3",
            "172.16.0.1",
            "172.31.9.9",
            "192.168.1.7",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "239.1.1.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in
            ["8.8.8.8", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn webrtc_needs_an_address_that_others_can_reach() {
        for (declared, own, verdict, said) in [
            (&[][..], &["8.8.8.8", "10.0.0.1"][..], Verdict::Ok, "8.8.8.8 belongs"),
            (&[], &["10.0.0.1"], Verdict::Warning, "only private addresses (10.0.0.1)"),
            (&[], &[], Verdict::Warning, "no address"),
            (&["8.8.4.4"], &["8.8.4.4"], Verdict::Ok, "8.8.4.4 is declared"),
            (&["8.8.4.4"], &["10.0.0.1"], Verdict::Ok, "UDP port 9 must be forwarded from there to 10.0.0.1"),
            (&["192.168.0.5"], &["10.0.0.1"], Verdict::Warning, "192.168.0.5 is declared"),
        ] {
            let finding = judge(&addresses(declared), &addresses(own), "UDP port 9");
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.found.contains(said), "{finding:?}");
            assert_eq!(finding.advice.is_some(), verdict == Verdict::Warning);
        }
    }

    #[test]
    fn an_address_is_declared_in_any_way_it_can_be_written() {
        for (name, address) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1:9", "192.0.2.1"),
            ("[2001:db8::1]:9", "2001:db8::1"),
            ("[::1]", "::1"),
        ] {
            assert_eq!(look_up(name), Some(addresses(&[address])), "{name}");
        }
        assert!(look_up("localhost").unwrap().iter().all(IpAddr::is_loopback));
        assert_eq!(look_up("nowhere.invalid"), None);
    }

    #[test]
    fn an_address_of_this_machine_is_one_that_it_has() {
        for address in own() {
            UdpSocket::bind(SocketAddr::new(address, 0)).unwrap();
        }
    }
}
