//! What must follow from a step, compared with what is found: one line for each difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;
use shared_model::{AppName, AppState, Drift, Health, ObjectKey};

use crate::kinds::Subject;

/// What must follow from a step.
#[derive(Debug, Default)]
pub struct Expectation {
    /// Of objects.
    pub objects: Vec<ObjectExpectation>,
    /// Of the agent's report.
    pub apps: BTreeMap<AppName, AppExpectation>,
    /// How many requests of the agent wrote to an object since the step began, no more and no fewer.
    pub writes: Vec<(Subject, usize)>,
    /// The agent read the object since the step began: what it did not do afterwards it did not want to do.
    pub looked_at: Vec<Subject>,
    /// The agent wrote to these objects in this order since the step began; its first writes to each count.
    pub written_in_order: Vec<Subject>,
    /// It all still holds after the agent had the time to change its mind.
    pub stays: bool,
}

/// What is expected of an object.
#[derive(Debug)]
pub struct ObjectExpectation {
    /// Which.
    pub subject: Subject,
    /// It is there.
    pub there: bool,
    /// Its values by JSON pointer; null is for nothing.
    pub fields: BTreeMap<String, Value>,
    /// It has the uid that it had before the step, or another.
    pub uid_same: Option<bool>,
}

/// What is expected of the agent's report on an app.
#[derive(Debug)]
pub struct AppExpectation {
    /// Its health.
    pub health: Option<Health>,
    /// The wanted release is applied.
    pub applied: Option<bool>,
    /// The code of its reason, or `none`.
    pub reason: Option<String>,
    /// What its reason says among other things.
    pub says: Vec<String>,
    /// How many objects it owns.
    pub objects: Option<u32>,
    /// Drift that is reported.
    pub drift: Vec<DriftExpectation>,
    /// No drift was ever reported.
    pub no_drift: bool,
    /// What waits for an approval.
    pub awaiting: Option<BTreeSet<ObjectKey>>,
    /// Withdrawals that came true.
    pub withdrawn: Option<BTreeSet<ObjectKey>>,
    /// Its removal is over.
    pub removed: Option<bool>,
    /// Managers and fields that were taken over from them: `helm data.a`.
    pub taken_from: Option<BTreeSet<String>>,
    /// Objects that are not as they should be.
    pub unhealthy: Vec<UnhealthyExpectation>,
    /// Texts that stand nowhere in the report.
    pub hides: Vec<String>,
}

/// A drift that must be reported.
#[derive(Debug)]
pub struct DriftExpectation {
    /// Of which object.
    pub object: ObjectKey,
    /// `Changed`, `Deleted` or `Fight`.
    pub kind: Option<String>,
    /// The path of a field in it.
    pub field: Option<String>,
    /// What is wanted of the field.
    pub wanted: Option<Text>,
    /// What was found in it.
    pub found: Option<Text>,
    /// Who holds it.
    pub manager: Option<String>,
    /// It is over.
    pub healed: Option<bool>,
}

/// A value as a report shows it: compact JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Of a value.
    #[expect(clippy::needless_pass_by_value, reason = "it is mapped over what a file said")]
    pub fn of(value: Value) -> Self {
        Self(value.to_string())
    }
}

/// An object that must be listed.
#[derive(Debug)]
pub struct UnhealthyExpectation {
    /// Which.
    pub object: ObjectKey,
    /// Its health.
    pub health: Option<Health>,
    /// The code of its reason.
    pub reason: Option<String>,
    /// What its reason says among other things.
    pub says: Vec<String>,
}

/// One thing that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What it is about.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n      expected {}\n      found    {}", self.what, self.expected, self.found)
    }
}

/// The differences so far.
#[derive(Debug, Default)]
pub(crate) struct Mismatches(pub(crate) Vec<Mismatch>);

impl Mismatches {
    pub(crate) fn check(&mut self, good: bool, what: impl Into<String>, expected: impl fmt::Display, found: impl fmt::Display) {
        if !good {
            self.0.push(Mismatch { what: what.into(), expected: expected.to_string(), found: found.to_string() });
        }
    }
}

impl ObjectExpectation {
    /// Compares with the object as it is `live`. `before` is its uid before the step.
    pub(crate) fn compare(&self, live: Option<&Value>, before: Option<&str>, mismatches: &mut Mismatches) {
        let key = &self.subject.key;
        let presence = |there: bool| if there { "there" } else { "gone" };
        mismatches.check(live.is_some() == self.there, key.to_string(), presence(self.there), presence(live.is_some()));
        let Some(live) = live else { return };
        for (pointer, wanted) in &self.fields {
            let found = live.pointer(pointer).unwrap_or(&Value::Null);
            mismatches.check(found == wanted, format!("{pointer} of {key}"), wanted, found);
        }
        let uid = live.pointer("/metadata/uid").and_then(Value::as_str);
        if let Some(same) = self.uid_same {
            mismatches.check(
                (uid == before) == same,
                format!("uid of {key}"),
                if same { "the same" } else { "another" },
                format!("{uid:?}, before {before:?}"),
            );
        }
    }
}

