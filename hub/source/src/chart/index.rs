//! The `index.yaml` of a chart repository: which versions of which charts there are, and where. Of each entry only that is kept; one that cannot
//! be used is passed over, as `helm` does, and blocks no other.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use shared_manifest::{Tree, YamlBudget, YamlMode, parse_trees};
use shared_model::Digest;

use super::spec::ChartName;
use super::version::is_plain_version;
use crate::reference::similar_names;

/// What an index may cost. 50 MiB is the default limit of [`super::ChartLimits`]; an entry of usual length has 1 KiB and 27 values, so that
/// 2 million values are half as many again as 50 MiB have; chart metadata nests 6 deep; each byte may be used by 2 aliases.
const BUDGET: YamlBudget = YamlBudget { bytes: 256 << 20, nodes: 2_000_000, depth: 32, scalar_bytes: 100 << 20, documents: 1 };

/// The longest address of an archive: that of a URL.
const ADDRESS_LIMIT: usize = 8192;

/// How many names are looked through for one that looks like a name that is not there: a message is worth a millisecond.
const NAMES_LOOKED_THROUGH: usize = 2_000;
/// The longest name that is looked at for that.
const NAME_LOOKED_AT: usize = 64;

/// A parsed index.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Index {
    charts: BTreeMap<String, Vec<Entry>>,
}

/// One version of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) version: String,
    /// Where the archive is, absolute or relative to the repository. Helm takes the first address and no other.
    pub(crate) address: String,
    /// The SHA-256 of the archive, if the index says it.
    pub(crate) digest: Option<Digest>,
    /// Its publisher advises against it.
    pub(crate) deprecated: bool,
}

impl Index {
    /// Reads YAML, or JSON, which `helm repo index --json` writes. The error is for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::parse_within(text, BUDGET)
    }

    fn parse_within(text: &str, budget: YamlBudget) -> Result<Self, String> {
        // One at a time: the values of 50 MiB take several times that, and are gone when the entries are taken from them.
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        if text.trim_start().starts_with('{')
            && let Ok(file) = serde_json::from_str::<JsonIndex>(text)
        {
            return Self::of(&file.api_version, file.entries.into_iter().map(|(name, entries)| (name, entries.into_iter().map(of_json))));
        }
        let documents = parse_trees(text, YamlMode::Kubernetes, budget).map_err(|error| error.to_string())?;
        let tree = &documents.first().ok_or("it is empty, and has no \"apiVersion\"")?.tree;
        let written = |tree: Option<&Tree>| tree.and_then(Tree::written).map(ToString::to_string);
        let charts = match tree.get("entries") {
            None | Some(Tree::Null(_)) => None,
            Some(entries) => Some(entries.as_map().ok_or("\"entries\" is no map of charts")?),
        };
        let charts = charts.into_iter().flat_map(|map| map.iter());
        let charts = charts.filter_map(|(name, entries)| Some((name.to_string(), entries.as_list()?.iter().map(of_tree))));
        Self::of(&written(tree.get("apiVersion")).unwrap_or_default(), charts)
    }

    fn of(api_version: &str, charts: impl Iterator<Item = (String, impl Iterator<Item = Option<Entry>>)>) -> Result<Self, String> {
        if api_version.is_empty() {
            return Err("it has no \"apiVersion\", which every index has".to_owned());
        }
        let named = charts.filter(|(name, _)| name.parse::<ChartName>().is_ok());
        Ok(Self { charts: named.map(|(name, entries)| (name, entries.flatten().collect())).collect() })
    }

    /// The versions of a chart; without it, the names that look like its.
    pub(crate) fn chart(&self, name: &ChartName) -> Result<&[Entry], Vec<String>> {
        let names = self.charts.keys().map(String::as_str).filter(|name| name.len() <= NAME_LOOKED_AT).take(NAMES_LOOKED_THROUGH);
        self.charts.get(name.as_str()).map(Vec::as_slice).ok_or_else(|| similar_names(name.as_str(), names))
    }
}

#[derive(Deserialize)]
struct JsonIndex {
    #[serde(default, rename = "apiVersion")]
    api_version: String,
    #[serde(default)]
    entries: BTreeMap<String, Vec<JsonEntry>>,
}

/// The parts of an entry, of whatever type they turn out to be.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonEntry {
    Entry {
        #[serde(default)]
        version: Value,
        #[serde(default)]
        urls: Value,
        #[serde(default)]
        digest: Value,
        #[serde(default)]
        deprecated: Value,
    },
    Other(serde::de::IgnoredAny),
}

fn of_json(entry: JsonEntry) -> Option<Entry> {
    match entry {
        JsonEntry::Other(_) => None,
        JsonEntry::Entry { version, urls, digest, deprecated } => {
            let address = urls.get(0).and_then(Value::as_str);
            entry_of(version.as_str(), address, digest.as_str(), deprecated == Value::Bool(true))
        }
    }
}

fn of_tree(entry: &Tree) -> Option<Entry> {
    let written = |key: &str| entry.get(key).and_then(Tree::written).map(AsRef::as_ref);
    let address = entry.get("urls").and_then(Tree::as_list).and_then(<[Tree]>::first).and_then(Tree::as_str);
    entry_of(written("version"), address, written("digest"), written("deprecated") == Some("true"))
}

