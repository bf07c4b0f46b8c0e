//! libFuzzer drives the target `archive`: the archive of a chart. What must hold is said in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| e2e_fuzz::Target::Archive.run(input));
