//! Connections to remotes: HTTP, ssh and Git's own protocol, all within one allowance of time and bytes that can be called off.
//! What is said over them is left to `fetch`.

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, BufRead, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http::{self, Http};
use gix::protocol::transport::client::git;
use gix::protocol::transport::client::git::blocking_io::Connection;

use crate::credentials::Credentials;
use crate::error::FetchError;
use crate::spec::{SourceSpec, Surroundings};
use crate::url::GitUrl;

/// How long a connection may take to stand: three retransmissions of a lost SYN (1, 2 and 4 s) fit.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);
/// How often the watch looks whether the refresh was called off.
const WATCH_STEP: Duration = Duration::from_millis(50);
/// How long a conversation that was ended may take to notice.
const GRACE: Duration = Duration::from_millis(200);
/// How much of what `ssh` complains is kept.
const COMPLAINT_LIMIT: usize = 4096;

/// Why an allowance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Interrupted,
    Timeout,
    TooLarge,
}

/// What one conversation may take.
pub(crate) struct Allowance {
    stop: AtomicBool,
    end: Mutex<Option<End>>,
    deadline: Instant,
    time: Duration,
    bytes: u64,
    received: AtomicU64,
    child: Mutex<Option<Arc<Mutex<Child>>>>,
}

impl Allowance {
    pub(crate) fn new(time: Duration, bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            stop: AtomicBool::new(false),
            end: Mutex::new(None),
            deadline: Instant::now() + time,
            time,
            bytes,
            received: AtomicU64::new(0),
            child: Mutex::new(None),
        })
    }

    /// Set as soon as the conversation must end.
    pub(crate) fn stop(&self) -> &AtomicBool {
        &self.stop
    }

    /// The failure that an ended allowance is, if it ended.
    pub(crate) fn failure(&self, url: &dyn fmt::Display) -> Option<FetchError> {
        let url = url.to_string();
        (*self.end.lock().unwrap_or_else(PoisonError::into_inner)).map(|end| match end {
            End::Interrupted => FetchError::Interrupted,
            End::Timeout => FetchError::Timeout { url, after: self.time },
            End::TooLarge => FetchError::TooLarge { url, limit: self.bytes },
        })
    }

    fn end(&self, end: End) {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(end);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it goes on.
    pub(crate) fn check(&self) -> io::Result<()> {
        if Instant::now() >= self.deadline {
            self.end(End::Timeout);
        }
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the allowance of the refresh is used up"));
        }
        Ok(())
    }

    fn take(&self, bytes: usize) -> io::Result<()> {
        let received = self.received.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if received > self.bytes {
            self.end(End::TooLarge);
        }
        self.check()
    }

    /// Takes the process of a conversation, to be killed when the allowance ends.
    fn adopt(&self, child: &Arc<Mutex<Child>>) {
        *self.child.lock().unwrap_or_else(PoisonError::into_inner) = Some(child.clone());
    }

    /// Runs `talk` on a thread of its own until it ends, the allowance ends, or `interrupt` is set; nothing comes back in the latter
    /// cases. A conversation that waits for a silent server is then left alone: it ends at its next byte or at the latest when the
    /// server's time to stay silent is over, and can do nothing any more.
    pub(crate) fn watched<T: Send + 'static>(
        self: &Arc<Self>,
        interrupt: &AtomicBool,
        talk: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || done.send(talk()));
        loop {
            let ended = match result.recv_timeout(WATCH_STEP) {
                Ok(said) => return Some(said),
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    if let Err(panic) = thread.join() {
                        std::panic::resume_unwind(panic);
                    }
                    return None;
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    if interrupt.load(Ordering::Relaxed) {
                        self.end(End::Interrupted);
                    }
                    self.check().is_err()
                }
            };
            if ended {
                if let Some(child) = &*self.child.lock().unwrap_or_else(PoisonError::into_inner) {
                    kill(child);
                }
                // What ends by itself has removed its temporary files.
                return result.recv_timeout(GRACE).ok();
            }
        }
    }
}

fn kill(child: &Mutex<Child>) {
    // A child that has ended needs no killing.
    let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
}

/// A reader that takes from an allowance.
pub(crate) struct Metered<R> {
    inner: R,
    allowance: Arc<Allowance>,
}

