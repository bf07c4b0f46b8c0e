//! Reads what is beside an object that is not healthy: a page of its pods, events if these tell nothing, and one line of a log. Three requests
//! and a small one at most. Which of them, and what they mean, is said by `agent/health`.

use agent_health::{Crashed, EVENT_LIMIT, Evidence, POD_LIMIT, Search, Verdict, crashed, explain, masked_line, search};
use serde_json::Value;
use shared_model::ObjectKey;

use crate::connect::Cluster;
use crate::discovery::Resource;
use crate::error::ClusterError;
use crate::request::{self, JSON};
use crate::view::View;

/// The most bytes of a log that are read for its last line.
const LINE_LIMIT: u32 = 4096;

/// What was found out about an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which object of that name.
    pub uid: String,
    /// What the object itself says.
    pub before: Verdict,
    /// What it and its pods say together.
    pub after: Verdict,
}

impl Cluster {
    /// Looks into why an object is not healthy. `lines` allows a look at the log of what crashed. `None` if the object is gone.
    ///
    /// # Errors
    /// If the object or its pods could not be read. Events and logs that cannot be read are passed over: not every agent may.
    pub async fn find_cause(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        view: &View,
        lines: bool,
    ) -> Result<Option<Finding>, ClusterError> {
        let Some(object) = self.get(resource, key).await? else { return Ok(None) };
        let uid = object.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
        let before = view.judge(key, &object);
        let Some(search) = search(&object) else { return Ok(Some(Finding { uid, after: before.clone(), before })) };
        let mut evidence = Evidence { pods: self.pods_of(&search).await?, ..Evidence::default() };
        let mut after = explain(&object, before.clone(), &evidence);
        if after == before {
            evidence.events = self.events_about(&search, key, &evidence.pods).await.unwrap_or_default();
            after = explain(&object, before.clone(), &evidence);
        } else if let Some(crashed) = crashed(&evidence.pods).filter(|_| lines) {
            evidence.last_line = self.last_line(&search.namespace, &crashed).await.ok().and_then(|log| masked_line(&log));
            after = explain(&object, before.clone(), &evidence);
        }
        Ok(Some(Finding { uid, before, after }))
    }

    async fn pods_of(&self, search: &Search) -> Result<Vec<Value>, ClusterError> {
        let Some(selector) = &search.selector else { return Ok(Vec::new()) };
        let (namespace, selector) = (request::escape(&search.namespace), request::escape_value(selector));
        self.page(&format!("/api/v1/namespaces/{namespace}/pods?labelSelector={selector}&limit={POD_LIMIT}")).await
    }

    /// The events about the object, and about the first of its pods that is not ready.
    async fn events_about(&self, search: &Search, key: &ObjectKey, pods: &[Value]) -> Result<Vec<Value>, ClusterError> {
        let is_ready = |pod: &Value| {
            let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
            conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        let pod = pods.iter().find(|pod| !is_ready(pod)).and_then(|pod| pod.pointer("/metadata/name")?.as_str());
        let mut events = Vec::new();
        for name in [Some(key.name.as_str()), pod].into_iter().flatten() {
            let (namespace, selector) = (request::escape(&search.namespace), request::escape_value(&format!("involvedObject.name={name}")));
            events.extend(
                self.page(&format!("/api/v1/namespaces/{namespace}/events?fieldSelector={selector}&limit={}", EVENT_LIMIT / 2)).await?,
            );
        }
        Ok(events)
    }

    async fn last_line(&self, namespace: &str, crashed: &Crashed) -> Result<String, ClusterError> {
        let (namespace, pod, container) =
            (request::escape(namespace), request::escape(&crashed.pod), request::escape_value(&crashed.container));
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={container}&tailLines=1&limitBytes={LINE_LIMIT}&previous={}",
            crashed.previous
        );
        self.request_text(request::get(&path, "*/*")?).await
    }

    async fn page(&self, path: &str) -> Result<Vec<Value>, ClusterError> {
        let mut page = self.request(request::get(path, JSON)?).await?;
        match page.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }
}
