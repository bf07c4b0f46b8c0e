//! Charts from real servers: a repository over real TLS and the CNCF's registry, found by range, fetched, verified, followed and kept.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use e2e_cluster::{
    Answering, ChartRepository, OciRegistry, REGISTRY_PASSWORD, REGISTRY_USER, RegistryAccess, RegistryOptions, note_skip, pack_chart,
    require_registry,
};
use hub_source::{
    CertificateAuthorities, ChartLimits, ChartRepositorySpec, ChartSource, ChartSpec, ChartStore, Credentials, FetchError, History,
    NamedBy, Refreshed, Source, SourceState, run,
};
use hub_tree::{Lookup, SourceTree, TreePath};
use serde_json::json;
use shared_model::{Clock, Timestamp};
use tempfile::TempDir;
use tokio::sync::{Notify, watch};

fn chart(version: &str) -> Vec<u8> {
    let metadata = format!("apiVersion: v2\nname: web\nversion: {version}\n");
    pack_chart("web", &[("Chart.yaml", &metadata), ("templates/x.yaml", "kind: ConfigMap\n")]).unwrap()
}

/// What `main` of the hub does.
fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn place(url: &str, ca_pem: Option<&str>, credentials: Option<Credentials>) -> ChartRepositorySpec {
    install_provider();
    let mut spec = ChartRepositorySpec::new("charts".parse().unwrap(), url.parse().unwrap(), NamedBy::Operator);
    spec.ca = ca_pem.map(|pem| CertificateAuthorities::from_pem(pem.as_bytes()).unwrap());
    spec.credentials = credentials;
    spec.plain_http = ca_pem.is_none();
    spec
}

fn open(dir: &Path, place: ChartRepositorySpec, version: &str) -> ChartSource {
    let store = ChartStore::open(dir, ChartLimits::DEFAULT, Clock::new(Timestamp::now)).unwrap();
    let repository = hub_source::ChartRepository::new(&store, place);
    ChartSource::open(&repository, ChartSpec { chart: "web".parse().unwrap(), version: version.parse().unwrap() }).unwrap()
}

struct Following {
    dir: TempDir,
    source: ChartSource,
}

impl Following {
    fn new(place: ChartRepositorySpec, version: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = open(dir.path(), place, version);
        Self { dir, source }
    }

    fn try_refresh(&self) -> Result<Refreshed, FetchError> {
        self.source.refresh(&AtomicBool::new(false))
    }

    /// Refreshes, and gives the version and the history.
    fn refresh(&self) -> (String, History) {
        let refreshed = self.try_refresh().unwrap_or_else(|error| panic!("{error}"));
        (refreshed.revision.reference, refreshed.history)
    }