impl<R> Metered<R> {
    /// Reads from `inner` at the expense of `allowance`.
    pub(crate) fn new(inner: R, allowance: Arc<Allowance>) -> Self {
        Self { inner, allowance }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.allowance.check()?;
        let read = self.inner.read(buf)?;
        self.allowance.take(read)?;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Metered<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.allowance.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // An overdrawn allowance shows at the next read: consuming cannot fail.
        let _ = self.allowance.take(amount);
        self.inner.consume(amount);
    }
}

/// The HTTP client, with all that it receives metered.
struct MeteredHttp {
    inner: http::reqwest::Remote,
    allowance: Arc<Allowance>,
}

impl Http for MeteredHttp {
    type Headers = <http::reqwest::Remote as Http>::Headers;
    type ResponseBody = Metered<<http::reqwest::Remote as Http>::ResponseBody>;
    type PostBody = <http::reqwest::Remote as Http>::PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<http::GetResponse<Self::Headers, Self::ResponseBody>> {
        let http::GetResponse { headers, body } = self.inner.get(url, base_url, headers)?;
        Ok(http::GetResponse { headers, body: Metered::new(body, self.allowance.clone()) })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        kind: http::PostBodyDataKind,
    ) -> gix::Result<http::PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let http::PostResponse { post_body, headers, body } = self.inner.post(url, base_url, headers, kind)?;
        Ok(http::PostResponse { post_body, headers, body: Metered::new(body, self.allowance.clone()) })
    }

    fn configure(&mut self, config: &dyn Any) -> gix::Result {
        self.inner.configure(config)
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.inner.redirected_base_url()
    }
}

/// A connection that nothing was said over yet.
pub(crate) struct Link {
    pub(crate) transport: Box<dyn Transport>,
    /// What the transport is configured with before the first word.
    pub(crate) options: Box<dyn Any>,
    pub(crate) child: Option<SshChild>,
}

/// Connects to the remote of `spec`.
pub(crate) fn connect(spec: &SourceSpec, surroundings: &Surroundings, allowance: &Arc<Allowance>) -> Result<Link, FetchError> {
    check_credentials(spec)?;
    match &spec.url {
        GitUrl::Http { .. } => http_link(spec, surroundings, allowance),
        GitUrl::Ssh { .. } => ssh_link(spec, surroundings, allowance),
        GitUrl::Git { host, port, path } => git_link(spec, host, *port, path, surroundings, allowance),
        GitUrl::Local(path) => Err(FetchError::NotARepository {
            url: path.display().to_string(),
            detail: "a local path is opened, not connected to".to_owned(),
        }),
    }
}

fn check_credentials(spec: &SourceSpec) -> Result<(), FetchError> {
    let reason = match (&spec.credentials, &spec.url) {
        (None, _) | (Some(Credentials::Ssh { .. }), GitUrl::Ssh { .. }) => return Ok(()),
        (Some(Credentials::Ssh { .. }), _) => "a key is for ssh; give a user and password, or a token",
        (Some(_), GitUrl::Ssh { .. }) => "ssh takes a key; give the file that holds it",
        (Some(_), url) if url.leaks_credentials() => "the connection is not encrypted; use https or ssh",
        (Some(_), _) => return Ok(()),
    };
    Err(FetchError::CredentialsUnsafe { url: spec.url.to_string(), reason })
}

fn http_link(spec: &SourceSpec, surroundings: &Surroundings, allowance: &Arc<Allowance>) -> Result<Link, FetchError> {
    let url = gix::Url::try_from(spec.url.to_string().as_str())
        .map_err(|error| FetchError::Unexpected { url: spec.url.to_string(), detail: error.to_string() })?;
    let certificates = spec.ca.clone();
    let stall = surroundings.limits.stall.min(allowance.time);
    let configure = move |builder: reqwest::blocking::ClientBuilder| {
        let builder = builder.connect_timeout(CONNECT_TIME).timeout(stall);
        Ok(match &certificates {
            // The bundle was parsed when the specification was made.
            Some(ca) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(ca.as_pem()).unwrap_or_default()),
            None => builder,
        })
    };
    let backend = http::reqwest::Options { configure_client: Some(Box::new(configure)), configure_request: None };
    let options = http::Options {
        // The transport refuses redirects of requests with headers of ours, so that no other host is shown them.
        extra_headers: spec.credentials.as_ref().and_then(Credentials::http_header).into_iter().collect(),
        backend: Some(Arc::new(Mutex::new(backend))),
        ..http::Options::default()
    };
    let client = MeteredHttp { inner: http::reqwest::Remote::default(), allowance: allowance.clone() };
    let transport = http::Transport::new_http(client, url, Protocol::V2, false);
    Ok(Link { transport: Box::new(transport), options: Box::new(options), child: None })
}

