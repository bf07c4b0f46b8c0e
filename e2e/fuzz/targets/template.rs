//! libFuzzer drives the target `template`: a template of a chart, and values. What must hold is said in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| e2e_fuzz::Target::Template.run(input));
