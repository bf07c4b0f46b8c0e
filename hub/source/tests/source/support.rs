//! A smart HTTP server around `git http-backend` that can misbehave on demand, and repositories made with the real git.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};

use hub_source::{LocalRepository, Mirror, Refreshed, SourceSpec, Surroundings};

/// What the server does to each request.
#[derive(Clone, Default)]
pub(crate) enum Fault {
    /// Answers.
    #[default]
    None,
    /// Closes the connection without a word.
    Close,
    /// Says nothing until it is stopped.
    Stall,
    /// Answers with this status line and header.
    Status(&'static str, String),
    /// Sends references without end.
    Endless,
}

struct Shared {
    root: PathBuf,
    authorization: Mutex<Option<String>>,
    fault: Mutex<Fault>,
    stop: AtomicBool,
    fetches: AtomicUsize,
}

/// A Git server over HTTP on this machine.
pub(crate) struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl GitServer {
    /// Serves the repositories below `root`, on `address` if it is given.
    pub(crate) fn start(root: &Path, address: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind(address.unwrap_or_else(|| "127.0.0.1:0".parse().expect("an address"))).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            authorization: Mutex::new(None),
            fault: Mutex::new(Fault::None),
            stop: AtomicBool::new(false),
            fetches: AtomicUsize::new(0),
        });
        let accepting = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                if let Ok(stream) = stream {
                    std::thread::spawn(move || {
                        let _ = serve(stream, &shared);
                    });
                }
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("http://{}/{repository}", self.address)
    }

    /// Wants this header's value from now on.
    pub(crate) fn require(&self, authorization: &str) {
        *self.shared.authorization.lock().expect("lock") = Some(authorization.to_owned());
    }

    pub(crate) fn fail_with(&self, fault: Fault) {
        *self.shared.fault.lock().expect("lock") = fault;
    }

    /// How many packs were asked for.
    pub(crate) fn fetches(&self) -> usize {
        self.shared.fetches.load(Ordering::SeqCst)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
    }
    let header = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    input.read_exact(&mut body)?;

    let fault = shared.fault.lock().expect("lock").clone();
    match fault {
        Fault::None => {}
        Fault::Close => return Ok(()),
        Fault::Stall => {
            while !shared.stop.load(Ordering::SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            return Ok(());
        }
        Fault::Status(status, header) => {
            return write!(out, "HTTP/1.1 {status}\r\n{header}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
        Fault::Endless => return endless(&mut out),
    }
    let wanted = shared.authorization.lock().expect("lock").clone();
    if wanted.is_some() && header("authorization") != wanted {
        let challenge = "WWW-Authenticate: Basic realm=\"git\"";
        return write!(out, "HTTP/1.1 401 Unauthorized\r\n{challenge}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if method == "POST" && body.windows(7).any(|window| window == b"0009don" || window == b"command" && contains(&body, b"command=fetch")) {
        shared.fetches.fetch_add(1, Ordering::SeqCst);
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &shared.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("REQUEST_METHOD", &method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    backend.stdin.take().expect("piped").write_all(&body)?;
    let mut answer = Vec::new();
    backend.stdout.take().expect("piped").read_to_end(&mut answer)?;
    backend.wait()?;
    let split = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let rest: Vec<&str> = head.lines().filter(|line| !line.starts_with("Status: ")).collect();
    write!(out, "HTTP/1.1 {status}\r\n{}\r\nConnection: close\r\n\r\n", rest.join("\r\n"))?;
    out.write_all(&answer[split + 4..])
}

fn contains(body: &[u8], word: &[u8]) -> bool {
    body.windows(word.len()).any(|window| window == word)
}

fn endless(out: &mut TcpStream) -> std::io::Result<()> {
    out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-advertisement\r\nConnection: close\r\n\r\n")?;
    out.write_all(b"001e# service=git-upload-pack\n0000")?;
    let first = format!("{} refs/heads/a\0side-band-64k\n", "1".repeat(40));
    write!(out, "{:04x}{first}", first.len() + 4)?;
    for n in 0u64.. {
        let line = format!("{} refs/heads/{n:0900}\n", "1".repeat(40));
        write!(out, "{:04x}{line}", line.len() + 4)?;
    }
    Ok(())
}

/// Runs git in `dir`, apart from all configuration of this machine. Gives what it prints.
pub(crate) fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_AUTHOR_EMAIL", "ann@example.com"), ("GIT_AUTHOR_DATE", "1700000000 +0100")])
        .envs([("GIT_COMMITTER_NAME", "Ann"), ("GIT_COMMITTER_EMAIL", "ann@example.com"), ("GIT_COMMITTER_DATE", "1700000000 +0100")])
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

/// What `main` does in the hub: chooses the cryptography of TLS for the whole process.
pub(crate) fn install_provider() {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    });
}

/// A directory with a bare repository `fleet.git` in it.
pub(crate) struct Origin {
    pub(crate) root: tempfile::TempDir,
    pub(crate) repository: LocalRepository,
}

impl Origin {
    pub(crate) fn new() -> Self {
        install_provider();
        let root = tempfile::tempdir().expect("a directory");
        let repository = LocalRepository::init(&root.path().join("fleet.git")).expect("a repository");
        Self { root, repository }
    }

    pub(crate) fn path(&self) -> &Path {
        self.repository.path()
    }

    /// Commits one file to `main`.
    pub(crate) fn commit(&self, path: &str, text: &str) -> String {
        let time = "2026-11-21T10:00:00Z".parse().expect("a time");
        self.repository.commit(&[(path, Some(text.as_bytes()))], &format!("write {path}"), "Ann", time).expect("a commit")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(self.path(), arguments)
    }
}

/// A source named `fleet`.
pub(crate) fn spec(url: &str, reference: &str) -> SourceSpec {
    let reference = reference.parse().expect("a reference");
    SourceSpec::new("fleet".parse().expect("a name"), url.parse().expect("a URL"), reference)
}

/// A mirror with its directory.
pub(crate) struct Mirrored {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) mirror: Arc<Mirror>,
}

impl Mirrored {
    pub(crate) fn new(spec: SourceSpec) -> Self {
        Self::with(spec, Surroundings::default())
    }

    pub(crate) fn with(spec: SourceSpec, surroundings: Surroundings) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mirror = Arc::new(Mirror::open(dir.path(), spec, surroundings).expect("opened"));
        Self { dir, mirror }
    }

    /// The process ends and starts again.
    pub(crate) fn reopened(self, spec: SourceSpec) -> Self {
        let Self { dir, mirror } = self;
        drop(mirror);
        let mirror = Arc::new(Mirror::open(dir.path(), spec, Surroundings::default()).expect("opened"));
        Self { dir, mirror }
    }

    pub(crate) fn refresh(&self) -> Refreshed {
        self.try_refresh().unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_refresh(&self) -> Result<Refreshed, hub_source::FetchError> {
        self.mirror.refresh(&AtomicBool::new(false))
    }
}