impl AppExpectation {
    /// Compares with the agent's report.
    pub(crate) fn compare(&self, name: &AppName, state: Option<&AppState>, mismatches: &mut Mismatches) {
        let Some(state) = state else {
            mismatches.check(false, format!("app {name}"), "a report", "none");
            return;
        };
        if let Some(health) = self.health {
            mismatches.check(
                state.health == health,
                format!("health of app {name}"),
                health,
                format!("{} ({:?})", state.health, state.unhealthy),
            );
        }
        if let Some(applied) = self.applied {
            let is_applied = state.wanted.is_some() && state.applied == state.wanted;
            mismatches.check(
                is_applied == applied,
                format!("app {name} is applied"),
                applied,
                format!("{is_applied} ({:?})", state.reason),
            );
        }
        let reason = state.reason.as_ref();
        let message = reason.map_or_else(|| "no reason".to_owned(), ToString::to_string);
        if let Some(code) = &self.reason {
            let found = reason.map_or("none", |reason| reason.code.as_str());
            mismatches.check(found == code, format!("reason of app {name}"), code, &message);
        }
        for text in &self.says {
            mismatches.check(message.contains(text), format!("reason of app {name}"), format!("... {text} ..."), &message);
        }
        if let Some(objects) = self.objects {
            mismatches.check(state.objects == objects, format!("objects of app {name}"), objects, state.objects);
        }
        if self.no_drift {
            mismatches.check(state.drift.is_empty(), format!("drift of app {name}"), "none", format!("{:?}", state.drift));
        }
        for drift in &self.drift {
            let found = state.drift.iter().any(|found| drift.is_met_by(found));
            mismatches.check(found, format!("drift of app {name}"), format!("{drift:?}"), format!("{:?}", state.drift));
        }
        for (what, wanted, found) in
            [("awaiting approval", &self.awaiting, &state.awaiting_approval), ("withdrawn", &self.withdrawn, &state.withdrawn)]
        {
            if let Some(wanted) = wanted {
                let found: BTreeSet<_> = found.iter().cloned().collect();
                mismatches.check(found == *wanted, format!("{what} of app {name}"), names(wanted), names(&found));
            }
        }
        if let Some(removed) = self.removed {
            mismatches.check(state.removed == removed, format!("app {name} is removed"), removed, format!("{} ({message})", state.removed));
        }
        if let Some(wanted) = &self.taken_from {
            let fields = state.taken_over.iter().flat_map(|taken| taken.fields.iter().map(|field| format!("{} {field}", taken.manager)));
            let found: BTreeSet<String> = fields.collect();
            mismatches.check(found == *wanted, format!("taken over by app {name}"), format!("{wanted:?}"), format!("{found:?}"));
        }
        let whole = format!("{state:?}");
        for text in &self.hides {
            mismatches.check(!whole.contains(text), format!("report on app {name}"), format!("nothing of {text}"), &whole);
        }
        for unhealthy in &self.unhealthy {
            let found = state.unhealthy.iter().find(|found| found.object == unhealthy.object);
            let good = found.is_some_and(|found| {
                let text = found.reason.as_ref().map_or_else(String::new, ToString::to_string);
                let code = found.reason.as_ref().map(|reason| reason.code.as_str());
                unhealthy.health.is_none_or(|health| health == found.health)
                    && unhealthy.reason.as_deref().is_none_or(|wanted| Some(wanted) == code)
                    && unhealthy.says.iter().all(|wanted| text.contains(wanted))
            });
            mismatches.check(good, format!("{} of app {name}", unhealthy.object), format!("{unhealthy:?}"), format!("{found:?}"));
        }
    }
}

impl DriftExpectation {
    fn is_met_by(&self, drift: &Drift) -> bool {
        let of_field = self.field.is_some() || self.wanted.is_some() || self.found.is_some() || self.manager.is_some();
        let is = |wanted: &Option<Text>, found: &Option<String>| wanted.as_ref().is_none_or(|wanted| found.as_ref() == Some(&wanted.0));
        drift.object == self.object
            && self.kind.as_deref().is_none_or(|kind| kind == drift.kind.as_str())
            && self.healed.is_none_or(|healed| healed == drift.healed.is_some())
            && (!of_field
                || drift.fields.iter().any(|field| {
                    self.field.as_deref().is_none_or(|path| path == field.path)
                        && is(&self.wanted, &field.wanted)
                        && is(&self.found, &field.found)
                        && self.manager.as_ref().is_none_or(|manager| field.manager.as_ref() == Some(manager))
                }))
    }
}

fn names(keys: &BTreeSet<ObjectKey>) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
