//! Charts from servers that lie, break off, never end or lead elsewhere. Well-behaved real servers are in `e2e/cluster`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub_source::{
    ChartLimits, ChartRepository, ChartRepositorySpec, ChartSource, ChartSpec, ChartStore, Credentials, FetchError, History, NamedBy,
    Refreshed,
};
use shared_model::{Clock, Digest, Timestamp};

use crate::support::install_provider;

/// A request as it came.
#[derive(Debug, Clone, Default)]
struct Asked {
    line: String,
    authorization: Option<String>,
}

/// What is answered.
enum Reply {
    /// Status line, headers that end in line breaks, body.
    Whole(&'static str, String, Vec<u8>),
    /// This length is announced, and nothing comes.
    Announced(u64),
    /// A body that never ends.
    Endless,
    /// A byte now and then, for ever.
    Drip,
    /// Nothing.
    Silence,
}

fn ok(body: impl Into<Vec<u8>>) -> Reply {
    Reply::Whole("200 OK", String::new(), body.into())
}

fn status(line: &'static str, headers: &str) -> Reply {
    Reply::Whole(line, headers.to_owned(), Vec::new())
}

type Script = dyn Fn(&str) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    asked: Mutex<Vec<Asked>>,
    stop: AtomicBool,
}

/// A server that answers what a script says to `GET /path`.
struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { script: Box::new(script), asked: Mutex::new(Vec::new()), stop: AtomicBool::new(false) });
        let accepting = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = accepting.clone();
                if let Ok(stream) = stream {
                    std::thread::spawn(move || {
                        // A client that hangs up is what most of these tests are about.
                        let _ = answer(stream, &shared);
                    });
                }
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn oci(&self) -> String {
        format!("oci://{}", self.address)
    }

    fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("lock").clone()
    }

    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut asked = Asked { line: line.trim_end().trim_end_matches(" HTTP/1.1").to_owned(), authorization: None };
    loop {
        let mut header = String::new();
        if input.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            asked.authorization = Some(value.trim().to_owned());
        }
    }
    shared.asked.lock().expect("lock").push(asked.clone());
    match (shared.script)(&asked.line) {
        Reply::Whole(status, headers, body) => {
            write!(out, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
            out.write_all(&body)
        }
        Reply::Announced(length) => {
            write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
            hold(shared)
        }
        Reply::Endless => {
            write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                out.write_all(&[b' '; 4096])?;
            }
        }
        Reply::Drip => {
            write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
            loop {
                out.write_all(b" ")?;
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Reply::Silence => hold(shared),
    }
}

/// Keeps the connection until the test ends.
fn hold(shared: &Shared) -> std::io::Result<()> {
    while !shared.stop.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Small bounds, so that what is endless ends soon; the times are long enough for a slow machine.
const LIMITS: ChartLimits = ChartLimits {
    time: Duration::from_secs(60),
    stall: Duration::from_secs(30),
    index_bytes: 64 << 10,
    archive_bytes: 32 << 10,
    cache_bytes: 1 << 20,
};

/// A chart that is followed.
struct Followed {
    dir: tempfile::TempDir,
    source: ChartSource,
}

impl Followed {
    fn new(url: &str, version: &str) -> Self {
        Self::with(place(url), version, LIMITS)
    }

    fn with(place: ChartRepositorySpec, version: &str, limits: ChartLimits) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let source = open(dir.path(), place, version, limits);
        Self { dir, source }
    }

    fn refresh(&self) -> Result<Refreshed, FetchError> {
        self.source.refresh(&AtomicBool::new(false))
    }

    fn error(&self) -> FetchError {
        self.refresh().map(|refreshed| refreshed.revision).expect_err("nothing good comes from there")
    }
}

fn place(url: &str) -> ChartRepositorySpec {
    let url = url.parse().expect("a URL");
    let place = ChartRepositorySpec::new("charts".parse().expect("a name"), url, NamedBy::Operator);
    ChartRepositorySpec { plain_http: true, ..place }
}

fn with_password(url: &str) -> ChartRepositorySpec {
    ChartRepositorySpec { credentials: Some(Credentials::basic("ann", "hunter2")), ..place(url) }
}

fn open(dir: &std::path::Path, place: ChartRepositorySpec, version: &str, limits: ChartLimits) -> ChartSource {
    let store = ChartStore::open(dir, limits, Clock::new(|| Timestamp::UNIX_EPOCH)).expect("opened");
    let spec = ChartSpec { chart: "web".parse().expect("a name"), version: version.parse().expect("a version") };
    ChartSource::open(&ChartRepository::new(&store, place), spec).expect("opened")
}

/// What begins as an archive does.
fn archive(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0];
    bytes.extend([seed; 100]);
    bytes
}

