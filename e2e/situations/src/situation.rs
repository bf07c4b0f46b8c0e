//! A situation as it is written: one YAML file with a sentence, what is there before, and steps with what must follow from each.
//! Whatever a file says that is not understood is an error: a misspelt expectation would hold for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use shared_expression::HealthExpressions;
use shared_expression::cel::Expression;
use shared_manifest::{YamlBudget, YamlMode, parse_yaml};
use shared_model::{AppName, Health};
use shared_release::{Conflicts, Existing, Heal, HealthRule, Hook, HookDelete, Ignore, Phase, Policy, Prune, Withdrawal};

use crate::act::{Act, Injection};
use crate::expect::{AppExpectation, Expectation, ObjectExpectation, Text};
use crate::hub::{Publication, PublishedApp, PublishedObject};
use crate::kinds::Kinds;

/// What stands for the namespace of the situation in its file.
const NAMESPACE_MARK: &str = "$ns";

/// The app that the runner publishes beside those of the situation.
pub(crate) const BEAT: &str = "beat";

/// Numbers for removals: no two have the same.
static REMOVALS: AtomicU64 = AtomicU64::new(0);

/// How long a hold lasts: longer than any situation.
const HOLD: Duration = Duration::from_secs(3600);

/// One situation.
#[derive(Debug)]
pub struct Situation {
    /// Group and name: `drift/defaulted-fields`.
    pub name: String,
    /// What it shows.
    pub shows: String,
    /// Its namespace, and the prefix of the names of what is in none.
    pub namespace: String,
    /// The kinds that it speaks of.
    pub kinds: Kinds,
    /// What is there before the agent starts.
    pub given: Vec<Value>,
    /// What changes objects on their way in.
    pub injections: Vec<Injection>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One thing that happens, and what must follow.
#[derive(Debug)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// What must follow.
    pub expectation: Expectation,
}

/// What happens.
#[derive(Debug)]
pub enum Action {
    /// Nothing: time goes on.
    Wait,
    /// The hub publishes.
    Publish(Publication),
    /// The hub publishes what it published before with these changes.
    Change(BTreeMap<AppName, Change>),
    /// Somebody else does something.
    Act {
        /// The field manager.
        by: String,
        /// What.
        act: Act,
    },
    /// The agent ends and starts again with the disk that it has.
    RestartAgent,
    /// The agent ends and starts again with an empty disk, as a pod on another node does.
    ReplaceAgent,
}

