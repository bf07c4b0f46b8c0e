//! A Kubernetes API in memory, for tests, the demo and the fleet simulator: discovery, objects with field ownership, watches, custom
//! resources, garbage collection and stand-ins for the workload controllers, as a tower service or over HTTP.
//!
//! It shares no code with the product, so that both cannot be wrong together, and counts only as far as it agrees with a real
//! kube-apiserver: `tests/parity.rs` runs the same requests against both. Left out: authorisation (everything is allowed),
//! conversion between versions of a custom resource (only `apiVersion` changes), exec, logs and port forwarding, protobuf, CEL.

mod codec;
mod defaults;
mod discovery;
mod faults;
mod fieldset;
mod http;
mod lifecycle;
mod managed;
mod patch;
mod registry;
mod schema;
mod select;
mod serve;
pub mod shapes;
mod state;
mod status;
mod typed;
mod validation;
mod watch;
mod workloads;
mod write;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::Notify;

pub use crate::faults::{Admission, AdmissionHook, Fault, FaultHook, RequestFacts};
pub use crate::http::{AnswerBody, Service};
pub use crate::shapes::Shape;
pub use crate::workloads::Workloads;

use crate::registry::Resource;
use crate::state::{State, rfc3339};

/// The server did not answer: it is stopped, or a fault dropped the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection closed before an answer came")
    }
}

impl std::error::Error for Unreachable {}

/// Where a server takes the time from.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a server behaves.
#[derive(Clone)]
pub struct Options {
    /// Seeds uids and generated names; two servers with one seed and one history are equal.
    pub seed: u64,
    /// The time for timestamps and for what becomes due.
    pub clock: Clock,
    /// What stands in for the workload controllers.
    pub workloads: Workloads,
    /// Whether dependants go with their owners, as the garbage collector of the controller manager does it.
    pub collects_garbage: bool,
    /// From a change of a workload until it is ready.
    pub ready_delay: Duration,
    /// From the deletion of a namespace until its content goes; the real one takes at least 4 s.
    pub namespace_delay: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            seed: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8),
            clock: Arc::new(SystemTime::now),
            workloads: Workloads::StatusOnly,
            collects_garbage: true,
            ready_delay: Duration::ZERO,
            namespace_delay: Duration::ZERO,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("seed", &self.seed).field("workloads", &self.workloads).finish_non_exhaustive()
    }
}

struct Shared {
    options: Options,
    state: Arc<Mutex<State>>,
    admission: Mutex<Vec<AdmissionHook>>,
    faults: Mutex<Vec<FaultHook>>,
    broken: Mutex<BTreeSet<String>>,
    shapes: Mutex<BTreeSet<Shape>>,
    reachable: AtomicBool,
    requests: AtomicU64,
    changed: Notify,
}

/// One cluster. Clones are the same cluster.
#[derive(Clone)]
pub struct FakeKube(Arc<Shared>);

impl std::fmt::Debug for FakeKube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeKube").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Default for FakeKube {
    fn default() -> FakeKube {
        FakeKube::new(Options::default())
    }
}