fn git_link(
    spec: &SourceSpec,
    host: &str,
    port: Option<u16>,
    path: &str,
    surroundings: &Surroundings,
    allowance: &Arc<Allowance>,
) -> Result<Link, FetchError> {
    const PORT: u16 = 9418;
    let unreachable = |error: io::Error| FetchError::Unreachable { url: spec.url.to_string(), detail: error.to_string() };
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (name, port.unwrap_or(PORT)).to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&address, CONNECT_TIME.min(allowance.time)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(surroundings.limits.stall)).map_err(unreachable)?;
                stream.set_write_timeout(Some(surroundings.limits.stall)).map_err(unreachable)?;
                let writer = stream.try_clone().map_err(unreachable)?;
                let reader = Metered::new(stream, allowance.clone());
                let virtual_host = Some((host.to_owned(), port));
                let connection = Connection::new(reader, writer, Protocol::V2, path, virtual_host, git::ConnectMode::Daemon, false);
                return Ok(Link { transport: Box::new(connection), options: Box::new(()), child: None });
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

/// A running `ssh`. It is killed at the end of its conversation.
pub(crate) struct SshChild {
    child: Arc<Mutex<Child>>,
    complaints: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

/// How long `ssh` may take to end by itself after its conversation broke, to say why.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl SshChild {
    /// What it said on its standard error, after ending it.
    pub(crate) fn complaints(mut self) -> String {
        let patience = Instant::now() + LAST_WORDS;
        while self.runs() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end();
        if let Some(reader) = self.reader.take() {
            // It reads until the pipe closes and does not panic.
            let _ = reader.join();
        }
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&complaints).trim().to_owned()
    }

    fn runs(&self) -> bool {
        matches!(self.child.lock().unwrap_or_else(PoisonError::into_inner).try_wait(), Ok(None))
    }

    fn end(&self) {
        kill(&self.child);
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}

impl Drop for SshChild {
    fn drop(&mut self) {
        self.end();
    }
}

fn ssh_link(spec: &SourceSpec, surroundings: &Surroundings, allowance: &Arc<Allowance>) -> Result<Link, FetchError> {
    let GitUrl::Ssh { path, .. } = &spec.url else {
        return Err(FetchError::Unexpected { url: spec.url.to_string(), detail: "it is no ssh URL".to_owned() });
    };
    let missing = |error: io::Error| FetchError::SshMissing {
        url: spec.url.to_string(),
        program: surroundings.ssh.display().to_string(),
        detail: error.to_string(),
    };
    let mut command = Command::new(&surroundings.ssh);
    command.args(ssh_arguments(spec)).env_clear().env("GIT_PROTOCOL", "version=2").env("LC_ALL", "C");
    for kept in ["PATH", "HOME", "USER"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(missing)?;
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let ((stdin, stdout), stderr) = pipes.ok_or_else(|| missing(io::Error::other("it has no pipes")))?;
    let complaints = Arc::new(Mutex::new(Vec::new()));
    let kept = complaints.clone();
    let reader = std::thread::spawn(move || keep_beginning(stderr, &kept));
    let child = Arc::new(Mutex::new(child));
    allowance.adopt(&child);
    let child = SshChild { child, complaints, reader: Some(reader) };
    let stdout = Metered::new(stdout, allowance.clone());
    let connection =
        Connection::new(stdout, stdin, Protocol::V2, path.as_str(), None::<(String, Option<u16>)>, git::ConnectMode::Process, false);
    Ok(Link { transport: Box::new(connection), options: Box::new(()), child: Some(child) })
}

fn keep_beginning(mut stream: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = COMPLAINT_LIMIT.saturating_sub(kept.len()).min(read);
        kept.extend_from_slice(&buffer[..room]);
    }
}

