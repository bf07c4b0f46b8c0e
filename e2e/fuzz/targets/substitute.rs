//! libFuzzer drives the target `substitute`: an object and variables. What must hold is said in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| e2e_fuzz::Target::Substitute.run(input));
