//! The ledger's files: JSON documents with a format version and a checksum over the body.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use agent_plan::{AppInventory, End, HookRun, HookRuns, Inventory, Owned, RemovalRuns, TestEnd, TestRuns};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use shared_model::{AppName, Digest, Generation, GroupKind, ObjectKey, Timestamp};
use shared_release::{AppKey, Phase, SignedIndex, SignedRoot};
use zeroize::Zeroizing;

/// The version of the ledger that this build writes, and the newest that it reads.
const VERSION: u32 = 1;

/// Why the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk failed.
    #[error("the ledger at {path} cannot be {action}: {source}; the agent changes nothing in the cluster while it cannot remember it")]
    Disk {
        /// The file.
        path: PathBuf,
        /// "read" or "written".
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Written by a newer agent.
    #[error("the ledger's {what} has format version {version}, and this agent reads up to {VERSION}: start the newer agent again")]
    Newer {
        /// Which document.
        what: &'static str,
        /// Its version.
        version: u32,
    },
    /// Damaged.
    #[error("the ledger's {what} is damaged ({detail}); it is set aside and read from the copy in the cluster instead")]
    Damaged {
        /// Which document.
        what: &'static str,
        /// What is wrong.
        detail: String,
    },
    /// A blob is not there, or not what its name says.
    #[error("the content with digest {digest} is not in the ledger; it is fetched again")]
    NoBlob {
        /// The digest.
        digest: Digest,
    },
}

/// The agent's key, and its certificate once it has one.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The private key, PEM.
    pub key_pem: Zeroizing<String>,
    /// What came of the enrolment; `None` before it.
    pub certified: Option<Certified>,
}

/// What an enrolment gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Certified {
    /// The certificate chain, PEM, leaf first.
    pub chain_pem: String,
    /// The authorities of the hub, PEM.
    pub authority_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

/// Everything but inventory and blobs.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Rises with each write; of two copies the higher one counts.
    pub(crate) revision: u64,
    /// Nothing older than this is ever accepted.
    pub(crate) floor: Generation,
    pub(crate) identity: Option<Identity>,
    pub(crate) root: Option<SignedRoot>,
    /// The index in force, all of whose content is here.
    pub(crate) index: Option<SignedIndex>,
    /// The index accepted after it, whose content is still on its way.
    pub(crate) pending: Option<SignedIndex>,
    pub(crate) keys: BTreeMap<AppName, AppKey>,
}

#[derive(Deserialize)]
struct Envelope {
    format: String,
    sum: String,
    body: String,
}

/// A document as it is written. Neither its body nor the envelope around it is ever in memory as a whole: it is made twice, once for its sum.
pub(crate) struct Document<T> {
    what: &'static str,
    body: T,
}

