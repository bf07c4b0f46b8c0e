//! Repositories on this machine, read where they lie, and what trees of Git objects answer.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{Mirrored, Origin, git, install_provider, spec};
use hub_source::{FetchError, History, LocalRepository, Mirror, SourceState, Surroundings, WriteError, run};
use hub_tree::{Budget, EntryKind, Lookup, ReadError, Reader, SourceTree, TreePath};
use shared_model::Timestamp;
use tokio::sync::{Notify, watch};

fn path(text: &str) -> TreePath {
    TreePath::parse(text).expect("valid")
}

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().expect("a time")
}

fn tree_of(mirrored: &Mirrored) -> Arc<dyn SourceTree> {
    let revision = mirrored.refresh().revision;
    mirrored.mirror.tree(&revision).expect("a tree")
}

fn mirror_of(repository: &Path) -> Mirrored {
    Mirrored::new(spec(&repository.display().to_string(), "main"))
}

#[test]
fn a_local_path_and_a_file_url_need_no_git_program() {
    const MARK: &str = "CAPSTAN_TEST_WITHOUT_PROGRAMS";
    if std::env::var_os(MARK).is_none() {
        // The same test in a process that can find no program at all.
        let name = "local::a_local_path_and_a_file_url_need_no_git_program";
        let itself = std::env::current_exe().expect("a path");
        let output = Command::new(itself).args(["--exact", name]).env(MARK, "1").env("PATH", "").output().expect("a process");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    assert!(Command::new("git").status().is_err(), "git is out of reach");
    let origin = Origin::new();
    let first = origin.commit("apps/a.yaml", "1");
    for url in [origin.path().display().to_string(), format!("file://{}", origin.path().display())] {
        let mirrored = Mirrored::new(spec(&url, "main"));
        let refreshed = mirrored.refresh();
        assert_eq!(refreshed.history, History::First);
        let tree = mirrored.mirror.tree(&refreshed.revision).expect("a tree");
        assert!(matches!(tree.content(&path("apps/a.yaml"), 1000), Lookup::Found(_)));
        let next = origin.commit("apps/a.yaml", &url);
        let refreshed = mirrored.refresh();
        assert_eq!((refreshed.revision.commit, refreshed.history), (next, History::FastForward));
    }
    let pinned = Mirrored::new(spec(&origin.path().display().to_string(), &first));
    assert_eq!(pinned.refresh().revision.commit, first);
}

#[test]
fn a_local_place_that_is_wrong_says_how() {
    let origin = Origin::new();
    let nowhere = origin.root.path().join("nowhere");
    assert!(matches!(mirror_of(&nowhere).try_refresh(), Err(FetchError::LocalPathMissing { .. })));
    let empty = origin.root.path().join("empty");
    std::fs::create_dir(&empty).expect("made");
    assert!(matches!(mirror_of(&empty).try_refresh(), Err(FetchError::NotARepository { .. })));
    assert!(matches!(mirror_of(origin.path()).try_refresh(), Err(FetchError::UnknownReference { .. })), "no commit yet");
    origin.commit("f", "1");
    let mirrored = Mirrored::new(spec(&origin.path().display().to_string(), "mainn"));
    let message = mirrored.try_refresh().expect_err("unknown").to_string();
    assert!(message.contains("did you mean main?"), "{message}");
    let gone = Mirrored::new(spec(&origin.path().display().to_string(), &"1".repeat(40))).try_refresh();
    assert!(matches!(gone, Err(FetchError::UnknownReference { .. })));
    assert!(mirrored.mirror.commit_info(&"1".repeat(40)).is_err());
    assert!(mirrored.mirror.commit_info("main").is_err());
}

#[test]
fn a_repository_that_vanishes_keeps_its_last_good_revision() {
    let origin = Origin::new();
    let commit = origin.commit("f", "1");
    let mirrored = mirror_of(origin.path());
    mirrored.refresh();
    std::fs::rename(origin.path(), origin.root.path().join("away")).expect("moved");
    assert!(mirrored.try_refresh().is_err());
    let specification = mirrored.mirror.spec().clone();
    let reopened = mirrored.reopened(specification);
    assert_eq!(reopened.mirror.state().last_good.map(|(revision, _)| revision.commit), Some(commit));
}

#[test]
fn a_mirror_that_cannot_be_written_keeps_what_was_good() {
    let origin = Origin::new();
    let first = origin.commit("f", "1");
    let mirrored = mirror_of(origin.path());
    mirrored.refresh();
    origin.commit("f", "2");
    std::fs::remove_dir_all(mirrored.dir.path()).expect("removed");
    std::fs::write(mirrored.dir.path(), "in the way").expect("written");
    assert!(matches!(mirrored.try_refresh(), Err(FetchError::Disk { .. })));
    assert_eq!(mirrored.mirror.state().last_good.map(|(revision, _)| revision.commit), Some(first));
    std::fs::remove_file(mirrored.dir.path()).expect("removed");
    std::fs::create_dir(mirrored.dir.path()).expect("made");
    assert_eq!(mirrored.refresh().history, History::FastForward);
}

#[test]
fn a_force_push_in_a_local_repository_is_named() {
    let origin = Origin::new();
    let base = origin.commit("f", "1");
    let lost = origin.commit("f", "2");
    let mirrored = mirror_of(origin.path());
    mirrored.refresh();
    origin.git(&["update-ref", "refs/heads/main", &base]);
    assert_eq!(mirrored.refresh().history, History::Rewritten { lost_commit: lost });
}

/// A work tree with one entry of each kind.
fn one_of_each(root: &Path) {
    git(root, &["init", "-q", "."]);
    let write = |name: &OsStr, text: &str| {
        let file = root.join(name);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        std::fs::write(file, text).expect("written");
    };
    write(OsStr::new("base/a.yaml"), "a: 1");
    write(OsStr::new("base/run.sh"), "exit");
    write(OsStr::from_bytes(b"odd/caf\xe9.yaml"), "x");
    write(OsStr::new("odd/tea.yaml"), "y");
    std::os::unix::fs::symlink("../base", root.join("odd/link")).expect("linked");
    std::os::unix::fs::symlink("/etc/passwd", root.join("odd/out")).expect("linked");
    git(root, &["add", "."]);
    git(root, &["update-index", "--chmod=+x", "base/run.sh"]);
    git(root, &["update-index", "--add", "--cacheinfo", &format!("160000,{},vendor", "1".repeat(40))]);
    git(root, &["commit", "-q", "-m", "one of each"]);
}

#[test]
fn each_kind_of_entry_is_told_apart() {
    let root = tempfile::tempdir().expect("a directory");
    one_of_each(root.path());
    let mirrored = mirror_of(root.path());
    let tree = tree_of(&mirrored);
    let kind = |text: &str| match tree.entry(&path(text)) {
        Lookup::Found(entry) => Some(entry.kind),
        Lookup::Absent => None,
        Lookup::Unreadable(reason) => panic!("{text}: {reason}"),
    };
    assert_eq!(kind("."), Some(EntryKind::Directory));
    assert_eq!(kind("base"), Some(EntryKind::Directory));
    assert_eq!(kind("base/a.yaml"), Some(EntryKind::File));
    assert_eq!(kind("base/run.sh"), Some(EntryKind::File));
    assert_eq!(kind("odd/link"), Some(EntryKind::Symlink));
    assert_eq!(kind("vendor"), Some(EntryKind::Submodule));
    for absent in ["nothing", "base/nothing", "base/a.yaml/x", "vendor/x", "odd/link/a.yaml"] {
        assert_eq!(kind(absent), None, "{absent}");
        assert_eq!(tree.content(&path(absent), 10), Lookup::Absent, "{absent}");
    }
    assert!(matches!(tree.content(&path("odd/link"), 100), Lookup::Found(content) if content.text() == Some("../base")));
    assert_eq!(tree.list(&path("base/a.yaml")), Lookup::Absent);
    assert_eq!(tree.list(&path("vendor")), Lookup::Absent);
    assert_eq!(tree.content(&path("base"), 10), Lookup::Absent);
    assert!(matches!(tree.content(&path("base/a.yaml"), 4), Lookup::Found(_)));
    assert!(matches!(tree.content(&path("base/a.yaml"), 3), Lookup::Unreadable(reason) if reason.contains("4 bytes")));

    let Lookup::Found(odd) = tree.list(&path("odd")) else { panic!("no listing") };
    let names: Vec<&str> = odd.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["caf\u{fffd}.yaml", "link", "out", "tea.yaml"]);
    assert!(matches!(tree.content(&path("odd/caf\u{fffd}.yaml"), 10), Lookup::Unreadable(reason) if reason.contains("UTF-8")));

    let reader = Reader::new(&*tree, Budget::RENDER);
    assert_eq!(reader.file(&path("odd/link/a.yaml")).expect("readable").expect("found").text(), Some("a: 1"));
    assert!(matches!(reader.file(&path("odd/out")), Err(ReadError::LinkEscapes { .. })));
    assert!(matches!(reader.file(&path("vendor/x")), Err(ReadError::Submodule { .. })));

    let info = mirrored.mirror.commit_info(&mirrored.refresh().revision.commit).expect("a commit");
    assert_eq!((info.author.as_str(), info.time.to_string()), ("Ann <ann@example.com>", "2023-11-14T22:13:20Z".to_owned()));
}

