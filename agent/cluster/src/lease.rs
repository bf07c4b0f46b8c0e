//! The Lease that makes one agent the writer. A second agent of the same cluster reads and reports nothing until the first is gone.

use std::time::Duration;

use serde_json::{Value, json};
use shared_model::Timestamp;

use crate::connect::Cluster;
use crate::error::{ClusterError, Refusal};
use crate::pace::AtOnce;
use crate::request;

/// How long a lease lasts without renewal: Kubernetes' leader election uses the same.
const DURATION: Duration = Duration::from_secs(15);

/// How long one question about the lease may take: with a pause of [`Lease::RENEW_EVERY`] two fit into its duration.
const ANSWER: Duration = Duration::from_secs(5);

/// What this agent may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It holds the lease and writes.
    Writer,
    /// Another one holds it.
    Reader {
        /// The holder, as the lease says.
        holder: String,
    },
}

/// A lease as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseState {
    /// Who holds it; empty if nobody does.
    pub holder: String,
    /// When it was renewed, by the holder's clock.
    pub renewed: Option<Timestamp>,
}

impl LeaseState {
    /// Whether `me` may take or keep it. A holder whose renewals were not seen for the lease's duration, by the own clock and since
    /// `unchanged_since`, is gone; its clock is not trusted.
    pub fn may_take(&self, me: &str, unchanged_since: Timestamp, now: Timestamp) -> bool {
        self.holder.is_empty()
            || self.holder == me
            || Duration::try_from(now.duration_since(unchanged_since)).is_ok_and(|age| age >= DURATION)
    }
}

/// The lease of one agent.
pub struct Lease {
    cluster: Cluster,
    path: String,
    collection: String,
    namespace: String,
    name: String,
    me: String,
    seen: Option<(LeaseState, Timestamp)>,
    /// The lease's newest version that was read or written.
    version: u64,
    rewound: bool,
}

impl Lease {
    /// The lease `name` in `namespace`, wanted by `me`, a name that no other process has.
    pub fn new(cluster: Cluster, namespace: &str, name: &str, me: impl Into<String>) -> Self {
        let collection = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        Self {
            cluster,
            path: format!("{collection}/{name}"),
            collection,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            me: me.into(),
            seen: None,
            version: 0,
            rewound: false,
        }
    }

    /// How long a lease lasts without renewal. Whoever could not renew it for so long must not write any more.
    pub const DURATION: Duration = DURATION;

    /// How often to call [`Lease::hold`]: three times within the lease's duration.
    pub const RENEW_EVERY: Duration = Duration::from_secs(5);

    /// Whether the lease was found older than it had been, since this was asked last: the API server's store was put back to an earlier state,
    /// and nothing that was seen of the cluster may be so any more. Watches do not tell: one that goes on from a version that is not there yet
    /// stays silent until it is.
    pub fn take_rewound(&mut self) -> bool {
        std::mem::take(&mut self.rewound)
    }

    /// Versions of one object only rise, and nobody puts it back but who restores the store behind the API server.
    fn note_version(&mut self, lease: &Value) {
        let version = lease.pointer("/metadata/resourceVersion").and_then(Value::as_str).and_then(|version| version.parse().ok());
        if let Some(version) = version {
            self.rewound |= version < self.version;
            self.version = version;
        }
    }

