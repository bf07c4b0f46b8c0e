//! What an agent reports: its apps and its cluster's facts, each with a digest, and one digest over all. Two sides compare the one first and the
//! many only where it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared_model::{AppName, AppState, AppTest, Digest, Drift, FieldChange, ObjectKey, Reason};

use crate::canon::Canon;
use crate::nodes::Nodes;

/// The most apps in one report: five times the 1,000 apps that a cluster is built for. Their digests take 5,000 × (63 + 32) bytes < 0.5 MiB.
pub const APP_LIMIT: usize = 5_000;
/// The longest text of a reason in bytes: some sentences. Longer ones are cut.
pub const TEXT_LIMIT: usize = 1_024;
/// The longest path or value of a changed field in bytes. Longer ones are cut.
pub const VALUE_LIMIT: usize = 512;
/// The longest group, kind, namespace or name in bytes: Kubernetes allows 253 characters.
pub const OBJECT_NAME_LIMIT: usize = 253;
/// The most objects that await an approval, or were withdrawn, in one app's report. More follow when these are settled.
pub const WAITING_LIMIT: usize = 500;
/// The most API versions in a cluster's facts: a cluster with 300 operators has about 600.
pub const API_VERSION_LIMIT: usize = 2_000;
/// The most labels in a cluster's facts.
pub const FACT_LIMIT: usize = 128;
/// Apps are reported together until their states have this many bytes. One app has at most 20 drifts × 32 fields × about 1.6 KB + 50 × 2 KB +
/// 1,000 × 1 KB + 100 tests × 2 KB ≈ 2.4 MB, so that a chunk with one app too many still fits a message of 4 MiB.
pub const STATUS_CHUNK: usize = 512 * 1024;

/// Facts about a cluster that its agent claims. They may narrow where apps go, never widen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterFacts {
    /// The API server's version, as it says: `v1.34.1`.
    pub kubernetes: String,
    /// Every group and version that is served: `apps/v1`, `v1`.
    pub api_versions: BTreeSet<String>,
    /// What the agent says of itself, by name: what does not work, and why.
    pub labels: BTreeMap<String, String>,
    /// Its nodes and devices.
    pub nodes: Nodes,
}

impl ClusterFacts {
    fn encode(&self) -> Vec<u8> {
        let mut canon = Canon::default();
        canon.text(&self.kubernetes);
        canon.count(self.api_versions.len());
        self.api_versions.iter().for_each(|version| canon.text(version));
        canon.count(self.labels.len());
        for (name, value) in &self.labels {
            canon.text(name);
            canon.text(value);
        }
        self.nodes.encode(&mut canon);
        canon.0
    }

    fn cut(mut self) -> Self {
        cut(&mut self.kubernetes, OBJECT_NAME_LIMIT);
        self.api_versions =
            self.api_versions.into_iter().filter(|version| version.len() <= OBJECT_NAME_LIMIT).take(API_VERSION_LIMIT).collect();
        let fits = |(name, value): &(String, String)| name.len() <= OBJECT_NAME_LIMIT && value.len() <= OBJECT_NAME_LIMIT;
        self.labels = self.labels.into_iter().filter(fits).take(FACT_LIMIT).collect();
        self.nodes = self.nodes.cut();
        self
    }
}

/// One app's state with the digest that its agent gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppReport {
    /// The state, shared.
    pub state: Arc<AppState>,
    /// The agent's digest of the state. A hub compares it and does not compute it.
    pub digest: Digest,
    /// About how many bytes the state takes in a message.
    pub weight: usize,
}

/// A whole status: facts and apps. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    facts: Arc<ClusterFacts>,
    apps: BTreeMap<AppName, AppReport>,
    index: StatusIndex,
}

/// The digests of a status: enough to find what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusIndex {
    /// The digest of the facts; `None` if they were never reported.
    pub facts: Option<Digest>,
    /// The digest of each app.
    pub apps: BTreeMap<AppName, Digest>,
}

impl StatusIndex {
    /// Nothing is known.
    pub fn empty() -> Self {
        Self { facts: None, apps: BTreeMap::new() }
    }

    /// The one digest over all.
    pub fn root(&self) -> Digest {
        let mut canon = Canon(b"capstan status root v1\0".to_vec());
        canon.count(usize::from(self.facts.is_some()));
        if let Some(facts) = &self.facts {
            canon.digest(facts);
        }
        for (name, digest) in &self.apps {
            canon.text(name.as_str());
            canon.digest(digest);
        }
        Digest::of(&canon.0)
    }
}

impl Status {
    /// A status of `facts` and `apps`, cut to the limits of this module so that it always travels.
    pub fn new(facts: ClusterFacts, apps: impl IntoIterator<Item = (AppName, AppState)>) -> Self {
        let facts = facts.cut();
        let facts_digest = Digest::of(&facts.encode());
        let apps: BTreeMap<AppName, AppReport> = apps.into_iter().take(APP_LIMIT).map(|(name, state)| (name, report(state))).collect();
        let index =
            StatusIndex { facts: Some(facts_digest), apps: apps.iter().map(|(name, report)| (name.clone(), report.digest)).collect() };
        Self { facts: Arc::new(facts), apps, index }
    }

    /// The same status with other facts. Work is proportional to these, not to the apps.
    pub fn with_facts(mut self, facts: ClusterFacts) -> Self {
        let facts = facts.cut();
        self.index.facts = Some(Digest::of(&facts.encode()));
        self.facts = Arc::new(facts);
        self
    }

