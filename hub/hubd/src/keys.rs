//! The hub's own keys: the certificate authority, the signing key, the fleet's data key, and the root document that names them. Made once,
//! kept sealed.

use anyhow::Context as _;
use hub_render::ChanceKey;
use hub_store::Store;
use ring::hmac;
use serde::{Deserialize, Serialize};
use shared_identity::{CertificateAuthority, random};
use shared_model::{Epoch, Timestamp};
use shared_release::{DataKey, Root, SignedRoot, SigningKey};

use crate::record::{self, Record};
use crate::vault::Vault;

/// Everything that the hub signs and seals with.
pub(crate) struct HubKeys {
    pub(crate) authority: CertificateAuthority,
    pub(crate) signing: SigningKey,
    pub(crate) data: DataKey,
    pub(crate) root: SignedRoot,
    pub(crate) epoch: Epoch,
    /// What random values of charts are derived from.
    pub(crate) chance: ChanceKey,
    made: Timestamp,
}

/// When the keys of a hub were made that does not say so: the beginning of 2026.
const MADE_EARLIER: i64 = 1_767_225_600;

/// The secret for charts is another one than that for Secrets, and neither tells the other.
fn chance_key(data: &DataKey, made: Timestamp) -> ChanceKey {
    let key = hmac::Key::new(hmac::HMAC_SHA256, data.as_bytes());
    let mut secret = [0; 32];
    secret.copy_from_slice(hmac::sign(&key, b"capstan chance of charts 1").as_ref());
    ChanceKey::new(secret, made.as_second())
}

#[derive(Serialize, Deserialize)]
struct KeysRecord {
    epoch: u64,
    authority: String,
    authority_key: String,
    signing_key: String,
    data_key: String,
    root: String,
    /// When they were made, in seconds since 1970.
    #[serde(default)]
    made: Option<i64>,
}

impl Record for KeysRecord {
    const TREE: &'static str = "keys";
}

const NAME: &str = "hub";

/// Whether the store holds keys already, so that its key file must be there.
pub(crate) async fn exist(store: &dyn Store) -> anyhow::Result<bool> {
    Ok(record::read::<KeysRecord>(store, NAME).await?.is_some())
}

/// Reads the keys, or makes them at the first start.
pub(crate) async fn load_or_make(store: &dyn Store, vault: &Vault, now: Timestamp) -> anyhow::Result<HubKeys> {
    match record::read::<KeysRecord>(store, NAME).await? {
        Some((found, _)) => open(&found, vault),
        None => {
            let keys = make(now)?;
            record::write(store, NAME, &seal(&keys, vault), None).await.context("the hub's new keys cannot be stored")?;
            tracing::info!(signing_key = %keys.signing.public().id(), "made the hub's keys");
            Ok(keys)
        }
    }
}

fn make(now: Timestamp) -> anyhow::Result<HubKeys> {
    let authority = CertificateAuthority::generate("capstan", now)?;
    let signing = SigningKey::from_seed(random());
    let epoch = Epoch(1);
    let root =
        Root { version: 1, epoch, keys: vec![signing.public()], authorities: vec![authority.certificate().to_pem()], previous: None };
    let root = root.sign(&[&signing]);
    let data = DataKey::from_bytes(random());
    let chance = chance_key(&data, now);
    Ok(HubKeys { authority, signing, data, root, epoch, chance, made: now })
}

fn seal(keys: &HubKeys, vault: &Vault) -> KeysRecord {
    let pem = keys.authority.to_pem();
    KeysRecord {
        epoch: keys.epoch.0,
        authority: pem.certificate,
        authority_key: vault.seal("authority", pem.key.as_bytes()),
        signing_key: vault.seal("signing key", keys.signing.seed()),
        data_key: vault.seal("data key", keys.data.as_bytes()),
        root: String::from_utf8_lossy(&keys.root.to_bytes()).into_owned(),
        made: Some(keys.made.as_second()),
    }
}

fn open(record: &KeysRecord, vault: &Vault) -> anyhow::Result<HubKeys> {
    let fixed = |purpose: &str, sealed: &str| -> anyhow::Result<[u8; 32]> {
        let bytes = vault.open_sealed(purpose, sealed)?;
        bytes.try_into().map_err(|_| anyhow::anyhow!("the sealed {purpose} has a wrong length"))
    };
    let authority_key =
        String::from_utf8(vault.open_sealed("authority", &record.authority_key)?).context("the authority's key is no text")?;
    let data = DataKey::from_bytes(fixed("data key", &record.data_key)?);
    let made = Timestamp::from_second(record.made.unwrap_or(MADE_EARLIER)).context("the keys were made at no time")?;
    Ok(HubKeys {
        chance: chance_key(&data, made),
        made,
        authority: CertificateAuthority::from_pem(&record.authority, &authority_key)?,
        signing: SigningKey::from_seed(fixed("signing key", &record.signing_key)?),
        data,
        root: SignedRoot::from_bytes(record.root.as_bytes())?,
        epoch: Epoch(record.epoch),
    })
}
