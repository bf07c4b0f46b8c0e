//! An agent in this process, for a real API server.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_agentd::{AgentConfig, Guardrail, Token, run};
use agent_cluster::Cluster;
use anyhow::Context as _;
use e2e_cluster::ControlPlane;
use hub_api::EnrolmentView;
use shared_daemon::{Shutdown, Trigger};
use shared_session::Secret;
use tokio::task::JoinHandle;

/// An agent of one cluster.
pub struct TestAgent {
    config: AgentConfig,
    /// The user that its writes are made as, for the audit log.
    user: String,
    running: Option<(Trigger, JoinHandle<anyhow::Result<()>>)>,
}

impl TestAgent {
    /// Makes an agent for `plane` from what `capstan cluster add` answered, with its ledger in `data_dir`.
    ///
    /// # Errors
    /// The answer's command cannot be read.
    pub fn new(enrolment: &EnrolmentView, data_dir: PathBuf) -> anyhow::Result<Self> {
        let words: Vec<&str> = enrolment.command.expose().split_whitespace().collect();
        let word = |flag: &str| -> anyhow::Result<&str> {
            let at = words.iter().position(|word| *word == flag).with_context(|| format!("the command has no {flag}"))?;
            words.get(at + 1).copied().with_context(|| format!("{flag} has no value"))
        };
        let config = AgentConfig {
            data_dir,
            namespace: "capstan-system".to_owned(),
            hub: word("--hub")?.parse()?,
            enrolment: word("--enrolment")?.parse()?,
            ca_pin: Some(word("--ca-pin")?.parse()?),
            token: Some(Token::Text(Secret::new(word("--token")?.as_bytes().to_vec()))),
            admin_listen: None,
            guardrail: Guardrail::open("capstan-system"),
        };
        Ok(Self { config, user: format!("agent-{}", enrolment.cluster), running: None })
    }

    /// Starts it.
    ///
    /// # Errors
    /// No client can be made.
    pub async fn start(&mut self, plane: &ControlPlane) -> anyhow::Result<()> {
        let client = plane.client_for(&self.user, &["system:masters"]).await?;
        let (trigger, shutdown) = Shutdown::manual(Duration::from_secs(10));
        let task = tokio::spawn(run(self.config.clone(), Cluster::with_client(client), shutdown));
        self.running = Some((trigger, task));
        Ok(())
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It had failed before.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        let Some((trigger, task)) = self.running.take() else { return Ok(()) };
        trigger.begin();
        task.await?
    }

    /// The flags with which `fleet-process agent` runs this agent, on the same ledger and as the same user.
    ///
    /// # Errors
    /// The kubeconfig cannot be written.
    pub fn flags(&self, plane: &ControlPlane) -> anyhow::Result<Vec<OsString>> {
        Ok(self.flags_with(&plane.kubeconfig_for(&self.user, &["system:masters"])?))
    }

    /// As [`TestAgent::flags`], as whoever the kubeconfig says.
    pub fn flags_with(&self, kubeconfig: &Path) -> Vec<OsString> {
        let config = &self.config;
        let mut flags: Vec<OsString> =
            vec!["agent".into(), "--data-dir".into(), config.data_dir.clone().into(), "--kubeconfig".into(), kubeconfig.into()];
        let pairs =
            [("--hub", config.hub.to_string()), ("--enrolment", config.enrolment.to_string()), ("--admin-listen", "none".to_owned())];
        flags.extend(pairs.into_iter().flat_map(|(flag, value)| [flag.into(), value.into()]));
        if let (Some(pin), Some(Token::Text(token))) = (&config.ca_pin, &config.token) {
            flags.extend([
                "--ca-pin".into(),
                pin.to_string().into(),
                "--token".into(),
                String::from_utf8_lossy(token.expose()).into_owned().into(),
            ]);
        }
        flags
    }

    /// From the next start on its ledger is in this directory.
    pub fn move_to(&mut self, data_dir: &Path) {
        self.config.data_dir = data_dir.to_owned();
    }

    /// The user that it writes as.
    pub fn user(&self) -> &str {
        &self.user
    }
}