impl<T: Serialize> Document<T> {
    /// Writes what an [`Envelope`] is as JSON.
    pub(crate) fn write_to(&self, mut out: impl Write) -> io::Result<()> {
        let Self { what, body } = self;
        let sum = Digest::of_written(|hashing| serde_json::to_writer(hashing, body))?;
        write!(out, r#"{{"format":"capstan.dev/ledger-{what}.v{VERSION}","sum":"{sum}","body":""#)?;
        serde_json::to_writer(InText(&mut out), body)?;
        out.write_all(br#""}"#)
    }
}

/// Writes JSON into a text of JSON. Of what is escaped there, compact JSON holds only these two.
struct InText<W>(W);

impl<W: Write> Write for InText<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'"' | b'\\')) {
            match piece.split_last() {
                Some((last @ (b'"' | b'\\'), plain)) => {
                    self.0.write_all(plain)?;
                    self.0.write_all(&[b'\\', *last])?;
                }
                _ => self.0.write_all(piece)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, LedgerError> {
    let damaged = |detail: String| LedgerError::Damaged { what, detail };
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let version = envelope.format.strip_prefix(&format!("capstan.dev/ledger-{what}.v")).and_then(|text| text.parse().ok());
    match version {
        Some(version) if version > VERSION => return Err(LedgerError::Newer { what, version }),
        Some(_) => {}
        None => return Err(damaged("its format is not a ledger's".to_owned())),
    }
    if Digest::of(envelope.body.as_bytes()).to_string() != envelope.sum {
        return Err(damaged("its checksum does not fit".to_owned()));
    }
    serde_json::from_str(&envelope.body).map_err(|error| damaged(error.to_string()))
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    revision: u64,
    epoch: u64,
    sequence: u64,
    identity: Option<IdentityFile>,
    root: Option<String>,
    index: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<String>,
    keys: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct IdentityFile {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certified: Option<CertifiedFile>,
}

#[derive(Serialize, Deserialize)]
struct CertifiedFile {
    chain: String,
    authority: String,
}

impl State {
    pub(crate) fn encode(&self) -> Document<impl Serialize> {
        let certified =
            |certified: &Certified| CertifiedFile { chain: certified.chain_pem.clone(), authority: certified.authority_pem.clone() };
        let identity = self
            .identity
            .as_ref()
            .map(|identity| IdentityFile { key: identity.key_pem.to_string(), certified: identity.certified.as_ref().map(certified) });
        let file = StateFile {
            revision: self.revision,
            epoch: self.floor.epoch.0,
            sequence: self.floor.sequence.0,
            identity,
            root: self.root.as_ref().map(|root| BASE64.encode(root.to_bytes())),
            index: self.index.as_ref().map(|index| BASE64.encode(index.to_bytes())),
            pending: self.pending.as_ref().map(|index| BASE64.encode(index.to_bytes())),
            keys: self.keys.iter().map(|(app, key)| (app.to_string(), BASE64.encode(key.as_bytes()))).collect(),
        };
        Document { what: "state", body: file }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let file: StateFile = decode("state", bytes)?;
        let damaged = |detail: &dyn fmt::Display| LedgerError::Damaged { what: "state", detail: detail.to_string() };
        let unpack = |text: String| BASE64.decode(text).map_err(|error| damaged(&error));
        let root = file.root.map(unpack).transpose()?;
        let index = |text: Option<String>| {
            let bytes = text.map(unpack).transpose()?;
            bytes.map(|bytes| SignedIndex::from_bytes(&bytes).map_err(|error| damaged(&error))).transpose()
        };
        let mut keys = BTreeMap::new();
        for (app, key) in file.keys {
            let app: AppName = app.parse().map_err(|error| damaged(&error))?;
            let secret = <[u8; 32]>::try_from(unpack(key)?).map_err(|_| damaged(&"a key is not 32 bytes"))?;
            keys.insert(app.clone(), AppKey::from_bytes(app, secret));
        }
        Ok(Self {
            revision: file.revision,
            floor: Generation::new(file.epoch, file.sequence),
            identity: file.identity.map(|identity| Identity {
                key_pem: Zeroizing::new(identity.key),
                certified: identity.certified.map(|file| Certified { chain_pem: file.chain, authority_pem: file.authority }),
            }),
            root: root.map(|bytes| SignedRoot::from_bytes(&bytes)).transpose().map_err(|error| damaged(&error))?,
            index: index(file.index)?,
            pending: index(file.pending)?,
            keys,
        })
    }
}

#[derive(Deserialize)]
struct InventoryFile {
    revision: u64,
    apps: BTreeMap<String, AppFile>,
}

#[derive(Serialize, Deserialize)]
struct AppFile {
    release: Option<String>,
    objects: Vec<ObjectFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hooks: Option<HooksFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tests: Option<TestsFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    removal: Option<RemovalFile>,
}

#[derive(Serialize, Deserialize)]
struct RemovalFile {
    epoch: u64,
    sequence: u64,
    runs: Vec<HookFile>,
}

#[derive(Serialize, Deserialize)]
struct HooksFile {
    release: String,
    runs: Vec<HookFile>,
    over: bool,
}

#[derive(Serialize, Deserialize)]
struct HookFile {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    phase: Phase,
    uid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    over: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<EndFile>,
    removed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum EndFile {
    Succeeded,
    Failed(String),
}

#[derive(Serialize, Deserialize)]
struct TestsFile {
    request: String,
    release: String,
    seen: String,
    until: String,
    runs: Vec<HookFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<(TestEndFile, String)>,
}

#[derive(Serialize, Deserialize)]
enum TestEndFile {
    Succeeded,
    Failed(String),
    Cancelled(String),
}

fn damaged_inventory(detail: impl fmt::Display) -> LedgerError {
    LedgerError::Damaged { what: "inventory", detail: detail.to_string() }
}

fn read<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, LedgerError> {
    text.parse().map_err(damaged_inventory)
}

impl HookFile {
    fn new(key: &ObjectKey, phase: Phase, run: &HookRun) -> Self {
        Self {
            group: key.kind.group.clone(),
            kind: key.kind.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            phase,
            uid: run.uid.clone(),
            over: run.over.clone(),
            end: run.end.as_ref().map(|end| match end {
                End::Succeeded => EndFile::Succeeded,
                End::Failed(message) => EndFile::Failed(message.clone()),
            }),
            removed: run.removed,
            expires: run.expires.map(|at| at.to_string()),
            began: run.began.map(|at| at.to_string()),
            ended: run.ended.map(|at| at.to_string()),
        }
    }

    fn into_run(self) -> Result<(Arc<ObjectKey>, Phase, HookRun), LedgerError> {
        let key = Arc::new(ObjectKey::new(GroupKind::new(self.group, self.kind), self.namespace.as_deref(), self.name));
        let end = self.end.map(|end| match end {
            EndFile::Succeeded => End::Succeeded,
            EndFile::Failed(message) => End::Failed(message),
        });
        let time = |at: Option<String>| at.map(|at| read::<Timestamp>(&at)).transpose();
        let (expires, began, ended) = (time(self.expires)?, time(self.began)?, time(self.ended)?);
        Ok((key, self.phase, HookRun { uid: self.uid, over: self.over, end, expires, removed: self.removed, began, ended }))
    }
}

impl From<&HookRuns> for HooksFile {
    fn from(hooks: &HookRuns) -> Self {
        let release = hooks.release.as_ref().map(ToString::to_string).unwrap_or_default();
        let runs = hooks.runs.iter().map(|((key, phase), run)| HookFile::new(key, *phase, run));
        Self { release, runs: runs.collect(), over: hooks.over }
    }
}

impl HooksFile {
    fn into_runs(self) -> Result<HookRuns, LedgerError> {
        let runs = self.runs.into_iter().map(|file| file.into_run().map(|(key, phase, run)| ((key, phase), run)));
        Ok(HookRuns { release: Some(read(&self.release)?), runs: runs.collect::<Result<_, _>>()?, over: self.over })
    }
}

impl From<&RemovalRuns> for RemovalFile {
    fn from(removal: &RemovalRuns) -> Self {
        let runs = removal.runs.iter().map(|((key, phase), run)| HookFile::new(key, *phase, run));
        Self { epoch: removal.since.epoch.0, sequence: removal.since.sequence.0, runs: runs.collect() }
    }
}

impl RemovalFile {
    fn into_runs(self) -> Result<RemovalRuns, LedgerError> {
        let runs = self.runs.into_iter().map(|file| file.into_run().map(|(key, phase, run)| ((key, phase), run)));
        Ok(RemovalRuns { since: Generation::new(self.epoch, self.sequence), runs: runs.collect::<Result<_, _>>()? })
    }
}

impl From<&TestRuns> for TestsFile {
    fn from(tests: &TestRuns) -> Self {
        let end = |(end, at): &(TestEnd, Timestamp)| {
            let end = match end {
                TestEnd::Succeeded => TestEndFile::Succeeded,
                TestEnd::Failed(message) => TestEndFile::Failed(message.clone()),
                TestEnd::Cancelled(message) => TestEndFile::Cancelled(message.clone()),
            };
            (end, at.to_string())
        };
        Self {
            request: tests.request.to_string(),
            release: tests.release.to_string(),
            seen: tests.seen.to_string(),
            until: tests.until.to_string(),
            runs: tests.runs.iter().map(|(key, run)| HookFile::new(key, Phase::Test, run)).collect(),
            end: tests.end.as_ref().map(end),
        }
    }
}

impl TestsFile {
    fn into_tests(self) -> Result<TestRuns, LedgerError> {
        let end = |(end, at): (TestEndFile, String)| -> Result<_, LedgerError> {
            let end = match end {
                TestEndFile::Succeeded => TestEnd::Succeeded,
                TestEndFile::Failed(message) => TestEnd::Failed(message),
                TestEndFile::Cancelled(message) => TestEnd::Cancelled(message),
            };
            Ok((end, read(&at)?))
        };
        let runs = self.runs.into_iter().map(|file| file.into_run().map(|(key, _, run)| (key, run)));
        Ok(TestRuns {
            request: read(&self.request)?,
            release: read(&self.release)?,
            seen: read(&self.seen)?,
            until: read(&self.until)?,
            runs: runs.collect::<Result<_, _>>()?,
            end: self.end.map(end).transpose()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct ObjectFile {
    group: String,
    kind: String,
    namespace: Option<String>,
    name: String,
    uid: Option<String>,
    applied: Option<String>,
    #[serde(default)]
    phase: Phase,
    #[serde(default)]
    wave: i32,
    /// It came to its end: well, unless `failed` says otherwise. Agents that knew of no other end wrote it alone.
    #[serde(default)]
    finished: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
    #[serde(default)]
    hook: bool,
    #[serde(default)]
    yielded: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<(Vec<String>, String)>,
}

impl From<(&Arc<ObjectKey>, &Owned)> for ObjectFile {
    fn from((key, owned): (&Arc<ObjectKey>, &Owned)) -> Self {
        Self {
            group: key.kind.group.clone(),
            kind: key.kind.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: owned.uid.clone(),
            applied: owned.applied.as_ref().map(ToString::to_string),
            phase: owned.stage.0,
            wave: owned.stage.1,
            finished: owned.ended.is_some(),
            failed: match &owned.ended {
                Some(End::Failed(message)) => Some(message.clone()),
                Some(End::Succeeded) | None => None,
            },
            hook: owned.hook,
            yielded: owned.yielded.clone(),
            kept: owned.kept.clone().into_iter().collect(),
        }
    }
}

impl From<&AppInventory> for AppFile {
    fn from(app: &AppInventory) -> Self {
        Self {
            release: app.release.as_ref().map(ToString::to_string),
            objects: app.objects.iter().map(ObjectFile::from).collect(),
            hooks: app.hooks.release.is_some().then(|| HooksFile::from(&app.hooks)),
            tests: app.tests.as_ref().map(TestsFile::from),
            removal: app.removal.as_ref().map(RemovalFile::from),
        }
    }
}

/// An [`InventoryFile`] that is made one app at a time while it is written.
#[derive(Serialize)]
struct InventoryToWrite<'a> {
    revision: u64,
    apps: AppsToWrite<'a>,
}

struct AppsToWrite<'a>(&'a Inventory);

impl Serialize for AppsToWrite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.apps.iter().map(|(name, app)| (name.as_str(), AppFile::from(&**app))))
    }
}

pub(crate) fn encode_inventory(revision: u64, inventory: &Inventory) -> Document<impl Serialize> {
    Document { what: "inventory", body: InventoryToWrite { revision, apps: AppsToWrite(inventory) } }
}

pub(crate) fn decode_inventory(bytes: &[u8]) -> Result<(u64, Inventory), LedgerError> {
    let file: InventoryFile = decode("inventory", bytes)?;
    let damaged = |detail: &dyn fmt::Display| LedgerError::Damaged { what: "inventory", detail: detail.to_string() };
    let digest = |text: Option<String>| text.map(|text| text.parse::<Digest>()).transpose().map_err(|error| damaged(&error));
    let mut inventory = Inventory::default();
    for (name, app) in file.apps {
        let name: AppName = name.parse().map_err(|error| damaged(&error))?;
        let mut objects = BTreeMap::new();
        for object in app.objects {
            let key = ObjectKey::new(GroupKind::new(object.group, object.kind), object.namespace.as_deref(), object.name);
            let owned = Owned {
                uid: object.uid,
                applied: digest(object.applied)?,
                stage: (object.phase, object.wave),
                ended: object.failed.map(End::Failed).or(object.finished.then_some(End::Succeeded)),
                hook: object.hook,
                yielded: object.yielded,
                kept: object.kept.into_iter().collect(),
            };
            objects.insert(Arc::new(key), owned);
        }
        let hooks = app.hooks.map(HooksFile::into_runs).transpose()?.unwrap_or_default();
        let tests = app.tests.map(TestsFile::into_tests).transpose()?;
        let removal = app.removal.map(RemovalFile::into_runs).transpose()?;
        let app = AppInventory { release: digest(app.release)?, objects, hooks, tests, removal };
        inventory.apps.insert(name, Arc::new(app));
    }
    Ok((file.revision, inventory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_every_agent_wrote_it_and_written_so_that_an_older_one_knows_it() {
        let object = |name: &str, end: serde_json::Value| {
            let mut object =
                serde_json::json!({"group": "batch", "kind": "Job", "namespace": "web", "name": name, "uid": "u", "applied": null});
            object.as_object_mut().expect("a map").extend(end.as_object().expect("a map").clone());
            object
        };
        let objects = [
            object("before-ends-were-known", serde_json::json!({})),
            object("failed", serde_json::json!({"finished": true, "failed": "no"})),
            object("of-an-older-agent", serde_json::json!({"finished": true})),
            object("runs", serde_json::json!({"finished": false})),
        ];
        let body = serde_json::json!({"revision": 7, "apps": {"web": {"release": null, "objects": objects}}});
        let mut written = Vec::new();
        Document { what: "inventory", body }.write_to(&mut written).expect("memory can be written");
        let (revision, inventory) = decode_inventory(&written).expect("readable");
        let ends: Vec<_> = inventory.iter().map(|(_, key, owned)| (key.name.as_str(), owned.ended.clone())).collect();
        let expected = [
            ("before-ends-were-known", None),
            ("failed", Some(End::Failed("no".to_owned()))),
            ("of-an-older-agent", Some(End::Succeeded)),
            ("runs", None),
        ];
        assert_eq!((revision, ends), (7, expected.to_vec()));
        let file = |(_, key, owned)| serde_json::to_value(ObjectFile::from((key, owned))).expect("JSON");
        let files: Vec<serde_json::Value> = inventory.iter().map(file).collect();
        assert_eq!(files.iter().map(|file| &file["finished"]).collect::<Vec<_>>(), [false, true, true, false]);
        assert_eq!(
            files.iter().map(|file| &file["failed"]).collect::<Vec<_>>(),
            [&serde_json::Value::Null, &"no".into(), &serde_json::Value::Null, &serde_json::Value::Null]
        );
    }

    #[test]
    fn a_document_is_written_as_the_json_of_its_envelope() {
        let body = BTreeMap::from([("a \"b\" \\ ä\n\u{1}", "\\\""), ("", "x")]);
        let mut written = Vec::new();
        Document { what: "state", body: &body }.write_to(&mut written).expect("memory can be written");
        let text = serde_json::to_string(&body).expect("written");
        let format = format!("capstan.dev/ledger-state.v{VERSION}");
        let sum = Digest::of(text.as_bytes()).to_string();
        let envelope = serde_json::json!({"format": format, "sum": sum, "body": text});
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).expect("JSON"), envelope);
        let read: BTreeMap<String, String> = decode("state", &written).expect("readable");
        assert!(read.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(body));
    }
}
