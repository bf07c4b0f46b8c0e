//! What must not work: wrong certificates, wrong protocols, other clusters' content, too much of anything; and how live agents are ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_link::LinkConfig;
use bytes::Bytes;
use e2e_session::{Agent, Place, SiteDouble, Stranger, goodbye, hello, next};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use shared_identity::{
    AgentCertificate, AgentIdentity, AgentKey, CertificateAuthority, CertificateRequest, RotatingCertificate, agent_client_config,
    enrolment_client_config,
};
use shared_model::{Digest, Generation, Timestamp};
use shared_proto::{Collected, Collector, MESSAGE_LIMIT, wire, write_fetch};
use shared_session::{GoodbyeReason, HubMessage, LOG_CHUNK_LIMIT};
use tokio::net::TcpStream;
use tonic::Code;

/// Whether somebody with this TLS configuration gets a word out of the hub.
async fn is_let_in(place: &Place, tls: Arc<ClientConfig>) -> bool {
    match Stranger::connect(place.address, tls).await {
        Err(_) => false,
        // TLS 1.3 shows a refused client certificate only at the first call.
        Ok(stranger) => match stranger.control(hello(1)).await {
            Err(_) => false,
            Ok((_control, mut messages)) => next(&mut messages).await.is_some(),
        },
    }
}

fn with_certificate(config: &LinkConfig, certificate: Arc<RotatingCertificate>) -> Arc<ClientConfig> {
    agent_client_config(&config.trusted, certificate).unwrap()
}

fn issued_by(authority: &CertificateAuthority, identity: &AgentIdentity, age: Duration) -> Arc<RotatingCertificate> {
    let key = AgentKey::generate().unwrap();
    let request = CertificateRequest::parse(&key.request().unwrap()).unwrap();
    let chain = authority.issue(&request, identity, Timestamp::now() - age, Duration::from_secs(3600)).unwrap();
    RotatingCertificate::agent(&chain, &key).unwrap()
}

#[tokio::test]
async fn only_a_valid_agent_certificate_of_this_hub_opens_the_session() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let identity = &config.certificate.facts.identity;
    let good = RotatingCertificate::agent(&config.certificate.chain, &config.key).unwrap();
    assert!(is_let_in(&place, with_certificate(&config, Arc::clone(&good))).await, "the control of this test");

    let other = CertificateAuthority::generate("other", Timestamp::now()).unwrap();
    let foreign = issued_by(&other, identity, Duration::ZERO);
    assert!(!is_let_in(&place, with_certificate(&config, foreign)).await, "another CA");
    let expired = issued_by(&place.desk.authority, identity, Duration::from_secs(7200));
    assert!(!is_let_in(&place, with_certificate(&config, expired)).await, "expired");
    let server = place.desk.authority.issue_server(&["127.0.0.1".into()], Timestamp::now(), Duration::from_secs(3600)).unwrap();
    let server = RotatingCertificate::server(&server).unwrap();
    assert!(!is_let_in(&place, with_certificate(&config, server)).await, "a hub's certificate");
    let bare = enrolment_client_config(place.desk.authority.pin()).unwrap();
    assert!(!is_let_in(&place, bare).await, "no certificate");

    let resolver = |versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[&[u8]]| {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(place.desk.authority.certificate().leaf().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(good.clone());
        tls.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(tls)
    };
    assert!(is_let_in(&place, resolver(&[&TLS13], &[b"h2"])).await, "the control of this test");
    assert!(!is_let_in(&place, resolver(&[&TLS12], &[b"h2"])).await, "TLS 1.2");
    assert!(!is_let_in(&place, resolver(&[&TLS13], &[b"http/1.1"])).await, "another protocol");
    assert!(!is_let_in(&place, resolver(&[&TLS13], &[])).await, "no protocol");
}

#[tokio::test]
async fn an_agent_does_not_talk_to_a_hub_of_another_authority() {
    let (place, other) = (Place::start().await, Place::start().await);
    let config = LinkConfig { hub: other.address.to_string().parse().unwrap(), ..place.agent_config("gpu-a") };
    let agent = Agent::start(config, SiteDouble::new());
    agent.away("TLS with the hub").await;
    assert!(other.desk.state().heard.is_empty());
}

