//! Random bytes without a source of randomness.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes that nobody can foretell who does not know the seed: HMAC-SHA256 over a counter.
///
/// Keys, cookies and socket ids come from here, so a seed must come from the system's source of randomness, and no
/// two may be the same.
#[derive(Clone)]
pub struct Random {
    key: Hmac<Sha256>,
    counter: u64,
}

impl Random {
    /// The bytes that `seed` stands for.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: Hmac::new_from_slice(&seed).expect("HMAC takes keys of any length"), counter: 0 }
    }

    /// The next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(32) {
            let block = self.key.clone().chain_update(self.counter.to_be_bytes()).finalize().into_bytes();
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Another sequence, which tells nothing about this one.
    pub fn fork(&mut self) -> Self {
        Self::new(self.bytes())
    }

    /// The next number.
    pub fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.bytes())
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_one_sequence() {
        let (mut a, mut b, mut c) = (Random::new([1; 32]), Random::new([1; 32]), Random::new([2; 32]));
        let first: [u8; 40] = a.bytes();
        assert_eq!(first, b.bytes::<40>());
        assert_ne!(first, c.bytes::<40>());
        assert_ne!(first, a.bytes::<40>());
        assert_ne!(a.number(), a.number());
        assert_eq!(format!("{a:?}"), "Random(***)");
    }
}
