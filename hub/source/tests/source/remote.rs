//! Mirrors of remotes: real Git over HTTP, Git's own protocol, and ssh with a stand-in for the network.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Fault, GitServer, Mirrored, Origin, install_provider, spec};
use hub_source::{CertificateAuthorities, Credentials, FetchError, History, Limits, Mirror, Surroundings};
use hub_tree::{EntryKind, Lookup, TreePath};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("valid")
}

fn text_of(mirrored: &Mirrored, revision: &shared_model::Revision, file: &str) -> Option<String> {
    let tree = mirrored.mirror.tree(revision).expect("a tree");
    match tree.content(&path(file), 1 << 20) {
        Lookup::Found(content) => Some(content.text().expect("UTF-8").to_owned()),
        Lookup::Absent => None,
        Lookup::Unreadable(reason) => panic!("{reason}"),
    }
}

#[test]
fn a_new_commit_is_seen_and_only_what_moved_is_fetched() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let first = origin.commit("apps/web/app.yaml", "a: 1");
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));

    let refreshed = mirrored.refresh();
    assert_eq!((refreshed.revision.to_string(), &refreshed.history), (format!("main@{}", &first[..12]), &History::First));
    assert_eq!(text_of(&mirrored, &refreshed.revision, "apps/web/app.yaml").as_deref(), Some("a: 1"));
    assert_eq!(mirrored.refresh().history, History::Unchanged);
    let fetches = server.fetches();

    let second = origin.commit("apps/web/app.yaml", "a: 2");
    let next = mirrored.refresh();
    assert_eq!((&next.revision.commit, &next.history), (&second, &History::FastForward));
    assert_eq!(text_of(&mirrored, &next.revision, "apps/web/app.yaml").as_deref(), Some("a: 2"));
    assert_eq!(text_of(&mirrored, &refreshed.revision, "apps/web/app.yaml").as_deref(), Some("a: 1"), "older revisions stay readable");
    assert_eq!(server.fetches(), fetches + 1);
    assert!(!mirrored.refresh().changed());
    assert_eq!(server.fetches(), fetches + 1, "nothing new, nothing fetched");

    let info = mirrored.mirror.commit_info(&second).expect("a commit");
    assert_eq!((info.author.as_str(), info.subject.as_str()), ("Ann <ann@localhost>", "write apps/web/app.yaml"));
    assert_eq!(info.time.to_string(), "2026-11-21T10:00:00Z");
}

#[test]
fn every_kind_of_reference_is_followed() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let first = origin.commit("f", "1");
    origin.git(&["tag", "v1.2.0", &first]);
    let second = origin.commit("f", "2");
    origin.git(&["tag", "-a", "-m", "annotated", "v1.10.0", &second]);
    origin.git(&["update-ref", "refs/pull/7/head", &first]);
    origin.git(&["branch", "release/1", &first]);
    let third = origin.commit("f", "3");
    origin.git(&["tag", "v2.0.0-rc.1", &third]);

    for (reference, label, commit) in [
        ("main", "main", &third),
        ("branch=release/1", "release/1", &first),
        ("tag=v1.2.0", "v1.2.0", &first),
        ("tag=v1.10.0", "v1.10.0", &second),
        ("semver=>=1", "v1.10.0", &second),
        ("semver=>=2.0.0-0", "v2.0.0-rc.1", &third),
        ("refs/pull/7/head", "refs/pull/7/head", &first),
        ("HEAD", "HEAD", &third),
        (&second, &second, &second),
    ] {
        let mirrored = Mirrored::new(spec(&server.url("fleet.git"), reference));
        let revision = mirrored.refresh().revision;
        assert_eq!((revision.reference.as_str(), &revision.commit), (label, commit), "{reference}");
        assert!(text_of(&mirrored, &revision, "f").is_some(), "{reference}");
        assert_eq!(mirrored.refresh().history, History::Unchanged, "{reference}");
    }

    let newest = Mirrored::new(spec(&server.url("fleet.git"), "semver=1.x"));
    newest.refresh();
    origin.git(&["tag", "v1.11.0", &first]);
    let refreshed = newest.refresh();
    assert_eq!(refreshed.revision.reference, "v1.11.0");
    assert_eq!(refreshed.history, History::OtherTag { before: "v1.10.0".to_owned() });
}