    /// What the tree of the last good revision holds.
    fn content(&self) -> (String, Vec<u8>) {
        let revision = self.source.current().expect("a good revision");
        let tree: Arc<dyn SourceTree> = self.source.tree(&revision).unwrap();
        let Lookup::Found(entries) = tree.list(&TreePath::parse("").unwrap()) else { panic!("no root") };
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        match tree.content(&TreePath::parse(&entry.name).unwrap(), 10 << 20) {
            Lookup::Found(content) => {
                assert_eq!((content.id.clone(), content.id.to_string()), (entry.id.clone(), revision.commit), "the id is the digest");
                (entry.name.clone(), content.bytes.to_vec())
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_chart_of_a_repository_is_followed_through_a_range_and_a_poll_without_news_costs_one_request() {
    let server = ChartRepository::start().unwrap();
    server.publish("web", "1.2.0", &chart("1.2.0"));
    server.publish("web", "2.0.0-rc.1", &chart("2.0.0-rc.1"));
    let following = Following::new(place(&server.url(), Some(server.ca_pem()), None), "^1.2");
    assert_eq!(following.refresh(), ("1.2.0".to_owned(), History::First));
    assert_eq!(following.content(), ("web-1.2.0.tgz".to_owned(), chart("1.2.0")));

    assert_eq!(following.refresh(), ("1.2.0".to_owned(), History::Unchanged));
    let wanted = ["GET /charts/index.yaml 200", "GET /charts/web-1.2.0.tgz 200", "GET /charts/index.yaml 304"];
    assert_eq!(server.requests(), wanted);

    server.publish("web", "1.3.0", &chart("1.3.0"));
    assert_eq!(following.refresh(), ("1.3.0".to_owned(), History::OtherTag { before: "1.2.0".to_owned() }));
    assert_eq!(following.content(), ("web-1.3.0.tgz".to_owned(), chart("1.3.0")));

    server.withdraw("web", "1.3.0");
    let requests = server.requests().len();
    assert_eq!(following.refresh(), ("1.2.0".to_owned(), History::OtherTag { before: "1.3.0".to_owned() }));
    assert_eq!(server.requests().len(), requests + 1, "the older archive is still on disk");
}

#[test]
fn the_last_good_version_stays_while_the_repository_is_away_also_through_a_restart() {
    let server = ChartRepository::start_with_password("ann", "hunter2").unwrap();
    server.publish("web", "1.2.0", &chart("1.2.0"));
    let spec = place(&server.url(), Some(server.ca_pem()), Some(Credentials::basic("ann", "hunter2")));
    let following = Following::new(spec.clone(), "1.2.0");
    assert_eq!(following.refresh().0, "1.2.0");

    server.answer(Answering::Unavailable);
    let error = following.try_refresh().unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    let state = following.source.state();
    assert_eq!((state.consecutive_failures, state.failure.map(|failure| failure.error)), (1, Some(error)));
    assert_eq!(following.content().1, chart("1.2.0"));

    let dir = following.dir;
    drop(following.source);
    let again = Following { source: open(dir.path(), spec, "1.2.0"), dir };
    assert_eq!(again.content(), ("web-1.2.0.tgz".to_owned(), chart("1.2.0")));
    server.answer(Answering::Normally);
    assert_eq!(again.refresh(), ("1.2.0".to_owned(), History::Unchanged));
    assert_eq!(again.source.state().consecutive_failures, 0);
}

#[test]
fn a_repository_says_what_is_wrong_with_what_it_is_shown() {
    let server = ChartRepository::start_with_password("ann", "hunter2").unwrap();
    server.publish("web", "1.2.0", &chart("1.2.0"));
    let try_with = |ca: Option<&str>, credentials: Option<Credentials>| {
        Following::new(place(&server.url(), ca, credentials), "*").try_refresh().unwrap_err()
    };
    let untrusted = try_with(None, Some(Credentials::basic("ann", "hunter2")));
    assert!(matches!(untrusted, FetchError::TlsUntrusted { .. }), "{untrusted}");
    let needed = try_with(Some(server.ca_pem()), None);
    assert!(matches!(needed, FetchError::AuthenticationNeeded { .. }), "{needed}");
    let refused = try_with(Some(server.ca_pem()), Some(Credentials::bearer("hunter3")));
    assert!(matches!(refused, FetchError::AuthenticationRefused { .. }), "{refused}");
    assert!(!refused.to_string().contains("hunter3"));
}

#[test]
fn a_version_that_is_published_anew_is_seen_as_rewritten() {
    let server = ChartRepository::start().unwrap();
    server.publish("web", "1.2.0", &chart("1.2.0"));
    let following = Following::new(place(&server.url(), Some(server.ca_pem()), None), "1.2.0");
    following.refresh();
    let before = following.source.current().unwrap();
    server.publish("web", "1.2.0", &chart("1.2.0-changed"));
    assert_eq!(following.refresh().1, History::Rewritten { lost_commit: before.commit.clone() });
    assert_eq!(following.content().1, chart("1.2.0-changed"));
    assert_eq!(following.source.state().rewrites.len(), 1);
    assert_eq!(following.source.archive(&before).unwrap().bytes.as_ref(), chart("1.2.0"), "the older bytes are still there to go back to");
}

#[tokio::test]
async fn a_chart_is_polled_as_a_git_source_is_and_looked_at_on_demand() {
    let server = ChartRepository::start().unwrap();
    server.publish("web", "1.2.0", &chart("1.2.0"));
    let dir = tempfile::tempdir().unwrap();
    let source: Arc<dyn Source> = Arc::new(open(dir.path(), place(&server.url(), Some(server.ca_pem()), None), "1.x"));
    let refresh_now = Arc::new(Notify::new());
    let (sender, mut states) = watch::channel(source.state());
    let polling = tokio::spawn(run(source.clone(), refresh_now.clone(), sender));
    let is_at = |version: &'static str| {
        move |state: &SourceState| state.last_good.as_ref().is_some_and(|(revision, _)| revision.reference == version)
    };
    states.wait_for(is_at("1.2.0")).await.unwrap();
    server.publish("web", "1.3.0", &chart("1.3.0"));
    refresh_now.notify_one();
    let revision = states.wait_for(is_at("1.3.0")).await.unwrap().last_good.clone().unwrap().0;
    assert!(source.tree(&revision).is_ok());
    drop(states);
    polling.await.expect("it ends when nobody listens");
}

#[test]
fn a_chart_of_a_registry_is_followed_through_a_range() {
    require_registry!();
    let registry = OciRegistry::start().unwrap();
    for version in ["1.2.0", "1.2.1+build.7", "2.0.0-rc.1"] {
        registry.publish("charts/web", "web", version, &chart(version)).unwrap();
    }
    registry.publish("charts/web", "web", "latest", &chart("9.9.9")).unwrap();
    let following = Following::new(place(&format!("oci://{}/charts", registry.authority()), None, None), ">=1.2 <2");
    assert_eq!(following.refresh(), ("1.2.1+build.7".to_owned(), History::First));
    assert_eq!(following.content(), ("web-1.2.1+build.7.tgz".to_owned(), chart("1.2.1+build.7")));

    let before = registry.requests().unwrap().len();
    assert_eq!(following.refresh().1, History::Unchanged);
    let requests = registry.requests().unwrap().split_off(before);
    let [tags, head] = &requests[..] else { panic!("{requests:?}") };
    assert!(tags.starts_with("GET /v2/charts/web/tags/list"), "{tags}");
    assert!(head.starts_with("HEAD /v2/charts/web/manifests/1.2.1_build.7"), "{head}");

    registry.publish("charts/web", "web", "1.10.0", &chart("1.10.0")).unwrap();
    assert_eq!(following.refresh(), ("1.10.0".to_owned(), History::OtherTag { before: "1.2.1+build.7".to_owned() }));
}

#[test]
fn an_exact_version_is_one_request_and_a_tag_that_moves_is_seen() {
    require_registry!();
    let registry = OciRegistry::start().unwrap();
    registry.publish("web", "web", "1.2.0", &chart("1.2.0")).unwrap();
    let following = Following::new(place(&format!("oci://{}", registry.authority()), None, None), "1.2.0");
    following.refresh();
    let before = registry.requests().unwrap().len();
    assert_eq!(following.refresh().1, History::Unchanged);
    let requests = registry.requests().unwrap().split_off(before);
    assert!(matches!(&requests[..], [head] if head.starts_with("HEAD /v2/web/manifests/1.2.0")), "{requests:?}");

    let lost = following.source.current().unwrap().commit;
    registry.publish("web", "web", "1.2.0", &chart("1.2.0-changed")).unwrap();
    assert_eq!(following.refresh().1, History::Rewritten { lost_commit: lost });
    assert_eq!(following.content().1, chart("1.2.0-changed"));
}

#[test]
fn a_digest_pins_a_chart_whatever_its_tag_does() {
    require_registry!();
    let registry = OciRegistry::start().unwrap();
    let digest = registry.publish("charts/web", "web", "1.2.0", &chart("1.2.0")).unwrap();
    registry.publish("charts/web", "web", "1.2.0", &chart("1.2.0-changed")).unwrap();
    let following = Following::new(place(&format!("oci://{}/charts", registry.authority()), None, None), &digest);
    assert_eq!(following.refresh(), ("1.2.0".to_owned(), History::First));
    assert_eq!(following.content(), ("web-1.2.0.tgz".to_owned(), chart("1.2.0")));
    let before = registry.requests().unwrap().len();
    assert_eq!(following.refresh().1, History::Unchanged);
    assert_eq!(registry.requests().unwrap().len(), before, "what a digest names never changes");
}

#[test]
fn registries_with_passwords_and_tokens_over_tls_take_the_right_credentials_and_refuse_others() {
    require_registry!();
    for access in [RegistryAccess::Password, RegistryAccess::Token] {
        let registry = OciRegistry::start_with(RegistryOptions { tls: true, access }).unwrap();
        registry.publish("charts/web", "web", "1.2.0", &chart("1.2.0")).unwrap();
        // The token server is on the same host with an authority of its own.
        let ca = [registry.ca_pem(), registry.token_server_ca_pem()].into_iter().flatten().collect::<String>();
        let url = format!("oci://{}/charts", registry.authority());
        let with = |credentials| Following::new(place(&url, Some(&ca), credentials), "*");

        let following = with(Some(Credentials::basic(REGISTRY_USER, REGISTRY_PASSWORD)));
        assert_eq!(following.refresh().0, "1.2.0", "{access:?}");
        assert_eq!(following.content().1, chart("1.2.0"));
        following.refresh();
        let asked = if access == RegistryAccess::Token { 1 } else { 0 };
        assert_eq!(registry.token_requests().len(), asked, "a token is kept while it is good");

        let wrong = with(Some(Credentials::basic(REGISTRY_USER, "hunter3"))).try_refresh().unwrap_err();
        assert!(matches!(wrong, FetchError::AuthenticationRefused { .. }), "{access:?}: {wrong}");
        let none = with(None).try_refresh().unwrap_err();
        assert!(matches!(none, FetchError::AuthenticationNeeded { .. }), "{access:?}: {none}");
    }
}

#[test]
fn a_registry_that_is_away_leaves_the_last_good_version_and_what_is_missing_is_named() {
    require_registry!();
    let mut registry = OciRegistry::start().unwrap();
    registry.publish("charts/web", "web", "1.2.0", &chart("1.2.0")).unwrap();
    let url = format!("oci://{}/charts", registry.authority());
    let following = Following::new(place(&url, None, None), "1.x");
    following.refresh();
    registry.stop();
    let error = following.try_refresh().unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert_eq!(following.content().1, chart("1.2.0"));
    registry.start_again().unwrap();
    assert_eq!(following.refresh().1, History::Unchanged);

    let none = Following::new(place(&url, None, None), "^3").try_refresh().unwrap_err();
    assert!(matches!(&none, FetchError::NoChartVersion { newest, .. } if newest == &["1.2.0"]), "{none}");
    let missing = Following::new(place(&format!("{url}/other"), None, None), "*").try_refresh().unwrap_err();
    assert!(matches!(missing, FetchError::UnknownChart { .. }), "{missing}");
    let secure = Following::new(ChartRepositorySpec { plain_http: false, ..place(&url, None, None) }, "*").try_refresh().unwrap_err();
    assert!(matches!(secure, FetchError::Unreachable { .. }), "plain HTTP only where it was said: {secure}");
}

#[test]
fn what_is_no_chart_is_refused_by_its_type() {
    require_registry!();
    let registry = OciRegistry::start().unwrap();
    let blob = b"{}";
    let descriptor = |media_type: &str| {
        json!({ "mediaType": media_type, "size": 2,
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" })
    };
    let manifest = |config: &str, layer: &str| {
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor(config), "layers": [descriptor(layer)] })
    };
    let (config, layer) = ("application/vnd.cncf.helm.config.v1+json", "application/vnd.cncf.helm.chart.content.v1.tar+gzip");
    for (config, layer, reason) in [
        ("application/vnd.oci.image.config.v1+json", layer, "artifact of type application/vnd.oci.image.config"),
        ("application/vnd.cncf.flux.config.v1+json", "application/vnd.cncf.flux.content.v1.tar+gzip", "vnd.cncf.flux.config"),
        (config, "application/octet-stream", "not exactly one archive"),
        (config, layer, "not packed with gzip"),
    ] {
        registry.publish_manifest("charts/web", "1.0.0", &manifest(config, layer), &[blob]).unwrap();
        let url = format!("oci://{}/charts", registry.authority());
        let error = Following::new(place(&url, None, None), "1.0.0").try_refresh().unwrap_err();
        assert!(matches!(&error, FetchError::NotAChart { detail, .. } if detail.contains(reason)), "{error}");
    }
}

#[test]
fn an_index_may_name_a_chart_in_a_registry() {
    require_registry!();
    // The registry of an index is asked as anybody would: over TLS, and never on this machine unless the repository is there too.
    let registry = OciRegistry::start_with(RegistryOptions { tls: true, access: RegistryAccess::Open }).unwrap();
    registry.publish("charts/web", "web", "1.2.0", &chart("1.2.0")).unwrap();
    let server = ChartRepository::start().unwrap();
    server.publish_reference("web", "1.2.0", &format!("oci://{}/charts/web:1.2.0", registry.authority()));
    let ca = format!("{}{}", server.ca_pem(), registry.ca_pem().unwrap());
    let following = Following::new(place(&server.url(), Some(&ca), None), "*");
    assert_eq!(following.refresh().0, "1.2.0");
    assert_eq!(following.content().1, chart("1.2.0"));
}

/// Real Helm, if it is there: in the directory that `CAPSTAN_HELM_ORACLE_DIR` names, or where `e2e/oracle/helm-setup.sh` has built it. A test
/// without it is skipped with one line, and fails when `REQUIRE_ORACLE=1`.
fn helm() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("CAPSTAN_CACHE").or_else(|| set("XDG_CACHE_HOME")).or_else(|| Some(set("HOME")?.join(".cache")));
    let folder = set("CAPSTAN_HELM_ORACLE_DIR").or_else(|| Some(cache()?.join("capstan/helm-oracle/current"))).unwrap_or_default();
    let path = folder.join("helm");
    if path.is_file() {
        return Some(path);
    }
    let missing = format!("no {}; run e2e/oracle/helm-setup.sh", path.display());
    assert!(std::env::var("REQUIRE_ORACLE").map_or(true, |value| value != "1"), "there is {missing}");
    note_skip(&missing);
    None
}

/// Runs Helm without any configuration of this machine.
fn run_helm(helm: &Path, home: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(helm).args(arguments).env_clear().env("HOME", home).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn helm_takes_the_same_version_from_a_repository_and_from_a_registry() {
    require_registry!();
    let Some(helm) = helm() else { return };
    let home = tempfile::tempdir().unwrap();
    let server = ChartRepository::start().unwrap();
    let registry = OciRegistry::start().unwrap();
    let versions = "0.9.0 1.0.0 1.2.0 1.2.9 1.3.0-rc.1 1.10.0 1.10.1-alpha 2.0.0-beta.2 2.0.0-beta.10 2.1.0+build.5 3.0.0-rc.1";
    for version in versions.split(' ') {
        server.publish("web", version, &chart(version));
        registry.publish("charts/web", "web", version, &chart(version)).unwrap();
    }
    let ca = home.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem()).unwrap();
    let (repository, oci) = (server.url(), format!("oci://{}/charts", registry.authority()));
    let ranges = [
        "",
        "*",
        "1.2.0",
        "v1.2.0",
        "1.2",
        "1",
        "~1.2",
        "^1.2.0",
        ">=1.0.0 <1.10.0",
        ">1.2.9",
        "<1.0.0",
        "1.x || 0.x",
        "!=2.1.0",
        ">0.0.0-0",
        ">=1.3.0-0 <2",
        "2.0.0-beta.2",
        "~2.0.0-beta",
        "2.1.0",
        "2.1.0+build.5",
        "=1.10.0",
        "1.2.0 - 1.10.0",
        "^4",
        "3.0.0",
        "4.x",
        "1.3.x-0",
    ];
    let mut different = Vec::new();
    for range in ranges {
        let version_of = |printed: Result<String, String>| {
            let printed = printed.ok()?;
            Some(printed.lines().find_map(|line| line.strip_prefix("version: "))?.to_owned())
        };
        let mut in_repository = vec!["show", "chart", "web", "--repo", &repository, "--ca-file", ca.to_str().unwrap()];
        let address = format!("{oci}/web");
        let mut in_registry = vec!["show", "chart", &address, "--plain-http"];
        if !range.is_empty() {
            in_repository.extend(["--version", range]);
            in_registry.extend(["--version", range]);
        }
        for (name, arguments, place) in [
            ("repository", in_repository, place(&repository, Some(server.ca_pem()), None)),
            ("registry", in_registry, place(&oci, None, None)),
        ] {
            let theirs = version_of(run_helm(&helm, home.path(), &arguments));
            let ours = Following::new(place, range).try_refresh().ok().map(|refreshed| refreshed.revision.reference);
            if ours != theirs {
                different.push(format!("{range:?} in the {name}: {ours:?} here, {theirs:?} there"));
            }
        }
    }
    // In a registry, Helm takes what could be a version for a tag and looks no further. Here that tag goes first, and then it is a range as
    // everywhere else: what Helm finds is found, and more.
    let wanted = [
        "\"v1.2.0\" in the registry: Some(\"1.2.0\") here, None there",
        "\"1.2\" in the registry: Some(\"1.2.9\") here, None there",
        "\"1\" in the registry: Some(\"1.10.0\") here, None there",
        "\"2.1.0\" in the registry: Some(\"2.1.0+build.5\") here, None there",
    ];
    assert_eq!(different, wanted);
}

#[test]
fn what_helm_pushes_is_read() {
    require_registry!();
    let Some(helm) = helm() else { return };
    let home = tempfile::tempdir().unwrap();
    let registry = OciRegistry::start().unwrap();
    let archive = home.path().join("web-1.2.0+build.tgz");
    std::fs::write(&archive, chart("1.2.0+build")).unwrap();
    let oci = format!("oci://{}/charts", registry.authority());
    run_helm(&helm, home.path(), &["push", archive.to_str().unwrap(), &oci, "--plain-http"]).unwrap();
    let following = Following::new(place(&oci, None, None), "1.x");
    assert_eq!(following.refresh().0, "1.2.0+build");
    assert_eq!(following.content().1, chart("1.2.0+build"));
}
