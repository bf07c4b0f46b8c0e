//! Sources of manifests: mirrors of Git repositories, polled and on demand, that yield a tree of Git objects per revision; and charts of Helm
//! from repositories and registries, which yield a tree with an archive. What is in the trees is left to `hub-fleet` and the render engines;
//! which sources there are, and where secrets lie, to the process that composes them. Beside them, the files of this machine as a tree, for
//! what is built or rendered where it lies.
//!
//! The HTTP client takes the process-wide rustls provider, which `main` installs.

mod chart;
mod commit;
mod credentials;
mod error;
mod fetch;
mod filesystem;
mod ignore;
mod local;
mod mirror;
mod poll;
mod record;
mod reference;
mod repository;
mod spec;
mod state;
mod transport;
mod tree;
mod url;

pub use chart::{
    CHART_INTERVAL, ChartArchive, ChartLimits, ChartName, ChartRepository, ChartRepositorySpec, ChartRepositoryUrl, ChartSource, ChartSpec,
    ChartStore, InvalidChartName, InvalidChartUrl, InvalidWantedVersion, NamedBy, WantedVersion,
};
pub use commit::CommitInfo;
pub use credentials::{Credentials, Secret};
pub use error::FetchError;
pub use filesystem::FilesystemTree;
pub use ignore::DEFAULT_IGNORE;
pub use local::{LocalRepository, WriteError};
pub use mirror::{CommitError, Mirror, OpenError};
pub use poll::{Source, next_delay, refresh_in_background, run, seed_of};
pub use record::Rewrite;
pub use reference::{InvalidReference, Reference, ReferenceFields};
pub use spec::{CertificateAuthorities, INTERVAL, InvalidCertificateAuthorities, Limits, SourceSpec, Surroundings};
pub use state::{Failure, History, Refreshed, SourceState};
pub use url::{GitUrl, InvalidUrl};
