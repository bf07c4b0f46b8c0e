//! The corpus that is measured: it is the same everywhere, and Capstan builds it as kustomize does. How fast that is, no test says.

use std::collections::BTreeSet;

use e2e_bench::corpus::{Corpus, Family, variants};
use e2e_bench::kustomize::{Verdict, verdicts};
use e2e_oracle::{Oracle, must_not_skip, note_skip};

/// Every how many targets one is compared: some of each family, in a few seconds of a build without optimisation.
const STEP: usize = 9;

#[test]
fn the_corpus_is_the_same_each_time_it_is_made_and_large_enough() {
    let corpus = Corpus::made();
    assert_eq!(corpus, Corpus::made());
    assert!(corpus.targets.len() >= 200, "{} targets", corpus.targets.len());
    let families: Vec<Family> = corpus.families().into_iter().collect();
    assert_eq!(families, [Family::App, Family::Tenant, Family::Platform, Family::Learning, Family::Definitions, Family::Aggregate]);
    assert_eq!(corpus.clone().thinned(STEP).families(), corpus.families());
    let distinct: BTreeSet<&str> = corpus.targets.iter().map(|target| target.dir.as_str()).collect();
    assert_eq!(distinct.len(), corpus.targets.len());
}

#[test]
fn what_was_written_is_read_back_with_every_kustomization_as_a_target() {
    let corpus = Corpus::made();
    let directory = tempfile::tempdir().expect("a temporary directory");
    corpus.write(directory.path()).expect("written");
    let read = Corpus::read(directory.path()).expect("read");
    assert_eq!(read.files, corpus.files);
    let dirs = |corpus: &Corpus| corpus.targets.iter().map(|target| target.dir.clone()).collect::<BTreeSet<_>>();
    assert!(dirs(&read).is_superset(&dirs(&corpus)));
    assert!(!dirs(&read).iter().any(|dir| dir.contains("/components/")));
}

#[test]
fn a_slice_of_the_corpus_is_built_as_kustomize_builds_it() {
    compare(&Corpus::made().thinned(STEP));
}

#[test]
fn variants_of_one_app_are_built_as_kustomize_builds_them() {
    compare(&variants().thinned(STEP * 4));
}

fn compare(corpus: &Corpus) {
    let program = match Oracle::program() {
        Ok(program) => program,
        Err(missing) if must_not_skip() => panic!("{missing}"),
        Err(missing) => return note_skip(&missing),
    };
    let mut oracle = Oracle::start(&program).expect("the oracle starts");
    let verdicts = verdicts(&mut oracle, corpus).expect("answers");
    assert_eq!(verdicts.len(), corpus.targets.len());
    let different: Vec<String> = verdicts
        .into_iter()
        .filter(|(_, verdict)| !matches!(verdict, Verdict::SameBytes))
        .map(|(target, verdict)| format!("{}: {verdict:?}", target.dir))
        .collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}
