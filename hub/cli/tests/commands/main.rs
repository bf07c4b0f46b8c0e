//! The command against the real web server over real HTTP. Each file in `cases/` says which fleet, which command and what comes of it;
//! `CAPSTAN_UPDATE_CASES=1` writes the outcomes anew, for a person to read in the difference.

mod fixture_hub;
mod fixture_live;

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fixture_hub::FixtureHub;
use hub_cli::{Console, Exit};
use hub_web::{AccessToken, WebConfig, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const TOKEN: &str = "correct-horse";

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands")
}

struct Served {
    at: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_fleet(fleet: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Served {
    let json = std::fs::read(here().join(format!("fleets/{fleet}.json"))).unwrap();
    let hub: FixtureHub = serde_json::from_slice(&json).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let config = WebConfig { tokens: vec![AccessToken::of("bootstrap", TOKEN)], tls };
    Served { at, task: tokio::spawn(serve(listener, config, Arc::new(hub), std::future::pending())) }
}

struct Outcome {
    exit: Exit,
    out: String,
    err: String,
}

async fn capstan(args: &[&str], answer: Option<&str>) -> Outcome {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let typed = answer.unwrap_or_default().to_owned() + "\n";
    let mut input = typed.as_bytes();
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err, interactive: answer.is_some() };
    let args: Vec<OsString> = ["capstan"].iter().chain(args).map(OsString::from).collect();
    let exit = hub_cli::run(args, &mut console).await;
    Outcome { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

fn token_file(token: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), token.to_owned() + "\n").unwrap();
    file
}

/// The case with its outcome, whole.
async fn played(case: &str) -> String {
    let field = |name: &str| case.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (fleet, answer) = (field("fleet:").unwrap(), field("answer:"));
    let token = token_file(field("token:").unwrap_or(TOKEN));
    let served = serve_fleet(fleet, None).await;
    let hub = format!("http://{}", served.at);
    let command = field("$ capstan").unwrap();
    let mut args: Vec<&str> = command.split_whitespace().collect();
    args.extend(["--hub", &hub, "--token-file", token.path().to_str().unwrap()]);
    let Outcome { exit, out, err } = capstan(&args, answer).await;

    let mut text = format!("fleet: {fleet}\n");
    for (name, value) in [("token", field("token:")), ("answer", answer)] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}: {value}");
        }
    }
    let _ = write!(text, "$ capstan {command}\nexit: {}\n--- stdout\n{out}--- stderr\n{}", exit.code(), err.replace(&hub, "HUB"));
    text
}

#[tokio::test]
async fn each_case_comes_out_as_written() {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(here().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 20, "the cases are missing");
    let update = std::env::var_os("CAPSTAN_UPDATE_CASES").is_some();
    let mut wrong = String::new();
    for path in cases {
        let written = std::fs::read_to_string(&path).unwrap();
        let came = played(&written).await;
        if update {
            std::fs::write(&path, &came).unwrap();
        } else if came != written {
            let _ = writeln!(wrong, "{}\n{came}", path.display());
        }
    }
    assert!(wrong.is_empty(), "these came out otherwise:\n{wrong}");
}

#[tokio::test]
async fn no_column_of_a_table_is_wrapped() {
    let served = serve_fleet("main", None).await;
    let token = token_file(TOKEN);
    let hub = format!("http://{}", served.at);
    let rows = capstan(&["status", "--hub", &hub, "--token-file", token.path().to_str().unwrap()], None).await.out;
    assert_eq!(rows.lines().count(), 5, "{rows}");
}

#[tokio::test]
async fn a_hub_that_is_not_there_is_unreachable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = token_file(TOKEN);
    let outcome = capstan(&["get", "apps", "--hub", &format!("http://{free}"), "--token-file", token.path().to_str().unwrap()], None).await;
    assert_eq!((outcome.exit, outcome.out.as_str()), (Exit::Unreachable, ""));
    assert!(outcome.err.starts_with("unreachable: the hub at http://127.0.0.1:") && outcome.err.contains("\nhint: "), "{}", outcome.err);
}

