//! What a description says of a peer's certificate (RFC 8122 §5).

use std::fmt::{self, Display, Formatter};

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A hash of a certificate: `a=fingerprint` is how a peer that came by HTTP is known again in DTLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    digest: Digest,
    hash: Vec<u8>,
}

/// How a fingerprint is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Digest {
    /// `sha-256`, which everybody has.
    Sha256,
    /// `sha-384`.
    Sha384,
    /// `sha-512`.
    Sha512,
}

/// Why a text is no fingerprint that we can check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// MD5, SHA-1 and whatever else nobody should rely on.
    #[error("fingerprint made with {0:?}, which is not supported")]
    Digest(String),
    /// The hash is not pairs of hexadecimal digits between colons, or not as many as the digest gives.
    #[error("fingerprint {0:?} is malformed")]
    Malformed(String),
}

impl Digest {
    fn of(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|digest| name.eq_ignore_ascii_case(digest.name()))
    }

    /// Its name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn hash(self, certificate: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(certificate).to_vec(),
            Self::Sha384 => Sha384::digest(certificate).to_vec(),
            Self::Sha512 => Sha512::digest(certificate).to_vec(),
        }
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(digest: Digest, certificate: &[u8]) -> Self {
        Self { digest, hash: digest.hash(certificate) }
    }

    /// How it was made.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Reads what stands behind `a=fingerprint:`, such as `sha-256 4A:AD:…`.
    ///
    /// # Errors
    /// If the digest is weak or unknown, or the hash is not one of it.
    pub fn parse(text: &str) -> Result<Self, FingerprintError> {
        let malformed = || FingerprintError::Malformed(text.chars().take(200).collect());
        let (name, hash) = text.trim().split_once(' ').ok_or_else(malformed)?;
        let digest =
            Digest::of(name).ok_or_else(|| FingerprintError::Digest(name.chars().take(32).collect()))?;
        let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        let pair = |pair: &str| is_pair(pair).then(|| u8::from_str_radix(pair, 16).ok())?;
        let pairs = hash.trim().split(':').take(digest.len() + 1);
        let hash = pairs.map(pair).collect::<Option<Vec<u8>>>().ok_or_else(malformed)?;
        if hash.len() == digest.len() { Ok(Self { digest, hash }) } else { Err(malformed()) }
    }

    /// Whether it is the fingerprint of this certificate in DER.
    pub fn matches(&self, certificate: &[u8]) -> bool {
        self.digest.hash(certificate) == self.hash
    }
}

/// As in SDP: `sha-256 4A:AD:…`.
impl Display for Fingerprint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.digest.name())?;
        for (at, byte) in self.hash.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let fingerprint = Fingerprint::of(digest, b"a certificate");
            let text = fingerprint.to_string();
            assert_eq!(Fingerprint::parse(&text), Ok(fingerprint.clone()), "{text}");
            assert_eq!(Fingerprint::parse(&text.to_lowercase()), Ok(fingerprint.clone()));
            assert!(fingerprint.matches(b"a certificate") && !fingerprint.matches(b"another"));
        }
        // `printf abc | sha256sum`
        assert_eq!(
            Fingerprint::of(Digest::Sha256, b"abc").to_string(),
            "sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD"
        );
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        let good = Fingerprint::of(Digest::Sha256, b"x").to_string();
        let weak = good.replace("sha-256", "sha-1");
        assert_eq!(Fingerprint::parse(&weak), Err(FingerprintError::Digest("sha-1".into())));
        let broken = [
            "".to_owned(),
            "sha-256".to_owned(),
            "sha-256 ".to_owned(),
            good[..good.len() - 3].to_owned(),
            format!("{good}:00"),
            good.replace(':', ""),
            good.replace(':', "-"),
            format!("{}+1", &good[..good.len() - 2]),
            format!("{}é", &good[..good.len() - 2]),
            good.replace("sha-256", "sha-512"),
        ];
        for text in broken {
            let result = Fingerprint::parse(&text);
            assert!(matches!(result, Err(FingerprintError::Malformed(_))), "{text:?}: {result:?}");
        }
    }
}
