//! The few parts of the tar format that `kubectl cp` needs: ustar entries with GNU and pax long names.

use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

const BLOCK: usize = 512;
const NAME_LENGTH: usize = 100;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with content.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Link,
}

/// The head of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path in the archive.
    pub name: String,
    /// File, folder or link.
    pub kind: EntryKind,
    /// Target of a link.
    pub link: String,
    /// Permission bits.
    pub mode: u32,
    /// Length of the content.
    pub size: u64,
    /// Seconds since 1970.
    pub modified: i64,
    /// Owner.
    pub owner: (u32, u32),
}

impl Entry {
    /// The head for a local file under another name.
    pub fn of(path: &Path, name: &str) -> io::Result<Self> {
        let meta = std::fs::symlink_metadata(path)?;
        let kind = match meta.file_type() {
            t if t.is_dir() => EntryKind::Directory,
            t if t.is_symlink() => EntryKind::Link,
            _ => EntryKind::File,
        };
        let link = match kind {
            EntryKind::Link => std::fs::read_link(path)?.to_string_lossy().into_owned(),
            _ => String::new(),
        };
        Ok(Self {
            name: name.to_owned(),
            kind,
            link,
            mode: meta.permissions().mode() & 0o7777,
            size: if kind == EntryKind::File { meta.len() } else { 0 },
            modified: meta.mtime(),
            owner: (meta.uid(), meta.gid()),
        })
    }

    /// Writes the head, preceded by an entry with the name if it is long.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (text, flag) in [(&self.name, b'L'), (&self.link, b'K')] {
            if text.len() >= NAME_LENGTH {
                let mut content = text.clone().into_bytes();
                content.push(0);
                out.write_all(&header("././@LongLink", "", flag, self, content.len() as u64))?;
                out.write_all(&content)?;
                pad(out, content.len() as u64)?;
            }
        }
        let flag = match self.kind {
            EntryKind::File => b'0',
            EntryKind::Link => b'2',
            EntryKind::Directory => b'5',
        };
        out.write_all(&header(&self.name, &self.link, flag, self, self.size))
    }
}

fn header(name: &str, link: &str, flag: u8, entry: &Entry, size: u64) -> [u8; BLOCK] {
    let mut block = [0u8; BLOCK];
    let mut put = |at: usize, length: usize, bytes: &[u8]| {
        let length = bytes.len().min(length);
        block[at..at + length].copy_from_slice(&bytes[..length]);
    };
    let octal = |value: u64, digits: usize| format!("{value:0digits$o}").into_bytes();
    put(0, NAME_LENGTH, name.as_bytes());
    put(100, 8, &octal(u64::from(entry.mode), 7));
    put(108, 8, &octal(u64::from(entry.owner.0), 7));
    put(116, 8, &octal(u64::from(entry.owner.1), 7));
    put(124, 12, &octal(size, 11));
    put(136, 12, &octal(u64::try_from(entry.modified).unwrap_or(0), 11));
    put(148, 8, b"        ");
    put(156, 1, &[flag]);
    put(157, NAME_LENGTH, link.as_bytes());
    put(257, 8, b"ustar  \0");
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    block[154] = 0;
    block
}

/// Fills up to the next block.
pub fn pad(out: &mut dyn Write, size: u64) -> io::Result<()> {
    let rest = (size % BLOCK as u64) as usize;
    if rest == 0 { Ok(()) } else { out.write_all(&vec![0; BLOCK - rest]) }
}

/// Ends an archive.
pub fn finish(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&[0; 2 * BLOCK])
}

/// Reads the entries of an archive in turn.
pub struct Reader<R> {
    input: R,
    left: u64,
    padding: u64,
}

