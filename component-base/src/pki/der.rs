//! Writing of DER: just enough for certificates and certificate requests.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A value under a tag.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..0x80 => out.push(length as u8),
        length => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | bytes.len() as u8);
            out.extend(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

/// SEQUENCE of encoded values.
pub(super) fn sequence(items: &[Vec<u8>]) -> Vec<u8> {
    tagged(0x30, &items.concat())
}

/// SET of one encoded value.
pub(super) fn set(item: &[u8]) -> Vec<u8> {
    tagged(0x31, item)
}

/// Non-negative INTEGER of big-endian bytes.
pub(super) fn integer(bytes: &[u8]) -> Vec<u8> {
    let mut content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if content.first().is_none_or(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    tagged(0x02, &content)
}

/// OBJECT IDENTIFIER.
pub(super) fn oid(arcs: &[u64]) -> Vec<u8> {
    let mut content = Vec::new();
    if let [first, second, rest @ ..] = arcs {
        push_base128(&mut content, first * 40 + second);
        rest.iter().for_each(|arc| push_base128(&mut content, *arc));
    }
    tagged(0x06, &content)
}

fn push_base128(out: &mut Vec<u8>, mut value: u64) {
    let mut groups = vec![(value & 0x7f) as u8];
    value >>= 7;
    while value > 0 {
        groups.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.extend(groups.into_iter().rev());
}

/// UTF8String.
pub(super) fn utf8(text: &str) -> Vec<u8> {
    tagged(0x0c, text.as_bytes())
}

/// BOOLEAN TRUE.
pub(super) fn boolean_true() -> Vec<u8> {
    tagged(0x01, &[0xff])
}

/// OCTET STRING.
pub(super) fn octets(content: &[u8]) -> Vec<u8> {
    tagged(0x04, content)
}

/// BIT STRING of whole bytes.
pub(super) fn bits(content: &[u8]) -> Vec<u8> {
    let mut with_unused = vec![0];
    with_unused.extend_from_slice(content);
    tagged(0x03, &with_unused)
}

/// BIT STRING of named bits, the first one being the highest.
pub(super) fn named_bits(set: &[u8]) -> Vec<u8> {
    let Some(highest) = set.iter().max() else { return tagged(0x03, &[0]) };
    let mut content = vec![0u8; usize::from(highest / 8) + 1];
    for bit in set {
        content[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    let unused = 7 - highest % 8;
    content.insert(0, unused);
    tagged(0x03, &content)
}

/// UTCTime until 2049, GeneralizedTime from 2050.
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    let at = at.to_zoned(TimeZone::UTC);
    let rest = format!("{:02}{:02}{:02}{:02}{:02}Z", at.month(), at.day(), at.hour(), at.minute(), at.second());
    if (1950..2050).contains(&at.year()) {
        return tagged(0x17, format!("{:02}{rest}", at.year() % 100).as_bytes());
    }
    tagged(0x18, format!("{:04}{rest}", at.year()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        assert_eq!(oid(&[2, 5, 4, 3]), [6, 3, 0x55, 4, 3]);
        assert_eq!(oid(&[1, 2, 840, 113_549]), [6, 6, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]);
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0]), [2, 1, 0]);
        // digitalSignature and keyEncipherment.
        assert_eq!(named_bits(&[0, 2]), [3, 2, 5, 0xa0]);
        assert_eq!(tagged(4, &[0; 200])[..3], [4, 0x81, 200]);
        let at = Timestamp::from_second(0).expect("in range");
        assert_eq!(time(at), [&[0x17, 13][..], b"700101000000Z"].concat());
    }
}