/// An index with one entry.
fn index(version: &str, address: &str, digest: &str) -> String {
    format!("apiVersion: v1\nentries:\n  web:\n  - {{version: {version:?}, urls: [{address:?}], digest: {digest:?}}}\n")
}

fn sha(bytes: &[u8]) -> String {
    Digest::of(bytes).hex()
}

/// A server with this answer to `GET /index.yaml`, and an archive.
fn serving(index: impl Fn() -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |line| match line {
        "GET /index.yaml" => index(),
        "GET /web.tgz" => ok(archive(1)),
        _ => status("404 Not Found", ""),
    })
}

#[test]
fn an_index_that_is_too_large_or_never_ends_stops_at_the_limit() {
    for (reply, name) in [(0, "endless"), (1, "announced")] {
        let server = serving(move || if reply == 0 { Reply::Endless } else { Reply::Announced(1 << 40) });
        let error = Followed::new(&server.url(), "*").error();
        assert!(matches!(error, FetchError::TooLarge { limit: 65536, .. }), "{name}: {error}");
    }
}

#[test]
fn an_archive_that_is_too_large_or_never_ends_stops_at_the_limit() {
    for endless in [true, false] {
        let server = Server::start(move |line| match line {
            "GET /index.yaml" => ok(index("1.0.0", "web.tgz", "")),
            _ if endless => Reply::Endless,
            _ => Reply::Announced(33 << 10),
        });
        let error = Followed::new(&server.url(), "*").error();
        assert!(matches!(error, FetchError::TooLarge { limit: 32768, .. }), "{error}");
    }
}

#[test]
fn a_server_that_says_nothing_or_a_byte_now_and_then_ends_with_its_time() {
    let silent = serving(|| Reply::Silence);
    let limits = ChartLimits { stall: Duration::from_millis(100), ..LIMITS };
    let error = Followed::with(place(&silent.url()), "*", limits).error();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
    let dripping = serving(|| Reply::Drip);
    let limits = ChartLimits { time: Duration::from_millis(300), ..LIMITS };
    let error = Followed::with(place(&dripping.url()), "*", limits).error();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[test]
fn a_refresh_is_called_off_in_the_middle() {
    let server = serving(|| Reply::Silence);
    let followed = Followed::new(&server.url(), "*");
    let interrupt = AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        let refreshing = scope.spawn(|| followed.source.refresh(&interrupt));
        while server.asked().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        interrupt.store(true, Ordering::Relaxed);
        refreshing.join().expect("no panic").expect_err("called off")
    });
    assert_eq!(error, FetchError::Interrupted);
}

#[test]
fn other_bytes_than_the_index_says_are_refused_and_what_was_good_stays() {
    let lies = Arc::new(AtomicBool::new(false));
    let lying = lies.clone();
    let server = Server::start(move |line| match (line, lying.load(Ordering::SeqCst)) {
        ("GET /index.yaml", false) => ok(index("1.0.0", "web.tgz", &sha(&archive(1)))),
        ("GET /index.yaml", true) => ok(index("1.0.1", "web.tgz", &sha(&archive(2)))),
        _ => ok(archive(1)),
    });
    let followed = Followed::new(&server.url(), "*");
    let good = followed.refresh().expect("good").revision;
    assert_eq!((good.reference.as_str(), good.commit), ("1.0.0", sha(&archive(1))));
    lies.store(true, Ordering::SeqCst);
    let error = followed.error();
    assert!(
        matches!(&error, FetchError::WrongDigest { expected, actual, .. }
        if *expected == Digest::of(&archive(2)).to_string() && *actual == Digest::of(&archive(1)).to_string()),
        "{error}"
    );
    let state = followed.source.state();
    assert_eq!(state.last_good.map(|(revision, _)| revision.reference), Some("1.0.0".to_owned()));
    assert!(state.failure.is_some());
}

