//! The protobuf wire format: tags, varints, lengths. Nothing here knows about types.

/// Why bytes are no message, in the words of the upstream decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a value.
    #[error("unexpected EOF")]
    Eof,
    /// A varint has more than 64 bits.
    #[error("proto: integer overflow")]
    Overflow,
    /// Tag 0 or above the maximum.
    #[error("proto: illegal tag {0} (wire type {1})")]
    Tag(u64, u8),
    /// Wire type 6, 7, or an end of a group that did not begin.
    #[error("proto: illegal wireType {0}")]
    WireType(u8),
    /// The wire type does not fit the field.
    #[error("proto: wrong wireType = {0} for field {1}")]
    WrongWireType(u8, String),
    /// Messages nest too deeply.
    #[error("proto: messages nest too deeply")]
    Depth,
    /// The bytes do not start with the magic number.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Magic,
    /// No bytes at all.
    #[error("empty data")]
    Empty,
    /// A field that holds text in a form of its own holds something else.
    #[error("{0}")]
    Value(String),
}

pub(crate) type Res<T> = Result<T, WireError>;

pub(crate) const VARINT: u8 = 0;
pub(crate) const FIXED64: u8 = 1;
pub(crate) const BYTES: u8 = 2;

/// Messages nest at most this deep.
pub(crate) const MAX_DEPTH: usize = 256;

/// A place in a message.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    pub(crate) fn done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Res<u64> {
        match self.bytes.get(self.at) {
            Some(&b) if b < 0x80 => {
                self.at += 1;
                Ok(u64::from(b))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Res<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let b = *self.bytes.get(self.at).ok_or(WireError::Eof)?;
            self.at += 1;
            value |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Overflow)
    }

    /// A tag and its wire type.
    #[inline]
    pub(crate) fn tag(&mut self) -> Res<(u32, u8)> {
        let key = self.varint()?;
        let wire = (key & 7) as u8;
        match u32::try_from(key >> 3) {
            Ok(tag) if tag > 0 => Ok((tag, wire)),
            _ => Err(WireError::Tag(key >> 3, wire)),
        }
    }

    /// The bytes after a length.
    #[inline]
    pub(crate) fn delimited(&mut self) -> Res<&'a [u8]> {
        let length = usize::try_from(self.varint()?).map_err(|_| WireError::Eof)?;
        let end = self.at.checked_add(length).ok_or(WireError::Eof)?;
        let bytes = self.bytes.get(self.at..end).ok_or(WireError::Eof)?;
        self.at = end;
        Ok(bytes)
    }

    pub(crate) fn fixed64(&mut self) -> Res<u64> {
        let bytes = self.bytes.get(self.at..).and_then(|b| b.first_chunk()).ok_or(WireError::Eof)?;
        self.at += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    fn advance(&mut self, n: usize) -> Res<()> {
        self.at = self.at.checked_add(n).filter(|at| *at <= self.bytes.len()).ok_or(WireError::Eof)?;
        Ok(())
    }

    /// Walks over a value of a wire type.
    #[inline]
    pub(crate) fn skip(&mut self, wire: u8) -> Res<()> {
        match wire {
            VARINT => self.varint().map(drop),
            FIXED64 => self.advance(8),
            BYTES => self.delimited().map(drop),
            3 => self.skip_group(),
            5 => self.advance(4),
            _ => Err(WireError::WireType(wire)),
        }
    }

    fn skip_group(&mut self) -> Res<()> {
        let mut depth = 1usize;
        while depth > 0 {
            let (_, wire) = self.tag()?;
            match wire {
                3 => depth += 1,
                4 => depth -= 1,
                _ => self.skip(wire)?,
            }
        }
        Ok(())
    }
}

pub(crate) fn write_varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn varint_len(n: u64) -> usize {
    (70 - (n | 1).leading_zeros() as usize) / 7
}

pub(crate) fn write_tag(tag: u32, wire: u8, out: &mut Vec<u8>) {
    write_varint(u64::from(tag) << 3 | u64::from(wire), out);
}

/// Appends a tag, a length and bytes.
pub(crate) fn write_bytes(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write_tag(tag, BYTES, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

pub(crate) fn write_int(tag: u32, n: i64, out: &mut Vec<u8>) {
    write_tag(tag, VARINT, out);
    write_varint(n.cast_unsigned(), out);
}

/// Appends a tag and a message written by `body`. Room for a one-byte length is left; longer messages are moved.
pub(crate) fn write_message(tag: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    write_tag(tag, BYTES, out);
    let at = out.len();
    out.push(0);
    body(out);
    let length = out.len() - at - 1;
    let extra = varint_len(length as u64) - 1;
    if extra > 0 {
        out.resize(out.len() + extra, 0);
        out.copy_within(at + 1..at + 1 + length, at + 1 + extra);
    }
    let mut rest = length as u64;
    for slot in &mut out[at..=at + extra] {
        *slot = (rest & 0x7f) as u8 | 0x80;
        rest >>= 7;
    }
    out[at + extra] &= 0x7f;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        for n in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX, 1 << 63, (1 << 21) - 1, 1 << 21] {
            let mut out = Vec::new();
            write_varint(n, &mut out);
            assert_eq!(out.len(), varint_len(n), "{n}");
            assert_eq!(Reader::new(&out).varint(), Ok(n));
        }
        assert_eq!(Reader::new(&[0xff; 11]).varint(), Err(WireError::Overflow));
        assert_eq!(Reader::new(&[0xff]).varint(), Err(WireError::Eof));
        let mut out = Vec::new();
        write_message(1, &mut out, |out| out.resize(out.len() + 20_000, 7));
        let mut r = Reader::new(&out);
        assert_eq!(r.tag(), Ok((1, BYTES)));
        assert_eq!(r.delimited().map(<[u8]>::len), Ok(20_000));
        assert!(r.done());
    }
}
