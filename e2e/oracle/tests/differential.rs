//! Kustomizations made at random, built by Capstan and by the real kustomize: where kustomize builds, the same text comes out here; where it
//! refuses, it is refused here. The message of a refusal is not compared. What is known to differ is left out; `src/generator/known.rs` lists it.
//!
//! `CAPSTAN_DIFFERENTIAL` says how many cases (300), `CAPSTAN_DIFFERENTIAL_SEED` the first seed (0). A failure shows the smallest case that
//! was found for each of the most frequent kinds of difference, with its seed; `CAPSTAN_DIFFERENTIAL_SHOWN` says for how many (8).
//! `cargo run -p e2e-oracle --example case SEED` shows a whole case and what kustomize makes of it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use e2e_oracle::{Answer, Case, Oracle, case, diff, minimise, must_not_skip, note_skip, show};
use hub_kustomize::{BuildOptions, Files, build};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

/// Cases that a run of the tests builds: 10 seconds of them.
const CASES: u64 = 300;

/// Kinds of difference that are made small and shown, unless `CAPSTAN_DIFFERENTIAL_SHOWN` says otherwise.
const SHOWN: u64 = 8;

/// Bytes of parsed files that the cases share: less than all of them, so that some are dropped.
const SHARED_LIMIT: usize = 4 << 20;

/// The share of cases that kustomize must build, in percent: refusals alone would prove little.
const BUILT: u64 = 70;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is {value}, which is no number")))
}

/// What Capstan makes of the case. Built twice, alone and with files that other cases have read: sharing must not show.
fn ours(case: &Case, shared: &Files) -> Answer {
    let alone = ours_with(case, None);
    let together = ours_with(case, Some(shared));
    if alone == together { alone } else { Answer::Built(format!("BUG: shared files change the result\n{alone:#?}\n{together:#?}")) }
}

fn ours_with(case: &Case, files: Option<&Files>) -> Answer {
    let mut tree = MemoryTree::new();
    for (path, text) in &case.files {
        tree.insert(TreePath::parse(path).expect("a path"), text.as_bytes());
    }
    let reader = Reader::new(&tree, Budget::RENDER);
    let dir = TreePath::parse(&case.dir).expect("a path");
    let options = BuildOptions { files, ..BuildOptions::default() };
    match catch_unwind(AssertUnwindSafe(|| build(&reader, &dir, &options).map(|built| built.to_yaml()))) {
        Ok(Ok(text)) => Answer::Built(text),
        Ok(Err(error)) => Answer::Refused(error.to_string()),
        Err(_) => Answer::Built("BUG: panic".to_owned()),
    }
}

fn theirs(oracle: &mut Oracle, case: &Case) -> Answer {
    oracle.build(&case.files, &case.dir).expect("the oracle answers")
}

/// Whether kustomize broke down, which says nothing about what is right: a panic, or YAML of its own (which a comment at the wrong place
/// spoils) that it cannot read back.
fn broke_down(theirs: &Answer) -> bool {
    let Answer::Refused(message) = theirs else { return false };
    let is_about_a_file = message.contains("MalformedYAMLError") || message.contains("invalid Kustomization");
    let cannot_read_its_own = [": yaml: line ", ": yaml: invalid map key"].iter().any(|sign| message.contains(sign));
    message.starts_with("panic:") || cannot_read_its_own && !is_about_a_file
}

/// The share of cases that may be refused by choice where kustomize builds, in percent: more would be a hole in the comparison.
const LEFT_OUT: u64 = 1;

/// Whether it is refused by choice: the hash of what has become another kind, and a replacement of one type by another, which kustomize refuses
/// only if it is still there when it prints. These are counted and bounded.
fn is_left_out(message: &str) -> bool {
    message.contains("kustomize's hash of that depends on lines and quotes of the source") || message.contains("quote what stands there")
}

