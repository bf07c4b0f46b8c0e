//! What a chart is told of the cluster that it is rendered for: the version of Kubernetes and the API versions it serves. Asking the cluster is
//! left to whoever makes the request.

use std::fmt;
use std::sync::Arc;

/// The API versions that `helm template` assumes, one a line: those of client-go v0.36, which Helm 4.2.4 is built with, and of CustomResourceDefinitions.
const ASSUMED: &str = include_str!("api_versions.txt");

/// The version of Kubernetes that `helm template` of Helm 4.2.4 assumes.
const ASSUMED_KUBE_VERSION: &str = "v1.36.0";

/// The Helm that charts see in `.Capabilities.HelmVersion`: the one whose output this crate gives.
pub(crate) const HELM_VERSION: &str = "v4.2.4";

/// The Go that this Helm is built with, as charts see it.
pub(crate) const GO_VERSION: &str = "go1.26.8";

/// The client library of this Helm, as charts see it.
pub(crate) const KUBE_CLIENT_VERSION: &str = "v1.36";

/// What a cluster can do, as `.Capabilities` shows it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The version of Kubernetes.
    pub kube_version: KubeVersion,
    /// Group versions (`apps/v1`) and kinds in them (`apps/v1/Deployment`), in the order in which charts see them.
    pub api_versions: Arc<[String]>,
}

impl Capabilities {
    /// What `helm template` assumes without a cluster.
    pub fn assumed() -> Self {
        let kube_version = KubeVersion {
            version: ASSUMED_KUBE_VERSION.into(),
            normalized: ASSUMED_KUBE_VERSION.into(),
            major: "1".into(),
            minor: "36".into(),
        };
        Self { kube_version, api_versions: ASSUMED.lines().map(str::to_owned).collect() }
    }

    /// The same with `more` API versions, as `--api-versions` adds them.
    #[must_use]
    pub fn with_api_versions(mut self, more: impl IntoIterator<Item = String>) -> Self {
        self.api_versions = self.api_versions.iter().cloned().chain(more).collect();
        self
    }

    /// The same with another version of Kubernetes.
    #[must_use]
    pub fn with_kube_version(mut self, version: KubeVersion) -> Self {
        self.kube_version = version;
        self
    }
}

/// A version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeVersion {
    /// The whole version with a `v` in front, such as `v1.33.4-gke.1245000`.
    pub(crate) version: Arc<str>,
    /// Without what distributions append, such as `v1.33.4`; ranges are checked against it.
    pub(crate) normalized: Arc<str>,
    /// The major version.
    pub(crate) major: Arc<str>,
    /// The minor version.
    pub(crate) minor: Arc<str>,
}

/// A text that is no version of Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid kube version '{0}': write it as 1.33 or v1.33.4")]
pub struct InvalidKubeVersion(String);

impl KubeVersion {
    /// Reads `1.33`, `v1.33.4` or `v1.33.4-gke.1245000`: two or more numbers with anything after them, as Kubernetes reads its own versions.
    ///
    /// # Errors
    /// Text with no two numbers at its start.
    pub fn parse(text: &str) -> Result<Self, InvalidKubeVersion> {
        let invalid = || InvalidKubeVersion(text.to_owned());
        let bare = text.trim_start();
        let bare = bare.strip_prefix('v').unwrap_or(bare);
        let length = bare.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(bare.len());
        // A dot without a number after it belongs to what follows.
        let numbers = bare[..length].split("..").next().unwrap_or_default().trim_end_matches('.');
        if numbers.starts_with("0") && !numbers.starts_with("0.") {
            return Err(invalid());
        }
        let parts: Vec<u64> = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>().ok_or_else(invalid)?;
        let [major, minor, ..] = parts[..] else { return Err(invalid()) };
        let normalized: Vec<String> = parts.iter().map(u64::to_string).collect();
        let version = if text.starts_with('v') { text.to_owned() } else { format!("v{text}") };
        let normalized = format!("v{}", normalized.join("."));
        Ok(Self {
            version: version.into(),
            normalized: normalized.into(),
            major: major.to_string().into(),
            minor: minor.to_string().into(),
        })
    }

    /// The whole version.
    pub fn as_str(&self) -> &str {
        &self.version
    }
}

impl fmt::Display for KubeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_with_and_without_what_distributions_append() {
        let read = |text: &str| {
            let KubeVersion { version, normalized, major, minor } = KubeVersion::parse(text).unwrap();
            [version, normalized, major, minor].map(|part| part.to_string())
        };
        assert_eq!(read("1.33"), ["v1.33", "v1.33", "1", "33"]);
        assert_eq!(read("v1.33.4-gke.1245000"), ["v1.33.4-gke.1245000", "v1.33.4", "1", "33"]);
        assert_eq!(read("1.21.3+k3s1"), ["v1.21.3+k3s1", "v1.21.3", "1", "21"]);
        assert_eq!(read("v1.02.")[1], "v1.2");
        for text in ["", "v1", "one", "1.x", "01.2", "1..2"] {
            assert!(KubeVersion::parse(text).is_err(), "{text}");
        }
    }
}
