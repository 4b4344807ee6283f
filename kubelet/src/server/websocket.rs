//! Sessions of websocket clients, translated to SPDY for the runtime's streaming server.
//!
//! Version 5 of the protocol can end standard input alone, which no websocket of a runtime understands; port forwarding
//! tunnels SPDY itself inside of a websocket.
//!
//! upstream: staging/src/k8s.io/apimachinery/pkg/util/remotecommand, staging/src/k8s.io/kubelet/pkg/cri/streaming

use std::collections::HashMap;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::spdy::{Frame, FrameReader, FrameWriter};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 32 * 1024;

type Io = TokioIo<Upgraded>;
type Socket = WebSocketStream<Io>;

/// Which streams a session has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channels {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// A terminal, which can be resized.
    pub tty: bool,
}

impl Channels {
    /// Channel numbers and stream types in the order in which they are opened.
    fn list(self) -> Vec<(u8, &'static str)> {
        let all = [
            (true, ERROR, "error"),
            (self.stdin, STDIN, "stdin"),
            (self.stdout, STDOUT, "stdout"),
            (self.stderr && !self.tty, STDERR, "stderr"),
            (self.tty, RESIZE, "resize"),
        ];
        all.into_iter().filter(|(wanted, ..)| *wanted).map(|(_, channel, name)| (channel, name)).collect()
    }
}

async fn socket(client: Upgraded) -> Socket {
    WebSocketStream::from_raw_socket(TokioIo::new(client), Role::Server, None).await
}

/// Clients take an end without this code for a failure.
async fn say_goodbye(sink: &mut SplitSink<Socket, Message>) {
    let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    let _client_is_gone = sink.send(Message::Close(Some(frame))).await;
    let _client_is_gone = sink.close().await;
}

/// Runs a remote command session to its end.
pub async fn remote_command(client: Upgraded, runtime: Upgraded, channels: Channels) {
    let (read, write) = tokio::io::split(TokioIo::new(runtime));
    let mut writer = FrameWriter::new(write);
    let mut streams = HashMap::new();
    for (channel, name) in channels.list() {
        match writer.open(&[("streamtype", name)]).await {
            Ok(stream) => {
                streams.insert(channel, stream);
            }
            Err(error) => {
                tracing::debug!(%error, "stream of a remote command was not opened");
                return;
            }
        }
    }
    let (sink, input) = socket(client).await.split();
    let session = Session { sink, writer, streams, ended: 0 };
    session.run(input, FrameReader::new(read)).await;
}

struct Session {
    sink: SplitSink<Socket, Message>,
    writer: FrameWriter<WriteHalf<Io>>,
    streams: HashMap<u8, u32>,
    ended: usize,
}

enum Next {
    Go,
    End,
}

impl Session {
    async fn run(mut self, mut input: SplitStream<Socket>, mut output: FrameReader<ReadHalf<Io>>) {
        loop {
            let next = tokio::select! {
                message = input.next() => match message {
                    Some(Ok(message)) => self.on_message(message).await,
                    _ => Next::End,
                },
                frame = output.next() => match frame {
                    Ok(Some(frame)) => self.on_frame(frame).await,
                    _ => Next::End,
                },
            };
            if let Next::End = next {
                break;
            }
        }
        say_goodbye(&mut self.sink).await;
    }

    async fn on_message(&mut self, message: Message) -> Next {
        let data = match message {
            Message::Binary(data) => data,
            Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Message::Close(_) => return Next::End,
            _ => return Next::Go,
        };
        let Some((channel, rest)) = data.split_first() else {
            return Next::Go;
        };
        let sent = match (*channel, rest) {
            (CLOSE, [closed]) => match self.streams.get(closed) {
                Some(stream) => self.writer.data(*stream, &[], true).await,
                None => Ok(()),
            },
            (STDIN | RESIZE, rest) => match self.streams.get(channel) {
                Some(stream) => self.writer.data(*stream, rest, false).await,
                None => Ok(()),
            },
            _ => Ok(()),
        };
        if sent.is_ok() { Next::Go } else { Next::End }
    }

    async fn on_frame(&mut self, frame: Frame) -> Next {
        match frame {
            Frame::Data { stream, data, last } => {
                let channel = self.streams.iter().find(|(_, number)| **number == stream).map(|(channel, _)| *channel);
                let Some(channel) = channel else { return Next::Go };
                if !data.is_empty() && self.send(channel, &data).await.is_err() {
                    return Next::End;
                }
                if last { self.end_of(channel) } else { Next::Go }
            }
            Frame::Reset { stream } => {
                let channel = self.streams.iter().find(|(_, number)| **number == stream).map(|(channel, _)| *channel);
                channel.map_or(Next::Go, |channel| self.end_of(channel))
            }
            Frame::Ping(number) => match self.writer.pong(number).await {
                Ok(()) => Next::Go,
                Err(_broken) => Next::End,
            },
            Frame::GoAway => Next::End,
            Frame::Other => Next::Go,
        }
    }

    async fn send(&mut self, channel: u8, data: &[u8]) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let mut message = Vec::with_capacity(data.len() + 1);
        message.push(channel);
        message.extend_from_slice(data);
        self.sink.send(Message::Binary(message.into())).await
    }

    /// The session is over when everything that comes from the runtime has ended.
    fn end_of(&mut self, channel: u8) -> Next {
        if matches!(channel, STDOUT | STDERR | ERROR) {
            self.ended += 1;
        }
        let outgoing = self.streams.keys().filter(|channel| matches!(**channel, STDOUT | STDERR | ERROR)).count();
        if self.ended >= outgoing { Next::End } else { Next::Go }
    }
}

/// Carries the bytes of a SPDY connection inside of a websocket.
pub async fn tunnel(client: Upgraded, runtime: Upgraded) {
    let (mut sink, mut input) = socket(client).await.split();
    let (mut read, mut write) = tokio::io::split(TokioIo::new(runtime));
    let to_client = async {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(count) = read.read(&mut buffer).await {
            let Some(data) = buffer.get(..count).filter(|data| !data.is_empty()) else { break };
            if sink.send(Message::Binary(Bytes::copy_from_slice(data))).await.is_err() {
                break;
            }
        }
        say_goodbye(&mut sink).await;
    };
    let to_runtime = async {
        while let Some(Ok(message)) = input.next().await {
            let sent = match message {
                Message::Binary(data) => write.write_all(&data).await,
                Message::Close(_) => break,
                _ => Ok(()),
            };
            if sent.is_err() {
                break;
            }
        }
        let _runtime_is_gone = write.shutdown().await;
    };
    tokio::select! {
        () = to_client => {}
        () = to_runtime => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_standard_error() {
        let channels = Channels { stdin: true, stdout: true, stderr: true, tty: true };
        let names: Vec<&str> = channels.list().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["error", "stdin", "stdout", "resize"]);
    }
}
