//! What is stored, sent and signed: it reads back what it writes, refuses what is newer or changed, and keeps secrets.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shared_manifest::Object;
use shared_model::{AppName, Digest, Epoch, Generation, GroupKind, ObjectKey, Timestamp};
use shared_release::{
    Approval, Conflicts, DataKey, DecodeError, Entry, FEATURE_CONFLICTS, FEATURE_HEALTH, FEATURE_HOOKS, FEATURE_IGNORE, FEATURE_REMOVAL,
    FEATURE_TESTS, Freshness, HealthRule, Hook, HookDelete, Index, IndexApp, ObjectError, Phase, Policy, Prune, Release, Removal, Root,
    RootError, SUPPORTED_FEATURES, SealError, SignedFreshness, SignedIndex, SignedRoot, SigningKey, TestRequest, VerifyError, Withdrawal,
    decode_object, encode_object, health_rule,
};

fn app(name: &str) -> AppName {
    name.parse().expect("valid")
}

fn secret() -> Object {
    let value = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token", "namespace": "web"}, "data": {"t": "Y2FuYXJ5"}});
    Object::from_value(value).expect("valid")
}

fn key(kind: &str, name: &str) -> ObjectKey {
    ObjectKey::new(GroupKind::new("", kind), Some("web"), name)
}

fn entry(name: &str) -> Entry {
    Entry {
        object: key("ConfigMap", name).into(),
        version: "v1".into(),
        digest: Digest::of(name.as_bytes()),
        sealed: None,
        phase: Phase::Sync,
        wave: -2,
        hook: None,
        policy: Policy { prune: Prune::Never, ignore: BTreeSet::from(["/data/x".parse().expect("a pointer")]), ..Policy::default() },
    }
}

fn index() -> Index {
    let withdrawals = BTreeSet::from([
        Withdrawal { object: key("ConfigMap", "old"), to: None },
        Withdrawal { object: key("ConfigMap", "moved"), to: Some(app("other")) },
    ]);
    let depends_on = BTreeSet::from([app("base")]);
    let mut web = IndexApp { release: Some(Digest::of(b"r")), withdrawals, depends_on, ..IndexApp::default() };
    web.test = Some(TestRequest { id: "7f3a".parse().expect("valid"), by: "ann".into(), seconds: 300 });
    web.approval = Some(Approval { of: web.withdrawals_digest(&app("web")), by: "ann".into(), at: Timestamp::UNIX_EPOCH });
    Index {
        cluster: "gpu-a".parse().expect("valid"),
        uid: "u-1".parse().expect("valid"),
        generation: Generation::new(2, 7),
        parent: Some(Generation::new(2, 6)),
        apps: BTreeMap::from([(app("web"), web), (app("gone"), IndexApp::default())]),
    }
}

#[test]
fn a_sealed_secret_is_the_same_each_time_opens_only_in_its_place_and_shows_nothing() {
    let key = DataKey::from_bytes([1; 32]).app_key(&app("web"));
    let (digest, blob) = encode_object(&secret(), &key).expect("encoded");
    assert_eq!(encode_object(&secret(), &key).expect("encoded").0, digest, "equal content has equal digests");
    assert!(!String::from_utf8_lossy(&blob).contains("Y2FuYXJ5"));
    let open = |expected: &ObjectKey, key| decode_object(expected, &digest, &blob, Some(key));
    assert_eq!(open(&secret().key(), &key).expect("opens"), secret());
    let other_app = DataKey::from_bytes([1; 32]).app_key(&app("other"));
    assert!(matches!(open(&secret().key(), &other_app), Err(ObjectError::Seal(SealError::OtherKey { .. }))));
    let elsewhere = ObjectKey::new(GroupKind::new("", "Secret"), Some("elsewhere"), "token");
    assert!(matches!(open(&elsewhere, &key), Err(ObjectError::Seal(SealError::Broken { .. }))));
    assert!(!format!("{key:?} {:?}", DataKey::from_bytes([1; 32])).contains("1, 1"));
}

#[test]
fn a_plain_object_is_its_canonical_json_and_a_changed_one_is_refused() {
    let value =
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "web"}, "data": {"b": "1", "a": "2"}});
    let object = Object::from_value(value).expect("valid");
    let app_key = DataKey::from_bytes([1; 32]).app_key(&app("web"));
    let (digest, blob) = encode_object(&object, &app_key).expect("encoded");
    assert_eq!(blob, shared_manifest::canonical_json(object.value()));
    assert_eq!(decode_object(&object.key(), &digest, &blob, None).expect("reads"), object);
    assert!(matches!(decode_object(&object.key(), &digest, b"{}", None), Err(ObjectError::WrongDigest { .. })));
    assert!(matches!(decode_object(&key("ConfigMap", "b"), &digest, &blob, None), Err(ObjectError::OtherObject { .. })));
}

