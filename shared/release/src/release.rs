//! A release: the content of one app, shared by all clusters whose render is equal. Everything that the hub can resolve is resolved here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_expression::HealthExpressions;
use shared_expression::cel::{Expression, ParseError};
use shared_expression::jq::JqPath;
use shared_model::{AppName, Digest, GroupKind, ObjectKey};

use crate::object::misnamed;
use crate::{DecodeError, Format, HealthRule, Ignore, KeyId};

/// The feature of releases with hooks.
pub const FEATURE_HOOKS: &str = "hooks";

/// The feature of releases that are applied as a whole or not at all.
pub const FEATURE_TRANSACTIONAL: &str = "transactional";

/// The feature of releases with objects whose fields are shared, that are never touched, or whose health does not count.
pub const FEATURE_LENIENCE: &str = "lenience";

/// The feature of releases with tests, which run when the index asks for it.
pub const FEATURE_TESTS: &str = "tests";

/// The feature of releases that leave fields to others by an expression or by their manager.
pub const FEATURE_IGNORE: &str = "ignore-expressions";

/// The feature of releases that say themselves how objects of some kinds are.
pub const FEATURE_HEALTH: &str = "health-expressions";

/// The feature of releases with hooks that run when their app is removed.
pub const FEATURE_REMOVAL: &str = "removal-hooks";

/// The feature of releases that leave fields to other managers where these hold them with other values.
pub const FEATURE_CONFLICTS: &str = "conflicts";

/// The features that this build's agent understands beyond the format itself. A release that needs another is refused by name.
pub const SUPPORTED_FEATURES: &[&str] = &[
    FEATURE_HOOKS,
    FEATURE_TRANSACTIONAL,
    FEATURE_LENIENCE,
    FEATURE_TESTS,
    FEATURE_IGNORE,
    FEATURE_HEALTH,
    FEATURE_REMOVAL,
    FEATURE_CONFLICTS,
];

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
    /// In no rollout: when somebody asks for the tests of the release that runs (Helm's `test`).
    Test,
    /// In no rollout: when the app is removed, before anything of it is deleted (Argo CD's `PreDelete`, Helm's `pre-delete`).
    PreDelete,
    /// In no rollout: when the app is removed, after all of it is gone (Argo CD's `PostDelete`, Helm's `post-delete`).
    PostDelete,
}

impl Phase {
    /// Whether its hooks belong to a rollout that goes well.
    pub const fn is_of_good_rollout(self) -> bool {
        matches!(self, Self::PreSync | Self::Sync | Self::PostSync)
    }

    /// Whether it is part of a rollout, be it a failed one.
    pub const fn is_of_rollout(self) -> bool {
        self.is_of_good_rollout() || matches!(self, Self::SyncFail)
    }

    /// Whether it is part of an app's removal.
    pub const fn is_of_removal(self) -> bool {
        matches!(self, Self::PreDelete | Self::PostDelete)
    }
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

/// What an object that the API server refuses means for the others of its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Apply {
    /// It stops what comes after it, and nothing else.
    #[default]
    Isolated,
    /// Nothing is written until the API server has accepted a dry run of everything (Flux's way).
    Transactional,
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
    /// It is applied, and fields that another tool applied before are left to that tool.
    Merge,
    /// It is left as it is.
    IfNotPresent,
    /// It is never touched, and not made either.
    Ignore,
}

/// What happens when another manager holds a field that is to have another value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Conflicts {
    /// The field is taken over, and the report names whom it was taken from.
    #[default]
    Force,
    /// The object is left as it is, and the report names managers and fields.
    Report,
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
    /// Its health says nothing about the app's (Argo CD's `ignore-healthcheck`). Later waves wait for it all the same.
    pub ignore_health: bool,
    /// Fields that others hold.
    pub conflicts: Conflicts,
    /// Fields that are neither compared nor written once the object exists.
    pub ignore: BTreeSet<Ignore>,
}

/// One object of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which object. Whoever speaks of the object can share it: an agent's memory is keys for the larger part.
    pub object: Arc<ObjectKey>,
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
    /// What a refused object means for the others.
    pub apply: Apply,
    /// How objects of kinds are that the app judges itself.
    pub health: Vec<HealthRule>,
    /// The objects by key.
    pub entries: BTreeMap<Arc<ObjectKey>, Arc<Entry>>,
}

