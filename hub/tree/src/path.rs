//! Paths inside a tree: relative, normal, and unable to leave it.

use std::fmt;
use std::sync::Arc;

/// The longest path: Linux's `PATH_MAX`.
pub const PATH_LIMIT: usize = 4096;

/// A normal path inside a tree: segments without `.`, `..`, empty ones or NUL, joined by `/`. The root is the empty path. Copies share their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath(
    /// Never an empty text: that is `None`.
    Option<Arc<str>>,
);

/// The text does not lead to a place inside the tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// An absolute path.
    #[error("\"{path}\" is absolute; paths are relative to the file that names them")]
    Absolute {
        /// What was written.
        path: String,
    },
    /// `..` above the root.
    #[error("\"{path}\" leads out of the source (seen from \"{base}\"); nothing outside it can be read")]
    Escapes {
        /// What was written.
        path: String,
        /// The directory that it was relative to.
        base: String,
    },
    /// Too long, or a NUL byte.
    #[error("a path of {length} bytes is longer than 4096, or holds a NUL byte")]
    Malformed {
        /// Its length in bytes.
        length: usize,
    },
}

impl TreePath {
    /// The root of the tree.
    pub const fn root() -> Self {
        Self(None)
    }

    /// Parses a path relative to the root. `.` and `..` are resolved by their names.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        Self::root().join(text)
    }

    /// The path that `relative` names when written in directory `self`.
    pub fn join(&self, relative: &str) -> Result<Self, InvalidPath> {
        if relative.len() > PATH_LIMIT || relative.contains('\0') {
            return Err(InvalidPath::Malformed { length: relative.len() });
        }
        if relative.starts_with('/') {
            return Err(InvalidPath::Absolute { path: relative.to_owned() });
        }
        let mut segments: Vec<&str> = self.segments().collect();
        for segment in relative.split('/') {
            match segment {
                "" | "." => {}
                ".." => {
                    if segments.pop().is_none() {
                        return Err(InvalidPath::Escapes { path: relative.to_owned(), base: self.as_str().to_owned() });
                    }
                }
                name => segments.push(name),
            }
        }
        let joined = segments.join("/");
        if joined.len() > PATH_LIMIT {
            return Err(InvalidPath::Malformed { length: joined.len() });
        }
        Ok(Self::of(&joined))
    }

    fn of(text: &str) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }

    /// The entry `name` in this directory. `name` is a single segment that a tree gave.
    pub fn child(&self, name: &str) -> Self {
        match &self.0 {
            None => Self::of(name),
            Some(directory) => Self::of(&[directory, "/", name].concat()),
        }
    }

    /// The directory that holds it; the root has none.
    pub fn parent(&self) -> Option<Self> {
        let path = self.0.as_deref()?;
        Some(path.rsplit_once('/').map_or(Self(None), |(parent, _)| Self::of(parent)))
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.as_str().rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }

    /// The segments from the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/').filter(|segment| !segment.is_empty())
    }

    /// Whether it is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_none()
    }

    /// Whether it is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        ancestor.is_root() || self.as_str().strip_prefix(ancestor.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The text; empty for the root.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for TreePath {
    /// The path; `.` for the root.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_deref().unwrap_or("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normal_and_stay_inside() {
        let base = TreePath::parse("apps/web").expect("valid");
        assert_eq!(base.join("./../api//base/").expect("valid").as_str(), "apps/api/base");
        assert_eq!(base.join("../..").expect("valid"), TreePath::root());
        assert!(matches!(base.join("../../.."), Err(InvalidPath::Escapes { .. })));
        assert!(matches!(base.join("/etc/passwd"), Err(InvalidPath::Absolute { .. })));
        assert!(matches!(base.join("a\0b"), Err(InvalidPath::Malformed { .. })));
        assert_eq!(base.parent().map(|p| p.to_string()).as_deref(), Some("apps"));
        assert!(base.is_within(&TreePath::parse("apps").expect("valid")));
        assert!(!base.is_within(&TreePath::parse("app").expect("valid")));
    }
}