#[tokio::test]
async fn something_else_than_a_hub_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let other = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
    });
    let token = token_file(TOKEN);
    let outcome = capstan(&["get", "apps", "--hub", &format!("http://{at}"), "--token-file", token.path().to_str().unwrap()], None).await;
    assert_eq!(outcome.exit, Exit::Error);
    assert!(outcome.err.starts_with("hub error: what answers at "), "{}", outcome.err);
    other.await.unwrap();
}

#[tokio::test]
async fn tls_is_spoken_with_the_given_authority_and_no_other() {
    let named = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(named.signing_key.serialize_der()).unwrap();
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![named.cert.der().clone()], key)
        .unwrap();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let served = serve_fleet("main", Some(Arc::new(tls))).await;

    let directory = tempfile::tempdir().unwrap();
    let ask = async |pem: String| {
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, pem).unwrap();
        let token = token_file(TOKEN);
        let (hub, ca) = (format!("https://localhost:{}", served.at.port()), ca.to_str().unwrap());
        capstan(&["get", "apps", "-o", "name", "--hub", &hub, "--ca-file", ca, "--token-file", token.path().to_str().unwrap()], None).await
    };
    let trusted = ask(named.cert.pem()).await;
    assert_eq!((trusted.exit, trusted.out.as_str()), (Exit::Ok, "app/gpu-operator\napp/llm-gateway\n"), "{}", trusted.err);
    let foreign = ask(other.cert.pem()).await;
    assert_eq!(foreign.exit, Exit::Unreachable);
    assert!(foreign.err.contains("cannot prove to be the hub"), "{}", foreign.err);
    let nonsense = ask("nonsense".to_owned()).await;
    assert_eq!(nonsense.exit, Exit::Error);
    assert!(nonsense.err.contains("is no PEM certificate"), "{}", nonsense.err);
}

#[tokio::test]
async fn help_and_version_are_data_and_mistakes_are_talk() {
    let help = capstan(&["--help"], None).await;
    assert_eq!((help.exit, help.err.as_str()), (Exit::Ok, ""));
    assert!(help.out.contains("Exit codes:") && !help.out.contains(TOKEN));
    assert_eq!(capstan(&["--version"], None).await.exit, Exit::Ok);
    for wrong in
        [&["frobnicate"][..], &["get"], &["cluster", "add", "UPPER", "--region", "eu"], &["approve"], &["status", "--health", "green"]]
    {
        let outcome = capstan(wrong, None).await;
        assert_eq!((outcome.exit, outcome.out.as_str()), (Exit::Error, ""), "{wrong:?}");
        assert!(outcome.err.starts_with("error: ") || outcome.err.starts_with("List what"), "{}", outcome.err);
    }
    let nowhere = capstan(&["get", "apps", "--token-file", "/nowhere/token", "--hub", "http://127.0.0.1:1"], None).await;
    assert!(nowhere.err.starts_with("error: the token file /nowhere/token cannot be read"), "{}", nowhere.err);
}

#[tokio::test]
async fn the_program_takes_its_settings_from_the_environment() {
    let served = serve_fleet("main", None).await;
    let capstan = |token: &str, args: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_capstan"));
        command.env_clear().env("CAPSTAN_HUB", format!("http://{}", served.at)).env("CAPSTAN_TOKEN", token).args(args);
        command.stdin(std::process::Stdio::null()).kill_on_drop(true).output()
    };
    let names = capstan(TOKEN, &["get", "apps", "-o", "name"]).await.unwrap();
    assert_eq!((names.status.code(), String::from_utf8(names.stdout).unwrap().as_str()), (Some(0), "app/gpu-operator\napp/llm-gateway\n"));
    let wrong = capstan("wrong", &["get", "apps"]).await.unwrap();
    assert_eq!((wrong.status.code(), wrong.stdout.as_slice()), (Some(4), &b""[..]));
    let differs = capstan(TOKEN, &["diff", "llm-gateway"]).await.unwrap();
    assert_eq!(differs.status.code(), Some(1));
    let unasked = capstan(TOKEN, &["cluster", "remove", "gpu-a"]).await.unwrap();
    assert_eq!(unasked.status.code(), Some(2));
}
