//! The nearest known word to one that was mistyped. It leaves the wording of the hint to the caller.

/// The longest word that is compared: longer ones are no typing errors, and the cost is quadratic.
const WORD_LIMIT: usize = 64;

/// The candidate that `word` was probably meant to be: the one with the fewest edits (insert, delete, replace, swap neighbours), if they
/// are at most a third of the word, and letter case costs nothing. The first of equals wins.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > WORD_LIMIT {
        return None;
    }
    let lower = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    let scored = candidates.into_iter().filter(|candidate| candidate.len() <= WORD_LIMIT);
    let scored = scored.map(|candidate| (edits(&lower, &candidate.to_lowercase()), candidate));
    scored.filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len()).min_by_key(|(d, _)| *d).map(|(_, c)| c)
}

/// The optimal string alignment distance.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i; to.len() + 1];
        for j in 1..=to.len() {
            let replace = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            row[j] = replace.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_its_word_and_another_word_does_not() {
        let fields = ["namespace", "source", "clusters", "dependsOn", "prune", "heal"];
        for (typed, meant) in [
            ("namespce", Some("namespace")),
            ("nmaespace", Some("namespace")),
            ("dependson", Some("dependsOn")),
            ("cluster", Some("clusters")),
            ("prun", Some("prune")),
            ("interval", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, fields), meant, "{typed}");
        }
        assert_eq!(nearest(&"a".repeat(1000), fields), None);
    }
}