#[tokio::test]
async fn an_agent_whose_certificate_is_refused_says_so() {
    let place = Place::start().await;
    let mut config = place.agent_config("gpu-a");
    let other = CertificateAuthority::generate("other", Timestamp::now()).unwrap();
    let request = CertificateRequest::parse(&config.key.request().unwrap()).unwrap();
    let chain = other.issue(&request, &config.certificate.facts.identity, Timestamp::now(), Duration::from_secs(3600)).unwrap();
    config.certificate = AgentCertificate::new(chain).unwrap();
    Agent::start(config, SiteDouble::new()).away("UnknownCA").await;
}

#[tokio::test]
async fn the_enrolment_door_reads_no_more_than_an_enrolment_needs() {
    let place = Place::start().await;
    let tls = || enrolment_client_config(place.desk.authority.pin()).unwrap();
    let call =
        |padding: usize| wire::EnrolRequest { cluster_uid: "u".into(), csr_pem: "x".repeat(padding), ..wire::EnrolRequest::default() };
    let wrapping = prost::Message::encoded_len(&call(20_000)) - 20_000;
    for (size, words) in [(hub_distribute::ENROL_MESSAGE_LIMIT, "csr_pem"), (hub_distribute::ENROL_MESSAGE_LIMIT + 1, "limit is: 32768")] {
        let stranger = Stranger::connect(place.door_address, tls()).await.unwrap();
        let refused = stranger.door().enrol(call(size - wrapping)).await.unwrap_err();
        assert!(refused.message().contains(words), "{refused}");
    }
    let stranger = Stranger::connect(place.door_address, tls()).await.unwrap();
    let elsewhere = stranger.session().fetch(write_fetch(&[])).await.unwrap_err();
    assert_eq!(elsewhere.code(), Code::Unimplemented, "the door does not serve the session");
}

#[tokio::test]
async fn a_cluster_that_is_not_admitted_is_told_why() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    place.desk.change(|state| state.clusters.clear());
    let agent = Agent::start(config, SiteDouble::new());
    agent.away("UnknownCluster: this cluster is not in the fleet").await;
    let away = agent.link.state().borrow().clone();
    assert!(matches!(away, agent_link::LinkState::Away { needs_an_operator: true, .. }), "{away:?}");
}

/// A certificate of the right CA for another name is another agent: nothing in a message can change who speaks.
#[tokio::test]
async fn content_of_another_cluster_is_as_absent_as_content_that_does_not_exist() {
    let place = Place::start().await;
    let victim = place.agent_config("victim").certificate.facts.identity;
    let (secret, own) = (Bytes::from_static(b"the victim's object"), Bytes::from_static(b"own object"));
    place.publish(&victim, Generation::new(1, 1), std::slice::from_ref(&secret));
    let config = place.agent_config("thief");
    place.publish(&config.certificate.facts.identity, Generation::new(1, 1), std::slice::from_ref(&own));
    let thief = Stranger::as_agent(&place, &config).await.unwrap();
    let early = thief.session().fetch(write_fetch(&[Digest::of(&own)])).await.unwrap_err();
    assert_eq!(early.code(), Code::FailedPrecondition, "before the hello");
    let _lane = thief.welcomed().await;
    let wanted = [Digest::of(&secret), Digest::of(b"nowhere"), Digest::of(&own)];
    let mut chunks = thief.session().fetch(write_fetch(&wanted)).await.unwrap().into_inner();
    let (mut collector, mut got) = (Collector::default(), Vec::new());
    while let Some(chunk) = chunks.message().await.unwrap() {
        got.extend(collector.take(chunk).unwrap());
    }
    assert_eq!(got, [Collected::Absent(wanted[0]), Collected::Absent(wanted[1]), Collected::Object(wanted[2], own)]);
    assert!(place.desk.state().asked.iter().all(|(who, _)| *who == config.certificate.facts.identity));
}

