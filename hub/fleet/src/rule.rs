//! Rules for text in a field. Each has a check with words for people and, where one can be given, a pattern for the JSON Schema.

use shared_expression::cel::Expression;
use shared_expression::jq::JqPath;
use shared_model::{AppName, ClusterName, GroupName, ProjectName, RegionName, RolloutName, ServiceAccount, SourceName, StageName};

use crate::helm;
use crate::label;
use crate::template::{Template, check_var_name};
use hub_tree::TreePath;

/// The longest text without a rule of its own.
const TEXT_LIMIT: usize = 4096;

/// The longest patch: a pod template with every field has 20 KiB, and a file of 1 MiB holds sixteen of these.
const PATCH_LIMIT: usize = 64 << 10;

/// The longest place among values, as in Flux.
const TARGET_PATH_LIMIT: usize = 250;

/// What a text must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Any text that is not empty.
    Any,
    /// A note for people, which may be empty.
    Note,
    App,
    Cluster,
    Region,
    /// A region's name, or `*`.
    RegionOrAll,
    Project,
    Source,
    Rollout,
    Stage,
    Group,
    LabelKey,
    LabelValue,
    VarName,
    /// A variable of manifests, as Flux takes them.
    SubstituteName,
    /// Text with variables.
    Template,
    /// A relative path with variables.
    Path,
    /// A namespace with variables.
    Namespace,
    /// `NAME` or `NAMESPACE:NAME` of a service account.
    ServiceAccount,
    /// An RFC 6901 pointer.
    JsonPointer,
    /// A path in jq's words.
    JqPath,
    /// An expression in CEL.
    Cel,
    /// A patch in YAML.
    Patch,
    /// Where charts are.
    ChartRepository,
    /// A version of a chart, or a range, with variables.
    ChartVersion,
    /// The name of a release, with variables.
    ReleaseName,
    /// Where a value goes among others, as Flux takes it.
    TargetPath,
    /// Text in which `*` and `?` stand for others; empty is the core API group.
    Glob,
}

impl Rule {
    /// Whether `text` follows the rule.
    pub(crate) fn check(self, text: &str) -> Result<(), String> {
        let limit = if self == Self::Patch { PATCH_LIMIT } else { TEXT_LIMIT };
        if text.len() > limit {
            return Err(format!("a text of {} bytes is longer than the {limit} allowed", text.len()));
        }
        match self {
            Self::Any | Self::Patch if text.trim().is_empty() => Err("it is empty".to_owned()),
            Self::Any | Self::Note | Self::Patch => Ok(()),
            Self::App => name::<AppName>(text),
            Self::Cluster => name::<ClusterName>(text),
            Self::RegionOrAll if text == "*" => Ok(()),
            Self::Region | Self::RegionOrAll => name::<RegionName>(text),
            Self::Project => name::<ProjectName>(text),
            Self::Source => name::<SourceName>(text),
            Self::Rollout => name::<RolloutName>(text),
            Self::Stage => name::<StageName>(text),
            Self::Group => name::<GroupName>(text),
            Self::LabelKey => label::check_key(text),
            Self::LabelValue => label::check_value(text),
            Self::VarName => check_var_name(text),
            Self::SubstituteName => check_substitute_name(text),
            Self::Template => Template::parse(text).map(|_| ()),
            Self::Path => check_path(text),
            Self::ChartRepository => helm::check_repository(text),
            Self::ChartVersion => check_constant(text, helm::check_version),
            Self::ReleaseName => check_constant(text, helm::check_release_name),
            Self::Namespace => check_namespace(text),
            Self::TargetPath => check_target_path(text),
            // The namespace of a bare name follows from the app's.
            Self::ServiceAccount => ServiceAccount::parse(text, Some("home")).map(|_| ()).map_err(|error| error.to_string()),
            Self::JsonPointer => check_pointer(text),
            Self::Cel => Expression::parse(text).map(|_| ()).map_err(|error| format!("it is no expression in CEL: {error}")),
            Self::JqPath => JqPath::parse(text).map(|_| ()).map_err(|error| format!("\"{text}\" is no path in jq's words: {error}")),
            Self::Glob if text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
                Err(format!("\"{text}\" has a space or control character in it"))
            }
            Self::Glob => Ok(()),
        }
    }

    /// The rule as a pattern of JSON Schema. It never refuses what `check` takes; it may take more.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        const NAME: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
        match self {
            Self::App | Self::Cluster | Self::Region | Self::Project | Self::Source | Self::Rollout | Self::Stage | Self::Group => {
                Some(NAME)
            }
            Self::RegionOrAll => Some("^(\\*|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$"),
            Self::LabelKey => Some("^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"),
            Self::LabelValue => Some("^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"),
            Self::VarName => Some("^[A-Za-z_][A-Za-z0-9_-]{0,62}$"),
            Self::SubstituteName => Some("^[A-Za-z_][A-Za-z0-9_]{0,62}$"),
            Self::Any | Self::Patch => Some("\\S"),
            Self::Path => Some("^[^/]"),
            Self::ServiceAccount => Some("^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?:)?[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$"),
            Self::JsonPointer => Some("^/"),
            Self::ChartRepository => Some("^((https|http|oci)://.+|[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)$"),
            Self::TargetPath => Some("^([a-zA-Z0-9_./\\\\-]|\\[[0-9]{1,5}\\])+$"),
            Self::JqPath
            | Self::Cel
            | Self::ChartVersion
            | Self::ReleaseName
            | Self::Note
            | Self::Template
            | Self::Namespace
            | Self::Glob => None,
        }
    }
}