fn loose(root: &Path, id: &str) -> std::path::PathBuf {
    root.join(".git/objects").join(&id[..2]).join(&id[2..])
}

#[test]
fn a_missing_or_damaged_object_is_unreadable_and_never_absent() {
    for damage in ["missing", "damaged"] {
        for (object, asked) in [("HEAD:base/a.yaml", "base/a.yaml"), ("HEAD:base", "base/a.yaml"), ("HEAD:base", "base/nothing")] {
            let root = tempfile::tempdir().expect("a directory");
            one_of_each(root.path());
            let mirrored = mirror_of(root.path());
            let revision = mirrored.refresh().revision;
            let file = loose(root.path(), &git(root.path(), &["rev-parse", object]));
            std::fs::remove_file(&file).expect("removed");
            if damage == "damaged" {
                std::fs::write(&file, b"not zlib").expect("written");
            }
            let tree = mirrored.mirror.tree(&revision).expect("a tree");
            assert!(matches!(tree.content(&path(asked), 100), Lookup::Unreadable(_)), "{damage} {object}: {asked}");
            assert!(matches!(tree.content(&path("odd/tea.yaml"), 100), Lookup::Found(_)), "its neighbours are readable");
            if object == "HEAD:base" {
                assert!(matches!(tree.list(&path("base")), Lookup::Unreadable(_)));
            }
        }
    }
    let root = tempfile::tempdir().expect("a directory");
    one_of_each(root.path());
    std::fs::remove_file(loose(root.path(), &git(root.path(), &["rev-parse", "HEAD^{tree}"]))).expect("removed");
    assert!(matches!(mirror_of(root.path()).try_refresh(), Err(FetchError::Corrupt { .. })));
}

