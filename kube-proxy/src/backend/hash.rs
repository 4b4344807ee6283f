//! Short hashes in names of chains: the start of the base32 text of a SHA-256, as upstream makes them.

use sha2::{Digest as _, Sha256};

/// The first `length` base32 characters of the hash of the parts put together.
pub(super) fn short_hash(parts: &[&str], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part.as_bytes()));
    let digest = hasher.finalize();
    let bit = |n: usize| usize::from(digest[n / 8] >> (7 - n % 8) & 1);
    let character = |n: usize| char::from(ALPHABET[(0..5).fold(0, |value, i| value << 1 | bit(5 * n + i))]);
    (0..length).map(character).collect()
}
