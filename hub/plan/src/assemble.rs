//! From rendered objects to a release: everything that an object's annotations and its app say about order, deletion, drift and recreation
//! is resolved here, so that agents find nothing to interpret. What does not resolve blocks the app, by object and annotation.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hub_fleet::{App, Apply as AppApply, Conflicts as AppConflicts, Heal as AppHeal, HealthCheckExpr, IgnoreDifference, OnDelete};
use serde_json::json;
use shared_manifest::{Object, canonical_json, scope_of};
use shared_model::{AppName, Digest, GroupKind, ObjectKey, Reason, Scope, Severity};
use shared_release::{
    AppKey, Apply, Conflicts, Entry, Existing, Format, Heal, HealthRule, Hook, Ignore, ObjectError, Phase, Policy, Prune, Release,
    encode_object,
};

use crate::annotation::{self, HookWish, Treatment};

/// The namespace of agents. Nothing in it may come from a fleet repository, so that no change can delete or alter the agent that applies it.
pub const AGENT_NAMESPACE: &str = "capstan-system";

/// The beginning of the names of an agent's cluster roles and their bindings, which are as untouchable as its namespace.
const AGENT_ROLE_PREFIX: &str = "capstan-agent";

/// A release with all that must be stored for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// The release.
    pub release: Release,
    /// Its digest.
    pub digest: Digest,
    /// Its stored form.
    pub bytes: Vec<u8>,
    /// The objects' blobs by digest; Secrets are sealed.
    pub blobs: BTreeMap<Digest, Vec<u8>>,
    /// Objects that are not part of it, on purpose.
    pub left_out: Vec<LeftOut>,
}

/// An object that is not part of a release although it was rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The object.
    pub object: ObjectKey,
    /// Why.
    pub cause: LeftOutCause,
}

/// Why an object is left out, or does not run where it asks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOutCause {
    /// A hook for rollbacks, which are ordinary deployments here (Argo CD passes over it as well).
    NeverRuns {
        /// The hook, as the annotation writes it.
        hook: String,
    },
    /// A hook that runs in a deployment, and asks to run where none does, too.
    RunsInPart {
        /// The hooks that do not run, as the annotation writes them.
        hook: String,
    },
}

impl From<&LeftOut> for Reason {
    fn from(LeftOut { object, cause }: &LeftOut) -> Self {
        let (code, message) = match cause {
            LeftOutCause::NeverRuns { hook } => {
                ("HookLeftOut", format!("{object} is a hook for {hook}, which is never run; it is left out"))
            }
            LeftOutCause::RunsInPart { hook } => ("HookRunsInPart", format!("{object} is also a hook for {hook}, which is never run")),
        };
        Self::new(Severity::Warning, code, message)
    }
}

/// Why an app's objects make no release. No message holds content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// An annotation that is not understood or not carried out.
    #[error("{object}: the annotation {annotation} says \"{value}\", which Capstan does not carry out: {remedy}")]
    Annotation {
        /// The object.
        object: ObjectKey,
        /// The annotation.
        annotation: &'static str,
        /// Its value, or the option in it.
        value: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The object is the agent's own.
    #[error("{object} belongs to Capstan's agent, which no app may change; take it out")]
    AgentsOwn {
        /// The object.
        object: ObjectKey,
    },
    /// A namespaced object without a namespace.
    #[error("{object} has no namespace; set one in the manifest, or for all of them as spec.namespace of app {app}")]
    NoNamespace {
        /// The object.
        object: ObjectKey,
        /// The app.
        app: AppName,
    },
    /// A name that the server would choose.
    #[error("{object} has a generateName and no name; give it a name, so that it can be found again")]
    NoName {
        /// The object.
        object: ObjectKey,
    },
    /// The same object twice.
    #[error("{object} is there twice; take one of the two out")]
    Twice {
        /// The object.
        object: ObjectKey,
    },
    /// `createNamespace` without a namespace.
    #[error("app {app} says createNamespace: true and has no namespace; set spec.namespace")]
    NothingToCreate {
        /// The app.
        app: AppName,
    },
    /// `onDelete: cascade` with `prune: false`.
    #[error(
        "app {app} says onDelete: cascade and prune: false, and where nothing is pruned nothing is deleted; set prune: true, or onDelete: orphan"
    )]
    CascadeWithoutPrune {
        /// The app.
        app: AppName,
    },
    /// An object that no API server takes.
    #[error("{message}")]
    TooLarge {
        /// The object.
        object: ObjectKey,
        /// How large, and what to do.
        message: String,
    },
    /// More objects than a release holds.
    #[error("app {app} has {objects} objects, and one app holds {}; split it", Release::ENTRY_LIMIT)]
    TooManyObjects {
        /// The app.
        app: AppName,
        /// How many.
        objects: usize,
    },
    /// More bytes than a release may have.
    #[error("the list of the objects of app {app} takes {bytes} bytes, and {} is the most; split the app", Format::RELEASE.limit)]
    ReleaseTooLarge {
        /// The app.
        app: AppName,
        /// How many.
        bytes: usize,
    },
    /// The key is another app's.
    #[error("BUG: the objects of app {app} were to be sealed with the key of app {key}")]
    OtherAppsKey {
        /// The app.
        app: AppName,
        /// The key's app.
        key: AppName,
    },
}

