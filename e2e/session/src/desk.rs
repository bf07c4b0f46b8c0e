//! A desk in memory: an authority, tokens, clusters, targets, and a note of everything that it was told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hub_distribute::{Admission, Desk, EnrolRefusal, EnrolRequest, Enrolled, Later, ReattestRequest, Unavailable};
use shared_identity::{
    AGENT_CERTIFICATE_LIFETIME, AgentIdentity, CertificateAuthority, CertificateChain, CertificateRequest, KeyFingerprint, PeerCertificate,
};
use shared_model::{AppName, AppState, ClusterName, ClusterUid, Digest, Reason, Severity, Timestamp};
use shared_session::{CloneSuspicion, ClusterFacts, Heard, RootDocument, StatusChange, StatusIndex, Target};
use tokio::sync::watch;

use crate::wait::until;

/// A token as the desk knows it.
#[derive(Debug, Clone)]
pub struct Token {
    /// For which cluster.
    pub cluster: ClusterName,
    /// Whether it is too old.
    pub expired: bool,
    /// Who used it.
    pub used_by: Option<(ClusterUid, KeyFingerprint)>,
}

/// A cluster that was taken in.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// The key bound to it.
    pub key: KeyFingerprint,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Everything that the desk knows and was told.
#[derive(Debug, Clone, Default)]
pub struct DeskState {
    /// Tokens by text.
    pub tokens: BTreeMap<String, Token>,
    /// Clusters by uid.
    pub clusters: BTreeMap<ClusterUid, Cluster>,
    /// Whether an operator must accept a cluster before it gets a certificate.
    pub must_accept: bool,
    /// Who was admitted with which certificate, in order.
    pub admitted: Vec<(AgentIdentity, String)>,
    /// The last word of each agent.
    pub heard: BTreeMap<AgentIdentity, Heard>,
    /// How often each agent was heard.
    pub times_heard: BTreeMap<AgentIdentity, usize>,
    /// Connections that ended.
    pub parted: BTreeMap<AgentIdentity, usize>,
    /// The recorded digests.
    pub recorded: BTreeMap<AgentIdentity, StatusIndex>,
    /// The recorded states.
    pub apps: BTreeMap<AgentIdentity, BTreeMap<AppName, AppState>>,
    /// The recorded facts.
    pub facts: BTreeMap<AgentIdentity, ClusterFacts>,
    /// How many apps came in each report.
    pub reports: Vec<usize>,
    /// Whether reports wait to be recorded.
    pub slow: bool,
    /// How many of the next reports cannot be recorded.
    pub failing: usize,
    /// What was asked for in the bulk lane.
    pub asked: Vec<(AgentIdentity, Digest)>,
    /// What each cluster's index reaches.
    pub reach: BTreeMap<AgentIdentity, BTreeMap<Digest, Bytes>>,
    /// Who was seen twice.
    pub suspicions: Vec<(AgentIdentity, CloneSuspicion)>,
    /// How many certificates were renewed.
    pub renewals: usize,
    /// How many clusters re-attested.
    pub reattested: usize,
    /// The life of the next certificates.
    pub lifetime: Option<Duration>,
    /// How far back the next certificates are dated.
    pub backdate: Duration,
}

impl DeskState {
    fn record(&mut self, who: &AgentIdentity, change: StatusChange) {
        self.reports.push(change.apps.len());
        let apps = self.apps.entry(who.clone()).or_default();
        for (name, report) in change.apps {
            apps.insert(name, (*report.state).clone());
        }
        for name in &change.removed {
            apps.remove(name);
        }
        if let Some(facts) = change.facts {
            self.facts.insert(who.clone(), (*facts).clone());
        }
        self.recorded.insert(who.clone(), change.index);
    }
}

/// The desk.
pub struct DeskDouble {
    /// Its authority.
    pub authority: CertificateAuthority,
    state: watch::Sender<DeskState>,
    admissions: watch::Sender<u64>,
    targets: watch::Sender<BTreeMap<AgentIdentity, watch::Sender<Option<Arc<Target>>>>>,
}

