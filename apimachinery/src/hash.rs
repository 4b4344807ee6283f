//! The hashes that upstream names things by: FNV over what it prints of an object, written with letters that form no words.
//! Corresponds to upstream's hash/fnv, pkg/util/hash and apimachinery/pkg/util/rand.

const OFFSET_32: u32 = 0x811c_9dc5;
const PRIME_32: u32 = 0x0100_0193;

/// FNV-1, 32 bits.
pub fn fnv32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(OFFSET_32, |hash, byte| hash.wrapping_mul(PRIME_32) ^ u32::from(*byte))
}

/// FNV-1a, 32 bits.
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(OFFSET_32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(PRIME_32))
}

/// FNV-1a, 128 bits, in hexadecimal digits.
pub fn fnv128a(bytes: &[u8]) -> String {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

/// A hash as part of a name: its decimal digits, replaced by letters and digits that form no words.
/// upstream: rand.SafeEncodeString
pub fn safe_text(hash: u32) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        assert_eq!((fnv32(b""), fnv32a(b"")), (OFFSET_32, OFFSET_32));
        assert_eq!((fnv32(b"a"), fnv32a(b"a")), (0x050c_5d7e, 0xe40c_292c));
        assert_eq!(fnv128a(b"a"), "d228cb696f1a8caf78912b704e4a8964");
        assert_eq!(safe_text(123_456_789), "56789bcdf");
    }
}
