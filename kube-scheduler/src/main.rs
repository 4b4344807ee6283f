//! The kube-scheduler binary.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    component_base::daemon::main("kube-scheduler", kube_scheduler::options::FLAGS, kube_scheduler::run)
}