#[test]
fn ignored_files_are_not_in_the_tree() {
    let origin = Origin::new();
    origin.commit(".sourceignore", "*.md\n");
    origin.commit("apps/.sourceignore", "!NOTES.md\n");
    for file in ["README.md", "apps/NOTES.md", "apps/logo.png", "apps/a.yaml", ".github/workflows/ci.yml"] {
        origin.commit(file, "x");
    }
    let shown = |ignore: Option<&str>| {
        let mut specification = spec(&origin.path().display().to_string(), "main");
        specification.ignore = ignore.map(str::to_owned);
        let tree = tree_of(&Mirrored::new(specification));
        let all = ["README.md", "apps/NOTES.md", "apps/logo.png", "apps/a.yaml", ".github/workflows/ci.yml"];
        all.into_iter().filter(|file| matches!(tree.content(&path(file), 10), Lookup::Found(_))).collect::<Vec<_>>()
    };
    assert_eq!(shown(None), ["apps/NOTES.md", "apps/a.yaml"]);
    assert_eq!(shown(Some("a.yaml")), ["apps/NOTES.md", "apps/logo.png", ".github/workflows/ci.yml"]);
    assert_eq!(shown(Some("/*\n!/apps")), ["apps/NOTES.md", "apps/logo.png", "apps/a.yaml"]);
}

