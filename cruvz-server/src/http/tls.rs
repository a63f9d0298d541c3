//! The certificate of HTTPS.

use std::sync::Arc;

use cruvz_core::{Error, ErrorKind, TlsConfig};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

fn bad(what: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("the {what} of [tls] cannot be used"))
}

/// Accepts TLS 1.2 and 1.3 for HTTP/2 and HTTP/1.1.
pub(crate) fn acceptor(pair: &TlsConfig) -> Result<TlsAcceptor, Error> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pair.cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad("certificate").with_source(error))?;
    if chain.is_empty() {
        return Err(bad("certificate").with_source("the file has none"));
    }
    let key = PrivateKeyDer::from_pem_slice(&pair.key_pem)
        .map_err(|error| bad("private key").with_source(error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| bad("pair of certificate and private key").with_source(error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// See `tests/fixtures/README.md`.
    const CERT: &[u8] = include_bytes!("../../tests/fixtures/localhost.cert.pem");
    const KEY: &[u8] = include_bytes!("../../tests/fixtures/localhost.key.pem");

    #[test]
    fn a_pair_is_taken_and_anything_else_is_refused_with_its_reason() {
        let take =
            |cert: &[u8], key: &[u8]| acceptor(&TlsConfig { cert_pem: cert.to_vec(), key_pem: key.to_vec() });
        assert!(take(CERT, KEY).is_ok());
        let reason = |cert, key| take(cert, key).err().unwrap().to_string();
        assert!(reason(b"", KEY).contains("the file has none"));
        assert!(reason(CERT, b"").contains("private key"));
        assert!(reason(CERT, CERT).contains("private key"));
    }
}
