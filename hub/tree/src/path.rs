//! Paths inside a tree: relative, normal, and unable to leave it.

use std::fmt;
use std::sync::Arc;

use crate::mount::Mount;

/// The longest path: Linux's `PATH_MAX`.
pub const PATH_LIMIT: usize = 4096;

/// A normal path inside a tree: segments without `.`, `..`, empty ones or NUL, joined by `/`. The root is the empty path. It is a path in the
/// main tree, or in one that is mounted beside it: none leads from one tree to another. Copies share their text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath {
    /// The tree, unless it is the main one.
    mount: Option<Arc<Mount>>,
    /// Never an empty text: that is `None`.
    path: Option<Arc<str>>,
}

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
        Self { mount: None, path: None }
    }

    /// The root of the tree that is mounted as `mount`. Whether there is one is for the tree to say.
    pub fn mounted(mount: Mount) -> Self {
        Self { mount: Some(Arc::new(mount)), path: None }
    }

    /// The same path in the tree that is mounted as `mount`.
    pub fn in_mount(&self, mount: Mount) -> Self {
        Self { mount: Some(Arc::new(mount)), path: self.path.clone() }
    }

    /// The mounted tree that it lies in; `None` is the main one.
    pub fn mount(&self) -> Option<&Mount> {
        self.mount.as_deref()
    }

    /// The path as the mounted tree itself knows it.
    pub fn inside(&self) -> Self {
        Self { mount: None, path: self.path.clone() }
    }

    /// The root of the tree that it lies in.
    pub fn own_root(&self) -> Self {
        Self { mount: self.mount.clone(), path: None }
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
                        return Err(InvalidPath::Escapes { path: relative.to_owned(), base: self.to_string() });
                    }
                }
                name => segments.push(name),
            }
        }
        let joined = segments.join("/");
        if joined.len() > PATH_LIMIT {
            return Err(InvalidPath::Malformed { length: joined.len() });
        }
        Ok(self.at(&joined))
    }

    /// The path `text` in the same tree.
    fn at(&self, text: &str) -> Self {
        Self { mount: self.mount.clone(), path: (!text.is_empty()).then(|| text.into()) }
    }

    /// The entry `name` in this directory. `name` is a single segment that a tree gave.
    pub fn child(&self, name: &str) -> Self {
        match &self.path {
            None => self.at(name),
            Some(directory) => self.at(&[directory, "/", name].concat()),
        }
    }

    /// The directory that holds it; a root has none.
    pub fn parent(&self) -> Option<Self> {
        let path = self.path.as_deref()?;
        Some(path.rsplit_once('/').map_or_else(|| self.own_root(), |(parent, _)| self.at(parent)))
    }

    /// The last segment; empty for the root.
    pub fn name(&self) -> &str {
        self.as_str().rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }

    /// The segments from the root.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/').filter(|segment| !segment.is_empty())
    }

    /// Whether it is the root of its tree.
    pub fn is_root(&self) -> bool {
        self.path.is_none()
    }

    /// Whether it is `ancestor` or lies below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        let is_below = || self.as_str().strip_prefix(ancestor.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.mount == ancestor.mount && (ancestor.is_root() || is_below())
    }

    /// The text inside its tree; empty for the root.
    pub fn as_str(&self) -> &str {
        self.path.as_deref().unwrap_or_default()
    }
}

impl fmt::Display for TreePath {
    /// The path, `.` for the root; in a mounted tree with its name in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.mount, self.path.as_deref()) {
            (None, path) => f.pad(path.unwrap_or(".")),
            (Some(mount), None) => write!(f, "{mount}"),
            (Some(mount), Some(path)) => write!(f, "{mount}//{path}"),
        }
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
