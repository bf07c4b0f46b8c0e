//! libFuzzer drives the target `patch`: a patch and its base. What must hold is said in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| e2e_fuzz::Target::Patch.run(input));
