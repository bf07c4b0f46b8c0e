//! Differences for readers: two texts side by side by lines, and the files of a case in one text.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Lines of what is equal that are shown around a difference.
const CONTEXT: usize = 3;

/// Lines that are compared at most: the table takes a number for each pair, 4 million of them, 16 MB.
const LINES: usize = 2_000;

/// What leads from `theirs` (`-`) to `ours` (`+`) by lines; empty if they are equal.
#[must_use]
pub fn diff(theirs: &str, ours: &str) -> String {
    if theirs == ours {
        return String::new();
    }
    let left: Vec<&str> = theirs.split('\n').take(LINES).collect();
    let right: Vec<&str> = ours.split('\n').take(LINES).collect();
    let steps = steps(&left, &right);
    let near = |index: usize| {
        let (from, to) = (index.saturating_sub(CONTEXT), (index + CONTEXT + 1).min(steps.len()));
        steps[from..to].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut text = String::new();
    let mut gap = false;
    for (index, (mark, line)) in steps.iter().enumerate() {
        if near(index) {
            if gap {
                text.push_str("...\n");
            }
            gap = false;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark}{}", line.replace('\r', "\\r"));
        } else {
            gap = true;
        }
    }
    text
}

/// The longest common subsequence, as lines marked `-`, `+` or blank.
fn steps<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<(char, &'a str)> {
    let width = right.len() + 1;
    let mut common = vec![0_u32; (left.len() + 1) * width];
    for (row, one) in left.iter().enumerate().rev() {
        for (column, other) in right.iter().enumerate().rev() {
            common[row * width + column] = if one == other {
                common[(row + 1) * width + column + 1] + 1
            } else {
                common[(row + 1) * width + column].max(common[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column, mut steps) = (0, 0, Vec::new());
    while row < left.len() || column < right.len() {
        if row < left.len() && column < right.len() && left[row] == right[column] {
            steps.push((' ', left[row]));
            row += 1;
            column += 1;
        } else if column >= right.len() || (row < left.len() && common[(row + 1) * width + column] >= common[row * width + column + 1]) {
            steps.push(('-', left[row]));
            row += 1;
        } else {
            steps.push(('+', right[column]));
            column += 1;
        }
    }
    steps
}

/// The files, each under its path.
#[must_use]
pub fn show(files: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (path, content) in files {
        let shown = content.replace('\r', "\\r").replace('\t', "\\t").replace('\u{feff}', "\\uFEFF");
        // Writing to a String cannot fail.
        let _ = write!(text, "# {path}\n{shown}{}", if shown.ends_with('\n') { "" } else { "\n" });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changed_and_a_little_around_it() {
        let theirs = "a\nb\nc\nd\ne\nf\ng\nh\n";
        let ours = "a\nb\nc\nd\ne\nX\ng\nh\n";
        assert_eq!(diff(theirs, ours), "...\n c\n d\n e\n-f\n+X\n g\n h\n \n");
        assert_eq!(diff(theirs, theirs), "");
    }
}
