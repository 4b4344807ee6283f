//! Entry point of kube-apiserver.

use component_base::Flags;
use kube_apiserver::options::{FLAGS, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let flags = Flags::from_env("kube-apiserver", FLAGS);
    if let Err(error) = component_base::logs::init(&flags) {
        eprintln!("kube-apiserver: {error}");
        return std::process::ExitCode::FAILURE;
    }
    component_base::tls::install_provider();
    match Options::new(flags) {
        Ok(options) => kube_apiserver::start::run_blocking(options),
        Err(errors) => {
            tracing::error!(errors = errors.join("; "), "invalid flags");
            std::process::ExitCode::FAILURE
        }
    }
}
