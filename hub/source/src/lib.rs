//! Sources of manifests: mirrors of Git repositories, polled and on demand, that yield a tree of Git objects per revision. What is in the
//! trees is left to `hub-fleet` and the render engines; which sources there are, and where secrets lie, to the process that composes them.
//! Beside them, the files of this machine as a tree, for what is built or rendered where it lies.
//!
//! The HTTP client takes the process-wide rustls provider, which `main` installs.

mod commit;
mod credentials;
mod error;
mod fetch;
mod filesystem;
mod ignore;
mod local;
mod mirror;
mod poll;
mod range;
mod record;
mod reference;
mod repository;
mod spec;
mod transport;
mod tree;
mod url;

pub use commit::CommitInfo;
pub use credentials::{Credentials, Secret};
pub use error::FetchError;
pub use filesystem::FilesystemTree;
pub use ignore::DEFAULT_IGNORE;
pub use local::{LocalRepository, WriteError};
pub use mirror::{CommitError, Failure, History, Mirror, OpenError, Refreshed, SourceState};
pub use poll::{next_delay, run, seed_of};
pub use range::{InvalidRange, VersionRange, version_of_tag};
pub use record::Rewrite;
pub use reference::{InvalidReference, Reference, ReferenceFields};
pub use spec::{CertificateAuthorities, INTERVAL, InvalidCertificateAuthorities, Limits, SourceSpec, Surroundings};
pub use url::{GitUrl, InvalidUrl};
