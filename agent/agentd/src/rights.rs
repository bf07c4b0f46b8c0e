//! Which rights on the cluster the agent needs for what it is to run, and which of them it lacks. What it needs is a pure list; the API server
//! says what is missing of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use agent_cluster::{Cluster, Discovery, Resource, Right};
use agent_ledger::Ledger;
use shared_model::{GroupKind, Scope, ServiceAccount};

use crate::config::AgentConfig;
use crate::desired::Wanted;

/// The most rights that are asked about: 40 kinds in 4 namespaces, with their three verbs to look.
const MOST_QUESTIONS: usize = 480;

/// The most missing rights that are named.
const MOST_NAMED: usize = 8;

/// Looks at objects need these.
const TO_LOOK: [&str; 3] = ["get", "list", "watch"];
/// Writing with the agent's own rights needs these as well.
const TO_WRITE: [&str; 3] = ["create", "patch", "delete"];

/// What an app asks of the agent: the kinds of its objects, and where they are.
struct Ask<'a> {
    account: Option<&'a ServiceAccount>,
    objects: BTreeSet<(&'a GroupKind, Option<&'a str>)>,
}

/// Says whether the agent has the rights that it needs for the index in its ledger, or for common kinds before there is one.
pub(crate) async fn examine(cluster: &Cluster, config: &AgentConfig, ledger: Option<&Ledger>) -> Result<String, String> {
    let discovery = cluster.discover().await.map_err(|error| error.to_string())?;
    let wanted = ledger.map(|ledger| Wanted::read(ledger.index(), ledger.contents(), &Wanted::default())).unwrap_or_default();
    let common = common_kinds();
    let mut asks = asks(&wanted);
    if asks.is_empty() {
        asks.push(Ask { account: None, objects: common.iter().map(|kind| (kind, None)).collect() });
    }
    let may_write = !wanted.desired.apps.is_empty();
    let mut needed = needed(&asks, &discovery, config.guardrail.installed_for.as_ref(), may_write);
    needed.truncate(MOST_QUESTIONS);
    let lacking = cluster.lacking(&needed).await.map_err(|error| error.to_string())?;
    let what = if may_write { "for what its index asks" } else { "to watch common kinds; nothing is known of apps yet" };
    if lacking.is_empty() {
        return Ok(format!("the agent's service account has the {} rights that it needs {what}", needed.len()));
    }
    let named: Vec<String> = lacking.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    let more = lacking.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(format!(
        "the agent's service account lacks {} of the {} rights that it needs {what}: {}{more}; grant them in its ClusterRole or in a Role of \
         that namespace, see deploy/agent",
        lacking.len(),
        needed.len(),
        named.join(", ")
    ))
}

fn common_kinds() -> Vec<GroupKind> {
    let core = ["ConfigMap", "Secret", "Service", "ServiceAccount"].map(|kind| GroupKind::new("", kind));
    let apps = ["Deployment", "StatefulSet", "DaemonSet"].map(|kind| GroupKind::new("apps", kind));
    core.into_iter().chain(apps).chain([GroupKind::new("batch", "Job")]).collect()
}

fn asks(wanted: &Wanted) -> Vec<Ask<'_>> {
    let apps = wanted.desired.apps.values();
    apps.filter_map(|app| {
        let release = match (app.release.as_ref().ok()?, &app.removal) {
            (Some((_, release)), _) => release,
            (None, Some(removal)) => &removal.release,
            (None, None) => return None,
        };
        let withdrawn = app.withdrawals.iter().map(|withdrawal| &withdrawal.object);
        let objects = release.entries.keys().map(Arc::as_ref).chain(withdrawn).map(|key| (&key.kind, key.namespace.as_deref())).collect();
        Some(Ask { account: app.service_account.as_ref(), objects })
    })
    .collect()
}

/// The rights that `asks` need. An agent that was installed for some namespaces looks only there, and looks at no list of anything else.
fn needed(asks: &[Ask<'_>], discovery: &Discovery, installed_for: Option<&BTreeSet<String>>, may_write: bool) -> Vec<Right> {
    let mut needed: Vec<Right> = Vec::new();
    let mut need = |right: Right| {
        if !needed.contains(&right) {
            needed.push(right);
        }
    };
    let right = |verb, resource: &Resource, namespace: Option<&str>| Right {
        verb,
        group: resource.group.clone(),
        resource: resource.plural.clone(),
        namespace: namespace.map(str::to_owned),
        name: None,
    };
    for ask in asks {
        for (kind, home) in &ask.objects {
            let Some(resource) = discovery.resource(kind, "") else { continue };
            let places: Vec<Option<&str>> = match installed_for {
                Some(namespaces) if resource.scope == Scope::Namespaced => namespaces.iter().map(|name| Some(name.as_str())).collect(),
                Some(_) => continue,
                None => vec![None],
            };
            for place in places {
                TO_LOOK.into_iter().for_each(|verb| need(right(verb, resource, place)));
            }
            if may_write && ask.account.is_none() {
                TO_WRITE.into_iter().for_each(|verb| need(right(verb, resource, *home)));
            }
        }
        if let Some(account) = ask.account {
            need(Right {
                verb: "impersonate",
                group: String::new(),
                resource: "serviceaccounts".to_owned(),
                namespace: Some(account.namespace().to_owned()),
                name: Some(account.name().to_owned()),
            });
        }
    }
    needed
}
