//! The hub as agents meet it: who is let in, what each gets, what each says.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hub_distribute::{Admission, Desk, EnrolRefusal, EnrolRequest, Enrolled, Later, ReattestRequest, Unavailable};
use hub_store::Version;
use shared_identity::{AGENT_CERTIFICATE_LIFETIME, AgentIdentity, CertificateChain, CertificateRequest, PeerCertificate};
use shared_model::{ClusterName, Digest, Reason, Severity};
use shared_session::{CloneSuspicion, Heard, RootDocument, StatusChange, StatusIndex, Target};
use tokio::sync::watch;

use crate::audit::Action;
use crate::core::Core;
use crate::record::{self, RecordError};
use crate::registry::ClusterRecord;

/// The hub's side of every conversation.
pub(crate) struct HubDesk(pub(crate) Arc<Core>);

impl HubDesk {
    fn issue(&self, request: &CertificateRequest, identity: &AgentIdentity) -> Result<CertificateChain, EnrolRefusal> {
        let core = &self.0;
        core.keys.authority.issue(request, identity, core.now(), AGENT_CERTIFICATE_LIFETIME).map_err(|error| {
            tracing::error!(%error, "a certificate could not be issued");
            EnrolRefusal::Unavailable(Unavailable)
        })
    }

    fn enrolled(&self, request: &CertificateRequest, identity: &AgentIdentity) -> Result<Enrolled, EnrolRefusal> {
        Ok(Enrolled {
            certificate: self.issue(request, identity)?,
            authority: self.0.keys.authority.certificate(),
            root: RootDocument::new(self.0.keys.root.to_bytes()),
        })
    }

    async fn find(&self, good: impl Fn(&ClusterRecord) -> bool) -> Result<Option<(ClusterName, ClusterRecord, Version)>, EnrolRefusal> {
        let store = &*self.0.store;
        let all = record::read_all::<ClusterRecord>(store).await.map_err(|error| unavailable(&error))?;
        let Some((name, _)) = all.into_iter().find(|(_, record)| good(record)) else { return Ok(None) };
        // Read again with its version, which the write below is conditional on.
        let found = record::read::<ClusterRecord>(store, &name).await.map_err(|error| unavailable(&error))?;
        let name = name.parse().map_err(|_| EnrolRefusal::Unavailable(Unavailable))?;
        Ok(found.filter(|(record, _)| good(record)).map(|(record, version)| (name, record, version)))
    }

    async fn write(&self, name: &ClusterName, record: &ClusterRecord, version: Version) -> Result<(), EnrolRefusal> {
        record::write(&*self.0.store, name.as_str(), record, Some(version)).await.map_err(|error| unavailable(&error))?;
        self.0.admissions_changed();
        Ok(())
    }

    async fn audit(&self, actor: &str, action: Action, message: String) -> Result<(), EnrolRefusal> {
        let core = &self.0;
        core.audit.append(&*core.store, core.now(), actor, action, message).await.map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &RecordError) -> EnrolRefusal {
    tracing::error!(%error, "the store could not serve an enrolment");
    EnrolRefusal::Unavailable(Unavailable)
}

impl Desk for HubDesk {
    fn admit<'a>(&'a self, peer: &'a PeerCertificate) -> Later<'a, Admission> {
        Box::pin(async move {
            let AgentIdentity { cluster, uid, .. } = &peer.identity;
            let refuse = |code: &str, message: String| Admission::Refuse(Reason::new(Severity::Error, code, message));
            match record::read::<ClusterRecord>(&*self.0.store, cluster.as_str()).await {
                Ok(Some((record, _))) if record.admits(uid, &peer.key.0.to_string()) => Admission::Admit,
                Ok(Some((record, _))) if record.revoked => refuse(
                    "Revoked",
                    format!("cluster {cluster} was removed from the fleet; enrol it again with `capstan cluster add {cluster}`"),
                ),
                Ok(Some(_)) => {
                    let message = format!(
                        "cluster {cluster} is known with another uid or key; run `capstan cluster accept {cluster}`, or add it again"
                    );
                    refuse("OtherCluster", message)
                }
                Ok(None) => refuse("UnknownCluster", format!("this hub has no cluster {cluster}; run `capstan cluster add {cluster}`")),
                Err(error) => {
                    tracing::error!(%error, "an agent could not be judged");
                    refuse("HubUnavailable", "the hub cannot read its records now; it is tried again".to_owned())
                }
            }
        })
    }