impl AssembleError {
    /// The stable word for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Annotation { .. } => "NotHonoured",
            Self::AgentsOwn { .. } => "AgentsOwn",
            Self::NoNamespace { .. } => "NoNamespace",
            Self::NoName { .. } => "NoName",
            Self::Twice { .. } => "DuplicateObject",
            Self::NothingToCreate { .. } | Self::CascadeWithoutPrune { .. } => "FieldConflict",
            Self::TooLarge { .. } => "ObjectTooLarge",
            Self::TooManyObjects { .. } | Self::ReleaseTooLarge { .. } => "AppTooLarge",
            Self::OtherAppsKey { .. } => "Bug",
        }
    }

    /// The object that it is about, if it is about one.
    pub const fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::Annotation { object, .. }
            | Self::AgentsOwn { object }
            | Self::NoNamespace { object, .. }
            | Self::NoName { object }
            | Self::Twice { object }
            | Self::TooLarge { object, .. } => Some(object),
            Self::NothingToCreate { .. }
            | Self::CascadeWithoutPrune { .. }
            | Self::TooManyObjects { .. }
            | Self::ReleaseTooLarge { .. }
            | Self::OtherAppsKey { .. } => None,
        }
    }
}

impl From<&AssembleError> for Reason {
    fn from(error: &AssembleError) -> Self {
        Self::new(Severity::Error, error.code(), error.to_string())
    }
}

/// Makes the release of `app` from `objects`, which were rendered for clusters where its namespace is `namespace`; Secrets are sealed with
/// `key`. The same inputs give the same bytes.
///
/// # Errors
/// Everything that is wrong with any object. Such an app is blocked as a whole: half of a release would withdraw the other half.
pub fn assemble(app: &App, namespace: Option<&str>, objects: &[Object], key: &AppKey) -> Result<Assembled, Vec<AssembleError>> {
    let mut assembly = Assembly { app, key, entries: BTreeMap::new(), blobs: BTreeMap::new(), left_out: Vec::new(), errors: Vec::new() };
    if *key.app() != app.name {
        assembly.errors.push(AssembleError::OtherAppsKey { app: app.name.clone(), key: key.app().clone() });
        return Err(assembly.errors);
    }
    if app.on_delete == OnDelete::Cascade && !app.prune {
        assembly.errors.push(AssembleError::CascadeWithoutPrune { app: app.name.clone() });
    }
    for object in objects {
        assembly.add(object);
    }
    if app.create_namespace {
        assembly.create_namespace(namespace);
    }
    assembly.finish(objects)
}

struct Assembly<'a> {
    app: &'a App,
    key: &'a AppKey,
    entries: BTreeMap<ObjectKey, Entry>,
    blobs: BTreeMap<Digest, Vec<u8>>,
    left_out: Vec<LeftOut>,
    errors: Vec<AssembleError>,
}

