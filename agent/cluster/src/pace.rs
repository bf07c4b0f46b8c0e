//! How fast the API server is asked: as fast as it answers. There is no fixed rate: a window of requests in flight opens with every answer and
//! halves when the API server's priority and fairness sheds load (429), and nothing is asked before the time that it names (`Retry-After`).
//! Also where a request that gets no answer ends. What becomes of a refused request is its caller's matter.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Method, Request, Response, StatusCode, header};
use kube::Client;
use kube::client::Body;
use tokio::sync::Notify;
use tower::{BoxError, Service};

/// How long things may take. The defaults fit every cluster; tests take shorter ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request that reads. The API server answers in milliseconds, or lets it queue for up to 15 seconds before it says 429.
    pub read: Duration,
    /// A request that writes: the API server's own limit is 60 seconds, admission webhooks included.
    pub write: Duration,
    /// How long a request waits in all because the API server asked to be left alone; after that it fails, and is planned again.
    pub wait: Duration,
    /// A watch that says nothing for this long is opened anew: the API server sends a bookmark about every minute.
    pub silence: Duration,
    /// What was seen is out of date if the API server has answered nothing for this long; the lease asks it every 5 seconds.
    pub view: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { read: seconds(30), write: seconds(65), wait: seconds(20), silence: seconds(75), view: seconds(30) }
    }
}

/// The most requests in flight, watches that are open not counted: four times what gives the API server's full rate (16).
const WIDEST: f64 = 64.0;

/// The longest pause that an API server may ask for. It names seconds; a proxy that names an hour is not obeyed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pause after a 429 that names none.
const UNNAMED_PAUSE: Duration = Duration::from_secs(1);

/// Marks a request that does not wait for its turn: the lease, two small requests in five seconds that must not come too late.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtOnce;

/// Marks a request whose answer may begin when it likes: the log of a pod that says nothing yet. It takes no turn from those that others wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unhurried;

/// A request was not sent, because the API server asked to be left alone for longer than the caller can wait.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API server asked to be left alone for {} ms more", .0.as_millis())]
pub(crate) struct LeftAlone(Duration);

/// A request got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {} ms", .0.as_millis())]
pub(crate) struct NoAnswer(Duration);

/// When the next request may go. One for all clones of a connection.
#[derive(Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    changed: Notify,
}

/// What the answers so far allow.
struct State {
    window: f64,
    in_flight: u32,
    /// Nothing at all is asked before this.
    all_rest_until: Option<Instant>,
    /// Nothing of these resources is asked before this.
    rest_until: BTreeMap<String, Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self { window: WIDEST, in_flight: 0, all_rest_until: None, rest_until: BTreeMap::new() }
    }
}

/// What 429 was said about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Everything: priority and fairness shed the request before anybody looked at it.
    All,
    /// One resource: what serves it is not ready, for example its watch cache, which with a broken conversion webhook it never is.
    Resource,
}

