//! The control lane, both ways.

use std::sync::Arc;
use std::time::Duration;

use shared_model::Generation;
use shared_session::{
    AgentMessage, AppKey, BootId, FreshnessDocument, Goodbye, GoodbyeReason, Heartbeat, Held, Hello, HubMessage, IndexDocument, KEY_LIMIT,
    KeySet, OBJECT_NAME_LIMIT, ProtocolVersion, RootDocument, Secret, TEXT_LIMIT, Verdict, VersionOffer, VersionRange, Welcome,
};

use crate::INDEX_LIMIT;
use crate::field::{
    WireError, at_most, content, digest, invalid, optional_digest, present, text, time, write_digest, write_optional_digest, write_time,
};
use crate::wire;

/// The longest id of an app's key.
const KEY_ID_LIMIT: usize = 128;

/// The longest app key in bytes: 256 bits and room for a larger kind.
const SECRET_LIMIT: usize = 64;

fn generation(value: &wire::Generation) -> Generation {
    Generation::new(value.epoch, value.sequence)
}

fn write_generation(generation: Generation) -> wire::Generation {
    wire::Generation { epoch: generation.epoch.0, sequence: generation.sequence.0 }
}

fn held(value: &wire::Held) -> Result<Held, WireError> {
    Ok(Held {
        generation: value.generation.as_ref().map(generation).unwrap_or_default(),
        index: optional_digest("held.index", &value.index)?,
        refused: optional_digest("held.refused", &value.refused)?,
        applied: optional_digest("held.applied", &value.applied)?,
        root: optional_digest("held.root", &value.root)?,
        freshness: optional_digest("held.freshness", &value.freshness)?,
        keys: optional_digest("held.keys", &value.keys)?,
    })
}

fn write_held(held: &Held) -> wire::Held {
    wire::Held {
        generation: Some(write_generation(held.generation)),
        index: write_optional_digest(held.index.as_ref()),
        refused: write_optional_digest(held.refused.as_ref()),
        applied: write_optional_digest(held.applied.as_ref()),
        root: write_optional_digest(held.root.as_ref()),
        freshness: write_optional_digest(held.freshness.as_ref()),
        keys: write_optional_digest(held.keys.as_ref()),
    }
}

fn hello(hello: wire::Hello) -> Result<Hello, WireError> {
    let range = |range: wire::VersionRange| VersionRange { major: range.major, oldest: range.oldest_minor, newest: range.newest_minor };
    let boot: [u8; 16] =
        hello.boot.as_ref().try_into().map_err(|_| WireError::Invalid { field: "hello.boot", why: "a boot id has 16 bytes".into() })?;
    Ok(Hello {
        versions: VersionOffer::new(hello.versions.into_iter().map(range)),
        boot: BootId(boot),
        held: held(&present("hello.held", hello.held)?)?,
        status: digest("hello.status", &hello.status)?,
        agent_version: text("hello.agent_version", hello.agent_version, OBJECT_NAME_LIMIT)?,
        kubernetes_version: text("hello.kubernetes_version", hello.kubernetes_version, OBJECT_NAME_LIMIT)?,
    })
}

impl TryFrom<wire::AgentControl> for AgentMessage {
    type Error = WireError;

    fn try_from(control: wire::AgentControl) -> Result<Self, WireError> {
        use wire::agent_control::Message;
        Ok(match control.message.ok_or(WireError::UnknownKind)? {
            Message::Hello(message) => Self::Hello(hello(message)?),
            Message::Heartbeat(heartbeat) => Self::Heartbeat(Heartbeat {
                held: held(&present("heartbeat.held", heartbeat.held)?)?,
                status: digest("heartbeat.status", &heartbeat.status)?,
            }),
            Message::IndexAccepted(accepted) => Self::IndexJudged {
                digest: digest("index_accepted.digest", &accepted.digest)?,
                verdict: Verdict::Accepted(generation(&present("index_accepted.generation", accepted.generation)?)),
            },
            Message::IndexRefused(refused) => Self::IndexJudged {
                digest: digest("index_refused.digest", &refused.digest)?,
                verdict: Verdict::Refused(present("index_refused.reason", refused.reason)?.try_into()?),
            },
        })
    }
}