/// What is kept of an entry, if it can be used. A digest that is none makes it useless: it was meant to be checked.
fn entry_of(version: Option<&str>, address: Option<&str>, digest: Option<&str>, deprecated: bool) -> Option<Entry> {
    let version = version.filter(|version| is_plain_version(version))?;
    let address = address.filter(|address| !address.is_empty() && address.len() <= ADDRESS_LIMIT)?;
    let digest = match digest.filter(|digest| !digest.is_empty()) {
        None => None,
        Some(text) if text.starts_with("sha256:") => Some(text.to_ascii_lowercase().parse().ok()?),
        Some(text) => Some(format!("sha256:{}", text.to_ascii_lowercase()).parse().ok()?),
    };
    Some(Entry { version: version.to_owned(), address: address.to_owned(), digest, deprecated })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = r#"
apiVersion: v1
generated: "2026-11-21T10:00:00Z"
entries:
  web:
  - apiVersion: v2
    name: web
    version: 1.2.3
    created: "2026-11-21T10:00:00.123456789Z"
    description: |
      Two lines,
      and "quotes": all passed over.
    dependencies: [{name: common, version: 1.x.x}]
    urls: [web-1.2.3.tgz, "https://mirror.example.com/web-1.2.3.tgz"]
    digest: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  - version: 1.2.2
    urls: ["https://cdn.example.com/web-1.2.2.tgz"]
    deprecated: true
  empty: []
  nothing:
"#;

    fn name(text: &str) -> ChartName {
        text.parse().expect("a name")
    }

    fn digest() -> Option<Digest> {
        Some(Digest::of(b"test"))
    }

    #[test]
    fn version_address_and_digest_are_kept_of_each_entry() {
        let index = Index::parse(INDEX).expect("an index");
        let entry = |version: &str, address: &str, digest, deprecated| Entry {
            version: version.to_owned(),
            address: address.to_owned(),
            digest,
            deprecated,
        };
        let wanted =
            [entry("1.2.3", "web-1.2.3.tgz", digest(), false), entry("1.2.2", "https://cdn.example.com/web-1.2.2.tgz", None, true)];
        assert_eq!(index.chart(&name("web")), Ok(&wanted[..]));
        assert_eq!(index.chart(&name("empty")), Ok(&[][..]));
        assert_eq!(index.chart(&name("wed")), Err(vec!["web".to_owned(), "empty".to_owned()]), "nearest first");
    }

    #[test]
    fn json_says_the_same_as_yaml() {
        let json = r#"{"apiVersion":"v1","entries":{"web":[
            {"version":"1.2.3","urls":["web-1.2.3.tgz"],"digest":"sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08","x":{"y":[1]}},
            null, 7, {"version":{}},
            {"version":"1.2.2","urls":["https://cdn.example.com/web-1.2.2.tgz"],"deprecated":true}]}}"#;
        let web = name("web");
        assert_eq!(Index::parse(json).expect("an index").chart(&web), Index::parse(INDEX).expect("an index").chart(&web));
    }

    #[test]
    fn an_entry_that_cannot_be_used_blocks_no_other() {
        let text = "apiVersion: v1
entries:
  web:
  -
  - just text
  - {version: latest, urls: [a.tgz]}
  - {version: ../../1.0.0, urls: [a.tgz]}
  - {version: 1.0.0}
  - {version: 1.0.1, urls: []}
  - {version: 1.0.2, urls: [a.tgz], digest: md5-of-something}
  - {version: [1], urls: [a.tgz]}
  - {urls: [a.tgz]}
  - {version: 1.0.3, urls: [a.tgz]}
  ../web:
  - {version: 1.0.0, urls: [a.tgz]}
  text: no list
";
        let index = Index::parse(text).expect("an index");
        let versions: Vec<&str> = index.chart(&name("web")).expect("there").iter().map(|entry| entry.version.as_str()).collect();
        assert_eq!(versions, ["1.0.3"]);
        assert_eq!(index.charts.len(), 1);
    }

    #[test]
    fn what_is_no_index_is_refused_with_a_reason() {
        for (text, reason) in [
            ("", "no \"apiVersion\""),
            ("<html><body>log in</body></html>", "apiVersion"),
            ("entries: {}", "no \"apiVersion\""),
            ("apiVersion: v1\nentries: 7", "no map of charts"),
            ("apiVersion: v1\nentries: {a: [", "line 2"),
            ("apiVersion: v1\n---\napiVersion: v1", "document"),
            ("{\"apiVersion\":\"v1\",\"entries\":{\"a\":7", "line 1"),
        ] {
            let error = Index::parse(text).map(drop).expect_err(text);
            assert!(error.contains(reason), "{text:?}: {error}");
        }
        assert_eq!(Index::parse("apiVersion: v1"), Ok(Index::default()));
    }

    #[test]
    fn bombs_end_at_the_budget() {
        let mut aliases = "apiVersion: v1\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 10].join(",");
            aliases.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        let nested = format!("apiVersion: v1\nentries: {}", "[".repeat(100_000));
        let flat = format!("apiVersion: v1\nentries: {{a: [{}]}}", "x,".repeat(10_000));
        let deep_json = format!("{{\"apiVersion\":\"v1\",\"entries\":{{\"a\":[{}", "[".repeat(100_000));
        for bomb in [aliases, nested, flat, deep_json] {
            // A hundredth of what is allowed, so that the test is done in a moment.
            assert!(Index::parse_within(&bomb, YamlBudget { nodes: 9_000, ..BUDGET }).is_err(), "{}", &bomb[..40]);
        }
    }
}
