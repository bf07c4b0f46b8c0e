//! `capstan-agent`: wiring, and the loop that keeps one cluster as its index says. What to do is decided in `agent/plan`; this crate reads the
//! inputs, calls it, and carries the result out.

mod agent;
mod config;
mod copy;
mod desired;
mod doctor;
mod execute;
mod intake;
mod join;
mod memory;
mod observe;
mod reach;
mod run;
mod shared;
mod site;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{Cluster, Lease, Role};
use shared_model::{Clock, ClusterName, ClusterUid};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use agent_plan::Guardrail;

pub use crate::config::{AgentConfig, DEFAULT_ADMIN, DEFAULT_DATA_DIR, DEFAULT_NAMESPACE, Flags, ProcessConfig, SettingsError, Token};
pub use crate::doctor::{Finding, examine};
pub use crate::intake::{Accepted, Intake};
pub use crate::join::JoinError;
pub use crate::run::run;
pub use crate::shared::{Part, Problems, Status};

use crate::agent::Agent;
use crate::copy::Copy;
use crate::memory::Memory;
use crate::shared::Shared;

/// How long the loop may take to end its turn before it is cut short: a few requests' time. What was begun is found in the ledger again.
const LAST_TURN: Duration = Duration::from_secs(5);

/// A running agent without its link to the hub.
pub struct Running {
    /// The door for what the hub sends.
    pub intake: Intake,
    /// The newest status.
    pub status: watch::Receiver<Status>,
    pub(crate) shared: Arc<Shared>,
    loop_task: JoinHandle<()>,
    lease_task: JoinHandle<()>,
    stop_loop: watch::Sender<bool>,
    give_back: watch::Sender<bool>,
}

/// Which cluster an agent keeps, and where it keeps its memory.
pub struct Seat<'a> {
    /// The connection to the cluster.
    pub cluster: Cluster,
    /// The cluster's name.
    pub name: ClusterName,
    /// Its uid.
    pub uid: ClusterUid,
    /// The ledger's directory.
    pub ledger: &'a Path,
    /// The namespace of the agent's own Secrets and Lease.
    pub namespace: &'a str,
    /// A name that no other process has, for the Lease.
    pub instance: String,
    /// What the cluster's owner lets the hub do.
    pub guardrail: Guardrail,
}

/// Opens the ledger (filling an empty one from the copy in the cluster), takes the Lease, and starts the loop.
pub async fn start(seat: Seat<'_>, clock: Clock) -> anyhow::Result<Running> {
    let memory = Memory::open(&seat.cluster, seat.namespace, seat.ledger).await?;
    Ok(set_going(seat, memory, clock))
}

/// Starts the loop and the lease.
pub(crate) fn set_going(seat: Seat<'_>, memory: Memory, clock: Clock) -> Running {
    let shared = Arc::new(Shared::new(memory.ledger));
    let intake = Intake::new(shared.clone(), seat.name, seat.uid);
    if let Err(reason) = intake.settle() {
        tracing::error!(%reason, "the pending index cannot be put in force");
    }
    let (role_sender, role) = watch::channel(None);
    let (stop_loop, stopped) = watch::channel(false);
    let (give_back, given_back) = watch::channel(false);
    let lease = Lease::new(seat.cluster.clone(), seat.namespace, "capstan-agent", seat.instance);
    let copy = Copy::new(memory.mirror, &memory.found);
    let agent = Agent::new(seat.cluster, seat.guardrail, shared.clone(), clock.clone(), role, stopped, copy);
    let lease_task = tokio::spawn(hold_lease(lease, role_sender, clock, shared.clone(), given_back));
    let loop_task = tokio::spawn(agent.run());
    Running { intake, status: shared.status(), shared, loop_task, lease_task, stop_loop, give_back }
}

impl Running {
    /// Lets the loop end its turn, then gives the lease back, so that a successor need not wait for it to run out.
    pub async fn stop(mut self) {
        self.stop_loop.send_replace(true);
        if tokio::time::timeout(LAST_TURN, &mut self.loop_task).await.is_err() {
            tracing::warn!("the loop was cut short; what it had begun is taken up again at the next start");
            self.loop_task.abort();
        }
        self.give_back.send_replace(true);
        if let Err(error) = (&mut self.lease_task).await {
            tracing::warn!(%error, "the lease was not given back");
        }
    }

    /// Returns if the loop ends, which it does only by a panic or by [`Running::stop`].
    pub(crate) async fn broken(&mut self) -> anyhow::Error {
        match (&mut self.loop_task).await {
            Ok(()) => anyhow::anyhow!("BUG: the agent's loop ended"),
            Err(error) => anyhow::anyhow!("BUG: the agent's loop ended: {error}"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.loop_task.abort();
        self.lease_task.abort();
    }
}

/// Takes and renews the lease until it is to be given back. While the API server cannot be asked the role stays: nothing can be written then
/// anyway.
async fn hold_lease(
    mut lease: Lease,
    role: watch::Sender<Option<Role>>,
    clock: Clock,
    shared: Arc<Shared>,
    mut given_back: watch::Receiver<bool>,
) {
    loop {
        let held = lease.hold(clock.now()).await;
        shared.set_problem(Part::ApiServer, held.as_ref().err().map(ToString::to_string));
        match held {
            Ok(found) => {
                role.send_if_modified(|current| {
                    let changed = current.as_ref() != Some(&found);
                    if changed {
                        tracing::info!(role = ?found, "the lease was asked");
                        *current = Some(found);
                    }
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "the lease could not be asked"),
        }
        tokio::select! {
            () = tokio::time::sleep(Lease::RENEW_EVERY) => {}
            _ = given_back.wait_for(|given_back| *given_back) => break,
        }
    }
    if let Err(error) = lease.release(clock.now()).await {
        tracing::warn!(%error, "the lease could not be given back; it runs out by itself");
    }
}
