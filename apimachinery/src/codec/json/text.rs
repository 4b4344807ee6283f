//! The spelling of JSON scalars as Go spells them.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// What stands for a byte inside a string: 0 itself, `u` a \u escape, anything else after a backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut c = 0;
    while c < 0x20 {
        table[c] = b'u';
        c += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[0x08] = b'b';
    table[0x0c] = b'f';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'<' as usize] = b'u';
    table[b'>' as usize] = b'u';
    table[b'&' as usize] = b'u';
    // The first byte of U+2028 and U+2029.
    table[0xe2] = 1;
    table
};

/// Appends a string in quotes, escaped as Go does for HTML.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text.as_bytes(), out);
    out.push(b'"');
}

/// Appends the inside of a string.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    let mut start = 0;
    for (i, &c) in text.iter().enumerate() {
        let escape = ESCAPES[usize::from(c)];
        if escape == 0 {
            continue;
        }
        if escape == 1 {
            if let [0x80, last @ (0xa8 | 0xa9)] = text[i + 1..].first_chunk::<2>().copied().unwrap_or([0, 0]) {
                out.extend_from_slice(&text[start..i]);
                out.extend_from_slice(if last == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                start = i + 3;
            }
            continue;
        }
        out.extend_from_slice(&text[start..i]);
        start = i + 1;
        if escape == b'u' {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&text[start..]);
}

/// Appends a float in Go's form: shortest digits, exponent only below 1e-6 and from 1e21. Infinities and NaN, which JSON cannot say, become null.
pub fn write_float(f: f64, out: &mut Vec<u8>) {
    if !f.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    write_digits(&format!("{f:e}"), f == 0.0 || (1e-6..1e21).contains(&f.abs()), out);
}

/// Appends a 32 bit float, with the digits that identify it among those.
pub fn write_float32(f: f64, out: &mut Vec<u8>) {
    #[expect(clippy::cast_possible_truncation, reason = "the value came from a 32 bit field")]
    let f = f as f32;
    if !f.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    write_digits(&format!("{f:e}"), f == 0.0 || (1e-6..1e21).contains(&f.abs()), out);
}

/// Lays out `d.ddde±x`.
fn write_digits(scientific: &str, plain: bool, out: &mut Vec<u8>) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !plain {
        out.extend_from_slice(mantissa.as_bytes());
        out.push(b'e');
        out.extend_from_slice(if exponent < 0 { b"-" } else { b"+" });
        // Go writes two digits and then removes the zero of e-09, not that of e+09, which does not occur.
        out.extend_from_slice(exponent.unsigned_abs().to_string().as_bytes());
        return;
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: Vec<u8> = mantissa.bytes().filter(|c| *c != b'.').collect();
    out.extend_from_slice(sign.as_bytes());
    match usize::try_from(exponent) {
        Ok(whole) => {
            let cut = digits.len().min(whole + 1);
            out.extend_from_slice(&digits[..cut]);
            out.resize(out.len() + (whole + 1 - cut), b'0');
            if cut < digits.len() {
                out.push(b'.');
                out.extend_from_slice(&digits[cut..]);
            }
        }
        Err(_) => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + usize::try_from(-exponent - 1).unwrap_or(0), b'0');
            out.extend_from_slice(&digits);
        }
    }
}

/// Bytes of embedded JSON that are not simply copied: 1 white space, 2 quote, 3 backslash, 4 to be escaped, 5 start of a line separator.
const RAW_CLASSES: [u8; 256] = {
    let mut table = [0u8; 256];
    table[b' ' as usize] = 1;
    table[b'\t' as usize] = 1;
    table[b'\r' as usize] = 1;
    table[b'\n' as usize] = 1;
    table[b'"' as usize] = 2;
    table[b'\\' as usize] = 3;
    table[b'<' as usize] = 4;
    table[b'>' as usize] = 4;
    table[b'&' as usize] = 4;
    table[0xe2] = 5;
    table
};

/// Appends embedded JSON without white space and with `<>&` and line separators escaped, as Go does for raw messages. The text must be valid JSON.
pub fn compact_raw(raw: &[u8], out: &mut Vec<u8>) {
    let (mut start, mut at, mut in_string) = (0, 0, false);
    while let Some(&c) = raw.get(at) {
        at += 1;
        let replacement: &[u8] = match RAW_CLASSES[usize::from(c)] {
            0 => continue,
            1 if !in_string => b"",
            2 => {
                in_string = !in_string;
                continue;
            }
            3 => {
                at += 1;
                continue;
            }
            4 if c == b'<' => b"\\u003c",
            4 if c == b'>' => b"\\u003e",
            4 => b"\\u0026",
            5 if raw[at..].starts_with(&[0x80, 0xa8]) => b"\\u2028",
            5 if raw[at..].starts_with(&[0x80, 0xa9]) => b"\\u2029",
            _ => continue,
        };
        out.extend_from_slice(&raw[start..at - 1]);
        out.extend_from_slice(replacement);
        if c == 0xe2 {
            at += 2;
        }
        start = at;
    }
    out.extend_from_slice(&raw[start.min(raw.len())..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(f: f64) -> String {
        let mut out = Vec::new();
        write_float(f, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats() {
        for (f, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (100.0, "100"),
            (0.1, "0.1"),
            (-12.5, "-12.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e300, "1.5e+300"),
            (1e-6, "0.000001"),
            (1.25e-7, "1.25e-7"),
            (123_456_789.125, "123456789.125"),
        ] {
            assert_eq!(float(f), text);
        }
    }

    #[test]
    fn strings() {
        let mut out = Vec::new();
        write_string("a\"\\\n\u{8}\u{1}<&>é\u{2028}\u{20ac}\u{7f}", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\"a\\\"\\\\\\n\\b\\u0001\\u003c\\u0026\\u003eé\\u2028\u{20ac}\u{7f}\""
        );
        let mut out = Vec::new();
        compact_raw(br#"{ "a \" b" : [ 1 , "<" ] }"#, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a \\\" b\":[1,\"\\u003c\"]}");
    }
}
