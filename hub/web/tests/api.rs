//! The server over real sockets, in front of a hub that answers from a table: who gets in, what is refused and in which words.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use hub_api::{
    AppView, ApprovalView, ClusterState, ClusterView, DiffView, EnrolmentView, EventsView, HealthCounts, HoldView, Judged, LiveDiffView,
    LiveObjectView, ProblemView, RegionView, SecretText, SourceView, StatusFilter, StatusView, SyncWord, TestView, TreeView,
};
use hub_web::{
    AccessToken, Actor, Answer, Approval, ClusterAddition, HoldWish, Hub, HubError, LiveHub, LogPiece, LogQuestion, LogStream, ObjectQuery,
    Place, Right, StatusPage, TestWish, WRONG_TOKENS_LIMIT, WebConfig, serve,
};
use serde_json::Value;
use shared_model::{AppName, ClusterName, ClusterUid, Health, Reason, Severity, SourceName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_stream::StreamExt as _;

/// A hub with two clusters that remembers what was asked of it.
#[derive(Default)]
struct TableHub {
    asked: Mutex<Vec<String>>,
}

/// The hub as the server holds it, and as what it answers later does too.
struct Shared(Arc<TableHub>);

impl Deref for Shared {
    type Target = TableHub;

    fn deref(&self) -> &TableHub {
        &self.0
    }
}

fn answer<'a, T: Send + 'a>(result: Result<T, HubError>) -> Answer<'a, T> {
    Box::pin(async move { result })
}

fn cluster_view(name: &str) -> ClusterView {
    ClusterView {
        name: name.to_owned(),
        region: "eu".to_owned(),
        labels: [].into(),
        uid: None,
        state: ClusterState::Accepted,
        reason: None,
        last_heard: None,
        judged: Judged::of(Some(Health::Healthy), Some(Duration::from_secs(40))),
        apps: HealthCounts::default(),
        wanted_generation: None,
        held_generation: None,
        agent_version: None,
        kubernetes_version: None,
        nodes: None,
        api_versions: vec![],
        held_changes: vec![],
    }
}

fn row(app: &str, cluster: &str) -> StatusView {
    StatusView {
        app: app.to_owned(),
        cluster: cluster.to_owned(),
        region: "eu".to_owned(),
        wanted: None,
        applied: None,
        sync: SyncWord::Unknown,
        judged: Judged::of(None, None),
        reason: None,
        objects: 0,
        unhealthy: vec![],
        drift: vec![],
        taken_over: vec![],
        awaiting_approval: None,
        held_changes: vec![],
        test: None,
    }
}

