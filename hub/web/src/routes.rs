//! The paths below `/api/v1/`: each reads its request into the hub's words, asks the hub, and writes the answer. Everything before that
//! (who asks, how many, how long) happens once, in `guard`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use hub_api::{
    AcceptRequest, AddClusterRequest, ApprovalRequest, HealthWord, HoldRequest, List, Named, One, PAGE_LIMIT, PageQuery, RefreshRequest,
    StatusFilter, StatusQuery, TestAppRequest,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Health};
use tokio::sync::Semaphore;

use crate::access::{WrongTokens, actor_of, bearer};
use crate::config::{ANSWER_TIME, BODY_BYTES_LIMIT, LOGS_LIMIT, REFRESH_TIME, REQUESTS_LIMIT};
use crate::live::{self, LogTurns};
use crate::page::{page, page_size};
use crate::refusal::Refusal;
use crate::{AccessToken, Actor, Approval, ClusterAddition, HoldWish, Hub, StatusPage, TestWish};

pub(crate) type Answered = Result<Response, Refusal>;
pub(crate) type HubState = State<Arc<dyn Hub>>;
/// A body as far as the limit let it in.
type Read = Result<Bytes, BytesRejection>;

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What stands before every path of the API.
struct Door {
    tokens: Vec<AccessToken>,
    wrong: Mutex<WrongTokens>,
    requests: Semaphore,
    logs: Arc<Semaphore>,
}

/// All paths of the server.
pub(crate) fn router(tokens: Vec<AccessToken>, hub: Arc<dyn Hub>) -> Router {
    let door = Arc::new(Door {
        tokens,
        wrong: Mutex::default(),
        requests: Semaphore::new(REQUESTS_LIMIT),
        logs: Arc::new(Semaphore::new(LOGS_LIMIT)),
    });
    let api = Router::new()
        .route("/regions", get(regions))
        .route("/clusters", get(clusters).post(add_cluster))
        .route("/clusters/{name}", get(cluster).delete(remove_cluster))
        .route("/clusters/{name}/accept", post(accept_cluster))
        .route("/apps", get(apps))
        .route("/apps/{name}", get(app))
        .route("/apps/{name}/tests", get(tests).post(request_tests))
        .route("/status", get(status))
        .route("/problems", get(problems))
        .route("/sources", get(sources))
        .route("/diff", get(diff))
        .route("/refresh", post(refresh))
        .route("/approvals", post(approve))
        .route("/holds", get(holds).post(hold))
        .route("/holds/{app}", delete(resume_everywhere))
        .route("/holds/{app}/{cluster}", delete(resume))
        .merge(live::routes())
        .fallback(async || Refusal::no_such_path())
        .method_not_allowed_fallback(async || Refusal::method_not_allowed())
        .layer(DefaultBodyLimit::max(BODY_BYTES_LIMIT))
        .layer(from_fn_with_state(door, guard))
        .with_state(hub);
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .nest("/api/v1", api)
        .fallback(async || Refusal::no_such_path())
        .method_not_allowed_fallback(async || Refusal::method_not_allowed())
}

/// Lets a request in if its token is known, there is room, and the answer comes in time.
async fn guard(State(door): State<Arc<Door>>, Extension(Peer(peer)): Extension<Peer>, mut request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let actor = match door.actor(&request, peer) {
        Ok(actor) => actor,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(_slot) = door.requests.try_acquire() else {
        return Refusal::overloaded().into_response();
    };
    request.extensions_mut().insert(actor.clone());
    request.extensions_mut().insert(LogTurns(Arc::clone(&door.logs)));
    let limit = answer_time(&path);
    let response = match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::timed_out(limit).into_response(),
    };
    let status = response.status().as_u16();
    if method == Method::GET || method == Method::HEAD {
        tracing::debug!(actor = actor.name, %method, path, status, "asked");
    } else {
        tracing::info!(actor = actor.name, %method, path, status, "change asked for");
    }
    response
}

fn answer_time(path: &str) -> Duration {
    if path.ends_with("/refresh") { REFRESH_TIME } else { ANSWER_TIME }
}

impl Door {
    fn actor(&self, request: &Request, peer: SocketAddr) -> Result<Actor, Refusal> {
        let now = Instant::now();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = wrong.wait(peer.ip(), now) {
            return Err(Refusal::too_many_wrong_tokens(wait));
        }
        let header = request.headers().get(AUTHORIZATION).ok_or_else(Refusal::no_token)?;
        let shown = header.to_str().ok().and_then(bearer).ok_or_else(Refusal::no_token)?;
        actor_of(&self.tokens, shown).ok_or_else(|| {
            wrong.count(peer.ip(), now);
            tracing::warn!(address = %peer.ip(), "a wrong token was shown");
            Refusal::wrong_token()
        })
    }
}

