//! Why something does not happen yet: each "no" and "wait" of a plan, with its facts. Which of them apply is decided in `cluster` and
//! `rollout`; this is their one list and wording.

use std::fmt;
use std::time::Duration;

use shared_model::{AppName, ClusterName, Digest, GroupName, Health, ObjectKey, Reason, Severity, StageName, Timestamp};

/// Why something does not happen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Nothing is known about what is wanted of the whole cluster, so all stays.
    KeepAll {
        /// Why.
        reason: Reason,
    },
    /// The app runs and nothing was said about it.
    Unmentioned,
    /// A problem of the app: what runs keeps running.
    Blocked {
        /// Which.
        reason: Reason,
    },
    /// Something suspicious waits for an approval.
    Held {
        /// What is suspicious.
        reason: Reason,
        /// What to approve.
        digest: Digest,
    },
    /// Two apps render the same object for this cluster.
    SharedObject {
        /// The object.
        object: ObjectKey,
        /// The other app.
        other: AppName,
    },
    /// Another app still runs an object that it will give up.
    StillRunBy {
        /// The object.
        object: ObjectKey,
        /// That app.
        other: AppName,
    },
    /// An object stays where it is until the app that takes it over may.
    AwaitsTaker {
        /// The object.
        object: ObjectKey,
        /// The app that takes it over.
        to: AppName,
    },
    /// The content of the release that runs is not known, so it cannot be told what would be removed.
    ContentUnknown {
        /// The release that runs.
        release: Digest,
    },
    /// Deletions wait for an approval.
    ApprovalNeeded {
        /// How many.
        count: usize,
        /// The first of them.
        first: ObjectKey,
        /// How many may go without an approval.
        budget: usize,
        /// What to approve.
        digest: Digest,
    },
    /// More is to be deleted than one index holds; the rest follows.
    IndexFull {
        /// How many deletions wait.
        waiting: usize,
    },
    /// The cluster has as many apps as an index holds.
    TooManyApps {
        /// That many.
        limit: usize,
    },
    /// No stage of the rollout takes the cluster.
    NoStage,
    /// The rollout asks for something that this version does not carry out.
    NotYet {
        /// The stage.
        stage: StageName,
        /// The field.
        field: &'static str,
    },
    /// A newer change waits for the end of the one that is under way.
    Queued {
        /// Since when the one is under way.
        since: Timestamp,
    },
    /// An earlier stage, or an earlier region of the same, is not done.
    StageWaits {
        /// The stage that waits.
        stage: StageName,
        /// The stage that it waits for.
        behind: StageName,
        /// The first cluster there that is not done.
        cluster: ClusterName,
        /// Why that cluster is not done.
        lag: Lag,
    },
    /// As many clusters of the stage are in change as may be.
    StageBusy {
        /// The stage.
        stage: StageName,
        /// How many may be.
        limit: usize,
        /// The first cluster in change.
        cluster: ClusterName,
        /// Why that cluster is not done.
        lag: Lag,
    },
    /// The stage's `maxConcurrency` lets no cluster change.
    StageClosed {
        /// The stage.
        stage: StageName,
    },
    /// The stage waits for people.
    StageApproval {
        /// The stage.
        stage: StageName,
        /// Who may approve.
        group: GroupName,
        /// How many have.
        given: usize,
        /// How many must.
        count: u32,
        /// What to approve.
        digest: Digest,
    },
    /// More clusters failed than may: the rollout stands still.
    StageFailed {
        /// The stage.
        stage: StageName,
        /// How many clusters of it failed.
        failed: usize,
        /// How many may.
        limit: usize,
        /// The first cluster that failed.
        cluster: ClusterName,
        /// How it failed.
        lag: Lag,
    },
    /// The change failed and the clusters that it reached go back to what ran before.
    RolledBack {
        /// What went wrong.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// This cluster is not heard from.
    Lost {
        /// For how long; `None` if it was never heard.
        silent: Option<Duration>,
    },
}

/// Why a cluster is not done with a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lag {
    /// It was not given the release yet.
    NotMoved,
    /// It has the release and has not applied all of it, or said nothing about it so far.
    NotApplied {
        /// Why, as the cluster says.
        reason: Option<Reason>,
    },
    /// Something of the app is not healthy there.
    Unhealthy {
        /// The worst object, if it is known.
        object: Option<ObjectKey>,
        /// Its health, or the app's.
        health: Health,
        /// Why, as the cluster says.
        reason: Option<Reason>,
        /// Since when the cluster has had the release.
        since: Timestamp,
    },
    /// It is healthy, for less long than the stage asks.
    Soaking {
        /// Until when.
        until: Timestamp,
    },
    /// It is not heard from.
    Lost {
        /// For how long; `None` if it was never heard.
        silent: Option<Duration>,
    },
}