impl Assembly<'_> {
    fn add(&mut self, rendered: &Object) {
        let scope = scope_of(&rendered.group_kind());
        let (treatment, odd) = annotation::read(rendered);
        let mut object = Cow::Borrowed(rendered);
        // The API server passes over the namespace of an object that lives in none; keys and digests must not depend on it.
        if scope == Some(Scope::Cluster) && rendered.namespace().is_some() {
            object.to_mut().set_namespace(None);
        }
        if let (Some(HookWish::Run(_)), Some(name)) = (&treatment.hook, generated_name(rendered)) {
            object.to_mut().value_mut()["metadata"]["name"] = json!(name);
        }
        let object = &*object;
        let key = object.key();
        let unmet = treatment.unmet.join(", ");
        if treatment.hook == Some(HookWish::Ignored) && odd.is_empty() {
            self.left_out.push(LeftOut { object: key, cause: LeftOutCause::NeverRuns { hook: unmet } });
            return;
        }
        if !unmet.is_empty() {
            self.left_out.push(LeftOut { object: key.clone(), cause: LeftOutCause::RunsInPart { hook: unmet } });
        }
        self.errors.extend(odd.into_iter().map(|odd| AssembleError::Annotation {
            object: key.clone(),
            annotation: odd.annotation,
            value: odd.value,
            remedy: odd.remedy,
        }));
        if is_agents_own(&key) {
            self.errors.push(AssembleError::AgentsOwn { object: key.clone() });
        }
        if scope == Some(Scope::Namespaced) && key.namespace.is_none() {
            self.errors.push(AssembleError::NoNamespace { object: key.clone(), app: self.app.name.clone() });
        }
        if object.value()["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            self.errors.push(AssembleError::NoName { object: key.clone() });
        }
        if self.entries.contains_key(&key) {
            self.errors.push(AssembleError::Twice { object: key });
            return;
        }
        let policy = self.policy(&key, &treatment);
        let hook = match treatment.hook {
            Some(HookWish::Run(hook)) => Some(hook),
            Some(HookWish::Ignored) | None => None,
        };
        self.insert(object, treatment.wave, hook, policy);
    }

    /// What the app says for all of its objects, and the object for itself; the more careful of the two holds.
    fn policy(&self, key: &ObjectKey, treatment: &Treatment) -> Policy {
        let heal = match self.app.heal {
            AppHeal::Correct => Heal::Correct,
            AppHeal::Report => Heal::Report,
            AppHeal::None => Heal::None,
        };
        let ignored = self.app.ignore_differences.iter().filter(|ignore| ignore.is_about(key));
        Policy {
            prune: if self.app.prune { treatment.prune } else { Prune::Never },
            // What runs to an end does not drift.
            heal: if treatment.hook.is_some() { Heal::None } else { heal.max(treatment.heal) },
            existing: treatment.existing,
            recreate: treatment.recreate,
            ignore_health: treatment.ignore_health,
            conflicts: treatment.conflicts.unwrap_or(match self.app.conflicts {
                AppConflicts::Force => Conflicts::Force,
                AppConflicts::Report => Conflicts::Report,
            }),
            ignore: ignored.flat_map(ignores).collect(),
        }
    }

    fn insert(&mut self, object: &Object, wave: i32, hook: Option<Hook>, policy: Policy) {
        let key = object.key();
        let (digest, blob) = match encode_object(object, self.key) {
            Ok(encoded) => encoded,
            Err(error) => {
                debug_assert!(matches!(error, ObjectError::TooLarge { .. }), "encoding fails for size alone");
                self.errors.push(AssembleError::TooLarge { object: key, message: error.to_string() });
                return;
            }
        };
        self.blobs.insert(digest, blob);
        let sealed = object.is_secret().then(|| self.key.id().clone());
        let version = object.api_version().rsplit('/').next().unwrap_or_default().to_owned();
        let phase = hook.as_ref().and_then(|hook| hook.phases.first().copied()).unwrap_or_default();
        let entry = Entry { object: Arc::new(key.clone()), version, digest, sealed, phase, wave, hook, policy };
        self.entries.insert(key, entry);
    }

    /// The app's namespace, unless the app brings it itself: created where it is missing, otherwise left alone, and never deleted.
    fn create_namespace(&mut self, namespace: Option<&str>) {
        let Some(namespace) = namespace else {
            self.errors.push(AssembleError::NothingToCreate { app: self.app.name.clone() });
            return;
        };
        let key = ObjectKey::new(GroupKind::new("", "Namespace"), None, namespace);
        if self.entries.contains_key(&key) {
            return;
        }
        if is_agents_own(&key) {
            self.errors.push(AssembleError::AgentsOwn { object: key });
            return;
        }
        let value = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        let object =
            Object::from_value(value).unwrap_or_else(|error| unreachable!("BUG: a namespace has all that an object needs: {error}"));
        let policy = Policy { prune: Prune::Never, heal: Heal::Correct, existing: Existing::IfNotPresent, ..Policy::default() };
        self.insert(&object, 0, None, policy);
    }

    fn finish(mut self, objects: &[Object]) -> Result<Assembled, Vec<AssembleError>> {
        if self.entries.len() > Release::ENTRY_LIMIT {
            self.errors.push(AssembleError::TooManyObjects { app: self.app.name.clone(), objects: self.entries.len() });
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        put_homes_first(&mut self.entries, objects);
        let apply = match self.app.apply {
            AppApply::Isolated => Apply::Isolated,
            AppApply::Transactional => Apply::Transactional,
        };
        let release = Release::new(self.app.name.clone(), self.entries.into_values())
            .applied(apply)
            .judged(self.app.health_check_exprs.iter().map(health_rule).collect());
        let (digest, bytes) = release.encode();
        if bytes.len() > Format::RELEASE.limit {
            return Err(vec![AssembleError::ReleaseTooLarge { app: release.app, bytes: bytes.len() }]);
        }
        Ok(Assembled { release, digest, bytes, blobs: self.blobs, left_out: self.left_out })
    }
}

