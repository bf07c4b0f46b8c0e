//! `capstan-agent leave`: takes Capstan's marks off what the agent owns, so that another tool can take over. Nothing is deleted but what the
//! agent keeps for itself, and every object stays as it is: only its tracking annotation goes and Capstan's entries in its managedFields, so
//! that nobody holds those fields any more (the API server has an owner for them as for all that was never applied, `before-first-apply`). Ending an agent without this changes no object either; this is for who comes after it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_cluster::{Cluster, Discovery, FIELD_MANAGER, Lease, Role};
use agent_ledger::{Ledger, Mirror as _};
use agent_plan::{Inventory, Owned, TRACKING_ANNOTATION};
use serde_json::Value;
use shared_model::{AppName, Clock, ObjectKey, ServiceAccount};
use shared_release::{Index, SignedIndex};

use crate::memory::Memory;

/// How long a holder of the lease that fell silent is waited for: the lease's duration and one renewal.
const WAIT_FOR_LEASE: Duration = Duration::from_secs(20);

/// The parts of the copy that say what is owned; the others hold contents.
const CORE_PARTS: [&str; 2] = ["state-", "inventory-"];

/// What is to be let go.
#[derive(Debug, Clone, Default)]
pub struct Leaving {
    /// These apps, which the index must not run any more; everything, and the agent's own Secrets and Lease, if there are none.
    pub apps: BTreeSet<AppName>,
    /// It is done, and not only told.
    pub is_meant: bool,
}

/// Where the agent sits that leaves.
pub struct LeavingSeat<'a> {
    /// The connection to the cluster.
    pub cluster: &'a Cluster,
    /// The ledger's directory.
    pub ledger: &'a Path,
    /// The namespace of the agent's own Secrets and Lease.
    pub namespace: &'a str,
    /// A name that no other process has, for the Lease.
    pub instance: String,
}

/// What became of the marks on one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parted {
    /// The app that owns it.
    pub app: AppName,
    /// The object.
    pub object: ObjectKey,
    /// What.
    pub outcome: Parting,
}

/// What became of one object's marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parting {
    /// They would be taken off.
    WouldBeLetGo,
    /// They are off.
    LetGo,
    /// It bears none.
    Unmarked,
    /// It does not exist any more.
    Gone,
    /// Another object has its name now, which stays as it is.
    NotOurs,
    /// They could not be taken off, and why.
    Failed(String),
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WouldBeLetGo => f.write_str("would be let go"),
            Self::LetGo => f.write_str("let go"),
            Self::Unmarked => f.write_str("bears no mark"),
            Self::Gone => f.write_str("is gone"),
            Self::NotOurs => f.write_str("is another object by now"),
            Self::Failed(why) => write!(f, "FAILED: {why}"),
        }
    }
}

/// Why nothing was let go.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaveError {
    /// An agent is at work, and would put the marks back.
    #[error(
        "an agent is at work here ({holder}) and would put the marks back; stop it first: kubectl -n {namespace} scale deployment capstan-agent --replicas=0"
    )]
    AgentAtWork {
        /// Who holds the lease.
        holder: String,
        /// The agent's namespace.
        namespace: String,
    },
    /// The agent would take the app over again.
    #[error(
        "the index in force still runs app {0}; take it out of the fleet first (with onDelete: orphan it keeps its objects), or leave as a whole"
    )]
    StillRuns(AppName),
    /// There is no such app.
    #[error("this agent owns nothing of app {app}; it has {known}")]
    UnknownApp {
        /// The name.
        app: AppName,
        /// The apps that it has.
        known: String,
    },
}

