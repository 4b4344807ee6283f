//! exec and attach over a WebSocket whose messages begin with a channel number.

use std::io::Write as _;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::AsyncReadExt as _;
use tokio_tungstenite::tungstenite::Message;

use super::terminal::{self, RawMode};
use crate::client::{Request, Rest, open_websocket};
use crate::failure::{ApiStatus, Failure};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];

/// Which streams are connected.
#[derive(Clone, Debug, Default)]
pub struct Session {
    /// Sends standard input.
    pub stdin: bool,
    /// Uses a terminal.
    pub tty: bool,
    /// Leaves out notes about the terminal.
    pub quiet: bool,
    /// Leaves out standard error.
    pub no_stderr: bool,
}

impl Session {
    /// Settles whether a terminal is possible; tells when it is not.
    pub fn settle_tty(&mut self) {
        if !self.stdin {
            self.tty = false;
        } else if self.tty && !terminal::stdin_is_terminal() {
            self.tty = false;
            if !self.quiet {
                eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
            }
        }
    }

    fn request(&self, request: Request) -> Request {
        let flag = |request: Request, name: &str, on: bool| if on { request.query(name, "true") } else { request };
        let request = flag(request, "stdin", self.stdin);
        let request = request.query("stdout", "true");
        let request = flag(request, "stderr", !self.tty && !self.no_stderr);
        flag(request, "tty", self.tty)
    }
}

fn message(channel: u8, data: &[u8]) -> Message {
    let mut bytes = Vec::with_capacity(data.len() + 1);
    bytes.push(channel);
    bytes.extend_from_slice(data);
    Message::binary(bytes)
}

fn resize_message() -> Option<Message> {
    let (width, height) = terminal::size()?;
    Some(message(RESIZE, format!("{{\"Width\":{width},\"Height\":{height}}}").as_bytes()))
}

/// Connects the terminal until the remote side ends.
pub async fn interact(rest: &Rest, request: Request, session: &Session) -> anyhow::Result<()> {
    let socket = open_websocket(rest, &session.request(request), &PROTOCOLS).await?;
    let v5 = socket.protocol == PROTOCOLS[0];
    let (mut sink, mut stream) = socket.stream.split();
    let raw = if session.tty { RawMode::enter() } else { None };
    let mut resized = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?;
    if session.tty
        && let Some(first) = resize_message()
    {
        sink.send(first).await?;
    }
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0u8; 32 * 1024];
    let mut reading = session.stdin;
    let mut outcome = None;
    loop {
        tokio::select! {
            incoming = stream.next() => match incoming {
                Some(Ok(Message::Binary(data))) => outcome = receive(&data)?.or(outcome),
                Some(Ok(Message::Close(_))) | None => break,
                Some(Ok(_)) => {}
                Some(Err(_)) if outcome.is_some() => break,
                Some(Err(error)) => {
                    drop(raw);
                    anyhow::bail!("error reading from error stream: {error}");
                }
            },
            count = stdin.read(&mut buffer), if reading => {
                let count = count.unwrap_or(0);
                if count > 0 {
                    sink.send(message(STDIN, &buffer[..count])).await?;
                    continue;
                }
                reading = false;
                if v5 {
                    sink.send(Message::binary(vec![CLOSE, STDIN])).await?;
                }
            }
            _ = resized.recv(), if session.tty => {
                if let Some(size) = resize_message() {
                    sink.send(size).await?;
                }
            }
        }
    }
    drop(raw);
    result(outcome)
}

/// Writes a message to where it belongs; the result is the final status if this is it.
fn receive(data: &[u8]) -> anyhow::Result<Option<ApiStatus>> {
    let Some((channel, data)) = data.split_first() else {
        return Ok(None);
    };
    match *channel {
        STDOUT => {
            let mut out = std::io::stdout().lock();
            out.write_all(data)?;
            out.flush()?;
        }
        STDERR => std::io::stderr().lock().write_all(data)?,
        STATUS if !data.is_empty() => return Ok(Some(status(data))),
        _ => {}
    }
    Ok(None)
}

fn status(data: &[u8]) -> ApiStatus {
    let plain = || ApiStatus { message: String::from_utf8_lossy(data).into_owned(), ..ApiStatus::default() };
    let Ok(value) = crate::codec::decode_json(data) else {
        return plain();
    };
    if value.get("status").str_or_empty() == "Success" {
        return ApiStatus { reason: "Success".to_owned(), ..ApiStatus::default() };
    }
    let mut typed = value;
    typed.set("kind", "Status");
    ApiStatus::from_value(&typed).unwrap_or_else(plain)
}

fn result(outcome: Option<ApiStatus>) -> anyhow::Result<()> {
    let Some(status) = outcome else {
        return Ok(());
    };
    if status.reason == "Success" {
        return Ok(());
    }
    if status.reason == "NonZeroExitCode" {
        let cause = status.causes.iter().find(|c| c.reason == "ExitCode");
        let code = cause.and_then(|c| c.message.parse::<i32>().ok());
        return match code {
            Some(code) => Err(Failure::Coded(format!("command terminated with exit code {code}"), code).into()),
            None => Err(anyhow::anyhow!("error stream protocol error: no {} cause given", "ExitCode")),
        };
    }
    anyhow::bail!("{}", status.message)
}

/// Runs a command with `input`, handing its output to `output` piece by piece. Standard error goes to ours.
pub async fn captured(
    rest: &Rest,
    request: Request,
    mut input: Option<Box<dyn std::io::Read + Send>>,
    output: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
    notices: &mut dyn FnMut(&[u8]),
) -> anyhow::Result<()> {
    let session = Session { stdin: input.is_some(), ..Session::default() };
    let socket = open_websocket(rest, &session.request(request), &PROTOCOLS).await?;
    let v5 = socket.protocol == PROTOCOLS[0];
    let (mut sink, mut stream) = socket.stream.split();
    let sender = async move {
        let mut buffer = vec![0u8; 32 * 1024];
        while let Some(reader) = input.as_mut() {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                if v5 {
                    sink.send(Message::binary(vec![CLOSE, STDIN])).await?;
                }
                break;
            }
            sink.send(message(STDIN, &buffer[..count])).await?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(sink)
    };
    let receiver = async {
        let mut outcome = None;
        while let Some(incoming) = stream.next().await {
            match incoming {
                Ok(Message::Binary(data)) if data.first() == Some(&STDOUT) => output(&data[1..])?,
                Ok(Message::Binary(data)) if data.first() == Some(&STDERR) => notices(&data[1..]),
                Ok(Message::Binary(data)) => outcome = receive(&data)?.or(outcome),
                Ok(Message::Close(_)) => break,
                Ok(_) => {}
                Err(_) if outcome.is_some() => break,
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::Ok(outcome)
    };
    let (sent, outcome) = tokio::join!(sender, receiver);
    let outcome = outcome?;
    // The remote side may end before it has read everything.
    drop(sent);
    result(outcome)
}
