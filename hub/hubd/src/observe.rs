//! The small tasks that go by the clock: freshness statements, when clusters were heard, metrics, the hub's own certificate.

use std::sync::Arc;
use std::time::Duration;

use shared_identity::{RotatingCertificate, SERVER_CERTIFICATE_LIFETIME};
use shared_model::{ClusterName, Timestamp};
use shared_release::SignedIndex;
use shared_session::Target;

use crate::api::HubApi;
use crate::core::Core;
use crate::metrics::Metrics;
use crate::record::{self, RecordError};
use crate::registry::ClusterRecord;

/// How often the freshness of indexes is stated: agents hold deletions back after 60 seconds without.
const FRESHNESS_EVERY: Duration = Duration::from_secs(15);

/// How often it is written down when clusters were heard: the age of a dead cluster after a restart of the hub is off by as much.
const HEARD_EVERY: Duration = Duration::from_secs(10);

const METRICS_EVERY: Duration = Duration::from_secs(5);

/// States again and again that the indexes in force are what the hub wants.
pub(crate) async fn state_freshness(core: Arc<Core>) {
    loop {
        tokio::time::sleep(FRESHNESS_EVERY).await;
        core.live.refresh_targets(|target| {
            let digest = SignedIndex::from_bytes(target.current.index.bytes()).map(|signed| signed.digest());
            let freshness = digest.ok().map(|digest| core.freshness(target.index, digest));
            tracing::trace!(cluster = %target.name, "freshness stated");
            Target { freshness, ..target.current.clone() }
        });
    }
}

/// Writes down when clusters were heard.
pub(crate) async fn write_heard(core: Arc<Core>) {
    loop {
        tokio::time::sleep(HEARD_EVERY).await;
        save_heard(&core).await;
    }
}

pub(crate) async fn save_heard(core: &Core) {
    let heard: Vec<(ClusterName, Timestamp)> =
        core.live.read().iter().filter_map(|(name, live)| Some((name.clone(), live.last_heard?))).collect();
    for (name, at) in heard {
        if let Err(error) = save_one(core, &name, at).await {
            tracing::warn!(cluster = %name, %error, "it could not be written down when the cluster was heard");
        }
    }
}

async fn save_one(core: &Core, name: &ClusterName, at: Timestamp) -> Result<(), RecordError> {
    let Some((record, version)) = record::read::<ClusterRecord>(&*core.store, name.as_str()).await? else { return Ok(()) };
    let heard = Some(at.to_string());
    if record.heard == heard {
        return Ok(());
    }
    match record::write(&*core.store, name.as_str(), &ClusterRecord { heard, ..record }, Some(version)).await {
        // Somebody changed the record meanwhile; the next time writes over that.
        Err(RecordError::Lost { .. }) => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

/// Keeps the metrics up to date.
pub(crate) async fn measure(hub: Arc<HubApi>, metrics: Metrics) {
    loop {
        if let Err(error) = metrics.measure(&hub).await {
            tracing::warn!(%error, "the metrics could not be taken");
        }
        tokio::time::sleep(METRICS_EVERY).await;
    }
}

/// Renews the hub's own certificate at a third of its life.
pub(crate) async fn renew_certificate(core: Arc<Core>, names: Vec<String>, certificate: Arc<RotatingCertificate>) {
    loop {
        tokio::time::sleep(SERVER_CERTIFICATE_LIFETIME / 3).await;
        let issued = core.keys.authority.issue_server(&names, core.now(), SERVER_CERTIFICATE_LIFETIME);
        let swapped = issued.map_err(anyhow::Error::from).and_then(|issued| Ok(certificate.swap_server(&issued)?));
        if let Err(error) = swapped {
            tracing::error!(%error, "the hub's certificate could not be renewed; it is tried again before it ends");
        }
    }
}
