//! A small SPDY/3.1 client: just enough to speak the remote command protocol with a runtime's streaming server.
//!
//! Headers are sent in stored (uncompressed) blocks of one zlib stream, which every decompressor accepts; headers of answers
//! are not needed and not read. There is no flow control, as in upstream's library.
//!
//! upstream: vendor/github.com/moby/spdystream, staging/src/k8s.io/apimachinery/pkg/util/httpstream/spdy

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const FLAG_FIN: u8 = 1;
/// Adler-32 of the dictionary that both sides know.
const DICTIONARY_ID: u32 = 0xe3c6_a7c2;
/// Longest frame that is accepted, in bytes.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the other side sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Data of a stream; `last` ends the stream.
    Data {
        /// Which stream.
        stream: u32,
        /// The bytes.
        data: Bytes,
        /// Nothing follows.
        last: bool,
    },
    /// A stream was broken off.
    Reset {
        /// Which stream.
        stream: u32,
    },
    /// A ping that must be answered with the same number.
    Ping(u32),
    /// The other side ends the connection.
    GoAway,
    /// Anything else: nothing to do.
    Other,
}

/// The writing half: makes frames.
pub struct FrameWriter<W> {
    out: W,
    next_stream: u32,
    zlib_started: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, next_stream: 1, zlib_started: false }
    }

    /// Opens a stream; answers its number.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = self.header_block(headers);
        let mut frame = control(SYN_STREAM, 0, 10 + block.len());
        frame.put_u32(stream);
        frame.put_u32(0);
        frame.put_u16(0);
        frame.extend_from_slice(&block);
        self.out.write_all(&frame).await?;
        self.out.flush().await?;
        Ok(stream)
    }

    /// Sends data; `last` ends this direction of the stream.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn data(&mut self, stream: u32, data: &[u8], last: bool) -> io::Result<()> {
        let mut frame = BytesMut::with_capacity(8 + data.len());
        frame.put_u32(stream & 0x7fff_ffff);
        let length = u32::try_from(data.len()).map_err(io::Error::other)?;
        frame.put_u32((u32::from(if last { FLAG_FIN } else { 0 }) << 24) | (length & 0x00ff_ffff));
        frame.extend_from_slice(data);
        self.out.write_all(&frame).await?;
        self.out.flush().await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn pong(&mut self, number: u32) -> io::Result<()> {
        let mut frame = control(PING, 0, 4);
        frame.put_u32(number);
        self.out.write_all(&frame).await?;
        self.out.flush().await
    }

    fn header_block(&mut self, headers: &[(&str, &str)]) -> BytesMut {
        let mut plain = BytesMut::new();
        put_length(&mut plain, headers.len());
        for (name, value) in headers {
            put_length(&mut plain, name.len());
            plain.extend_from_slice(name.to_lowercase().as_bytes());
            put_length(&mut plain, value.len());
            plain.extend_from_slice(value.as_bytes());
        }
        let mut block = BytesMut::new();
        if !self.zlib_started {
            self.zlib_started = true;
            // Deflate with a 32 KiB window and a preset dictionary; the check bits make it a multiple of 31.
            block.put_slice(&[0x78, 0xbb]);
            block.put_u32(DICTIONARY_ID);
        }
        put_stored(&mut block, &plain);
        // An empty block makes the other side hand on what it has.
        put_stored(&mut block, &[]);
        block
    }
}

fn put_length(out: &mut BytesMut, length: usize) {
    out.put_u32(u32::try_from(length).unwrap_or(0));
}

fn put_stored(out: &mut BytesMut, data: &[u8]) {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    out.put_u8(0);
    out.put_u16_le(length);
    out.put_u16_le(!length);
    out.extend_from_slice(data);
}

fn control(kind: u16, flags: u8, length: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(8 + length);
    frame.put_u16(VERSION);
    frame.put_u16(kind);
    frame.put_u32((u32::from(flags) << 24) | (u32::try_from(length).unwrap_or(0) & 0x00ff_ffff));
    frame
}

/// The reading half: cuts the bytes into frames.
pub struct FrameReader<R> {
    input: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `input`.
    pub fn new(input: R) -> Self {
        Self { input, buffer: BytesMut::new() }
    }

    /// The next frame, `None` at the end. Safe to be dropped half way: nothing is lost.
    ///
    /// # Errors
    /// The connection broke or does not speak SPDY.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = parse(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            if self.input.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

fn parse(buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    let Some(mut head) = buffer.get(..8) else {
        return Ok(None);
    };
    let first = head.get_u32();
    let second = head.get_u32();
    let length = usize::try_from(second & 0x00ff_ffff).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("SPDY frame is too long"));
    }
    if buffer.len() < 8 + length {
        return Ok(None);
    }
    buffer.advance(8);
    let mut body = buffer.split_to(length).freeze();
    let flags = (second >> 24) as u8;
    if first & 0x8000_0000 == 0 {
        return Ok(Some(Frame::Data { stream: first, data: body, last: flags & FLAG_FIN != 0 }));
    }
    let number = |body: &mut Bytes| if body.len() >= 4 { body.get_u32() } else { 0 };
    Ok(Some(match (first & 0xffff) as u16 {
        RST_STREAM => Frame::Reset { stream: number(&mut body) },
        PING => Frame::Ping(number(&mut body)),
        GOAWAY => Frame::GoAway,
        _ => Frame::Other,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_round_trip() {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let mut writer = FrameWriter::new(ours);
        assert_eq!(writer.open(&[("streamType", "stdin")]).await.expect("opened"), 1);
        assert_eq!(writer.open(&[]).await.expect("opened"), 3);
        writer.data(1, b"hello", true).await.expect("sent");
        writer.pong(2).await.expect("sent");
        drop(writer);
        let mut reader = FrameReader::new(theirs);
        let mut frames = Vec::new();
        while let Some(frame) = reader.next().await.expect("read") {
            frames.push(frame);
        }
        assert_eq!(
            frames,
            [
                Frame::Other,
                Frame::Other,
                Frame::Data { stream: 1, data: Bytes::from_static(b"hello"), last: true },
                Frame::Ping(2)
            ]
        );
    }
}
