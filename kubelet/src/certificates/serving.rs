//! The serving certificate, where the cluster signs it.
//!
//! upstream: pkg/kubelet/certificate/kubelet.go: NewKubeletServerCertificateManager

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use component_base::tls::ServerTls;
use component_base::{Chain, Shutdown, clock};
use kube::Client;

use super::request::{Request, issue};
use super::store::Store;
use super::{renewal_wait, validity};

const SIGNER: &str = "kubernetes.io/kubelet-serving";
const PREFIX: &str = "kubelet-server";
const RETRY: Duration = Duration::from_secs(30);

/// Asks for serving certificates, one after the other, and puts each into `tls`.
pub async fn serve_from_requests(
    client: Client,
    cert_dir: PathBuf,
    node: String,
    ips: Vec<IpAddr>,
    tls: ServerTls,
    stop: Shutdown,
) {
    let store = Store::new(&cert_dir, PREFIX);
    let names = if node.parse::<IpAddr>().is_ok() { Vec::new() } else { vec![node.clone()] };
    loop {
        let pem = std::fs::read(store.current()).unwrap_or_default();
        let wait = match validity(&pem) {
            Some((begin, end)) if clock::now() < end => {
                if let Err(error) = tls.set_default(&pem, &pem) {
                    tracing::error!(error = %Chain(&error), "serving certificate cannot be used");
                }
                renewal_wait(begin, end, clock::now(), rand::random())
            }
            _ => Duration::ZERO,
        };
        tokio::select! {
            () = stop.wait() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let request = Request { node: &node, signer: SIGNER, usage: "server auth", ips: &ips, names: &names };
        let result = match issue(client.clone(), &request).await {
            Ok(issued) => store.put(&issued).map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(Chain(&error).to_string()),
        };
        if let Err(error) = result {
            tracing::warn!(error, "serving certificate was not issued, will be tried again");
            tokio::time::sleep(RETRY).await;
        }
    }
}
