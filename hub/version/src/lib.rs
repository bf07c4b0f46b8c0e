//! Versions and ranges as Masterminds/semver 3 reads them, which Flux, Helm and sprig use. Where versions come from (tags, charts, an index, a
//! cluster) is left to the callers.

mod range;
mod version;

pub use range::{InvalidRange, VersionRange};
pub use version::{InvalidVersion, Overflow, Version, version_of_tag};