impl Entry {
    /// Whether the app claims the object for itself. What is only created where it is missing and never deleted (a namespace made by
    /// `createNamespace`) belongs to nobody: several apps may name it.
    pub fn is_claimed(&self) -> bool {
        !(self.policy.existing == Existing::IfNotPresent && self.policy.prune == Prune::Never)
    }

    /// Whether a rollout has anything to do with it: it does not with hooks that are only tests or only for the app's removal.
    pub fn is_of_rollout(&self) -> bool {
        self.hook.as_ref().is_none_or(|hook| hook.phases.iter().any(|phase| phase.is_of_rollout()))
    }

    /// Whether it is there only while the app is removed, so that the app never has it before.
    pub fn is_only_of_removal(&self) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.phases.iter().all(|phase| phase.is_of_removal()))
    }

    /// Whether it is a hook of the app's removal, perhaps beside other occasions.
    pub fn is_of_removal(&self) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.phases.iter().any(|phase| phase.is_of_removal()))
    }

    /// Whether it is one of the release's tests.
    pub fn is_test(&self) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook.phases.contains(&Phase::Test))
    }
}

impl Release {
    /// The most objects of one release: 5,000 (as many as Argo CD's 10 MB of manifests hold at 2 KB each).
    pub const ENTRY_LIMIT: usize = 5_000;

    /// A release of `entries`. What it requires follows from them.
    pub fn new(app: AppName, entries: impl IntoIterator<Item = Entry>) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.object.clone(), Arc::new(entry))).collect();
        let hooks = entries.values().any(|entry| entry.hook.is_some() || entry.phase != Phase::Sync);
        let lenient = |policy: &Policy| policy.ignore_health || matches!(policy.existing, Existing::Merge | Existing::Ignore);
        let lenience = entries.values().any(|entry| lenient(&entry.policy));
        let beyond_pointers = |policy: &Policy| policy.ignore.iter().any(|ignore| !matches!(ignore, Ignore::Pointer(_)));
        let ignores = entries.values().any(|entry| beyond_pointers(&entry.policy));
        let features = [
            (hooks, FEATURE_HOOKS),
            (lenience, FEATURE_LENIENCE),
            (entries.values().any(|entry| entry.is_test()), FEATURE_TESTS),
            (ignores, FEATURE_IGNORE),
            (entries.values().any(|entry| entry.is_of_removal()), FEATURE_REMOVAL),
            (entries.values().any(|entry| entry.policy.conflicts != Conflicts::default()), FEATURE_CONFLICTS),
        ];
        let requires = features.into_iter().filter(|(needed, _)| *needed).map(|(_, feature)| feature.to_owned()).collect();
        Self { app, requires, apply: Apply::default(), health: Vec::new(), entries }
    }

    /// The same release, applied as `apply` says.
    pub fn applied(mut self, apply: Apply) -> Self {
        self.apply = apply;
        if apply == Apply::Transactional {
            self.requires.insert(FEATURE_TRANSACTIONAL.to_owned());
        }
        self
    }

    /// The same release, with the app's own rules of health.
    pub fn judged(mut self, health: Vec<HealthRule>) -> Self {
        if !health.is_empty() {
            self.requires.insert(FEATURE_HEALTH.to_owned());
        }
        self.health = health;
        self
    }

    /// The tests, by object.
    pub fn tests(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().filter(|entry| entry.is_test())
    }

    /// The hooks of the app's removal, by object.
    pub fn removal_hooks(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().filter(|entry| entry.is_of_removal())
    }

    /// The digest and the bytes that are stored and sent.
    pub fn encode(&self) -> (Digest, Vec<u8>) {
        let bytes = Format::RELEASE.encode(&ReleaseFile::from(self));
        (Digest::of(&bytes), bytes)
    }

    /// Reads a release; one that needs a feature not in `supported` is refused by name.
    pub fn decode(bytes: &[u8], supported: &[&str]) -> Result<Self, DecodeError> {
        let unknown = |requires: &BTreeSet<String>| requires.iter().find(|feature| !supported.contains(&feature.as_str())).cloned();
        let file: ReleaseFile = match Format::RELEASE.decode(bytes) {
            // It may be unreadable for what it requires: a word that is new.
            Err(error) => {
                let requires = Format::RELEASE.decode::<RequiresFile>(bytes).ok().and_then(|file| unknown(&file.requires));
                return Err(requires.map_or(error, |feature| DecodeError::UnknownFeature { feature }));
            }
            Ok(file) => file,
        };
        if let Some(feature) = unknown(&file.requires) {
            return Err(DecodeError::UnknownFeature { feature });
        }
        file.try_into()
    }
}