async fn regions(State(hub): HubState, request: Request) -> Answered {
    list(hub.regions().await?, &request)
}

async fn clusters(State(hub): HubState, request: Request) -> Answered {
    list(hub.clusters().await?, &request)
}

async fn cluster(State(hub): HubState, Path(name): Path<String>) -> Answered {
    one(StatusCode::OK, hub.cluster(parsed(&name)?).await?)
}

async fn apps(State(hub): HubState, request: Request) -> Answered {
    list(hub.apps().await?, &request)
}

async fn app(State(hub): HubState, Path(name): Path<String>) -> Answered {
    one(StatusCode::OK, hub.app(parsed(&name)?).await?)
}

async fn problems(State(hub): HubState, request: Request) -> Answered {
    list(hub.problems().await?, &request)
}

async fn sources(State(hub): HubState, request: Request) -> Answered {
    list(hub.sources().await?, &request)
}

async fn status(State(hub): HubState, request: Request) -> Answered {
    let query: StatusQuery = query(&request)?;
    let filter = StatusFilter {
        app: query.app.as_deref().map(parsed).transpose()?,
        cluster: query.cluster.as_deref().map(parsed).transpose()?,
        region: query.region.as_deref().map(parsed).transpose()?,
        health: query.health.as_deref().map(health).transpose()?,
    };
    let size = page_size(query.limit);
    let after = query.r#continue.as_deref().map(status_row).transpose()?;
    // One row more than the page tells whether another page follows.
    let mut rows = hub.status(filter, StatusPage { after, limit: size + 1 }).await?;
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(Named::name);
    Ok(json(StatusCode::OK, &List::new(rows, next)))
}

fn health(word: &str) -> Result<HealthWord, Refusal> {
    Health::parse(word).map(Into::into).ok_or_else(|| {
        let words = Health::ALL.map(Health::as_str).join(", ");
        Refusal::invalid(format!("\"{}\" is no health", word.chars().take(40).collect::<String>()), &format!("use one of {words}"))
    })
}

/// The row that a page ended with, written by [`Named::name`]: `app@cluster`.
fn status_row(text: &str) -> Result<(AppName, ClusterName), Refusal> {
    let invalid = || Refusal::invalid("the continuation is none of this list's", "begin again without it");
    let (app, cluster) = text.split_once('@').ok_or_else(invalid)?;
    Ok((app.parse().map_err(|_| invalid())?, cluster.parse().map_err(|_| invalid())?))
}

/// Which tests.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestsQuery {
    cluster: Option<String>,
    limit: Option<u32>,
    r#continue: Option<String>,
}