#[test]
fn credentials_do_not_follow_a_redirect_or_an_address_to_another_port() {
    let other = Server::start(|_| ok(archive(1)));
    for (name, index_address, redirect) in [
        ("an address", format!("{}/elsewhere.tgz", other.url()), String::new()),
        ("a redirect", "web.tgz".to_owned(), format!("{}/elsewhere.tgz?signature=hunter3", other.url())),
    ] {
        let server = Server::start(move |line| match line {
            "GET /index.yaml" => ok(index("1.0.0", &index_address, &sha(&archive(1)))),
            _ => status("302 Found", &format!("Location: {redirect}\r\n")),
        });
        let before = other.asked().len();
        Followed::with(with_password(&server.url()), "*", LIMITS).refresh().expect("fetched");
        assert!(server.asked().iter().all(|asked| asked.authorization.as_deref() == Some("Basic YW5uOmh1bnRlcjI=")), "{name}");
        let elsewhere = &other.asked()[before..];
        assert!(matches!(elsewhere, [asked] if asked.authorization.is_none()), "{name}: {elsewhere:?}");
    }
}

#[test]
fn a_redirect_leads_neither_to_this_machine_nor_in_circles_nor_to_other_schemes() {
    for (location, expected) in [
        ("http://localhost:1/index.yaml", "AddressRefused"),
        ("http://169.254.169.254/latest/meta-data/iam", "AddressRefused"),
        ("http://[::ffff:169.254.169.254]/", "AddressRefused"),
        ("http://0/", "AddressRefused"),
        ("file:///etc/passwd", "AddressRefused"),
        ("gopher://127.0.0.1/", "AddressRefused"),
        ("index.yaml?hunter2", "RedirectRefused"),
        ("http://", "RedirectRefused"),
    ] {
        let server = Server::start(move |_| status("307 Temporary Redirect", &format!("Location: {location}\r\n")));
        let error = Followed::new(&server.url(), "*").error();
        assert!(format!("{error:?}").starts_with(expected), "{location}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn what_an_index_names_is_not_fetched_from_this_machine_or_its_files() {
    for (address, expected) in [
        ("file:///etc/passwd", "AddressRefused"),
        ("http://169.254.169.254/x.tgz", "AddressRefused"),
        ("http://localhost:1/x.tgz", "AddressRefused"),
        ("oci://127.0.0.2:5000/charts/web:1.0.0", "AddressRefused"),
        ("oci://localhost/charts/web:1.0.0", "AddressRefused"),
        ("oci://host/charts/../web:1.0.0", "NotAChartRepository"),
        ("oci://host/charts/web", "NotAChartRepository"),
        ("http://[", "NotAChartRepository"),
    ] {
        let server = serving(move || ok(index("1.0.0", address, "")));
        let error = Followed::new(&server.url(), "*").error();
        assert!(format!("{error:?}").starts_with(expected), "{address}: {error}");
        assert_eq!(server.lines(), ["GET /index.yaml"]);
    }
    let server = serving(|| ok(index("1.0.0", "../../../../web.tgz", "")));
    let followed = Followed::new(&server.url(), "*");
    followed.refresh().expect("a path of a URL does not leave the server");
    let escaped = serving(|| ok(index("../../1.0.0", "web.tgz", "")));
    let error = Followed::new(&escaped.url(), "*").error();
    assert!(matches!(error, FetchError::NoChartVersion { .. }), "{error}");
}

#[test]
fn a_repository_that_the_fleet_names_is_asked_over_tls_and_never_on_this_machine() {
    let server = serving(|| ok("never asked"));
    let port = server.address.port();
    for url in
        [server.url(), server.oci(), format!("https://127.0.0.1:{port}"), format!("https://localhost:{port}"), "https://0x7f.1/".into()]
    {
        let place = ChartRepositorySpec { named_by: NamedBy::Fleet, plain_http: false, ..place(&url) };
        let error = Followed::with(place, "*", LIMITS).error();
        assert!(matches!(error, FetchError::AddressRefused { .. }), "{url}: {error}");
    }
    assert!(server.asked().is_empty());
}

#[test]
fn a_password_is_not_sent_in_clear_text() {
    install_provider();
    for url in ["http://charts.example.com/stable", "http://10.255.255.1/stable"] {
        let error = Followed::with(with_password(url), "*", LIMITS).error();
        assert!(matches!(error, FetchError::CredentialsUnsafe { .. }), "{error}");
    }
}

#[test]
fn bombs_and_pages_are_no_index() {
    let mut aliases = "apiVersion: v1\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        aliases.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(",")));
    }
    let bodies =
        [aliases.into_bytes(), b"<html>log in</html>".to_vec(), vec![0xff; 10], Vec::new(), b"apiVersion: v1\nentries: [".to_vec()];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body).chars().take(20).collect::<String>();
        let server = serving(move || ok(body.clone()));
        let error = Followed::new(&server.url(), "*").error();
        assert!(matches!(error, FetchError::NotAChartRepository { .. }), "{shown}: {error}");
    }
}

