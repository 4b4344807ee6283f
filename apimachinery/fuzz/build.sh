#!/usr/bin/env bash
# Builds every target with libFuzzer's coverage on the stable toolchain. Usage: build.sh [cargo arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# What `cargo fuzz build --sanitizer none` passes to a nightly compiler; the code is safe Rust, so there is no use for a sanitizer.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage+=" -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# --target keeps the flags away from build scripts, which would not link with them.
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="$coverage --cfg fuzzing" exec cargo build --release --bins --target "$target" "$@"
