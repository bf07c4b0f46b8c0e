//! `.helmignore`: which files of a directory are no part of the chart.

use crate::glob::Glob;

/// The rules of one chart, in order.
#[derive(Debug, Default)]
pub(crate) struct Ignore(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    glob: Glob,
    negated: bool,
    /// Only directories are meant.
    directories: bool,
    /// The whole path is matched, not only the last name.
    whole: bool,
}

/// A rule that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// `**`, which Helm does not know.
    #[error("double-star (**) syntax is not supported")]
    DoubleStar,
    /// A pattern that cannot be read.
    #[error("syntax error in pattern {0:?}")]
    Pattern(String),
}

impl Ignore {
    /// The rules of the file with this text, and Helm's own: hidden files in `templates/` are no templates.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidRule> {
        let mut rules = Vec::new();
        for line in text.trim_start_matches('\u{feff}').lines().chain(["templates/.?*"]) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("**") {
                return Err(InvalidRule::DoubleStar);
            }
            let rest = line.strip_prefix('!');
            let negated = rest.is_some();
            let rest = rest.unwrap_or(line);
            let bare = rest.strip_suffix('/');
            let directories = bare.is_some();
            let rest = bare.unwrap_or(rest);
            let (whole, pattern) = match rest.strip_prefix('/') {
                Some(rooted) => (true, rooted),
                None => (rest.contains('/'), rest),
            };
            let glob = Glob::path(pattern).map_err(|_| InvalidRule::Pattern(line.to_owned()))?;
            rules.push(Rule { glob, negated, directories, whole });
        }
        Ok(Self(rules))
    }

    /// Whether the entry at `path` is left out. The first rule that says so counts; one with `!` leaves out what it does not match.
    pub(crate) fn leaves_out(&self, path: &str, is_directory: bool) -> bool {
        let last = path.rsplit('/').next().unwrap_or(path);
        self.0.iter().any(|rule| {
            let name = if rule.whole { path } else { last };
            if rule.negated {
                (rule.directories && !is_directory) || !rule.glob.matches(name)
            } else {
                (!rule.directories || is_directory) && rule.glob.matches(name)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_leave_out_files_and_directories_as_in_helm() {
        let rules = Ignore::parse("# comment\n*.txt\n\n/cargo/a.?ml\nmast/\nhelm/*.yaml\n").unwrap();
        let cases = [
            ("a.txt", false, true),
            ("sub/b.txt", false, true),
            ("cargo/a.yml", false, true),
            ("x/cargo/a.yml", false, false),
            ("mast", true, true),
            ("mast", false, false),
            ("helm/x.yaml", false, true),
            ("templates/.hidden", false, true),
            ("templates/a.yaml", false, false),
        ];
        for (path, is_directory, expected) in cases {
            assert_eq!(rules.leaves_out(path, is_directory), expected, "{path}");
        }
        let negated = Ignore::parse("!helm.txt").unwrap();
        assert!(!negated.leaves_out("helm.txt", false) && negated.leaves_out("tiller.txt", false));
        assert_eq!(Ignore::parse("a/**").unwrap_err(), InvalidRule::DoubleStar);
        assert!(Ignore::parse("[").is_err());
    }
}
