//! The benchmark of charts says what it measures: the project's own charts all come out as Helm has them. How fast that is, no test says.

use std::process::Command;

use e2e_oracle::{HelmPrograms, must_not_skip, note_skip};

#[test]
fn the_benchmark_leaves_none_of_the_projects_charts_out() {
    match HelmPrograms::find() {
        Ok(_) => {}
        Err(missing) if must_not_skip() => panic!("{missing}"),
        Err(missing) => return note_skip(&missing),
    }
    let program = env!("CARGO_BIN_EXE_e2e-bench");
    // Any program will do for Capstan's: variants are rendered in process.
    let output = Command::new(program).args(["helm", "--part", "variants", "--capstan", program]).output().expect("the benchmark runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("16 charts, 25 renders of 25"), "{said}");
    assert!(!said.contains("Left out"), "{said}");
    assert!(said.contains("200 variants of the chart `web`"), "{said}");
}