impl TableHub {
    fn asked(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Hub for Shared {
    fn regions(&self) -> Answer<'_, Vec<RegionView>> {
        answer(Err(HubError::Internal { message: "the store at /var/lib is broken".to_owned() }))
    }
    fn clusters(&self) -> Answer<'_, Vec<ClusterView>> {
        answer(Ok(["c", "a", "b"].map(cluster_view).into()))
    }
    fn cluster(&self, name: ClusterName) -> Answer<'_, ClusterView> {
        answer(match name.as_str() {
            "a" => Ok(cluster_view("a")),
            name => Err(HubError::NotFound { what: "cluster", name: name.to_owned() }),
        })
    }
    fn apps(&self) -> Answer<'_, Vec<AppView>> {
        answer(Ok(vec![]))
    }
    fn app(&self, name: AppName) -> Answer<'_, AppView> {
        answer(Err(HubError::NotFound { what: "app", name: name.to_string() }))
    }
    fn status(&self, filter: StatusFilter, page: StatusPage) -> Answer<'_, Vec<StatusView>> {
        let after = page.after.map(|(app, cluster)| (app.to_string(), cluster.to_string()));
        let rows = [("api", "a"), ("api", "b"), ("web", "a")].map(|(app, cluster)| row(app, cluster));
        let rows = rows.into_iter().filter(|row| filter.admits(row));
        let rows = rows.filter(|row| after.as_ref().is_none_or(|after| (row.app.clone(), row.cluster.clone()) > *after));
        answer(Ok(rows.take(page.limit).collect()))
    }
    fn problems(&self) -> Answer<'_, Vec<ProblemView>> {
        answer(Ok(vec![]))
    }
    fn sources(&self) -> Answer<'_, Vec<SourceView>> {
        answer(Err(HubError::Unavailable { message: "the disk is full".to_owned(), hint: Some("free some space".to_owned()) }))
    }
    fn diff(&self, _: AppName, _: Option<ClusterName>) -> Answer<'_, Vec<DiffView>> {
        answer(Ok(vec![]))
    }
    fn refresh(&self, actor: Actor, source: Option<SourceName>) -> Answer<'_, Vec<SourceView>> {
        self.asked(format!("{} refreshes {source:?}", actor.name));
        answer(Ok(vec![]))
    }
    fn add_cluster(&self, actor: Actor, addition: ClusterAddition) -> Answer<'_, EnrolmentView> {
        self.asked(format!("{} adds {} to {}", actor.name, addition.name, addition.region));
        answer(Ok(EnrolmentView {
            cluster: addition.name.to_string(),
            region: addition.region.to_string(),
            command: SecretText::new("capstan-agent enrol --token t0k3n"),
            token: SecretText::new("t0k3n"),
            expires_at: "2026-01-01T00:15:00Z".to_owned(),
            expires_in_seconds: 900,
            accept_needed: false,
        }))
    }
    fn accept_cluster(&self, actor: Actor, name: ClusterName, uid: ClusterUid) -> Answer<'_, ClusterView> {
        self.asked(format!("{} accepts {name} as {uid}", actor.name));
        answer(Ok(cluster_view("a")))
    }
    fn remove_cluster(&self, actor: Actor, name: ClusterName) -> Answer<'_, ClusterView> {
        self.asked(format!("{} removes {name}", actor.name));
        answer(Ok(cluster_view("a")))
    }
    fn tests(&self, app: AppName, _: Option<ClusterName>) -> Answer<'_, Vec<TestView>> {
        answer(Err(HubError::NotFound { what: "app", name: app.to_string() }))
    }
    fn request_tests(&self, actor: Actor, wish: TestWish) -> Answer<'_, Vec<TestView>> {
        self.asked(format!("{} tests {} in {:?} within {:?}", actor.name, wish.app, wish.cluster, wish.seconds));
        answer(Ok(Vec::new()))
    }
    fn holds(&self) -> Answer<'_, Vec<HoldView>> {
        answer(Ok(Vec::new()))
    }
    fn hold(&self, actor: Actor, wish: HoldWish) -> Answer<'_, HoldView> {
        let cluster = wish.cluster.as_ref().map(ToString::to_string);
        self.asked(format!("{} holds {} in {cluster:?} for {:?}: {}", actor.name, wish.app, wish.time, wish.reason));
        let until = "2026-01-01T00:00:00Z".to_owned();
        answer(Ok(HoldView {
            app: wish.app.to_string(),
            cluster,
            by: actor.name,
            reason: wish.reason,
            until,
            ends_in_seconds: wish.time.as_secs(),
        }))
    }
    fn resume(&self, _: Actor, app: AppName, _: Option<ClusterName>) -> Answer<'_, HoldView> {
        answer(Err(HubError::NotFound { what: "hold", name: app.to_string() }))
    }
    fn approve(&self, _: Actor, _: Approval) -> Answer<'_, ApprovalView> {
        answer(Err(HubError::Refused {
            code: "ChangedSince",
            message: "the change is another by now".to_owned(),
            hint: Some("look again".to_owned()),
        }))
    }
}

fn tree_view(place: &Place) -> TreeView {
    TreeView { app: place.app.to_string(), cluster: place.cluster.to_string(), nodes: vec![], left_out: 0, unseen: vec![] }
}

/// Says when nobody reads a log any more.
struct Reading(Arc<TableHub>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.asked("nobody reads".to_owned());
    }
}

impl LiveHub for Shared {
    fn tree(&self, actor: Actor, place: Place) -> Answer<'_, TreeView> {
        self.asked(format!("{} looks at {} in {}", actor.name, place.app, place.cluster));
        answer(Ok(tree_view(&place)))
    }
    fn live_object(&self, _: Actor, _: Place, object: ObjectQuery) -> Answer<'_, LiveObjectView> {
        let code = if object.name == "away" { "NoSuchObject" } else { "NotOwned" };
        answer(Err(HubError::Cluster(Reason::new(Severity::Error, code, "the cluster says why"))))
    }
    fn events(&self, _: Actor, place: Place, object: Option<ObjectQuery>) -> Answer<'_, EventsView> {
        self.asked(format!("{object:?}"));
        answer(Ok(EventsView { app: place.app.to_string(), cluster: place.cluster.to_string(), events: vec![], left_out: 0 }))
    }
    fn live_diff(&self, _: Actor, place: Place) -> Answer<'_, LiveDiffView> {
        answer(Ok(LiveDiffView { app: place.app.to_string(), cluster: place.cluster.to_string(), objects: vec![], left_out: 0 }))
    }
    fn log(&self, actor: Actor, cluster: ClusterName, question: LogQuestion) -> Answer<'_, LogStream> {
        self.asked(format!("{} reads {} in {cluster}, {:?}", actor.name, question.app, question.tail));
        let pieces = tokio_stream::iter(["one\ntw", "o\n", "three"].map(|text| LogPiece::Data(text.into())));
        if !question.follow {
            return answer(Ok(Box::pin(pieces) as LogStream));
        }
        let reading = Reading(self.0.clone());
        // Never says anything more.
        let silence = tokio_stream::pending().map(move |()| {
            let _reading = &reading;
            LogPiece::Data(Bytes::new())
        });
        answer(Ok(Box::pin(pieces.chain(silence)) as LogStream))
    }
}

