//! What the pages name exists: crates, files and folders by their path, types as `crate_name::Type`
//! if the crate offers them at its root.

use std::collections::BTreeMap;

use proc_macro2::{Group, TokenTree};

use super::Finding;
use super::tokens;
use super::workspace::Workspace;

/// What a path in a page begins with if it is one of this project.
const TOPS: [&str; 7] = ["hub/", "agent/", "shared/", "e2e/", "docs/", "deploy/", ".ci/"];
/// What stands in front of a name that other crates can use.
const DECLARES: [&str; 8] = ["struct", "enum", "trait", "fn", "const", "type", "mod", "static"];

/// Checks every page outside code blocks.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut declared = BTreeMap::new();
    for (path, text) in workspace.files.iter().filter(|(path, _)| path.ends_with(".md")) {
        let mut in_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            in_code ^= line.starts_with("```");
            if in_code {
                continue;
            }
            for named in line.split('`').skip(1).step_by(2) {
                if is_missing(workspace, &mut declared, named) {
                    let what = format!("`{named}` is not in the project");
                    findings.push(Finding::new(path, number, what, "correct the page: it tells the truth about the code"));
                }
            }
        }
    }
    findings
}

fn is_missing<'a>(workspace: &'a Workspace, declared: &mut BTreeMap<&'a str, Vec<String>>, named: &str) -> bool {
    let is_path = |character: char| character.is_ascii_alphanumeric() || "_-./".contains(character);
    if TOPS.iter().any(|top| named.starts_with(top)) && named.chars().all(is_path) {
        let folder = format!("{}/", named.trim_end_matches('/'));
        return !workspace.files.contains_key(named) && !workspace.files.keys().any(|file| file.starts_with(&folder));
    }
    let Some((name, item)) = named.split_once("::") else { return false };
    let Some(of) = workspace.crates.iter().find(|of| of.name.replace('-', "_") == name) else { return false };
    let root = format!("{}/src/lib.rs", of.path);
    let items = declared.entry(&of.name).or_insert_with(|| public_names(workspace.text(&root)));
    !items.iter().any(|declared| declared == item)
}

/// The names that the root of a crate declares or passes on.
fn public_names(root: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut passes_on = false;
    for pair in tokens::of(root).windows(2) {
        if tokens::is_word(&pair[0], "pub") {
            passes_on = tokens::is_word(&pair[1], "use");
        }
        match &pair[1] {
            TokenTree::Ident(name) if passes_on || DECLARES.iter().any(|declares| tokens::is_word(&pair[0], declares)) => {
                names.push(name.to_string());
            }
            TokenTree::Group(group) if passes_on => names.extend(words(group)),
            end => passes_on &= !tokens::is_mark(end, ';'),
        }
    }
    names
}

/// All identifiers in a group.
fn words(group: &Group) -> Vec<String> {
    let mut words = Vec::new();
    tokens::every_level(&tokens::inside(group), &mut |tokens| {
        words.extend(tokens.iter().filter_map(|token| match token {
            TokenTree::Ident(word) => Some(word.to_string()),
            _ => None,
        }));
    });
    words
}
