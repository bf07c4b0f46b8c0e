//! From the text of rendered files to manifests in Helm's order, hooks apart. What a manifest means to a cluster is left to others.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared_manifest::{YamlBudget, YamlMode, parse_yaml_as};

use crate::outside::Outside;
use crate::stored::Stored;
use crate::{metadata, yaml};

/// One document of a rendered file, or one file of `crds/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file it comes from, such as `nginx/templates/deployment.yaml`.
    pub source: String,
    /// Its text, as the template gave it; it ends as the template ends it.
    pub text: String,
    /// What kind of object it is; empty if it does not say.
    pub kind: String,
    /// What makes it a hook, if it is one.
    pub hook: Option<Hook>,
    /// Whether the object stays where the release no longer has it: `helm.sh/resource-policy: keep`.
    pub keep: bool,
}

/// What makes a manifest a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// When it runs.
    pub events: Vec<HookEvent>,
    /// Lighter hooks run earlier.
    pub weight: i64,
    /// When its object is deleted; as written, in lower case.
    pub delete_policies: Vec<String>,
    /// When the log of its pod is shown; as written, in lower case.
    pub output_log_policies: Vec<String>,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are Helm's")]
pub enum HookEvent {
    PreInstall,
    PostInstall,
    PreDelete,
    PostDelete,
    PreUpgrade,
    PostUpgrade,
    PreRollback,
    PostRollback,
    Test,
}

impl HookEvent {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "pre-install" => Self::PreInstall,
            "post-install" => Self::PostInstall,
            "pre-delete" => Self::PreDelete,
            "post-delete" => Self::PostDelete,
            "pre-upgrade" => Self::PreUpgrade,
            "post-upgrade" => Self::PostUpgrade,
            "pre-rollback" => Self::PreRollback,
            "post-rollback" => Self::PostRollback,
            // The second name is that of Helm 2.
            "test" | "test-success" => Self::Test,
            _ => return None,
        })
    }
}

impl Hook {
    /// Whether it runs only when somebody asks for a test.
    pub fn is_test(&self) -> bool {
        self.events.contains(&HookEvent::Test)
    }
}

/// A document that is no YAML, or no manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotAManifest {
    pub(crate) source: String,
    pub(crate) message: String,
}

/// The manifests of rendered `files`, which are sorted by name: objects in the order of their kinds, then hooks in that order.
pub(crate) fn sorted(
    files: impl IntoIterator<Item = (String, String)>,
    heads: &Heads,
    warnings: &mut Vec<String>,
) -> Result<Vec<Manifest>, NotAManifest> {
    heads.begin();
    let (mut objects, mut hooks) = (Vec::new(), Vec::new());
    let mut add = |source: &str, text: Cow<'_, str>| {
        let head = heads.of(&text).map_err(|message| NotAManifest { source: source.to_owned(), message })?;
        let hook = match head.hook() {
            Ok(hook) => hook,
            Err(unknown) => {
                warnings
                    .push(format!("{source}: a manifest is left out, as Helm does, because it is a hook of an unknown kind: {unknown}"));
                return Ok(());
            }
        };
        let keep = head.annotation("helm.sh/resource-policy").is_some_and(|policy| policy.trim().eq_ignore_ascii_case("keep"));
        let list = if hook.is_some() { &mut hooks } else { &mut objects };
        list.push(Manifest { source: source.to_owned(), text: text.into_owned(), kind: head.kind.clone(), hook, keep });
        Ok(())
    };
    for (source, mut content) in files {
        match before_only_document(&content) {
            Some(before) => {
                content.drain(..before);
                add(&source, Cow::Owned(content))?;
            }
            None => documents(&content).try_for_each(|text| add(&source, Cow::Borrowed(text)))?,
        }
    }
    let order = |manifest: &Manifest| {
        let known = INSTALL_ORDER.iter().position(|kind| *kind == manifest.kind);
        // Kinds that are not in the list come after it, by name.
        known.map_or_else(|| (INSTALL_ORDER.len(), manifest.kind.clone()), |place| (place, String::new()))
    };
    objects.sort_by_cached_key(order);
    hooks.sort_by_cached_key(order);
    objects.append(&mut hooks);
    Ok(objects)
}

/// How many bytes stand before the document of a file that has one only and ends with it. The text of a large one need not be there twice.
fn before_only_document(content: &str) -> Option<usize> {
    let mut found = documents(content);
    let only = found.next().filter(|only| content.ends_with(only))?;
    found.next().is_none().then(|| content.len() - only.len())
}

/// The documents of a file as Helm splits it: at every line that begins with `---`, whatever follows; without blank ones.
pub(crate) fn documents(content: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(content.trim_start());
    std::iter::from_fn(move || {
        let text = rest?;
        // A text that begins with a separator has nothing before it.
        let end = if text.starts_with("---") { Some(0) } else { memchr::memmem::find(text.as_bytes(), b"\n---").map(|at| at + 1) };
        match end {
            None => {
                rest = None;
                Some(text)
            }
            Some(at) => {
                rest = Some(text[at + 3..].trim_start_matches([' ', '\t']));
                Some(&text[..at])
            }
        }
    })
    .filter(|document| !document.trim().is_empty())
    .map(str::trim_start)
}

