//! The interactive lane and the logs, both ways.

use std::time::Duration;

use bytes::Bytes;
use shared_model::{AppName, ObjectKey, Reason, Timestamp};
use shared_session::{
    Answer, AnswerError, CONTAINER_LIMIT, DIFF_OBJECT_LIMIT, EVENT_LIMIT, Event, LIVE_OBJECT_LIMIT, LOG_CHUNK_LIMIT, LogQuestion,
    OBJECT_NAME_LIMIT, ObjectDiff, ObjectQuery, PodFacts, Question, TEXT_LIMIT, TREE_LIMIT, TreeNode, UNSEEN_LIMIT,
};

use crate::field::{WireError, at_most, name, optional_text, present, text, time, write_time};
use crate::state::{fields, health, write_health};
use crate::wire;

/// A question with its number and how long the asker waits.
pub fn write_question(id: u64, deadline: Duration, question: &Question) -> wire::InteractiveRequest {
    use wire::interactive_request::Question as Wire;
    let question = match question {
        Question::Diff { app } => Wire::Diff(wire::DiffRequest { app: app.to_string() }),
        Question::Tree { app } => Wire::Tree(wire::TreeRequest { app: app.to_string() }),
        Question::Object { app, object } => Wire::Object(wire::ObjectRequest { app: app.to_string(), object: Some(object.into()) }),
        Question::Events { app, object } => {
            Wire::Events(wire::EventsRequest { app: app.to_string(), object: object.as_ref().map(Into::into) })
        }
        Question::Log(log) => Wire::Log(log.into()),
    };
    wire::InteractiveRequest { id, deadline_millis: millis(deadline), question: Some(question) }
}

