//! The requests of one agent, as it sends them: what it wrote, and to what, is counted and not guessed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::util::MapRequestLayer;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The method.
    pub method: Method,
    /// The path without parameters.
    pub path: String,
    /// The parameters.
    pub query: String,
}

impl Sent {
    /// Whether it changes the cluster or tries to.
    pub fn is_write(&self) -> bool {
        self.method != Method::GET && !self.query.contains("dryRun=All")
    }

    /// Whether it is about the object at `path`, or a subresource of it.
    pub fn is_about(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// All requests of one client so far, oldest first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<Vec<Sent>>>);

impl Requests {
    /// A client for `config`, and its requests.
    ///
    /// # Errors
    /// `config` cannot be used.
    pub fn of_client(config: Config) -> anyhow::Result<(Client, Self)> {
        let requests = Self::default();
        let log = requests.clone();
        let note = MapRequestLayer::new(move |request: http::Request<Body>| {
            log.lock().push(Sent {
                method: request.method().clone(),
                path: request.uri().path().to_owned(),
                query: request.uri().query().unwrap_or_default().to_owned(),
            });
            request
        });
        Ok((ClientBuilder::try_from(config)?.with_layer(&note).build(), requests))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Those after the first `skipped`.
    pub fn after(&self, skipped: usize) -> Vec<Sent> {
        self.lock().iter().skip(skipped).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
