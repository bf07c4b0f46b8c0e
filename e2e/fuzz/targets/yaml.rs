//! libFuzzer drives the target `yaml`: YAML text. What must hold is said in the library.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| e2e_fuzz::Target::Yaml.run(input));
