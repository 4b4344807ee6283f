//! Hands every fuzz target the inputs kept for it, so that what was found once is tried on every run, without libFuzzer.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn kept_inputs_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions");
    for (name, target) in targets::TARGETS {
        let mut tried = 0;
        for entry in fs::read_dir(root.join(name)).unwrap_or_else(|error| panic!("inputs of {name}: {error}")) {
            let path = entry.unwrap().path();
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            tried += 1;
        }
        assert!(tried > 0, "no inputs of {name}");
    }
}

#[test]
fn every_target_has_a_binary() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let mut names: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, targets::TARGETS.map(|(name, _)| std::ffi::OsString::from(format!("{name}.rs"))));
}
