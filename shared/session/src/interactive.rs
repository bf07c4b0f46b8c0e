//! What a hub asks of a connected agent while somebody waits for the answer. An agent answers about the objects of an app and about what these
//! own, and about nothing else; the limits here are what travels.

use std::time::Duration;

use shared_model::{AppName, FieldChange, Health, ObjectKey, Reason, Timestamp};

use crate::status::{OBJECT_NAME_LIMIT, TEXT_LIMIT, cut, cut_field};

/// The most objects in one answer: a person reads a few, a script compares some hundred. 500 × about 4 KB stay under 2 MiB.
pub const DIFF_OBJECT_LIMIT: usize = 500;

/// The most objects in a tree: an app of 100 Deployments with five pods each has 700. 2,000 × about 1 KB stay under 2 MiB.
pub const TREE_LIMIT: usize = 2_000;

/// The most containers that are named of one pod: more than any pod that a person wrote.
pub const CONTAINER_LIMIT: usize = 32;

/// The most events in one answer, the newest first: 500 × at most 3 KB stay under 2 MiB.
pub const EVENT_LIMIT: usize = 500;

/// The largest live object as JSON: etcd takes 1.5 MiB.
pub const LIVE_OBJECT_LIMIT: usize = 2 * 1024 * 1024;

/// The most bytes of a log in one message: what arrives at once, well below HTTP/2's window of 256 KiB.
pub const LOG_CHUNK_LIMIT: usize = 32 * 1024;

/// The logs that one agent sends at once. They take none of the turns of questions: somebody who follows four pods keeps nobody from a diff.
pub const LOGS_AT_ONCE: usize = 4;

/// The most of one log that is sent: an hour of 18 KB a second. Who wants more asks again with `since`.
pub const LOG_LIMIT: u64 = 64 * 1024 * 1024;

/// How long a log is followed at most: nobody watches for longer, and a forgotten window must not hold a stream for ever.
pub const LOG_LONGEST: Duration = Duration::from_secs(3600);

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// How do the objects of this app differ from what is wanted, right now?
    Diff {
        /// The app.
        app: AppName,
    },
    /// Which objects does this app have, and what do these own?
    Tree {
        /// The app.
        app: AppName,
    },
    /// How is this object of the app, or one that its objects own, right now?
    Object {
        /// The app.
        app: AppName,
        /// The object.
        object: ObjectQuery,
    },
    /// What was said about the app's objects lately?
    Events {
        /// The app.
        app: AppName,
        /// Only about this one and what it owns.
        object: Option<ObjectQuery>,
    },
    /// What does a pod of the app say? Answered by a stream of its own.
    Log(LogQuestion),
}

/// An object as people name it; the agent finds which one is meant among those of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectQuery {
    /// The kind in any spelling: `Deployment`, `deployment`, `deployments`, each also with `.` and the group.
    pub kind: String,
    /// The namespace; any of the app's if absent.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// Which log, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuestion {
    /// The app.
    pub app: AppName,
    /// The pod, or an object that owns pods; if absent the app's only pod.
    pub object: Option<ObjectQuery>,
    /// The container; if absent the pod's only one, or the one that it names as its default.
    pub container: Option<String>,
    /// What the container said before its last restart.
    pub previous: bool,
    /// Go on with what is said from now on.
    pub follow: bool,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Only so many of the last lines.
    pub tail: Option<u32>,
    /// Only what was said so long ago or later.
    pub since: Option<Duration>,
}

/// How one object differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectDiff {
    /// The object.
    pub object: ObjectKey,
    /// The differing fields, redacted where they must be; empty if the object is missing as a whole.
    pub fields: Vec<FieldChange>,
    /// Whether the object is not there at all.
    pub missing: bool,
}

/// One object of an app, or one that its objects own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeNode {
    /// The object.
    pub object: ObjectKey,
    /// The place in the tree's list of the object that owns it, always before its own; `None` for the app's own objects.
    pub owner: Option<u32>,
    /// Its health; Missing if it is wanted and not there.
    pub health: Health,
    /// Why it is not healthy.
    pub reason: Option<Reason>,
    /// If it is a pod.
    pub pod: Option<PodFacts>,
}

/// What people look for in a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodFacts {
    /// `Pending`, `Running`, `Succeeded`, `Failed`.
    pub phase: String,
    /// The node that it is on; empty before it is on one.
    pub node: String,
    /// Its containers by name, those of the start first, at most [`CONTAINER_LIMIT`].
    pub containers: Vec<String>,
    /// How many of its containers are ready.
    pub ready: u32,
    /// How many containers it has, those of the start left out.
    pub wanted: u32,
    /// How often its containers were restarted, all together.
    pub restarts: u32,
    /// When it began, by the API server's clock.
    pub created: Option<Timestamp>,
}