async fn tests(State(hub): HubState, Path(name): Path<String>, request: Request) -> Answered {
    let TestsQuery { cluster, limit, r#continue } = query(&request)?;
    let tests = hub.tests(parsed(&name)?, cluster.as_deref().map(parsed).transpose()?).await?;
    Ok(json(StatusCode::OK, &page(tests, &PageQuery { limit, r#continue })))
}

async fn request_tests(State(hub): HubState, Extension(actor): Extension<Actor>, Path(name): Path<String>, bytes: Read) -> Answered {
    let TestAppRequest { cluster, seconds } = body(bytes)?;
    let wish = TestWish { app: parsed(&name)?, cluster: cluster.as_deref().map(parsed).transpose()?, seconds };
    Ok(json(StatusCode::CREATED, &page(hub.request_tests(actor, wish).await?, &PageQuery { limit: Some(PAGE_LIMIT), r#continue: None })))
}

/// What a difference is asked of.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DiffQuery {
    app: String,
    cluster: Option<String>,
    limit: Option<u32>,
    r#continue: Option<String>,
}

async fn diff(State(hub): HubState, request: Request) -> Answered {
    let DiffQuery { app, cluster, limit, r#continue } = query(&request)?;
    let diffs = hub.diff(parsed(&app)?, cluster.as_deref().map(parsed).transpose()?).await?;
    Ok(json(StatusCode::OK, &page(diffs, &PageQuery { limit, r#continue })))
}

async fn refresh(State(hub): HubState, Extension(actor): Extension<Actor>, bytes: Read) -> Answered {
    let request: RefreshRequest = body(bytes)?;
    let source = request.source.as_deref().map(parsed).transpose()?;
    Ok(json(StatusCode::OK, &page(hub.refresh(actor, source).await?, &PageQuery::default())))
}

async fn add_cluster(State(hub): HubState, Extension(actor): Extension<Actor>, bytes: Read) -> Answered {
    let AddClusterRequest { name, region, labels } = body(bytes)?;
    let addition = ClusterAddition { name: parsed(&name)?, region: parsed(&region)?, labels };
    one(StatusCode::CREATED, hub.add_cluster(actor, addition).await?)
}

async fn accept_cluster(State(hub): HubState, Extension(actor): Extension<Actor>, Path(name): Path<String>, bytes: Read) -> Answered {
    let AcceptRequest { uid } = body(bytes)?;
    let uid: ClusterUid = parsed(&uid)?;
    one(StatusCode::OK, hub.accept_cluster(actor, parsed(&name)?, uid).await?)
}

async fn remove_cluster(State(hub): HubState, Extension(actor): Extension<Actor>, Path(name): Path<String>) -> Answered {
    one(StatusCode::OK, hub.remove_cluster(actor, parsed(&name)?).await?)
}

async fn approve(State(hub): HubState, Extension(actor): Extension<Actor>, bytes: Read) -> Answered {
    let ApprovalRequest { app, cluster, digest } = body(bytes)?;
    if app.is_none() && cluster.is_none() {
        return Err(Refusal::invalid("the approval names neither an app nor a cluster", "send one of them, or both"));
    }
    let approval = Approval {
        app: app.as_deref().map(parsed).transpose()?,
        cluster: cluster.as_deref().map(parsed).transpose()?,
        digest: parsed::<Digest>(&digest)?,
    };
    one(StatusCode::OK, hub.approve(actor, approval).await?)
}

async fn holds(State(hub): HubState, request: Request) -> Answered {
    list(hub.holds().await?, &request)
}

async fn hold(State(hub): HubState, Extension(actor): Extension<Actor>, bytes: Read) -> Answered {
    let HoldRequest { app, cluster, reason, seconds } = body(bytes)?;
    let cluster = cluster.as_deref().map(parsed).transpose()?;
    let wish = HoldWish { app: parsed(&app)?, cluster, reason, time: Duration::from_secs(seconds) };
    one(StatusCode::CREATED, hub.hold(actor, wish).await?)
}

async fn resume_everywhere(State(hub): HubState, Extension(actor): Extension<Actor>, Path(app): Path<String>) -> Answered {
    one(StatusCode::OK, hub.resume(actor, parsed(&app)?, None).await?)
}

async fn resume(State(hub): HubState, Extension(actor): Extension<Actor>, Path((app, cluster)): Path<(String, String)>) -> Answered {
    one(StatusCode::OK, hub.resume(actor, parsed(&app)?, Some(parsed(&cluster)?)).await?)
}

fn list<T: Named + Serialize>(items: Vec<T>, request: &Request) -> Answered {
    Ok(json(StatusCode::OK, &page(items, &query(request)?)))
}

pub(crate) fn one<T: Named + Serialize>(status: StatusCode, value: T) -> Answered {
    Ok(json(status, &One::new(value)))
}

pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, Refusal> {
    text.parse().map_err(|error: T::Err| Refusal::invalid(error.to_string(), "write it as it stands in the lists"))
}

pub(crate) fn query<T: DeserializeOwned>(request: &Request) -> Result<T, Refusal> {
    Query::try_from_uri(request.uri())
        .map(|Query(query)| query)
        .map_err(|error| Refusal::invalid(error.body_text(), "is this client as new as the hub?"))
}

/// The request in a body; an empty body is a request without any field.
fn body<T: DeserializeOwned>(bytes: Read) -> Result<T, Refusal> {
    let bytes = bytes.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::too_large(),
        _ => Refusal::invalid("the request's body broke off", "send it again"),
    })?;
    let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(bytes).map_err(|error| {
        Refusal::invalid(format!("the request's body is not as it should be: {error}"), "is this client as new as the hub?")
    })
}

/// An answer in JSON. Answers can hold a token, so nothing may keep them.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let (status, bytes) = match serde_json::to_vec(value) {
        Ok(bytes) => (status, bytes),
        Err(error) => {
            tracing::error!(%error, "BUG: an answer cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec())
        }
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