#[test]
fn a_release_reads_back_what_it_writes_and_is_refused_by_name_where_hooks_are_not_known() {
    let release = Release::new(app("web"), [entry("a"), entry("b")]);
    let (digest, bytes) = release.encode();
    assert_eq!(Digest::of(&bytes), digest);
    assert_eq!(Release::decode(&bytes, SUPPORTED_FEATURES), Ok(release));
    let hook = Hook { phases: BTreeSet::from([Phase::PreSync, Phase::PostSync]), delete: BTreeSet::from([HookDelete::HookSucceeded]) };
    let hook = Entry { hook: Some(hook), phase: Phase::PreSync, ..entry("h") };
    let late = Entry { phase: Phase::PostSync, ..hook.clone() };
    let hooks = Release::new(app("web"), [hook]);
    let (_, bytes) = hooks.encode();
    assert_eq!(Release::decode(&bytes, &[]), Err(DecodeError::UnknownFeature { feature: FEATURE_HOOKS.into() }));
    assert_eq!(Release::decode(&bytes, SUPPORTED_FEATURES), Ok(hooks));
    let test = Hook { phases: BTreeSet::from([Phase::Test]), delete: BTreeSet::from([HookDelete::BeforeHookCreation]) };
    let tests = Release::new(app("web"), [Entry { hook: Some(test), phase: Phase::Test, ..entry("t") }]);
    let (_, bytes) = tests.encode();
    assert_eq!(Release::decode(&bytes, &[FEATURE_HOOKS]), Err(DecodeError::UnknownFeature { feature: FEATURE_TESTS.into() }));
    assert_eq!(Release::decode(&bytes, SUPPORTED_FEATURES), Ok(tests));
    let (_, bytes) = Release::new(app("web"), [late]).encode();
    assert!(matches!(Release::decode(&bytes, SUPPORTED_FEATURES), Err(DecodeError::Malformed { .. })));
}

#[test]
fn a_name_that_is_no_single_segment_of_a_path_is_refused_wherever_it_stands() {
    for (namespace, name) in [
        ("web", ""),
        ("web", "api/scale"),
        ("web", "../../kube-system/configmaps/x"),
        ("web", ".."),
        ("a/b", "x"),
        ("", "x"),
        ("web", "a%2Fb"),
    ] {
        let object = ObjectKey::new(GroupKind::new("", "ConfigMap"), Some(namespace), name);
        let (_, bytes) = Release::new(app("web"), [Entry { object: object.clone().into(), ..entry("a") }]).encode();
        let refused = Release::decode(&bytes, SUPPORTED_FEATURES);
        assert!(matches!(&refused, Err(DecodeError::Malformed { detail, .. }) if detail.contains("no single object")), "{refused:?}");
        let mut index = index();
        let web = index.apps.get_mut(&app("web")).expect("there");
        web.withdrawals.insert(Withdrawal { object, to: None });
        assert!(matches!(index.sign(&SigningKey::from_seed([1; 32])).read_own(), Err(DecodeError::Malformed { .. })), "{namespace}/{name}");
    }
}

#[test]
fn a_newer_format_is_refused_with_its_version_and_an_older_reader_is_told_to_upgrade() {
    let text = String::from_utf8(Release::new(app("web"), [entry("a")]).encode().1).expect("JSON");
    let newer = text.replace("release.v1", "release.v2");
    let error = Release::decode(newer.as_bytes(), &[]).expect_err("refused");
    assert_eq!(error, DecodeError::Newer { format: "capstan.dev/release", version: 2, supported: 1 });
    assert!(error.to_string().contains("upgrade"), "{error}");
    for damaged in [text.replace("capstan.dev/release.v1", "x"), text.replace("sha256:", "md5:"), text[..text.len() - 4].to_owned()] {
        assert!(matches!(Release::decode(damaged.as_bytes(), &[]), Err(DecodeError::Malformed { .. })), "{damaged}");
    }
}

