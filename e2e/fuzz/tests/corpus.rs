//! Every input that was kept holds its target's claims, on stable Rust without libFuzzer.

use e2e_fuzz::{Target, inputs, write_seeds};

#[test]
fn every_input_that_is_kept_holds() {
    for target in Target::ALL {
        let inputs = inputs(target).expect("the inputs can be read");
        assert!(inputs.len() >= 10, "{target} has {} inputs", inputs.len());
        for input in inputs {
            if std::panic::catch_unwind(|| target.run(&input.bytes)).is_err() {
                panic!("{target}: {} breaks a claim, see above", input.name);
            }
        }
    }
}

#[test]
fn seeds_are_what_is_kept_apart_from_the_corpus() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for target in Target::ALL {
        let folder = folder.path().join(target.name());
        write_seeds(target, &folder).expect("written");
        let kept = inputs(target).expect("the inputs can be read");
        let apart = kept.iter().filter(|input| !input.name.starts_with("corpus/")).count();
        assert_eq!(folder.read_dir().expect("the folder").count(), apart, "{target}");
    }
}
