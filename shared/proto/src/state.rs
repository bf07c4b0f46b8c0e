//! States of apps and objects, both ways.

use shared_model::{
    AppState, AppTest, Drift, DriftKind, FieldChange, GroupKind, Health, ObjectKey, ObjectState, Reason, Severity, TakenOver, TestOutcome,
    TestResult,
};
use shared_session::{OBJECT_NAME_LIMIT, TEXT_LIMIT, VALUE_LIMIT, WAITING_LIMIT};

use crate::field::{
    WireError, at_most, digest, name, optional_digest, optional_text, present, text, time, write_digest, write_optional_digest, write_time,
};
use crate::wire;

impl TryFrom<wire::ObjectKey> for ObjectKey {
    type Error = WireError;

    fn try_from(key: wire::ObjectKey) -> Result<Self, WireError> {
        let kind = GroupKind {
            group: text("object.group", key.group, OBJECT_NAME_LIMIT)?,
            kind: text("object.kind", key.kind, OBJECT_NAME_LIMIT)?,
        };
        let namespace = optional_text("object.namespace", key.namespace, OBJECT_NAME_LIMIT)?;
        let name = text("object.name", key.name, OBJECT_NAME_LIMIT)?;
        if kind.kind.is_empty() || name.is_empty() {
            return Err(WireError::Missing("object.kind and object.name"));
        }
        Ok(Self { kind, namespace, name })
    }
}