#[test]
fn an_index_reads_back_what_was_signed_and_only_for_those_who_trust_the_key() {
    let (key, stranger) = (SigningKey::from_seed([1; 32]), SigningKey::from_seed([2; 32]));
    let signed = SignedIndex::from_bytes(&index().sign(&key).to_bytes()).expect("readable");
    assert_eq!(signed.verify(&[stranger.public(), key.public()]), Ok(index()));
    assert_eq!(signed.read_own(), Ok(index()));
    assert_eq!(signed.digest(), index().sign(&stranger).digest(), "the digest is of what is said, whoever says it");
    assert!(matches!(signed.verify(&[stranger.public()]), Err(VerifyError::UnknownKey { .. })));
    assert!(matches!(signed.verify(&[]), Err(VerifyError::UnknownKey { .. })));
}

#[test]
fn an_index_with_a_service_account_is_not_for_readers_who_would_use_their_own_rights() {
    let key = SigningKey::from_seed([1; 32]);
    let text = |index: &Index| String::from_utf8(index.sign(&key).to_bytes()).expect("JSON");
    assert!(text(&index()).contains("index.v1+json"), "without one, readers of version 1 understand all of it");
    let mut tenants = index();
    let account = "team-a:deployer".parse().expect("valid");
    tenants.apps.get_mut(&app("gone")).expect("there").service_account = Some(account);
    let written = text(&tenants);
    assert!(written.contains("index.v2+json"), "{written}");
    assert_eq!(SignedIndex::from_bytes(written.as_bytes()).expect("readable").verify(&[key.public()]), Ok(tenants));
    let downgraded = written.replace("index.v2+json", "index.v1+json");
    let refused = SignedIndex::from_bytes(downgraded.as_bytes()).expect("readable").verify(&[key.public()]);
    assert!(matches!(refused, Err(VerifyError::BadSignature { .. })), "its version is part of what is signed");
    let newer = SignedIndex::from_bytes(written.replace("index.v2+json", "index.v4+json").as_bytes());
    assert_eq!(newer, Err(DecodeError::Newer { format: "capstan.dev/index", version: 4, supported: 3 }));
}

#[test]
fn an_index_with_a_removal_is_not_for_readers_who_would_delete_without_its_hooks() {
    let key = SigningKey::from_seed([1; 32]);
    let mut index = index();
    let gone = index.apps.get_mut(&app("gone")).expect("there");
    gone.removal = Some(Removal { release: Digest::of(b"last"), since: Generation::new(2, 7), complete: true });
    let written = String::from_utf8(index.sign(&key).to_bytes()).expect("JSON");
    assert!(written.contains("index.v3+json"), "{written}");
    assert_eq!(SignedIndex::from_bytes(written.as_bytes()).expect("readable").verify(&[key.public()]), Ok(index.clone()));
    index.apps.get_mut(&app("gone")).expect("there").release = Some(Digest::of(b"r"));
    let refused = index.sign(&key).read_own();
    assert!(matches!(refused, Err(DecodeError::Malformed { .. })), "what runs is not removed: {refused:?}");
}

#[test]
fn hooks_of_a_removal_and_conflicts_survive_the_way_and_old_agents_refuse_them_by_name() {
    let phases = BTreeSet::from([Phase::PreDelete, Phase::PostDelete]);
    let hook = Hook { phases, delete: BTreeSet::from([HookDelete::HookSucceeded]) };
    let mut polite = entry("polite");
    polite.policy.conflicts = Conflicts::Report;
    let farewell = Entry { hook: Some(hook), phase: Phase::PreDelete, ..entry("farewell") };
    assert!(farewell.is_only_of_removal() && !farewell.is_of_rollout() && polite.is_of_rollout());
    let release = Release::new(app("web"), [farewell, polite]);
    let (_, bytes) = release.encode();
    assert_eq!(Release::decode(&bytes, SUPPORTED_FEATURES), Ok(release.clone()));
    assert_eq!(release.removal_hooks().map(|entry| entry.object.name.as_str()).collect::<Vec<_>>(), ["farewell"]);
    for feature in [FEATURE_REMOVAL, FEATURE_CONFLICTS] {
        let older: Vec<&str> = SUPPORTED_FEATURES.iter().copied().filter(|known| *known != feature).collect();
        let refused = Release::decode(&bytes, &older).expect_err("it is not understood");
        assert_eq!(refused, DecodeError::UnknownFeature { feature: feature.to_owned() });
    }
    let newer =
        String::from_utf8(bytes).expect("JSON").replace("\"PostDelete\"", "\"PostPone\"").replace("\"conflicts\"]", "\"patience\"]");
    let newer = newer.replacen("\"requires\":[", "\"requires\":[\"patience\",", 1);
    let refused = Release::decode(newer.as_bytes(), SUPPORTED_FEATURES).expect_err("a word that is not known");
    assert_eq!(refused, DecodeError::UnknownFeature { feature: "patience".to_owned() }, "and it is said by name what for");
}

