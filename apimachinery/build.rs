//! Turns data/types.txt and data/resources.txt into static Rust tables. The formats are described in the heads of those files.

#[path = "build/resources.rs"]
mod resources;
#[path = "build/types.rs"]
mod types;

use std::path::Path;

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for (input, output, render) in [
        ("data/types.txt", "types.rs", types::render as fn(&str) -> String),
        ("data/resources.txt", "resources.rs", resources::render),
    ] {
        println!("cargo:rerun-if-changed={input}");
        let text = std::fs::read_to_string(input).unwrap_or_else(|e| panic!("{input}: {e}"));
        std::fs::write(Path::new(&out).join(output), render(&text)).unwrap_or_else(|e| panic!("{output}: {e}"));
    }
    println!("cargo:rerun-if-changed=build");
}
