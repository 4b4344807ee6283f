//! Fuzz targets, one for each decoder of apimachinery. The functions are in [`targets`]; the binaries in `fuzz_targets` hand them
//! libFuzzer's inputs, and `apimachinery/tests/fuzz_regressions.rs` hands them the inputs kept in `regressions`.

pub mod targets;
