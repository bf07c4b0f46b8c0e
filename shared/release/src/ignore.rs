//! Fields of an object that are left to others: neither compared nor written once the object exists.

use std::fmt;
use std::str::FromStr;

use shared_expression::jq::{JqError, JqPath};

/// One such field, or several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignore {
    /// The field at this JSON pointer (RFC 6901).
    Pointer(String),
    /// The fields that this expression points at (Argo CD's `jqPathExpressions`).
    Path(JqPath),
    /// The fields that this field manager holds (Argo CD's `managedFieldsManagers`).
    Manager(String),
}

/// What stands before a manager's name.
const MANAGER: &str = "manager:";

impl fmt::Display for Ignore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => f.write_str(pointer),
            Self::Path(path) => f.write_str(path.as_str()),
            Self::Manager(manager) => write!(f, "{MANAGER}{manager}"),
        }
    }
}

/// `/spec/replicas`, `.spec.containers[].image` or `manager:NAME`.
impl FromStr for Ignore {
    type Err = JqError;

    fn from_str(text: &str) -> Result<Self, JqError> {
        match text.strip_prefix(MANAGER) {
            Some(manager) => Ok(Self::Manager(manager.to_owned())),
            None if text.starts_with('/') => Ok(Self::Pointer(text.to_owned())),
            None => JqPath::parse(text).map(Self::Path),
        }
    }
}
