//! A release: the content of one app, shared by all clusters whose render is equal. Everything that the hub can resolve is resolved here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use shared_model::{AppName, Digest, GroupKind, ObjectKey};

use crate::{DecodeError, Format, KeyId};

/// The feature of releases with hooks.
pub const FEATURE_HOOKS: &str = "hooks";

/// The features that this build's agent understands beyond the format itself. A release that needs another is refused by name.
pub const SUPPORTED_FEATURES: &[&str] = &[FEATURE_HOOKS];

/// When in a rollout an object is applied (Argo CD's phases).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Phase {
    /// Before everything else.
    PreSync,
    /// The ordinary one.
    #[default]
    Sync,
    /// After everything is healthy.
    PostSync,
    /// When the rollout failed.
    SyncFail,
}

/// When a hook's object is deleted (Argo CD's policies).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HookDelete {
    /// After it succeeded.
    HookSucceeded,
    /// After it failed.
    HookFailed,
    /// Before it is created again.
    BeforeHookCreation,
}

/// An object that runs to an end in its phases, once for each release, instead of staying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// The phases in which it runs; at least one.
    pub phases: BTreeSet<Phase>,
    /// When it is deleted.
    pub delete: BTreeSet<HookDelete>,
}

/// Whether an object may be deleted when it is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Prune {
    /// Within the budget.
    #[default]
    Allowed,
    /// Only after an approval.
    Confirm,
    /// Never; it is let go instead.
    Never,
}

/// What happens when an object drifts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Heal {
    /// It is set right at once.
    #[default]
    Correct,
    /// It is reported and left.
    Report,
    /// It is not looked at.
    None,
}

/// What happens when an object exists already (Flux's `ssa` annotation).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Existing {
    /// It is applied.
    #[default]
    Override,
    /// It is left as it is.
    IfNotPresent,
}

/// How one object is treated, resolved from app, object annotations and defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Deletion.
    pub prune: Prune,
    /// Drift.
    pub heal: Heal,
    /// Existing objects.
    pub existing: Existing,
    /// Delete and create again when an immutable field changes (opt-in).
    pub recreate: bool,
    /// JSON pointers (RFC 6901) to fields that are neither compared nor written once the object exists.
    pub ignore: BTreeSet<String>,
}

/// One object of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which object.
    pub object: ObjectKey,
    /// The version that the manifest is written in, without the group.
    pub version: String,
    /// The digest of its blob.
    pub digest: Digest,
    /// The key that sealed the blob, if it is sealed.
    pub sealed: Option<KeyId>,
    /// When it is applied; for a hook the first of its phases.
    pub phase: Phase,
    /// Its wave within each phase; lower first.
    pub wave: i32,
    /// If it is a hook.
    pub hook: Option<Hook>,
    /// How it is treated.
    pub policy: Policy,
}

/// The content of one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Whose content it is.
    pub app: AppName,
    /// Features that a reader must understand.
    pub requires: BTreeSet<String>,
    /// The objects by key.
    pub entries: BTreeMap<ObjectKey, Entry>,
}

impl Entry {
    /// Whether the app claims the object for itself. What is only created where it is missing and never deleted (a namespace made by
    /// `createNamespace`) belongs to nobody: several apps may name it.
    pub fn is_claimed(&self) -> bool {
        !(self.policy.existing == Existing::IfNotPresent && self.policy.prune == Prune::Never)
    }
}

impl Release {
    /// The most objects of one release: 5,000 (as many as Argo CD's 10 MB of manifests hold at 2 KB each).
    pub const ENTRY_LIMIT: usize = 5_000;

