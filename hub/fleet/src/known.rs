//! What was known about a fleet when it was last planned: the small memory against which absence is judged. This is its type and its exact
//! text; where it is kept is left to the hub's store, what follows from it to `absence`.

use std::collections::BTreeMap;
use std::str::FromStr;

use hub_tree::TreePath;
use shared_manifest::{Map, Value, canonical_json};
use shared_model::{AppName, ClusterName};

/// The version of the text. A hub refuses a newer one.
pub const KNOWN_VERSION: u64 = 1;

/// What was known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The apps.
    pub apps: BTreeMap<AppName, KnownApp>,
    /// The clusters, each with the file that defined it.
    pub clusters: BTreeMap<ClusterName, TreePath>,
}

/// What was known about an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownApp {
    /// The file that defined it.
    pub file: TreePath,
    /// What it took on each cluster that it ran on.
    pub on: BTreeMap<ClusterName, KnownChoice>,
}

/// What an app took on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownChoice {
    /// The directory.
    pub path: TreePath,
    /// Its place in the list, from 0.
    pub index: u32,
    /// How many objects came of it.
    pub objects: u32,
}

/// The text is no memory of a fleet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKnown {
    /// A newer hub wrote it.
    #[error("it was written in version {version} by a newer hub; this one knows version {KNOWN_VERSION} and must not guess")]
    Newer {
        /// Its version.
        version: u64,
    },
    /// It is not JSON.
    #[error("it is not JSON: {reason}")]
    NotJson {
        /// The parser's words.
        reason: String,
    },
    /// Something in it is not as it must be.
    #[error("{place} is missing or malformed")]
    Malformed {
        /// Which.
        place: String,
    },
}

impl Known {
    /// The one text of it: canonical JSON with its version. Clusters that took the same are written together.
    pub fn encode(&self) -> Vec<u8> {
        let apps = self.apps.iter().map(|(name, app)| (name.to_string(), encode_app(app))).collect();
        let clusters = self.clusters.iter().map(|(name, file)| (name.to_string(), Value::from(file.as_str()))).collect();
        canonical_json(&object([("version", KNOWN_VERSION.into()), ("apps", Value::Object(apps)), ("clusters", Value::Object(clusters))]))
    }

    /// Reads what [`Known::encode`] wrote.
    ///
    /// # Errors
    /// A newer version, or anything that `encode` would not have written.
    pub fn decode(text: &[u8]) -> Result<Self, InvalidKnown> {
        let value: Value = serde_json::from_slice(text).map_err(|error| InvalidKnown::NotJson { reason: error.to_string() })?;
        let version = value.get("version").and_then(Value::as_u64).ok_or_else(|| malformed("version"))?;
        if version > KNOWN_VERSION {
            return Err(InvalidKnown::Newer { version });
        }
        let fields = exactly(&value, "the whole", &["version", "apps", "clusters"])?;
        let mut known = Self::default();
        for (name, app) in map(fields, "apps")? {
            known.apps.insert(parse(name, "apps")?, decode_app(app, &format!("apps.{name}"))?);
        }
        for (name, file) in map(fields, "clusters")? {
            let file = file.as_str().ok_or_else(|| malformed(&format!("clusters.{name}")))?;
            known.clusters.insert(parse(name, "clusters")?, path(file, &format!("clusters.{name}"))?);
        }
        Ok(known)
    }
}

fn encode_app(app: &KnownApp) -> Value {
    let mut together: BTreeMap<&KnownChoice, Vec<Value>> = BTreeMap::new();
    for (cluster, choice) in &app.on {
        together.entry(choice).or_default().push(cluster.as_str().into());
    }
    let choices = together.into_iter().map(|(choice, clusters)| {
        object([
            ("path", choice.path.as_str().into()),
            ("index", choice.index.into()),
            ("objects", choice.objects.into()),
            ("clusters", Value::Array(clusters)),
        ])
    });
    object([("file", app.file.as_str().into()), ("choices", choices.collect())])
}

