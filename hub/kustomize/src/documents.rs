//! Resources out of a text: every document is an object with a kind and a name, and lists are taken apart.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use hub_tree::TreePath;
use shared_manifest::{InvalidObject, Tree, YamlBudget, YamlMode, YamlProblem, parse_trees};

use crate::problem::{Fault, Reason};
use crate::resource::{Place, Resource};
use crate::value::{out_of_json, size, text};

/// The most objects that nested lists of one file may hold, counting the lists.
const EXPANSION_LIMIT: usize = 20_000;

/// A resource as a text holds it, wherever that text stands.
#[derive(Debug)]
pub(crate) struct Parsed {
    tree: Tree,
    /// Line in the text, from 1.
    line: u32,
    /// As `size` counts them.
    bytes: usize,
    /// The resource that it is in the first place that asked: builds that read the file again get the same one in memory.
    resource: OnceLock<Arc<Resource>>,
}

impl Parsed {
    pub(crate) fn into_tree(self) -> Tree {
        self.tree
    }

    fn at(&self, file: &TreePath, line: u32) -> Arc<Resource> {
        let new = || Arc::new(Resource::new(self.tree.clone(), self.bytes, Place { file: file.clone(), line }));
        let known = self.resource.get_or_init(new);
        if known.place.line == line && known.place.file == *file { known.clone() } else { new() }
    }
}

/// The resources in `text`, which stands in `file`. `first_line` is the line of the text's first line there, less one.
pub(crate) fn read_resources(text: &str, file: &TreePath, first_line: u32) -> Result<Vec<Arc<Resource>>, Fault> {
    let in_file = |mut fault: Fault| {
        fault.line = fault.line.map(|line| line + first_line);
        fault.in_file(file)
    };
    Ok(placed(&parse_resources(text).map_err(in_file)?, file, first_line))
}

/// What was parsed, as resources of `file`.
pub(crate) fn placed(parsed: &[Parsed], file: &TreePath, first_line: u32) -> Vec<Arc<Resource>> {
    parsed.iter().map(|parsed| parsed.at(file, parsed.line + first_line)).collect()
}

/// The resources in `text`.
pub(crate) fn parse_resources(text: &str) -> Result<Vec<Parsed>, Fault> {
    refuse_separators(text)?;
    let documents = parse_trees(text, YamlMode::Kustomize, YamlBudget::MANIFEST)?;
    let mut documents: VecDeque<(Tree, u32)> = documents.into_iter().map(|document| (document.tree, document.line)).collect();
    // A file that is one List, without a separator even beside nothing, is replaced by its items; any other list's items go to the end, through
    // JSON.
    if documents.len() == 1
        && separators(text).next().is_none()
        && let Some((list, line)) = documents.front()
        && matches!(text_of(list, "kind"), "List" | "ResourceList")
        && let Some(items) = list["items"].as_list()
    {
        documents = items.iter().map(|item| (item.clone(), *line)).collect();
    }
    let mut resources = Vec::new();
    let mut seen = 0_usize;
    while let Some((tree, line)) = documents.pop_front() {
        seen += 1;
        if seen > EXPANSION_LIMIT {
            let reason = Reason::TooMuch { what: "objects in lists of one file", limit: EXPANSION_LIMIT, remedy: "split the file" };
            return Err(reason.into());
        }
        if crate::value::is_empty(&tree) {
            continue;
        }
        check(&tree).map_err(|reason| Fault::at(line, reason))?;
        let is_list = text_of(&tree, "kind").ends_with("List");
        match tree.get("items") {
            Some(Tree::List(items)) if is_list => {
                documents.extend(items.iter().map(|item| (out_of_json(item).unwrap_or_else(|| item.clone()), line)));
            }
            Some(Tree::Null(_)) if is_list => {}
            _ => resources.push(Parsed { bytes: size(&tree), tree, line, resource: OnceLock::new() }),
        }
    }
    Ok(resources)
}

/// Whether nothing stands in the first document of `text`, and another one follows.
pub(crate) fn first_is_empty(text: &str) -> bool {
    let mut is_begun = false;
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let is_separator = line.strip_prefix("---").is_some_and(|rest| rest.trim().is_empty() || rest.trim_start().starts_with('#'));
        match (is_separator, is_begun) {
            (true, false) => is_begun = true,
            (is_separator, _) => return is_separator,
        }
    }
    false
}

/// Refuses `---` with anything but a comment behind it, as kustomize does from the second line on.
fn refuse_separators(text: &str) -> Result<(), Fault> {
    for (place, rest) in separators(text) {
        if !rest.is_empty() && !rest.starts_with('#') {
            let line = u32::try_from(text[..=place].bytes().filter(|byte| *byte == b'\n').count() + 1).unwrap_or(0);
            let problem = YamlProblem::Syntax { message: "`---` separates documents and stands alone in its line".to_owned() };
            return Err(Reason::Yaml(shared_manifest::YamlError { line, column: 1, problem }).into());
        }
    }
    Ok(())
}

/// The lines after the first that begin with `---` and end in a line break: where the break before each stands, and what follows the dashes.
fn separators(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices("\n---").filter_map(|(place, _)| Some((place, text[place + 4..].split_once('\n')?.0.trim())))
}

fn text_of<'a>(tree: &'a Tree, field: &str) -> &'a str {
    text(&tree[field])
}

/// Refuses what is no object with a kind and, unless it is a list, a name.
fn check(tree: &Tree) -> Result<(), InvalidObject> {
    if !tree.is_map() {
        return Err(InvalidObject::NotAMap { found: crate::value::type_of(tree) });
    }
    let kind = text_of(tree, "kind");
    if kind.is_empty() {
        return Err(InvalidObject::NoKind);
    }
    if !kind.ends_with("List") && text(&tree["metadata"]["name"]).is_empty() {
        return Err(InvalidObject::NoName { kind: kind.to_owned() });
    }
    Ok(())
}
