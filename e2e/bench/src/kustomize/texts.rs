//! The manifests of a corpus as texts, in two groups: definitions are mostly prose and would hide the others.

use super::Bench;

/// Texts and what they are.
#[derive(Debug)]
pub(super) struct Texts<'a> {
    pub(super) what: &'static str,
    pub(super) texts: Vec<&'a str>,
}

impl Texts<'_> {
    /// All bytes.
    pub(super) fn bytes(&self) -> usize {
        self.texts.iter().map(|text| text.len()).sum()
    }
}

/// The YAML files of the corpus, without kustomizations.
pub(super) fn groups(bench: &Bench) -> [Texts<'_>; 2] {
    let is_manifest = |path: &str| {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        (name.ends_with(".yaml") || name.ends_with(".yml")) && !name.starts_with("kustomization.")
    };
    let files = bench.corpus.files.iter().filter(|(path, _)| is_manifest(path));
    let texts = files.filter_map(|(_, bytes)| std::str::from_utf8(bytes).ok()).filter(|text| text.contains("kind:"));
    let (definitions, others) = texts.partition(|text| text.contains("kind: CustomResourceDefinition"));
    [Texts { what: "manifests", texts: others }, Texts { what: "definitions", texts: definitions }]
}
