//! Entry point of kubectl.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let code = kubectl::run(std::env::args().skip(1).collect());
    std::process::exit(code);
}
