//! The pause container: holds a pod's namespaces open, does nothing, and reaps the orphans that end up with it when
//! a pod shares one PID namespace. It must end at once on SIGTERM and SIGINT, which process 1 ignores unless it
//! installs a handler. Built alone by cluster/images/build.sh (`rustc`, static), so it has no dependencies.

use std::ffi::c_int;

const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
const SIGCHLD: c_int = 17;
const WNOHANG: c_int = 1;

// SAFETY of the declarations: these are the C library's own prototypes on Linux.
unsafe extern "C" {
    fn signal(signum: c_int, handler: extern "C" fn(c_int)) -> usize;
    fn pause() -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn _exit(status: c_int) -> !;
}

extern "C" fn end(_signal: c_int) {
    // SAFETY: _exit is async-signal-safe.
    unsafe { _exit(0) }
}

extern "C" fn reap(_signal: c_int) {
    // SAFETY: waitpid is async-signal-safe and accepts a null status.
    unsafe { while waitpid(-1, std::ptr::null_mut(), WNOHANG) > 0 {} }
}

fn main() {
    if std::env::args().nth(1).as_deref() == Some("-v") {
        println!("pause for Kubernetes in Rust");
        return;
    }
    // SAFETY: the handlers are async-signal-safe; pause has no preconditions.
    unsafe {
        signal(SIGINT, end);
        signal(SIGTERM, end);
        signal(SIGCHLD, reap);
        loop {
            pause();
        }
    }
}
