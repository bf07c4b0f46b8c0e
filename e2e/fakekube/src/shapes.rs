//! The shapes of requests that a server has served, so that a test can tell whether parity with the real server was shown for each.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// One shape: everything about a request that decides how it is served, but no name and no value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shape {
    /// As in [`RequestFacts`](crate::RequestFacts).
    pub verb: String,
    /// `-` for paths without a resource, `core` for the core group, `custom` for groups of custom resources.
    pub group: String,
    /// The plural name, `custom` for custom resources, or the path where there is none.
    pub resource: String,
    /// `-` for the object itself.
    pub subresource: String,
    /// The media type of the body, `-` without one.
    pub content_type: String,
    /// Names of the query parameters, sorted.
    pub parameters: Vec<String>,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters = if self.parameters.is_empty() { "-".to_owned() } else { self.parameters.join(",") };
        write!(f, "{} {} {} {} {} {parameters}", self.verb, self.group, self.resource, self.subresource, self.content_type)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(line: &str) -> Result<Shape, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [verb, group, resource, subresource, content_type, parameters] = words[..] else {
            return Err(format!("a shape has six words (verb group resource subresource content-type parameters), not {line:?}"));
        };
        let parameters = if parameters == "-" { Vec::new() } else { parameters.split(',').map(str::to_owned).collect() };
        Ok(Shape {
            verb: verb.into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            content_type: content_type.into(),
            parameters,
        })
    }
}

/// Reads a list of shapes: one a line, `#` begins a comment.
///
/// # Errors
/// The first line that is no shape.
pub fn parse_list(text: &str) -> Result<BTreeSet<Shape>, String> {
    text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).map(str::parse).collect()
}

/// Adds shapes to a list file, which stays sorted and keeps its leading comment lines. The file is made if there is none.
///
/// # Errors
/// What reading or writing the file answers; a line that is no shape is `InvalidData`.
pub fn append(path: &std::path::Path, shapes: &BTreeSet<Shape>) -> std::io::Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(t) => t,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(e),
    };
    let mut all = parse_list(&text).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))?;
    all.extend(shapes.iter().cloned());
    let comments: String = text.lines().take_while(|l| l.starts_with('#')).map(|l| format!("{l}\n")).collect();
    let lines: String = all.iter().map(|s| format!("{s}\n")).collect();
    std::fs::write(path, comments + &lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_survives_its_text() {
        let line = "apply apps deployments - application/apply-patch+yaml fieldManager,force";
        assert_eq!(line.parse::<Shape>().map(|s| s.to_string()).as_deref(), Ok(line));
        assert!("apply apps".parse::<Shape>().is_err());
    }
}