#[test]
fn an_unknown_reference_says_what_there_is() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let commit = origin.commit("f", "1");
    for branch in ["production", "staging", "development", "qa"] {
        origin.git(&["branch", branch, &commit]);
    }
    origin.git(&["tag", "v1.0.0", &commit]);
    let error = |reference: &str| {
        let error = Mirrored::new(spec(&server.url("fleet.git"), reference)).try_refresh().expect_err(reference);
        (error.to_string(), error)
    };
    let (message, _) = error("prodution");
    assert!(message.contains("has no branch prodution (did you mean production?)"), "{message}");
    let (_, unknown) = error("tag=1.0.0");
    assert!(matches!(unknown, FetchError::UnknownReference { similar, .. } if similar == ["v1.0.0"]));
    let (_, none) = error("semver=>=2");
    assert!(matches!(none, FetchError::NoVersionMatches { newest, .. } if newest == ["v1.0.0"]));
    let (message, missing) = error(&"1".repeat(40));
    assert!(matches!(missing, FetchError::UnknownReference { .. }), "{message}");
    let (message, missing) = error("refs/pull/1/head");
    assert!(matches!(missing, FetchError::UnknownReference { .. }), "{message}");
}

#[test]
fn a_force_push_is_followed_and_named() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let base = origin.commit("f", "1");
    let lost = origin.commit("f", "2");
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));
    let before = mirrored.refresh().revision;
    origin.git(&["update-ref", "refs/heads/main", &base]);
    let forced = origin.commit("g", "other");
    let refreshed = mirrored.refresh();
    assert_eq!(refreshed.history, History::Rewritten { lost_commit: lost.clone() });
    assert_eq!(refreshed.revision.commit, forced);
    assert_eq!(text_of(&mirrored, &before, "f").as_deref(), Some("2"), "what ran before can still be read");
    let reopened = mirrored.reopened(spec(&server.url("fleet.git"), "main"));
    let rewrites = reopened.mirror.state().rewrites;
    assert_eq!(
        rewrites.iter().map(|rewrite| (&rewrite.lost_commit, &rewrite.revision)).collect::<Vec<_>>(),
        [(&lost, &refreshed.revision)]
    );
}

#[test]
fn while_the_server_is_away_the_last_good_revision_is_served_with_its_age() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let address = server.address();
    let url = server.url("fleet.git");
    origin.commit("f", "1");
    let mirrored = Mirrored::new(spec(&url, "main"));
    let good = mirrored.refresh().revision;
    let (_, confirmed) = mirrored.mirror.state().last_good.expect("good");
    drop(server);

    assert!(matches!(mirrored.try_refresh(), Err(FetchError::Unreachable { .. })));
    let first = mirrored.mirror.state();
    assert!(matches!(mirrored.try_refresh(), Err(FetchError::Unreachable { .. })));
    let second = mirrored.mirror.state();
    assert_eq!(second.last_good, Some((good.clone(), confirmed)));
    assert_eq!(second.consecutive_failures, 2);
    assert_eq!(second.failure.expect("a failure").since, first.failure.expect("a failure").since);

    let reopened = mirrored.reopened(spec(&url, "main"));
    assert_eq!(reopened.mirror.state().last_good, Some((good.clone(), confirmed)));
    assert_eq!(text_of(&reopened, &good, "f").as_deref(), Some("1"));
    assert!(reopened.try_refresh().is_err());

    let _back = GitServer::start(origin.root.path(), Some(address));
    let refreshed = reopened.refresh();
    assert_eq!((&refreshed.revision, &refreshed.history), (&good, &History::Unchanged));
    let state = reopened.mirror.state();
    assert_eq!((state.failure, state.consecutive_failures), (None, 0));
}

#[test]
fn another_reference_or_url_is_not_served_the_revision_of_the_one_before() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let commit = origin.commit("f", "1");
    origin.git(&["branch", "other", &commit]);
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));
    mirrored.refresh();
    let mirrored = mirrored.reopened(spec(&server.url("fleet.git"), "other"));
    assert_eq!(mirrored.mirror.state().last_good, None);
    assert_eq!(mirrored.refresh().history, History::First);
    let mirrored = mirrored.reopened(spec(&server.url("fleet2.git"), "other"));
    assert_eq!(mirrored.mirror.state().last_good, None);
}

