//! kubectl against the server in memory, over HTTP with a token.

use std::process::Command;

use e2e_cluster::{Binaries, require_control_plane};
use e2e_fakekube::{FakeKube, Options, Workloads};

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: 'nginx:1'}]}
";

// `kubectl create configmap` and its like send protobuf, which this server does not read; files they send as JSON.
const OTHERS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: space}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: m}
data: {a: '1'}
";

/// A kubeconfig for one server and a token.
fn kubeconfig(server: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{token: '{token}'}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
    )
}

struct Kubectl {
    program: std::path::PathBuf,
    directory: tempfile::TempDir,
}

impl Kubectl {
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let out = Command::new(&self.program)
            .args(arguments)
            .env("KUBECONFIG", self.directory.path().join("config"))
            .env("HOME", self.directory.path())
            .output()
            .expect("kubectl runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        if out.status.success() { Ok(format!("{stdout}{stderr}")) } else { Err(format!("{stdout}{stderr}")) }
    }

    fn must(&self, arguments: &[&str]) -> String {
        self.run(arguments).unwrap_or_else(|e| panic!("kubectl {}: {e}", arguments.join(" ")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_gets_applies_scales_edits_and_deletes() {
    require_control_plane!();
    let kube = FakeKube::new(Options { workloads: Workloads::Full, ..Options::default() });
    let driver = tokio::spawn(kube.clone().drive());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = kube.serve_http(listener, None);
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("config"), kubeconfig(&server, "t")).expect("a file");
    std::fs::write(directory.path().join("d.yaml"), DEPLOYMENT).expect("a file");
    std::fs::write(directory.path().join("o.yaml"), OTHERS).expect("a file");
    let others = directory.path().join("o.yaml").to_string_lossy().into_owned();
    let manifest = directory.path().join("d.yaml").to_string_lossy().into_owned();
    let kubectl = Kubectl { program: Binaries::find(false).expect("found before").kubectl, directory };
    let steps = tokio::task::spawn_blocking(move || {
        assert!(kubectl.must(&["version"]).contains("v1.36.3"));
        assert!(kubectl.must(&["apply", "--server-side", "-f", &manifest]).contains("serverside-applied"));
        assert!(kubectl.must(&["apply", "-f", &manifest]).contains("web"));
        assert!(kubectl.must(&["rollout", "status", "deployment/web", "--timeout=20s"]).contains("successfully rolled out"));
        assert!(kubectl.must(&["get", "deployments,pods"]).contains("deployment.apps/web"));
        assert!(kubectl.must(&["get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"]).contains('1'));
        kubectl.must(&["scale", "deploy", "web", "--replicas=3"]);
        kubectl.must(&["label", "deploy", "web", "a=b"]);
        kubectl.must(&["annotate", "deploy", "web", "a=b"]);
        kubectl.must(&["set", "image", "deploy/web", "c=nginx:2"]);
        kubectl.must(&["patch", "deploy", "web", "-p", r#"{"spec":{"paused":true}}"#]);
        kubectl.must(&["create", "-f", &others]);
        assert!(kubectl.must(&["describe", "configmap", "m"]).contains("a:"));
        let refused = kubectl.run(&["create", "-f", &others]).expect_err("it exists");
        assert!(refused.contains("already exists"), "{refused}");
        assert!(kubectl.must(&["api-resources"]).contains("deployments"));
        assert!(kubectl.must(&["auth", "can-i", "get", "pods"]).contains("yes"));
        assert!(kubectl.must(&["wait", "--for=delete", "configmap/none"]).is_empty());
        kubectl.must(&["delete", "deploy", "web"]);
        kubectl.must(&["delete", "namespace", "space"]);
        assert!(kubectl.must(&["explain", "deployment.spec.replicas"]).contains("integer"));
    });
    steps.await.expect("kubectl did it all");
    assert!(kube.object("apps", "deployments", "default", "web").is_none());
    serving.abort();
    driver.abort();
}

#[tokio::test]
async fn a_wrong_token_is_refused() {
    let kube = FakeKube::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = kube.serve_http(listener, Some("right".into()));
    for (token, code) in [("wrong", "401"), ("right", "200")] {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let request = format!("GET /version HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{answer}");
    }
    serving.abort();
}