#[test]
fn each_answer_that_is_no_index_says_what_to_do() {
    for (line, expected) in [
        ("404 Not Found", "index.yaml is no chart repository (the server says that it does not exist)"),
        ("401 Unauthorized", "asks for credentials"),
        ("403 Forbidden", "refuses the credentials"),
        ("500 Internal Server Error", "cannot be reached"),
        ("429 Too Many Requests", "cannot be reached"),
        ("304 Not Modified", "answered 304"),
        ("302 Found", "answered 302"),
        ("418 I'm a teapot", "answered 418"),
    ] {
        let server = serving(move || status(line, ""));
        let error = Followed::new(&server.url(), "*").error().to_string();
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn a_page_in_place_of_an_archive_is_no_chart() {
    let server = Server::start(|line| match line {
        "GET /index.yaml" => ok(index("1.0.0", "web.tgz", "")),
        _ => ok("<html>log in</html>"),
    });
    let error = Followed::new(&server.url(), "*").error();
    assert!(matches!(error, FetchError::NotAChart { .. }), "{error}");
    let missing = serving(|| ok(index("1.0.0", "gone.tgz", "")));
    let error = Followed::new(&missing.url(), "*").error();
    assert!(matches!(&error, FetchError::NotAChart { detail, .. } if detail.contains("version 1.0.0")), "{error}");
}

#[test]
fn what_has_no_digest_is_fetched_once_and_what_is_missing_is_named() {
    let server = serving(|| ok(index("1.0.0", "web.tgz", "")));
    let followed = Followed::new(&server.url(), "*");
    assert_eq!(followed.refresh().expect("good").history, History::First);
    assert_eq!(followed.refresh().expect("good").history, History::Unchanged);
    assert_eq!(server.lines(), ["GET /index.yaml", "GET /web.tgz", "GET /index.yaml"]);

    let error = Followed::new(&server.url(), "^2").error();
    assert!(matches!(&error, FetchError::NoChartVersion { newest, .. } if newest == &["1.0.0"]), "{error}");
    let other = serving(|| ok("apiVersion: v1\nentries: {wep: []}"));
    let error = Followed::new(&other.url(), "*").error();
    assert!(error.to_string().contains("did you mean wep?"), "{error}");
}

#[test]
fn an_archive_that_the_disk_lost_or_changed_is_fetched_again() {
    let server = serving(|| ok(index("1.0.0", "web.tgz", &sha(&archive(1)))));
    let followed = Followed::new(&server.url(), "*");
    let revision = followed.refresh().expect("good").revision;
    let path = followed.dir.path().join("archives").join(format!("{}.tgz", revision.commit));
    std::fs::write(&path, b"changed").expect("written");
    assert!(followed.source.archive(&revision).is_err(), "damaged bytes are never given out");
    assert_eq!(followed.refresh().expect("fetched again").history, History::Unchanged);
    assert_eq!(followed.source.archive(&revision).expect("whole").bytes.as_ref(), archive(1));

    let Followed { dir, source } = followed;
    drop(source);
    std::fs::remove_file(&path).expect("removed");
    let again = open(dir.path(), place(&server.url()), "*", LIMITS);
    assert_eq!(again.current(), None, "a record alone is no archive");
    assert_eq!(again.refresh(&AtomicBool::new(false)).expect("fetched again").revision, revision);
}

/// A registry with one tag, of which a test changes a part.
fn registry(change: impl Fn(&str, Reply) -> Reply + Send + Sync + 'static) -> Server {
    Server::start(move |line| {
        let manifest = manifest(&archive(1), 104);
        let blob = format!("GET /v2/web/blobs/{}", Digest::of(&archive(1)));
        let answer = match line {
            "GET /v2/web/tags/list?n=1000" => ok(r#"{"name":"web","tags":["1.0.0","1.0.1_b","latest","..","1.0"]}"#),
            "GET /v2/web/manifests/1.0.1_b" => {
                let header = format!("Docker-Content-Digest: {}\r\n", Digest::of(manifest.as_bytes()));
                Reply::Whole("200 OK", header, manifest.into_bytes())
            }
            line if line == blob => ok(archive(1)),
            _ => status("404 Not Found", ""),
        };
        change(line, answer)
    })
}

fn manifest(archive: &[u8], size: usize) -> String {
    format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.cncf.helm.config.v1+json","digest":"{}","size":2}},
            "layers":[{{"mediaType":"application/vnd.cncf.helm.chart.content.v1.tar+gzip","digest":"{}","size":{size}}}]}}"#,
        Digest::of(b"{}"),
        Digest::of(archive)
    )
}

