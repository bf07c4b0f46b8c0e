//! What no text file of the project may hold: paths of somebody's machine, and notes about work that is left.

use super::Finding;
use super::workspace::Workspace;

/// Absolute directories of development machines, without their slashes so that this file passes its own rule.
const MACHINE_DIRECTORIES: [&str; 2] = ["work", "root"];
/// Notes in source files about work that is left, each in two parts for the same reason.
const NOTES: [(&str, &str); 3] = [("TO", "DO"), ("FIX", "ME"), ("XX", "X")];

/// Checks every text file.
pub(super) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in workspace.files.iter().filter(|(path, _)| *path != "Cargo.lock") {
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(directory) = machine_path(line) {
                let remedy = "take it from the environment, a temporary directory or the crate's own folder";
                findings.push(Finding::new(path, number, format!("`{directory}` is a path of one machine"), remedy));
            }
            let comment = line.split_once("//").filter(|_| path.ends_with(".rs")).map(|(_, comment)| comment);
            if let Some(note) = comment.and_then(note_in) {
                findings.push(Finding::new(
                    path,
                    number,
                    format!("`{note}` in a comment"),
                    "do it now, or write down the limit that stands",
                ));
            }
        }
    }
    findings
}

/// A machine's directory as the first part of an absolute path.
fn machine_path(line: &str) -> Option<String> {
    MACHINE_DIRECTORIES.into_iter().map(|directory| format!("/{directory}/")).find(|directory| {
        let inside_a_path = |before: &str| before.ends_with(|last: char| last.is_alphanumeric() || "_-.}".contains(last));
        line.match_indices(directory.as_str()).any(|(at, _)| !inside_a_path(&line[..at]))
    })
}

fn note_in(comment: &str) -> Option<String> {
    let mut words = comment.split(|character: char| !character.is_alphanumeric() && character != '_');
    words.find(|word| NOTES.iter().any(|(first, second)| word.strip_prefix(first) == Some(second))).map(str::to_owned)
}
