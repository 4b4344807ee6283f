//! Turns data/types.txt, data/resources.txt and data/columns.txt into static Rust tables. The formats are described in the heads of those files.

#[path = "build/columns.rs"]
mod columns;
#[path = "build/resources.rs"]
mod resources;
#[path = "build/types.rs"]
mod types;

use std::path::Path;

fn read(input: &str) -> String {
    std::fs::read_to_string(input).unwrap_or_else(|e| panic!("{input}: {e}"))
}

fn main() {
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let columns = columns::Texts::parse(&read("data/columns.txt"));
    for (input, output, render) in [
        ("data/types.txt", "types.rs", &types::render as &dyn Fn(&str) -> String),
        ("data/resources.txt", "resources.rs", &|text| resources::render(text, &columns)),
        ("data/columns.txt", "columns.rs", &|_| columns.render()),
    ] {
        println!("cargo:rerun-if-changed={input}");
        std::fs::write(Path::new(&out).join(output), render(&read(input))).unwrap_or_else(|e| panic!("{output}: {e}"));
    }
    println!("cargo:rerun-if-changed=build");
}
