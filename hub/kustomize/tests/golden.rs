//! The project's own cases, one per feature. Each `expected.yaml` is what the real `kustomize build` 5.8.1 printed for the input beside it.

mod cases;

use std::path::PathBuf;

#[test]
fn every_golden_case_is_built_as_kustomize_builds_it() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<PathBuf> = folder.read_dir().expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let failures: Vec<String> =
        names.iter().filter_map(|case| cases::failure(case).map(|failure| format!("{}: {failure}", case.display()))).collect();
    assert!(names.len() >= 25, "{} cases", names.len());
    assert!(failures.is_empty(), "{} of {}\n{}", failures.len(), names.len(), failures.join("\n\n"));
}
