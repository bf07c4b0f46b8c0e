//! All situations on both API servers, and the page that names them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use e2e_cluster::{SharedControlPlane, require_control_plane};
use e2e_situations::{Api, Situation, run};
use futures_util::StreamExt as _;

static PLANE: SharedControlPlane = SharedControlPlane::with_pods();

/// How many situations run at once: an agent waits for its API server most of the time, and more of them only queue there.
const AT_ONCE: usize = 6;

/// Fewer than these, and some were lost.
const AT_LEAST: usize = 60;

static ROOT: LazyLock<PathBuf> = LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("situations"));

/// Without `RUST_LOG`: the client's own complaints about answers that are part of a situation would only bury what failed.
const LOGS: &str = "error,kube_client=off";

/// Runs those whose name contains `SITUATION` and says how long each took, or all.
async fn run_all(api: &Api) {
    let logs = std::env::var("RUST_LOG").unwrap_or_else(|_| LOGS.to_owned());
    let _ = tracing_subscriber::fmt().with_env_filter(logs).with_test_writer().try_init();
    let files = Situation::files(&ROOT).expect("folders of situations");
    let only = std::env::var("SITUATION").unwrap_or_default();
    let read: Vec<anyhow::Result<Situation>> = files.iter().map(|file| Situation::read(file)).collect();
    let unreadable: Vec<String> = read.iter().filter_map(|read| read.as_ref().err().map(|error| format!("{error}"))).collect();
    assert!(unreadable.is_empty(), "{unreadable:#?}");
    let situations: Vec<Situation> = read.into_iter().flatten().collect();
    let chosen: Vec<&Situation> = situations.iter().filter(|situation| situation.name.contains(&only)).collect();
    let failures: Vec<_> = futures_util::stream::iter(chosen.iter().map(|situation| async {
        let started = Instant::now();
        let outcome = run(api, situation).await;
        if !only.is_empty() || outcome.is_err() {
            println!("{:>6} ms  {} on {}", started.elapsed().as_millis(), situation.name, api.name());
        }
        outcome.err()
    }))
    .buffer_unordered(AT_ONCE)
    .filter_map(|failure| async { failure })
    .collect()
    .await;
    let text: String = failures.iter().map(|failure| format!("\n{failure}")).collect();
    assert!(failures.is_empty(), "{} of {} situations went otherwise:\n{text}", failures.len(), chosen.len());
    assert!(!chosen.is_empty(), "no situation is called {only}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_situation_goes_as_written_on_a_real_api_server() {
    require_control_plane!(controllers);
    let plane = PLANE.get().await.expect("a control plane");
    run_all(&Api::real(plane).await.expect("clients of the real one")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_situation_goes_as_written_on_the_api_server_in_memory() {
    run_all(&Api::in_memory().await.expect("a server in memory")).await;
}

#[test]
fn no_situation_was_lost() {
    assert!(Situation::files(&ROOT).expect("folders of situations").len() >= AT_LEAST);
}

/// The page that names issues of other tools and what shows that they do not happen here.
const PAGE: &str = "docs/known-failures.md";

/// What the page names in its tables and lists: `group/situation`, and `file#test`.
fn named_on_the_page(page: &str) -> Vec<&str> {
    let groups: Vec<String> = Situation::files(&ROOT).expect("folders of situations").iter().filter_map(|file| group_of(file)).collect();
    let words = page.split('`').skip(1).step_by(2);
    words
        .filter(|word| word.contains('#') || word.split_once('/').is_some_and(|(group, _)| groups.iter().any(|known| known == group)))
        .collect()
}

fn group_of(file: &Path) -> Option<String> {
    Some(file.parent()?.file_name()?.to_str()?.to_owned())
}

fn is_there(project: &Path, named: &str) -> bool {
    match named.split_once('#') {
        Some((file, test)) => std::fs::read_to_string(project.join(file)).is_ok_and(|text| text.contains(&format!("fn {test}("))),
        None => ROOT.join(named).with_extension("yaml").is_file(),
    }
}

#[test]
fn whatever_the_page_of_known_failures_names_exists_and_no_situation_is_left_out() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(project.join(PAGE)).expect("the page");
    let named = named_on_the_page(&page);
    let missing: Vec<&&str> = named.iter().filter(|named| !is_there(&project, named)).collect();
    assert!(missing.is_empty(), "{PAGE} names what does not exist: {missing:?}");
    let names = Situation::files(&ROOT).expect("folders of situations").into_iter().filter_map(|file| {
        let name = file.file_stem()?.to_str()?.to_owned();
        Some(format!("{}/{name}", group_of(&file)?))
    });
    let unnamed: Vec<String> = names.filter(|name| !named.contains(&name.as_str())).collect();
    assert!(unnamed.is_empty(), "{PAGE} does not say what these are for: {unnamed:?}");
}

#[test]
fn every_row_of_the_page_says_what_shows_it_or_why_it_cannot_be() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(project.join(PAGE)).expect("the page");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| issue"));
    let bare: Vec<&str> = rows
        .filter(|row| row.rsplit('|').nth(1).is_none_or(|shown| !shown.contains('`') && !shown.contains("by construction: ")))
        .collect();
    assert!(bare.is_empty(), "{PAGE}: {bare:?}");
}