/// A change to one published app.
#[derive(Debug, Default)]
pub struct Change {
    /// It leaves the cluster.
    pub leaves: bool,
    /// It leaves the cluster, and hooks of its removal run.
    pub removed: bool,
    /// The index does not name it any more.
    pub unnamed: bool,
    /// Merge patches (RFC 7396) to its manifests, by path of the object.
    pub edits: Vec<(String, Value)>,
    /// Objects that go, by path.
    pub dropped: BTreeSet<String>,
    /// Objects that come.
    pub added: Vec<PublishedObject>,
    /// Its withdrawals from now on.
    pub withdrawals: BTreeSet<Withdrawal>,
    /// They are approved.
    pub approved: bool,
    /// From now on nothing of it is changed for this long, and why.
    pub hold: Option<(Duration, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SituationFile {
    shows: String,
    #[serde(default)]
    given: Vec<Value>,
    #[serde(default)]
    inject: Vec<InjectionFile>,
    steps: Vec<StepFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InjectionFile {
    group: String,
    resource: String,
    unless: String,
    patch: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct StepFile {
    publish: Option<BTreeMap<String, AppFile>>,
    change: Option<BTreeMap<String, ChangeFile>>,
    agent: Option<AgentFile>,
    by: Option<String>,
    create: Option<Value>,
    apply: Option<Value>,
    client_side_apply: Option<Value>,
    merge: Option<PatchFile>,
    json: Option<PatchFile>,
    scale: Option<ScaleFile>,
    status: Option<PatchFile>,
    delete: Option<DeleteFile>,
    end_job: Option<EndJobFile>,
    #[serde(default)]
    expect: ExpectFile,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum AgentFile {
    Restarts,
    IsReplaced,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchFile {
    of: String,
    patch: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScaleFile {
    of: String,
    replicas: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteFile {
    of: String,
    propagation: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndJobFile {
    of: String,
    well: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct AppFile {
    objects: Vec<Value>,
    withdraw: Vec<String>,
    hand_over: BTreeMap<String, String>,
    approved: bool,
    depends_on: Vec<String>,
    transactional: bool,
    /// How it judges the health of its objects itself.
    health: Vec<HealthFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HealthFile {
    group: String,
    kind: String,
    current: String,
    in_progress: Option<String>,
    failed: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct ChangeFile {
    /// It leaves the cluster, and what it has is orphaned or withdrawn; hooks of its removal do not run.
    leaves: bool,
    /// It leaves the cluster, and hooks of its removal run.
    removed: bool,
    unnamed: bool,
    edit: BTreeMap<String, Value>,
    drop: Vec<String>,
    add: Vec<Value>,
    withdraw: Vec<String>,
    hand_over: BTreeMap<String, String>,
    approved: bool,
    hold: Option<String>,
}

/// An object with how it is treated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TreatedFile {
    object: Value,
    #[serde(default)]
    wave: i32,
    #[serde(default)]
    hook: BTreeSet<Phase>,
    #[serde(default)]
    delete: BTreeSet<HookDelete>,
    #[serde(default)]
    prune: Prune,
    #[serde(default)]
    heal: Heal,
    #[serde(default)]
    existing: Existing,
    #[serde(default)]
    recreate: bool,
    #[serde(default)]
    conflicts: Conflicts,
    #[serde(default)]
    ignore: BTreeSet<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct ExpectFile {
    objects: BTreeMap<String, ObjectFile>,
    apps: BTreeMap<String, AppExpectFile>,
    writes: BTreeMap<String, usize>,
    looked_at: Vec<String>,
    written_in_order: Vec<String>,
    stays: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ObjectFile {
    Word(PresenceFile),
    Fields(ObjectFieldsFile),
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum PresenceFile {
    There,
    Gone,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct ObjectFieldsFile {
    fields: BTreeMap<String, Value>,
    uid: Option<UidFile>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum UidFile {
    Same,
    New,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct AppExpectFile {
    health: Option<String>,
    applied: Option<bool>,
    reason: Option<String>,
    says: Vec<String>,
    objects: Option<u32>,
    drift: Option<Vec<DriftFile>>,
    no_drift: bool,
    awaiting: Option<Vec<String>>,
    withdrawn: Option<Vec<String>>,
    removed: Option<bool>,
    /// Managers that fields were taken over from, each with the field: `helm data.a`.
    taken_from: Option<BTreeSet<String>>,
    unhealthy: BTreeMap<String, UnhealthyFile>,
    hides: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DriftFile {
    of: String,
    kind: Option<String>,
    field: Option<String>,
    wanted: Option<Value>,
    found: Option<Value>,
    manager: Option<String>,
    healed: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct UnhealthyFile {
    health: Option<String>,
    reason: Option<String>,
    says: Vec<String>,
}

impl Situation {
    /// Reads the file at `path`, which lies in a folder of its group.
    ///
    /// # Errors
    /// It cannot be read or says something that is not understood; the message names the file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let part = |path: Option<&std::ffi::OsStr>| path.and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let name = format!("{}/{}", part(path.parent().and_then(Path::file_name)), part(path.file_stem()));
        let text = std::fs::read_to_string(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        Self::parse(&name, &text).map_err(|error| anyhow::anyhow!("{name}: {error}"))
    }

    fn parse(name: &str, text: &str) -> Result<Self, String> {
        let namespace = name.replace('/', "-");
        let text = text.replace(NAMESPACE_MARK, &namespace);
        let documents = parse_yaml(&text, YamlMode::Kubernetes, YamlBudget::MANIFEST).map_err(|error| error.to_string())?;
        let [document] = documents.as_slice() else { return Err(format!("{} documents are not one", documents.len())) };
        let kinds = Kinds::new(&namespace, &document.value);
        let file: SituationFile = serde_json::from_value(document.value.clone()).map_err(|error| error.to_string())?;
        let given = file.given.into_iter().map(|manifest| kinds.complete(manifest)).collect::<Result<_, _>>()?;
        let mut steps = Vec::new();
        for (number, step) in file.steps.into_iter().enumerate() {
            steps.push(step.read(&kinds).map_err(|error| format!("step {}: {error}", number + 1))?);
        }
        let injection =
            |file: InjectionFile| Injection { group: file.group, resource: file.resource, unless: file.unless, patch: file.patch };
        let injections = file.inject.into_iter().map(injection).collect();
        Ok(Self { name: name.to_owned(), shows: file.shows, namespace, kinds, given, injections, steps })
    }

    /// All files in the folders of groups below `root`, by name.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for group in std::fs::read_dir(root)? {
            for file in std::fs::read_dir(group?.path())? {
                files.push(file?.path());
            }
        }
        files.sort();
        Ok(files)
    }
}

impl StepFile {
    fn read(self, kinds: &Kinds) -> Result<Step, String> {
        let subject = |text: &str| kinds.subject(text);
        let mut acts = Vec::new();
        for (manifest, act) in
            [(self.create, Act::Create as fn(_, _) -> _), (self.apply, Act::Apply), (self.client_side_apply, Act::ClientSideApply)]
        {
            if let Some(manifest) = manifest {
                let manifest = kinds.complete(manifest)?;
                acts.push(act(kinds.subject_of(&manifest)?, manifest));
            }
        }
        for (patch, act) in [(self.merge, Act::Merge as fn(_, _) -> _), (self.json, Act::Json), (self.status, Act::Status)] {
            if let Some(patch) = patch {
                acts.push(act(subject(&patch.of)?, patch.patch));
            }
        }
        if let Some(scale) = self.scale {
            acts.push(Act::Scale(subject(&scale.of)?, scale.replicas));
        }
        if let Some(delete) = self.delete {
            acts.push(Act::Delete(subject(&delete.of)?, delete.propagation));
        }
        if let Some(end) = self.end_job {
            acts.push(Act::EndJob(subject(&end.of)?, end.well));
        }
        let mut actions = Vec::new();
        if let Some(publish) = self.publish {
            let apps = publish.into_iter().map(|(name, app)| Ok((app_name(&name)?, app.read(kinds)?)));
            actions.push(Action::Publish(apps.collect::<Result<_, String>>()?));
        }
        if let Some(change) = self.change {
            let apps = change.into_iter().map(|(name, app)| Ok((app_name(&name)?, app.read(kinds)?)));
            actions.push(Action::Change(apps.collect::<Result<_, String>>()?));
        }
        match self.agent {
            Some(AgentFile::Restarts) => actions.push(Action::RestartAgent),
            Some(AgentFile::IsReplaced) => actions.push(Action::ReplaceAgent),
            None => {}
        }
        let by = self.by.unwrap_or_else(|| "somebody".to_owned());
        actions.extend(acts.into_iter().map(|act| Action::Act { by: by.clone(), act }));
        if actions.len() > 1 {
            return Err("two things happen in it; make it two steps".to_owned());
        }
        let expectation = self.expect.read(kinds)?;
        Ok(Step { action: actions.pop().unwrap_or(Action::Wait), expectation })
    }
}

impl AppFile {
    fn read(self, kinds: &Kinds) -> Result<PublishedApp, String> {
        Ok(PublishedApp {
            objects: Some(self.objects.into_iter().map(|object| published(object, kinds)).collect::<Result<_, _>>()?),
            withdrawals: withdrawals(&self.withdraw, &self.hand_over, kinds)?,
            approved: self.approved,
            depends_on: self.depends_on.iter().map(|name| app_name(name)).collect::<Result<_, _>>()?,
            transactional: self.transactional,
            judged: self.health.into_iter().map(HealthFile::read).collect::<Result<_, _>>()?,
            ..PublishedApp::default()
        })
    }
}

impl HealthFile {
    fn read(self) -> Result<HealthRule, String> {
        let read = |text: String| Expression::parse(&text).map_err(|error| format!("{text}: {error}"));
        let [in_progress, failed] = [self.in_progress, self.failed].map(|text| text.map(read).transpose());
        let expressions = HealthExpressions { current: read(self.current)?, in_progress: in_progress?, failed: failed? };
        Ok(HealthRule { group: self.group, kind: Some(self.kind), expressions })
    }
}

impl ChangeFile {
    fn read(self, kinds: &Kinds) -> Result<Change, String> {
        let path = |text: &String| Ok::<_, String>(kinds.subject(text)?.path);
        let edits = self.edit.iter().map(|(text, patch)| Ok((path(text)?, patch.clone())));
        Ok(Change {
            leaves: self.leaves || self.removed,
            removed: self.removed,
            unnamed: self.unnamed,
            edits: edits.collect::<Result<_, String>>()?,
            dropped: self.drop.iter().map(path).collect::<Result<_, _>>()?,
            added: self.add.into_iter().map(|object| published(object, kinds)).collect::<Result<_, _>>()?,
            withdrawals: withdrawals(&self.withdraw, &self.hand_over, kinds)?,
            approved: self.approved,
            hold: self.hold.map(|reason| (HOLD, reason)),
        })
    }
}

impl Change {
    /// Changes `app`.
    pub(crate) fn apply_to(&self, app: &mut PublishedApp, kinds: &Kinds) -> Result<(), String> {
        app.withdrawals.clone_from(&self.withdrawals);
        app.approved = self.approved;
        app.hold.clone_from(&self.hold);
        if self.leaves {
            if let Some(objects) = app.objects.take().filter(|_| self.removed) {
                app.removes = Some((objects, REMOVALS.fetch_add(1, Ordering::Relaxed) + 1));
            }
            return Ok(());
        }
        let objects = app.objects.get_or_insert_default();
        let path = |object: &PublishedObject| kinds.subject_of(&object.manifest).map(|subject| subject.path);
        for (edited, patch) in &self.edits {
            let found = objects.iter_mut().find(|object| path(object).as_ref() == Ok(edited));
            let object = found.ok_or_else(|| format!("{edited} is edited and was not published"))?;
            merge_patch(&mut object.manifest, patch);
        }
        objects.retain(|object| path(object).map_or(true, |path| !self.dropped.contains(&path)));
        objects.extend(self.added.iter().cloned());
        Ok(())
    }
}

/// RFC 7396.
fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().expect("just made one").remove(name);
        } else {
            merge_patch(&mut target[name.as_str()], value);
        }
    }
}

fn published(value: Value, kinds: &Kinds) -> Result<PublishedObject, String> {
    if value.get("object").is_none() {
        return Ok(PublishedObject::plain(kinds.complete(value)?));
    }
    let file: TreatedFile = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let ignore = file.ignore.iter().map(|text| text.parse::<Ignore>().map_err(|error| format!("{text}: {error}")));
    let hook = (!file.hook.is_empty()).then_some(Hook { phases: file.hook, delete: file.delete });
    let policy = Policy {
        prune: file.prune,
        heal: file.heal,
        existing: file.existing,
        recreate: file.recreate,
        conflicts: file.conflicts,
        ignore: ignore.collect::<Result<_, String>>()?,
        ..Policy::default()
    };
    Ok(PublishedObject { manifest: kinds.complete(file.object)?, wave: file.wave, hook, policy })
}

fn withdrawals(gone: &[String], handed: &BTreeMap<String, String>, kinds: &Kinds) -> Result<BTreeSet<Withdrawal>, String> {
    let gone = gone.iter().map(|text| Ok(Withdrawal { object: kinds.subject(text)?.key, to: None }));
    let handed = handed.iter().map(|(text, to)| Ok(Withdrawal { object: kinds.subject(text)?.key, to: Some(app_name(to)?) }));
    gone.chain(handed).collect()
}

fn app_name(text: &str) -> Result<AppName, String> {
    if text == BEAT {
        return Err(format!("the app {BEAT} is the runner's own"));
    }
    text.parse().map_err(|error| format!("{error}"))
}

fn health(word: &str) -> Result<Health, String> {
    Health::parse(word).ok_or_else(|| format!("{word} is no health"))
}

impl ExpectFile {
    fn read(self, kinds: &Kinds) -> Result<Expectation, String> {
        let mut objects = Vec::new();
        for (text, file) in self.objects {
            let subject = kinds.subject(&text)?;
            objects.push(match file {
                ObjectFile::Word(word) => {
                    ObjectExpectation { subject, there: word == PresenceFile::There, fields: BTreeMap::new(), uid_same: None }
                }
                ObjectFile::Fields(file) => {
                    ObjectExpectation { subject, there: true, fields: file.fields, uid_same: file.uid.map(|uid| uid == UidFile::Same) }
                }
            });
        }
        let mut apps = BTreeMap::new();
        for (name, file) in self.apps {
            apps.insert(app_name(&name)?, file.read(kinds)?);
        }
        let writes = self.writes.into_iter().map(|(text, count)| Ok((kinds.subject(&text)?, count)));
        let looked_at = self.looked_at.iter().map(|text| kinds.subject(text));
        let written = self.written_in_order.iter().map(|text| kinds.subject(text));
        Ok(Expectation {
            objects,
            apps,
            writes: writes.collect::<Result<_, String>>()?,
            looked_at: looked_at.collect::<Result<_, _>>()?,
            written_in_order: written.collect::<Result<_, _>>()?,
            stays: self.stays,
        })
    }
}

impl AppExpectFile {
    fn read(self, kinds: &Kinds) -> Result<AppExpectation, String> {
        let keys = |texts: Option<Vec<String>>| -> Result<Option<BTreeSet<_>>, String> {
            texts.map(|texts| texts.iter().map(|text| Ok(kinds.subject(text)?.key)).collect()).transpose()
        };
        let mut drift = Vec::new();
        for file in self.drift.unwrap_or_default() {
            drift.push(crate::expect::DriftExpectation {
                object: kinds.subject(&file.of)?.key,
                kind: file.kind,
                field: file.field,
                wanted: file.wanted.map(Text::of),
                found: file.found.map(Text::of),
                manager: file.manager,
                healed: file.healed,
            });
        }
        let mut unhealthy = Vec::new();
        for (text, file) in self.unhealthy {
            unhealthy.push(crate::expect::UnhealthyExpectation {
                object: kinds.subject(&text)?.key,
                health: file.health.as_deref().map(health).transpose()?,
                reason: file.reason,
                says: file.says,
            });
        }
        Ok(AppExpectation {
            health: self.health.as_deref().map(health).transpose()?,
            applied: self.applied,
            reason: self.reason,
            says: self.says,
            objects: self.objects,
            drift,
            no_drift: self.no_drift,
            awaiting: keys(self.awaiting)?,
            withdrawn: keys(self.withdrawn)?,
            removed: self.removed,
            taken_from: self.taken_from,
            unhealthy,
            hides: self.hides,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_an_error_that_names_it() {
        let parse = |step: &str| Situation::parse("drift/x", &format!("shows: x\nsteps:\n- {step}\n")).map(|_| ());
        assert_eq!(parse("{publish: {web: {objects: [{kind: ConfigMap, metadata: {name: a}}]}}}"), Ok(()));
        for (step, word) in [
            ("{expects: {}}", "expects"),
            ("{expect: {apps: {web: {helth: Healthy}}}}", "helth"),
            ("{expect: {apps: {web: {health: Fine}}}}", "Fine"),
            ("{expect: {objects: {Thing a: gone}}}", "Thing"),
            ("{by: a, apply: {kind: ConfigMap, metadata: {name: a}}, agent: restarts}", "two things"),
        ] {
            let error = parse(step).expect_err("it is misspelt");
            assert!(error.contains(word), "{step}: {error}");
        }
    }

    #[test]
    fn the_mark_becomes_the_namespace_of_the_situation() {
        let text = "shows: x\ngiven: [{kind: Namespace, metadata: {name: $ns-extra}}]\nsteps: []\n";
        let situation = Situation::parse("drift/some-name", text).expect("it is right");
        assert_eq!(
            (situation.namespace.as_str(), &situation.given[0]["metadata"]["name"]),
            ("drift-some-name", &"drift-some-name-extra".into())
        );
    }
}
