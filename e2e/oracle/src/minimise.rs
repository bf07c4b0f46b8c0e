//! The smallest case that still shows what a case shows, found by leaving out files, then blocks of lines, then lines. Knows nothing of
//! kustomizations but that YAML nests by indentation.

use std::collections::BTreeMap;

use crate::Case;

/// Tries at most: each costs a build in kustomize and one here, 10 ms together, so that a minute is enough.
const TRIES: usize = 6_000;

/// The smallest case found for which `still_shows` holds, as it does for `case`.
#[must_use]
pub fn minimise(case: &Case, mut still_shows: impl FnMut(&Case) -> bool) -> Case {
    let mut tries = 0;
    let mut best = case.clone();
    loop {
        let before = size(&best.files);
        let mut attempt = |smaller: Case, best: &mut Case| {
            tries += 1;
            let kept = tries < TRIES && size(&smaller.files) < size(&best.files) && still_shows(&smaller);
            if kept {
                *best = smaller;
            }
            kept
        };
        for path in best.files.keys().cloned().collect::<Vec<_>>() {
            let mut without = best.clone();
            without.files.remove(&path);
            if attempt(without, &mut best) {
                continue;
            }
            let mut line = 0;
            while let Some(text) = best.files.get(&path) {
                let Some(smaller) = shortenings(text, line) else { break };
                let kept = smaller.into_iter().any(|shorter| {
                    let mut with = best.clone();
                    with.files.insert(path.clone(), shorter);
                    attempt(with, &mut best)
                });
                line += usize::from(!kept);
            }
        }
        if size(&best.files) == before || tries >= TRIES {
            return best;
        }
    }
}

fn size(files: &BTreeMap<String, String>) -> usize {
    files.iter().map(|(path, text)| path.len() + text.len()).sum()
}

/// `text` without the block that begins at `line`, and without the line alone. `None` if there is no such line.
fn shortenings(text: &str, line: usize) -> Option<Vec<String>> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let first = lines.get(line)?;
    let depth = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let same_item = |next: &&&str| indent(next) > indent(first) || next.trim().is_empty();
    let block = 1 + lines[line + 1..].iter().take_while(same_item).count();
    let mut result = vec![without(&lines, line, block)];
    // A list that is indented no deeper than its key.
    let list = lines[line + 1..]
        .iter()
        .take_while(|next| next.trim_start().starts_with('-') && indent(next) == indent(first) || indent(next) > indent(first));
    let with_list = 1 + list.count();
    if with_list > block && !first.trim_start().starts_with('-') {
        result.insert(0, without(&lines, line, with_list));
    }
    if block > 1 {
        result.push(without(&lines, line, 1));
    }
    // The first field of an item, while the second becomes the first.
    if let Some(next) = lines.get(line + 1)
        && first.trim_start().starts_with("- ")
        && depth(first) == indent(next)
    {
        let mut joined = without(&lines[..line], line, 0);
        joined.push_str(&first[..depth(first)]);
        joined.push_str(next.trim_start());
        joined.extend(lines[line + 2..].iter().copied());
        result.push(joined);
    }
    Some(result)
}

fn without(lines: &[&str], from: usize, count: usize) -> String {
    lines.iter().enumerate().filter(|(index, _)| *index < from || *index >= from + count).map(|(_, line)| *line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let files = [("a", "top:\n  keep: 1\n  other:\n  - x\n  - y\nmore: 2\n"), ("b", "whatever\n")];
        let files = files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect();
        let small = minimise(&Case { files, dir: String::new() }, |case| case.files.values().any(|text| text.contains("keep")));
        assert_eq!(crate::show(&small.files), "# a\n  keep: 1\n");
    }
}
