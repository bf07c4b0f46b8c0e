//! The status lane, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use shared_model::AppName;
use shared_session::{
    API_VERSION_LIMIT, APP_LIMIT, AppReport, ClusterFacts, FACT_LIMIT, OBJECT_NAME_LIMIT, StatusAck, StatusIndex, StatusUpdate,
};

use crate::field::{WireError, at_most, digest, name, optional_digest, present, text, write_digest, write_optional_digest};
use crate::nodes::{read_nodes, write_nodes};
use crate::wire;

impl TryFrom<wire::ClusterFacts> for ClusterFacts {
    type Error = WireError;

    fn try_from(facts: wire::ClusterFacts) -> Result<Self, WireError> {
        at_most("facts.api_versions", &facts.api_versions, API_VERSION_LIMIT)?;
        if facts.labels.len() > FACT_LIMIT {
            return Err(WireError::TooMany { field: "facts.labels", count: facts.labels.len(), limit: FACT_LIMIT });
        }
        let short = |field, value| text(field, value, OBJECT_NAME_LIMIT);
        let label = |(key, value)| Ok((short("facts.labels", key)?, short("facts.labels", value)?));
        Ok(Self {
            kubernetes: short("facts.kubernetes", facts.kubernetes)?,
            api_versions: facts
                .api_versions
                .into_iter()
                .map(|version| short("facts.api_versions", version))
                .collect::<Result<BTreeSet<_>, _>>()?,
            labels: facts.labels.into_iter().map(label).collect::<Result<BTreeMap<_, _>, WireError>>()?,
            nodes: read_nodes(facts.nodes, facts.nodes_unknown)?,
        })
    }
}

impl From<&ClusterFacts> for wire::ClusterFacts {
    fn from(facts: &ClusterFacts) -> Self {
        let (nodes, nodes_unknown) = write_nodes(&facts.nodes);
        Self {
            kubernetes: facts.kubernetes.clone(),
            api_versions: facts.api_versions.iter().cloned().collect(),
            labels: facts.labels.clone(),
            nodes,
            nodes_unknown,
        }
    }
}

fn summary(summary: wire::StatusSummary) -> Result<StatusIndex, WireError> {
    at_most("summary.apps", &summary.apps, APP_LIMIT)?;
    let app = |app: wire::AppDigest| Ok((name::<AppName>("summary.app", &app.app)?, digest("summary.digest", &app.digest)?));
    Ok(StatusIndex {
        facts: optional_digest("summary.facts", &summary.facts)?,
        apps: summary.apps.into_iter().map(app).collect::<Result<_, WireError>>()?,
    })
}

fn report(report: wire::AppReport) -> Result<(AppName, AppReport), WireError> {
    let state = present("report.state", report.state)?;
    let weight = state.encoded_len();
    let digest = digest("report.digest", &report.digest)?;
    Ok((name("report.app", &report.app)?, AppReport { state: Arc::new(state.try_into()?), digest, weight }))
}

fn names(field: &'static str, apps: &[String]) -> Result<Vec<AppName>, WireError> {
    at_most(field, apps, APP_LIMIT)?;
    apps.iter().map(|app| name(field, app)).collect()
}

impl TryFrom<wire::StatusUpdate> for StatusUpdate {
    type Error = WireError;

    fn try_from(update: wire::StatusUpdate) -> Result<Self, WireError> {
        use wire::status_update::Message;
        Ok(match update.message.ok_or(WireError::UnknownKind)? {
            Message::Summary(value) => Self::Summary(summary(value)?),
            Message::Changes(changes) => {
                at_most("changes.apps", &changes.apps, APP_LIMIT)?;
                let facts = |facts: wire::FactsReport| {
                    let digest = digest("facts.digest", &facts.digest)?;
                    Ok((Arc::new(present("facts.facts", facts.facts)?.try_into()?), digest))
                };
                Self::Changes {
                    facts: changes.facts.map(facts).transpose()?,
                    apps: changes.apps.into_iter().map(report).collect::<Result<_, _>>()?,
                    removed: names("changes.removed", &changes.removed)?,
                }
            }
        })
    }
}

