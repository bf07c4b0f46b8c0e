//! The two doors: a tower service without a socket, and plain HTTP on a listener. What is answered is decided in `serve`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::faults::{Fault, RequestFacts};
use crate::serve::{self, Answer, Asked, BODY_BYTES, Target};
use crate::status::ApiError;
use crate::{FakeKube, Unreachable};

/// The body of every answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, Infallible>;

/// The API as a tower service: for `kube::Client::new(service, "default")`, or any other client of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    kube: FakeKube,
}

impl FakeKube {
    /// The API without a socket. An unreachable server, and a request that a fault drops, answer [`Unreachable`].
    #[must_use]
    pub fn service(&self) -> Service {
        Service { kube: self.clone() }
    }

    /// Serves HTTP/1.1 and HTTP/2 without TLS until the task is aborted. With a token, requests without it get 401.
    #[must_use]
    pub fn serve_http(&self, listener: TcpListener, auth_token: Option<String>) -> JoinHandle<()> {
        let service = self.service();
        tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let stream = tokio::select! {
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => stream,
                        // A connection that ended before it was taken; the listener itself stays.
                        Err(_) => continue,
                    },
                    Some(_) = connections.join_next() => continue,
                };
                let (service, token) = (service.clone(), auth_token.clone());
                connections.spawn(async move {
                    let handler = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
                        let (mut service, token) = (service.clone(), token.clone());
                        async move {
                            let wanted = token.map(|t| format!("Bearer {t}"));
                            let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
                            if wanted.is_some() && given != wanted.as_deref() {
                                return Ok(respond(ApiError::unauthorized().into()));
                            }
                            tower::Service::call(&mut service, request).await
                        }
                    });
                    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), handler).await;
                });
            }
        })
    }
}

impl<B> tower::Service<Request<B>> for Service
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<AnswerBody>;
    type Error = Unreachable;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let kube = self.kube.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            if !kube.is_reachable() {
                return Err(Unreachable);
            }
            let body = match Limited::new(body, BODY_BYTES).collect().await {
                Ok(b) => b.to_bytes(),
                Err(_) => {
                    let e = ApiError::new(413, "RequestEntityTooLarge", format!("Request entity too large: limit is {BODY_BYTES}"));
                    return Ok(respond(e.into()));
                }
            };
            answer(&kube, &parts, body).await.map(respond)
        })
    }
}

async fn answer(kube: &FakeKube, parts: &http::request::Parts, body: Bytes) -> Result<Answer, Unreachable> {
    let path = parts.uri.path();
    let parameters = serve::parameters(parts.uri.query());
    let target = Target::parse(path);
    let media = serve::media_type(&parts.headers);
    let verb = serve::verb(&parts.method, target.as_ref(), &parameters, &media);
    let none = Target::default();
    let t = target.as_ref().unwrap_or(&none);
    let facts = RequestFacts {
        verb,
        path,
        group: &t.group,
        resource: &t.resource,
        namespace: &t.namespace,
        name: &t.name,
        number: kube.count_request(),
    };
    let fault = kube.fault_for(&facts);
    match &fault {
        Some(Fault::Delay(d)) => tokio::time::sleep(*d).await,
        Some(Fault::Status(code, message)) => {
            let reason = match code {
                429 => "TooManyRequests",
                500 => "InternalError",
                503 => "ServiceUnavailable",
                504 => "Timeout",
                403 => "Forbidden",
                _ => "",
            };
            return Ok(ApiError::new(*code, reason, message.clone()).into());
        }
        Some(Fault::Drop) => return Err(Unreachable),
        Some(Fault::LoseAnswer) | None => {}
    }
    if kube.is_broken(&t.group, target.is_some() || path.starts_with("/apis/")) {
        return Ok(ApiError::unavailable("the server is currently unable to handle the request").into());
    }
    let shape = serve::shape(&kube.lock(), path, verb, target.as_ref(), &parameters, &media);
    kube.record(shape);
    let asked = Asked { method: &parts.method, path, target: target.clone(), parameters, headers: &parts.headers, body };
    let answer = serve::serve(kube, &asked);
    if fault == Some(Fault::LoseAnswer) {
        return Err(Unreachable);
    }
    // The server may have gone away while the request was on its way.
    if kube.is_reachable() { Ok(answer) } else { Err(Unreachable) }
}

fn respond(answer: Answer) -> Response<AnswerBody> {
    let (builder, body) = match answer {
        Answer::Text(text) => {
            (Response::builder().header(header::CONTENT_TYPE, "text/plain"), Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync())
        }
        Answer::NoPage => (
            Response::builder().status(StatusCode::NOT_FOUND).header(header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            Full::new(Bytes::from_static(b"404 page not found\n")).boxed_unsync(),
        ),
        Answer::Json { code, body, warnings, media_type } => {
            let mut b = Response::builder().status(code).header(header::CONTENT_TYPE, media_type);
            for w in warnings {
                b = b.header(header::WARNING, format!("299 - {w:?}"));
            }
            (b, Full::new(Bytes::from(body.to_string())).boxed_unsync())
        }
        Answer::Watch(watch) => {
            let frames = stream::unfold(watch, |mut w| async move {
                let line = w.next().await?;
                Some((Ok::<_, Infallible>(Frame::data(line)), w))
            });
            (Response::builder().header(header::CONTENT_TYPE, "application/json"), StreamBody::new(frames).boxed_unsync())
        }
    };
    builder.body(body).unwrap_or_else(|_| {
        let mut r = Response::new(Full::new(Bytes::new()).boxed_unsync());
        *r.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        r
    })
}