/// What the app says about the health of a kind.
fn health_rule(check: &HealthCheckExpr) -> HealthRule {
    HealthRule { group: check.group.clone(), kind: check.kind.clone(), expressions: check.expressions.clone() }
}

/// What a rule of the app leaves to others.
fn ignores(rule: &IgnoreDifference) -> impl Iterator<Item = Ignore> {
    let pointers = rule.json_pointers.iter().cloned().map(Ignore::Pointer);
    let paths = rule.jq_path_expressions.iter().cloned().map(Ignore::Path);
    let managers = rule.managed_fields_managers.iter().cloned().map(Ignore::Manager);
    pointers.chain(paths).chain(managers)
}

/// The name of a hook that leaves it to the server. It is the same for the same content, so that its object is found again: a hook that is
/// deleted before it is created makes room for its next run (Argo CD puts revision, phase and time after the prefix).
fn generated_name(object: &Object) -> Option<String> {
    let metadata = &object.value()["metadata"];
    let prefix = metadata["generateName"].as_str().filter(|_| metadata["name"].as_str().is_none_or(str::is_empty))?;
    let content = Digest::of(&canonical_json(object.value())).hex();
    Some(format!("{prefix}{}", &content[..GENERATED_SUFFIX]))
}

/// Digits after a generated name's prefix, as many as Argo CD takes of a revision.
const GENERATED_SUFFIX: usize = 7;

/// A namespace goes with the first stage that has something in it, and a CustomResourceDefinition with the first that has an object of its
/// kind, if they were to come later (Argo CD's `sync_tasks.go` moves them likewise).
fn put_homes_first(entries: &mut BTreeMap<ObjectKey, Entry>, objects: &[Object]) {
    let mut namespaces: BTreeMap<String, (Phase, i32)> = BTreeMap::new();
    let mut kinds: BTreeMap<GroupKind, (Phase, i32)> = BTreeMap::new();
    for entry in entries.values() {
        let stage = (entry.phase, entry.wave);
        if let Some(namespace) = &entry.object.namespace {
            let first = namespaces.entry(namespace.clone()).or_insert(stage);
            *first = stage.min(*first);
        }
        let first = kinds.entry(entry.object.kind.clone()).or_insert(stage);
        *first = stage.min(*first);
    }
    let crd = GroupKind::new("apiextensions.k8s.io", "CustomResourceDefinition");
    let defined: BTreeMap<&str, GroupKind> = objects
        .iter()
        .filter(|object| object.group_kind() == crd)
        .filter_map(|object| {
            let spec = &object.value()["spec"];
            Some((object.name(), GroupKind::new(spec["group"].as_str()?, spec["names"]["kind"].as_str()?)))
        })
        .collect();
    let namespace = GroupKind::new("", "Namespace");
    let is_home = |entry: &&Entry| entry.hook.is_none() && (entry.object.kind == crd || entry.object.kind == namespace);
    let homes: Vec<Arc<ObjectKey>> = entries.values().filter(is_home).map(|entry| entry.object.clone()).collect();
    for home in homes {
        let first =
            if home.kind == crd { defined.get(home.name.as_str()).and_then(|kind| kinds.get(kind)) } else { namespaces.get(&home.name) };
        if let (Some(first), Some(entry)) = (first, entries.get_mut(&home)) {
            (entry.phase, entry.wave) = (entry.phase, entry.wave).min(*first);
        }
    }
}

/// Whether an object is the agent's: its namespace with everything in it, and its cluster roles.
fn is_agents_own(key: &ObjectKey) -> bool {
    let GroupKind { group, kind } = &key.kind;
    key.namespace.as_deref() == Some(AGENT_NAMESPACE)
        || (group.is_empty() && kind == "Namespace" && key.name == AGENT_NAMESPACE)
        || (group == "rbac.authorization.k8s.io" && key.namespace.is_none() && key.name.starts_with(AGENT_ROLE_PREFIX))
}

#[cfg(test)]
mod tests;