impl From<StatusUpdate> for wire::StatusUpdate {
    fn from(update: StatusUpdate) -> Self {
        use wire::status_update::Message;
        let message = match update {
            StatusUpdate::Summary(index) => Message::Summary(wire::StatusSummary {
                facts: write_optional_digest(index.facts.as_ref()),
                apps: index
                    .apps
                    .iter()
                    .map(|(app, digest)| wire::AppDigest { app: app.to_string(), digest: write_digest(digest) })
                    .collect(),
            }),
            StatusUpdate::Changes { facts, apps, removed } => Message::Changes(wire::StatusChanges {
                facts: facts.map(|(facts, digest)| wire::FactsReport { facts: Some(facts.as_ref().into()), digest: write_digest(&digest) }),
                apps: apps
                    .iter()
                    .map(|(app, report)| wire::AppReport {
                        app: app.to_string(),
                        digest: write_digest(&report.digest),
                        state: Some(report.state.as_ref().into()),
                    })
                    .collect(),
                removed: removed.iter().map(ToString::to_string).collect(),
            }),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<wire::StatusAck> for StatusAck {
    type Error = WireError;

    fn try_from(ack: wire::StatusAck) -> Result<Self, WireError> {
        use wire::status_ack::Message;
        Ok(match ack.message.ok_or(WireError::UnknownKind)? {
            Message::Held(held) => Self::Held { root: digest("held.root", &held.root)? },
            Message::Need(need) => Self::Need { facts: need.facts, apps: names("need.apps", &need.apps)? },
        })
    }
}

impl From<StatusAck> for wire::StatusAck {
    fn from(ack: StatusAck) -> Self {
        use wire::status_ack::Message;
        let message = match ack {
            StatusAck::Held { root } => Message::Held(wire::StatusHeld { root: write_digest(&root) }),
            StatusAck::Need { facts, apps } => {
                Message::Need(wire::StatusNeed { facts, apps: apps.iter().map(ToString::to_string).collect() })
            }
        };
        Self { message: Some(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::{
        AppState, AppTest, Digest, Drift, DriftKind, FieldChange, GroupKind, Health, ObjectKey, ObjectState, Reason, Severity, TakenOver,
        TestOutcome, TestResult, Timestamp,
    };
    use shared_session::Status;

    fn full_state(health: Health, kind: DriftKind) -> AppState {
        let object = ObjectKey::new(GroupKind::new("apps", "Deployment"), Some("web"), "api");
        let cluster_wide = ObjectKey::new(GroupKind::new("", "Namespace"), None, "web");
        let reason = Reason::new(Severity::Warning, "Slow", "facts");
        let at = Timestamp::new(1_800_000_000, 123_456_789).unwrap();
        let field = FieldChange {
            path: "spec.replicas".into(),
            wanted: Some("3".into()),
            found: None,
            manager: Some("kubectl".into()),
            since: Some(at),
        };
        AppState {
            wanted: Some(Digest::of(b"w")),
            applied: None,
            health,
            reason: Some(reason.clone()),
            objects: 4,
            unhealthy: vec![ObjectState { object: object.clone(), health, reason: Some(reason) }],
            drift: vec![Drift { object: object.clone(), kind, fields: vec![field], seen: at, healed: Some(at) }],
            awaiting_approval: vec![cluster_wide.clone()],
            withdrawn: vec![object.clone(), cluster_wide],
            removed: true,
            taken_over: vec![TakenOver { object: object.clone(), manager: "helm".into(), fields: vec!["spec.replicas".into()], at }],
            test: Some(full_test(TestOutcome::Failed, object)),
        }
    }

    fn full_test(outcome: TestOutcome, object: ObjectKey) -> AppTest {
        let at = Timestamp::new(1_800_000_000, 5).unwrap();
        let result = TestResult { object, outcome, message: Some("exit code 1".into()), began: Some(at), ended: None };
        AppTest {
            request: "r-1".parse().unwrap(),
            release: Digest::of(b"r"),
            outcome,
            reason: Some(Reason::new(Severity::Error, "TestFailed", "it failed")),
            seen: at,
            ended: Some(at),
            results: vec![result],
        }
    }

    #[test]
    fn every_outcome_of_a_test_reads_back() {
        for outcome in TestOutcome::ALL {
            let test = full_test(outcome, ObjectKey::new(GroupKind::new("", "Pod"), Some("web"), "smoke"));
            assert_eq!(AppTest::try_from(wire::AppTest::from(&test)), Ok(test));
        }
    }

    #[test]
    fn every_state_reads_back() {
        for health in Health::ALL {
            for kind in [DriftKind::Changed, DriftKind::Deleted, DriftKind::Fight] {
                let state = full_state(health, kind);
                assert_eq!(AppState::try_from(wire::AppState::from(&state)), Ok(state));
            }
        }
    }

    #[test]
    fn every_status_message_reads_back() {
        let facts = ClusterFacts {
            kubernetes: "v1.34.1".into(),
            api_versions: ["v1".into(), "apps/v1".into()].into(),
            labels: [("agent.ledger".into(), "the disk is full".into())].into(),
            nodes: shared_session::Nodes::default(),
        };
        let status = Status::new(facts, [("a".parse().unwrap(), full_state(Health::Degraded, DriftKind::Fight))]);
        let apps: Vec<_> = status.apps().iter().map(|(name, report)| (name.clone(), report.clone())).collect();
        let facts = Some((Arc::clone(status.facts()), status.index().facts.unwrap()));
        for update in [
            StatusUpdate::Summary(status.index().clone()),
            StatusUpdate::Changes { facts, apps, removed: vec!["b".parse().unwrap()] },
            StatusUpdate::Changes { facts: None, apps: vec![], removed: vec![] },
        ] {
            let mut read = StatusUpdate::try_from(wire::StatusUpdate::from(update.clone())).unwrap();
            // The weight is measured by each side for itself.
            if let (StatusUpdate::Changes { apps: read, .. }, StatusUpdate::Changes { apps, .. }) = (&mut read, &update) {
                read.iter_mut().zip(apps).for_each(|((_, read), (_, sent))| read.weight = sent.weight);
            }
            assert_eq!(read, update);
        }
        for ack in [StatusAck::Held { root: Digest::of(b"r") }, StatusAck::Need { facts: true, apps: vec!["a".parse().unwrap()] }] {
            assert_eq!(StatusAck::try_from(wire::StatusAck::from(ack.clone())), Ok(ack));
        }
    }

    #[test]
    fn what_an_agent_cuts_is_what_a_hub_admits() {
        let mut state = full_state(Health::Degraded, DriftKind::Changed);
        state.reason = Some(Reason::new(Severity::Error, "x".repeat(999), "y".repeat(9_999)));
        state.drift = vec![state.drift[0].clone(); 99];
        state.drift[0].fields = vec![FieldChange { path: "p".repeat(9_999), ..state.drift[0].fields[0].clone() }; 99];
        state.withdrawn = vec![state.withdrawn[0].clone(); 9_999];
        let test = state.test.as_mut().unwrap();
        test.results[0].message = Some("z".repeat(9_999));
        test.results = vec![test.results[0].clone(); 999];
        assert!(AppState::try_from(wire::AppState::from(&state)).is_err(), "too much as it is");
        let status = Status::new(ClusterFacts::default(), [("a".parse().unwrap(), state)]);
        let cut = &status.apps().values().next().unwrap().state;
        assert_eq!(AppState::try_from(wire::AppState::from(cut.as_ref())).as_ref(), Ok(cut.as_ref()));
    }

    #[test]
    fn an_unknown_health_is_never_green() {
        let state = wire::AppState { health: 77, ..wire::AppState::default() };
        assert_eq!(AppState::try_from(state).unwrap().health, Health::Unknown);
    }
}
