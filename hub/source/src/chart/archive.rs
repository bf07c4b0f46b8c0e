//! One archive of a chart, as it came and with the digest that it was verified by. What is in it is left to `hub-helm`.

use std::sync::Arc;

use shared_model::Digest;

use super::spec::ChartName;

/// A packed chart: `<name>-<version>.tgz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartArchive {
    /// The chart, by the name it was asked for.
    pub name: ChartName,
    /// The version under which the repository has it.
    pub version: String,
    /// The SHA-256 of the bytes.
    pub digest: Digest,
    /// The archive.
    pub bytes: Arc<[u8]>,
}

/// The name of the file that an archive is in its tree. Both parts are checked where they come in: neither has a slash.
pub(crate) fn file_name(chart: &ChartName, version: &str) -> String {
    format!("{chart}-{version}.tgz")
}

/// Whether the bytes begin as gzip does (RFC 1952, with the one method that there is). It tells a page that says "log in" from an archive.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b, 8])
}