fn decode_app(value: &Value, place: &str) -> Result<KnownApp, InvalidKnown> {
    let fields = exactly(value, place, &["file", "choices"])?;
    let file = fields.get("file").and_then(Value::as_str).ok_or_else(|| malformed(&format!("{place}.file")))?;
    let choices = fields.get("choices").and_then(Value::as_array).ok_or_else(|| malformed(&format!("{place}.choices")))?;
    let mut on = BTreeMap::new();
    for (number, choice) in choices.iter().enumerate() {
        let place = format!("{place}.choices.{number}");
        let fields = exactly(choice, &place, &["path", "index", "objects", "clusters"])?;
        let count = |field: &str| {
            let count = fields.get(field).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
            count.ok_or_else(|| malformed(&format!("{place}.{field}")))
        };
        let text = fields.get("path").and_then(Value::as_str).ok_or_else(|| malformed(&format!("{place}.path")))?;
        let known = KnownChoice { path: path(text, &place)?, index: count("index")?, objects: count("objects")? };
        let clusters = fields.get("clusters").and_then(Value::as_array).ok_or_else(|| malformed(&format!("{place}.clusters")))?;
        for cluster in clusters {
            let cluster = cluster.as_str().ok_or_else(|| malformed(&format!("{place}.clusters")))?;
            if on.insert(parse(cluster, &place)?, known.clone()).is_some() {
                return Err(malformed(&format!("{place}.clusters")));
            }
        }
    }
    Ok(KnownApp { file: path(file, place)?, on })
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn exactly<'v>(value: &'v Value, place: &str, names: &[&str]) -> Result<&'v Map<String, Value>, InvalidKnown> {
    let fields = value.as_object().ok_or_else(|| malformed(place))?;
    match fields.keys().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => Err(malformed(&format!("{place}.{unknown}"))),
        None => Ok(fields),
    }
}

fn map<'v>(fields: &'v Map<String, Value>, name: &str) -> Result<&'v Map<String, Value>, InvalidKnown> {
    fields.get(name).and_then(Value::as_object).ok_or_else(|| malformed(name))
}

fn parse<T: FromStr>(text: &str, place: &str) -> Result<T, InvalidKnown> {
    text.parse().map_err(|_| malformed(&format!("{place}.{text}")))
}

fn path(text: &str, place: &str) -> Result<TreePath, InvalidKnown> {
    TreePath::parse(text).ok().filter(|path| path.as_str() == text).ok_or_else(|| malformed(place))
}

fn malformed(place: &str) -> InvalidKnown {
    InvalidKnown::Malformed { place: place.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> TreePath {
        TreePath::parse(text).expect("valid")
    }

    fn known() -> Known {
        let base = KnownChoice { path: tree("apps/web/base"), index: 1, objects: 4 };
        let own = KnownChoice { path: tree("apps/web/overlays/c"), index: 0, objects: 5 };
        let on = [("a", base.clone()), ("b", base), ("c", own)];
        let on = on.into_iter().map(|(name, choice)| (name.parse().expect("valid"), choice)).collect();
        Known {
            apps: BTreeMap::from([("web".parse().expect("valid"), KnownApp { file: tree("apps/web/app.yaml"), on })]),
            clusters: BTreeMap::from([("a".parse().expect("valid"), tree("regions/eu/a.yaml"))]),
        }
    }

    #[test]
    fn the_text_is_exact_and_reads_back() {
        let text = String::from_utf8(known().encode()).expect("UTF-8");
        assert_eq!(
            text,
            r#"{"apps":{"web":{"choices":[{"clusters":["a","b"],"index":1,"objects":4,"path":"apps/web/base"},{"clusters":["c"],"index":0,"objects":5,"path":"apps/web/overlays/c"}],"file":"apps/web/app.yaml"}},"clusters":{"a":"regions/eu/a.yaml"},"version":1}"#
        );
        assert_eq!(Known::decode(text.as_bytes()), Ok(known()));
        assert_eq!(Known::decode(&Known::default().encode()), Ok(Known::default()));
    }

    #[test]
    fn a_newer_version_and_anything_else_are_refused() {
        let text = String::from_utf8(known().encode()).expect("UTF-8");
        let newer = text.replace("\"version\":1", "\"version\":2,\"more\":{}");
        assert_eq!(Known::decode(newer.as_bytes()), Err(InvalidKnown::Newer { version: 2 }));
        for (from, to) in [
            ("\"version\":1", "\"version\":1,\"more\":1"),
            ("\"version\":1", "\"versio\":1"),
            ("\"index\":1", "\"index\":-1"),
            ("\"b\"", "\"a\""),
            ("\"b\"", "\"B\""),
            ("apps/web/base", "apps/../../base"),
            ("apps/web/base", "apps//base"),
            ("\"clusters\":{", "\"clusters\":[{"),
        ] {
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text);
            assert!(
                matches!(Known::decode(broken.as_bytes()), Err(InvalidKnown::Malformed { .. } | InvalidKnown::NotJson { .. })),
                "{broken}"
            );
        }
    }
}