    fn admissions(&self) -> watch::Receiver<u64> {
        self.0.admissions.subscribe()
    }

    fn recorded<'a>(&'a self, who: &'a AgentIdentity) -> Later<'a, StatusIndex> {
        Box::pin(async move { self.0.live.recorded(&who.cluster) })
    }

    fn target(&self, who: &AgentIdentity) -> watch::Receiver<Option<Arc<Target>>> {
        self.0.live.target(&who.cluster)
    }

    fn objects<'a>(&'a self, who: &'a AgentIdentity, wanted: &'a [Digest]) -> Later<'a, Result<Vec<Option<Bytes>>, Unavailable>> {
        Box::pin(async move {
            let reachable = self.0.live.read().get(&who.cluster).map(|cluster| cluster.reachable.clone()).unwrap_or_default();
            let mut found = Vec::with_capacity(wanted.len());
            for digest in wanted {
                if !reachable.contains(digest) {
                    found.push(None);
                    continue;
                }
                found.push(self.0.store.get_blob(*digest).await.map_err(|error| {
                    tracing::error!(%digest, %error, "a content could not be read");
                    Unavailable
                })?);
            }
            Ok(found)
        })
    }

    fn heard(&self, who: &AgentIdentity, heard: Heard) {
        self.0.live.heard(who, heard);
    }

    fn parted(&self, who: &AgentIdentity) {
        self.0.live.parted(who);
    }

    fn report<'a>(&'a self, who: &'a AgentIdentity, change: StatusChange) -> Later<'a, Result<(), Unavailable>> {
        // A status is not written down: after a restart the digests differ, and the agent sends it again.
        self.0.live.report(who, change);
        Box::pin(std::future::ready(Ok(())))
    }

    fn suspect_clone(&self, who: &AgentIdentity, suspicion: CloneSuspicion) {
        tracing::error!(cluster = %who.cluster, ?suspicion, "two processes use the identity of one agent");
        self.0.live.suspect(&who.cluster, self.0.now());
    }

    fn renew<'a>(&'a self, peer: &'a PeerCertificate, request: CertificateRequest) -> Later<'a, Result<CertificateChain, EnrolRefusal>> {
        Box::pin(async move {
            match self.admit(peer).await {
                Admission::Admit => self.issue(&request, &peer.identity),
                Admission::Refuse(_) => Err(EnrolRefusal::Revoked { cluster: peer.identity.cluster.to_string() }),
            }
        })
    }

    fn enrol<'a>(&'a self, request: EnrolRequest, from: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async move {
            let found = self.find(|record| record.has_token(request.token.expose())).await?;
            let (name, record, version) = found.ok_or(EnrolRefusal::TokenUnknown)?;
            let key = request.request.fingerprint().0.to_string();
            match record.enrol(&name, &request.uid, &key, self.0.now(), self.0.accept_needed) {
                Ok(next) => {
                    if next != record {
                        let core = &self.0;
                        let message = format!("cluster {name} with uid {} joined from {}", request.uid, from.ip());
                        let (actor, change) = (format!("cluster/{name}"), record::commit(name.as_str(), &next, Some(version)));
                        let written =
                            core.audit.append_with(&*core.store, core.now(), &actor, Action::ClusterEnrolled, message, change).await;
                        written.and_then(record::won).map_err(|error| unavailable(&error))?;
                        core.admissions_changed();
                        core.replan();
                    }
                    self.enrolled(&request.request, &AgentIdentity::new(name, request.uid))
                }
                Err((refusal, next)) => {
                    if let Some(next) = next.filter(|next| **next != record) {
                        self.write(&name, &next, version).await?;
                    }
                    tracing::warn!(cluster = %name, from = %from.ip(), %refusal, "an enrolment was refused");
                    Err(refusal)
                }
            }
        })
    }

    fn reattest<'a>(&'a self, request: ReattestRequest, from: SocketAddr) -> Later<'a, Result<Enrolled, EnrolRefusal>> {
        Box::pin(async move {
            let key = request.request.fingerprint().0.to_string();
            let found = self.find(|record| record.admits(&request.uid, &key)).await?;
            let (name, ..) = found.ok_or(EnrolRefusal::KeyNotBound)?;
            let message = format!("the agent of cluster {name} proved its key anew from {}", from.ip());
            self.audit(&format!("cluster/{name}"), Action::AgentReattested, message).await?;
            self.enrolled(&request.request, &AgentIdentity::new(name, request.uid))
        })
    }
}