#[test]
fn a_signature_for_one_kind_of_document_is_none_for_another() {
    let key = SigningKey::from_seed([1; 32]);
    let index = index().sign(&key);
    assert!(SignedFreshness::from_bytes(&index.to_bytes()).is_err());
    assert!(SignedRoot::from_bytes(&index.to_bytes()).is_err());
    let freshness = Freshness { uid: "u-1".parse().expect("valid"), index: index.digest(), at: Timestamp::UNIX_EPOCH };
    let signed = SignedFreshness::from_bytes(&freshness.sign(&key).to_bytes()).expect("readable");
    assert_eq!(signed.verify(&[key.public()]), Ok(freshness));
}

#[test]
fn an_approval_is_of_exactly_the_withdrawals_that_were_shown() {
    let mut web = index().apps.remove(&app("web")).expect("there");
    assert!(web.is_approved(&app("web")) && !web.is_approved(&app("other")));
    web.withdrawals.insert(Withdrawal { object: key("ConfigMap", "more"), to: None });
    assert!(!web.is_approved(&app("web")));
}

#[test]
fn a_root_succeeds_only_the_one_that_it_is_linked_to_and_signed_by() {
    let [old, new, stranger] = [1, 2, 3].map(|seed| SigningKey::from_seed([seed; 32]));
    let first = Root { version: 1, epoch: Epoch(1), keys: vec![old.public()], authorities: vec!["PEM".into()], previous: None };
    let signed_first = first.sign(&[&old]);
    assert_eq!(signed_first.trust_first(), Ok(first.clone()));
    assert!(matches!(first.sign(&[&stranger]).trust_first(), Err(RootError::Verify(_))));
    let digest = signed_first.digest();
    let next = Root { version: 2, epoch: Epoch(2), keys: vec![new.public()], previous: Some(digest), ..first.clone() };
    assert_eq!(next.sign(&[&old, &new]).succeed(&first, &digest), Ok(next.clone()));
    assert!(matches!(next.sign(&[&new]).succeed(&first, &digest), Err(RootError::Verify(_))), "the old key must agree");
    assert!(matches!(next.sign(&[&old]).succeed(&first, &digest), Err(RootError::Verify(_))), "the new key must exist");
    for wrong in
        [Root { version: 3, ..next.clone() }, Root { previous: Some(Digest::of(b"x")), ..next.clone() }, Root { epoch: Epoch(0), ..next }]
    {
        assert!(matches!(wrong.sign(&[&old, &new]).succeed(&first, &digest), Err(RootError::NotSuccessor { .. })));
    }
}

#[test]
fn what_is_ignored_and_how_health_is_judged_survive_the_way_and_old_agents_refuse_them_by_name() {
    let read = |text: &str| shared_expression::cel::Expression::parse(text).expect("an expression");
    let mut entry = entry("a");
    entry.policy.ignore = ["/data/x", ".data | select(has(\"a\")) | .a", "manager:tuner"].map(|text| text.parse().expect("a rule")).into();
    let expressions =
        shared_expression::HealthExpressions { current: read("data.a == 'b'"), in_progress: None, failed: Some(read("false")) };
    let rule = |kind: Option<&str>| HealthRule { group: String::new(), kind: kind.map(str::to_owned), expressions: expressions.clone() };
    let release = Release::new(app("web"), [entry]).judged(vec![rule(None), rule(Some("ConfigMap"))]);
    let (_, bytes) = release.encode();
    assert_eq!(Release::decode(&bytes, SUPPORTED_FEATURES), Ok(release.clone()));
    assert_eq!(release.requires.iter().map(String::as_str).collect::<Vec<_>>(), [FEATURE_HEALTH, FEATURE_IGNORE]);
    for feature in [FEATURE_HEALTH, FEATURE_IGNORE] {
        let older: Vec<&str> = SUPPORTED_FEATURES.iter().copied().filter(|known| *known != feature).collect();
        let refused = Release::decode(&bytes, &older).expect_err("it is not understood");
        assert_eq!(refused, shared_release::DecodeError::UnknownFeature { feature: feature.to_owned() });
    }
    let named = health_rule(&release.health, &GroupKind::new("", "ConfigMap")).expect("there is one");
    assert_eq!(named.kind.as_deref(), Some("ConfigMap"), "the kind's own goes before the group's");
    assert!(health_rule(&release.health, &GroupKind::new("", "Secret")).is_some_and(|rule| rule.kind.is_none()));
    assert!(health_rule(&release.health, &GroupKind::new("apps", "Deployment")).is_none());
}