fn locked<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeKube {
    /// A cluster with the namespaces that every cluster has. Nothing becomes ready, and no namespace goes, unless
    /// [`drive`](Self::drive) runs or [`tick`](Self::tick) is called.
    #[must_use]
    pub fn new(options: Options) -> FakeKube {
        let state = Arc::new(Mutex::new(State::new(options.seed)));
        let kube = FakeKube(Arc::new(Shared {
            options,
            state,
            admission: Mutex::default(),
            faults: Mutex::default(),
            broken: Mutex::default(),
            shapes: Mutex::default(),
            reachable: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            changed: Notify::new(),
        }));
        let now = kube.now();
        let mut state = kube.lock();
        let r = state.find("", "v1", "namespaces").expect("a built-in resource");
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let uid = state.uid();
            let ns = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name, "uid": uid, "creationTimestamp": rfc3339(now), "labels": {"kubernetes.io/metadata.name": name}},
                "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
            let ns = state.put(&r, ns);
            provide_namespace(&mut state, &r, &ns, now);
        }
        drop(state);
        kube
    }

    /// Does all that is due now: workloads become ready, pods end, namespaces go. Returns how long until something else is due;
    /// `None` when nothing is.
    #[must_use = "the answer says when to call again"]
    pub fn tick(&self) -> Option<Duration> {
        let now = self.now_ms();
        let options = &self.0.options;
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        // Deletion timestamps are whole seconds, so what hangs on them is too.
        let delay = (ms(options.namespace_delay) + 999) / 1_000;
        let mut state = self.lock();
        let ends = lifecycle::advance(&mut state, now / 1_000, delay).map(|t| t * 1_000);
        self.collect(&mut state, now / 1_000);
        let ready = workloads::advance(&mut state, options.workloads, now, ms(options.ready_delay));
        let next = [ends, ready].into_iter().flatten().min()?;
        Some(Duration::from_millis(u64::try_from(next - now).unwrap_or(0).max(1)))
    }

    /// Calls [`tick`](Self::tick) after every change and whenever something is due, for ever: spawn it and abort it.
    pub async fn drive(self) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            match self.tick() {
                Some(wait) => {
                    tokio::select! {
                        () = &mut changed => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Adds a hook that changes or denies what is written.
    pub fn on_admission(&self, hook: impl Fn(&Admission<'_>, &mut Value) -> Result<(), String> + Send + Sync + 'static) {
        locked(&self.0.admission).push(Arc::new(hook));
    }

    /// Adds a hook that decides per request whether it fails.
    pub fn on_request(&self, hook: impl Fn(&RequestFacts<'_>) -> Option<Fault> + Send + Sync + 'static) {
        locked(&self.0.faults).push(Arc::new(hook));
    }

    /// Takes all hooks away and mends all groups.
    pub fn clear_faults(&self) {
        locked(&self.0.admission).clear();
        locked(&self.0.faults).clear();
        locked(&self.0.broken).clear();
    }

    /// From now on requests to a group's resources answer 503; discovery still lists it.
    pub fn break_group(&self, group: &str) {
        locked(&self.0.broken).insert(group.to_owned());
    }

    /// Ends what [`break_group`](Self::break_group) began.
    pub fn mend_group(&self, group: &str) {
        locked(&self.0.broken).remove(group);
    }

    /// Requests get no answer until [`start`](Self::start).
    pub fn stop(&self) {
        self.0.reachable.store(false, Ordering::SeqCst);
    }

    /// Requests are served again.
    pub fn start(&self) {
        self.0.reachable.store(true, Ordering::SeqCst);
    }

    /// Requests received so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::SeqCst)
    }

    /// The shapes of all requests served so far.
    #[must_use]
    pub fn shapes(&self) -> BTreeSet<Shape> {
        locked(&self.0.shapes).clone()
    }

    /// An object as it is stored, without a request. `group` is empty for the core group, `namespace` for cluster scope.
    #[must_use]
    pub fn object(&self, group: &str, plural: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.lock().by_key(group, plural, namespace, name)
    }

    /// All objects of a resource as they are stored, without a request.
    #[must_use]
    pub fn objects(&self, group: &str, plural: &str) -> Vec<Arc<Value>> {
        let state = self.lock();
        let key = (group.to_owned(), plural.to_owned());
        state.collections.get(&key).into_iter().flat_map(|c| c.objects.values().cloned()).collect()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.0.state)
    }

    pub(crate) fn state(&self) -> &Arc<Mutex<State>> {
        &self.0.state
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.now_ms() / 1_000
    }

    fn now_ms(&self) -> i64 {
        let since = (self.0.options.clock)().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn admission_hooks(&self) -> Vec<AdmissionHook> {
        locked(&self.0.admission).clone()
    }

    pub(crate) fn fault_for(&self, facts: &RequestFacts<'_>) -> Option<Fault> {
        let hooks = locked(&self.0.faults).clone();
        hooks.iter().find_map(|h| h(facts))
    }

    pub(crate) fn is_broken(&self, group: &str, is_resource: bool) -> bool {
        is_resource && locked(&self.0.broken).contains(group)
    }

    pub(crate) fn is_reachable(&self) -> bool {
        self.0.reachable.load(Ordering::SeqCst)
    }

    pub(crate) fn count_request(&self) -> u64 {
        self.0.requests.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn record(&self, shape: Shape) {
        locked(&self.0.shapes).insert(shape);
    }

    pub(crate) fn collect(&self, state: &mut State, now: i64) {
        if self.0.options.collects_garbage {
            lifecycle::collect(state, now);
        }
    }

    pub(crate) fn changed(&self) {
        self.0.changed.notify_one();
    }
}

/// What the controllers put into each new namespace.
pub(crate) fn provide_namespace(state: &mut State, r: &Resource, ns: &Value, now: i64) {
    if !r.is("", "namespaces") || ns["metadata"]["deletionTimestamp"].is_string() {
        return;
    }
    let name = ns["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let Some(accounts) = state.find("", "v1", "serviceaccounts") else { return };
    if state.get(&accounts, &name, "default").is_some() || state.by_key("", "namespaces", "", &name).is_none() {
        return;
    }
    let uid = state.uid();
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": name, "uid": uid, "creationTimestamp": rfc3339(now)}});
    state.put(&accounts, account);
}