    /// A release of `entries`. What it requires follows from them.
    pub fn new(app: AppName, entries: impl IntoIterator<Item = Entry>) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.object.clone(), entry)).collect();
        let hooks = entries.values().any(|entry| entry.hook.is_some() || entry.phase != Phase::Sync);
        let requires = hooks.then(|| FEATURE_HOOKS.to_owned()).into_iter().collect();
        Self { app, requires, entries }
    }

    /// The digest and the bytes that are stored and sent.
    pub fn encode(&self) -> (Digest, Vec<u8>) {
        let bytes = Format::RELEASE.encode(&ReleaseFile::from(self));
        (Digest::of(&bytes), bytes)
    }

    /// Reads a release; one that needs a feature not in `supported` is refused by name.
    pub fn decode(bytes: &[u8], supported: &[&str]) -> Result<Self, DecodeError> {
        let file: ReleaseFile = Format::RELEASE.decode(bytes)?;
        if let Some(feature) = file.requires.iter().find(|feature| !supported.contains(&feature.as_str())) {
            return Err(DecodeError::UnknownFeature { feature: feature.clone() });
        }
        file.try_into()
    }
}

#[derive(Serialize, Deserialize)]
struct ReleaseFile {
    app: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    requires: BTreeSet<String>,
    objects: Vec<EntryFile>,
}

#[derive(Serialize, Deserialize)]
struct EntryFile {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    version: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    phase: Phase,
    #[serde(default, skip_serializing_if = "is_default")]
    wave: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hook: Option<Hook>,
    #[serde(default, skip_serializing_if = "is_default")]
    prune: Prune,
    #[serde(default, skip_serializing_if = "is_default")]
    heal: Heal,
    #[serde(default, skip_serializing_if = "is_default")]
    existing: Existing,
    #[serde(default, skip_serializing_if = "is_default")]
    recreate: bool,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    ignore: BTreeSet<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&Release> for ReleaseFile {
    fn from(release: &Release) -> Self {
        let objects = release.entries.values().map(|entry| EntryFile {
            group: entry.object.kind.group.clone(),
            version: entry.version.clone(),
            kind: entry.object.kind.kind.clone(),
            namespace: entry.object.namespace.clone(),
            name: entry.object.name.clone(),
            digest: entry.digest.to_string(),
            sealed: entry.sealed.as_ref().map(ToString::to_string),
            phase: entry.phase,
            wave: entry.wave,
            hook: entry.hook.clone(),
            prune: entry.policy.prune,
            heal: entry.policy.heal,
            existing: entry.policy.existing,
            recreate: entry.policy.recreate,
            ignore: entry.policy.ignore.clone(),
        });
        Self { app: release.app.to_string(), requires: release.requires.clone(), objects: objects.collect() }
    }
}

impl TryFrom<ReleaseFile> for Release {
    type Error = DecodeError;

    fn try_from(file: ReleaseFile) -> Result<Self, DecodeError> {
        let malformed = |detail: String| DecodeError::Malformed { format: Format::RELEASE.name, detail };
        if file.objects.len() > Self::ENTRY_LIMIT {
            return Err(malformed(format!("{} objects are more than {}", file.objects.len(), Self::ENTRY_LIMIT)));
        }
        let mut entries = BTreeMap::new();
        for object in file.objects {
            let key = ObjectKey::new(GroupKind::new(object.group, object.kind), object.namespace.as_deref(), object.name);
            if object.hook.as_ref().is_some_and(|hook| hook.phases.first() != Some(&object.phase)) {
                return Err(malformed(format!("the hook {key} does not begin with its phase")));
            }
            let entry = Entry {
                object: key.clone(),
                version: object.version,
                digest: object.digest.parse().map_err(|error| malformed(format!("{key}: {error}")))?,
                sealed: object.sealed.map(|id| id.parse()).transpose()?,
                phase: object.phase,
                wave: object.wave,
                hook: object.hook,
                policy: Policy {
                    prune: object.prune,
                    heal: object.heal,
                    existing: object.existing,
                    recreate: object.recreate,
                    ignore: object.ignore,
                },
            };
            if entries.insert(key.clone(), entry).is_some() {
                return Err(malformed(format!("{key} stands in it twice")));
            }
        }
        let app = file.app.parse().map_err(|error| malformed(format!("{error}")))?;
        Ok(Self { app, requires: file.requires, entries })
    }
}
