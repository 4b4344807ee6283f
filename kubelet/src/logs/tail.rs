//! The last lines of a file, found from its end in blocks, so that large logs are not read whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::line::parse_line;

const BLOCK_BYTES: u64 = 4096;

/// Offset at which the last `lines` lines of `file` begin.
///
/// # Errors
/// The file cannot be read.
pub fn tail_offset(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    if lines == 0 || end == 0 {
        return Ok(end);
    }
    let mut newlines = 0;
    let mut block = vec![0; usize::try_from(BLOCK_BYTES).unwrap_or(4096)];
    let length = end;
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        let size = usize::try_from(end - start).unwrap_or(0);
        let Some(part) = block.get_mut(..size) else { break };
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(part)?;
        for (index, _) in part.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let position = start + u64::try_from(index).unwrap_or(0);
            // The newline that ends the file begins no line.
            if position + 1 == length {
                continue;
            }
            newlines += 1;
            if newlines == lines {
                return Ok(position + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

/// The text of the last lines of a CRI log, at most `lines` and `bytes_max`; empty when it cannot be read.
pub fn last_lines(path: &Path, lines: usize, bytes_max: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let from_lines = tail_offset(&mut file, u64::try_from(lines).unwrap_or(u64::MAX))?;
        // Half a kilobyte for the prefixes of each line is plenty; the result is cut below.
        let length = file.metadata()?.len();
        let start = from_lines.max(length.saturating_sub(bytes_max * 8));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(bytes_max * 8).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').filter_map(parse_line) {
        out.extend_from_slice(&line.text);
        if !line.partial {
            out.push(b'\n');
        }
    }
    let keep = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let cut = out.len().saturating_sub(keep);
    String::from_utf8_lossy(out.get(cut..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn finds_the_last_lines() {
        let mut file = tempfile::tempfile().expect("temporary file");
        let text: String = (0..2000).map(|number| format!("line {number}\n")).collect();
        file.write_all(text.as_bytes()).expect("written");
        for (lines, want) in [(1, "line 1999\n"), (3, "line 1997\nline 1998\nline 1999\n")] {
            let offset = tail_offset(&mut file, lines).expect("readable");
            assert_eq!(&text[usize::try_from(offset).expect("small")..], want);
        }
        assert_eq!(tail_offset(&mut file, 5000).expect("readable"), 0);
        assert_eq!(tail_offset(&mut file, 0).expect("readable"), text.len() as u64);
    }

    #[test]
    fn joins_partial_lines() {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        file.write_all(b"t stdout P ab\nt stdout F cd\nt stderr F e\n").expect("written");
        assert_eq!(last_lines(file.path(), 80, 2048), "abcd\ne\n");
        assert_eq!(last_lines(Path::new("/nonexistent"), 80, 2048), "");
    }
}