impl<R: Read> Reader<R> {
    /// Over a stream.
    pub fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    fn skip(&mut self) -> io::Result<()> {
        let count = self.left + self.padding;
        io::copy(&mut (&mut self.input).take(count), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    fn text(&mut self, size: u64) -> io::Result<String> {
        let mut bytes = Vec::new();
        (&mut self.input).take(size).read_to_end(&mut bytes)?;
        self.left = 0;
        self.skip()?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The next head; what is left of the entry before is skipped.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let (mut name, mut link) = (None, None);
        loop {
            self.skip()?;
            let mut block = [0u8; BLOCK];
            let count = read_full(&mut self.input, &mut block)?;
            if count == 0 || block.iter().all(|b| *b == 0) {
                return Ok(None);
            }
            if count < BLOCK {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let size = number(&block[124..136]);
            (self.left, self.padding) = (size, size.next_multiple_of(BLOCK as u64) - size);
            match block[156] {
                b'L' => name = Some(self.text(size)?.trim_end_matches('\0').to_owned()),
                b'K' => link = Some(self.text(size)?.trim_end_matches('\0').to_owned()),
                b'x' => {
                    for record in self.text(size)?.lines() {
                        let field = record.split_once(' ').and_then(|(_, f)| f.split_once('='));
                        match field {
                            Some(("path", value)) => name = Some(value.to_owned()),
                            Some(("linkpath", value)) => link = Some(value.to_owned()),
                            _ => {}
                        }
                    }
                }
                b'g' => {}
                flag => return Ok(Some(entry(&block, flag, size, name, link))),
            }
        }
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.input).take(self.left).read(buffer)?;
        self.left -= count as u64;
        Ok(count)
    }
}

fn entry(block: &[u8; BLOCK], flag: u8, size: u64, name: Option<String>, link: Option<String>) -> Entry {
    let plain = || match text(&block[345..500]) {
        prefix if &block[257..263] == b"ustar\0" && !prefix.is_empty() => format!("{prefix}/{}", text(&block[..100])),
        _ => text(&block[..100]),
    };
    Entry {
        name: name.unwrap_or_else(plain),
        kind: match flag {
            b'5' => EntryKind::Directory,
            b'1' | b'2' => EntryKind::Link,
            _ => EntryKind::File,
        },
        link: link.unwrap_or_else(|| text(&block[157..257])),
        mode: u32::try_from(number(&block[100..108])).unwrap_or(0),
        size,
        modified: i64::try_from(number(&block[136..148])).unwrap_or(0),
        owner: (0, 0),
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// An octal number, or a binary one as GNU writes large sizes.
fn number(bytes: &[u8]) -> u64 {
    if bytes[0] & 0x80 != 0 {
        return bytes[1..].iter().fold(0, |sum, b| (sum << 8) | u64::from(*b));
    }
    u64::from_str_radix(text(bytes).trim(), 8).unwrap_or(0)
}

fn read_full(input: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < block.len() {
        match input.read(&mut block[count..])? {
            0 => break,
            more => count += more,
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::{Entry, EntryKind, Reader, finish, pad};

    #[test]
    fn written_archives_are_read_again() {
        let long = format!("dir/{}", "x".repeat(150));
        let mut archive = Vec::new();
        for (name, content) in [("a", "hello"), (long.as_str(), "")] {
            let entry = Entry {
                name: name.to_owned(),
                kind: EntryKind::File,
                link: String::new(),
                mode: 0o644,
                size: content.len() as u64,
                modified: 7,
                owner: (0, 0),
            };
            entry.write(&mut archive).expect("in memory");
            archive.extend_from_slice(content.as_bytes());
            pad(&mut archive, content.len() as u64).expect("in memory");
        }
        finish(&mut archive).expect("in memory");
        let mut reader = Reader::new(archive.as_slice());
        let first = reader.next().expect("valid").expect("there");
        let mut content = String::new();
        reader.read_to_string(&mut content).expect("text");
        assert_eq!((first.name.as_str(), content.as_str()), ("a", "hello"));
        assert_eq!(reader.next().expect("valid").expect("there").name, long);
        assert_eq!(reader.next().expect("valid"), None);
    }
}
