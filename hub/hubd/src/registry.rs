//! The clusters that may have an agent: how one joins, is held, is accepted, and leaves. The decisions are functions of a record; `desk` and
//! `api` read and write it.

use std::collections::BTreeMap;
use std::time::Duration;

use hub_distribute::EnrolRefusal;
use serde::{Deserialize, Serialize};
use shared_model::{ClusterName, ClusterUid, Digest, Timestamp};

use crate::record::Record;

/// How long a one-time token is good for.
pub(crate) const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// One cluster that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    /// The region that the operator named; the fleet repository's word counts where it has one.
    pub(crate) region: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The cluster that this name stands for, once it enrolled.
    pub(crate) uid: Option<String>,
    /// The fingerprint of the key that is bound to it.
    pub(crate) key: Option<String>,
    /// The token that may still be used.
    pub(crate) token: Option<TokenRecord>,
    /// A cluster that asks to be this one and waits to be accepted.
    pub(crate) asking: Option<Asking>,
    /// The agent was revoked.
    pub(crate) revoked: bool,
    /// When the agent was last heard, as far as that was written down.
    pub(crate) heard: Option<String>,
}

impl Record for ClusterRecord {
    const TREE: &'static str = "clusters";
}

/// A one-time token, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub(crate) digest: String,
    pub(crate) expires: String,
    pub(crate) used: bool,
}

/// A cluster that waits to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asking {
    pub(crate) uid: String,
    pub(crate) key: String,
    /// The operator said yes.
    pub(crate) accepted: bool,
}

impl ClusterRecord {
    pub(crate) fn new(region: &str, labels: BTreeMap<String, String>) -> Self {
        Self { region: region.to_owned(), labels, uid: None, key: None, token: None, asking: None, revoked: false, heard: None }
    }

    /// Gives out a token; the one before it is void.
    pub(crate) fn with_token(mut self, token: &str, now: Timestamp) -> Self {
        let digest = Digest::of(token.as_bytes()).to_string();
        self.token = Some(TokenRecord { digest, expires: (now + TOKEN_LIFETIME).to_string(), used: false });
        self.revoked = false;
        self
    }

    /// Whether `token` is this record's, whatever its state. Digests are compared: how long that takes says nothing about the token.
    pub(crate) fn has_token(&self, token: &[u8]) -> bool {
        self.token.as_ref().is_some_and(|record| record.digest == Digest::of(token).to_string())
    }

    /// A cluster that holds this record's token asks to join. With `accept_needed` an operator has the last word; a cluster with another uid
    /// than before always waits for it: it was re-created, or the token leaked.
    pub(crate) fn enrol(
        &self,
        name: &ClusterName,
        uid: &ClusterUid,
        key: &str,
        now: Timestamp,
        accept_needed: bool,
    ) -> Result<Self, (EnrolRefusal, Option<Box<Self>>)> {
        let refuse = |refusal| Err((refusal, None));
        let Some(token) = &self.token else { return refuse(EnrolRefusal::TokenUnknown) };
        let same_asker = self.asking.as_ref().is_some_and(|asking| asking.uid == uid.as_str() && asking.key == key);
        let same_agent = self.uid.as_deref() == Some(uid.as_str()) && self.key.as_deref() == Some(key);
        if self.revoked {
            return refuse(EnrolRefusal::Revoked { cluster: name.to_string() });
        }
        // The answer to the first attempt may have been lost: the same key may ask again.
        if token.used && !same_asker && !same_agent {
            return refuse(EnrolRefusal::TokenUsed);
        }
        let expired = token.expires.parse::<Timestamp>().is_ok_and(|expires| now >= expires);
        if expired && !same_asker && !same_agent {
            return refuse(EnrolRefusal::TokenExpired);
        }
        let other_uid = self.uid.as_deref().is_some_and(|known| known != uid.as_str());
        let accepted = same_asker && self.asking.as_ref().is_some_and(|asking| asking.accepted);
        let mut next = self.clone();
        next.token = Some(TokenRecord { used: true, ..token.clone() });
        if (other_uid || (accept_needed && !same_agent)) && !accepted {
            next.asking = Some(Asking { uid: uid.to_string(), key: key.to_owned(), accepted: false });
            let refusal = if other_uid {
                EnrolRefusal::OtherUid { cluster: name.to_string() }
            } else {
                EnrolRefusal::AwaitingAcceptance { cluster: name.to_string() }
            };
            return Err((refusal, Some(Box::new(next))));
        }
        next.asking = None;
        next.uid = Some(uid.to_string());
        next.key = Some(key.to_owned());
        Ok(next)
    }

