//! The server over real sockets, in front of a hub that answers from a table: who gets in, what is refused and in which words.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub_api::{
    AppView, ApprovalView, ClusterState, ClusterView, DiffView, EnrolmentView, HealthCounts, Judged, ProblemView, RegionView, SecretText,
    SourceView, StatusFilter, StatusView, SyncWord,
};
use hub_web::{AccessToken, Actor, Answer, Approval, ClusterAddition, Hub, HubError, StatusPage, WRONG_TOKENS_LIMIT, WebConfig, serve};
use serde_json::Value;
use shared_model::{AppName, ClusterName, ClusterUid, Health, SourceName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A hub with two clusters that remembers what was asked of it.
#[derive(Default)]
struct TableHub {
    asked: Mutex<Vec<String>>,
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
        awaiting_approval: None,
        held_changes: vec![],
    }
}

impl TableHub {
    fn asked(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

impl Hub for TableHub {
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
    fn approve(&self, _: Actor, _: Approval) -> Answer<'_, ApprovalView> {
        answer(Err(HubError::Refused {
            code: "ChangedSince",
            message: "the change is another by now".to_owned(),
            hint: Some("look again".to_owned()),
        }))
    }
}

const TOKEN: &str = "correct-horse";

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
        let config = WebConfig { tokens: vec![AccessToken::of("bootstrap", TOKEN)], tls };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, config, hub.clone(), async move {
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
    assert_eq!(
        *server.hub.asked.lock().unwrap(),
        ["bootstrap adds gpu-a to eu", "bootstrap accepts gpu-a as u-1", "bootstrap removes gpu-a", "bootstrap refreshes None"]
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