/// Reads a question; [`WireError::UnknownKind`] should be answered with [`AnswerError::UnknownQuestion`].
pub fn read_question(request: &wire::InteractiveRequest) -> Result<(Duration, Question), WireError> {
    use wire::interactive_request::Question as Wire;
    let app = |app: &str| name::<AppName>("question.app", app);
    let question = match request.question.as_ref().ok_or(WireError::UnknownKind)? {
        Wire::Diff(diff) => Question::Diff { app: app(&diff.app)? },
        Wire::Tree(tree) => Question::Tree { app: app(&tree.app)? },
        Wire::Object(asked) => {
            Question::Object { app: app(&asked.app)?, object: query(present("question.object", asked.object.clone())?)? }
        }
        Wire::Events(asked) => Question::Events { app: app(&asked.app)?, object: asked.object.clone().map(query).transpose()? },
        Wire::Log(log) => Question::Log(LogQuestion {
            app: app(&log.app)?,
            object: log.object.clone().map(query).transpose()?,
            container: optional_text("question.container", log.container.clone(), OBJECT_NAME_LIMIT)?,
            previous: log.previous,
            follow: log.follow,
            timestamps: log.timestamps,
            tail: log.tail,
            since: log.since_millis.map(Duration::from_millis),
        }),
    };
    Ok((Duration::from_millis(request.deadline_millis), question))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn query(query: wire::ObjectQuery) -> Result<ObjectQuery, WireError> {
    Ok(ObjectQuery {
        kind: text("query.kind", query.kind, OBJECT_NAME_LIMIT)?,
        namespace: optional_text("query.namespace", query.namespace, OBJECT_NAME_LIMIT)?,
        name: text("query.name", query.name, OBJECT_NAME_LIMIT)?,
    })
}

impl From<&ObjectQuery> for wire::ObjectQuery {
    fn from(query: &ObjectQuery) -> Self {
        Self { kind: query.kind.clone(), namespace: query.namespace.clone(), name: query.name.clone() }
    }
}

impl From<&LogQuestion> for wire::LogRequest {
    fn from(log: &LogQuestion) -> Self {
        Self {
            app: log.app.to_string(),
            object: log.object.as_ref().map(Into::into),
            container: log.container.clone(),
            previous: log.previous,
            follow: log.follow,
            timestamps: log.timestamps,
            tail: log.tail,
            since_millis: log.since.map(millis),
        }
    }
}

/// The answer to question `id`.
pub fn write_answer(id: u64, answer: Result<Answer, AnswerError>) -> wire::InteractiveReply {
    use wire::interactive_reply::Answer as Wire;
    let answer = match answer {
        Ok(Answer::Diff { objects, left_out }) => Wire::Diff(wire::DiffReply {
            objects: objects
                .iter()
                .map(|diff| wire::ObjectDiff {
                    object: Some((&diff.object).into()),
                    fields: diff.fields.iter().map(Into::into).collect(),
                    missing: diff.missing,
                })
                .collect(),
            left_out,
        }),
        Ok(Answer::Tree { nodes, left_out, unseen }) => Wire::Tree(wire::TreeReply {
            nodes: nodes.iter().map(write_node).collect(),
            left_out,
            unseen: unseen.iter().map(Into::into).collect(),
        }),
        Ok(Answer::Object { object, json }) => Wire::Object(wire::ObjectReply { object: Some((&object).into()), json }),
        Ok(Answer::Events { events, left_out }) => {
            Wire::Events(wire::EventsReply { events: events.into_iter().map(write_event).collect(), left_out })
        }
        Err(AnswerError::Refused(reason)) => Wire::Refused((&reason).into()),
        Err(AnswerError::UnknownQuestion) => Wire::UnknownQuestion(wire::UnknownQuestion {}),
    };
    wire::InteractiveReply { id, answer: Some(answer) }
}

/// Reads an answer.
pub fn read_answer(reply: wire::InteractiveReply) -> Result<Result<Answer, AnswerError>, WireError> {
    use wire::interactive_reply::Answer as Wire;
    Ok(Ok(match reply.answer.ok_or(WireError::UnknownKind)? {
        Wire::Diff(diff) => {
            at_most("diff.objects", &diff.objects, DIFF_OBJECT_LIMIT)?;
            let object = |diff: wire::ObjectDiff| {
                let object = present("diff.object", diff.object)?.try_into()?;
                Ok(ObjectDiff { object, fields: fields(diff.fields)?, missing: diff.missing })
            };
            let objects = diff.objects.into_iter().map(object).collect::<Result<_, WireError>>()?;
            Answer::Diff { objects, left_out: diff.left_out }
        }
        Wire::Tree(tree) => read_tree(tree)?,
        Wire::Object(found) => Answer::Object {
            object: present("object.object", found.object)?.try_into()?,
            json: text("object.json", found.json, LIVE_OBJECT_LIMIT)?,
        },
        Wire::Events(found) => {
            at_most("events.events", &found.events, EVENT_LIMIT)?;
            let events = found.events.into_iter().map(read_event).collect::<Result<_, _>>()?;
            Answer::Events { events, left_out: found.left_out }
        }
        Wire::Refused(reason) => return Ok(Err(AnswerError::Refused(reason.try_into()?))),
        Wire::UnknownQuestion(_) => return Ok(Err(AnswerError::UnknownQuestion)),
    }))
}

fn write_node(node: &TreeNode) -> wire::TreeNode {
    let pod = node.pod.as_ref().map(|pod| wire::PodFacts {
        phase: pod.phase.clone(),
        node: pod.node.clone(),
        containers: pod.containers.clone(),
        ready: pod.ready,
        wanted: pod.wanted,
        restarts: pod.restarts,
        created: pod.created.map(write_time),
    });
    wire::TreeNode {
        object: Some((&node.object).into()),
        owner: node.owner,
        health: write_health(node.health),
        reason: node.reason.as_ref().map(Into::into),
        pod,
    }
}

fn read_tree(tree: wire::TreeReply) -> Result<Answer, WireError> {
    at_most("tree.nodes", &tree.nodes, TREE_LIMIT)?;
    at_most("tree.unseen", &tree.unseen, UNSEEN_LIMIT)?;
    let node = |(place, node): (usize, wire::TreeNode)| {
        if node.owner.is_some_and(|owner| owner as usize >= place) {
            return Err(WireError::Invalid { field: "tree.owner", why: "an owner stands before what it owns".into() });
        }
        let health = health(node.health());
        Ok(TreeNode {
            object: ObjectKey::try_from(present("tree.object", node.object)?)?,
            owner: node.owner,
            health,
            reason: node.reason.map(Reason::try_from).transpose()?,
            pod: node.pod.map(read_pod).transpose()?,
        })
    };
    Ok(Answer::Tree {
        nodes: tree.nodes.into_iter().enumerate().map(node).collect::<Result<_, _>>()?,
        left_out: tree.left_out,
        unseen: tree.unseen.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
    })
}

fn read_pod(pod: wire::PodFacts) -> Result<PodFacts, WireError> {
    at_most("pod.containers", &pod.containers, CONTAINER_LIMIT)?;
    let short = |field, value| text(field, value, OBJECT_NAME_LIMIT);
    Ok(PodFacts {
        phase: short("pod.phase", pod.phase)?,
        node: short("pod.node", pod.node)?,
        containers: pod.containers.into_iter().map(|container| short("pod.containers", container)).collect::<Result<_, _>>()?,
        ready: pod.ready,
        wanted: pod.wanted,
        restarts: pod.restarts,
        created: moment("pod.created", pod.created)?,
    })
}

fn moment(field: &'static str, nanoseconds: Option<i64>) -> Result<Option<Timestamp>, WireError> {
    nanoseconds.map(|nanoseconds| time(field, nanoseconds)).transpose()
}

fn write_event(event: Event) -> wire::Event {
    wire::Event {
        object: Some((&event.object).into()),
        is_warning: event.is_warning,
        code: event.code,
        message: event.message,
        source: event.source,
        count: event.count,
        first: event.first.map(write_time),
        last: event.last.map(write_time),
    }
}

fn read_event(event: wire::Event) -> Result<Event, WireError> {
    Ok(Event {
        object: present("event.object", event.object)?.try_into()?,
        is_warning: event.is_warning,
        code: text("event.code", event.code, OBJECT_NAME_LIMIT)?,
        message: text("event.message", event.message, TEXT_LIMIT)?,
        source: text("event.source", event.source, OBJECT_NAME_LIMIT)?,
        count: event.count,
        first: moment("event.first", event.first)?,
        last: moment("event.last", event.last)?,
    })
}

/// A piece of a log on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// At most [`LOG_CHUNK_LIMIT`] bytes, cut anywhere.
    Data(Bytes),
    /// The last piece, if the log ends for another cause than that its container said no more.
    CutShort(Reason),
}

