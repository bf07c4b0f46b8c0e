//! The words of the API, each with its one conversion from the model. An older client that meets a newer word reads the least cheerful
//! word it knows where there is one.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared_model as model;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// The word as it stands in JSON, tables and filters.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
    ($(#[$doc:meta])* $name:ident of $from:ty { $($(#[$variant_doc:meta])* $variant:ident),+ $(,)? }) => {
        word!($(#[$doc])* $name { $($(#[$variant_doc])* $variant),+ });

        impl From<$from> for $name {
            fn from(value: $from) -> Self {
                match value { $(<$from>::$variant => Self::$variant,)+ }
            }
        }
    };
}

word!(
    /// How something is, best first.
    HealthWord of model::Health {
        /// Works as its kind defines it.
        Healthy,
        /// Held on purpose.
        Suspended,
        /// On its way.
        Progressing,
        /// Cannot go on yet through no fault of its own.
        Waiting,
        /// Wanted and not there.
        Missing,
        /// Failed, or past its deadline.
        Degraded,
        /// Not known now: never observed, or not heard for too long.
        #[serde(other)]
        Unknown,
    }
);
word!(
    /// How old the last word from a cluster is.
    FreshnessWord of model::Freshness {
        /// Heard within 30 seconds.
        Fresh,
        /// Silent for 30 seconds or more.
        Stale,
        /// Silent for 90 seconds or more, or never heard.
        #[serde(other)]
        Offline,
    }
);
word!(
    /// How serious a reason or problem is.
    SeverityWord of model::Severity {
        /// Expected and passing.
        Wait,
        /// Somebody should look.
        Warning,
        /// Something does not work.
        #[serde(other)]
        Error,
    }
);
word!(
    /// How an object differed from what is wanted.
    DriftWord of model::DriftKind {
        /// The same other manager rewrites a field again and again.
        Fight,
        /// The object was deleted.
        Deleted,
        /// Owned values were changed.
        #[serde(other)]
        Changed,
    }
);
word!(
    /// Whether a cluster runs what is wanted of it.
    SyncWord {
        /// The wanted release is applied.
        Synced,
        /// Another release is applied, or none yet.
        OutOfSync,
        /// Not known now, as the cluster is silent.
        #[serde(other)]
        Unknown,
    }
);
word!(
    /// How tests stand.
    TestWord {
        /// They ended well.
        Succeeded,
        /// They run.
        Running,
        /// They wait, as for the release to be healthy.
        Waiting,
        /// They were asked for; the cluster has not said that it knows.
        Asked,
        /// Nobody asked for them.
        NeverRun,
        /// There are none.
        NoTests,
        /// They did not run to their end.
        Cancelled,
        /// One of them failed, or they took too long.
        #[serde(other)]
        Failed,
    }
);

impl TestWord {
    /// Whether nothing more will come of it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Succeeded | Self::NoTests | Self::Cancelled | Self::Failed)
    }
}

impl From<model::TestOutcome> for TestWord {
    fn from(outcome: model::TestOutcome) -> Self {
        match outcome {
            model::TestOutcome::Succeeded => Self::Succeeded,
            model::TestOutcome::Running => Self::Running,
            model::TestOutcome::Waiting => Self::Waiting,
            model::TestOutcome::Cancelled => Self::Cancelled,
            model::TestOutcome::Failed => Self::Failed,
        }
    }
}

word!(
    /// Where a cluster stands with the hub.
    ClusterState {
        /// Added; its agent has not enrolled yet.
        Pending,
        /// Enrolled.
        Accepted,
        /// Enrolled and waiting for an operator's accept, as the hub asks for one or the cluster came back as another.
        Held,
        /// Its certificate is no longer accepted.
        #[serde(other)]
        Revoked,
    }
);
word!(
    /// What would happen to an object.
    ChangeWord {
        /// It would be created.
        Added,
        /// It would be deleted.
        Removed,
        /// Some of its fields would change.
        #[serde(other)]
        Changed,
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_health_keeps_its_word() {
        for health in model::Health::ALL {
            assert_eq!(HealthWord::from(health).as_str(), health.as_str());
        }
    }

    #[test]
    fn a_word_from_a_newer_hub_is_never_read_as_good_news() {
        assert_eq!(serde_json::from_str::<HealthWord>("\"Radiant\"").unwrap(), HealthWord::Unknown);
        assert_eq!(serde_json::from_str::<FreshnessWord>("\"Vintage\"").unwrap(), FreshnessWord::Offline);
        assert_eq!(serde_json::from_str::<SyncWord>("\"Nearly\"").unwrap(), SyncWord::Unknown);
    }
}
