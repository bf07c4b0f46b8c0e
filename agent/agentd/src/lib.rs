//! `capstan-agent`: wiring, and the loop that keeps one cluster as its index says. What to do is decided in `agent/plan`; this crate reads the
//! inputs, calls it, and carries the result out.

mod agent;
mod causes;
mod compared;
mod config;
mod copy;
mod deletions;
mod desired;
mod doctor;
mod execute;
mod facts;
mod fault_point;
mod intake;
mod join;
mod leave;
mod live;
mod memory;
mod observe;
mod reach;
mod rests;
mod rights;
mod run;
mod scope;
mod shared;
mod site;
mod tree;
mod under_way;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_cluster::{Cluster, ClusterError, Lease, Limits, Role, View};
use shared_model::{Clock, ClusterName, ClusterUid, Reason, Severity};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use agent_plan::Guardrail;

pub use crate::config::{AgentConfig, DEFAULT_ADMIN, DEFAULT_DATA_DIR, DEFAULT_NAMESPACE, Flags, ProcessConfig, SettingsError, Token};
pub use crate::doctor::{Finding, examine};
pub use crate::fault_point::{FaultPoint, FaultPoints};
pub use crate::intake::{Accepted, Intake};
pub use crate::join::JoinError;
pub use crate::leave::{LeaveError, Leaving, LeavingSeat, Parted, Parting, leave};
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
    start_watched(seat, clock, FaultPoints::default()).await
}

/// As [`start`], with somebody at the fault points.
pub async fn start_watched(seat: Seat<'_>, clock: Clock, points: FaultPoints) -> anyhow::Result<Running> {
    let memory = Memory::open(&seat.cluster, seat.namespace, seat.ledger).await?;
    Ok(set_going(seat, memory, clock, points))
}

/// Starts the loop and the lease.
pub(crate) fn set_going(seat: Seat<'_>, memory: Memory, clock: Clock, points: FaultPoints) -> Running {
    let shared = Arc::new(Shared::new(memory.ledger, points));
    let intake = Intake::new(shared.clone(), seat.name, seat.uid);
    if let Err(reason) = intake.settle() {
        tracing::error!(%reason, "the pending index cannot be put in force");
    }
    let (role_sender, role) = watch::channel(None);
    let (stop_loop, stopped) = watch::channel(false);
    let (give_back, given_back) = watch::channel(false);
    let limits = seat.cluster.limits();
    let lease = Lease::new(seat.cluster.clone(), seat.namespace, "capstan-agent", seat.instance);
    let copy = Copy::new(memory.mirror, memory.copied);
    let agent = Agent::new(seat.cluster, seat.guardrail, shared.clone(), clock.clone(), role, stopped, copy);
    let lease_task = tokio::spawn(hold_lease(lease, role_sender, clock, shared.clone(), limits, given_back));
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

/// Takes and renews the lease until it is to be given back. Whoever could not renew it for as long as it lasts writes no more, as another may
/// hold it by then.
async fn hold_lease(
    mut lease: Lease,
    role: watch::Sender<Option<Role>>,
    clock: Clock,
    shared: Arc<Shared>,
    limits: Limits,
    mut given_back: watch::Receiver<bool>,
) {
    let (mut renewed, mut heard) = (Instant::now(), Instant::now());
    loop {
        let held = lease.hold(clock.now()).await;
        shared.set_problem(Part::ApiServer, held.as_ref().err().map(ToString::to_string));
        if held.as_ref().err().is_none_or(|error| !error.is_unanswered()) {
            heard = Instant::now();
        }
        judge_view(&shared.view, held.as_ref().err(), heard.elapsed(), limits);
        if lease.take_rewound() {
            tracing::warn!("the API server's store was put back to an earlier state; looking at everything again");
            shared.view.doubt();
        }
        let found = match held {
            Ok(found) => {
                renewed = Instant::now();
                Some(found)
            }
            Err(error) => {
                tracing::warn!(%error, "the lease could not be asked");
                let holder = || format!("unknown: it could not be renewed for {} seconds", Lease::DURATION.as_secs());
                (renewed.elapsed() >= Lease::DURATION && role.borrow().is_some()).then(|| Role::Reader { holder: holder() })
            }
        };
        if let Some(found) = found {
            role.send_if_modified(|current| {
                let changed = current.as_ref() != Some(&found);
                if changed {
                    tracing::info!(role = ?found, "the lease was asked");
                    *current = Some(found);
                }
                changed
            });
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

/// What was seen is out of date when the API server was not heard for too long. When it is heard again everything is looked at anew: a
/// connection that only seemed to be there may have missed something.
fn judge_view(view: &View, error: Option<&ClusterError>, silent: Duration, limits: Limits) {
    let reason = error.filter(|_| silent >= limits.view).map(|error| {
        let message = format!("{error}; nothing was heard for more than {} seconds, so nothing is known", limits.view.as_secs());
        Reason::new(Severity::Error, "ApiServerUnreachable", message)
    });
    let is_back = reason.is_none();
    if view.set_out_of_date(reason) && is_back {
        view.doubt();
    }
}
