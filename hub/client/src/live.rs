//! Looking into clusters through the hub. Logs come as server-sent events, of which only what the hub sends is understood: `event` and `data` of
//! one line each.

use std::time::Duration;

use hub_api::{EventsView, LiveDiffView, LiveObjectView, LogParameters, ObjectParameters, ReasonView, TreeView, log_event};
use reqwest::{Method, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_model::{AppName, ClusterName};

use crate::ClientError;
use crate::client::{ANSWER_TIME, Client};

/// The longest a log may be read: a little more than the agent gives it, so that the hub's own words arrive.
const LOG_TIME: Duration = Duration::from_secs(3_700);

/// The longest event: the hub cuts lines at 64 KiB, and a byte that is no text becomes three.
const EVENT_BYTES_LIMIT: usize = 1 << 20;

/// What a log says next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogEvent {
    /// A line, without its end.
    Line(String),
    /// The last event, if the log ends for another cause than that its container said no more.
    CutShort(ReasonView),
}

/// A log as it is read. Dropping it ends the reading.
#[derive(Debug)]
pub struct Log {
    client: Client,
    response: Response,
    bytes: Vec<u8>,
    is_over: bool,
}

impl Client {
    /// The objects of `app` in `cluster`, and what they own.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tree(&self, app: &AppName, cluster: &ClusterName) -> Result<TreeView, ClientError> {
        self.seen(app, cluster, "tree", &()).await
    }

    /// One of these objects as it is now.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn live_object(
        &self,
        app: &AppName,
        cluster: &ClusterName,
        object: &ObjectParameters,
    ) -> Result<LiveObjectView, ClientError> {
        self.seen(app, cluster, "object", object).await
    }

    /// Events of these objects, or of the one that `object` names and what it owns.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self, app: &AppName, cluster: &ClusterName, object: &ObjectParameters) -> Result<EventsView, ClientError> {
        self.seen(app, cluster, "events", object).await
    }

    /// How these objects differ from what is wanted.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn live_diff(&self, app: &AppName, cluster: &ClusterName) -> Result<LiveDiffView, ClientError> {
        self.seen(app, cluster, "diff", &()).await
    }

    /// The log of a pod of `app` in `cluster`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn log(&self, app: &AppName, cluster: &ClusterName, log: &LogParameters) -> Result<Log, ClientError> {
        let request = self.request(Method::GET, &format!("clusters/{cluster}/apps/{app}/logs"), &parameters(log));
        let response = request.timeout(LOG_TIME).send().await.map_err(|error| self.broken(&error, LOG_TIME))?;
        if !response.status().is_success() {
            return Err(self.failed(response, LOG_TIME).await);
        }
        Ok(Log { client: self.clone(), response, bytes: Vec::new(), is_over: false })
    }

    async fn seen<T: DeserializeOwned>(
        &self,
        app: &AppName,
        cluster: &ClusterName,
        what: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, &format!("clusters/{cluster}/apps/{app}/{what}"), &parameters(query));
        self.answer(request, ANSWER_TIME).await
    }
}

/// The fields of a query that are set, as parameters of an address.
fn parameters(query: &impl Serialize) -> Vec<(String, String)> {
    let fields = match serde_json::to_value(query) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => return Vec::new(),
    };
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null | serde_json::Value::Bool(false) => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

impl Log {
    /// What the log says next; `None` after its end.
    ///
    /// # Errors
    /// The connection broke, or what arrives is no log.
    pub async fn next(&mut self) -> Result<Option<LogEvent>, ClientError> {
        while !self.is_over {
            if let Some(end) = find(&self.bytes, b"\n\n") {
                let event: Vec<u8> = self.bytes.drain(..end + 2).collect();
                match read(&String::from_utf8_lossy(&event[..end])) {
                    Some(Read::Event(event)) => return Ok(Some(event)),
                    Some(Read::End(event)) => {
                        self.is_over = true;
                        return Ok(event);
                    }
                    None => {}
                }
                continue;
            }
            if self.bytes.len() > EVENT_BYTES_LIMIT {
                return Err(self.client.not_the_api("an event of a log has no end"));
            }
            match self.response.chunk().await.map_err(|error| self.client.broken(&error, LOG_TIME))? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None => return Err(self.client.not_the_api("a log stopped without its end")),
            }
        }
        Ok(None)
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

enum Read {
    Event(LogEvent),
    End(Option<LogEvent>),
}

/// Reads one event; a sign of life, or one of a newer hub, is none.
fn read(event: &str) -> Option<Read> {
    let field = |name: &str| event.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ").unwrap_or_default()));
    let data = field("data").unwrap_or_default();
    match field("event")? {
        log_event::LINE => Some(Read::Event(LogEvent::Line(data.to_owned()))),
        log_event::END => Some(Read::End(serde_json::from_str(data).ok().map(LogEvent::CutShort))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_is_asked_for() {
        let log = LogParameters { follow: true, tail: Some(5), container: Some("a&b".into()), ..LogParameters::default() };
        let pairs = [("container", "a&b"), ("follow", "true"), ("tail", "5")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut found = parameters(&log);
        found.sort();
        assert_eq!(found, pairs);
        assert!(parameters(&()).is_empty());
    }

    #[test]
    fn events_are_read_as_the_hub_writes_them() {
        let line = |text: &str| match read(text) {
            Some(Read::Event(LogEvent::Line(line))) => line,
            _ => panic!("{text}"),
        };
        assert_eq!(line("event: line\ndata: {\"a\": 1}"), "{\"a\": 1}");
        assert_eq!(line("event: line\ndata:   indented"), "  indented");
        assert_eq!(line("event: line\ndata: "), "");
        assert!(read(": still here").is_none() && read("event: newer\ndata: x").is_none());
        assert!(matches!(read("event: end\ndata: "), Some(Read::End(None))));
        let why = "event: end\ndata: {\"severity\":\"Error\",\"code\":\"AgentGone\",\"message\":\"it broke\"}";
        assert!(matches!(read(why), Some(Read::End(Some(LogEvent::CutShort(reason)))) if reason.code == "AgentGone"));
    }
}
