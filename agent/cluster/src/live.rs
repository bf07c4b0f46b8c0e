//! What is read because somebody looks at it now: the objects of a kind in one namespace, events, and the log of a pod as it grows. What may be
//! looked at is decided by whoever asks.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::io::AsyncBufReadExt as _;
use futures_util::stream::{Stream, try_unfold};
use serde_json::Value;
use shared_model::{GroupKind, ObjectKey, Timestamp};
use shared_session::{Event, LOG_CHUNK_LIMIT};

use crate::connect::Cluster;
use crate::discovery::Resource;
use crate::error::ClusterError;
use crate::pace::Unhurried;
use crate::request;

/// Objects per page: 100 × about 8 KB of a pod are 1 MB of text, some 4 MB in memory.
const OBJECT_PAGE: u32 = 100;

/// Events per page: 500 × about 1 KB.
const EVENT_PAGE: u32 = 500;

/// The most events of one namespace that are looked through: Kubernetes keeps them for an hour, and a namespace in turmoil makes five a second.
const EVENTS_LOOKED_AT: usize = 20_000;

/// Which part of a pod's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// The container.
    pub container: String,
    /// What it said before its last restart.
    pub previous: bool,
    /// Go on with what it says from now on.
    pub follow: bool,
    /// Begin each line with its time.
    pub timestamps: bool,
    /// Only so many of the last lines.
    pub tail: Option<u32>,
    /// Only what was said so long ago or later.
    pub since: Option<Duration>,
}

impl Cluster {
    /// Hands the objects of a kind in a namespace to `take`, each with its kind, until it has enough.
    pub async fn objects_in(
        &self,
        resource: &Resource,
        namespace: &str,
        mut take: impl FnMut(&Value) -> ControlFlow<()>,
    ) -> Result<(), ClusterError> {
        let path = request::collection(resource, Some(namespace));
        let api_version =
            if resource.group.is_empty() { resource.version.clone() } else { format!("{}/{}", resource.group, resource.version) };
        self.each_page(&path, OBJECT_PAGE, "", |objects| {
            objects.iter_mut().try_for_each(|object| {
                object["apiVersion"] = Value::String(api_version.clone());
                object["kind"] = Value::String(resource.kind.clone());
                take(object)
            })
        })
        .await
    }

