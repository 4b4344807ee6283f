//! The kube-proxy binary.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    component_base::tls::install_provider();
    let flags = component_base::Flags::from_env("kube-proxy", kube_proxy::options::FLAGS);
    if let Err(error) = component_base::logs::init(&flags) {
        eprintln!("Error: {error}");
        return std::process::ExitCode::FAILURE;
    }
    match kube_proxy::run(&flags) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(err = %component_base::Chain(&error), "Command failed");
            std::process::ExitCode::FAILURE
        }
    }
}
