//! Where the control plane's programs are, by the envtest convention, and the rule by which a test without them is skipped. Building them
//! is `setup.sh`'s work.

use std::env;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The programs of a control plane. Each is looked for in `TEST_ASSET_<NAME>`, then in the directory `KUBEBUILDER_ASSETS`, then where
/// `setup.sh` builds them. The first two are the convention of Kubernetes' controller-runtime (envtest).
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
    /// `kubectl`.
    pub kubectl: PathBuf,
    /// `kube-controller-manager`; envtest directories do not have it.
    pub kube_controller_manager: Option<PathBuf>,
}

/// Programs that were not found, and where they were looked for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no {} in {}; run e2e/cluster/setup.sh, or set KUBEBUILDER_ASSETS to a directory that has them",
    names.join(", "),
    display_all(looked_in)
)]
pub struct MissingBinaries {
    /// Names of the missing programs.
    pub names: Vec<&'static str>,
    /// The directories that were searched.
    pub looked_in: Vec<PathBuf>,
}

fn display_all(directories: &[PathBuf]) -> String {
    let shown: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    shown.join(" or ")
}

impl Binaries {
    /// Finds the programs for a plane, with or without controllers.
    ///
    /// # Errors
    /// Names every program that is missing.
    pub fn find(controllers: bool) -> Result<Self, MissingBinaries> {
        let looked_in = directories();
        let mut names = Vec::new();
        let mut need = |name: &'static str| {
            let found = locate(name, &looked_in);
            if found.is_none() {
                names.push(name);
            }
            found
        };
        let etcd = need("etcd");
        let kube_apiserver = need("kube-apiserver");
        let kubectl = need("kubectl");
        let kube_controller_manager =
            if controllers { need("kube-controller-manager") } else { locate("kube-controller-manager", &looked_in) };
        match (etcd, kube_apiserver, kubectl) {
            (Some(etcd), Some(kube_apiserver), Some(kubectl)) if names.is_empty() => {
                Ok(Self { etcd, kube_apiserver, kubectl, kube_controller_manager })
            }
            _ => Err(MissingBinaries { names, looked_in }),
        }
    }
}

fn directories() -> Vec<PathBuf> {
    let assets = env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty()).map(PathBuf::from);
    assets.into_iter().chain(cache_directory()).collect()
}

/// Where `setup.sh` keeps what it built; the link `current` in it names the newest build.
fn cache_directory() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("CAPSTAN_CACHE").or_else(|| set("XDG_CACHE_HOME")).or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(cache.join("capstan/control-plane/current"))
}

fn locate(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    let variable = format!("TEST_ASSET_{}", name.to_uppercase().replace('-', "_"));
    let named = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named.into_iter().chain(directories.iter().map(|directory| directory.join(name))).find(|path| is_file(path))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Whether `REQUIRE_CONTROL_PLANE=1` says that a test without control plane must fail.
#[must_use]
pub fn must_not_skip() -> bool {
    env::var("REQUIRE_CONTROL_PLANE").is_ok_and(|value| value == "1")
}

/// Says in one line that a test is skipped and why, past the test harness, which hides the output of tests that pass.
pub fn note_skip(reason: &dyn fmt::Display) {
    let thread = std::thread::current();
    let line = format!("skipped {}: {reason}\n", thread.name().unwrap_or("a test"));
    // A closed stderr leaves nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// What a skipped test returns.
pub trait Skipped {
    /// The value of a test that found nothing wrong.
    fn skipped() -> Self;
}

impl Skipped for () {
    fn skipped() -> Self {}
}

impl<E> Skipped for Result<(), E> {
    fn skipped() -> Self {
        Ok(())
    }
}

/// Returns from a test, with one line on stderr, when the control plane's programs are missing; panics instead when
/// `REQUIRE_CONTROL_PLANE=1`. `require_control_plane!(controllers)` asks for kube-controller-manager too.
#[macro_export]
macro_rules! require_control_plane {
    () => {
        $crate::require_control_plane!(@ false)
    };
    (controllers) => {
        $crate::require_control_plane!(@ true)
    };
    (@ $controllers:literal) => {
        if let Err(missing) = $crate::Binaries::find($controllers) {
            assert!(!$crate::must_not_skip(), "REQUIRE_CONTROL_PLANE=1, but there is {missing}");
            $crate::note_skip(&missing);
            return $crate::Skipped::skipped();
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_remedy() {
        let missing = MissingBinaries { names: vec!["etcd", "kubectl"], looked_in: vec!["/a".into(), "/b".into()] };
        assert_eq!(
            missing.to_string(),
            "no etcd, kubectl in /a or /b; run e2e/cluster/setup.sh, or set KUBEBUILDER_ASSETS to a directory that has them"
        );
    }

    #[test]
    fn a_binary_is_taken_from_the_first_directory_that_has_it() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let directories = [first.path().to_owned(), second.path().to_owned()];
        std::fs::write(second.path().join("etcd-of-test"), "").unwrap();
        assert_eq!(locate("etcd-of-test", &directories), Some(second.path().join("etcd-of-test")));
        std::fs::write(first.path().join("etcd-of-test"), "").unwrap();
        assert_eq!(locate("etcd-of-test", &directories), Some(first.path().join("etcd-of-test")));
    }
}
