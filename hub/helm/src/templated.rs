//! What a render gives, and its text as `helm template` prints it.

use std::fmt::Write;

use crate::glob::Glob;
use crate::manifest::{Manifest, documents};
use crate::{HelmError, Used};

/// A rendered chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Templated {
    /// Objects in the order in which Helm installs their kinds, then hooks in that order.
    pub manifests: Vec<Manifest>,
    /// The files in `crds/` of the chart and of those in it; empty unless they were asked for.
    pub crds: Vec<Manifest>,
    /// What `NOTES.txt` says.
    pub notes: Option<String>,
    /// What was made use of beside the chart and the values.
    pub used: Used,
    /// What Helm warns of, once each.
    pub warnings: Vec<String>,
}

/// What of a render is printed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Show {
    /// Whether hooks are left out.
    pub no_hooks: bool,
    /// Whether hooks that are tests are left out.
    pub skip_tests: bool,
    /// Only documents of these files, such as `templates/service.yaml`; patterns are allowed. Empty for all.
    pub only: Vec<String>,
}

impl Templated {
    /// What `helm template` prints.
    ///
    /// # Errors
    /// A file of [`Show::only`] that gave no document.
    pub fn to_text(&self, show: &Show) -> Result<String, HelmError> {
        let mut objects = String::with_capacity(self.crds.iter().chain(&self.manifests).map(|one| one.text.len() + 128).sum());
        for manifest in self.crds.iter().chain(self.manifests.iter().filter(|manifest| manifest.hook.is_none())) {
            print(&mut objects, manifest);
        }
        let trimmed = objects.trim_end().len();
        objects.truncate(trimmed);
        objects.push('\n');
        if !show.no_hooks {
            let is_shown = |manifest: &&Manifest| manifest.hook.as_ref().is_some_and(|hook| !(show.skip_tests && hook.is_test()));
            for manifest in self.manifests.iter().filter(is_shown) {
                print(&mut objects, manifest);
            }
        }
        if show.only.is_empty() { Ok(objects) } else { only(&objects, &show.only) }
    }
}

fn print(out: &mut String, manifest: &Manifest) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "---\n# Source: {}\n{}", manifest.source, manifest.text);
}

/// The documents of `text` that come from one of `files`, file by file.
fn only(text: &str, files: &[String]) -> Result<String, HelmError> {
    let documents: Vec<(&str, &str)> = documents(text).filter_map(|document| Some((source(document)?, document))).collect();
    let mut shown = String::new();
    for file in files {
        let glob = Glob::path(file).ok();
        let mut found = documents.iter().filter(|(source, _)| glob.as_ref().is_some_and(|glob| glob.matches(source))).peekable();
        if found.peek().is_none() {
            return Err(HelmError::NotShown { file: file.clone() });
        }
        for (_, document) in found {
            let _ = writeln!(shown, "---\n{document}");
        }
    }
    Ok(shown)
}

/// The file in the chart that a document says it comes from.
fn source(document: &str) -> Option<&str> {
    document.match_indices("# Source: ").find_map(|(at, mark)| {
        let line = document[at + mark.len()..].lines().next()?;
        let (chart, file) = line.split_once('/')?;
        (!chart.is_empty() && !file.is_empty()).then_some(file)
    })
}
