//! The kube-proxy binary.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    component_base::daemon::main("kube-proxy", kube_proxy::options::FLAGS, kube_proxy::run)
}