fn name<T: std::str::FromStr<Err = shared_model::InvalidName>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(|_| ()).map_err(|error| error.to_string())
}

fn check_path(text: &str) -> Result<(), String> {
    let template = Template::parse(text)?;
    if text.is_empty() {
        return Err("it is empty; \".\" is the directory of the file itself".to_owned());
    }
    if text.starts_with('/') {
        return Err(format!("\"{text}\" is absolute; paths are relative to the file that names them"));
    }
    match template.constant() {
        // Whether ".." leaves the tree depends on where the file is; here only the length and NUL can be judged.
        Some(path) => TreePath::root().join(&path.replace("..", "up")).map(|_| ()).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

fn check_namespace(text: &str) -> Result<(), String> {
    check_constant(text, |namespace| if is_namespace(namespace) { Ok(()) } else { Err(invalid_namespace(namespace)) })
}

/// Checks a text with variables as far as that can be done before they are known.
fn check_constant(text: &str, check: impl FnOnce(&str) -> Result<(), String>) -> Result<(), String> {
    Template::parse(text)?.constant().map_or(Ok(()), check)
}

/// Whether `text` is a DNS label, as a namespace's name must be.
pub(crate) fn is_namespace(text: &str) -> bool {
    // A region's name follows the same rule.
    text.parse::<RegionName>().is_ok()
}

pub(crate) fn invalid_namespace(text: &str) -> String {
    format!("\"{text}\" is no namespace: use 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit")
}

/// Flux's rule for names, with the length that variables have here.
fn check_substitute_name(text: &str) -> Result<(), String> {
    if check_var_name(text).is_ok() && !text.contains('-') {
        return Ok(());
    }
    Err(format!("\"{text}\" is no variable of manifests: use up to 63 letters, digits and '_', beginning with a letter or '_'"))
}

/// The rule of Flux's HelmRelease: without the `,`, `=` and `{` with which `helm --set` would set something else beside it.
fn check_target_path(text: &str) -> Result<(), String> {
    let mut rest = text.chars();
    let mut is_path = !text.is_empty() && text.len() <= TARGET_PATH_LIMIT;
    while let Some(c) = rest.next().filter(|_| is_path) {
        is_path = if c == '[' {
            let inside = rest
                .as_str()
                .split_once(']')
                .filter(|(index, _)| (1..=5).contains(&index.len()) && index.bytes().all(|digit| digit.is_ascii_digit()));
            rest = inside.map_or("", |(_, after)| after).chars();
            inside.is_some()
        } else {
            c.is_ascii_alphanumeric() || "_-./\\".contains(c)
        };
    }
    if is_path {
        return Ok(());
    }
    Err(format!(
        "\"{text}\" is no place among values: write fields with '.' between them and places in lists as [0], as in auth.password or \
         hosts[0].name, in up to {TARGET_PATH_LIMIT} letters, digits, '_', '-' and '/', with '\\' before a '.' that belongs to a name"
    ))
}

fn check_pointer(text: &str) -> Result<(), String> {
    let mut escapes = text.split('~').skip(1);
    if text.starts_with('/') && escapes.all(|rest| rest.starts_with(['0', '1'])) {
        return Ok(());
    }
    Err(format!("\"{text}\" is no JSON pointer: it begins with '/', and '~' is written ~0 and '/' in a name ~1"))
}

/// Whether `text` is what `pattern` says: `*` stands for any text, `?` for one character.
pub(crate) fn glob_matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            t = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_stand_for_text() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("team-*", "team-a", true),
            ("team-*", "teams", false),
            ("*-a-*b", "x-a-yyb", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "", true),
            ("", "apps", false),
            ("a*a*a*a*b", &"a".repeat(200), false),
        ] {
            assert_eq!(glob_matches(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        for (rule, good, bad) in [
            (Rule::Any, "x", " "),
            (Rule::Path, "../shared/${region}", "/etc"),
            (Rule::Path, ".", ""),
            (Rule::Namespace, "team-${region}", "Team"),
            (Rule::ServiceAccount, "deployer", "Deployer"),
            (Rule::ServiceAccount, "team-a:deployer", "system:serviceaccount:team-a:deployer"),
            (Rule::JsonPointer, "/spec/a~1b", "spec"),
            (Rule::JsonPointer, "/", "/a~2"),
            (Rule::Cel, "has(status.phase) && status.phase == 'Ready'", "status.phase = 1"),
            (Rule::JqPath, ".spec.containers[] | select(.name == \"a\") | .image", ".spec | length"),
            (Rule::Glob, "*.example.com", "a b"),
            (Rule::ChartRepository, "oci://registry.example.com/charts", "./charts"),
            (Rule::ChartVersion, "${vars.version}", "latest"),
            (Rule::ReleaseName, "web-${region}", "Web"),
            (Rule::TargetPath, r"ingress.annotations.nginx\.ingress\.kubernetes\.io/path", "a=1,b"),
            (Rule::TargetPath, "hosts[0].name", "hosts[0"),
            (Rule::TargetPath, "a[12345]", "a[123456]"),
            (Rule::TargetPath, "a", "a[]"),
            (Rule::RegionOrAll, "*", "**"),
            (Rule::SubstituteName, "_Replicas2", "replica-count"),
            (Rule::SubstituteName, "a", "2a"),
            (Rule::Patch, &"a".repeat(PATCH_LIMIT), &"a".repeat(PATCH_LIMIT + 1)),
        ] {
            assert_eq!(rule.check(good), Ok(()), "{rule:?} {good}");
            assert!(rule.check(bad).is_err(), "{rule:?} {bad}");
        }
    }
}
