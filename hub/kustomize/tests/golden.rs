//! The project's own cases, one per feature. `golden.sh` makes what is expected with the real `kustomize build` 5.8.1: `expected.yaml`, or
//! `expected-error.txt` where it refuses; `our-error.txt` holds words that the refusal here must say. A case that is built differently on
//! purpose, or not yet, says why in `differs.txt`; once it is built equally, the file must go.

mod cases;

use std::path::PathBuf;

#[test]
fn every_golden_case_is_built_as_kustomize_builds_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<PathBuf> = folder.read_dir().expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let wrong: Vec<String> = names
        .iter()
        .filter_map(|case| match (cases::failure(case), case.join("differs.txt").exists()) {
            (Some(failure), false) => Some(format!("{}: {failure}", case.display())),
            (None, true) => Some(format!("{} is built equally now: remove its differs.txt", case.display())),
            _ => None,
        })
        .collect();
    assert!(names.len() >= 180, "{} cases", names.len());
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), names.len(), wrong.join("\n\n"));
}
