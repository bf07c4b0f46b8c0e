//! libFuzzer drives the target `chart`: a tree of files that is a chart. What must hold is said in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| e2e_fuzz::Target::Chart.run(input));