impl From<AgentMessage> for wire::AgentControl {
    fn from(message: AgentMessage) -> Self {
        use wire::agent_control::Message;
        let range =
            |range: &VersionRange| wire::VersionRange { major: range.major, oldest_minor: range.oldest, newest_minor: range.newest };
        let message = match message {
            AgentMessage::Hello(hello) => Message::Hello(wire::Hello {
                versions: hello.versions.ranges().iter().map(range).collect(),
                boot: hello.boot.0.to_vec().into(),
                held: Some(write_held(&hello.held)),
                status: write_digest(&hello.status),
                agent_version: hello.agent_version,
                kubernetes_version: hello.kubernetes_version,
            }),
            AgentMessage::Heartbeat(heartbeat) => {
                Message::Heartbeat(wire::Heartbeat { held: Some(write_held(&heartbeat.held)), status: write_digest(&heartbeat.status) })
            }
            AgentMessage::IndexJudged { digest, verdict: Verdict::Accepted(generation) } => Message::IndexAccepted(wire::IndexAccepted {
                digest: write_digest(&digest),
                generation: Some(write_generation(generation)),
            }),
            AgentMessage::IndexJudged { digest, verdict: Verdict::Refused(reason) } => {
                Message::IndexRefused(wire::IndexRefused { digest: write_digest(&digest), reason: Some((&reason).into()) })
            }
        };
        Self { message: Some(message) }
    }
}

fn keys(keys: wire::AppKeys) -> Result<KeySet, WireError> {
    at_most("keys", &keys.keys, KEY_LIMIT)?;
    let key = |key: wire::AppKey| {
        let secret = content("key.secret", key.secret, SECRET_LIMIT)?;
        Ok(AppKey { id: text("key.id", key.id, KEY_ID_LIMIT)?, secret: Secret::new(secret.to_vec()) })
    };
    let keys = keys.keys.into_iter().map(key).collect::<Result<Vec<_>, WireError>>()?;
    KeySet::new(keys).map_err(|why| invalid("keys")(&why))
}

fn write_keys(keys: &KeySet) -> wire::AppKeys {
    let key = |(id, secret): (&str, &Secret)| wire::AppKey { id: id.to_owned(), secret: secret.expose().to_vec().into() };
    wire::AppKeys { keys: keys.iter().map(key).collect() }
}

fn goodbye(goodbye: &wire::Goodbye) -> Goodbye {
    use wire::goodbye::Reason;
    let reason = match goodbye.reason() {
        Reason::Unspecified => GoodbyeReason::Unknown,
        Reason::Draining => GoodbyeReason::Draining,
        Reason::Replaced => GoodbyeReason::Replaced,
        Reason::NotAdmitted => GoodbyeReason::NotAdmitted,
        Reason::Overloaded => GoodbyeReason::Overloaded,
        Reason::Age => GoodbyeReason::Age,
        Reason::Version => GoodbyeReason::Version,
        Reason::Protocol => GoodbyeReason::Protocol,
        Reason::Silent => GoodbyeReason::Silent,
    };
    // A goodbye is heeded even if its text is too long.
    let message = goodbye.message[..goodbye.message.floor_char_boundary(TEXT_LIMIT)].to_owned();
    Goodbye { reason, message, retry_after: goodbye.retry_after_millis.map(Duration::from_millis) }
}

