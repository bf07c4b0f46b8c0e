//! Helm charts: loading, values, templates with Helm's functions, hooks, and the manifests that `helm template` would print. Fetching charts is
//! left to `hub/source`, the template language to `hub/gotemplate`.

mod archive;
mod capabilities;
mod chance;
mod chart;
mod coalesce;
mod dependencies;
mod error;
mod functions;
mod glob;
mod host;
mod ignore;
mod kept;
mod load;
mod manifest;
mod metadata;
mod objects;
mod outside;
mod render;
mod request;
mod schema;
mod set;
mod stored;
mod templated;
mod values;
mod yaml;

pub use archive::ArchiveError;
pub use capabilities::{Capabilities, InvalidKubeVersion, KubeVersion};
pub use chance::{Calendar, Chance, Scope};
pub use chart::Chart;
pub use error::HelmError;
pub use host::Used;
pub use hub_gotemplate::Limits;
pub use ignore::InvalidRule;
pub use load::ChartError;
pub use manifest::{Hook, HookEvent, Manifest};
pub use metadata::{Dependency, InvalidMetadata, Maintainer, Metadata};
pub use render::template;
pub use request::{Request, ValuesLayer};
pub use set::split_set_file;
pub use templated::{Show, Templated};
