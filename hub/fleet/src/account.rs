//! Whose rights an app is written with: the service account of its project, its own, or the fleet's default, in this order, as users of Flux
//! (`serviceAccountName`, `--default-service-account`) and Argo CD (`destinationServiceAccounts`) know it. A name without a namespace is
//! looked for in the app's own. Whether a cluster lets the hub use it is left to the cluster's guardrail and RBAC.

use shared_model::{AppName, InvalidServiceAccount, ServiceAccount};

use crate::fleet::{App, Cluster, Fleet};
use crate::project::Refusal;
use crate::resolve::{ResolveError, namespace_of};

/// Why an app cannot run as the service account that is written for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// Nobody knows in which namespace it is.
    #[error(
        "app {app} runs as the service account \"{account}\" and has no namespace to find it in; set namespace, or write NAMESPACE:{account}"
    )]
    Nowhere {
        /// The app.
        app: AppName,
        /// What was written.
        account: String,
    },
    /// It is none once its namespace is filled in.
    #[error(transparent)]
    Invalid(#[from] InvalidServiceAccount),
    /// The project has nothing to do with its namespace.
    #[error("the service account {account}: {refusal}")]
    NotPermitted {
        /// The account.
        account: ServiceAccount,
        /// What the project says.
        refusal: Box<Refusal>,
    },
}

/// The service account that `app` is written with on `cluster`; `None` is the agent's own.
///
/// # Errors
/// Its namespace has a variable without a value, or cannot be told, or the app's project does not permit it.
pub fn service_account(fleet: &Fleet, app: &App, cluster: &Cluster) -> Result<Option<ServiceAccount>, ResolveError> {
    let Some(text) = &app.service_account else { return Ok(None) };
    let namespace = namespace_of(fleet, app, cluster)?;
    if namespace.is_none() && !text.contains(':') {
        return Err(AccountError::Nowhere { app: app.name.clone(), account: text.clone() }.into());
    }
    let account = ServiceAccount::parse(text, namespace.as_deref()).map_err(AccountError::from)?;
    let project = app.project.as_ref().and_then(|name| fleet.projects.get(name));
    // The account that a project itself names may be anywhere.
    if let Some(project) = project.filter(|project| project.service_account.as_ref() != Some(text))
        && let Err(refusal) = project.permits_namespace(account.namespace())
    {
        return Err(AccountError::NotPermitted { account, refusal: Box::new(refusal) }.into());
    }
    Ok(Some(account))
}
