//! One agent from its start to its end: memory, identity, loop, link, admin endpoint. Nothing here is global: many agents may live in one
//! process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use agent_cluster::{Cluster, ClusterError};
use agent_ledger::Ledger;
use agent_link::{Link, LinkConfig};
use anyhow::Context as _;
use shared_daemon::{AdminServer, Check, Shutdown};
use shared_identity::{CertificateChain, random};
use shared_model::{Clock, ClusterUid, Timestamp};
use shared_release::SignedRoot;
use shared_session::VersionOffer;

use crate::config::AgentConfig;
use crate::join::{Member, become_member, known_member};
use crate::memory::{Memory, MemoryError};
use crate::observe::{LOOK_EVERY, Observer, Sight};
use crate::site::AgentSite;
use crate::{FaultPoints, Running, Seat, set_going};

/// The pause before an API server that did not answer is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// What an agent knows before its loop starts.
struct Start {
    uid: ClusterUid,
    memory: Memory,
    member: Member,
}

/// Runs one agent on `cluster` until `shutdown` begins, or until it cannot go on.
///
/// # Errors
/// [`crate::JoinError`] if this agent may not or cannot keep this cluster, and others if its disk or its admin endpoint cannot be used. That
/// the API server or the hub is away is no error: both are waited for.
pub async fn run(config: AgentConfig, cluster: Cluster, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut observer = Observer::new()?;
    let _admin = match config.admin_listen {
        None => None,
        Some(address) => {
            let server = AdminServer::bind(address, observer.registry.clone(), observer.readiness.clone(), shutdown.clone()).await;
            let server =
                server.with_context(|| format!("the admin endpoint cannot listen at {address}; choose another with --admin-listen"))?;
            tracing::info!(address = %server.address(), "admin endpoint");
            Some(server)
        }
    };
    let start = tokio::select! {
        start = prepare(&config, &cluster, &observer) => start?,
        () = shutdown.begun() => return Ok(()),
    };
    let clock = Clock::new(Timestamp::now);
    let name = start.member.certificate.facts.identity.cluster.clone();
    observer.enrolled.pass(format!("as {}", start.member.certificate.facts.identity));
    let uid = start.uid.clone();
    let instance: [u8; 4] = random();
    let seat = Seat {
        cluster: cluster.clone(),
        uid: start.uid,
        ledger: &config.data_dir,
        namespace: &config.namespace,
        instance: format!("{name}-{:08x}", u32::from_be_bytes(instance)),
        name,
        guardrail: config.guardrail.clone(),
    };
    let mut running = set_going(seat, start.memory, clock.clone(), FaultPoints::default());
    let site = AgentSite::start(cluster, config.guardrail.clone(), clock.clone(), running.intake.clone(), running.shared.clone());
    let connection = Connection { config: &config, uid: &uid, clock: clock.clone(), site };
    let outcome = connection.keep(start.member, &mut running, &mut observer, &shutdown).await;
    tracing::info!("stopping");
    if shutdown.drain(running.stop()).await.is_err() {
        tracing::warn!("the time to stop was over before the lease was given back");
    }
    outcome
}

/// Everything before the loop, asked for until it is there.
async fn prepare(config: &AgentConfig, cluster: &Cluster, observer: &Observer) -> anyhow::Result<Start> {
    let uid = loop {
        match crate::doctor::identity_of(cluster, config).await {
            Ok(uid) => break uid,
            Err(error @ ClusterError::Configuration(_)) => return Err(error.into()),
            Err(error) => wait_for(&observer.api_server, &error).await,
        }
    };
    let mut memory = loop {
        match Memory::open(cluster, &config.namespace, &config.data_dir).await {
            Ok(memory) => break memory,
            Err(error @ MemoryError::NoCopy(_)) => wait_for(&observer.api_server, &error).await,
            Err(error) => {
                observer.ledger.fail(error.to_string());
                return Err(error.into());
            }
        }
    };
    memory.ledger.check_writable().with_context(|| unwritable(&config.data_dir))?;
    observer.ledger.pass("writable");
    let member = match known_member(&memory.ledger, config, &uid)? {
        Some(member) => member,
        None => become_member(&mut memory.ledger, &*memory.mirror, config, &uid, &observer.enrolled).await?,
    };
    Ok(Start { uid, memory, member })
}

