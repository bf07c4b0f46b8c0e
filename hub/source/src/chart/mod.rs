//! Charts of Helm from repositories (`index.yaml` over HTTP) and OCI registries: found by name and range of versions, fetched, verified by
//! digest, kept on disk, and followed as a Git source is. What is in an archive is left to `hub-helm`. Signatures (provenance files,
//! cosign) are not verified: a digest says that an archive is what the index or the registry names, not who made it.

mod address;
mod archive;
mod conversation;
mod index;
mod registry;
mod repository;
mod source;
mod spec;
mod store;
mod tree;
mod version;
mod web;

pub use archive::ChartArchive;
pub use repository::ChartRepository;
pub use source::ChartSource;
pub use spec::{
    CHART_INTERVAL, ChartLimits, ChartName, ChartRepositorySpec, ChartRepositoryUrl, ChartSpec, InvalidChartName, InvalidChartUrl, NamedBy,
};
pub use store::ChartStore;
pub use version::{InvalidWantedVersion, WantedVersion};
