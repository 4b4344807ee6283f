//! Standard base64 with padding, with Go's leniency (line breaks are skipped, unused bits ignored) and Go's error offsets.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;

/// The offset of the byte that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("illegal base64 data at input byte {0}")]
pub struct Base64Error(pub usize);

/// Encodes bytes.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Appends the encoding of `bytes` to `out`.
pub fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("the buffer has the exact size");
    out.truncate(start + written);
}

/// Decodes text.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
    // The strict engine is fast; only what it refuses is looked at again with Go's rules.
    STANDARD.decode(text).or_else(|_| decode_as_go(text))
}

fn digit(c: u8) -> Option<u32> {
    match c {
        b'A'..=b'Z' => Some(u32::from(c - b'A')),
        b'a'..=b'z' => Some(u32::from(c - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(c - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn skip_breaks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b'\n' | b'\r')) {
        at += 1;
    }
    at
}

fn decode_as_go(text: &[u8]) -> Result<Vec<u8>, Base64Error> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut at, mut digits, mut bits) = (0, 0, 0u32);
    loop {
        at = skip_breaks(text, at);
        let Some(&c) = text.get(at) else {
            return if digits == 0 { Ok(out) } else { Err(Base64Error(at - digits)) };
        };
        at += 1;
        if let Some(d) = digit(c) {
            bits = bits << 6 | d;
            digits += 1;
            if digits == 4 {
                out.extend_from_slice(&bits.to_be_bytes()[1..]);
                (digits, bits) = (0, 0);
            }
            continue;
        }
        if c != b'=' || digits < 2 {
            return Err(Base64Error(at - 1));
        }
        return padded(text, at, digits, bits, out);
    }
}

/// The end of the text after its first `=`.
fn padded(text: &[u8], mut at: usize, digits: usize, bits: u32, mut out: Vec<u8>) -> Result<Vec<u8>, Base64Error> {
    if digits == 2 {
        at = skip_breaks(text, at);
        match text.get(at) {
            None => return Err(Base64Error(text.len())),
            Some(b'=') => at += 1,
            Some(_) => return Err(Base64Error(at - 1)),
        }
    }
    at = skip_breaks(text, at);
    if at < text.len() {
        return Err(Base64Error(at));
    }
    let bytes = (bits << (6 * (4 - digits))).to_be_bytes();
    out.extend_from_slice(&bytes[1..digits]);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go() {
        assert_eq!(decode(b"aGVs\r\nbG8=").as_deref(), Ok(&b"hello"[..]));
        assert_eq!(decode(b"aGVsbG9=").as_deref(), Ok(&b"hello"[..]));
        for (text, offset) in
            [("!", 0), ("a", 0), ("a!", 1), ("aaa!", 3), ("aaaa!", 4), ("aa=", 3), ("aa=a", 2), ("aaa=a", 4)]
        {
            assert_eq!(decode(text.as_bytes()), Err(Base64Error(offset)), "{text}");
        }
    }
}