/// The first chunk of a log carries the `id` of its question, the others carry 0.
pub fn write_log_chunk(id: u64, piece: &LogPiece) -> wire::LogChunk {
    match piece {
        LogPiece::Data(data) => wire::LogChunk { id, data: data.clone(), cut_short: None },
        LogPiece::CutShort(reason) => wire::LogChunk { id, data: Bytes::new(), cut_short: Some(reason.into()) },
    }
}

/// Reads a chunk: the id if it is the first one's, and what it carries.
pub fn read_log_chunk(chunk: wire::LogChunk) -> Result<(u64, LogPiece), WireError> {
    if let Some(reason) = chunk.cut_short {
        return Ok((chunk.id, LogPiece::CutShort(reason.try_into()?)));
    }
    if chunk.data.len() > LOG_CHUNK_LIMIT {
        return Err(WireError::TooLong { field: "chunk.data", size: chunk.data.len(), limit: LOG_CHUNK_LIMIT });
    }
    Ok((chunk.id, LogPiece::Data(chunk.data)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::{FieldChange, GroupKind, Health, Severity};

    fn object() -> ObjectKey {
        ObjectKey::new(GroupKind::new("", "ConfigMap"), Some("web"), "c")
    }

    #[test]
    fn every_question_reads_back() {
        let app: AppName = "web".parse().unwrap();
        let query = ObjectQuery { kind: "deployments.apps".into(), namespace: Some("web".into()), name: "api".into() };
        let log = LogQuestion {
            app: app.clone(),
            object: Some(query.clone()),
            container: Some("main".into()),
            previous: true,
            follow: false,
            timestamps: true,
            tail: Some(10),
            since: Some(Duration::from_millis(1_500)),
        };
        let bare = LogQuestion { object: None, container: None, follow: true, tail: None, since: None, ..log.clone() };
        for question in [
            Question::Diff { app: app.clone() },
            Question::Tree { app: app.clone() },
            Question::Object { app: app.clone(), object: query.clone() },
            Question::Events { app: app.clone(), object: None },
            Question::Events { app, object: Some(ObjectQuery { namespace: None, ..query }) },
            Question::Log(log),
            Question::Log(bare),
        ] {
            let deadline = Duration::from_millis(1_500);
            assert_eq!(read_question(&write_question(7, deadline, &question)), Ok((deadline, question)));
        }
        assert_eq!(read_question(&wire::InteractiveRequest::default()), Err(WireError::UnknownKind));
    }

    #[test]
    fn every_answer_reads_back() {
        let at = Timestamp::from_second(1_800_000_000).ok();
        let field = FieldChange { path: "data.x".into(), wanted: Some("1".into()), found: Some("2".into()), manager: None, since: None };
        let diff = |n| vec![ObjectDiff { object: object(), fields: vec![field.clone()], missing: false }; n];
        let reason = Reason::new(Severity::Error, "NoSuchApp", "facts");
        let pod =
            PodFacts { phase: "Running".into(), containers: vec!["a".into(); 99], ready: 1, wanted: 2, created: at, ..PodFacts::default() };
        let root = TreeNode { object: object(), owner: None, health: Health::Degraded, reason: Some(reason.clone()), pod: None };
        let leaf = TreeNode { owner: Some(0), pod: Some(pod), ..root.clone() };
        let tree: Vec<TreeNode> = std::iter::once(root).chain(vec![leaf; TREE_LIMIT + 3]).collect();
        let event = Event {
            object: object(),
            is_warning: true,
            code: "BackOff".into(),
            message: "x".repeat(9_999),
            source: "kubelet".into(),
            count: 3,
            first: None,
            last: at,
        };
        for answer in [
            Ok(Answer::diff(diff(2))),
            Ok(Answer::diff(diff(DIFF_OBJECT_LIMIT + 3))),
            Ok(Answer::tree(tree, vec![reason.clone(); 99])),
            Ok(Answer::Object { object: object(), json: "{}".into() }),
            Ok(Answer::events(vec![event; EVENT_LIMIT + 1])),
            Err(AnswerError::Refused(reason)),
            Err(AnswerError::UnknownQuestion),
        ] {
            assert_eq!(read_answer(write_answer(7, answer.clone())), Ok(answer));
        }
    }

    #[test]
    fn a_tree_whose_owners_do_not_come_first_is_refused() {
        let node = wire::TreeNode { object: Some((&object()).into()), owner: Some(0), ..wire::TreeNode::default() };
        let tree = wire::TreeReply { nodes: vec![node], ..wire::TreeReply::default() };
        let reply = wire::InteractiveReply { id: 1, answer: Some(wire::interactive_reply::Answer::Tree(tree)) };
        assert!(matches!(read_answer(reply), Err(WireError::Invalid { field: "tree.owner", .. })));
    }

    #[test]
    fn chunks_of_logs_read_back_and_a_large_one_is_refused() {
        for piece in [LogPiece::Data(Bytes::from_static(b"line\n")), LogPiece::CutShort(Reason::new(Severity::Wait, "LogLimit", "64 MiB"))]
        {
            assert_eq!(read_log_chunk(write_log_chunk(7, &piece)), Ok((7, piece)));
        }
        let large = LogPiece::Data(vec![0; LOG_CHUNK_LIMIT + 1].into());
        assert!(matches!(read_log_chunk(write_log_chunk(7, &large)), Err(WireError::TooLong { .. })));
    }
}
