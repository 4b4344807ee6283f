//! Fuzzes one decoder; see the folder's README.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| apimachinery_fuzz::targets::quantity(data));