    /// The same status with one app reported anew, or withdrawn with `None`. Work is proportional to that app.
    pub fn with(mut self, name: AppName, state: Option<AppState>) -> Self {
        match state {
            Some(state) if self.apps.contains_key(&name) || self.apps.len() < APP_LIMIT => {
                let report = report(state);
                self.index.apps.insert(name.clone(), report.digest);
                self.apps.insert(name, report);
            }
            Some(_) => {}
            None => {
                self.index.apps.remove(&name);
                self.apps.remove(&name);
            }
        }
        self
    }

    /// The cluster's facts.
    pub fn facts(&self) -> &Arc<ClusterFacts> {
        &self.facts
    }

    /// The apps by name.
    pub fn apps(&self) -> &BTreeMap<AppName, AppReport> {
        &self.apps
    }

    /// The digests.
    pub fn index(&self) -> &StatusIndex {
        &self.index
    }
}

fn report(state: AppState) -> AppReport {
    let state = cut_app(state);
    let mut canon = Canon::default();
    canon.app(&state);
    AppReport { digest: Digest::of(&canon.0), weight: canon.0.len(), state: Arc::new(state) }
}

fn cut_app(mut state: AppState) -> AppState {
    state.reason = state.reason.map(cut_reason);
    state.unhealthy.retain(|object| names_fit(&object.object));
    state.unhealthy.truncate(AppState::OBJECT_LIMIT);
    for object in &mut state.unhealthy {
        object.reason = object.reason.take().map(cut_reason);
    }
    state.drift.retain(|drift| names_fit(&drift.object));
    state.drift.truncate(AppState::DRIFT_LIMIT);
    for drift in &mut state.drift {
        drift.fields.truncate(Drift::FIELD_LIMIT);
        drift.fields.iter_mut().for_each(cut_field);
    }
    state.taken_over.retain(|taken| names_fit(&taken.object));
    state.taken_over.truncate(AppState::TAKEN_OVER_LIMIT);
    for taken in &mut state.taken_over {
        cut(&mut taken.manager, VALUE_LIMIT);
        taken.fields.truncate(Drift::FIELD_LIMIT);
        taken.fields.iter_mut().for_each(|field| cut(field, VALUE_LIMIT));
    }
    for keys in [&mut state.awaiting_approval, &mut state.withdrawn] {
        keys.retain(names_fit);
        keys.truncate(WAITING_LIMIT);
    }
    if let Some(test) = &mut state.test {
        test.reason = test.reason.take().map(cut_reason);
        test.results.retain(|result| names_fit(&result.object));
        test.results.truncate(AppTest::RESULT_LIMIT);
        test.results.iter_mut().filter_map(|result| result.message.as_mut()).for_each(|message| cut(message, TEXT_LIMIT));
    }
    state
}

/// The API server admits no longer names, so that nothing real is left out.
fn names_fit(key: &ObjectKey) -> bool {
    [&key.kind.group, &key.kind.kind, key.namespace.as_ref().unwrap_or(&key.name), &key.name]
        .iter()
        .all(|text| text.len() <= OBJECT_NAME_LIMIT)
}

fn cut_reason(mut reason: Reason) -> Reason {
    cut(&mut reason.code, OBJECT_NAME_LIMIT);
    cut(&mut reason.message, TEXT_LIMIT);
    reason
}

/// Cuts one changed field to what travels.
pub(crate) fn cut_field(field: &mut FieldChange) {
    cut(&mut field.path, VALUE_LIMIT);
    for text in [&mut field.wanted, &mut field.found, &mut field.manager].into_iter().flatten() {
        cut(text, VALUE_LIMIT);
    }
}

/// Cuts a text to `limit` bytes and marks that.
pub(crate) fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        // The mark takes three bytes.
        text.truncate(text.floor_char_boundary(limit - '…'.len_utf8()));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::{GroupKind, Health, ObjectState, Severity};

    pub(crate) fn app(objects: u32) -> AppState {
        AppState {
            wanted: None,
            applied: None,
            health: Health::Healthy,
            reason: None,
            objects,
            unhealthy: vec![],
            drift: vec![],
            awaiting_approval: vec![],
            withdrawn: vec![],
            removed: false,
            taken_over: vec![],
            test: None,
        }
    }

    #[test]
    fn equal_states_have_equal_digests_and_any_change_shows_in_the_root() {
        let status = |objects| Status::new(ClusterFacts::default(), [("a".parse().unwrap(), app(objects)), ("b".parse().unwrap(), app(9))]);
        assert_eq!(status(1).index().root(), status(1).index().root());
        assert_ne!(status(1).index().root(), status(2).index().root());
        assert_eq!(status(1).with("a".parse().unwrap(), Some(app(2))), status(2));
        assert_ne!(status(1).with("a".parse().unwrap(), None).index().root(), status(1).index().root());
        assert_ne!(StatusIndex::empty().root(), Status::new(ClusterFacts::default(), []).index().root());
    }

    #[test]
    fn an_oversized_report_is_cut_until_it_travels() {
        let object = |name: String| ObjectKey::new(GroupKind::new("", "ConfigMap"), None, name);
        let mut state = app(1);
        state.reason = Some(Reason::new(Severity::Error, "Bad", "ä".repeat(TEXT_LIMIT)));
        state.unhealthy = (0..100)
            .map(|n| ObjectState { object: object(n.to_string()), health: Health::Degraded, reason: None })
            .chain([ObjectState { object: object("x".repeat(300)), health: Health::Degraded, reason: None }])
            .collect();
        state.withdrawn = (0..2_000).map(|n| object(n.to_string())).collect();
        let report = report(state);
        let message = &report.state.reason.as_ref().unwrap().message;
        assert!(message.len() <= TEXT_LIMIT && message.ends_with('…'));
        assert_eq!((report.state.unhealthy.len(), report.state.withdrawn.len()), (AppState::OBJECT_LIMIT, WAITING_LIMIT));
    }
}
