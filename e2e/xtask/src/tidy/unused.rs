//! Dependencies that a manifest names and no source file uses: each costs build time and looks like a tie that is not there.

use std::collections::BTreeSet;

use proc_macro2::TokenTree;

use super::Finding;
use super::tokens;
use super::workspace::{Crate, Workspace};

/// Checks every dependency of every crate. A comment on the line above says why one is named without being used.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for of in &workspace.crates {
        let words = words(workspace, of);
        for dependency in of.dependencies.iter().filter(|dependency| !words.contains(&dependency.key.replace('-', "_"))) {
            let line = workspace.line_of_dependency(of, dependency);
            let manifest = workspace.text(&of.manifest());
            let said_why = manifest.lines().nth(line.saturating_sub(2)).is_some_and(|above| above.starts_with('#'));
            if !said_why {
                let remedy = "take it out of the manifest, or say in a comment above it why it must stay";
                findings.push(Finding::new(of.manifest(), line, format!("nothing in `{}` uses `{}`", of.path, dependency.key), remedy));
            }
        }
    }
    findings
}

/// All identifiers in the crate's source files, documentation's examples excepted.
fn words(workspace: &Workspace, of: &Crate) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let folder = format!("{}/", of.path);
    for (_, text) in workspace.files.iter().filter(|(path, _)| path.starts_with(&folder) && path.ends_with(".rs")) {
        tokens::every_level(&tokens::of(text), &mut |tokens| {
            words.extend(tokens.iter().filter_map(|token| match token {
                TokenTree::Ident(word) => Some(word.to_string()),
                _ => None,
            }));
        });
    }
    words
}
