//! What the two ends do when they find that the other is not as they thought: neither believes, both look again.

use std::time::Duration;

use shared_model::{Digest, Timestamp};
use shared_session::{
    AgentConfig, AgentInput, AgentMessage, AgentOutput, AgentSession, BootId, ClusterFacts, Ending, Heartbeat, Held, Hello, HubConfig,
    HubInput, HubMessage, HubOutput, HubSession, Moment, ProtocolVersion, STATUS_GAP, Status, StatusAck, StatusIndex, StatusUpdate,
    VersionOffer, Welcome,
};

fn at(seconds: u64) -> Moment {
    Moment { uptime: Duration::from_secs(seconds), wall: Timestamp::UNIX_EPOCH + Duration::from_secs(seconds) }
}

fn status() -> Status {
    Status::new(ClusterFacts { kubernetes: "v1.34.1".into(), ..ClusterFacts::default() }, [])
}

fn welcome(status: Digest) -> AgentInput {
    AgentInput::Received(HubMessage::Welcome(Welcome {
        version: ProtocolVersion { major: 1, minor: 0 },
        heartbeat: Duration::from_secs(10),
        server_time: Timestamp::UNIX_EPOCH,
        status,
    }))
}

fn agent() -> AgentSession {
    let config = AgentConfig { versions: VersionOffer::ours(), boot: BootId([1; 16]), agent_version: "1".into() };
    AgentSession::open(at(0), &config, Held::default(), status()).0
}

fn updates(outputs: Vec<AgentOutput>) -> Vec<StatusUpdate> {
    outputs.into_iter().filter_map(|output| if let AgentOutput::SendStatus(update) = output { Some(update) } else { None }).collect()
}

#[test]
fn a_hub_whose_agent_differs_without_telling_asks_from_the_beginning() {
    let mut hub = HubSession::open(at(0), HubConfig::default(), StatusIndex::empty());
    let digest = Digest::of(b"something else");
    let hello = Hello {
        versions: VersionOffer::ours(),
        boot: BootId([1; 16]),
        held: Held::default(),
        status: digest,
        agent_version: "1".into(),
        kubernetes_version: "1".into(),
    };
    hub.handle(at(0), HubInput::Received(AgentMessage::Hello(hello)));
    let mut beat = |seconds, status| {
        let heartbeat = AgentMessage::Heartbeat(Heartbeat { held: Held::default(), status });
        hub.handle(at(seconds), HubInput::Received(heartbeat)).contains(&HubOutput::Send(HubMessage::SendStatus))
    };
    assert!(!beat(10, digest), "the update may still be on its way");
    assert!(beat(20, digest), "it is not");
    assert!(!beat(30, StatusIndex::empty().root()), "in sync");
}

#[test]
fn an_agent_that_is_asked_or_hears_an_unexpected_digest_tells_from_the_beginning() {
    let summary = StatusUpdate::Summary(status().index().clone());
    let mut agent = agent();
    assert_eq!(updates(agent.handle(at(1), welcome(status().index().root()))), [], "in sync");
    assert!(agent.status_is_known());
    assert_eq!(updates(agent.handle(at(2), AgentInput::Received(HubMessage::SendStatus))), std::slice::from_ref(&summary));
    let unexpected = StatusAck::Held { root: Digest::of(b"something else") };
    assert_eq!(updates(agent.handle(at(3), AgentInput::StatusAcknowledged(unexpected))), [summary]);
    assert!(!agent.status_is_known());
    let expected = StatusAck::Held { root: status().index().root() };
    assert_eq!(updates(agent.handle(at(4), AgentInput::StatusAcknowledged(expected))), []);
    assert!(agent.status_is_known());
}

#[test]
fn a_status_that_changes_all_the_time_is_sent_at_intervals_and_newest_first() {
    let mut agent = agent();
    agent.handle(at(1), welcome(status().index().root()));
    let changed = |n: u32| {
        let facts = ClusterFacts { kubernetes: format!("v{n}"), ..ClusterFacts::default() };
        AgentInput::Status(Status::new(facts, []))
    };
    assert_eq!(updates(agent.handle(at(2), changed(1))).len(), 1);
    for n in 2..50 {
        assert_eq!(updates(agent.handle(at(2), changed(n))), [], "one is on its way");
    }
    let first = Status::new(ClusterFacts { kubernetes: "v1".into(), ..ClusterFacts::default() }, []);
    let ack = AgentInput::StatusAcknowledged(StatusAck::Held { root: first.index().root() });
    assert_eq!(updates(agent.handle(at(2), ack)), [], "too soon");
    let later = Moment { uptime: at(2).uptime + STATUS_GAP, ..at(2) };
    assert_eq!(agent.wake(), later.uptime);
    match &updates(agent.handle(later, AgentInput::Tick))[..] {
        [StatusUpdate::Changes { facts: Some((facts, _)), .. }] => assert_eq!(facts.kubernetes, "v49"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_hub_that_breaks_the_protocol_is_left() {
    for input in [AgentInput::Received(HubMessage::SendStatus), AgentInput::StatusAcknowledged(StatusAck::Held { root: Digest::of(b"") })] {
        let outputs = agent().handle(at(1), input);
        assert!(matches!(outputs[..], [AgentOutput::End(Ending::Protocol(_))]), "{outputs:?}");
    }
}
