//! What a test can do to a server: refuse, delay or lose requests, break a group, and change objects on their way in.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// A request as a fault hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `apply`, `delete`, `deletecollection`; `get` for paths without a resource.
    pub verb: &'a str,
    /// The path without parameters.
    pub path: &'a str,
    /// The API group; empty for the core group and for paths without a resource.
    pub group: &'a str,
    /// The plural name; empty for paths without a resource.
    pub resource: &'a str,
    /// The namespace; empty for cluster scope.
    pub namespace: &'a str,
    /// The object's name; empty for collections.
    pub name: &'a str,
    /// Requests that this server has received so far, this one included.
    pub number: u64,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is served after a while.
    Delay(Duration),
    /// It is not served; the answer is a `Status` with this code and message.
    Status(u16, String),
    /// It is served, and its answer is lost: the caller sees a broken connection.
    LoseAnswer,
    /// It is not served: the caller sees a broken connection.
    Drop,
}

/// Decides per request; the first hook that answers is obeyed.
pub type FaultHook = Arc<dyn Fn(&RequestFacts<'_>) -> Option<Fault> + Send + Sync>;

/// A write as an admission hook sees it.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    /// The API group of the object.
    pub group: &'a str,
    /// The API version of the object.
    pub version: &'a str,
    /// The plural name.
    pub plural: &'a str,
    /// Empty, `status` or `scale`.
    pub subresource: &'a str,
    /// The field manager of the write.
    pub manager: &'a str,
    /// Nothing will be stored.
    pub dry_run: bool,
    /// The object before the write; `None` for a new one.
    pub old: Option<&'a Value>,
}

/// Changes the object on its way in, like a mutating webhook, or denies it with a reason. Ownership has been settled before, as in
/// the real server: what a hook adds belongs to nobody.
pub type AdmissionHook = Arc<dyn Fn(&Admission<'_>, &mut Value) -> Result<(), String> + Send + Sync>;