    /// The uid that an operator is shown: of the cluster that asks to be accepted, else of the one that runs.
    pub(crate) fn shown_uid(&self) -> Option<String> {
        let asking = self.asking.as_ref().filter(|asking| !asking.accepted).map(|asking| asking.uid.clone());
        asking.or_else(|| self.uid.clone())
    }

    /// An operator accepts the cluster that asks, if it is still `uid`.
    pub(crate) fn accept(&self, uid: &ClusterUid) -> Option<Self> {
        let asking = self.asking.as_ref().filter(|asking| asking.uid == uid.as_str())?;
        Some(Self { asking: Some(Asking { accepted: true, ..asking.clone() }), ..self.clone() })
    }

    /// The agent is revoked. What was known of the cluster stays, so that it can be enrolled again.
    pub(crate) fn revoke(&self) -> Self {
        Self { revoked: true, token: None, asking: None, key: None, ..self.clone() }
    }

    /// Whether an agent with this identity and key is let in.
    pub(crate) fn admits(&self, uid: &ClusterUid, key: &str) -> bool {
        !self.revoked && self.uid.as_deref() == Some(uid.as_str()) && self.key.as_deref() == Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("valid")
    }

    fn name() -> ClusterName {
        "gpu-a".parse().expect("valid")
    }

    fn uid(text: &str) -> ClusterUid {
        text.parse().expect("valid")
    }

    fn added() -> ClusterRecord {
        ClusterRecord::new("eu", BTreeMap::new()).with_token("secret", at(0))
    }

    fn refusal(outcome: Result<ClusterRecord, (EnrolRefusal, Option<Box<ClusterRecord>>)>) -> EnrolRefusal {
        outcome.expect_err("refused").0
    }

    #[test]
    fn a_token_is_good_once_and_for_fifteen_minutes() {
        assert!(added().has_token(b"secret") && !added().has_token(b"other"));
        let joined = added().enrol(&name(), &uid("u1"), "k1", at(899), false).expect("joins");
        assert!(joined.admits(&uid("u1"), "k1"));
        assert_eq!(refusal(added().enrol(&name(), &uid("u1"), "k1", at(900), false)), EnrolRefusal::TokenExpired);
        assert_eq!(refusal(joined.enrol(&name(), &uid("u2"), "k2", at(1), false)), EnrolRefusal::TokenUsed);
    }

    #[test]
    fn the_same_key_may_ask_again_when_the_answer_was_lost() {
        let joined = added().enrol(&name(), &uid("u1"), "k1", at(1), false).expect("joins");
        assert_eq!(joined.enrol(&name(), &uid("u1"), "k1", at(5000), false), Ok(joined));
    }

    #[test]
    fn a_recreated_cluster_is_held_until_exactly_it_is_accepted() {
        let joined = added().enrol(&name(), &uid("u1"), "k1", at(1), false).expect("joins");
        let again = joined.with_token("second", at(10));
        let (why, held) = again.enrol(&name(), &uid("u2"), "k2", at(11), false).expect_err("held");
        assert_eq!(why, EnrolRefusal::OtherUid { cluster: "gpu-a".into() });
        let held = held.expect("remembered");
        assert!(held.admits(&uid("u1"), "k1"), "the one that runs is not disturbed");
        assert_eq!(held.accept(&uid("u3")), None);
        let accepted = held.accept(&uid("u2")).expect("accepted");
        let joined = accepted.enrol(&name(), &uid("u2"), "k2", at(2000), false).expect("joins, however long the operator took");
        assert!(joined.admits(&uid("u2"), "k2") && !joined.admits(&uid("u1"), "k1"));
    }

    #[test]
    fn with_acceptance_needed_a_new_cluster_waits_and_then_joins_with_the_same_key_only() {
        let (why, held) = added().enrol(&name(), &uid("u1"), "k1", at(1), true).expect_err("held");
        assert_eq!(why, EnrolRefusal::AwaitingAcceptance { cluster: "gpu-a".into() });
        let accepted = held.expect("remembered").accept(&uid("u1")).expect("accepted");
        assert_eq!(refusal(accepted.enrol(&name(), &uid("u1"), "stolen", at(2), true)), EnrolRefusal::TokenUsed);
        assert!(accepted.enrol(&name(), &uid("u1"), "k1", at(2), true).is_ok());
    }

    #[test]
    fn a_revoked_agent_is_out_until_the_cluster_is_added_again() {
        let joined = added().enrol(&name(), &uid("u1"), "k1", at(1), false).expect("joins");
        let revoked = joined.revoke();
        assert!(!revoked.admits(&uid("u1"), "k1"));
        assert!(revoked.enrol(&name(), &uid("u1"), "k1", at(2), false).is_err());
        assert!(revoked.with_token("new", at(3)).enrol(&name(), &uid("u1"), "k9", at(4), false).is_ok());
    }
}