impl State {
    /// How long to wait before a request about `resource` may go; zero if at once.
    fn rest(&self, resource: &str, now: Instant) -> Duration {
        let until = self.all_rest_until.max(self.rest_until.get(resource).copied());
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn has_room(&self) -> bool {
        f64::from(self.in_flight) < self.window
    }

    /// An answer came that is no 429: a window of n grows by one in n answers.
    fn answered(&mut self) {
        self.window = (self.window + self.window.recip()).min(WIDEST);
    }

    fn throttled(&mut self, resource: &str, scope: Scope, pause: Duration, now: Instant) {
        let until = now + pause.min(LONGEST_PAUSE);
        match scope {
            Scope::All => {
                // One burst of refusals halves the window once: those that follow within the same rest were sent before it.
                if self.all_rest_until.is_none_or(|rest| rest <= now) {
                    self.window = (f64::from(self.in_flight.max(1)).min(self.window) / 2.0).max(1.0);
                }
                self.all_rest_until = self.all_rest_until.max(Some(until));
            }
            Scope::Resource => {
                self.rest_until.retain(|_, rest| *rest > now);
                self.rest_until.insert(resource.to_owned(), until);
            }
        }
    }
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a request about `resource` may go.
    async fn enter(self: &Arc<Self>, resource: &str, patience: Duration) -> Result<InFlight, LeftAlone> {
        let give_up = Instant::now() + patience;
        loop {
            let changed = self.changed.notified();
            let rest = {
                let mut state = self.lock();
                let now = Instant::now();
                let rest = state.rest(resource, now);
                if rest.is_zero() && state.has_room() {
                    state.in_flight += 1;
                    return Ok(InFlight(self.clone()));
                }
                let left = give_up.saturating_duration_since(now);
                if rest > left || left.is_zero() {
                    return Err(LeftAlone(rest));
                }
                if rest.is_zero() { left } else { rest + jitter(rest / 4) }
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    fn note(&self, resource: &str, head: &http::response::Parts) {
        let mut state = self.lock();
        if head.status == StatusCode::TOO_MANY_REQUESTS {
            state.throttled(resource, scope(head), retry_after(head).unwrap_or(UNNAMED_PAUSE), Instant::now());
        } else {
            state.answered();
        }
    }
}

/// A request on its way.
struct InFlight(Arc<Pace>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.in_flight = state.in_flight.saturating_sub(1);
        drop(state);
        self.0.changed.notify_one();
    }
}

/// Load is shed by filters that write a line of text (`apiserver/pkg/server/filters`, `tooManyRequests`); who looked at the resource answers
/// with a `Status`.
fn scope(head: &http::response::Parts) -> Scope {
    let is_status = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/"));
    if is_status { Scope::Resource } else { Scope::All }
}

/// The seconds that the API server names. It never names a date.
fn retry_after(head: &http::response::Parts) -> Option<Duration> {
    head.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The part of a path that names the resource: `/apis/apps/v1/deployments` of `/apis/apps/v1/namespaces/web/deployments/api`.
fn resource_of(path: &str) -> String {
    let mut parts = path.trim_start_matches('/').split('/');
    let depth = if parts.next() == Some("api") { 1 } else { 2 };
    let version: Vec<&str> = parts.by_ref().take(depth).collect();
    let rest: Vec<&str> = parts.collect();
    let plural = match rest[..] {
        ["namespaces", _, plural, ..] if plural != "status" && plural != "finalize" => plural,
        [plural, ..] => plural,
        [] => "",
    };
    format!("{}/{plural}", version.join("/"))
}

/// Up to `most`, by chance, so that many who were sent away together do not come back together.
pub(crate) fn jitter(most: Duration) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    // The standard library seeds each of these from the system's chance.
    let chance = RandomState::new().hash_one(0_u8);
    most.mul_f64(f64::from(u32::try_from(chance >> 32).unwrap_or(0)) / f64::from(u32::MAX))
}

/// A client that keeps to the pace and waits for no answer without end.
#[derive(Clone)]
pub(crate) struct Paced {
    client: Client,
    pace: Arc<Pace>,
    limits: Limits,
}

impl Paced {
    pub(crate) fn new(client: Client, limits: Limits) -> Self {
        Self { client, pace: Arc::default(), limits }
    }

    async fn send(self, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        if request.extensions().get::<Unhurried>().is_some() {
            return Ok(self.client.send(request).await?);
        }
        let resource = resource_of(request.uri().path());
        let turn = match request.extensions().get::<AtOnce>() {
            Some(AtOnce) => None,
            None => Some(self.pace.enter(&resource, self.limits.wait).await?),
        };
        let limit = if request.method() == Method::GET { self.limits.read } else { self.limits.write };
        let answer = tokio::time::timeout(limit, self.client.send(request)).await.map_err(|_| NoAnswer(limit))?;
        let (head, body) = answer?.into_parts();
        self.pace.note(&resource, &head);
        drop(turn);
        Ok(Response::from_parts(head, body))
    }
}

impl Service<Request<Body>> for Paced {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // Whether there is room is asked when there is something to send.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().send(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_burst_of_refusals_halves_the_window_once_and_answers_open_it_again() {
        let now = Instant::now();
        let mut state = State { in_flight: 16, ..State::default() };
        for _ in 0..5 {
            state.throttled("v1/secrets", Scope::All, seconds(2), now);
        }
        assert_eq!((state.window, state.rest("v1/configmaps", now)), (8.0, seconds(2)));
        state.throttled("v1/secrets", Scope::All, seconds(1), now + seconds(3));
        assert_eq!(state.window, 4.0, "a later burst halves what was in flight, but never below one in all");
        for _ in 0..10_000 {
            state.answered();
        }
        assert_eq!(state.window, WIDEST);
        state.in_flight = 0;
        for second in 10..30 {
            state.throttled("v1/secrets", Scope::All, Duration::ZERO, now + seconds(second));
        }
        assert!(state.window >= 1.0 && state.has_room());
    }

    #[test]
    fn a_resource_that_is_not_ready_holds_up_itself_alone() {
        let now = Instant::now();
        let mut state = State::default();
        state.throttled("example.com/v1/widgets", Scope::Resource, seconds(5), now);
        assert_eq!(state.rest("example.com/v1/widgets", now), seconds(5));
        assert_eq!((state.rest("v1/configmaps", now), state.window), (Duration::ZERO, WIDEST));
        state.throttled("v1/configmaps", Scope::All, seconds(9_999), now);
        assert_eq!(state.rest("v1/secrets", now), LONGEST_PAUSE);
    }

    #[test]
    fn paths_name_their_resource() {
        for (path, resource) in [
            ("/api/v1/namespaces/web/configmaps/a", "v1/configmaps"),
            ("/api/v1/configmaps", "v1/configmaps"),
            ("/api/v1/namespaces/web", "v1/namespaces"),
            ("/api/v1/namespaces/web/status", "v1/namespaces"),
            ("/apis/apps/v1/namespaces/web/deployments/api/scale", "apps/v1/deployments"),
            ("/apis/apps/v1/deployments", "apps/v1/deployments"),
            ("/apis", "/"),
        ] {
            assert_eq!(resource_of(path), resource, "{path}");
        }
    }

    #[tokio::test]
    async fn a_request_waits_for_its_turn_and_gives_up_when_the_rest_is_longer_than_its_patience() {
        let pace = Arc::new(Pace::default());
        pace.lock().window = 1.0;
        let first = pace.enter("v1/secrets", seconds(5)).await.expect("there is room");
        let second = tokio::spawn({
            let pace = pace.clone();
            async move { pace.enter("v1/secrets", seconds(5)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.expect("ends"));
        pace.lock().throttled("v1/secrets", Scope::All, seconds(30), Instant::now());
        assert!(pace.enter("v1/configmaps", seconds(1)).await.is_err());
    }
}
