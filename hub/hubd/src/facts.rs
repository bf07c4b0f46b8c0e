//! What agents have reported about their clusters, as renders ask it. The last word of each is kept in the store: a restarted hub must not render
//! for a cluster as if nothing were known of it, and change what runs there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared_model::ClusterName;

use crate::core::Core;
use crate::record::{self, Record};

/// What a cluster's agent said last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FactsRecord {
    kubernetes: String,
    api_versions: BTreeSet<String>,
}

impl Record for FactsRecord {
    const TREE: &'static str = "facts";
}

/// What is known about every cluster.
#[derive(Default)]
pub(crate) struct Facts {
    of: BTreeMap<ClusterName, hub_render::ClusterFacts>,
    /// What agents said, as it was taken in last.
    taken: BTreeMap<ClusterName, Arc<shared_session::ClusterFacts>>,
    is_read: bool,
    /// How often anything has changed.
    pub(crate) changes: u64,
}

impl Facts {
    /// Takes in what agents have said since. What is new is in the store before it is used.
    pub(crate) async fn refresh(&mut self, core: &Core) -> anyhow::Result<()> {
        if !self.is_read {
            for (name, record) in record::read_all::<FactsRecord>(&*core.store).await? {
                let Ok(name) = name.parse::<ClusterName>() else { continue };
                self.of.insert(name, facts(&record));
            }
            self.is_read = true;
        }
        let said: Vec<(ClusterName, Arc<shared_session::ClusterFacts>)> = {
            let live = core.live.read();
            let facts = live.iter().filter_map(|(name, cluster)| Some((name, cluster.facts.as_ref()?)));
            let news = facts.filter(|(name, facts)| self.taken.get(*name).is_none_or(|taken| !Arc::ptr_eq(taken, facts)));
            news.map(|(name, facts)| (name.clone(), facts.clone())).collect()
        };
        for (name, said) in said {
            // An agent that has not asked its API server yet says nothing, which is no news.
            if !said.api_versions.is_empty() {
                let record = FactsRecord { kubernetes: said.kubernetes.clone(), api_versions: said.api_versions.clone() };
                let known = facts(&record);
                if self.of.get(&name) != Some(&known) {
                    let version = record::read::<FactsRecord>(&*core.store, name.as_str()).await?.map(|(_, version)| version);
                    record::write(&*core.store, name.as_str(), &record, version).await?;
                    self.of.insert(name.clone(), known);
                    self.changes += 1;
                }
            }
            self.taken.insert(name, said);
        }
        Ok(())
    }

    /// What is known about every cluster.
    pub(crate) fn known(&self) -> &BTreeMap<ClusterName, hub_render::ClusterFacts> {
        &self.of
    }
}

fn facts(record: &FactsRecord) -> hub_render::ClusterFacts {
    let FactsRecord { kubernetes, api_versions } = record.clone();
    hub_render::ClusterFacts {
        kube_version: Some(kubernetes.as_str().into()).filter(|_| !kubernetes.is_empty()),
        api_versions: Some(Arc::new(api_versions)),
        ..hub_render::ClusterFacts::default()
    }
}
