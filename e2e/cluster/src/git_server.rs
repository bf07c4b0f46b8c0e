//! A real Git server over smart HTTP for tests: `git http-backend` behind a small HTTP server on 127.0.0.1, with an optional password, an
//! outage at will and a record of every request. What is in the repositories is the test's matter ([`crate::WorkTree`]).

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::work_tree::git_command;

/// Largest request body, a pushed pack: test fleets have kilobytes.
const BODY_LIMIT: usize = 64 << 20;

/// How the server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answering {
    /// As a Git server does.
    Normally,
    /// Every request with 503 Service Unavailable.
    Unavailable,
    /// Not at all: connections are accepted and nothing comes back until the mode changes.
    Never,
}

/// One request that reached the server, whether or not it was answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GitRequest {
    /// HTTP method.
    pub method: String,
    /// Path, such as `/fleet.git/info/refs`.
    pub path: String,
    /// Query without `?`, such as `service=git-upload-pack`; may be empty.
    pub query: String,
    /// The answer's status; absent while there is none.
    pub status: Option<u16>,
}

/// A running Git server. Dropping it ends it and removes its repositories.
pub struct GitServer {
    address: SocketAddr,
    password: Option<(String, String)>,
    answering: watch::Sender<Answering>,
    requests: Arc<Mutex<Vec<GitRequest>>>,
    root: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl GitServer {
    /// Starts a server that anyone may read and push.
    ///
    /// # Errors
    /// No port, directory or thread to be had.
    pub fn start() -> anyhow::Result<Self> {
        Self::serve(None)
    }

    /// Starts a server that answers 401 to everyone but `user` with `password`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with_password(user: &str, password: &str) -> anyhow::Result<Self> {
        Self::serve(Some((user.to_owned(), password.to_owned())))
    }

    fn serve(password: Option<(String, String)>) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("capstan-git-server-").tempdir()?;
        let (answering, mode) = watch::channel(Answering::Normally);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let backend = Arc::new(Backend {
            root: root.path().to_owned(),
            authorization: password.as_ref().map(|(user, password)| basic(user, password)),
            mode,
            requests: Arc::clone(&requests),
        });
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        // A thread of its own: tests call the git program, which blocks, and must not block the server with it.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("git-server".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, backend) => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { address, password, answering, requests, root, stop: Some(stop), thread: Some(thread) })
    }

    /// Makes an empty bare repository with the default branch `main`; `name` is its path below the server, such as `fleet.git`.
    ///
    /// # Errors
    /// git is missing or refuses.
    pub fn create_repository(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.path().join(name);
        let run = |arguments: &[&str]| {
            let output = git_command(self.root.path()).args(arguments).output().context("cannot run git")?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            anyhow::ensure!(output.status.success(), "git {} failed: {}", arguments.join(" "), stderr.trim_end());
            Ok(())
        };
        run(&["init", "--quiet", "--bare", "--initial-branch=main", name])?;
        // Without a REMOTE_USER the backend refuses pushes unless told so.
        run(&["-C", name, "config", "http.receivepack", "true"])?;
        Ok(path)
    }

    /// The directory that holds the bare repositories.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The URL of a repository, without credentials.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// The URL of a repository with the server's user and password, if it has any, in it. Both must need no URL escapes.
    #[must_use]
    pub fn url_with_password(&self, name: &str) -> String {
        match &self.password {
            None => self.url(name),
            Some((user, password)) => format!("http://{user}:{password}@{}/{name}", self.address),
        }
    }

    /// Changes how the server answers, from now on and for requests that wait.
    pub fn answer(&self, answering: Answering) {
        self.answering.send_replace(answering);
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<GitRequest> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The runtime ends in there, and with it connections and running backends.
            let _ = thread.join();
        }
    }
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

async fn accept(listener: std::net::TcpListener, backend: Arc<Backend>) {
    let listener = TcpListener::from_std(listener).expect("a bound, non-blocking listener");
    loop {
        // A connection that broke before it was accepted is its client's matter.
        let Ok((stream, _)) = listener.accept().await else { continue };
        let backend = Arc::clone(&backend);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let backend = Arc::clone(&backend);
                async move { Ok::<_, Infallible>(backend.answer(request).await) }
            });
            // A client that hangs up is no fault of the server.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Backend {
    root: PathBuf,
    /// The `Authorization` header that is let in; absent where everyone is.
    authorization: Option<String>,
    mode: watch::Receiver<Answering>,
    requests: Arc<Mutex<Vec<GitRequest>>>,
}

impl Backend {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let place = {
            let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
            requests.push(GitRequest {
                method: request.method().to_string(),
                path: request.uri().path().to_owned(),
                query: request.uri().query().unwrap_or_default().to_owned(),
                status: None,
            });
            requests.len() - 1
        };
        let response = self.decide(request).await;
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)[place].status = Some(response.status().as_u16());
        response
    }

    async fn decide(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mut mode = self.mode.clone();
        // The sender lives as long as the server; without it nobody waits for an answer.
        let answering = mode.wait_for(|mode| *mode != Answering::Never).await.map_or(Answering::Unavailable, |mode| *mode);
        if answering == Answering::Unavailable {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "this server is out of order on purpose\n");
        }
        let given = request.headers().get(AUTHORIZATION).map(HeaderValue::as_bytes);
        if self.authorization.as_ref().is_some_and(|wanted| given != Some(wanted.as_bytes())) {
            let mut refusal = plain(StatusCode::UNAUTHORIZED, "user and password needed\n");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"git\""));
            return refusal;
        }
        match self.run_backend(request).await {
            Ok(response) => response,
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}\n")),
        }
    }

    /// Hands the request to `git http-backend` by the rules of CGI (RFC 3875) and of `git help http-backend`.
    async fn run_backend(&self, request: Request<Incoming>) -> anyhow::Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        let header = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut command = tokio::process::Command::from(git_command(&self.root));
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", head.method.as_str())
            .env("PATH_INFO", head.uri.path())
            .env("QUERY_STRING", head.uri.query().unwrap_or_default())
            .env("CONTENT_TYPE", header(CONTENT_TYPE))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header(CONTENT_ENCODING))
            .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
            .env("REMOTE_ADDR", "127.0.0.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if self.authorization.is_some() {
            command.env("REMOTE_USER", "authenticated");
        }
        let mut child = command.spawn().context("cannot run git http-backend")?;
        let mut stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let feed = async move {
            // A backend that refuses early does not read on; its answer says why.
            let _ = stdin.write_all(&body).await;
        };
        let ((), output) = futures_util::join!(feed, child.wait_with_output());
        let output = output?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        parse_cgi(&output.stdout).with_context(|| format!("git http-backend gave no answer: {}", stderr.trim_end()))
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Reads a CGI answer: header lines, an empty line, the body. The pseudo-header `Status` gives the status, else it is 200.
fn parse_cgi(output: &[u8]) -> anyhow::Result<Response<Full<Bytes>>> {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n").context("no end of the headers")?;
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(&output[end + 4..])));
    for line in std::str::from_utf8(&output[..end])?.split("\r\n") {
        let (name, value) = line.split_once(':').with_context(|| format!("not a header: {line}"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            *response.status_mut() = StatusCode::from_bytes(code.as_bytes())?;
        } else {
            response.headers_mut().append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgi_status_becomes_the_answer_s_status_and_no_header() {
        let response = parse_cgi(b"Status: 404 Not Found\r\nCache-Control: no-cache\r\n\r\nbody").unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers().len(), 1);
        assert!(parse_cgi(b"fatal: nothing like headers").is_err());
    }
}
