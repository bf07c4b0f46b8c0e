//! What is kept never shows: kustomizations made at random are built, changed in one file, and built again with what the builds before have left;
//! each time it is what a build that knows nothing makes of it. Needs no oracle.
//!
//! `CAPSTAN_REBUILDS` says how many kustomizations (400), `CAPSTAN_REBUILDS_SEED` the first seed (0).

use std::collections::BTreeMap;

use e2e_oracle::{Case, Chance, case, diff, show};
use hub_kustomize::{BuildOptions, Files, build};
use hub_tree::{Budget, MemoryTree, Reader, TreePath};

/// Kustomizations that a run of the tests changes.
const CASES: u64 = 400;

/// How often each is changed.
const CHANGES: u64 = 12;

/// Bytes of what is kept: enough for one case in one run of two, and too little in the other, so that some of it is dropped.
const LIMITS: [usize; 2] = [8 << 20, 64 << 10];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is {value}, which is no number")))
}

fn built(case: &Case, files: Option<&Files>) -> String {
    let mut tree = MemoryTree::new();
    for (path, text) in &case.files {
        tree.insert(TreePath::parse(path).expect("a path"), text.as_bytes());
    }
    let reader = Reader::new(&tree, Budget::RENDER);
    let dir = TreePath::parse(&case.dir).expect("a path");
    match build(&reader, &dir, &BuildOptions { files, ..BuildOptions::default() }) {
        Ok(built) => format!("{}{:?}", built.to_yaml(), built.warnings),
        Err(error) => format!("refused: {error} {:?}", error.chain),
    }
}

/// The texts after one of them has changed: a line in another place or gone, a word in place of another, or the file as it was at first.
fn changed(texts: &BTreeMap<String, String>, original: &BTreeMap<String, String>, chance: &mut Chance) -> BTreeMap<String, String> {
    let paths: Vec<&String> = texts.keys().collect();
    let path = *chance.pick(&paths);
    let mut lines: Vec<String> = texts[path].split_inclusive('\n').map(str::to_owned).collect();
    let mut texts = texts.clone();
    if lines.is_empty() || chance.percent(15) {
        texts.insert(path.clone(), original[path].clone());
        return texts;
    }
    let at = chance.below(lines.len());
    match chance.below(6) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at].clone()),
        2 => {
            let other = chance.below(lines.len());
            lines.swap(at, other);
        }
        _ => {
            let words = ["zwei", "7", "\"true\"", "web", "default", "v2", "'quoted'", "team-a"];
            lines[at] = match lines[at].split_once(": ") {
                Some((key, value)) if !value.trim().is_empty() => format!("{key}: {}\n", chance.pick(&words)),
                _ => lines[at].clone(),
            };
        }
    }
    texts.insert(path.clone(), lines.concat());
    texts
}

#[test]
fn a_build_that_knows_others_makes_what_one_makes_that_knows_none() {
    let (cases, first) = (number("CAPSTAN_REBUILDS", CASES), number("CAPSTAN_REBUILDS_SEED", 0));
    let (mut builds, mut refused) = (0, 0);
    for seed in first..first + cases {
        let original = case(seed);
        let mut chance = Chance::of_seed(seed);
        let kept = LIMITS.map(Files::new);
        let (mut case, mut good) = (original.clone(), original.files.clone());
        for _ in 0..CHANGES {
            let cold = built(&case, None);
            let is_refused = cold.starts_with("refused: ");
            builds += 1;
            refused += u64::from(is_refused);
            for files in &kept {
                let known = built(&case, Some(files));
                assert!(
                    known == cold,
                    "seed {seed}, built in {}\n{}>>> cold -, known +\n{}",
                    case.dir,
                    show(&case.files),
                    diff(&cold, &known)
                );
            }
            if !is_refused {
                good = case.files.clone();
            } else if chance.percent(80) {
                case.files = good.clone();
            }
            case.files = changed(&case.files, &original.files, &mut chance);
        }
    }
    println!("{cases} kustomizations from seed {first}: {builds} builds, {refused} refused");
    assert!(refused * 2 < builds, "{refused} of {builds} builds are refused");
}