#[test]
fn credentials_are_needed_taken_or_refused_and_never_printed() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    // "ann:hunter2" in base64.
    server.require("Basic YW5uOmh1bnRlcjI=");
    let with = |credentials: Option<Credentials>| {
        let mut spec = spec(&server.url("fleet.git"), "main");
        spec.credentials = credentials;
        assert!(!format!("{spec:?}").contains("hunter2"));
        Mirrored::new(spec).try_refresh()
    };
    assert!(matches!(with(None), Err(FetchError::AuthenticationNeeded { .. })));
    let refused = with(Some(Credentials::basic("ann", "hunter22"))).expect_err("refused");
    assert!(matches!(refused, FetchError::AuthenticationRefused { .. }));
    assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    assert!(with(Some(Credentials::basic("ann", "hunter2\n"))).is_ok());
    server.require("Bearer hunter2");
    assert!(with(Some(Credentials::bearer("hunter2"))).is_ok());
}

#[test]
fn a_redirect_is_followed_but_never_with_credentials() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    let elsewhere = GitServer::start(origin.root.path(), None);
    let target = format!("Location: {}/info/refs?service=git-upload-pack", server.url("fleet.git"));
    elsewhere.fail_with(Fault::Status("301 Moved Permanently", target));
    let moved = spec(&elsewhere.url("old.git"), "main");
    Mirrored::new(moved.clone()).refresh();

    server.require("Bearer hunter2");
    let mut secret = moved;
    secret.credentials = Some(Credentials::bearer("hunter2"));
    let error = Mirrored::new(secret).try_refresh().expect_err("refused").to_string();
    assert!(error.contains("redirect"), "{error}");
}

#[test]
fn each_way_for_a_server_to_fail_has_its_name() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    let limits = Limits { stall: Duration::from_millis(300), ..Limits::DEFAULT };
    let attempt = |fault: Fault, repository: &str| {
        server.fail_with(fault);
        let surroundings = Surroundings { limits, ..Surroundings::default() };
        let mirrored = Mirrored::with(spec(&server.url(repository), "main"), surroundings);
        mirrored.try_refresh().expect_err("a failure")
    };
    let status = |line| Fault::Status(line, "X-Fault: yes".to_owned());
    let cases = [
        (attempt(Fault::None, "nothing.git"), "is no Git repository"),
        (attempt(status("200 OK"), "fleet.git"), "is no Git repository"),
        (attempt(status("404 Not Found"), "fleet.git"), "is no Git repository"),
        (attempt(status("403 Forbidden"), "fleet.git"), "refuses the credentials"),
        (attempt(status("503 Service Unavailable"), "fleet.git"), "cannot be reached"),
        (attempt(Fault::Close, "fleet.git"), "cannot be reached"),
        (attempt(Fault::Stall, "fleet.git"), "cannot be reached"),
    ];
    for (error, words) in cases {
        assert!(error.to_string().contains(words), "{words}: {error} ({error:?})");
    }
    server.fail_with(Fault::Stall);
    let limits = Limits { listing_time: Duration::from_millis(300), ..Limits::DEFAULT };
    let slow = Mirrored::with(spec(&server.url("fleet.git"), "main"), Surroundings { limits, ..Surroundings::default() }).try_refresh();
    assert!(slow.expect_err("too slow").to_string().contains("did not finish within 0.3 s"));
    let https = server.url("fleet.git").replace("http:", "https:");
    server.fail_with(Fault::None);
    assert!(matches!(
        Mirrored::new(spec(&https, "main")).try_refresh(),
        Err(FetchError::Unreachable { .. } | FetchError::Unexpected { .. })
    ));
}

#[test]
fn a_server_that_never_ends_is_cut_off() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    server.fail_with(Fault::Endless);
    let error = Mirrored::new(spec(&server.url("fleet.git"), "main")).try_refresh().expect_err("cut off");
    assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");

    server.fail_with(Fault::None);
    let noise: String = (0..200_000u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    origin.commit("big", &noise);
    let limits = Limits { fetch_bytes: 100_000, ..Limits::DEFAULT };
    let mirrored = Mirrored::with(spec(&server.url("fleet.git"), "main"), Surroundings { limits, ..Surroundings::default() });
    assert!(matches!(mirrored.try_refresh(), Err(FetchError::TooLarge { limit: 100_000, .. })));
    let limits = Limits { object_bytes: 1 << 20, ..Limits::DEFAULT };
    let mirrored = Mirrored::with(spec(&server.url("fleet.git"), "main"), Surroundings { limits, ..Surroundings::default() });
    let error = mirrored.try_refresh().expect_err("an object beyond the limit");
    assert!(matches!(error, FetchError::ObjectTooLarge { limit: 1_048_576, .. }), "{error}");
}

