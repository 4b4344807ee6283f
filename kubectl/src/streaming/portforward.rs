//! Local ports that lead to a pod. Each connection is one WebSocket: channel 0 carries data, channel 1 an error.

use std::net::SocketAddr;
use std::rc::Rc;

use futures::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Request, Rest, open_websocket};
use crate::context::Context;

const PROTOCOLS: [&str; 1] = ["v4.channel.k8s.io"];

/// A local port (0: any) and the pod's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedPort {
    /// Local.
    pub local: u16,
    /// Remote.
    pub remote: u16,
}

impl ForwardedPort {
    /// `remote`, `local:remote`, `:remote`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (local, remote) = match parts.as_slice() {
            [port] => (*port, *port),
            [local, remote] => (if local.is_empty() { "0" } else { *local }, *remote),
            _ => anyhow::bail!("invalid port format '{text}'"),
        };
        let parse = |what: &str, text: &str| {
            text.parse::<u16>().map_err(|_| {
                let reason = if text.parse::<u64>().is_ok() { "value out of range" } else { "invalid syntax" };
                let quoted = crate::cli::quote::quote(text);
                anyhow::anyhow!("error parsing {what} port '{text}': strconv.ParseUint: parsing {quoted}: {reason}")
            })
        };
        let (local, remote) = (parse("local", local)?, parse("remote", remote)?);
        anyhow::ensure!(remote > 0, "remote port must be > 0");
        Ok(Self { local, remote })
    }
}

/// Listens on the ports until the process ends.
pub async fn forward(
    ctx: &Rc<Context>,
    request: Request,
    addresses: &[String],
    ports: &[ForwardedPort],
) -> anyhow::Result<()> {
    let rest = ctx.rest().await?;
    let mut listeners = Vec::new();
    for port in ports {
        let before = listeners.len();
        for address in addresses {
            let targets: &[&str] = if address == "localhost" { &["127.0.0.1", "::1"] } else { &[address.as_str()] };
            for target in targets {
                match listen(target, port.local).await {
                    Ok(listener) => listeners.push((listener, *port)),
                    // Without IPv6 the other address is enough.
                    Err(_) if *target == "::1" && listeners.len() > before => {}
                    Err(error) => ctx.err(&format!(
                        "Unable to listen on port {}: Listeners failed to create with the following errors: [unable to create listener: Error listen tcp4 {target}:{}: bind: {}]\n",
                        port.local,
                        port.local,
                        crate::files::go_error(&error)
                    )),
                }
            }
        }
    }
    if listeners.is_empty() {
        let shown: Vec<String> = ports.iter().map(|p| format!("{{{} {}}}", p.local, p.remote)).collect();
        anyhow::bail!("unable to listen on any of the requested ports: [{}]", shown.join(" "));
    }
    let mut tasks = Vec::new();
    for (listener, port) in listeners {
        let local = listener.local_addr()?;
        ctx.out(&format!("Forwarding from {} -> {}\n", shown(local), port.remote));
        let (ctx, rest, request) = (Rc::clone(ctx), Rc::clone(&rest), request.clone());
        tasks.push(tokio::task::spawn_local(accept(ctx, rest, request, listener, port, local.port())));
    }
    for task in tasks {
        task.await?;
    }
    Ok(())
}

fn shown(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]:{}", address.ip(), address.port()) } else { address.to_string() }
}

async fn listen(address: &str, port: u16) -> std::io::Result<TcpListener> {
    let ip: std::net::IpAddr = address.parse().map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
    TcpListener::bind((ip, port)).await
}

async fn accept(
    ctx: Rc<Context>,
    rest: Rc<Rest>,
    request: Request,
    listener: TcpListener,
    port: ForwardedPort,
    local: u16,
) {
    while let Ok((connection, _)) = listener.accept().await {
        ctx.out(&format!("Handling connection for {local}\n"));
        let (ctx, rest, request) = (Rc::clone(&ctx), Rc::clone(&rest), request.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = carry(&rest, request, connection, port).await {
                ctx.err(&format!("error: an error occurred forwarding {local} -> {}: {error}\n", port.remote));
            }
        });
    }
}

async fn carry(rest: &Rest, request: Request, connection: TcpStream, port: ForwardedPort) -> anyhow::Result<()> {
    let request = request.query("ports", port.remote.to_string());
    let socket = open_websocket(rest, &request, &PROTOCOLS).await?;
    let (mut sink, mut stream) = socket.stream.split();
    let (mut from_client, mut to_client) = connection.into_split();
    let upward = async move {
        let mut buffer = vec![0u8; 32 * 1024];
        buffer[0] = 0;
        loop {
            let count = from_client.read(&mut buffer[1..]).await?;
            if count == 0 {
                return anyhow::Ok(sink);
            }
            sink.send(Message::binary(buffer[..=count].to_vec())).await?;
        }
    };
    let downward = async move {
        let mut first = [true, true];
        let mut error = Vec::new();
        while let Some(Ok(message)) = stream.next().await {
            let Message::Binary(data) = message else {
                if message.is_close() {
                    break;
                }
                continue;
            };
            let Some((channel, mut data)) = data.split_first() else {
                continue;
            };
            let channel = usize::from(*channel).min(1);
            // Each channel begins with the port's two bytes.
            if std::mem::take(&mut first[channel]) {
                data = data.get(2..).unwrap_or_default();
            }
            if channel == 0 {
                to_client.write_all(data).await?;
            } else {
                error.extend_from_slice(data);
            }
        }
        anyhow::ensure!(error.is_empty(), "{}", String::from_utf8_lossy(&error));
        anyhow::Ok(())
    };
    tokio::pin!(upward, downward);
    // The answer may go on after the client has ended its part.
    tokio::select! {
        sent = &mut upward => {
            let _sink = sent?;
            downward.await
        }
        received = &mut downward => received,
    }
}

#[cfg(test)]
mod tests {
    use super::ForwardedPort;

    #[test]
    fn ports() {
        let parse = |t: &str| ForwardedPort::parse(t).map(|p| (p.local, p.remote)).map_err(|e| e.to_string());
        assert_eq!(parse("80"), Ok((80, 80)));
        assert_eq!(parse("8080:80"), Ok((8080, 80)));
        assert_eq!(parse(":80"), Ok((0, 80)));
        assert_eq!(parse("a:b:c"), Err("invalid port format 'a:b:c'".to_owned()));
        assert_eq!(parse("0:0"), Err("remote port must be > 0".to_owned()));
    }
}
