//! Whether certificate and key can be used, and for how long.

use std::fs;

use cruvz_core::TlsConfig;
use x509_parser::{extensions::GeneralName, pem::parse_x509_pem, prelude::X509Certificate};

use super::Finding;
use crate::{config::TlsFiles, http::tls};

const TOPIC: &str = "certificate";
const DAY_S: i64 = 86_400;
/// Who renews by a timer does so a month before the end; less left means that this did not work.
const SHORT_S: i64 = 14 * DAY_S;

pub(super) fn check(files: &TlsFiles, now_s: i64) -> Vec<Finding> {
    let read = |path: &std::path::Path| {
        fs::read(path).map_err(|error| {
            let found = format!("{} cannot be read: {error}", path.display());
            vec![Finding::problem(
                TOPIC,
                found,
                "correct the path in [tls], or let the server's user read the file",
            )]
        })
    };
    match (read(&files.cert), read(&files.key)) {
        (Ok(cert_pem), Ok(key_pem)) => pair(&TlsConfig { cert_pem, key_pem }, now_s),
        (cert, key) => [cert.err(), key.err()].into_iter().flatten().flatten().collect(),
    }
}

/// Certificate and key, both there.
fn pair(pair: &TlsConfig, now_s: i64) -> Vec<Finding> {
    // What the server itself does at its start, so that what passes here passes there.
    if let Err(error) = tls::acceptor(pair) {
        let advice = "give the chain in PEM, leaf first, and the private key that belongs to the leaf";
        return vec![Finding::problem(TOPIC, with_sources(&error), advice)];
    }
    let Ok((_, pem)) = parse_x509_pem(&pair.cert_pem) else { return Vec::new() };
    match pem.parse_x509() {
        Ok(certificate) => vec![validity(&certificate, now_s)],
        Err(error) => {
            vec![Finding::problem(TOPIC, format!("is no X.509 certificate: {error}"), "ask for a new one")]
        }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    text
}

fn validity(certificate: &X509Certificate<'_>, now_s: i64) -> Finding {
    let names = names(certificate);
    let days = |from: i64, to: i64| (to - from + DAY_S - 1) / DAY_S;
    let validity = certificate.validity();
    let (begin_s, end_s) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if now_s > end_s {
        let found = format!("for {names} expired {} days ago", days(end_s, now_s));
        return Finding::problem(TOPIC, found, "renew it and restart the server");
    }
    if now_s < begin_s {
        let found = format!("for {names} is valid only in {} days", days(now_s, begin_s));
        return Finding::problem(TOPIC, found, "set this machine's clock, or wait");
    }
    let left = format!("for {names} is valid for {} more days", days(now_s, end_s));
    if end_s - now_s < SHORT_S {
        return Finding::warning(TOPIC, left, "renew it and restart the server");
    }
    if certificate.issuer() == certificate.subject() {
        let advice = "browsers warn of it: fine for tests, else get one from a certificate authority";
        return Finding::warning(TOPIC, format!("{left}, but signs itself"), advice);
    }
    Finding::ok(TOPIC, left)
}

/// The names it is for, as people write them.
fn names(certificate: &X509Certificate<'_>) -> String {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let names: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect();
    if names.is_empty() { certificate.subject().to_string() } else { names.join(", ") }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(std::net::IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(std::net::IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::{super::Verdict, *};

    /// 2026-06-01.
    const NOW_S: i64 = 1_780_272_000;

    /// A certificate for a name and an address, valid in the years `from` to `to`, signed by another unless it signs itself.
    fn made(from: (i32, u8, u8), to: (i32, u8, u8), alone: bool) -> TlsConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["live.example".to_owned(), "192.0.2.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(to.0, to.1, to.2);
        let cert = if alone {
            params.self_signed(&key).unwrap()
        } else {
            let mut authority = CertificateParams::new([]).unwrap();
            authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
            authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.signed_by(&key, &Issuer::new(authority, KeyPair::generate().unwrap())).unwrap()
        };
        TlsConfig { cert_pem: cert.pem().into_bytes(), key_pem: key.serialize_pem().into_bytes() }
    }

    fn only(tls: &TlsConfig) -> Finding {
        let [finding] = pair(tls, NOW_S).try_into().unwrap();
        finding
    }

    #[test]
    fn a_certificate_is_good_while_it_is_valid() {
        for (from, to, alone, verdict, said) in [
            (
                (2026, 1, 1),
                (2027, 1, 1),
                false,
                Verdict::Ok,
                "live.example, 192.0.2.1 is valid for 214 more days",
            ),
            ((2026, 1, 1), (2027, 1, 1), true, Verdict::Warning, "signs itself"),
            ((2026, 1, 1), (2026, 6, 10), false, Verdict::Warning, "9 more days"),
            ((2025, 1, 1), (2026, 5, 31), false, Verdict::Problem, "expired 1 days ago"),
            ((2026, 7, 1), (2027, 1, 1), false, Verdict::Problem, "only in 30 days"),
        ] {
            let finding = only(&made(from, to, alone));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.found.contains(said), "{finding:?}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let (good, other) =
            (made((2026, 1, 1), (2027, 1, 1), false), made((2026, 1, 1), (2027, 1, 1), false));
        let mixed = TlsConfig { cert_pem: good.cert_pem.clone(), key_pem: other.key_pem };
        for (tls, said) in [
            (&mixed, "pair of certificate and private key"),
            (&TlsConfig { cert_pem: b"text".to_vec(), key_pem: good.key_pem.clone() }, "the file has none"),
            (&TlsConfig { cert_pem: good.cert_pem.clone(), key_pem: b"text".to_vec() }, "private key"),
        ] {
            let finding = only(tls);
            assert_eq!(finding.verdict, Verdict::Problem);
            assert!(finding.found.contains(said), "{finding:?}");
        }
    }

    #[test]
    fn each_file_that_is_not_there_is_named() {
        let files = TlsFiles { cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() };
        let findings = check(&files, NOW_S);
        assert!(
            findings[0].found.contains("/nowhere/cert.pem") && findings[1].found.contains("/nowhere/key.pem")
        );
    }
}