#[test]
fn a_refresh_can_be_called_off() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    server.fail_with(Fault::Stall);
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));
    let interrupt = AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        let refresh = scope.spawn(|| mirrored.mirror.refresh(&interrupt));
        interrupt.store(true, Ordering::Relaxed);
        refresh.join().expect("no panic")
    });
    assert_eq!(result, Err(FetchError::Interrupted));
}

#[test]
fn many_fetches_go_through_one_mirror_and_old_packs_are_left_behind() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "0");
    let limits = Limits { packs: 36, ..Limits::DEFAULT };
    let mirrored = Mirrored::with(spec(&server.url("fleet.git"), "main"), Surroundings { limits, ..Surroundings::default() });
    let first = mirrored.refresh().revision;
    let early = mirrored.mirror.tree(&first).expect("a tree");
    for n in 1..=45 {
        let commit = origin.commit("f", &n.to_string());
        let refreshed = mirrored.refresh();
        assert_eq!((&refreshed.revision.commit, &refreshed.history), (&commit, &History::FastForward), "fetch {n}");
        assert_eq!(text_of(&mirrored, &refreshed.revision, "f"), Some(n.to_string()));
    }
    assert_eq!(text_of(&mirrored, &first, "f").as_deref(), Some("0"), "history comes along");
    assert!(matches!(early.content(&path("f"), 10), Lookup::Found(_)), "a tree from the clone before is still read");
    let clones = std::fs::read_dir(mirrored.dir.path()).expect("listed").flatten();
    let clones: Vec<String> =
        clones.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name.starts_with("clone-")).collect();
    assert!(clones.contains(&"clone-1".to_owned()), "{clones:?}");
    let mirrored = mirrored.reopened(spec(&server.url("fleet.git"), "main"));
    assert_eq!(mirrored.refresh().history, History::Unchanged);
}

#[test]
fn what_a_killed_process_left_behind_is_in_nobodys_way() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));
    mirrored.refresh();
    let left = [
        "clone-0/refs/capstan/fetched.lock",
        "clone-0/packed-refs.lock",
        "clone-0/objects/pack/.tmpAbCdEf",
        "clone-1/config",
        "mirror.new",
    ];
    for file in left {
        let file = mirrored.dir.path().join(file);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(file, "half").expect("written");
    }
    let commit = origin.commit("f", "2");
    let mirrored = mirrored.reopened(spec(&server.url("fleet.git"), "main"));
    for file in &left[..4] {
        assert!(!mirrored.dir.path().join(file).exists(), "{file}");
    }
    let refreshed = mirrored.refresh();
    assert_eq!((refreshed.revision.commit, refreshed.history), (commit, History::FastForward));
}

#[test]
fn a_mirror_that_is_killed_again_and_again_always_opens_and_goes_on() {
    const DIR: &str = "CAPSTAN_TEST_MIRROR";
    const URL: &str = "CAPSTAN_TEST_URL";
    if let (Some(dir), Ok(url)) = (std::env::var_os(DIR), std::env::var(URL)) {
        // The process that is killed: it refreshes without end.
        install_provider();
        let mirror = Mirror::open(std::path::Path::new(&dir), spec(&url, "main"), Surroundings::default()).expect("opened");
        loop {
            mirror.refresh(&AtomicBool::new(false)).expect("refreshed");
        }
    }
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let url = server.url("fleet.git");
    origin.commit("f", "0");
    let mut mirrored = Mirrored::new(spec(&url, "main"));
    let mut good = mirrored.refresh().revision;
    for round in 1..=12u64 {
        let name = "remote::a_mirror_that_is_killed_again_and_again_always_opens_and_goes_on";
        let mut victim = std::process::Command::new(std::env::current_exe().expect("a path"))
            .args(["--exact", name])
            .env(DIR, mirrored.dir.path())
            .env(URL, &url)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a process");
        // Commits keep coming, so that it is killed somewhere in a fetch: after its first refresh, each round a little later.
        let record = mirrored.dir.path().join("mirror");
        let before = std::fs::read(&record).expect("a record");
        let mut end = std::time::Instant::now() + Duration::from_secs(60);
        let mut refreshed = false;
        for n in 0.. {
            origin.commit("f", &format!("{round}.{n}"));
            if !refreshed && std::fs::read(&record).expect("a record") != before {
                refreshed = true;
                end = std::time::Instant::now() + Duration::from_millis(20 * round);
            }
            if std::time::Instant::now() >= end {
                break;
            }
        }
        assert!(refreshed, "round {round}: the process that is to be killed did nothing");
        victim.kill().expect("killed");
        victim.wait().expect("ended");
        mirrored = mirrored.reopened(spec(&url, "main"));
        let (kept, _) = mirrored.mirror.state().last_good.expect("what was good is known");
        assert!(text_of(&mirrored, &kept, "f").is_some(), "round {round}");
        assert!(text_of(&mirrored, &good, "f").is_some(), "round {round}");
        good = mirrored.refresh().revision;
        assert_eq!(good.commit, origin.git(&["rev-parse", "main"]), "round {round}");
    }
}