    /// The events of a namespace that are about one of the objects with these uids; with one object the API server chooses them.
    pub async fn events_in(
        &self,
        namespace: &str,
        is_about: impl Fn(&str) -> bool,
        only: Option<&str>,
    ) -> Result<Vec<Event>, ClusterError> {
        let path = format!("/api/v1/namespaces/{}/events", request::escape(namespace));
        let selector =
            only.map(|uid| format!("&fieldSelector={}", request::escape_value(&format!("involvedObject.uid={uid}")))).unwrap_or_default();
        let (mut found, mut looked_at) = (Vec::new(), 0);
        self.each_page(&path, EVENT_PAGE, &selector, |events| {
            looked_at += events.len();
            let about = |event: &&mut Value| event.pointer("/involvedObject/uid").and_then(Value::as_str).is_some_and(&is_about);
            found.extend(events.iter_mut().filter(about).map(|event| event_of(event)));
            if looked_at < EVENTS_LOOKED_AT { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await?;
        Ok(found)
    }

    /// Opens the log of a pod. With `follow` this may last until the container says its next line.
    pub async fn pod_log(
        self,
        pod: ObjectKey,
        options: LogOptions,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, ClusterError>> + Send + use<>, ClusterError> {
        let mut asked = request::get(&log_path(&pod, &options), "*/*")?;
        asked.extensions_mut().insert(Unhurried);
        let log = Box::pin(self.client.request_stream(asked).await?);
        Ok(try_unfold(log, async |mut log| {
            let broken = |error: std::io::Error| ClusterError::Unreachable(format!("the log broke off: {error}"));
            let piece = log.fill_buf().await.map_err(broken)?;
            let piece = piece[..piece.len().min(LOG_CHUNK_LIMIT)].to_vec();
            log.consume_unpin(piece.len());
            Ok((!piece.is_empty()).then_some((piece, log)))
        }))
    }
}

fn log_path(pod: &ObjectKey, options: &LogOptions) -> String {
    let namespace = pod.namespace.as_deref().unwrap_or_default();
    let mut path = format!(
        "/api/v1/namespaces/{}/pods/{}/log?container={}",
        request::escape(namespace),
        request::escape(&pod.name),
        request::escape_value(&options.container)
    );
    for (flag, is_set) in [("previous", options.previous), ("follow", options.follow), ("timestamps", options.timestamps)] {
        if is_set {
            path.push_str(&format!("&{flag}=true"));
        }
    }
    if let Some(lines) = options.tail {
        path.push_str(&format!("&tailLines={lines}"));
    }
    if let Some(since) = options.since {
        // The API server takes whole seconds, and none is not one.
        path.push_str(&format!("&sinceSeconds={}", since.as_secs().max(1)));
    }
    path
}

/// An event in either form that its maker may have used, the older of core and that of `events.k8s.io`: the API server keeps both in one.
fn event_of(event: &Value) -> Event {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let moment = |pointers: &[&str]| pointers.iter().find_map(|pointer| text(pointer)?.parse::<Timestamp>().ok());
    let count = ["/series/count", "/count"].iter().find_map(|pointer| event.pointer(pointer)?.as_u64());
    let kind = GroupKind::of(text("/involvedObject/apiVersion").unwrap_or_default(), text("/involvedObject/kind").unwrap_or("Object"));
    Event {
        object: ObjectKey::new(kind, text("/involvedObject/namespace"), text("/involvedObject/name").unwrap_or("?")),
        is_warning: text("/type") == Some("Warning"),
        code: text("/reason").unwrap_or_default().to_owned(),
        message: text("/message").unwrap_or_default().to_owned(),
        source: text("/reportingComponent").or_else(|| text("/source/component")).unwrap_or_default().to_owned(),
        count: count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
        first: moment(&["/firstTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
        last: moment(&["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_in_both_of_its_forms() {
        let about = json!({"apiVersion": "v1", "kind": "Pod", "namespace": "web", "name": "api-1", "uid": "u"});
        let old = event_of(&json!({"involvedObject": about, "type": "Warning", "reason": "BackOff", "message": "waits", "count": 7,
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:05:00Z", "source": {"component": "kubelet"}}));
        assert_eq!(
            (old.object.to_string().as_str(), old.is_warning, old.count, old.source.as_str()),
            ("Pod web/api-1", true, 7, "kubelet")
        );
        assert!(old.first < old.last);
        let new =
            event_of(&json!({"involvedObject": about, "type": "Normal", "reason": "Scheduled", "eventTime": "2026-01-01T00:00:00.000001Z",
            "series": {"count": 3, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}, "reportingComponent": "default-scheduler",
            "firstTimestamp": null, "source": {}}));
        assert_eq!((new.count, new.source.as_str(), new.is_warning), (3, "default-scheduler", false));
        assert!(new.first < new.last);
    }

    #[test]
    fn a_log_is_asked_for_with_its_options() {
        let pod = ObjectKey::new(GroupKind::new("", "Pod"), Some("web"), "api-1");
        let bare = LogOptions { container: "main".into(), ..LogOptions::default() };
        assert_eq!(log_path(&pod, &bare), "/api/v1/namespaces/web/pods/api-1/log?container=main");
        let all = LogOptions {
            container: "a&b".into(),
            previous: true,
            follow: true,
            timestamps: true,
            tail: Some(10),
            since: Some(Duration::from_millis(10)),
        };
        assert_eq!(
            log_path(&pod, &all),
            "/api/v1/namespaces/web/pods/api-1/log?container=a%26b&previous=true&follow=true&timestamps=true&tailLines=10&sinceSeconds=1"
        );
    }
}
