//! A lazy gRPC channel over the unix socket of a container runtime.
//!
//! The channel connects on first use and again after the runtime was restarted, so the caller only ever sees a failed call.
//!
//! upstream: staging/src/k8s.io/cri-client/pkg/remote_runtime.go

use std::io;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::v1::image_service_client::ImageServiceClient;
use crate::v1::runtime_service_client::RuntimeServiceClient;

/// Upstream's limit for one CRI message, in bytes.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why an endpoint string cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The scheme is not one that a Linux kubelet can dial.
    #[error("protocol {0:?} not supported")]
    Scheme(String),
    /// TCP could be dialled, but no runtime is to be reached by it.
    #[error("only support unix socket endpoint")]
    Tcp,
    /// No socket path was given.
    #[error("the endpoint {0:?} has no socket path")]
    NoPath(String),
    /// The placeholder address was refused by the gRPC library.
    #[error("build the gRPC endpoint")]
    Endpoint(#[source] tonic::transport::Error),
}

/// Both services of one runtime.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Sandboxes and containers.
    pub runtime: RuntimeServiceClient<Channel>,
    /// Images.
    pub image: ImageServiceClient<Channel>,
}

/// Prepares clients for `endpoint`: `unix:///path`, `unix:path` or a bare absolute path.
///
/// # Errors
/// The endpoint is malformed. That nobody listens on it is not an error here; the first call reports it.
pub fn connect(endpoint: &str) -> Result<Clients, ChannelError> {
    let channel = channel(endpoint)?;
    Ok(Clients {
        runtime: RuntimeServiceClient::new(channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX),
        image: ImageServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX),
    })
}

fn channel(endpoint: &str) -> Result<Channel, ChannelError> {
    let path = socket_path(endpoint)?;
    // The URI only fills the :authority header; the connector decides where the bytes go.
    let target = Endpoint::from_static("http://localhost");
    Ok(target.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move {
            let stream = UnixStream::connect(&path).await.map_err(|error| dial_error(&path, &error))?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    })))
}

/// In the words of Go's gRPC, which those who run a kubelet know.
fn dial_error(path: &Path, error: &io::Error) -> io::Error {
    let text = error.to_string();
    let mut chars = text.split(" (os error").next().unwrap_or_default().chars();
    let reason: String = chars.next().into_iter().flat_map(char::to_lowercase).chain(chars).collect();
    let message = format!(
        "connection error: desc = \"transport: Error while dialing: dial unix {}: connect: {reason}\"",
        path.display()
    );
    io::Error::new(error.kind(), message)
}

fn socket_path(endpoint: &str) -> Result<PathBuf, ChannelError> {
    let path = match endpoint.split_once(':') {
        Some(("unix", rest)) => rest.strip_prefix("//").unwrap_or(rest),
        Some(("tcp", _)) => return Err(ChannelError::Tcp),
        Some((scheme, _)) if !endpoint.starts_with('/') => return Err(ChannelError::Scheme(scheme.to_owned())),
        _ => endpoint,
    };
    if path.is_empty() {
        return Err(ChannelError::NoPath(endpoint.to_owned()));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_unix_endpoint() {
        for text in ["unix:///run/x.sock", "unix:/run/x.sock", "/run/x.sock"] {
            assert_eq!(socket_path(text).expect("valid"), PathBuf::from("/run/x.sock"), "{text}");
        }
    }

    #[test]
    fn a_missing_socket_is_told_as_go_does() {
        let error = std::fs::read("/nope.sock").expect_err("no such file");
        assert_eq!(
            dial_error(Path::new("/nope.sock"), &error).to_string(),
            "connection error: desc = \"transport: Error while dialing: dial unix /nope.sock: connect: no such file or directory\""
        );
    }

    #[test]
    fn refuses_other_protocols_and_empty_paths() {
        for text in ["tcp://127.0.0.1:1", "npipe://./pipe/x", "unix://"] {
            assert!(socket_path(text).is_err(), "{text}");
        }
    }
}
