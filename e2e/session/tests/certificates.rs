//! How a cluster gets its certificate, keeps it, and gets it back.

use std::time::Duration;

use agent_link::{EnrolConfig, EnrolError, Enrolled, LinkConfig, enrol};
use e2e_session::{Agent, Place, SiteDouble, Stranger};
use shared_identity::{AgentKey, CaPin, CertificateAuthority, enrolment_client_config};
use shared_model::Timestamp;
use shared_proto::{ReattestCall, wire};
use shared_session::Secret;

fn at_the_door(place: &Place, token: &str) -> EnrolConfig {
    EnrolConfig {
        address: place.door_address.to_string().parse().unwrap(),
        pin: place.desk.authority.pin(),
        token: Secret::new(token.as_bytes().to_vec()),
        uid: "uid-1".parse().unwrap(),
        agent_version: "0.1.0".into(),
    }
}

fn refusal(outcome: Result<Enrolled, EnrolError>) -> (String, bool) {
    match outcome {
        Err(EnrolError::Refused { message, later }) => (message, later),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_gives_a_certificate_that_the_session_takes() {
    let place = Place::start().await;
    place.desk.token("good", "gpu-a");
    let key = AgentKey::generate().unwrap();
    let enrolled = enrol(&at_the_door(&place, "good"), &key).await.unwrap();
    assert_eq!(enrolled.certificate.facts.identity.uri(), "spiffe://capstan/cluster/gpu-a/uid-1");
    assert_eq!(enrolled.root.bytes().as_ref(), b"root 1");
    let config =
        LinkConfig { key: key.into(), certificate: enrolled.certificate, trusted: enrolled.authority, ..place.agent_config("template") };
    let agent = Agent::start(config, SiteDouble::new());
    agent.in_sync().await;
}

#[tokio::test]
async fn each_wrong_token_is_refused_with_what_to_do() {
    let place = Place::start().await;
    for token in ["used", "expired", "again"] {
        place.desk.token(token, "gpu-a");
    }
    place.desk.change(|state| state.tokens.get_mut("expired").unwrap().expired = true);
    let (first, second) = (AgentKey::generate().unwrap(), AgentKey::generate().unwrap());
    enrol(&at_the_door(&place, "used"), &first).await.unwrap();
    for (token, words) in [("used", "was used already"), ("expired", "has expired"), ("wrong", "is not known"), ("", "is not known")] {
        let (message, later) = refusal(enrol(&at_the_door(&place, token), &second).await);
        assert!(message.contains(words) && message.contains("capstan cluster add") && !later, "{token}: {message}");
    }
    // The reply was lost and the same agent asks again.
    enrol(&at_the_door(&place, "again"), &first).await.unwrap();
    enrol(&at_the_door(&place, "again"), &first).await.unwrap();
    let long = refusal(enrol(&at_the_door(&place, &"x".repeat(129)), &second).await);
    assert!(long.0.contains("more than the limit of 128"), "{long:?}");
}

#[tokio::test]
async fn a_cluster_that_must_be_accepted_waits_and_gets_in_with_the_same_key() {
    let place = Place::start().await;
    place.desk.token("good", "gpu-a");
    place.desk.change(|state| state.must_accept = true);
    let key = AgentKey::generate().unwrap();
    let (message, later) = refusal(enrol(&at_the_door(&place, "good"), &key).await);
    assert!(later && message.contains("capstan cluster accept gpu-a"), "{message}");
    place.desk.change(|state| state.must_accept = false);
    enrol(&at_the_door(&place, "good"), &key).await.unwrap();
}

#[tokio::test]
async fn a_hub_without_the_pinned_authority_never_sees_the_token() {
    let place = Place::start().await;
    place.desk.token("good", "gpu-a");
    let other = CertificateAuthority::generate("other", Timestamp::now()).unwrap();
    let config = EnrolConfig { pin: other.pin(), ..at_the_door(&place, "good") };
    let refused = enrol(&config, &AgentKey::generate().unwrap()).await.unwrap_err();
    assert!(matches!(refused, EnrolError::Dial(_)), "{refused}");
    assert!(place.desk.state().tokens["good"].used_by.is_none());
}

#[tokio::test]
async fn a_certificate_is_renewed_without_losing_the_connection_and_shown_on_the_next() {
    let mut place = Place::start().await;
    // A third of six seconds is two.
    place.desk.change(|state| state.lifetime = Some(Duration::from_secs(6)));
    let config = place.agent_config("gpu-a");
    place.desk.change(|state| state.lifetime = None);
    let old = config.certificate.facts.clone();
    let agent = Agent::start(config, SiteDouble::new());
    agent.in_sync().await;
    agent.site.until("a new certificate", |state| !state.certificates.is_empty()).await;
    let new = agent.site.state().certificates[0].facts.clone();
    assert_eq!((&new.identity, new.key), (&old.identity, old.key));
    assert_ne!(new.serial, old.serial);
    assert!(agent.link.state().borrow().is_connected());
    assert!(place.desk.state().parted.is_empty(), "no connection was lost");
    place.stop_hub().await;
    place.start_hub_again().await;
    let shown = (agent.identity.clone(), new.serial);
    place.desk.until("the new certificate", |state| state.admitted.contains(&shown)).await;
    assert_eq!(place.desk.state().renewals, 1);
}

#[tokio::test]
async fn an_agent_that_outlived_its_certificate_proves_its_key_and_is_back() {
    let place = Place::start().await;
    place.desk.change(|state| state.backdate = Duration::from_secs(48 * 3600));
    let config = place.agent_config("gpu-a");
    assert!(config.certificate.facts.not_after < Timestamp::now());
    let agent = Agent::start(config, SiteDouble::new());
    agent.in_sync().await;
    assert_eq!(place.desk.state().reattested, 1);
    assert_eq!(agent.site.state().certificates.len(), 1, "stored before it was used");
}

#[tokio::test]
async fn a_key_that_is_not_bound_gets_nothing_at_the_door() {
    let place = Place::start().await;
    place.desk.change(|state| state.backdate = Duration::from_secs(48 * 3600));
    let config = place.agent_config("gpu-a");
    place.desk.change(|state| state.clusters.values_mut().for_each(|cluster| cluster.key.0 = shared_model::Digest::of(b"another")));
    let agent = Agent::start(config, SiteDouble::new());
    agent.away("this key is not bound to this cluster").await;
    assert_eq!(place.desk.state().reattested, 0);
}

#[tokio::test]
async fn a_recorded_proof_is_worth_nothing_on_another_connection() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let uid = &config.certificate.facts.identity.uid;
    let tls = || enrolment_client_config(place.desk.authority.pin()).unwrap();
    let one = Stranger::connect(place.door_address, tls()).await.unwrap();
    let two = Stranger::connect(place.door_address, tls()).await.unwrap();
    let call = || {
        let proof = config.key.prove(&one.binding, uid).unwrap();
        wire::ReattestRequest::from(ReattestCall { uid: uid.clone(), csr_pem: config.key.request().unwrap(), proof })
    };
    let replayed = two.door().reattest(call()).await.unwrap_err();
    assert_eq!(replayed.code(), tonic::Code::PermissionDenied);
    assert!(replayed.message().contains("proof of possession"), "{replayed}");
    one.door().reattest(call()).await.unwrap();
}

#[tokio::test]
async fn a_renewal_for_another_key_is_refused() {
    let place = Place::start().await;
    let config = place.agent_config("gpu-a");
    let stranger = e2e_session::Stranger::as_agent(&place, &config).await.unwrap();
    let (_control, _messages) = stranger.welcomed().await;
    let csr_pem = AgentKey::generate().unwrap().request().unwrap();
    let refused = stranger.session().renew(wire::RenewRequest { csr_pem }).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let same = wire::RenewRequest { csr_pem: config.key.request().unwrap() };
    stranger.session().renew(same).await.unwrap();
    assert_eq!(place.desk.state().renewals, 1);
}

#[tokio::test]
async fn the_pin_that_is_printed_is_that_of_the_authority() {
    let place = Place::start().await;
    let pin = place.desk.authority.pin();
    assert_eq!(pin.to_string().parse::<CaPin>().unwrap(), pin);
    let mistyped = pin.to_string().replace("sha256:", "sha1:");
    assert!(mistyped.parse::<CaPin>().unwrap_err().to_string().contains("capstan cluster add"));
}

#[tokio::test]
async fn the_hub_shows_a_new_certificate_without_a_restart() {
    let place = Place::start().await;
    let agent = place.agent("gpu-a").await;
    let before = Stranger::as_agent(&place, &place.agent_config("before")).await.unwrap();
    let new = place.swap_hub_certificate();
    let after = Stranger::as_agent(&place, &place.agent_config("after")).await.unwrap();
    assert_ne!(before.hub_certificate, new);
    assert_eq!(after.hub_certificate, new);
    agent.in_sync().await;
    assert!(place.desk.state().parted.is_empty(), "running connections are untouched");
}
