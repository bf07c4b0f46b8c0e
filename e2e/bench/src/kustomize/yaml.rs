//! (d) Reading and writing YAML, file by file in one thread, beside the parser that the general path stands on and beside serde_yaml.

use std::convert::Infallible;
use std::hint::black_box;

use anyhow::Context;
use granit_parser::Parser;
use serde::Deserialize as _;
use serde_json::Value;
use shared_manifest::{Tree, YamlBudget, YamlMode, parse_trees, parse_yaml, to_yaml, write_yaml};

use super::Bench;
use super::texts::{Texts, groups};
use crate::stopwatch::{Measured, repeat, speed};
use crate::table::Table;

/// How many rounds a time is made of, so that it is long enough to be taken.
const ROUNDS: usize = 3;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Table> {
    let [manifests, definitions] = groups(bench);
    let columns = ["MB/s", manifests.what, definitions.what, "goal"];
    let mut table = Table::new("(d) YAML", &columns);
    let rows: [(&str, &str, Measure); 9] = [
        ("read to trees", "150", read_trees),
        ("read to values", "", read_values),
        ("read by granit-parser, events alone", "", read_events),
        ("read by serde_yaml", "", read_serde_yaml),
        ("read by serde_json, the same as JSON", "", read_json),
        ("written from trees", "250", write_trees),
        ("written from values", "", write_values),
        ("written by serde_yaml", "", write_serde_yaml),
        ("written by serde_json, the same as JSON", "", write_json),
    ];
    for (what, goal, measure) in rows {
        let mut cells = vec![what.to_owned()];
        for texts in [&manifests, &definitions] {
            cells.push(if texts.texts.is_empty() { "none".to_owned() } else { measure(texts, bench.repetitions)? });
        }
        cells.push(goal.to_owned());
        table.row(cells);
    }
    let sizes = [&manifests, &definitions]
        .map(|texts| format!("{}: {} files, {:.1} MB", texts.what, texts.texts.len(), texts.bytes() as f64 / 1e6));
    table.note(format!("{}. JSON counts by the bytes of the YAML it stands for.", sizes.join("; ")));
    Ok(table)
}

/// MB/s of something that is done with texts.
type Measure = fn(&Texts<'_>, usize) -> anyhow::Result<String>;

fn each<T>(bytes: usize, items: &[T], times: usize, mut work: impl FnMut(&T)) -> String {
    let taken: Result<Measured, Infallible> = repeat(times, || {
        for _ in 0..ROUNDS {
            items.iter().for_each(&mut work);
        }
        Ok(())
    });
    let Ok(taken) = taken;
    speed(bytes * ROUNDS, taken.processor.median())
}

fn trees(text: &str) -> anyhow::Result<Vec<Tree>> {
    let documents = parse_trees(text, YamlMode::Kustomize, YamlBudget::MANIFEST)?;
    Ok(documents.into_iter().map(|document| document.tree).collect())
}

fn values(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents = parse_yaml(text, YamlMode::Kustomize, YamlBudget::MANIFEST)?;
    Ok(documents.into_iter().map(|document| document.value).collect())
}

fn serde_yaml_values(text: &str) -> anyhow::Result<Vec<serde_yaml::Value>> {
    serde_yaml::Deserializer::from_str(text).map(|document| Ok(serde_yaml::Value::deserialize(document)?)).collect()
}

/// Everything in `texts`, read by `read`.
fn all<T>(texts: &Texts<'_>, read: impl Fn(&str) -> anyhow::Result<Vec<T>>) -> anyhow::Result<Vec<T>> {
    let read: anyhow::Result<Vec<Vec<T>>> = texts.texts.iter().map(|text| read(text)).collect();
    Ok(read.context("a manifest cannot be read")?.into_iter().flatten().collect())
}

fn read_trees(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    all(texts, trees)?;
    Ok(each(texts.bytes(), &texts.texts, times, |text| drop(black_box(trees(text)))))
}

fn read_values(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    all(texts, values)?;
    Ok(each(texts.bytes(), &texts.texts, times, |text| drop(black_box(values(text)))))
}

fn read_events(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    Ok(each(texts.bytes(), &texts.texts, times, |text| {
        black_box(Parser::new_from_str(text).filter(Result::is_ok).count());
    }))
}

fn read_serde_yaml(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    all(texts, serde_yaml_values)?;
    Ok(each(texts.bytes(), &texts.texts, times, |text| drop(black_box(serde_yaml_values(text)))))
}

fn read_json(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    let json: Vec<String> = all(texts, values)?.iter().map(Value::to_string).collect();
    Ok(each(texts.bytes(), &json, times, |text| drop(black_box(serde_json::from_str::<Value>(text)))))
}

fn write_trees(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    let trees = all(texts, trees)?;
    let written = |tree: &Tree| {
        let mut text = String::new();
        write_yaml(tree, &mut text);
        text
    };
    let bytes = trees.iter().map(|tree| written(tree).len()).sum();
    let mut text = String::new();
    Ok(each(bytes, &trees, times, |tree| {
        text.clear();
        write_yaml(tree, &mut text);
        black_box(&text);
    }))
}

fn write_values(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    let values = all(texts, values)?;
    let bytes = values.iter().map(|value| to_yaml(value).len()).sum();
    Ok(each(bytes, &values, times, |value| drop(black_box(to_yaml(value)))))
}

fn write_serde_yaml(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    let values = all(texts, serde_yaml_values)?;
    let written: Result<Vec<String>, _> = values.iter().map(serde_yaml::to_string).collect();
    let bytes = written?.iter().map(String::len).sum();
    Ok(each(bytes, &values, times, |value| drop(black_box(serde_yaml::to_string(value)))))
}

fn write_json(texts: &Texts<'_>, times: usize) -> anyhow::Result<String> {
    let values = all(texts, values)?;
    let bytes = values.iter().map(|value| to_yaml(value).len()).sum();
    Ok(each(bytes, &values, times, |value| drop(black_box(value.to_string()))))
}