#[test]
fn what_is_written_here_is_sound_to_the_real_git() {
    let origin = Origin::new();
    origin.commit("apps/web/a.yaml", "1");
    origin.commit("apps/web/b.yaml", "2");
    let changes: &[(&str, Option<&[u8]>)] = &[("apps/web/a.yaml", None), ("c", Some(b"3")), ("apps/web.yaml", Some(b"4"))];
    let last = origin.repository.commit(changes, "Move\n\nwith a reason", "Ann Other", now()).expect("a commit");
    origin.git(&["fsck", "--strict"]);
    assert_eq!(origin.git(&["rev-parse", "main"]), last);
    assert_eq!(origin.git(&["ls-tree", "-r", "--name-only", "main"]), "apps/web.yaml\napps/web/b.yaml\nc");
    assert_eq!(origin.git(&["log", "-1", "--format=%an|%ae|%at|%s|%b"]), "Ann Other|ann@localhost|1795255200|Move|with a reason");
    assert_eq!(origin.git(&["rev-list", "--count", "main"]), "3");

    let clone = origin.root.path().join("clone");
    git(origin.root.path(), &["clone", "-q", "fleet.git", "clone"]);
    let with_work_tree = LocalRepository::open(&clone).expect("opened");
    with_work_tree.commit(&[("d", Some(b"5"))], "d", "Ann", now()).expect("a commit");
    assert_eq!(git(&clone, &["show", "main:d"]), "5");

    let refused = |path: &str, bytes: Option<&[u8]>| origin.repository.commit(&[(path, bytes)], "x", "Ann", now()).expect_err(path);
    for bad in ["", ".", "/etc/passwd", "../x", "a/../b", "a//b", ".git/config", "a/.GIT/x"] {
        assert!(matches!(refused(bad, Some(b"x")), WriteError::Path { .. }), "{bad:?}");
    }
    assert!(matches!(refused("nothing", None), WriteError::NothingToRemove { .. }));
    assert_eq!(origin.git(&["rev-parse", "main"]), last, "a refused commit changes nothing");
    assert!(matches!(LocalRepository::open(&origin.root.path().join("nowhere")), Err(WriteError::Unusable { .. })));
    assert!(matches!(LocalRepository::init(origin.path()), Err(WriteError::Unusable { .. })), "never over another repository");
}

#[tokio::test(flavor = "multi_thread")]
async fn demands_during_a_refresh_make_one_more_and_the_poll_ends_with_its_listeners() {
    let origin = Origin::new();
    let first = origin.commit("f", "1");
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let refreshes = Arc::new(AtomicUsize::new(0));
    let counted = refreshes.clone();
    // A refresh asks for the time once, at its end: the gate holds it there.
    let clock = shared_model::Clock::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        gate.lock().expect("lock").recv().expect("opened");
        now()
    });
    let mut specification = spec(&origin.path().display().to_string(), "main");
    specification.interval = Duration::from_secs(3600);
    let dir = tempfile::tempdir().expect("a directory");
    let surroundings = Surroundings { clock, ..Surroundings::default() };
    let mirror = Arc::new(Mirror::open(dir.path(), specification, surroundings).expect("opened"));
    let refresh_now = Arc::new(Notify::new());
    let (sender, mut states) = watch::channel(SourceState::default());
    let polling = tokio::spawn(run(mirror, refresh_now.clone(), sender));
    while refreshes.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let second = origin.commit("f", "2");
    for _ in 0..10 {
        refresh_now.notify_one();
    }
    open.send(()).expect("held");
    let good = |states: &SourceState| states.last_good.as_ref().map(|(revision, _)| revision.commit.clone());
    states.wait_for(|state| good(state) == Some(first.clone())).await.expect("polling");
    open.send(()).expect("held");
    states.wait_for(|state| good(state) == Some(second.clone())).await.expect("polling");
    assert_eq!(refreshes.load(Ordering::SeqCst), 2);
    let third = origin.commit("f", "3");
    refresh_now.notify_one();
    open.send(()).expect("held");
    states.wait_for(|state| good(state) == Some(third.clone())).await.expect("polling");
    assert_eq!(refreshes.load(Ordering::SeqCst), 3);
    drop(states);
    polling.await.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_refresh_is_called_off() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    install_provider();
    let url = format!("http://{}/fleet.git", listener.local_addr().expect("an address"));
    let dir = tempfile::tempdir().expect("a directory");
    let mirror = Arc::new(Mirror::open(dir.path(), spec(&url, "main"), Surroundings::default()).expect("opened"));
    let refresh = tokio::spawn(hub_source::refresh_in_background(mirror.clone()));
    let connection = tokio::task::spawn_blocking(move || listener.accept()).await.expect("no panic").expect("a connection");
    refresh.abort();
    while mirror.state().failure.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(connection);
    assert_eq!(mirror.state().failure.map(|failure| failure.error), Some(FetchError::Interrupted));
}