#[test]
fn a_damaged_clone_is_replaced() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));
    mirrored.refresh();
    let remove = |what: &str| std::fs::remove_dir_all(mirrored.dir.path().join(what)).expect("removed");
    remove("clone-0/objects/pack");
    let healed = mirrored.refresh();
    assert_eq!(healed.history, History::Unchanged);
    assert_eq!(text_of(&mirrored, &healed.revision, "f").as_deref(), Some("1"));
    remove("clone-1");
    assert_eq!(text_of(&mirrored, &mirrored.refresh().revision, "f").as_deref(), Some("1"));
    let mirrored = mirrored.reopened(spec(&server.url("fleet.git"), "main"));
    std::fs::remove_dir_all(mirrored.dir.path().join("clone-2/objects")).expect("removed");
    let mirrored = mirrored.reopened(spec(&server.url("fleet.git"), "main"));
    assert_eq!(mirrored.mirror.state().last_good, None, "what is not there is not good");
    assert_eq!(mirrored.refresh().history, History::First);
}

#[test]
fn a_tree_of_three_thousand_files_is_read_without_a_checkout() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    let names: Vec<String> = (0..3000).map(|n| format!("apps/team-{}/app-{n}/deployment.yaml", n % 30)).collect();
    let texts: Vec<String> = (0..3000).map(|n| format!("replicas: {n}\n")).collect();
    let changes: Vec<(&str, Option<&[u8]>)> = names.iter().zip(&texts).map(|(name, text)| (name.as_str(), Some(text.as_bytes()))).collect();
    origin.repository.commit(&changes, "all", "Ann", "2026-11-21T10:00:00Z".parse().expect("a time")).expect("a commit");
    let mirrored = Mirrored::new(spec(&server.url("fleet.git"), "main"));
    let revision = mirrored.refresh().revision;
    let tree = mirrored.mirror.tree(&revision).expect("a tree");
    std::thread::scope(|scope| {
        for part in 0..4 {
            let (tree, names, texts): (_, &[String], &[String]) = (tree.clone(), &names, &texts);
            scope.spawn(move || {
                for n in (part..names.len()).step_by(4) {
                    let Lookup::Found(content) = tree.content(&path(&names[n]), 1000) else { panic!("{} is not there", names[n]) };
                    assert_eq!(content.text(), Some(texts[n].as_str()));
                }
            });
        }
    });
    let Lookup::Found(teams) = tree.list(&path("apps")) else { panic!("no listing") };
    assert_eq!((teams.len(), teams[0].kind), (30, EntryKind::Directory));
    let files = std::fs::read_dir(mirrored.dir.path()).expect("listed").count();
    assert_eq!(files, 2, "a clone and a record, and no checkout");
}

#[test]
fn a_certificate_must_be_vouched_for() {
    let origin = Origin::new();
    origin.commit("f", "1");
    let ca = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let front = TlsFront::start(&ca);
    let url = format!("https://localhost:{}/fleet.git", front.port);
    let error = Mirrored::new(spec(&url, "main")).try_refresh().expect_err("unknown CA");
    assert!(matches!(error, FetchError::TlsUntrusted { .. }), "{error} {error:?}");
    let mut vouched = spec(&url, "main");
    vouched.ca = Some(CertificateAuthorities::from_pem(ca.cert.pem().as_bytes()).expect("PEM"));
    let error = Mirrored::new(vouched).try_refresh().expect_err("a front without a server behind it");
    assert!(!matches!(error, FetchError::TlsUntrusted { .. }), "{error} {error:?}");
    assert!(CertificateAuthorities::from_pem(b"x").is_err());
}