#[tokio::test]
async fn a_log_that_nobody_asked_for_is_not_taken() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let stranger = Stranger::as_agent(&place, &config).await.unwrap();
    let send = async |chunks: Vec<wire::LogChunk>| stranger.session().logs(tokio_stream::iter(chunks)).await.unwrap_err().code();
    let chunk = |id, size| wire::LogChunk { id, data: vec![b'x'; size].into(), cut_short: None };
    assert_eq!(send(vec![chunk(1, 9)]).await, Code::FailedPrecondition, "before the hello");
    let _lane = stranger.welcomed().await;
    assert_eq!(send(vec![chunk(1, 9), chunk(0, 9)]).await, Code::NotFound);
    assert_eq!(send(vec![]).await, Code::InvalidArgument);
    assert_eq!(send(vec![chunk(1, LOG_CHUNK_LIMIT + 1)]).await, Code::InvalidArgument);
}

#[tokio::test]
async fn a_message_of_one_byte_too_many_is_refused() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let padded = |size: usize| {
        let with = |padding: usize| wire::AgentControl {
            message: Some(wire::agent_control::Message::Hello(wire::Hello {
                agent_version: "x".repeat(padding),
                ..wire::Hello::default()
            })),
        };
        let wrapping = encoded(&with(size)) - size;
        with(size - wrapping)
    };
    for (size, words) in [(MESSAGE_LIMIT, "16 bytes"), (MESSAGE_LIMIT + 1, "limit is: 4194304")] {
        let message = padded(size);
        assert_eq!(encoded(&message), size);
        let stranger = Stranger::as_agent(&place, &config).await.unwrap();
        let (_control, mut messages) = stranger.control(message).await.unwrap();
        let said = goodbye(&mut messages).await.expect("a goodbye");
        assert_eq!(said.reason, GoodbyeReason::Protocol);
        assert!(said.message.contains(words), "{}", said.message);
    }
    let stranger = Stranger::as_agent(&place, &config).await.unwrap();
    let mut request = tonic::Request::new(write_fetch(&[]));
    request.metadata_mut().insert("x", "y".repeat(17 * 1024).parse().unwrap());
    // The answer is HTTP's 431, which tonic shows at the first message; the service never saw the call, or it had asked for a hello.
    let answer = stranger.session().fetch(request).await.unwrap().into_inner().message().await.unwrap_err();
    assert!(answer.message().contains("431"), "{answer}");
}

#[tokio::test]
async fn whoever_breaks_the_protocol_is_told_and_cut() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let beat = || {
        wire::AgentControl::from(shared_session::AgentMessage::Heartbeat(shared_session::Heartbeat {
            held: shared_session::Held::default(),
            status: Digest::of(b""),
        }))
    };
    let stranger = Stranger::as_agent(&place, &config).await.unwrap();
    let (_control, mut messages) = stranger.control(beat()).await.unwrap();
    assert!(goodbye(&mut messages).await.unwrap().message.contains("first message must be a hello"));

    let stranger = Stranger::as_agent(&place, &config).await.unwrap();
    let (control, mut messages) = stranger.welcomed().await;
    assert_eq!(stranger.control(hello(2)).await.unwrap_err().code(), Code::FailedPrecondition, "one control lane a connection");
    control.send(hello(1)).await.unwrap();
    assert!(goodbye(&mut messages).await.unwrap().message.contains("second hello"));

    let stranger = Stranger::as_agent(&place, &config).await.unwrap();
    let (_control, mut messages) = stranger.welcomed().await;
    assert_eq!(goodbye(&mut messages).await.unwrap().reason, GoodbyeReason::Silent, "no heartbeat came");
    assert!(next(&mut messages).await.is_none());
    assert!(stranger.session().fetch(write_fetch(&[])).await.is_err(), "the connection is cut");
}

#[tokio::test]
async fn a_revoked_agent_is_gone_within_five_seconds_on_all_lanes() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let config = place.agent_config("bystander");
    let bystander = Agent::start(config, SiteDouble::new());
    bystander.in_sync().await;
    let begun = Instant::now();
    place.desk.revoke(&agent.identity);
    agent.away("Revoked: this cluster was removed from the fleet").await;
    while place.hub.connected().contains(&agent.identity) {
        tokio::task::yield_now().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(bystander.link.state().borrow().is_connected());
    assert!(!place.desk.state().parted.contains_key(&bystander.identity), "others notice nothing");
}

