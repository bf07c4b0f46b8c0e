//! A real git program against the Git server: push and fetch over smart HTTP, passwords, outages, and the git:// protocol.

use std::time::{Duration, Instant};

use e2e_cluster::{Answering, GitDaemon, GitServer, WorkTree};

#[test]
fn a_pushed_commit_is_what_the_next_clone_gets_also_after_a_force_push() -> anyhow::Result<()> {
    let server = GitServer::start()?;
    server.create_repository("fleet.git")?;
    let url = server.url("fleet.git");
    let author = WorkTree::clone(&url)?;
    author.write("apps/web/app.yaml", "kind: App\n")?;
    author.write("gone.yaml", "")?;
    let first = author.commit_and_push("first")?;
    author.remove("gone.yaml")?;
    let second = author.commit_and_push("second")?;

    let reader = WorkTree::clone(&url)?;
    assert_eq!(reader.head()?, second);
    assert_eq!(std::fs::read_to_string(reader.path().join("apps/web/app.yaml"))?, "kind: App\n");
    assert!(!reader.path().join("gone.yaml").exists());

    author.git(&["reset", "--quiet", "--hard", &first])?;
    author.write("other.yaml", "")?;
    let other = author.commit("another history")?;
    assert!(author.push().is_err(), "a push that is no fast-forward is refused");
    author.force_push()?;
    assert_eq!(WorkTree::clone(&url)?.head()?, other);
    Ok(())
}

#[test]
fn a_large_push_arrives_whole() -> anyhow::Result<()> {
    let server = GitServer::start()?;
    server.create_repository("fleet.git")?;
    let author = WorkTree::clone(&server.url("fleet.git"))?;
    // Above git's http.postBuffer of 1 MiB a push is sent in chunks, without a length. Digits of a running number hardly compress.
    let mut state = 1_u64;
    let digits = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{state:016x}")
    });
    let large: String = digits.take(250_000).collect();
    author.write("large", &large)?;
    author.commit_and_push("large")?;
    let reader = WorkTree::clone(&server.url("fleet.git"))?;
    assert!(std::fs::read_to_string(reader.path().join("large"))? == large, "4 MB come back as they went");
    Ok(())
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_is_not() -> anyhow::Result<()> {
    let server = GitServer::start_with_password("robot", "s3cret")?;
    server.create_repository("fleet.git")?;
    for refused in [server.url("fleet.git"), server.url_with_password("fleet.git").replace("s3cret", "guess")] {
        let error = WorkTree::clone(&refused).expect_err("the server lets nobody else in").to_string();
        assert!(error.contains("fleet.git"), "{error}");
    }
    assert!(server.requests().iter().all(|request| request.status == Some(401)), "{:?}", server.requests());

    let author = WorkTree::clone(&server.url_with_password("fleet.git"))?;
    author.write("a", "b")?;
    author.commit_and_push("first")?;
    assert!(server.requests().iter().any(|request| request.path == "/fleet.git/git-receive-pack" && request.status == Some(200)));
    Ok(())
}

#[test]
fn an_outage_refuses_or_hangs_until_it_is_over() -> anyhow::Result<()> {
    let server = GitServer::start()?;
    server.create_repository("fleet.git")?;
    let url = server.url("fleet.git");
    server.answer(Answering::Unavailable);
    let error = WorkTree::clone(&url).expect_err("503").to_string();
    assert!(error.contains("503"), "{error}");

    server.answer(Answering::Never);
    let before = server.requests().len();
    std::thread::scope(|scope| {
        let clone = scope.spawn(|| WorkTree::clone(&url));
        let started = Instant::now();
        while server.requests().len() == before {
            assert!(started.elapsed() < Duration::from_secs(20), "git sends its request");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(server.requests()[before].status, None);
        server.answer(Answering::Normally);
        clone.join().expect("no panic").map(drop)
    })
}

#[test]
fn an_unknown_repository_is_not_found() -> anyhow::Result<()> {
    let server = GitServer::start()?;
    let error = WorkTree::clone(&server.url("nothing.git")).expect_err("there is none").to_string();
    assert!(error.contains("not found"), "{error}");
    Ok(())
}

#[test]
fn the_git_protocol_serves_the_same_repositories() -> anyhow::Result<()> {
    let server = GitServer::start()?;
    server.create_repository("fleet.git")?;
    let author = WorkTree::clone(&server.url("fleet.git"))?;
    author.write("a", "b")?;
    let pushed = author.commit_and_push("first")?;
    let daemon = GitDaemon::start(server.root())?;
    assert_eq!(WorkTree::clone(&daemon.url("fleet.git"))?.head()?, pushed);
    Ok(())
}
