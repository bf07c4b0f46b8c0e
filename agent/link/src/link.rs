//! The link for as long as the agent lives: connects, talks, and comes back after whatever ended the talk; keeps the certificate valid.

use std::sync::Arc;
use std::time::Duration;

use shared_identity::{
    AgentCertificate, RenewalMoment, RotatingCertificate, RotationError, TlsError, agent_client_config, random, random_seed, renewal,
};
use shared_model::Digest;
use shared_session::{BootId, directed_delay, reconnect_delay};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::LinkConfig;
use crate::conversation::{Ended, converse};
use crate::dial::dial;
use crate::enrol::reattest;
use crate::site::Site;
use crate::state::LinkState;

/// A link could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Certificate and key do not fit.
    #[error(transparent)]
    Certificate(#[from] RotationError),
    /// TLS cannot be configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running link. Dropping it leaves it running; [`Link::stop`] ends it.
#[derive(Debug)]
pub struct Link {
    state: watch::Receiver<LinkState>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What lives as long as the link, over all conversations.
pub(crate) struct Core {
    pub(crate) config: LinkConfig,
    pub(crate) site: Arc<dyn Site>,
    pub(crate) boot: BootId,
    /// The index refused last; the hub is told, so that it does not send it again.
    pub(crate) refused: Option<Digest>,
    pub(crate) started: Instant,
    pub(crate) stop: CancellationToken,
    pub(crate) state: watch::Sender<LinkState>,
    pub(crate) renewal_seed: u64,
    rotating: Arc<RotatingCertificate>,
    tls: Arc<rustls::ClientConfig>,
}

impl Link {
    /// Starts a link that runs until it is stopped, whatever the hub does.
    pub fn start(config: LinkConfig, site: Arc<dyn Site>) -> Result<Self, LinkError> {
        let rotating = RotatingCertificate::agent(&config.certificate.chain, &config.key)?;
        let tls = agent_client_config(&config.trusted, Arc::clone(&rotating))?;
        let (state, shown) = watch::channel(LinkState::Connecting);
        let stop = CancellationToken::new();
        let core = Core {
            boot: BootId(random()),
            refused: None,
            started: Instant::now(),
            stop: stop.clone(),
            state,
            renewal_seed: random_seed(),
            rotating,
            tls,
            config,
            site,
        };
        let task = tokio::spawn(core.run());
        Ok(Self { state: shown, stop, task })
    }

    /// How the link is.
    pub fn state(&self) -> watch::Receiver<LinkState> {
        self.state.clone()
    }

    /// Ends the link. What the site holds stays.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            error!(%error, "the link's task panicked");
        }
    }
}

impl Core {
    async fn run(mut self) {
        let mut attempt = 0;
        while !self.stop.is_cancelled() {
            self.state.send_replace(LinkState::Connecting);
            let ended = self.connect_once().await;
            if self.stop.is_cancelled() {
                return;
            }
            attempt = if ended.welcomed { 0 } else { attempt + 1 };
            let wait = wait(&ended, attempt, random_seed());
            let needs_an_operator = ended.goodbye.as_ref().is_some_and(|goodbye| goodbye.needs_an_operator());
            warn!(reason = ended.reason, retry_in_ms = wait.as_millis(), needs_an_operator, "not connected to the hub");
            self.state.send_replace(LinkState::Away { reason: ended.reason, needs_an_operator, retry_in: wait });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// One attempt, from a valid certificate to the end of the conversation.
    async fn connect_once(&mut self) -> Ended {
        let unmade = |reason| Ended { reason, goodbye: None, welcomed: false };
        if renewal(&self.config.certificate.facts, 0, self.config.clock.now()) == RenewalMoment::Expired
            && let Err(reason) = self.prove_anew().await
        {
            return unmade(reason);
        }
        let stop = self.stop.clone();
        let dialled = tokio::select! {
            dialled = dial(&self.config.hub, Arc::clone(&self.tls)) => dialled,
            () = stop.cancelled() => return unmade("the agent stops".into()),
        };
        match dialled {
            Ok(dialled) => converse(self, dialled.channel).await,
            Err(error) => unmade(error.to_string()),
        }
    }

    /// Gets a new certificate at the enrolment door after the old one ran out.
    async fn prove_anew(&mut self) -> Result<(), String> {
        info!(not_after = %self.config.certificate.facts.not_after, "the certificate ran out, asking for a new one with the bound key");
        let identity = self.config.certificate.facts.identity.clone();
        let enrolled = reattest(&self.config.enrolment, &self.config.trusted, &identity.uid, &self.config.key).await;
        let certificate = enrolled.map_err(|error| error.to_string())?.certificate;
        if certificate.facts.identity != identity {
            return Err(format!("the hub knows this cluster as {} now; enrol it again", certificate.facts.identity));
        }
        self.adopt(certificate).await
    }

    /// Makes a new certificate durable, then shows it from the next connection on.
    pub(crate) async fn adopt(&mut self, certificate: AgentCertificate) -> Result<(), String> {
        self.site.certified(&certificate).await.map_err(|reason| reason.to_string())?;
        self.rotating.swap_agent(&certificate.chain, &self.config.key).map_err(|error| error.to_string())?;
        info!(serial = certificate.facts.serial, not_after = %certificate.facts.not_after, "new certificate");
        self.config.certificate = certificate;
        Ok(())
    }
}

/// How long to wait before the next attempt: what the hub asked for, and otherwise longer with each attempt that led nowhere.
fn wait(ended: &Ended, attempt: u32, seed: u64) -> Duration {
    let own = reconnect_delay(attempt, seed);
    match ended.goodbye.as_ref().and_then(|goodbye| goodbye.retry_after) {
        Some(asked) if ended.welcomed => directed_delay(asked, seed),
        Some(asked) => directed_delay(asked, seed).max(own),
        None => own,
    }
}
