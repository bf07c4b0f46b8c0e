//! Names that only the fleet language has: rollouts, their stages, and groups of approvers. All others are in `shared/model`.

use std::fmt;
use std::str::FromStr;

use shared_model::{InvalidName, ProjectName};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

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
                // All names follow one rule; a project's name is the model's nearest.
                text.parse::<ProjectName>().map(|_| Self(text.to_owned())).map_err(|error| InvalidName { what: $what, ..error })
            }
        }
    };
}

name!(
    /// A rollout's name.
    RolloutName, "rollout"
);
name!(
    /// The name of a rollout's stage, unique in it.
    StageName, "stage"
);
name!(
    /// The name of a group of approvers.
    GroupName, "group"
);
