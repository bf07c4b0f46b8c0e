//! What one source is: its repository, what it follows there, and the bounds on fetching it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use shared_model::{Clock, SourceName, Timestamp};

use crate::credentials::Credentials;
use crate::reference::Reference;
use crate::url::GitUrl;

/// One source of manifests, as configured on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSpec {
    /// Its name.
    pub name: SourceName,
    /// The repository.
    pub url: GitUrl,
    /// What is followed there.
    pub reference: Reference,
    /// The time between two looks at it.
    pub interval: Duration,
    /// What is shown to the server.
    pub credentials: Option<Credentials>,
    /// The authorities that may vouch for the server, instead of those of the system.
    pub ca: Option<CertificateAuthorities>,
    /// Patterns of files that are no part of the source, in `.gitignore` syntax, instead of [`crate::DEFAULT_IGNORE`].
    pub ignore: Option<String>,
}

impl SourceSpec {
    /// A source without credentials that is looked at once a minute.
    pub fn new(name: SourceName, url: GitUrl, reference: Reference) -> Self {
        Self { name, url, reference, interval: INTERVAL, credentials: None, ca: None, ignore: None }
    }
}

/// How often a source is looked at unless it says otherwise: Flux's and Argo CD's users choose one to three minutes, and a look costs one
/// listing of references.
pub const INTERVAL: Duration = Duration::from_secs(60);

/// Certificates of authorities, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateAuthorities(Vec<u8>);

/// The bytes hold no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CA bundle holds no certificate that can be read; it is PEM, with lines that say BEGIN CERTIFICATE")]
pub struct InvalidCertificateAuthorities;

impl CertificateAuthorities {
    /// Takes PEM with at least one certificate.
    pub fn from_pem(pem: &[u8]) -> Result<Self, InvalidCertificateAuthorities> {
        match reqwest::Certificate::from_pem_bundle(pem) {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(pem.to_vec())),
            _ => Err(InvalidCertificateAuthorities),
        }
    }

    pub(crate) fn as_pem(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CertificateAuthorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateAuthorities({} bytes)", self.0.len())
    }
}

/// The bounds on talking to one remote. An operator raises them for a repository that is truly larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Listing the references of a remote.
    pub listing_time: Duration,
    /// Fetching what is new.
    pub fetch_time: Duration,
    /// Silence of the remote within either.
    pub stall: Duration,
    /// What one refresh receives, in bytes.
    pub fetch_bytes: u64,
    /// One Git object in memory, in bytes.
    pub object_bytes: u64,
    /// Packs in a clone; with so many it is cloned anew.
    pub packs: usize,
}

impl Limits {
    /// 60 s to list (Flux's default timeout), 10 min and 1 GiB to fetch; 128 MiB for an object: a file that is read has 5 MiB at
    /// most, but a history may hold a model or an archive, and indexing holds four such objects at once; 64 packs, because each fetch with news adds one, every lookup asks each of
    /// them, and at one commit a minute a new clone is due once an hour.
    pub const DEFAULT: Self = Self {
        listing_time: Duration::from_secs(60),
        fetch_time: Duration::from_secs(600),
        stall: Duration::from_secs(60),
        fetch_bytes: 1 << 30,
        object_bytes: 128 << 20,
        packs: 64,
    };
}

/// What a mirror takes from its surroundings.
#[derive(Clone)]
pub struct Surroundings {
    /// The bounds on fetching.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
    /// The `ssh` program, for ssh remotes alone: a name to look for in the `PATH`, or a path.
    pub ssh: PathBuf,
}

impl Default for Surroundings {
    /// The default limits, the system's clock, and the `ssh` of the `PATH`.
    fn default() -> Self {
        Self { limits: Limits::DEFAULT, clock: Clock::new(Timestamp::now), ssh: PathBuf::from("ssh") }
    }
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("limits", &self.limits).field("ssh", &self.ssh).finish_non_exhaustive()
    }
}