/// How many bytes of documents are remembered of one chart: twice as many as the largest public chart renders.
const REMEMBERED_LIMIT: usize = 8 << 20;

/// The heads of documents that were rendered before. Most documents are the same in the next render, and to see that is much quicker than to
/// read them again. A chart that is rendered once is not worth remembering, so that this begins with the second render.
#[derive(Debug, Default)]
pub(crate) struct Heads(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// By the length of the text and then by the text: many begin alike.
    heads: BTreeMap<usize, BTreeMap<Box<str>, Arc<Head>>>,
    bytes: usize,
    /// Renders that began so far.
    renders: u32,
}

impl Heads {
    /// Begins a render.
    fn begin(&self) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.renders = remembered.renders.saturating_add(1);
    }

    fn of(&self, text: &str) -> Result<Arc<Head>, String> {
        let known = |remembered: &Remembered| remembered.heads.get(&text.len())?.get(text).cloned();
        if let Some(head) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(head);
        }
        let head = Arc::new(Head::read(text)?);
        // What is secret is not kept longer than needed.
        if head.kind != "Secret" && text.len() < REMEMBERED_LIMIT / 4 {
            let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if remembered.renders < 2 {
                return Ok(head);
            }
            if remembered.bytes + text.len() > REMEMBERED_LIMIT {
                *remembered = Remembered { renders: remembered.renders, ..Remembered::default() };
            }
            remembered.bytes += text.len();
            remembered.heads.entry(text.len()).or_default().insert(text.into(), head.clone());
        }
        Ok(head)
    }
}

/// What Helm wants to know of a manifest.
#[derive(Debug, Default, PartialEq)]
struct Head {
    kind: String,
    /// Those of Helm at least.
    annotations: Vec<(String, String)>,
}

impl Head {
    fn read(text: &str) -> Result<Self, String> {
        match parse_yaml_as::<Outside>(text, YamlMode::Kubernetes, YamlBudget::BUNDLE) {
            Ok(documents) => match documents.first() {
                None => Ok(Self::default()),
                // Anything unusual is left to the reading below.
                Some(document) => Self::of_outside(document).map_or_else(|| Self::read_as_go(text), Ok),
            },
            Err(_) => Self::read_as_go(text),
        }
    }

    /// The head of an ordinary manifest.
    fn of_outside(document: &Outside) -> Option<Self> {
        let document = document.as_map()?;
        let kind = document.get("kind").map_or(Some(""), Outside::as_text)?.to_owned();
        let is_usual = |value: Option<&Outside>| value.is_none_or(Outside::is_text);
        if !is_usual(document.get("apiVersion")) {
            return None;
        }
        let mut annotations = Vec::new();
        if let Some(metadata) = document.get("metadata").filter(|metadata| !metadata.is_nothing()) {
            let metadata = metadata.as_map()?;
            if !is_usual(metadata.get("name")) {
                return None;
            }
            if let Some(map) = metadata.get("annotations").filter(|annotations| !annotations.is_nothing()) {
                let map = map.as_map()?;
                if !map.has_texts_only() {
                    return None;
                }
                for (key, value) in map.of_helm() {
                    annotations.push((key.to_owned(), value.as_text()?.to_owned()));
                }
            }
        }
        Some(Self { kind, annotations })
    }

    /// The head as Go reads it into a structure, with its errors.
    fn read_as_go(text: &str) -> Result<Self, String> {
        let document = yaml::read(text)?;
        let mistyped = |value: &Stored, place: &str, wanted: &str| {
            let kind = value.json_kind();
            format!("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go {place} of type {wanted}")
        };
        let map = match &document {
            Stored::Nil => return Ok(Self::default()),
            Stored::Map(map) => map,
            other => return Err(mistyped(other, "value", "util.SimpleHead")),
        };
        // As Go's JSON does, names match in any case.
        let field = |map: &crate::stored::Table, name: &str| {
            let folded = || map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value.clone());
            map.get(name.as_bytes()).cloned().or_else(folded).unwrap_or_default()
        };
        let text = |value: &Stored, place: &str| metadata::as_text(value).ok_or_else(|| mistyped(value, place, "string"));
        text(&field(map, "apiVersion"), "struct field SimpleHead.apiVersion")?;
        let kind = text(&field(map, "kind"), "struct field SimpleHead.kind")?;
        let mut annotations = Vec::new();
        match field(map, "metadata") {
            Stored::Nil => {}
            Stored::Map(metadata) => {
                text(&field(&metadata, "name"), "struct field .metadata.name")?;
                match field(&metadata, "annotations") {
                    Stored::Nil => {}
                    Stored::Map(entries) => {
                        for (key, value) in &entries {
                            annotations.push((key.to_string(), text(value, "struct field .metadata.annotations")?));
                        }
                    }
                    other => return Err(mistyped(&other, "struct field .metadata.annotations", "map[string]string")),
                }
            }
            other => {
                let structure = "struct { Name string \"json:\\\"name\\\"\"; Annotations map[string]string \"json:\\\"annotations\\\"\" }";
                return Err(mistyped(&other, "struct field SimpleHead.metadata", structure));
            }
        }
        Ok(Self { kind, annotations })
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// What makes it a hook; an error where one of the events is none.
    fn hook(&self) -> Result<Option<Hook>, String> {
        let Some(events) = self.annotation("helm.sh/hook") else { return Ok(None) };
        let list = |text: &str| text.split(',').map(|item| item.trim().to_lowercase()).collect::<Vec<_>>();
        let events = list(events).iter().map(|event| HookEvent::parse(event)).collect::<Option<Vec<_>>>().ok_or(events)?;
        let weight = self.annotation("helm.sh/hook-weight").and_then(|weight| weight.parse().ok()).unwrap_or(0);
        let policies = |name| self.annotation(name).map(list).unwrap_or_default();
        Ok(Some(Hook {
            events,
            weight,
            delete_policies: policies("helm.sh/hook-delete-policy"),
            output_log_policies: policies("helm.sh/hook-output-log-policy"),
        }))
    }
}

