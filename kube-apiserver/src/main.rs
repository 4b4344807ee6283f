//! Entry point of kube-apiserver.

use apimachinery::field::aggregate;
use component_base::{Flags, daemon};
use kube_apiserver::options::{FLAGS, Options};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let flags = Flags::from_env("kube-apiserver", FLAGS);
    if let Err(error) = component_base::logs::init(&flags) {
        return daemon::logs_refused("kube-apiserver", &error);
    }
    component_base::tls::install_provider();
    match Options::new(flags) {
        Ok(options) => kube_apiserver::start::run_blocking(options),
        Err(errors) => daemon::command_failed(&aggregate(errors)),
    }
}