impl DeskDouble {
    /// A desk that knows nobody.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            authority: CertificateAuthority::generate("test", Timestamp::now()).unwrap(),
            state: watch::Sender::default(),
            admissions: watch::Sender::new(0),
            targets: watch::Sender::default(),
        })
    }

    /// The state now.
    pub fn state(&self) -> DeskState {
        self.state.borrow().clone()
    }

    /// Changes what the desk knows.
    pub fn change(&self, change: impl FnOnce(&mut DeskState)) {
        self.state.send_modify(change);
    }

    /// Waits for something that the desk is told.
    pub async fn until(&self, what: &str, holds: impl FnMut(&DeskState) -> bool) {
        until(&mut self.state.subscribe(), what, holds).await;
    }

    /// Adds a token for a cluster.
    pub fn token(&self, text: &str, cluster: &str) {
        let token = Token { cluster: cluster.parse().unwrap(), expired: false, used_by: None };
        self.change(|state| drop(state.tokens.insert(text.to_owned(), token)));
    }

    /// Takes a cluster in without an enrolment; gives its certificate.
    pub fn take_in(&self, identity: &AgentIdentity, request: &CertificateRequest) -> CertificateChain {
        let cluster = Cluster { name: identity.cluster.clone(), key: request.fingerprint(), revoked: false };
        self.change(|state| drop(state.clusters.insert(identity.uid.clone(), cluster)));
        self.issue(request, identity)
    }

    fn issue(&self, request: &CertificateRequest, identity: &AgentIdentity) -> CertificateChain {
        let (lifetime, backdate) = {
            let state = self.state.borrow();
            (state.lifetime.unwrap_or(AGENT_CERTIFICATE_LIFETIME), state.backdate)
        };
        self.authority.issue(request, identity, Timestamp::now() - backdate, lifetime).unwrap()
    }

    /// Publishes what an agent should hold, and what its index reaches.
    pub fn publish(&self, who: &AgentIdentity, target: Target, reach: impl IntoIterator<Item = Bytes>) {
        let reach: BTreeMap<Digest, Bytes> = reach.into_iter().map(|content| (Digest::of(&content), content)).collect();
        self.change(|state| drop(state.reach.insert(who.clone(), reach)));
        self.target_of(who).send_replace(Some(Arc::new(target)));
    }

    fn target_of(&self, who: &AgentIdentity) -> watch::Sender<Option<Arc<Target>>> {
        self.targets.send_if_modified(|targets| {
            targets.entry(who.clone()).or_default();
            false
        });
        self.targets.borrow()[who].clone()
    }

    /// Revokes a cluster.
    pub fn revoke(&self, who: &AgentIdentity) {
        self.change(|state| state.clusters.get_mut(&who.uid).unwrap().revoked = true);
        self.admissions.send_modify(|number| *number += 1);
    }

    fn enrolled(&self, request: &CertificateRequest, identity: &AgentIdentity) -> Enrolled {
        Enrolled {
            certificate: self.issue(request, identity),
            authority: self.authority.certificate(),
            root: RootDocument::new(b"root 1".to_vec()),
        }
    }
}

impl Desk for DeskDouble {
    fn admit<'a>(&'a self, peer: &'a PeerCertificate) -> Later<'a, Admission> {
        let refuse = |code: &str, message: &str| Admission::Refuse(Reason::new(Severity::Error, code, message));
        let state = self.state.borrow();
        let admission = match state.clusters.get(&peer.identity.uid) {
            None => refuse("UnknownCluster", "this cluster is not in the fleet"),
            Some(cluster) if cluster.revoked => refuse("Revoked", "this cluster was removed from the fleet"),
            Some(cluster) if cluster.name != peer.identity.cluster || cluster.key != peer.key => refuse("OtherKey", "not the bound key"),
            Some(_) => Admission::Admit,
        };
        drop(state);
        if admission == Admission::Admit {
            self.change(|state| state.admitted.push((peer.identity.clone(), peer.serial.clone())));
        }
        Box::pin(async { admission })
    }

    fn admissions(&self) -> watch::Receiver<u64> {
        self.admissions.subscribe()
    }

