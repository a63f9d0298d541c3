//! Random numbers that nobody guesses.

use std::io;

use tokio_rustls::rustls::crypto::ring;

/// `N` bytes of the system's random numbers.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let source = ring::default_provider().secure_random;
    source.fill(&mut bytes).map_err(|_| io::Error::other("the system has no random numbers"))?;
    Ok(bytes)
}