/// An event, as the cluster recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it is about.
    pub object: ObjectKey,
    /// Whether it is a warning.
    pub is_warning: bool,
    /// CamelCase: `BackOff`, `FailedScheduling`.
    pub code: String,
    /// The facts.
    pub message: String,
    /// Who says so: `kubelet`.
    pub source: String,
    /// How often it was said.
    pub count: u32,
    /// When it was said first, by the clock of who says it.
    pub first: Option<Timestamp>,
    /// When it was said last.
    pub last: Option<Timestamp>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The differing objects of an app.
    Diff {
        /// At most [`DIFF_OBJECT_LIMIT`] of them.
        objects: Vec<ObjectDiff>,
        /// How many more differ.
        left_out: u32,
    },
    /// The objects of an app and what they own.
    Tree {
        /// Owners before what they own, at most [`TREE_LIMIT`].
        nodes: Vec<TreeNode>,
        /// How many more there are.
        left_out: u32,
        /// Kinds that could not be looked at, and why: what they own is not in the tree.
        unseen: Vec<Reason>,
    },
    /// A live object.
    Object {
        /// Which one was meant.
        object: ObjectKey,
        /// The object as compact JSON of at most [`LIVE_OBJECT_LIMIT`] bytes: redacted, without `managedFields`.
        json: String,
    },
    /// Events.
    Events {
        /// The newest first, at most [`EVENT_LIMIT`].
        events: Vec<Event>,
        /// How many older ones there are.
        left_out: u32,
    },
}

/// The most kinds that a tree says it could not look at: all that are looked at are fewer.
pub const UNSEEN_LIMIT: usize = 64;

impl Answer {
    /// The answer to [`Question::Diff`], cut to what travels.
    pub fn diff(mut objects: Vec<ObjectDiff>) -> Self {
        let left_out = shorten(&mut objects, DIFF_OBJECT_LIMIT);
        for object in &mut objects {
            object.fields.truncate(shared_model::Drift::FIELD_LIMIT);
            object.fields.iter_mut().for_each(cut_field);
        }
        Self::Diff { objects, left_out }
    }

    /// The answer to [`Question::Tree`], cut to what travels. What is cut off is owned by none that stays.
    pub fn tree(mut nodes: Vec<TreeNode>, mut unseen: Vec<Reason>) -> Self {
        let left_out = shorten(&mut nodes, TREE_LIMIT);
        for node in &mut nodes {
            node.reason.iter_mut().for_each(cut_reason);
            if let Some(pod) = &mut node.pod {
                pod.containers.truncate(CONTAINER_LIMIT);
                pod.containers.iter_mut().chain([&mut pod.phase, &mut pod.node]).for_each(|text| cut(text, OBJECT_NAME_LIMIT));
            }
        }
        shorten(&mut unseen, UNSEEN_LIMIT);
        unseen.iter_mut().for_each(cut_reason);
        Self::Tree { nodes, left_out, unseen }
    }

    /// The answer to [`Question::Events`]: the newest first, cut to what travels.
    pub fn events(mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| std::cmp::Reverse(event.last.or(event.first)));
        let left_out = shorten(&mut events, EVENT_LIMIT);
        for event in &mut events {
            cut(&mut event.code, OBJECT_NAME_LIMIT);
            cut(&mut event.source, OBJECT_NAME_LIMIT);
            cut(&mut event.message, TEXT_LIMIT);
        }
        Self::Events { events, left_out }
    }
}

/// Cuts a list and says how many items went.
fn shorten<T>(items: &mut Vec<T>, limit: usize) -> u32 {
    let left_out = u32::try_from(items.len().saturating_sub(limit)).unwrap_or(u32::MAX);
    items.truncate(limit);
    left_out
}

fn cut_reason(reason: &mut Reason) {
    cut(&mut reason.code, OBJECT_NAME_LIMIT);
    cut(&mut reason.message, TEXT_LIMIT);
}

/// An agent cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// It says why.
    #[error("{0}")]
    Refused(Reason),
    /// This version of the agent does not know the question.
    #[error("the agent does not know this request; upgrade it")]
    UnknownQuestion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_are_the_ones_that_travel() {
        let event = |second: i64| Event {
            object: ObjectKey::new(shared_model::GroupKind::new("", "Pod"), Some("web"), "api"),
            is_warning: false,
            code: "Pulled".into(),
            message: "x".repeat(9_999),
            source: "kubelet".into(),
            count: 1,
            first: None,
            last: Timestamp::from_second(second).ok(),
        };
        let Answer::Events { events, left_out } = Answer::events((0..600).map(event).collect()) else { panic!("events") };
        assert_eq!((events.len(), left_out), (EVENT_LIMIT, 100));
        assert_eq!((events[0].last, events[499].last), (Timestamp::from_second(599).ok(), Timestamp::from_second(100).ok()));
        assert!(events[0].message.len() <= TEXT_LIMIT);
    }
}
