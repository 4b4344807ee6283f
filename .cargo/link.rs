//! The build script of the six binaries: they are linked at a fixed address, as upstream's are.
//!
//! A position-independent executable relocates every pointer of its static tables at start. That makes their pages
//! private, dirty memory of each process (apimachinery's tables alone are 1.7 MB), and the relocations themselves are as
//! large again in the file.

fn main() {
    println!("cargo:rerun-if-changed=../.cargo/link.rs");
    println!("cargo:rustc-link-arg-bins=-no-pie");
}