/// What distinguishes one difference from others, roughly, and what it is. `None` if there is none.
fn difference(ours: &Answer, theirs: &Answer) -> Option<(String, String)> {
    match (ours, theirs) {
        _ if broke_down(theirs) => None,
        (Answer::Refused(_), Answer::Refused(_)) => None,
        (Answer::Built(ours), Answer::Built(theirs)) => {
            let lines = diff(theirs, ours);
            let changed = lines.lines().filter(|line| line.starts_with(['-', '+'])).take(2).map(kind_of).collect::<String>();
            (!lines.is_empty()).then_some((changed, lines))
        }
        (Answer::Built(_), Answer::Refused(message)) => {
            Some((format!("only kustomize refuses: {}", kind_of(message)), format!("kustomize refuses and this builds: {message}\n")))
        }
        (Answer::Refused(message), Answer::Built(_)) if is_left_out(message) => None,
        (Answer::Refused(message), Answer::Built(_)) => {
            Some((format!("only here refused: {}", kind_of(message)), format!("kustomize builds and this refuses: {message}\n")))
        }
    }
}

/// A message or a line without what changes from case to case: names, numbers, values.
fn kind_of(text: &str) -> String {
    let words =
        text.split_inclusive([' ', ':', '\n']).filter(|word| !word.contains(['/', '"', '\'', '.']) && !word.contains(char::is_numeric));
    words.take(8).collect()
}

#[test]
fn what_kustomize_prints_is_printed_and_what_it_refuses_is_refused() {
    let program = match Oracle::program() {
        Ok(program) => program,
        Err(missing) => {
            assert!(!must_not_skip(), "REQUIRE_ORACLE=1, but there is {missing}");
            note_skip(&missing);
            return;
        }
    };
    let mut oracle = Oracle::start(&program).expect("the oracle starts");
    let files = Files::new(SHARED_LIMIT);
    let (cases, first) = (number("CAPSTAN_DIFFERENTIAL", CASES), number("CAPSTAN_DIFFERENTIAL_SEED", 0));
    let (mut built, mut left_out, mut refusals) = (0, 0, BTreeMap::<String, (u64, u64)>::new());
    let mut differences: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in first..first + cases {
        let case = case(seed);
        let theirs = theirs(&mut oracle, &case);
        match &theirs {
            Answer::Built(_) => built += 1,
            Answer::Refused(message) => {
                let counted = refusals.entry(kind_of(message)).or_insert((0, seed));
                counted.0 += 1;
            }
        }
        let ours = ours(&case, &files);
        if let (Answer::Refused(message), Answer::Built(_)) = (&ours, &theirs) {
            left_out += u64::from(is_left_out(message));
        }
        if let Some((kind, _)) = difference(&ours, &theirs) {
            differences.entry(kind).or_default().push(seed);
        }
    }
    let different: usize = differences.values().map(Vec::len).sum();
    let refused = cases - built;
    println!(
        "{cases} cases from seed {first}: kustomize builds {built} and refuses {refused}; {different} differ, {left_out} are left out"
    );
    if std::env::var_os("CAPSTAN_DIFFERENTIAL_REFUSALS").is_some() {
        for (message, (count, seed)) in &refusals {
            println!("{count:5} as seed {seed}: {message}");
        }
    }
    let mut report = String::new();
    let mut by_count: Vec<(&String, &Vec<u64>)> = differences.iter().collect();
    by_count.sort_by_key(|(_, seeds)| std::cmp::Reverse(seeds.len()));
    let shown = usize::try_from(number("CAPSTAN_DIFFERENTIAL_SHOWN", SHOWN)).expect("a small number");
    for (index, (kind, seeds)) in by_count.into_iter().enumerate() {
        if index >= shown {
            report.push_str(&format!("\n{:5} as seed {}: {kind}", seeds.len(), seeds[0]));
            continue;
        }
        let same =
            |case: &Case, oracle: &mut Oracle| difference(&ours(case, &files), &theirs(oracle, case)).filter(|(other, _)| other == kind);
        let small = minimise(&case(seeds[0]), |case| same(case, &mut oracle).is_some());
        let lines = same(&small, &mut oracle).map(|(_, lines)| lines).unwrap_or_default();
        report.push_str(&format!(
            "\n=== seed {} and {} others, built in {}\n{}>>> kustomize -, here +\n{lines}",
            seeds[0],
            seeds.len() - 1,
            small.dir,
            show(&small.files)
        ));
    }
    assert!(different == 0, "{different} of {cases} cases differ, in {} kinds{report}", differences.len());
    assert!(left_out * 100 <= cases * LEFT_OUT, "{left_out} of {cases} cases, which kustomize builds, are refused by choice");
    assert!(built * 100 >= cases * BUILT, "kustomize builds only {built} of {cases} cases");
}
