//! An app on one cluster with every variable replaced: what a render needs. Whether the directories are there is left to `choice`.

use std::collections::{BTreeMap, BTreeSet};

use hub_tree::{InvalidPath, TreePath};
use shared_model::{AppName, ClusterName, Reason, ServiceAccount, Severity, SourceName};

use crate::account::{AccountError, service_account};
use crate::fleet::{App, Cluster, Fleet, PathChoice};
use crate::helm::{CHART, ChartFrom, HelmSource, RELEASE_NAME, VERSION, check_chart_name, check_release_name, check_version};
use crate::label::check_value;
use crate::layers::{COMMON_LABELS, KustomizeLayers, PostBuild};
use crate::rule::{invalid_namespace, is_namespace};
use crate::template::{Bindings, Template, VariableError};

/// An app on one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The app.
    pub app: AppName,
    /// The cluster.
    pub cluster: ClusterName,
    /// The namespace of objects that name none.
    pub namespace: Option<String>,
    /// The service account that it is written with; the agent's own rights if `None`.
    pub service_account: Option<ServiceAccount>,
    /// All variables with their values: the app's, overridden by the region's, overridden by the cluster's.
    pub vars: BTreeMap<String, String>,
    /// What is laid over its kustomization.
    pub kustomize: KustomizeLayers<String>,
    /// The variables of its manifests.
    pub post_build: Option<PostBuild<String>>,
    /// The source of manifests; `None` is the fleet repository.
    pub source: Option<SourceName>,
    /// The directory that its paths are relative to.
    pub base: TreePath,
    /// The directories in it, from its root, the most special first; at least one.
    pub paths: Vec<TreePath>,
    /// What is rendered, if it is a chart by name.
    pub helm: Option<HelmSource<String, TreePath>>,
    /// Whether there is a choice between the directories, so that one that is absent is passed over.
    pub first_of: bool,
}

/// Why an app cannot be resolved on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// A variable has no value.
    #[error("{field}: {error}")]
    Variable {
        /// The field: `source.path`, `namespace`, `vars.NAME`, `kustomize.namePrefix`, `postBuild.substitute.NAME` and so on.
        field: String,
        /// Which, and why.
        error: VariableError,
    },
    /// A namespace is none once the variables are replaced.
    #[error("{field}: {}", invalid_namespace(namespace))]
    Namespace {
        /// The field: `namespace` or `kustomize.targetNamespace`.
        field: &'static str,
        /// What it became.
        namespace: String,
    },
    /// It cannot run as its service account.
    #[error("serviceAccount: {0}")]
    Account(#[from] AccountError),
    /// A label of `commonMetadata` is none once the variables are replaced.
    #[error("{field}: {problem}")]
    Label {
        /// The field.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// A directory or file is outside the source once the variables are replaced.
    #[error("{field}: {error}")]
    Path {
        /// The field: `source.path`, `source.helm.valuesFiles[0]`.
        field: String,
        /// Why.
        error: InvalidPath,
    },
    /// A text of a chart is against its rule once the variables are replaced.
    #[error("{field}: {problem}")]
    Helm {
        /// The field: `source.helm.version`.
        field: String,
        /// What is wrong.
        problem: String,
    },
}

impl From<&ResolveError> for Reason {
    fn from(error: &ResolveError) -> Self {
        let code = match error {
            ResolveError::Variable { .. } => "UnsetVariable",
            ResolveError::Account(AccountError::NotPermitted { .. }) => "NotPermitted",
            ResolveError::Account(_)
            | ResolveError::Namespace { .. }
            | ResolveError::Label { .. }
            | ResolveError::Path { .. }
            | ResolveError::Helm { .. } => "InvalidValue",
        };
        Self::new(Severity::Error, code, error.to_string())
    }
}

/// Replaces all variables of `app` for `cluster`.
///
/// # Errors
/// The first field that has no value there: variables before the namespace, the namespace before the paths, then what is laid over them.
pub fn resolve(fleet: &Fleet, app: &App, cluster: &Cluster) -> Result<Resolved, ResolveError> {
    let bindings = bindings(fleet, app, cluster);
    let expand = |field: &str, template: &Template| {
        bindings.expand(template).map_err(|error| ResolveError::Variable { field: field.to_owned(), error })
    };
    let names: BTreeSet<&String> = bindings.vars.iter().flat_map(|vars| vars.keys()).collect();
    let mut vars = BTreeMap::new();
    for name in names {
        if let Some(template) = bindings.var(name) {
            vars.insert(name.clone(), expand(&format!("vars.{name}"), template)?);
        }
    }
    let namespace = namespace_of(fleet, app, cluster)?;
    let base = match app.source.name {
        Some(_) => TreePath::root(),
        None => app.location.file.parent().unwrap_or_default(),
    };
    let mut paths = Vec::new();
    for candidate in app.source.path.candidates() {
        let field = if app.source.helm.is_some() { CHART } else { "source.path" };
        paths.push(base.join(&expand(field, candidate)?).map_err(|error| ResolveError::Path { field: field.to_owned(), error })?);
    }
    let helm = app.source.helm.as_ref().map(|helm| resolve_helm(app, helm, &base, &expand)).transpose()?;
    let first_of = matches!(app.source.path, PathChoice::FirstOf(_));
    let kustomize = app.kustomize.try_map(expand)?;
    refuse_namespace("kustomize.targetNamespace", kustomize.target_namespace.as_ref())?;
    for (key, value) in &kustomize.common_labels {
        check_value(value).map_err(|problem| ResolveError::Label { field: format!("{COMMON_LABELS}.{key}"), problem })?;
    }
    Ok(Resolved {
        app: app.name.clone(),
        cluster: cluster.name.clone(),
        namespace,
        service_account: service_account(fleet, app, cluster)?,
        vars,
        kustomize,
        post_build: app.post_build.as_ref().map(|post_build| post_build.try_map(expand)).transpose()?,
        source: app.source.name.clone(),
        base,
        paths,
        helm,
        first_of,
    })
}

/// What variables mean for `app` on `cluster`.
fn bindings<'a>(fleet: &'a Fleet, app: &'a App, cluster: &'a Cluster) -> Bindings<'a> {
    static NONE: BTreeMap<String, Template> = BTreeMap::new();
    let region_vars = fleet.regions.get(&cluster.region).map_or(&NONE, |region| &region.vars);
    Bindings {
        region: cluster.region.as_str(),
        cluster: cluster.name.as_str(),
        labels: &cluster.labels,
        vars: [&cluster.vars, region_vars, &app.vars],
    }
}