fn write_goodbye(goodbye: Goodbye) -> wire::Goodbye {
    use wire::goodbye::Reason;
    let reason = match goodbye.reason {
        GoodbyeReason::Unknown => Reason::Unspecified,
        GoodbyeReason::Draining => Reason::Draining,
        GoodbyeReason::Replaced => Reason::Replaced,
        GoodbyeReason::NotAdmitted => Reason::NotAdmitted,
        GoodbyeReason::Overloaded => Reason::Overloaded,
        GoodbyeReason::Age => Reason::Age,
        GoodbyeReason::Version => Reason::Version,
        GoodbyeReason::Protocol => Reason::Protocol,
        GoodbyeReason::Silent => Reason::Silent,
    };
    wire::Goodbye { reason: reason.into(), message: goodbye.message, retry_after_millis: goodbye.retry_after.map(millis) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl TryFrom<wire::HubControl> for HubMessage {
    type Error = WireError;

    fn try_from(control: wire::HubControl) -> Result<Self, WireError> {
        use wire::hub_control::Message;
        Ok(match control.message.ok_or(WireError::UnknownKind)? {
            Message::Welcome(welcome) => {
                let version = present("welcome.version", welcome.version)?;
                Self::Welcome(Welcome {
                    version: ProtocolVersion { major: version.major, minor: version.minor },
                    heartbeat: Duration::from_millis(welcome.heartbeat_millis),
                    server_time: time("welcome.server_time", welcome.server_time)?,
                    status: digest("welcome.status", &welcome.status)?,
                })
            }
            Message::Root(document) => Self::Root(RootDocument::new(content("root", document.content, INDEX_LIMIT)?)),
            Message::Keys(value) => Self::Keys(Arc::new(keys(value)?)),
            Message::Index(document) => Self::Index(IndexDocument::new(content("index", document.content, INDEX_LIMIT)?)),
            Message::Freshness(document) => Self::Freshness(FreshnessDocument::new(content("freshness", document.content, INDEX_LIMIT)?)),
            Message::SendStatus(_) => Self::SendStatus,
            Message::HeartbeatSeen(seen) => Self::HeartbeatSeen { server_time: time("heartbeat_seen.server_time", seen.server_time)? },
            Message::Goodbye(message) => Self::Goodbye(goodbye(&message)),
        })
    }
}

impl From<HubMessage> for wire::HubControl {
    fn from(message: HubMessage) -> Self {
        use wire::hub_control::Message;
        let message = match message {
            HubMessage::Welcome(welcome) => Message::Welcome(wire::Welcome {
                version: Some(wire::Version { major: welcome.version.major, minor: welcome.version.minor }),
                heartbeat_millis: millis(welcome.heartbeat),
                server_time: write_time(welcome.server_time),
                status: write_digest(&welcome.status),
            }),
            HubMessage::Root(root) => Message::Root(wire::Document { content: root.bytes().clone() }),
            HubMessage::Keys(keys) => Message::Keys(write_keys(&keys)),
            HubMessage::Index(index) => Message::Index(wire::Document { content: index.bytes().clone() }),
            HubMessage::Freshness(freshness) => Message::Freshness(wire::Document { content: freshness.bytes().clone() }),
            HubMessage::SendStatus => Message::SendStatus(wire::SendStatus {}),
            HubMessage::HeartbeatSeen { server_time } => {
                Message::HeartbeatSeen(wire::HeartbeatSeen { server_time: write_time(server_time) })
            }
            HubMessage::Goodbye(goodbye) => Message::Goodbye(write_goodbye(goodbye)),
        };
        Self { message: Some(message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::{Digest, Reason, Severity, Timestamp};

    fn some(byte: u8) -> Option<Digest> {
        Some(Digest::from_bytes([byte; 32]))
    }

    fn full_held() -> Held {
        Held {
            generation: Generation::new(3, 7),
            index: some(1),
            refused: some(2),
            applied: some(3),
            root: some(4),
            freshness: some(5),
            keys: some(6),
        }
    }

    #[test]
    fn every_message_of_an_agent_reads_back() {
        let digest = Digest::of(b"x");
        for message in [
            AgentMessage::Hello(Hello {
                versions: VersionOffer::new([VersionRange { major: 1, oldest: 2, newest: 4 }]),
                boot: BootId([9; 16]),
                held: full_held(),
                status: digest,
                agent_version: "0.1.0".into(),
                kubernetes_version: "v1.34.1".into(),
            }),
            AgentMessage::Heartbeat(Heartbeat { held: Held::default(), status: digest }),
            AgentMessage::IndexJudged { digest, verdict: Verdict::Accepted(Generation::new(1, 2)) },
            AgentMessage::IndexJudged { digest, verdict: Verdict::Refused(Reason::new(Severity::Wait, "TooOld", "facts")) },
        ] {
            assert_eq!(AgentMessage::try_from(wire::AgentControl::from(message.clone())), Ok(message));
        }
    }

    #[test]
    fn every_message_of_a_hub_reads_back() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let goodbye = |reason, retry_after| HubMessage::Goodbye(Goodbye { reason, message: "m".into(), retry_after });
        let mut messages = vec![
            HubMessage::Welcome(Welcome {
                version: ProtocolVersion { major: 1, minor: 2 },
                heartbeat: Duration::from_secs(10),
                server_time: now,
                status: Digest::of(b""),
            }),
            HubMessage::Root(RootDocument::new(b"r".to_vec())),
            HubMessage::Keys(Arc::new(KeySet::new([AppKey { id: "k".into(), secret: Secret::new(vec![1; 32]) }]).unwrap())),
            HubMessage::Index(IndexDocument::new(b"i".to_vec())),
            HubMessage::Freshness(FreshnessDocument::new(b"f".to_vec())),
            HubMessage::SendStatus,
            HubMessage::HeartbeatSeen { server_time: now },
        ];
        use GoodbyeReason::{Age, Draining, NotAdmitted, Overloaded, Protocol, Replaced, Silent, Unknown, Version};
        messages.extend([Draining, Replaced, NotAdmitted, Overloaded, Age, Version, Protocol, Silent, Unknown].map(|r| goodbye(r, None)));
        messages.push(goodbye(Draining, Some(Duration::from_millis(1500))));
        for message in messages {
            assert_eq!(HubMessage::try_from(wire::HubControl::from(message.clone())), Ok(message));
        }
    }

    #[test]
    fn a_message_of_a_newer_version_is_told_apart_from_a_broken_one() {
        assert_eq!(HubMessage::try_from(wire::HubControl { message: None }), Err(WireError::UnknownKind));
        let broken = wire::agent_control::Message::Heartbeat(wire::Heartbeat { held: None, status: vec![0; 32].into() });
        let broken = wire::AgentControl { message: Some(broken) };
        assert_eq!(AgentMessage::try_from(broken), Err(WireError::Missing("heartbeat.held")));
        let short = wire::Heartbeat { held: Some(wire::Held::default()), status: vec![0; 31].into() };
        let short = wire::AgentControl { message: Some(wire::agent_control::Message::Heartbeat(short)) };
        assert!(matches!(AgentMessage::try_from(short), Err(WireError::Invalid { field: "heartbeat.status", .. })));
        let future = wire::Goodbye { reason: 99, message: String::new(), retry_after_millis: None };
        assert_eq!(goodbye(&future).reason, GoodbyeReason::Unknown);
    }

    #[test]
    fn an_index_of_one_byte_too_many_is_refused() {
        let index = |size: usize| {
            let document = wire::Document { content: vec![0; size].into() };
            HubMessage::try_from(wire::HubControl { message: Some(wire::hub_control::Message::Index(document)) })
        };
        assert!(index(INDEX_LIMIT).is_ok());
        assert_eq!(index(INDEX_LIMIT + 1), Err(WireError::TooLong { field: "index", size: INDEX_LIMIT + 1, limit: INDEX_LIMIT }));
        assert_eq!(index(0), Err(WireError::Missing("index")));
    }
}