#[tokio::test]
async fn the_streams_of_a_revoked_agent_are_cut_even_if_it_does_not_hang_up() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let stranger = Stranger::as_agent(&place, &config).await.unwrap();
    let (_control, mut messages) = stranger.welcomed().await;
    let (_replies, outgoing) = tokio::sync::mpsc::channel(1);
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    let mut questions = stranger.session().interactive(outgoing).await.unwrap().into_inner();
    let begun = Instant::now();
    place.desk.revoke(&config.certificate.facts.identity);
    assert_eq!(goodbye(&mut messages).await.unwrap().reason, GoodbyeReason::NotAdmitted);
    assert!(stranger.session().fetch(write_fetch(&[])).await.is_err());
    while let Ok(Some(_)) = questions.message().await {}
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let again = Stranger::as_agent(&place, &config).await.unwrap();
    let (_control, mut messages) = again.control(hello(1)).await.unwrap();
    assert!(matches!(next(&mut messages).await, Some(HubMessage::Goodbye(_))));
}

#[tokio::test]
async fn a_second_connection_takes_over_and_two_processes_with_one_identity_are_noticed() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let mut older = None;
    for boot in [1, 2, 1] {
        let stranger = Stranger::as_agent(&place, &config).await.unwrap();
        let (control, mut messages) = stranger.control(hello(boot)).await.unwrap();
        assert!(matches!(next(&mut messages).await, Some(HubMessage::Welcome(_))));
        if let Some((_, _, mut messages)) = older.replace((stranger, control, messages)) {
            let said = goodbye(&mut messages).await.expect("a goodbye");
            assert_eq!(said.reason, GoodbyeReason::Replaced);
            assert!(said.message.contains("running twice") && said.retry_after.is_some());
        }
    }
    place.desk.until("the suspicion", |state| state.suspicions.len() == 1).await;
    assert_eq!(place.hub.connected(), [config.certificate.facts.identity]);
}

#[tokio::test]
async fn an_overloaded_hub_says_when_to_come_back() {
    let mut options = Place::options();
    options.joining = 0;
    let place = Place::start_with(options).await;
    let stranger = Stranger::as_agent(&place, &place.agent_config("gpu-a")).await.unwrap();
    let (_control, mut messages) = stranger.control(hello(1)).await.unwrap();
    let said = goodbye(&mut messages).await.unwrap();
    assert_eq!(said.reason, GoodbyeReason::Overloaded);
    assert!(said.retry_after.unwrap() >= Place::options().come_back);
}

#[tokio::test]
async fn a_hub_that_stops_says_so_and_a_connection_ends_with_its_age() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    tokio::join!(place.stop_hub(), agent.away("the hub is stopping"));
    assert!(TcpStream::connect(place.address).await.is_err(), "the port is closed");

    let mut options = Place::options();
    options.connection_age = Duration::from_millis(500);
    let place = Place::start_with(options).await;
    let agent = place.agent("gpu-a").await;
    let parted = |times| move |state: &e2e_session::DeskState| state.parted.values().any(|parted| *parted >= times);
    place.desk.until("two connections that grew old", parted(2)).await;
    drop(agent);
}

#[tokio::test]
async fn strangers_who_never_finish_their_handshake_do_not_keep_agents_out() {
    let mut options = Place::options();
    options.handshakes = 4;
    let place = Place::start_with(options).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        idle.push(TcpStream::connect(place.address).await.unwrap());
    }
    let agent = place.agent("gpu-a").await;
    agent.in_sync().await;
}

#[tokio::test]
async fn a_certificate_that_names_a_cluster_of_another_uid_is_not_admitted() {
    let place = Place::start().await;
    let mut config = place.agent_config("gpu-a");
    let identity: AgentIdentity = "spiffe://capstan/cluster/other/uid-gpu-a".parse().unwrap();
    let request = CertificateRequest::parse(&config.key.request().unwrap()).unwrap();
    let chain = place.desk.authority.issue(&request, &identity, Timestamp::now(), Duration::from_secs(3600)).unwrap();
    config.certificate = AgentCertificate::new(chain).unwrap();
    Agent::start(config, SiteDouble::new()).away("OtherKey").await;
}

fn encoded(message: &wire::AgentControl) -> usize {
    prost::Message::encoded_len(message)
}