/// The namespace of objects that name none.
pub(crate) fn namespace_of(fleet: &Fleet, app: &App, cluster: &Cluster) -> Result<Option<String>, ResolveError> {
    let Some(template) = &app.namespace else { return Ok(None) };
    let expanded = bindings(fleet, app, cluster).expand(template);
    let namespace = expanded.map_err(|error| ResolveError::Variable { field: "namespace".to_owned(), error })?;
    refuse_namespace("namespace", Some(&namespace))?;
    Ok(Some(namespace))
}

/// A chart of `app`, whose files are relative to `base`.
fn resolve_helm(
    app: &App,
    helm: &HelmSource,
    base: &TreePath,
    expand: &impl Fn(&str, &Template) -> Result<String, ResolveError>,
) -> Result<HelmSource<String, TreePath>, ResolveError> {
    let file = |field: &str, path: &Template| {
        let elsewhere = field == CHART && matches!(helm.chart, ChartFrom::Source { .. });
        let base = if elsewhere { &TreePath::root() } else { base };
        base.join(&expand(field, path)?).map_err(|error| ResolveError::Path { field: field.to_owned(), error })
    };
    let mut resolved = helm.try_map(expand, file)?;
    let release_name = resolved.release_name.get_or_insert_with(|| app.name.to_string());
    let refused = |field: &str| {
        let field = field.to_owned();
        move |problem| ResolveError::Helm { field, problem }
    };
    check_release_name(release_name).map_err(refused(RELEASE_NAME))?;
    if let ChartFrom::Repository { name, version, .. } = &resolved.chart {
        check_chart_name(name).map_err(refused(CHART))?;
        check_version(version).map_err(refused(VERSION))?;
    }
    Ok(resolved)
}

fn refuse_namespace(field: &'static str, namespace: Option<&String>) -> Result<(), ResolveError> {
    match namespace {
        Some(namespace) if !is_namespace(namespace) => Err(ResolveError::Namespace { field, namespace: namespace.clone() }),
        _ => Ok(()),
    }
}