/// Lets go of what `leaving` says. Returns what became of each object; if one failed, what is owned is remembered as before, and it can be tried
/// again.
///
/// # Errors
/// A [`LeaveError`], or the cluster or the ledger cannot be read or written.
pub async fn leave(seat: &LeavingSeat<'_>, leaving: &Leaving, clock: &Clock) -> anyhow::Result<Vec<Parted>> {
    let Memory { mut ledger, mirror, .. } = Memory::open(seat.cluster, seat.namespace, seat.ledger).await?;
    let index = ledger.index().map(SignedIndex::read_own).transpose()?;
    let inventory = ledger.inventory().clone();
    let apps = chosen(leaving, &inventory, index.as_ref())?;
    let mut lease = Lease::new(seat.cluster.clone(), seat.namespace, "capstan-agent", seat.instance.clone());
    if leaving.is_meant {
        take(&mut lease, seat.namespace, clock).await?;
    }
    let discovery = seat.cluster.discover().await?;
    let mut parted = Vec::new();
    let mut renewed = Instant::now();
    for app in &apps {
        let account = index.as_ref().and_then(|index| index.apps.get(app)?.service_account.as_ref());
        for (object, owned) in inventory.apps.get(app).into_iter().flat_map(|inventory| &inventory.objects) {
            if leaving.is_meant && renewed.elapsed() >= Lease::RENEW_EVERY {
                take(&mut lease, seat.namespace, clock).await?;
                renewed = Instant::now();
            }
            let outcome = part(seat.cluster, &discovery, account, object, owned, leaving.is_meant).await;
            parted.push(Parted { app: app.clone(), object: ObjectKey::clone(object), outcome });
        }
    }
    if !leaving.is_meant {
        return Ok(parted);
    }
    let failed = parted.iter().any(|parted| matches!(parted.outcome, Parting::Failed(_)));
    if failed || !leaving.apps.is_empty() {
        if !failed {
            forget(&mut ledger, &inventory, &apps)?;
            let parts = ledger.core_parts();
            let names: BTreeSet<String> = parts.keys().cloned().collect();
            mirror.write(parts).await?;
            let is_stale = |name: &String| CORE_PARTS.iter().any(|prefix| name.starts_with(prefix)) && !names.contains(name);
            mirror.remove(mirror.marks().await?.into_keys().filter(is_stale).collect()).await?;
        }
        lease.release(clock.now()).await?;
    } else {
        // The lease goes last: while it is held no other agent writes the copy anew.
        mirror.remove(mirror.marks().await?.into_keys().collect()).await?;
        lease.delete().await?;
    }
    Ok(parted)
}

/// The apps to let go of.
fn chosen(leaving: &Leaving, inventory: &Inventory, index: Option<&Index>) -> Result<BTreeSet<AppName>, LeaveError> {
    if leaving.apps.is_empty() {
        return Ok(inventory.apps.keys().cloned().collect());
    }
    for app in &leaving.apps {
        if !inventory.apps.contains_key(app) {
            let known = inventory.apps.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(LeaveError::UnknownApp { app: app.clone(), known });
        }
        // What is withdrawn is not orphaned: the agent is about to delete it.
        if index.is_some_and(|index| index.apps.contains_key(app)) {
            return Err(LeaveError::StillRuns(app.clone()));
        }
    }
    Ok(leaving.apps.clone())
}

/// Takes the lease, or renews it.
async fn take(lease: &mut Lease, namespace: &str, clock: &Clock) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        match lease.hold(clock.now()).await? {
            Role::Writer => return Ok(()),
            Role::Reader { holder } if began.elapsed() >= WAIT_FOR_LEASE => {
                return Err(LeaveError::AgentAtWork { holder, namespace: namespace.to_owned() }.into());
            }
            Role::Reader { .. } => tokio::time::sleep(Lease::RENEW_EVERY).await,
        }
    }
}

async fn part(
    cluster: &Cluster,
    discovery: &Discovery,
    account: Option<&ServiceAccount>,
    object: &ObjectKey,
    owned: &Owned,
    is_meant: bool,
) -> Parting {
    let Some(resource) = discovery.resource(&object.kind, "") else {
        return Parting::Failed(format!("the API server does not serve {} now; try again when it does", object.kind));
    };
    let live = match cluster.get(resource, object).await {
        Ok(Some(live)) => live,
        Ok(None) => return Parting::Gone,
        Err(error) => return Parting::Failed(error.reason().message),
    };
    if live.pointer("/metadata/uid").and_then(Value::as_str) != owned.uid.as_deref() {
        return Parting::NotOurs;
    }
    let fields = agent_plan::given_up(&live, FIELD_MANAGER);
    let is_tracked = live["metadata"]["annotations"].get(TRACKING_ANNOTATION).is_some();
    if fields.is_none() && !is_tracked {
        return Parting::Unmarked;
    }
    if !is_meant {
        return Parting::WouldBeLetGo;
    }
    let annotation = is_tracked.then_some(TRACKING_ANNOTATION);
    match cluster.acting_as(account).let_go(resource, object, &live, fields.as_ref(), annotation).await {
        Ok(()) => Parting::LetGo,
        Err(error) => Parting::Failed(error.reason_as(account).message),
    }
}

/// Takes `apps` out of what is owned, so that nothing of them is ever deleted.
fn forget(ledger: &mut Ledger, inventory: &Arc<Inventory>, apps: &BTreeSet<AppName>) -> anyhow::Result<()> {
    let kept: BTreeMap<_, _> =
        inventory.apps.iter().filter(|(app, _)| !apps.contains(*app)).map(|(app, own)| (app.clone(), own.clone())).collect();
    Ok(ledger.set_inventory(Inventory { apps: kept })?)
}
