//! The tracking annotation: which app owns an object, and that the annotation was written for this very object and not copied with it.

use std::fmt;

use shared_model::{AppName, ObjectKey};

/// The annotation that every owned object carries.
pub const TRACKING_ANNOTATION: &str = "capstan.dev/tracking-id";

/// The annotation's value: `<app>:<group>/<kind>:<namespace>/<name>`, as Argo CD writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracking {
    /// The app that owns the object.
    pub app: AppName,
    /// The object that it was written for.
    pub object: ObjectKey,
}

impl Tracking {
    /// Reads an annotation's value. Anything that is not of our form says nothing about ownership.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let app = parts.next()?.parse().ok()?;
        let (group, kind) = parts.next()?.split_once('/')?;
        let (namespace, name) = parts.next()?.split_once('/')?;
        let namespace = (!namespace.is_empty()).then_some(namespace);
        Some(Self { app, object: ObjectKey::new(shared_model::GroupKind::new(group, kind), namespace, name) })
    }
}

impl fmt::Display for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectKey { kind, namespace, name } = &self.object;
        write!(f, "{}:{}/{}:{}/{name}", self.app, kind.group, kind.kind, namespace.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use shared_model::GroupKind;

    use super::*;

    #[test]
    fn a_tracking_id_reads_back_what_it_writes() {
        for (kind, namespace, name) in [(("apps", "Deployment"), Some("web"), "api"), (("", "Namespace"), None, "system:x")] {
            let object = ObjectKey::new(GroupKind::new(kind.0, kind.1), namespace, name);
            let tracking = Tracking { app: "web".parse().expect("valid"), object };
            assert_eq!(Tracking::parse(&tracking.to_string()), Some(tracking));
        }
        for foreign in ["", "web", "web:apps", "Web:apps/Deployment:a/b", "web:apps/Deployment:b"] {
            assert_eq!(Tracking::parse(foreign), None, "{foreign}");
        }
    }
}