impl From<&ObjectKey> for wire::ObjectKey {
    fn from(key: &ObjectKey) -> Self {
        Self { group: key.kind.group.clone(), kind: key.kind.kind.clone(), namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

impl TryFrom<wire::Reason> for Reason {
    type Error = WireError;

    fn try_from(reason: wire::Reason) -> Result<Self, WireError> {
        use wire::reason::Severity as Wire;
        let severity = match reason.severity() {
            Wire::Wait => Severity::Wait,
            Wire::Warning => Severity::Warning,
            // What a newer peer thinks of is shown as the worst that this one knows.
            Wire::Error | Wire::Unspecified => Severity::Error,
        };
        Ok(Self {
            severity,
            code: text("reason.code", reason.code, OBJECT_NAME_LIMIT)?,
            message: text("reason.message", reason.message, TEXT_LIMIT)?,
        })
    }
}

impl From<&Reason> for wire::Reason {
    fn from(reason: &Reason) -> Self {
        use wire::reason::Severity as Wire;
        let severity = match reason.severity {
            Severity::Wait => Wire::Wait,
            Severity::Warning => Wire::Warning,
            Severity::Error => Wire::Error,
        };
        Self { severity: severity.into(), code: reason.code.clone(), message: cut(&reason.message) }
    }
}

/// A reason that did not come through a status (where it was cut already) is cut here, so that it is not refused.
fn cut(message: &str) -> String {
    message[..message.floor_char_boundary(TEXT_LIMIT)].to_owned()
}

pub(crate) fn health(value: wire::Health) -> Health {
    match value {
        wire::Health::Unknown => Health::Unknown,
        wire::Health::Healthy => Health::Healthy,
        wire::Health::Suspended => Health::Suspended,
        wire::Health::Progressing => Health::Progressing,
        wire::Health::Waiting => Health::Waiting,
        wire::Health::Missing => Health::Missing,
        wire::Health::Degraded => Health::Degraded,
    }
}

pub(crate) fn write_health(health: Health) -> i32 {
    let value = match health {
        Health::Unknown => wire::Health::Unknown,
        Health::Healthy => wire::Health::Healthy,
        Health::Suspended => wire::Health::Suspended,
        Health::Progressing => wire::Health::Progressing,
        Health::Waiting => wire::Health::Waiting,
        Health::Missing => wire::Health::Missing,
        Health::Degraded => wire::Health::Degraded,
    };
    value.into()
}

impl TryFrom<wire::FieldChange> for FieldChange {
    type Error = WireError;

    fn try_from(field: wire::FieldChange) -> Result<Self, WireError> {
        Ok(Self {
            path: text("field.path", field.path, VALUE_LIMIT)?,
            wanted: optional_text("field.wanted", field.wanted, VALUE_LIMIT)?,
            found: optional_text("field.found", field.found, VALUE_LIMIT)?,
            manager: optional_text("field.manager", field.manager, VALUE_LIMIT)?,
            since: field.since.map(|since| time("field.since", since)).transpose()?,
        })
    }
}

impl From<&FieldChange> for wire::FieldChange {
    fn from(field: &FieldChange) -> Self {
        Self {
            path: field.path.clone(),
            wanted: field.wanted.clone(),
            found: field.found.clone(),
            manager: field.manager.clone(),
            since: field.since.map(write_time),
        }
    }
}

pub(crate) fn fields(changes: Vec<wire::FieldChange>) -> Result<Vec<FieldChange>, WireError> {
    at_most("fields", &changes, Drift::FIELD_LIMIT)?;
    changes.into_iter().map(FieldChange::try_from).collect()
}

fn drift(drift: wire::Drift) -> Result<Drift, WireError> {
    use wire::drift::Kind;
    let kind = match drift.kind() {
        Kind::Unspecified | Kind::Changed => DriftKind::Changed,
        Kind::Deleted => DriftKind::Deleted,
        Kind::Fight => DriftKind::Fight,
    };
    Ok(Drift {
        object: present("drift.object", drift.object)?.try_into()?,
        kind,
        fields: fields(drift.fields)?,
        seen: time("drift.seen", drift.seen)?,
        healed: drift.healed.map(|healed| time("drift.healed", healed)).transpose()?,
    })
}

fn write_drift(drift: &Drift) -> wire::Drift {
    use wire::drift::Kind;
    let kind = match drift.kind {
        DriftKind::Changed => Kind::Changed,
        DriftKind::Deleted => Kind::Deleted,
        DriftKind::Fight => Kind::Fight,
    };
    wire::Drift {
        object: Some((&drift.object).into()),
        kind: kind.into(),
        fields: drift.fields.iter().map(Into::into).collect(),
        seen: write_time(drift.seen),
        healed: drift.healed.map(write_time),
    }
}

fn taken_over(taken: wire::TakenOver) -> Result<TakenOver, WireError> {
    at_most("taken_over.fields", &taken.fields, Drift::FIELD_LIMIT)?;
    Ok(TakenOver {
        object: present("taken_over.object", taken.object)?.try_into()?,
        manager: text("taken_over.manager", taken.manager, VALUE_LIMIT)?,
        fields: taken.fields.into_iter().map(|field| text("taken_over.field", field, VALUE_LIMIT)).collect::<Result<_, _>>()?,
        at: time("taken_over.at", taken.at)?,
    })
}

fn write_taken_over(taken: &TakenOver) -> wire::TakenOver {
    wire::TakenOver {
        object: Some((&taken.object).into()),
        manager: taken.manager.clone(),
        fields: taken.fields.clone(),
        at: write_time(taken.at),
    }
}

fn object(state: wire::ObjectState) -> Result<ObjectState, WireError> {
    Ok(ObjectState {
        health: health(state.health()),
        object: present("unhealthy.object", state.object)?.try_into()?,
        reason: state.reason.map(Reason::try_from).transpose()?,
    })
}

fn keys(field: &'static str, keys: Vec<wire::ObjectKey>) -> Result<Vec<ObjectKey>, WireError> {
    at_most(field, &keys, WAITING_LIMIT)?;
    keys.into_iter().map(ObjectKey::try_from).collect()
}

fn outcome(value: wire::app_test::Outcome) -> TestOutcome {
    use wire::app_test::Outcome as Wire;
    match value {
        Wire::Waiting => TestOutcome::Waiting,
        Wire::Running => TestOutcome::Running,
        Wire::Succeeded => TestOutcome::Succeeded,
        Wire::Failed => TestOutcome::Failed,
        Wire::Cancelled => TestOutcome::Cancelled,
    }
}

fn write_outcome(outcome: TestOutcome) -> i32 {
    use wire::app_test::Outcome as Wire;
    let value = match outcome {
        TestOutcome::Waiting => Wire::Waiting,
        TestOutcome::Running => Wire::Running,
        TestOutcome::Succeeded => Wire::Succeeded,
        TestOutcome::Failed => Wire::Failed,
        TestOutcome::Cancelled => Wire::Cancelled,
    };
    value.into()
}

impl TryFrom<wire::AppTest> for AppTest {
    type Error = WireError;

    fn try_from(test: wire::AppTest) -> Result<Self, WireError> {
        at_most("test.results", &test.results, Self::RESULT_LIMIT)?;
        let ended = |at: Option<i64>| at.map(|at| time("test.ended", at)).transpose();
        let result = |result: wire::app_test::Result| {
            Ok(TestResult {
                outcome: outcome(result.outcome()),
                object: present("test.object", result.object)?.try_into()?,
                message: optional_text("test.message", result.message, TEXT_LIMIT)?,
                began: result.began.map(|began| time("test.began", began)).transpose()?,
                ended: ended(result.ended)?,
            })
        };
        Ok(Self {
            request: name("test.request", &test.request)?,
            release: digest("test.release", &test.release)?,
            outcome: outcome(test.outcome()),
            reason: test.reason.map(Reason::try_from).transpose()?,
            seen: time("test.seen", test.seen)?,
            ended: ended(test.ended)?,
            results: test.results.into_iter().map(result).collect::<Result<_, WireError>>()?,
        })
    }
}

impl From<&AppTest> for wire::AppTest {
    fn from(test: &AppTest) -> Self {
        let result = |result: &TestResult| wire::app_test::Result {
            object: Some((&result.object).into()),
            outcome: write_outcome(result.outcome),
            message: result.message.clone(),
            began: result.began.map(write_time),
            ended: result.ended.map(write_time),
        };
        Self {
            request: test.request.to_string(),
            release: write_digest(&test.release),
            outcome: write_outcome(test.outcome),
            reason: test.reason.as_ref().map(Into::into),
            seen: write_time(test.seen),
            ended: test.ended.map(write_time),
            results: test.results.iter().map(result).collect(),
        }
    }
}

impl TryFrom<wire::AppState> for AppState {
    type Error = WireError;

    fn try_from(state: wire::AppState) -> Result<Self, WireError> {
        at_most("app.unhealthy", &state.unhealthy, Self::OBJECT_LIMIT)?;
        at_most("app.drift", &state.drift, Self::DRIFT_LIMIT)?;
        at_most("app.taken_over", &state.taken_over, Self::TAKEN_OVER_LIMIT)?;
        Ok(Self {
            wanted: optional_digest("app.wanted", &state.wanted)?,
            applied: optional_digest("app.applied", &state.applied)?,
            health: health(state.health()),
            reason: state.reason.map(Reason::try_from).transpose()?,
            objects: state.objects,
            unhealthy: state.unhealthy.into_iter().map(object).collect::<Result<_, _>>()?,
            drift: state.drift.into_iter().map(drift).collect::<Result<_, _>>()?,
            awaiting_approval: keys("app.awaiting_approval", state.awaiting_approval)?,
            withdrawn: keys("app.withdrawn", state.withdrawn)?,
            test: state.test.map(AppTest::try_from).transpose()?,
            removed: state.removed,
            taken_over: state.taken_over.into_iter().map(taken_over).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&AppState> for wire::AppState {
    fn from(state: &AppState) -> Self {
        let objects = state.unhealthy.iter().map(|object| wire::ObjectState {
            object: Some((&object.object).into()),
            health: write_health(object.health),
            reason: object.reason.as_ref().map(Into::into),
        });
        Self {
            wanted: write_optional_digest(state.wanted.as_ref()),
            applied: write_optional_digest(state.applied.as_ref()),
            health: write_health(state.health),
            reason: state.reason.as_ref().map(Into::into),
            objects: state.objects,
            unhealthy: objects.collect(),
            drift: state.drift.iter().map(write_drift).collect(),
            awaiting_approval: state.awaiting_approval.iter().map(Into::into).collect(),
            withdrawn: state.withdrawn.iter().map(Into::into).collect(),
            test: state.test.as_ref().map(Into::into),
            removed: state.removed,
            taken_over: state.taken_over.iter().map(write_taken_over).collect(),
        }
    }
}