const TOKEN: &str = "correct-horse";
/// Of somebody who may not look into clusters.
const NARROW_TOKEN: &str = "narrow-pony";

struct Server {
    at: SocketAddr,
    hub: Arc<TableHub>,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::start_with(None).await
    }

    async fn start_with(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let hub = Arc::new(TableHub::default());
        let narrow = AccessToken::of("narrow", NARROW_TOKEN).limited_to([Right::LiveView]);
        let config = WebConfig { tokens: vec![AccessToken::of("bootstrap", TOKEN), narrow], tls };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, config, Arc::new(Shared(hub.clone())), async move {
            let _ = stopped.await;
        }));
        Self { at, hub, stop: Some(stop), task }
    }

    /// Status and body of one request with these headers.
    async fn raw(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let length = body.len();
        let request = format!("{head}Host: hub\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        // The server may answer and close before it has read a body that is too large.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("no answer to {head}"));
        (status, answer)
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let (status, answer) = self.raw(&format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n"), body).await;
        (status, serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", &format!("/api/v1/{path}"), "").await
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn nothing_below_the_api_answers_without_a_known_token() {
    let server = Server::start().await;
    let paths = ["GET regions", "GET clusters", "GET clusters/a", "GET apps", "GET apps/a", "GET status", "GET problems", "GET sources"];
    let changes = [
        "GET diff?app=a",
        "POST refresh",
        "POST clusters",
        "POST clusters/a/accept",
        "DELETE clusters/a",
        "POST approvals",
        "GET x",
        "PUT apps",
    ];
    for route in paths.into_iter().chain(changes) {
        let (method, path) = route.split_once(' ').unwrap();
        let (status, answer) = server.raw(&format!("{method} /api/v1/{path} HTTP/1.1\r\n"), "").await;
        assert_eq!(status, 401, "{route}");
        assert!(answer.contains("www-authenticate: Bearer") && answer.contains("\"code\":\"Unauthorised\""), "{answer}");
    }
    assert!(server.hub.asked.lock().unwrap().is_empty());
    assert_eq!(server.raw("GET /livez HTTP/1.1\r\n", "").await.0, 200);
}

#[tokio::test]
async fn an_address_that_guesses_has_to_wait_even_with_the_right_token() {
    let server = Server::start().await;
    let guess = "GET /api/v1/apps HTTP/1.1\r\nAuthorization: Bearer wrong\r\n";
    for _ in 0..WRONG_TOKENS_LIMIT {
        assert_eq!(server.raw(guess, "").await.0, 401);
    }
    let (status, answer) = server.raw(guess, "").await;
    assert_eq!(status, 429);
    assert!(answer.contains("retry-after: ") && answer.contains("\"code\":\"TooManyWrongTokens\""), "{answer}");
    assert_eq!(server.get("apps").await.0, 429);
}

#[tokio::test]
async fn lists_are_sorted_and_paged() {
    let server = Server::start().await;
    let (status, first) = server.get("clusters?limit=2").await;
    assert_eq!((status, names(&first)), (200, vec!["a", "b"]));
    assert_eq!((first["kind"].as_str(), first["apiVersion"].as_str()), (Some("ClusterList"), Some("capstan.dev/v1")));
    let next = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = server.get(&format!("clusters?limit=2&continue={next}")).await;
    assert_eq!((names(&second), &second["metadata"]["continue"]), (vec!["c"], &Value::Null));
}

#[tokio::test]
async fn the_status_is_filtered_and_paged_by_the_hub() {
    let server = Server::start().await;
    let rows = |list: &Value| -> Vec<String> {
        list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| format!("{}@{}", row["app"].as_str().unwrap(), row["cluster"].as_str().unwrap()))
            .collect()
    };
    let (_, first) = server.get("status?limit=2").await;
    assert_eq!(rows(&first), ["api@a", "api@b"]);
    let (_, second) = server.get(&format!("status?limit=2&continue={}", first["metadata"]["continue"].as_str().unwrap())).await;
    assert_eq!(rows(&second), ["web@a"]);
    assert_eq!(rows(&server.get("status?cluster=a&health=Unknown").await.1), ["api@a", "web@a"]);
    let (status, error) = server.get("status?health=green").await;
    assert_eq!((status, error["code"].as_str()), (400, Some("InvalidRequest")));
    assert_eq!(server.get("status?continue=nonsense").await.0, 400);
}

#[tokio::test]
async fn a_silent_cluster_is_shown_as_unknown_with_its_age() {
    let server = Server::start().await;
    let (_, cluster) = server.get("clusters/a").await;
    assert_eq!([&cluster["health"], &cluster["lastReportedHealth"], &cluster["freshness"]], ["Unknown", "Healthy", "Stale"]);
    assert_eq!((&cluster["ageSeconds"], &cluster["kind"]), (&Value::from(40), &Value::from("Cluster")));
}

#[tokio::test]
async fn each_fault_has_its_status_code_and_hint() {
    let server = Server::start().await;
    let digest = format!(r#"{{"app":"web","digest":"sha256:{}"}}"#, "a".repeat(64));
    let nameless = format!(r#"{{"digest":"sha256:{}"}}"#, "a".repeat(64));
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    for (method, path, body, status, code) in [
        ("GET", "clusters/zzz", "", 404, "NotFound"),
        ("GET", "clusters/UPPER", "", 400, "InvalidRequest"),
        ("GET", "nothing", "", 404, "NoSuchPath"),
        ("PUT", "apps", "", 405, "MethodNotAllowed"),
        ("GET", "apps?limt=3", "", 400, "InvalidRequest"),
        ("POST", "clusters", "{", 400, "InvalidRequest"),
        ("POST", "clusters", r#"{"name":"a","regoin":"eu"}"#, 400, "InvalidRequest"),
        ("POST", "clusters", &long, 413, "TooLarge"),
        ("POST", "approvals", &nameless, 400, "InvalidRequest"),
        ("POST", "approvals", r#"{"app":"web","digest":"abc"}"#, 400, "InvalidRequest"),
        ("POST", "approvals", &digest, 409, "ChangedSince"),
        ("GET", "sources", "", 503, "Unavailable"),
        ("GET", "regions", "", 500, "Internal"),
    ] {
        let (got, error) = server.ask(method, &format!("/api/v1/{path}"), body).await;
        assert_eq!((got, error["code"].as_str()), (status, Some(code)), "{method} {path}: {error}");
        assert!(!error["hint"].as_str().unwrap().is_empty() && error["kind"] == "Error", "{error}");
        assert!(!error.to_string().contains("/var/lib"), "{error}");
    }
}

#[tokio::test]
async fn changes_carry_the_name_of_the_token() {
    let server = Server::start().await;
    let (status, enrolment) = server.ask("POST", "/api/v1/clusters", r#"{"name":"gpu-a","region":"eu"}"#).await;
    assert_eq!((status, enrolment["token"].as_str()), (201, Some("t0k3n")));
    assert_eq!(server.ask("POST", "/api/v1/clusters/gpu-a/accept", r#"{"uid":"u-1"}"#).await.0, 200);
    assert_eq!(server.ask("DELETE", "/api/v1/clusters/gpu-a", "").await.0, 200);
    assert_eq!(server.ask("POST", "/api/v1/refresh", "").await.0, 200);
    assert_eq!(server.ask("POST", "/api/v1/holds", r#"{"app":"web","reason":"INC-7","seconds":60}"#).await.0, 201);
    assert_eq!(server.ask("POST", "/api/v1/apps/web/tests", r#"{"seconds":60}"#).await.0, 201);
    assert_eq!(server.ask("GET", "/api/v1/apps/web/tests", "").await.0, 404);
    assert_eq!(server.ask("DELETE", "/api/v1/holds/web", "").await.0, 404);
    assert_eq!(
        *server.hub.asked.lock().unwrap(),
        [
            "bootstrap adds gpu-a to eu",
            "bootstrap accepts gpu-a as u-1",
            "bootstrap removes gpu-a",
            "bootstrap refreshes None",
            "bootstrap holds web in None for 60s: INC-7",
            "bootstrap tests web in None within Some(60)",
        ]
    );
}

#[tokio::test]
async fn the_server_ends_in_order_and_frees_its_address() {
    let mut server = Server::start().await;
    // An idle connection that is kept alive must not hold up the end.
    let mut idle = TcpStream::connect(server.at).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: hub\r\n\r\n").await.unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    server.stop.take().unwrap().send(()).unwrap();
    (&mut server.task).await.unwrap();
    assert!(TcpStream::connect(server.at).await.is_err());
}

#[tokio::test]
async fn http2_is_spoken_where_tls_agrees_on_it() {
    use http_body_util::{BodyExt, Empty};
    use rustls::version::TLS13;

    let named = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(named.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]).unwrap();
    let mut tls = tls.with_no_client_auth().with_single_cert(vec![named.cert.der().clone()], key).unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut server = Server::start_with(Some(Arc::new(tls))).await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(named.cert.der().clone()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]).unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(server.at).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();

    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, hyper_util::rt::TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("https://localhost/api/v1/clusters/a")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Empty::<axum::body::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["name"], "a");

    server.stop.take().unwrap().send(()).unwrap();
    (&mut server.task).await.unwrap();
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn looking_into_a_cluster_carries_the_name_of_the_token_and_what_is_meant() {
    let server = Server::start().await;
    let (status, tree) = server.get("clusters/a/apps/web/tree").await;
    assert_eq!((status, tree["kind"].as_str(), tree["cluster"].as_str()), (200, Some("Tree"), Some("a")));
    assert_eq!(server.get("clusters/a/apps/web/events").await.0, 200);
    assert_eq!(server.get("clusters/a/apps/web/events?kind=deployments.apps&name=api&namespace=web").await.0, 200);
    assert_eq!(server.get("clusters/a/apps/web/diff").await.1["kind"], "LiveDiff");
    for (path, status, code) in [
        ("clusters/a/apps/web/object?kind=pod&name=away", 404, "NoSuchObject"),
        ("clusters/a/apps/web/object?kind=pod&name=api", 409, "NotOwned"),
        ("clusters/a/apps/web/object", 400, "InvalidRequest"),
        ("clusters/a/apps/web/object?kind=pod", 400, "InvalidRequest"),
        ("clusters/a/apps/web/events?name=api", 400, "InvalidRequest"),
        ("clusters/a/apps/web/logs?tail=many", 400, "InvalidRequest"),
        ("clusters/A/apps/web/tree", 400, "InvalidRequest"),
    ] {
        let (found, body) = server.get(path).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{path}: {body}");
    }
    let asked = server.hub.asked.lock().unwrap().join("\n");
    assert!(asked.starts_with("bootstrap looks at web in a\nNone\nSome(ObjectQuery"), "{asked}");
}

#[tokio::test]
async fn reading_logs_is_a_right_of_its_own() {
    let server = Server::start().await;
    let ask = async |path: &str| {
        let head = format!("GET /api/v1/clusters/a/apps/web/{path} HTTP/1.1\r\nAuthorization: Bearer {NARROW_TOKEN}\r\n");
        server.raw(&head, "").await
    };
    assert_eq!(ask("tree").await.0, 200);
    let (status, answer) = ask("logs").await;
    assert!(status == 403 && answer.contains("this token does not let its holder read the logs of pods"), "{answer}");
    assert!(!server.hub.asked.lock().unwrap().iter().any(|asked| asked.contains("reads")), "the hub was not even asked");
}

#[tokio::test]
async fn a_log_comes_line_by_line_and_says_its_end() {
    let server = Server::start().await;
    let head = format!("GET /api/v1/clusters/a/apps/web/logs?tail=3 HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n");
    let (status, answer) = server.raw(&head, "").await;
    assert_eq!(status, 200);
    assert!(answer.to_ascii_lowercase().contains("content-type: text/event-stream"), "{answer}");
    let data: Vec<&str> = answer.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data, ["one", "two", "three", ""]);
    assert!(answer.contains("event: end"), "{answer}");
}

#[tokio::test]
async fn a_log_is_not_read_any_more_when_its_reader_leaves() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.at).await.unwrap();
    let request =
        format!("GET /api/v1/clusters/a/apps/web/logs?follow=true HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("data: two") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    drop(stream);
    let nobody_reads = async {
        while !server.hub.asked.lock().unwrap().iter().any(|asked| asked == "nobody reads") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), nobody_reads).await.expect("the log is dropped with its reader");
}
