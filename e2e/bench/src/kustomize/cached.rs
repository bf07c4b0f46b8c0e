//! (e) Building again after one file changed, with parsed files and built bases kept: for apps of growing size, beside the time that reading the changed file
//! takes.

use std::hint::black_box;

use hub_kustomize::Files;
use shared_manifest::{YamlBudget, YamlMode, parse_trees};

use super::Bench;
use super::engine::{build, built};
use super::in_process::FILES_BYTES;
use crate::corpus::{Corpus, grown};
use crate::snapshot::Snapshot;
use crate::stopwatch::{Measured, ratio, repeat, repeat_prepared};
use crate::table::Table;

/// How many files the apps have.
const SIZES: [usize; 4] = [10, 50, 200, 800];

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let columns =
        ["files", "output", "cold", "nothing changed", "one file changed", "that, without printing", "reading that file", "cold/changed"];
    let mut table = Table::new("(e) Built again, parsed files and bases kept", &columns);
    for size in SIZES {
        let (corpus, dir, file) = grown(size);
        let before = Snapshot::of(&corpus);
        let after: Vec<Snapshot> =
            (0..bench.repetitions).map(|change| before.clone().with_file(&file, &changed(&corpus, &file, change))).collect();
        let output = build(&before, &dir, None)?;
        let cold = repeat(bench.repetitions, || build(&before, &dir, None).map(|text| drop(black_box(text))))?;
        // As in a process that has run for some time: built more than once, with one change or another.
        let others: Vec<Snapshot> =
            (1..=2).map(|change| before.clone().with_file(&file, &changed(&corpus, &file, bench.repetitions + change))).collect();
        let settled = || {
            let files = Files::new(FILES_BYTES);
            for tree in others.iter().chain([&before]) {
                build(tree, &dir, Some(&files))?;
            }
            anyhow::Ok(files)
        };
        let files = settled()?;
        let same = repeat(bench.repetitions, || build(&before, &dir, Some(&files)).map(|text| drop(black_box(text))))?;
        // A file is new only once to the files that are kept: each round gets its own.
        let prepare = |round: usize| settled().map(|files| (&after[round], files));
        let printed =
            repeat_prepared(bench.repetitions, prepare, |(tree, files)| build(*tree, &dir, Some(files)).map(|text| drop(black_box(text))))?;
        let bare = repeat_prepared(bench.repetitions, prepare, |(tree, files)| {
            built(*tree, &dir, Some(files)).map(|built| {
                black_box(built);
            })
        })?;
        let text = changed(&corpus, &file, 0);
        let reading = repeat(bench.repetitions, || {
            parse_trees(&text, YamlMode::Kustomize, YamlBudget::MANIFEST).map(|trees| drop(black_box(trees)))
        })?;
        let text = |time: &Measured| time.processor.text();
        table.row([
            size.to_string(),
            format!("{:.0} KB", output.len() as f64 / 1e3),
            text(&cold),
            text(&same),
            text(&printed),
            text(&bare),
            text(&reading),
            ratio(cold.processor.median().as_secs_f64(), printed.processor.median().as_secs_f64()),
        ]);
    }
    Ok(table)
}

/// What `file` says after the change numbered `change`.
fn changed(corpus: &Corpus, file: &str, change: usize) -> String {
    let text = corpus.files.get(file).map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
    text.replacen("revisionHistoryLimit: 3", &format!("revisionHistoryLimit: {}", change + 4), 1)
}