    /// Takes or renews the lease if that is possible.
    pub async fn hold(&mut self, now: Timestamp) -> Result<Role, ClusterError> {
        let found = match self.ask(request::get(&self.path, request::JSON)?).await {
            Ok(lease) => Some(lease),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        if let Some(lease) = &found {
            self.note_version(lease);
        }
        let body = |version: Option<&Value>, transitions: i64| {
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": {"name": self.name, "namespace": self.namespace, "resourceVersion": version},
                "spec": {"holderIdentity": self.me, "leaseDurationSeconds": DURATION.as_secs(), "leaseTransitions": transitions,
                         "renewTime": format!("{now:.6}")},
            })
        };
        let request = match &found {
            None => request::send(http::Method::POST, &self.collection, &body(None, 0))?,
            Some(lease) => {
                let state = LeaseState::of(lease);
                let since = match &self.seen {
                    Some((seen, since)) if *seen == state => *since,
                    _ => now,
                };
                self.seen = Some((state.clone(), since));
                if !state.may_take(&self.me, since, now) {
                    return Ok(Role::Reader { holder: state.holder });
                }
                let transitions = lease.pointer("/spec/leaseTransitions").and_then(Value::as_i64).unwrap_or(0);
                let transitions = if state.holder == self.me { transitions } else { transitions + 1 };
                request::send(http::Method::PUT, &self.path, &body(lease.pointer("/metadata/resourceVersion"), transitions))?
            }
        };
        let answer = match self.ask(request.clone()).await {
            // A new cluster does not have the agent's namespace yet.
            Err(error) if error.is_not_found() => {
                self.cluster.ensure_namespace(&self.namespace).await?;
                self.ask(request).await
            }
            answer => answer,
        };
        match answer {
            Ok(lease) => {
                self.note_version(&lease);
                Ok(Role::Writer)
            }
            Err(error) if error.refusal() == Some(Refusal::Conflict) => {
                Ok(Role::Reader { holder: "another agent, which was faster".to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    /// Asks without waiting for a turn, and waits for an answer only as long as the lease gives.
    async fn ask(&self, mut request: http::Request<Vec<u8>>) -> Result<Value, ClusterError> {
        request.extensions_mut().insert(AtOnce);
        let limit = ANSWER.min(self.cluster.limits.read);
        let answer = tokio::time::timeout(limit, self.cluster.request(request)).await;
        answer.map_err(|_| ClusterError::Unreachable(format!("no answer about the lease within {} ms", limit.as_millis())))?
    }

    /// Deletes the lease, if this one holds it: no agent is here any more.
    pub async fn delete(&mut self) -> Result<(), ClusterError> {
        let lease = self.ask(request::get(&self.path, request::JSON)?).await?;
        if LeaseState::of(&lease).holder != self.me {
            return Ok(());
        }
        let uid = lease.pointer("/metadata/uid");
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}});
        self.ask(request::send(http::Method::DELETE, &self.path, &body)?).await.map(|_| ())
    }

    /// Gives the lease back, so that a successor need not wait.
    pub async fn release(&mut self, now: Timestamp) -> Result<(), ClusterError> {
        let lease = self.ask(request::get(&self.path, request::JSON)?).await?;
        if LeaseState::of(&lease).holder != self.me {
            return Ok(());
        }
        let mut released = lease;
        released["spec"]["holderIdentity"] = Value::String(String::new());
        released["spec"]["renewTime"] = Value::String(format!("{now:.6}"));
        self.ask(request::send(http::Method::PUT, &self.path, &released)?).await.map(|_| ())
    }
}

impl LeaseState {
    fn of(lease: &Value) -> Self {
        let text = |pointer: &str| lease.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Self { holder: text("/spec/holderIdentity").to_owned(), renewed: text("/spec/renewTime").parse().ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lease_that_is_older_than_it_was_tells_of_a_store_that_was_put_back() {
        let config = kube::Config::new(http::Uri::from_static("http://127.0.0.1:9"));
        let client = kube::Client::try_from(config).expect("nothing is asked yet");
        let mut lease = Lease::new(Cluster::with_client(client), "capstan-system", "capstan-agent", "me");
        let mut rewound = |version: &str| {
            lease.note_version(&json!({"metadata": {"resourceVersion": version}}));
            lease.take_rewound()
        };
        assert_eq!(["5", "5", "900", "12", "13"].map(&mut rewound), [false, false, false, true, false]);
    }

    #[test]
    fn a_lease_changes_hands_only_when_its_holder_fell_silent() {
        let at = |seconds| Timestamp::from_second(seconds).expect("valid");
        let held = LeaseState { holder: "other".to_owned(), renewed: Some(at(0)) };
        assert!(!held.may_take("me", at(100), at(114)));
        assert!(held.may_take("me", at(100), at(115)));
        assert!(LeaseState { holder: "me".to_owned(), renewed: None }.may_take("me", at(100), at(100)));
        assert!(LeaseState { holder: String::new(), renewed: None }.may_take("me", at(100), at(100)));
    }
}
