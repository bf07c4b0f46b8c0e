//! Names that are checked once, at the door, and need no checking inside. A copy of one is the same text in memory.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name of a fleet, region, cluster, app, project or source: a Kubernetes label value and DNS label hold 63 characters, and
/// names of ours become both.
pub const NAME_LIMIT: usize = 63;

/// The longest cluster uid: that of a namespace is a UUID of 36 characters; the rest is room for other issuers.
pub const UID_LIMIT: usize = 64;

/// The text is no name of this kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no {what} name: {rule}")]
pub struct InvalidName {
    /// What the name is of ("cluster", "app").
    pub what: &'static str,
    /// What was read, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub rule: &'static str,
}

const LABEL_RULE: &str = "use 1 to 63 lower-case letters, digits and '-', beginning and ending with a letter or digit";
const UID_RULE: &str = "use 1 to 64 lower-case letters, digits and '-'";

fn is_label(text: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = text.as_bytes();
    bytes.len() <= NAME_LIMIT && edge(bytes.first()) && edge(bytes.last()) && is_uid(text)
}

fn is_uid(text: &str) -> bool {
    (1..=UID_LIMIT).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $check:ident, $rule:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $check(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidName { what: $what, text: text.chars().take(80).collect(), rule: $rule })
                }
            }
        }
    };
}

name!(
    /// A cluster's name, unique in the fleet.
    ClusterName, "cluster", is_label, LABEL_RULE
);
name!(
    /// A region's name.
    RegionName, "region", is_label, LABEL_RULE
);
name!(
    /// An app's name, unique in the fleet.
    AppName, "app", is_label, LABEL_RULE
);
name!(
    /// A project's (tenant's) name.
    ProjectName, "project", is_label, LABEL_RULE
);
name!(
    /// A rollout's name.
    RolloutName, "rollout", is_label, LABEL_RULE
);
name!(
    /// The name of a rollout's stage, unique in it.
    StageName, "stage", is_label, LABEL_RULE
);
name!(
    /// The name of a group of approvers.
    GroupName, "group", is_label, LABEL_RULE
);
name!(
    /// The name of a source of manifests, as configured on the hub.
    SourceName, "source", is_label, LABEL_RULE
);
name!(
    /// The uid of a cluster's `kube-system` namespace: what a cluster is, whatever it is called.
    ClusterUid, "cluster uid", is_uid, UID_RULE
);
name!(
    /// The id of a request to run an app's tests, chosen by the hub and never used twice.
    TestId, "test request", is_uid, UID_RULE
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label() {
        for good in ["a", "gpu-a", "9", &"x".repeat(63)] {
            assert!(good.parse::<ClusterName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "a b", "ä", &"x".repeat(64)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }
}