/// As much of a release as any version of it has.
#[derive(Deserialize)]
struct RequiresFile {
    #[serde(default)]
    requires: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct ReleaseFile {
    app: String,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    requires: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    apply: Apply,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    health: Vec<HealthFile>,
    objects: Vec<EntryFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HealthFile {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    current: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_progress: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl From<&HealthRule> for HealthFile {
    fn from(rule: &HealthRule) -> Self {
        let text = |expression: &Expression| expression.as_str().to_owned();
        let HealthExpressions { current, in_progress, failed } = &rule.expressions;
        Self {
            group: rule.group.clone(),
            kind: rule.kind.clone(),
            current: text(current),
            in_progress: in_progress.as_ref().map(text),
            failed: failed.as_ref().map(text),
        }
    }
}

impl TryFrom<HealthFile> for HealthRule {
    type Error = ParseError;

    fn try_from(file: HealthFile) -> Result<Self, ParseError> {
        let read = |text: String| Expression::parse(&text);
        let (in_progress, failed) = (file.in_progress.map(read).transpose()?, file.failed.map(read).transpose()?);
        let expressions = HealthExpressions { current: Expression::parse(&file.current)?, in_progress, failed };
        Ok(Self { group: file.group, kind: file.kind, expressions })
    }
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
    #[serde(default, rename = "ignoreHealth", skip_serializing_if = "is_default")]
    ignore_health: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    conflicts: Conflicts,
    /// JSON pointers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    ignore: BTreeSet<String>,
    #[serde(default, rename = "ignorePaths", skip_serializing_if = "BTreeSet::is_empty")]
    ignore_paths: BTreeSet<String>,
    #[serde(default, rename = "ignoreManagers", skip_serializing_if = "BTreeSet::is_empty")]
    ignore_managers: BTreeSet<String>,
}

/// What is ignored, as the three lists of a file.
fn split_ignored(ignore: &BTreeSet<Ignore>) -> [BTreeSet<String>; 3] {
    let mut lists = [const { BTreeSet::new() }; 3];
    for ignore in ignore {
        let (list, text) = match ignore {
            Ignore::Pointer(pointer) => (0, pointer.as_str()),
            Ignore::Path(path) => (1, path.as_str()),
            Ignore::Manager(manager) => (2, manager.as_str()),
        };
        lists[list].insert(text.to_owned());
    }
    lists
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<&Release> for ReleaseFile {
    fn from(release: &Release) -> Self {
        let objects = release.entries.values().map(|entry| {
            let [ignore, ignore_paths, ignore_managers] = split_ignored(&entry.policy.ignore);
            EntryFile {
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
                ignore_health: entry.policy.ignore_health,
                conflicts: entry.policy.conflicts,
                ignore,
                ignore_paths,
                ignore_managers,
            }
        });
        let health = release.health.iter().map(HealthFile::from).collect();
        Self { app: release.app.to_string(), requires: release.requires.clone(), apply: release.apply, health, objects: objects.collect() }
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
            let key = Arc::new(ObjectKey::new(GroupKind::new(object.group, object.kind), object.namespace.as_deref(), object.name));
            if let Some(problem) = misnamed(&key) {
                return Err(malformed(problem));
            }
            if object.hook.as_ref().is_some_and(|hook| hook.phases.first() != Some(&object.phase)) {
                return Err(malformed(format!("the hook {key} does not begin with its phase")));
            }
            let mut ignore: BTreeSet<Ignore> = object.ignore.into_iter().map(Ignore::Pointer).collect();
            ignore.extend(object.ignore_managers.into_iter().map(Ignore::Manager));
            for path in object.ignore_paths {
                ignore.insert(Ignore::Path(JqPath::parse(&path).map_err(|error| malformed(format!("{key}: {path}: {error}")))?));
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
                    ignore_health: object.ignore_health,
                    conflicts: object.conflicts,
                    ignore,
                },
            };
            if entries.insert(key.clone(), Arc::new(entry)).is_some() {
                return Err(malformed(format!("{key} stands in it twice")));
            }
        }
        let app = file.app.parse().map_err(|error| malformed(format!("{error}")))?;
        let health: Result<Vec<HealthRule>, ParseError> = file.health.into_iter().map(HealthRule::try_from).collect();
        let health = health.map_err(|error| malformed(format!("a health expression: {error}")))?;
        Ok(Self { app, requires: file.requires, apply: file.apply, health, entries })
    }
}