fn unwritable(directory: &Path) -> String {
    format!("nothing can be remembered in {}; give the agent a directory that it may write with --data-dir", directory.display())
}

async fn wait_for(check: &Check, error: &(dyn std::error::Error + Sync)) {
    tracing::warn!(%error, "the API server does not answer as it should; asking again");
    check.fail(error.to_string());
    tokio::time::sleep(ASK_AGAIN).await;
}

/// The authorities that the agent trusts: those that its root document names, or those that it was enrolled with if that names none.
fn trusted(ledger: &Ledger, enrolled: &CertificateChain) -> CertificateChain {
    let named = ledger.root().map(SignedRoot::trust_first).and_then(Result::ok).map(|root| root.authorities.concat()).unwrap_or_default();
    if named.trim().is_empty() {
        return enrolled.clone();
    }
    CertificateChain::from_pem(&named).unwrap_or_else(|error| {
        tracing::error!(%error, "the authorities in the root document cannot be used; going on with those of the enrolment");
        enrolled.clone()
    })
}

/// Keeps the link to the hub.
struct Connection<'a> {
    config: &'a AgentConfig,
    uid: &'a ClusterUid,
    clock: Clock,
    site: Arc<AgentSite>,
}

impl Connection<'_> {
    /// Keeps the link until the agent is to stop, starting it anew when the root document names other authorities.
    async fn keep(&self, member: Member, running: &mut Running, observer: &mut Observer, shutdown: &Shutdown) -> anyhow::Result<()> {
        let shared = running.shared.clone();
        let enrolled = member.authority.clone();
        let mut authorities = trusted(&shared.ledger(), &enrolled);
        let mut root = running.intake.root();
        let mut link = self.start(member, authorities.clone())?;
        let mut link_state = link.state();
        let (mut status, mut problems, mut held) = (shared.status(), shared.problems(), agent_link::Site::held(&*self.site));
        let outcome = loop {
            observer.look(&Sight {
                now: self.clock.now(),
                status: &status.borrow_and_update(),
                problems: &problems.borrow_and_update(),
                link: &link_state.borrow_and_update(),
                generation: held.borrow_and_update().generation,
                confirmed: shared.freshness(),
            });
            tokio::select! {
                () = shutdown.begun() => break Ok(()),
                error = running.broken() => break Err(error),
                Ok(()) = status.changed() => {}
                Ok(()) = problems.changed() => {}
                Ok(()) = held.changed() => {}
                Ok(()) = link_state.changed() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if running.intake.root() == root {
                continue;
            }
            root = running.intake.root();
            let named = trusted(&shared.ledger(), &enrolled);
            if named != authorities {
                tracing::info!("the root document names other authorities; connecting anew");
                link.stop().await;
                authorities = named;
                // The certificate may have been renewed meanwhile.
                let member = known_member(&shared.ledger(), self.config, self.uid)?.context("BUG: the identity is gone from the ledger")?;
                link = self.start(member, authorities.clone())?;
                link_state = link.state();
            }
        };
        link.stop().await;
        outcome
    }

    fn start(&self, member: Member, trusted: CertificateChain) -> anyhow::Result<Link> {
        let config = LinkConfig {
            hub: self.config.hub.clone(),
            enrolment: self.config.enrolment.clone(),
            trusted,
            key: member.key,
            certificate: member.certificate,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            versions: VersionOffer::ours(),
            clock: self.clock.clone(),
        };
        Link::start(config, self.site.clone() as Arc<dyn agent_link::Site>).context("the link to the hub cannot be started")
    }
}