impl Gate {
    /// The stable word for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeepAll { .. } => "KeptAsItIs",
            Self::Unmentioned => "Unmentioned",
            Self::Blocked { .. } => "Blocked",
            Self::Held { .. } => "Held",
            Self::SharedObject { .. } => "SharedObject",
            Self::StillRunBy { .. } => "StillRunByOtherApp",
            Self::AwaitsTaker { .. } => "HandOverWaits",
            Self::ContentUnknown { .. } => "ContentUnknown",
            Self::ApprovalNeeded { .. } => "ApprovalNeeded",
            Self::IndexFull { .. } => "IndexFull",
            Self::TooManyApps { .. } => "TooManyApps",
            Self::NoStage => "NoStageTakesCluster",
            Self::NotYet { .. } => "NotHonoured",
            Self::Queued { .. } => "Queued",
            Self::StageWaits { .. } => "StageWaits",
            Self::StageBusy { .. } => "StageBusy",
            Self::StageClosed { .. } => "StageClosed",
            Self::StageApproval { .. } => "StageApprovalNeeded",
            Self::StageFailed { .. } => "StageFailed",
            Self::RolledBack { .. } => "RolledBack",
            Self::Lost { .. } => "ClusterLost",
        }
    }

    /// How serious it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::KeepAll { reason } | Self::Blocked { reason } => reason.severity,
            Self::SharedObject { .. }
            | Self::ContentUnknown { .. }
            | Self::TooManyApps { .. }
            | Self::NoStage
            | Self::NotYet { .. }
            | Self::StageFailed { .. }
            | Self::RolledBack { .. } => Severity::Error,
            Self::Unmentioned | Self::Held { .. } | Self::ApprovalNeeded { .. } | Self::StageClosed { .. } | Self::Lost { .. } => {
                Severity::Warning
            }
            Self::StillRunBy { .. }
            | Self::AwaitsTaker { .. }
            | Self::IndexFull { .. }
            | Self::Queued { .. }
            | Self::StageWaits { .. }
            | Self::StageBusy { .. }
            | Self::StageApproval { .. } => Severity::Wait,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepAll { reason } => write!(f, "everything in this cluster stays as it is: {}", reason.message),
            Self::Unmentioned => f.write_str("nothing was said about this app, which runs here; it stays as it is"),
            Self::Blocked { reason } => write!(f, "what runs keeps running: {}", reason.message),
            Self::Held { reason, .. } => {
                write!(f, "{}; what runs keeps running until this is approved with `capstan approve`, or mended", reason.message)
            }
            Self::SharedObject { object, other } => {
                write!(f, "app {other} has {object} too; take it out of one of the two, and until then both stay as they are")
            }
            Self::StillRunBy { object, other } => write!(f, "waits for app {other}, which still runs {object} here and gives it up"),
            Self::AwaitsTaker { object, to } => write!(f, "{object} stays until app {to}, which takes it over, may change here"),
            Self::ContentUnknown { release } => write!(
                f,
                "the content of the release that runs ({}) is missing in the hub's store; restore it, or nothing can be removed safely",
                release.short()
            ),
            Self::ApprovalNeeded { count, first, budget, digest } => {
                let more = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
                write!(
                    f,
                    "the deletion of {first}{more} needs an approval ({budget} may go without one; namespaces, custom resource definitions, \
                     volumes, claims and what asks for it never): run `capstan approve` for {}, or put the objects back",
                    digest.short()
                )
            }
            Self::IndexFull { waiting } => write!(f, "{waiting} deletions wait until others are done"),
            Self::TooManyApps { limit } => write!(f, "this cluster runs {limit} apps, which is the most that one cluster takes"),
            Self::NoStage => f.write_str("no stage of the app's rollout takes this cluster; add one that does"),
            Self::NotYet { stage, field } => {
                write!(f, "stage {stage} asks for {field}, which this version does not carry out; nothing changes until it is taken out")
            }
            Self::Queued { since } => write!(f, "waits for the end of the change that is under way since {since}"),
            Self::StageWaits { stage, behind, cluster, lag } if stage == behind => {
                write!(f, "stage {stage} goes region by region and waits for {cluster}: {lag}")
            }
            Self::StageWaits { stage, behind, cluster, lag } => write!(f, "stage {stage} waits for stage {behind}: {cluster} {lag}"),
            Self::StageBusy { stage, limit, cluster, lag } => {
                write!(f, "stage {stage} changes {limit} at once and waits for {cluster}, which {lag}")
            }
            Self::StageClosed { stage } => write!(f, "stage {stage} lets no cluster change: its maxConcurrency is 0"),
            Self::StageApproval { stage, group, given, count, digest } => {
                write!(f, "stage {stage} waits for an approval of {} by {count} of group {group}; {given} given", digest.short())
            }
            Self::StageFailed { stage, failed, limit, cluster, lag } => {
                write!(f, "stage {stage} stands still: {failed} clusters failed and {limit} may; {cluster} {lag}")
            }
            Self::RolledBack { why, at } => write!(f, "this change failed at {at} and was taken back: {why}; commit another"),
            Self::Lost { silent } => write!(f, "this cluster {}", Lag::Lost { silent: *silent }),
        }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let because = |f: &mut fmt::Formatter<'_>, reason: &Option<Reason>| match reason {
            Some(reason) => write!(f, " ({})", reason.message),
            None => Ok(()),
        };
        match self {
            Self::NotMoved => f.write_str("does not have the release yet"),
            Self::NotApplied { reason } => {
                f.write_str("has not applied the release")?;
                because(f, reason)
            }
            Self::Unhealthy { object: Some(object), health, reason, since } => {
                write!(f, "has {object} {health}, with the release since {since}")?;
                because(f, reason)
            }
            Self::Unhealthy { object: None, health, reason, since } => {
                write!(f, "is {health}, with the release since {since}")?;
                because(f, reason)
            }
            Self::Soaking { until } => write!(f, "is healthy and watched until {until}"),
            Self::Lost { silent: Some(silent) } => write!(f, "was not heard from for {} s", silent.as_secs()),
            Self::Lost { silent: None } => f.write_str("was never heard from"),
        }
    }
}

impl From<&Gate> for Reason {
    fn from(gate: &Gate) -> Self {
        let code = match gate {
            // The problem's own word says more than "Blocked".
            Gate::Blocked { reason } | Gate::KeepAll { reason } => reason.code.clone(),
            Gate::Held { reason, .. } => reason.code.clone(),
            other => other.code().to_owned(),
        };
        Self::new(gate.severity(), code, gate.to_string())
    }
}