#[test]
fn a_registry_without_tricks_is_read() {
    let server = registry(|_, answer| answer);
    let refreshed = Followed::new(&server.oci(), "1.x").refresh().expect("good");
    assert_eq!((refreshed.revision.reference.as_str(), refreshed.revision.commit), ("1.0.1+b", sha(&archive(1))));
}

#[test]
fn a_tag_that_is_written_just_so_goes_before_the_list_of_tags() {
    let server = registry(|line, answer| match line {
        "GET /v2/web/manifests/1.0" | "GET /v2/web/manifests/v1.0.0" => ok(manifest(&archive(1), 104)),
        _ => answer,
    });
    for (wanted, version, asked) in [("1.0", "1.0", 2), ("v1.0.0", "v1.0.0", 2), ("v1.0.1", "1.0.1+b", 4)] {
        let before = server.asked().len();
        let refreshed = Followed::new(&server.oci(), wanted).refresh().expect("good");
        assert_eq!((refreshed.revision.reference.as_str(), server.asked().len() - before), (version, asked));
    }
}

#[test]
fn a_registry_whose_bytes_are_not_what_it_names_is_refused() {
    let other_blob = registry(|line, answer| if line.contains("/blobs/") { ok(archive(2)) } else { answer });
    let other_manifest = registry(|line, answer| match answer {
        Reply::Whole(status, _, body) if line.contains("/manifests/") => {
            Reply::Whole(status, format!("Docker-Content-Digest: {}\r\n", Digest::of(b"x")), body)
        }
        answer => answer,
    });
    for server in [other_blob, other_manifest] {
        let error = Followed::new(&server.oci(), "1.x").error();
        assert!(matches!(error, FetchError::WrongDigest { .. }), "{error}");
    }
    let pinned = registry(|line, _| if line.contains("/manifests/") { ok(manifest(&archive(1), 104)) } else { ok(archive(1)) });
    let error = Followed::new(&pinned.oci(), &Digest::of(b"another").to_string()).error();
    assert!(matches!(error, FetchError::WrongDigest { .. }), "{error}");
}

#[test]
fn a_registry_that_never_ends_stops_at_the_limit() {
    let endless_blob = registry(|line, answer| if line.contains("/blobs/") { Reply::Endless } else { answer });
    let endless_manifest = registry(|line, answer| if line.contains("/manifests/") { Reply::Endless } else { answer });
    let endless_tags = registry(|line, answer| if line.contains("/tags/") { Reply::Endless } else { answer });
    let endless_pages = registry(|line, answer| {
        let next = "Link: </v2/web/tags/list?n=1000>; rel=\"next\"\r\n".to_owned();
        if line.contains("/tags/") { Reply::Whole("200 OK", next, b"{\"tags\":[\"1.0.0\"]}".to_vec()) } else { answer }
    });
    let large = registry(|line, answer| if line.contains("/manifests/") { ok(manifest(&archive(1), 33 << 10)) } else { answer });
    for (server, name) in
        [(endless_blob, "blob"), (endless_manifest, "manifest"), (endless_tags, "tags"), (endless_pages, "pages"), (large, "size")]
    {
        let error = Followed::new(&server.oci(), "1.x").error();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{name}: {error}");
    }
}