/// What `ssh` is called with. No configuration file is read, so that nothing but these words decides what runs, and nothing is asked for.
fn ssh_arguments(spec: &SourceSpec) -> Vec<OsString> {
    let GitUrl::Ssh { user, host, port, path, .. } = &spec.url else { return Vec::new() };
    let mut arguments: Vec<OsString> = ["-F", "none", "-T", "-x", "-a"].map(OsString::from).to_vec();
    let mut option = |text: &str| arguments.extend(["-o".into(), OsString::from(text)]);
    option("BatchMode=yes");
    option("StrictHostKeyChecking=yes");
    option("ProxyCommand=none");
    option("PermitLocalCommand=no");
    option("ClearAllForwardings=yes");
    option("SendEnv=GIT_PROTOCOL");
    option(&format!("ConnectTimeout={}", CONNECT_TIME.as_secs()));
    if let Some(Credentials::Ssh { key, known_hosts }) = &spec.credentials {
        option("IdentitiesOnly=yes");
        option("IdentityAgent=none");
        if let Some(known_hosts) = known_hosts {
            arguments.extend(["-o".into(), option_with_path("UserKnownHostsFile=", known_hosts)]);
        }
        arguments.extend(["-i".into(), key.clone().into_os_string()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    let host = host.trim_start_matches('[').trim_end_matches(']');
    arguments.push("--".into());
    arguments.push(user.as_ref().map_or_else(|| host.to_owned(), |user| format!("{user}@{host}")).into());
    arguments.push(format!("git-upload-pack {}", quoted(path)).into());
    arguments
}

fn option_with_path(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push("\"");
    option.push(path);
    option.push("\"");
    option
}

/// `path` as one word for the shell on the server.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''").replace('!', "'\\!'"))
}

/// What the complaints of `ssh` mean, if anything.
pub(crate) fn ssh_failure(spec: &SourceSpec, complaints: &str) -> Option<FetchError> {
    let url = spec.url.to_string();
    let lower = complaints.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let detail = crate::error::cut(complaints);
    if says(&["host key verification failed", "remote host identification has changed"]) {
        return Some(FetchError::HostKeyUnknown { url });
    }
    if says(&["permission denied", "too many authentication failures"]) {
        let has = spec.credentials.is_some();
        return Some(if has { FetchError::AuthenticationRefused { url } } else { FetchError::AuthenticationNeeded { url } });
    }
    if says(&["does not appear to be a git repository", "repository not found", "not a git repository"]) {
        return Some(FetchError::NotARepository { url, detail });
    }
    if says(&["resolve hostname", "connect to host", "connection closed", "connection refused", "timed out"]) {
        return Some(FetchError::Unreachable { url, detail });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Reference;

    fn spec(url: &str) -> SourceSpec {
        let name = "fleet".parse().expect("a name");
        SourceSpec::new(name, url.parse().expect("a URL"), Reference::branch("main").expect("a branch"))
    }

    #[test]
    fn ssh_is_told_everything_and_reads_no_configuration() {
        let mut spec = spec("ssh://git@git.example.com:2222/srv/it's!");
        spec.credentials = Some(Credentials::Ssh { key: "/keys/id".into(), known_hosts: Some("/keys/known hosts".into()) });
        let words: Vec<String> = ssh_arguments(&spec).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let line = words.join(" ");
        assert!(line.starts_with("-F none "), "{line}");
        for needed in
            ["-o BatchMode=yes", "-o StrictHostKeyChecking=yes", "-o ProxyCommand=none", "-o IdentitiesOnly=yes", "-i /keys/id", "-p 2222"]
        {
            assert!(line.contains(needed), "{needed} in {line}");
        }
        assert_eq!(words[words.len() - 3..], ["--", "git@git.example.com", "git-upload-pack '/srv/it'\\''s'\\!''"]);
    }

    #[test]
    fn credentials_are_not_sent_where_they_do_not_belong() {
        let cases = [
            ("http://git.example.com/x", Credentials::basic("a", "b")),
            ("git://localhost/x", Credentials::bearer("b")),
            ("https://git.example.com/x", Credentials::Ssh { key: "/k".into(), known_hosts: None }),
            ("git@host:x", Credentials::basic("a", "b")),
        ];
        for (url, credentials) in cases {
            let mut spec = spec(url);
            assert_eq!(check_credentials(&spec), Ok(()));
            spec.credentials = Some(credentials);
            assert!(matches!(check_credentials(&spec), Err(FetchError::CredentialsUnsafe { .. })), "{url}");
        }
    }

    #[test]
    fn an_allowance_ends_one_byte_beyond_its_limit() {
        let read = |limit| {
            let allowance = Allowance::new(Duration::from_secs(60), limit);
            let mut reader = Metered::new(&[0u8; 10][..], allowance.clone());
            let result = io::copy(&mut reader, &mut io::sink());
            (result.is_ok(), allowance.failure(&"/x"))
        };
        assert_eq!(read(10), (true, None));
        assert_eq!(read(9), (false, Some(FetchError::TooLarge { url: "/x".to_owned(), limit: 9 })));
    }
}