/// The order in which Helm installs kinds.
const INSTALL_ORDER: [&str; 38] = [
    "PriorityClass",
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
    "MutatingWebhookConfiguration",
    "ValidatingWebhookConfiguration",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn split(content: &str) -> Vec<&str> {
        documents(content).collect()
    }

    #[test]
    fn files_are_split_where_helm_splits_them() {
        assert_eq!(split("a: 1\n---\nb: 2\n"), ["a: 1\n", "b: 2\n"]);
        assert_eq!(split("\n\n---\n# only a comment\n---\n\n---a: 1\n"), ["# only a comment\n", "a: 1\n"]);
        assert_eq!(split("a: |\n  x\n  ---\n"), ["a: |\n  x\n  ---\n"]);
        assert_eq!(split("--- \t a: 1"), ["a: 1"]);
        assert_eq!(split(" \n"), Vec::<&str>::new());
    }

    #[test]
    fn only_a_file_that_ends_with_its_only_document_is_one() {
        for (content, before) in [("a: 1\n", 0), ("\n a: 1\n", 2), ("---\na: 1\n", 4), ("\n---\n---\na: 1", 9)] {
            assert_eq!(before_only_document(content), Some(before), "{content:?}");
            assert_eq!(split(content), [&content[before..]]);
        }
        for content in ["a: 1\n---\n", "a: 1\n---\na: 1\n", "a: 1\n---\nb: 1\n", " ", ""] {
            assert_eq!(before_only_document(content), None, "{content:?}");
        }
    }

    fn manifests(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let files = files.iter().map(|(source, content)| ((*source).to_owned(), (*content).to_owned()));
        let sorted = sorted(files, &Heads::default(), &mut Vec::new()).unwrap();
        sorted.into_iter().map(|manifest| (manifest.kind, manifest.source)).collect()
    }

    #[test]
    fn kinds_are_ordered_and_unknown_ones_come_last_by_name() {
        let files = [("a", "kind: Zebra\n---\nkind: Deployment\n---\nkind: Ant\n---\n# nothing"), ("b", "kind: Namespace\n---\nkind: Ant")];
        let expected = [("Namespace", "b"), ("Deployment", "a"), ("", "a"), ("Ant", "a"), ("Ant", "b"), ("Zebra", "a")];
        assert_eq!(manifests(&files), expected.map(|(kind, source)| (kind.to_owned(), source.to_owned())));
    }

    #[test]
    fn hooks_stand_apart_and_unknown_ones_are_left_out() {
        let hook = |kind: &str, event: &str| {
            format!("kind: {kind}\nmetadata:\n  annotations:\n    helm.sh/hook: {event}\n    helm.sh/hook-weight: \"-5\"\n    x: 1\n")
        };
        let text = [hook("Job", "pre-install, Test"), hook("Pod", "no-such"), "kind: Service\n".to_owned()].join("---\n");
        let mut warnings = Vec::new();
        let found = sorted([("f".to_owned(), text)], &Heads::default(), &mut warnings).unwrap();
        assert_eq!(found.iter().map(|manifest| manifest.kind.as_str()).collect::<Vec<_>>(), ["Service", "Job"]);
        let hook = found[1].hook.as_ref().unwrap();
        assert_eq!((hook.events.as_slice(), hook.weight), ([HookEvent::PreInstall, HookEvent::Test].as_slice(), -5));
        assert!(hook.is_test() && warnings[0].contains("no-such"));
    }

    #[test]
    fn what_is_no_manifest_is_named_as_go_names_it() {
        let refused = |text: &str| sorted([("f".to_owned(), text.to_owned())], &Heads::default(), &mut Vec::new()).unwrap_err().message;
        assert!(refused("just text").contains("cannot unmarshal string into Go value of type util.SimpleHead"));
        assert!(
            refused("metadata: {annotations: {a: {b: c}}}")
                .contains("cannot unmarshal object into Go struct field .metadata.annotations of type string")
        );
    }
}