#[test]
fn a_registry_that_leads_elsewhere_gets_nothing_there() {
    let other = Server::start(|_| ok(r#"{"token":"t","tags":["1.0.0"]}"#));
    let link = format!("Link: <{}/v2/web/tags/list>; rel=\"next\"\r\n", other.url());
    let server = registry(move |line, answer| match answer {
        Reply::Whole(status, _, body) if line.contains("/tags/") => Reply::Whole(status, link.clone(), body),
        answer => answer,
    });
    let error = Followed::with(with_password(&server.oci()), "1.x", LIMITS).error();
    assert!(error.to_string().contains("another host"), "{error}");
    assert!(other.asked().is_empty());

    for (realm, expected) in [
        ("https://tokens.example.net/token", "TokenServer"),
        ("http://localhost:1/token", "TokenServer"),
        ("file:///etc/passwd", "TokenServer"),
        ("no url", "NotAChartRepository"),
    ] {
        let server =
            Server::start(move |_| status("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=x\r\n")));
        let error = Followed::with(with_password(&server.oci()), "1.x", LIMITS).error();
        assert!(format!("{error:?}").starts_with(expected), "{realm}: {error}");
        assert!(server.asked().iter().all(|asked| asked.authorization.is_none()), "a token is asked for first");
    }
}

#[test]
fn without_credentials_a_token_server_anywhere_may_be_asked_and_is_shown_nothing() {
    let tokens = Server::start(|_| ok(r#"{"token":"for-you","expires_in":1}"#));
    let realm = tokens.url();
    let server = Server::start(move |_| {
        status("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"{realm}/token?a=b\",service=\"it self\"\r\n"))
    });
    let error = Followed::new(&server.oci(), "1.x").error();
    assert!(matches!(error, FetchError::AuthenticationNeeded { .. }), "{error}");
    let asked = tokens.asked();
    assert!(
        matches!(&asked[..], [asked] if asked.authorization.is_none()
        && asked.line == "GET /token?a=b&service=it+self&scope=repository%3Aweb%3Apull"),
        "{asked:?}"
    );
    let shown: Vec<_> = server.asked().into_iter().map(|asked| asked.authorization).collect();
    assert_eq!(shown, [None, Some("Bearer for-you".to_owned())], "once, and not again and again");
}

#[test]
fn a_token_stays_behind_where_a_blob_is_elsewhere() {
    // As with registries that keep their blobs in a store of objects.
    let objects = registry(|_, answer| answer);
    let tokens = Server::start(|_| ok(r#"{"access_token":"for-you"}"#));
    for (credentials, shown) in [(Some(Credentials::bearer("hunter2")), "Bearer hunter2"), (None, "Bearer for-you")] {
        let (store, realm) = (objects.url(), tokens.url());
        let challenged = AtomicBool::new(credentials.is_some());
        let server = registry(move |line, answer| {
            if !challenged.swap(true, Ordering::SeqCst) {
                status("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"{realm}/token\"\r\n"))
            } else if line.contains("/blobs/") {
                status("307 Temporary Redirect", &format!("Location: {store}{}\r\n", &line[4..]))
            } else {
                answer
            }
        });
        let before = objects.asked().len();
        let place = ChartRepositorySpec { credentials, ..place(&server.oci()) };
        Followed::with(place, "1.x", LIMITS).refresh().expect("good");
        let last = server.asked().split_off(server.asked().len() - 3);
        assert!(last.iter().all(|asked| asked.authorization.as_deref() == Some(shown)), "{last:?}");
        let elsewhere = &objects.asked()[before..];
        assert!(matches!(elsewhere, [asked] if asked.authorization.is_none()), "{elsewhere:?}");
    }
}
