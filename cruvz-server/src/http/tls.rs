//! The certificate of HTTPS.

use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate file holds none.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The key file holds none.
    #[error("the private key cannot be used: {0}")]
    Key(String),
    /// They do not go together.
    #[error("certificate and private key do not go together: {0}")]
    Pair(#[from] rustls::Error),
}

/// Accepts TLS 1.2 and 1.3 for HTTP/2 and HTTP/1.1.
pub(crate) fn acceptor(cert_pem: &[u8], key_pem: &[u8]) -> Result<TlsAcceptor, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("the file has no CERTIFICATE".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| TlsError::Key(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost`
    const CERT: &[u8] = include_bytes!("../../tests/fixtures/localhost.cert.pem");
    const KEY: &[u8] = include_bytes!("../../tests/fixtures/localhost.key.pem");

    #[test]
    fn a_pair_is_taken_and_anything_else_is_refused_with_its_reason() {
        assert!(acceptor(CERT, KEY).is_ok());
        let reason = |cert: &[u8], key: &[u8]| acceptor(cert, key).err().unwrap().to_string();
        assert!(reason(b"", KEY).contains("no CERTIFICATE"));
        assert!(reason(CERT, b"").contains("private key"));
        assert!(reason(CERT, CERT).contains("private key"));
    }
}
