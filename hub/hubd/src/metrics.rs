//! What the hub measures, from the same judged picture that its API shows: a silent cluster is in no metric healthy.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_api::ClusterView;
use hub_web::{Hub as _, StatusPage};
use shared_daemon::{Gauge, Metric, MetricError, Registry};

use crate::api::HubApi;

/// The metrics, set anew as a whole each time.
pub(crate) struct Metrics {
    apps: Gauge<3>,
    clusters: Gauge<2>,
    heard: Gauge<2>,
    fetch_age: Gauge<1>,
    problems: Gauge<1>,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricError> {
        Ok(Self {
            apps: registry.gauge(Metric {
                name: "capstan_app_clusters",
                help: "Clusters of an app by region and health, as far as the health is fresh.",
                labels: ["app", "region", "health"],
            })?,
            clusters: registry.gauge(Metric {
                name: "capstan_clusters",
                help: "Clusters by region and freshness of their last word.",
                labels: ["region", "freshness"],
            })?,
            heard: registry.gauge(Metric {
                name: "capstan_cluster_heard_age_seconds",
                help: "Seconds since a cluster was last heard.",
                labels: ["cluster", "region"],
            })?,
            fetch_age: registry.gauge(Metric {
                name: "capstan_source_age_seconds",
                help: "Seconds since a source's revision was last confirmed.",
                labels: ["source"],
            })?,
            problems: registry.gauge(Metric {
                name: "capstan_problems",
                help: "Problems of files, renders and sources by severity.",
                labels: ["severity"],
            })?,
        })
    }

    /// Looks at the hub as the API does and sets every series.
    pub(crate) async fn measure(&self, hub: &Arc<HubApi>) -> Result<(), hub_web::HubError> {
        let page = StatusPage { after: None, limit: usize::MAX };
        let mut apps: BTreeMap<(String, String, &'static str), f64> = BTreeMap::new();
        for row in hub.status(hub_api::StatusFilter::default(), page).await? {
            *apps.entry((row.app, row.region, row.judged.health().as_str())).or_default() += 1.0;
        }
        self.apps.replace(apps.iter().map(|((app, region, health), count)| ([app.as_str(), region.as_str(), *health], *count)));
        let views: Vec<ClusterView> = hub.clusters().await?;
        let mut clusters: BTreeMap<(&str, &'static str), f64> = BTreeMap::new();
        for view in &views {
            *clusters.entry((&view.region, view.judged.freshness().as_str())).or_default() += 1.0;
        }
        self.clusters.replace(clusters.iter().map(|((region, freshness), count)| ([*region, *freshness], *count)));
        let heard = views.iter().filter_map(|view| Some(([view.name.as_str(), view.region.as_str()], view.judged.age_seconds()? as f64)));
        self.heard.replace(heard);
        let sources = hub.sources().await?;
        let ages = sources.iter().filter_map(|source| Some(([source.name.as_str()], source.age_seconds? as f64)));
        self.fetch_age.replace(ages);
        let mut problems: BTreeMap<&'static str, f64> = BTreeMap::new();
        for problem in hub.problems().await? {
            *problems.entry(problem.severity.as_str()).or_default() += 1.0;
        }
        self.problems.replace(problems.iter().map(|(severity, count)| ([*severity], *count)));
        Ok(())
    }
}