/// A TLS server that ends each connection after the handshake.
struct TlsFront {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl TlsFront {
    fn start(certificate: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Self {
        let chain = vec![certificate.cert.der().clone()];
        let key = rustls::pki_types::PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a configuration");
        let config = Arc::new(config);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream;
                let mut connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
                while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
            }
        });
        Self { port, stop, thread: Some(thread) }
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = std::net::TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn gits_own_protocol_works_too() {
    let origin = Origin::new();
    let commit = origin.commit("f", "1");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let mut daemon = std::process::Command::new("git")
        .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", &format!("--port={port}")])
        .arg(format!("--base-path={}", origin.root.path().display()))
        .arg(origin.root.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("git daemon");
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mirrored = Mirrored::new(spec(&format!("git://127.0.0.1:{port}/fleet.git"), "main"));
    let refreshed = mirrored.try_refresh();
    let missing = Mirrored::new(spec(&format!("git://127.0.0.1:{port}/nothing.git"), "main")).try_refresh();
    // `git daemon` is a parent of the process that listens: its own end ends that.
    std::process::Command::new("kill").arg(daemon.id().to_string()).status().expect("kill");
    daemon.wait().expect("ended");
    assert_eq!(refreshed.expect("fetched").revision.commit, commit);
    let missing = missing.expect_err("not there");
    assert!(matches!(missing, FetchError::NotARepository { .. }), "{missing} {missing:?}");
}

#[test]
fn ssh_is_spawned_with_exactly_our_words() {
    use std::os::unix::fs::PermissionsExt;
    let origin = Origin::new();
    let commit = origin.commit("f", "1");
    let bin = tempfile::tempdir().expect("a directory");
    let program = |name: &str, body: &str| {
        let file = bin.path().join(name);
        std::fs::write(&file, format!("#!/bin/sh\n{body}\n")).expect("written");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).expect("executable");
        file
    };
    // Like sshd: the last word is a command line for a shell.
    let stand_in = program("ssh", "echo \"$@\" >> \"$(dirname \"$0\")/words\"; for last in \"$@\"; do :; done; exec sh -c \"$last\"");
    let url = format!("ssh://git@git.example.com:2222{}", origin.path().display());
    let with = |ssh: std::path::PathBuf, url: &str| Mirrored::with(spec(url, "main"), Surroundings { ssh, ..Surroundings::default() });
    let mirrored = with(stand_in.clone(), &url);
    assert_eq!(mirrored.refresh().revision.commit, commit);
    assert_eq!(mirrored.refresh().history, History::Unchanged);
    let words = std::fs::read_to_string(bin.path().join("words")).expect("words");
    assert!(
        words.lines().all(|line| line.starts_with("-F none ") && line.contains(" -p 2222 -- git@git.example.com git-upload-pack '/")),
        "{words}"
    );

    let error = with(stand_in, "git@host:/nowhere").try_refresh().expect_err("no repository");
    assert!(matches!(error, FetchError::NotARepository { .. }), "{error} {error:?}");
    for (complaint, wanted) in [
        ("git@host: Permission denied (publickey).", "asks for credentials"),
        ("Host key verification failed.", "host key"),
        ("ssh: Could not resolve hostname x: Name or service not known", "cannot be reached"),
    ] {
        let refusing = program("refusing", &format!("echo '{complaint}' >&2; exit 255"));
        let error = with(refusing, &url).try_refresh().expect_err(complaint).to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let missing = with(bin.path().join("nothing"), &url).try_refresh();
    assert!(matches!(missing, Err(FetchError::SshMissing { .. })));
    let hanging = program("hanging", "exec sleep 1000");
    let limits = Limits { listing_time: Duration::from_millis(300), ..Limits::DEFAULT };
    let mirrored = Mirrored::with(spec(&url, "main"), Surroundings { ssh: hanging, limits, ..Surroundings::default() });
    assert!(matches!(mirrored.try_refresh(), Err(FetchError::Timeout { .. })));
}

#[test]
fn a_record_of_a_newer_hub_is_refused_and_a_damaged_one_replaced() {
    let origin = Origin::new();
    let server = GitServer::start(origin.root.path(), None);
    origin.commit("f", "1");
    let url = server.url("fleet.git");
    let mirrored = Mirrored::new(spec(&url, "main"));
    mirrored.refresh();
    let record = mirrored.dir.path().join("mirror");
    std::fs::write(&record, "capstan-mirror 2\n").expect("written");
    let error = Mirror::open(mirrored.dir.path(), spec(&url, "main"), Surroundings::default()).map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("newer hub"), "{error}");
    std::fs::write(&record, "capstan-mirror 1\ngarbage").expect("written");
    let mirrored = mirrored.reopened(spec(&url, "main"));
    assert_eq!(mirrored.mirror.state().last_good, None);
    assert_eq!(mirrored.refresh().history, History::First);
}
