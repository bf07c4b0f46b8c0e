//! The bytes that a status digest is taken over: each field with its length or a tag, so that two states never share an encoding. Only the agent
//! computes these; a hub compares them, so that the form may change with the agent's version.

use shared_model::{AppState, AppTest, Digest, Drift, FieldChange, ObjectKey, ObjectState, Reason, Timestamp};

/// Collects the bytes.
#[derive(Default)]
pub(crate) struct Canon(pub(crate) Vec<u8>);

impl Canon {
    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.0.extend_from_slice(&(count as u64).to_be_bytes());
    }

    pub(crate) fn digest(&mut self, digest: &Digest) {
        self.0.extend_from_slice(digest.as_bytes());
    }

    fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(values.len());
        for value in values {
            write(self, value);
        }
    }

    fn time(&mut self, time: &Timestamp) {
        self.0.extend_from_slice(&time.as_nanosecond().to_be_bytes());
    }

    fn key(&mut self, key: &ObjectKey) {
        self.text(&key.kind.group);
        self.text(&key.kind.kind);
        self.option(key.namespace.as_ref(), |canon, namespace| canon.text(namespace));
        self.text(&key.name);
    }

    fn reason(&mut self, reason: &Reason) {
        self.0.push(reason.severity as u8);
        self.text(&reason.code);
        self.text(&reason.message);
    }

    fn object(&mut self, object: &ObjectState) {
        self.key(&object.object);
        self.text(object.health.as_str());
        self.option(object.reason.as_ref(), Self::reason);
    }

    fn field(&mut self, field: &FieldChange) {
        self.text(&field.path);
        for value in [&field.wanted, &field.found, &field.manager] {
            self.option(value.as_ref(), |canon, value| canon.text(value));
        }
        self.option(field.since.as_ref(), Self::time);
    }

    fn drift(&mut self, drift: &Drift) {
        self.key(&drift.object);
        self.text(drift.kind.as_str());
        self.list(&drift.fields, Self::field);
        self.time(&drift.seen);
        self.option(drift.healed.as_ref(), Self::time);
    }

    fn test(&mut self, test: &AppTest) {
        self.text(test.request.as_str());
        self.digest(&test.release);
        self.text(test.outcome.as_str());
        self.option(test.reason.as_ref(), Self::reason);
        self.time(&test.seen);
        self.option(test.ended.as_ref(), Self::time);
        self.list(&test.results, |canon, result| {
            canon.key(&result.object);
            canon.text(result.outcome.as_str());
            canon.option(result.message.as_ref(), |canon, message| canon.text(message));
            canon.option(result.began.as_ref(), Self::time);
            canon.option(result.ended.as_ref(), Self::time);
        });
    }

    pub(crate) fn app(&mut self, state: &AppState) {
        self.option(state.wanted.as_ref(), Self::digest);
        self.option(state.applied.as_ref(), Self::digest);
        self.text(state.health.as_str());
        self.option(state.reason.as_ref(), Self::reason);
        self.0.extend_from_slice(&state.objects.to_be_bytes());
        self.list(&state.unhealthy, Self::object);
        self.list(&state.drift, Self::drift);
        self.list(&state.awaiting_approval, Self::key);
        self.list(&state.withdrawn, Self::key);
        self.option(state.test.as_ref(), Self::test);
        // Nothing stands for nothing, so that a report without these has the same digest on a side that does not know them.
        if state.removed {
            self.text("removed");
        }
        if !state.taken_over.is_empty() {
            self.text("taken over");
            self.list(&state.taken_over, |canon, taken| {
                canon.key(&taken.object);
                canon.text(&taken.manager);
                canon.list(&taken.fields, |canon, field| canon.text(field));
                canon.time(&taken.at);
            });
        }
    }
}
