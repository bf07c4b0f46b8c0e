//! Approvals: somebody's word for exactly one content, named by its digest. Who may give one for deletions and held changes is left to the
//! hub's authorisation; who may open a stage of a rollout is the fleet repository's word.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared_model::{AppName, ClusterName, Digest, Timestamp};

/// Who said so, and when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sanction {
    /// Who.
    pub by: String,
    /// When, by the hub's clock.
    pub at: Timestamp,
}

/// An approval of a change of one app in one cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Approved {
    /// The app.
    pub app: AppName,
    /// The digest that was shown: of a held change or of deletions.
    pub digest: Digest,
    /// Who said so, and when.
    pub sanction: Sanction,
}

/// An approval that opens a stage of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StageApproval {
    /// The digest that was shown: [`stage_digest`].
    pub digest: Digest,
    /// Who said so, and when.
    pub sanction: Sanction,
}

/// What an approval of a stage is bound to: the app, the rollout, the stage, and the release that each of its clusters would take.
pub fn stage_digest(app: &AppName, rollout: &str, stage: &str, releases: &BTreeMap<ClusterName, Digest>) -> Digest {
    let mut text = format!("capstan.dev/stage.v1\n{app}\n{rollout}\n{stage}\n");
    for (cluster, release) in releases {
        text.push_str(&format!("{cluster} {release}\n"));
    }
    Digest::of(text.as_bytes())
}

/// The people of `members` who approved `digest` and whose word still holds at `now`.
pub(crate) fn approvers<'a>(
    approvals: &'a [StageApproval],
    digest: &Digest,
    members: &BTreeSet<String>,
    expires: Duration,
    now: Timestamp,
) -> BTreeSet<&'a str> {
    let holds = |sanction: &Sanction| sanction.at.saturating_add(expires).is_ok_and(|end| end >= now);
    let given = approvals.iter().filter(|approval| approval.digest == *digest).map(|approval| &approval.sanction);
    given.filter(|sanction| members.contains(&sanction.by) && holds(sanction)).map(|sanction| sanction.by.as_str()).collect()
}