    fn recorded<'a>(&'a self, who: &'a AgentIdentity) -> Later<'a, StatusIndex> {
        let recorded = self.state.borrow().recorded.get(who).cloned();
        Box::pin(async { recorded.unwrap_or_else(StatusIndex::empty) })
    }

    fn target(&self, who: &AgentIdentity) -> watch::Receiver<Option<Arc<Target>>> {
        self.target_of(who).subscribe()
    }

    fn objects<'a>(&'a self, who: &'a AgentIdentity, wanted: &'a [Digest]) -> Later<'a, Result<Vec<Option<Bytes>>, Unavailable>> {
        self.change(|state| state.asked.extend(wanted.iter().map(|digest| (who.clone(), *digest))));
        let state = self.state.borrow();
        let found = wanted.iter().map(|digest| state.reach.get(who).and_then(|reach| reach.get(digest)).cloned()).collect();
        Box::pin(async { Ok(found) })
    }

    fn heard(&self, who: &AgentIdentity, heard: Heard) {
        self.change(|state| {
            state.heard.insert(who.clone(), heard);
            *state.times_heard.entry(who.clone()).or_default() += 1;
        });
    }

    fn parted(&self, who: &AgentIdentity) {
        self.change(|state| *state.parted.entry(who.clone()).or_default() += 1);
    }

    fn report<'a>(&'a self, who: &'a AgentIdentity, change: StatusChange) -> Later<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            self.until("a store that is not slow", |state| !state.slow).await;
            if self.state.borrow().failing > 0 {
                self.change(|state| state.failing -= 1);
                return Err(Unavailable);
            }
            self.change(|state| state.record(who, change));
            Ok(())
        })
    }

    fn suspect_clone(&self, who: &AgentIdentity, suspicion: CloneSuspicion) {
        self.change(|state| state.suspicions.push((who.clone(), suspicion)));
    }

    fn renew<'a>(&'a self, peer: &'a PeerCertificate, request: CertificateRequest) -> Later<'a, Result<CertificateChain, EnrolRefusal>> {
        self.change(|state| state.renewals += 1);
        let certificate = self.issue(&request, &peer.identity);
        Box::pin(async { Ok(certificate) })
    }

    fn enrol<'a>(&'a self, request: EnrolRequest, _: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        let text = String::from_utf8(request.token.expose().to_vec()).unwrap();
        let user = (request.uid.clone(), request.request.fingerprint());
        let mut outcome = Err(EnrolRefusal::TokenUnknown);
        self.change(|state| {
            let must_accept = state.must_accept;
            let Some(token) = state.tokens.get_mut(&text) else { return };
            let cluster = token.cluster.to_string();
            outcome = match &token.used_by {
                _ if token.expired => Err(EnrolRefusal::TokenExpired),
                Some(by) if *by != user => Err(EnrolRefusal::TokenUsed),
                _ if must_accept => {
                    token.used_by = Some(user.clone());
                    Err(EnrolRefusal::AwaitingAcceptance { cluster })
                }
                _ => {
                    token.used_by = Some(user.clone());
                    Ok(AgentIdentity::new(token.cluster.clone(), user.0.clone()))
                }
            };
        });
        let outcome = outcome.map(|identity| {
            self.take_in(&identity, &request.request);
            self.enrolled(&request.request, &identity)
        });
        Box::pin(async { outcome })
    }

    fn reattest<'a>(&'a self, request: ReattestRequest, _: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        let cluster = self.state.borrow().clusters.get(&request.uid).cloned();
        let outcome = match cluster {
            Some(cluster) if cluster.key != request.request.fingerprint() => Err(EnrolRefusal::KeyNotBound),
            Some(cluster) if cluster.revoked => Err(EnrolRefusal::Revoked { cluster: cluster.name.to_string() }),
            Some(cluster) => {
                self.change(|state| {
                    state.reattested += 1;
                    state.backdate = Duration::ZERO;
                });
                Ok(self.enrolled(&request.request, &AgentIdentity::new(cluster.name, request.uid)))
            }
            None => Err(EnrolRefusal::KeyNotBound),
        };
        Box::pin(async { outcome })
    }
}
