//! Keeps what the hub is told of nodes and devices up to date. How they are counted is `agent/cluster`'s matter.

use std::sync::Arc;
use std::time::Duration;

use agent_cluster::Cluster;
use shared_identity::random_seed;
use shared_session::{Nodes, spread};

use crate::shared::Shared;

/// How often nodes are looked at, and with that the least time between two reports about them: a GPU cluster whose pods come and go every second
/// reports once a minute.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What each node adds to that. A Node is up to 20 KB: a cluster of 1,000 is looked at every six minutes, for 55 KB a second while it lasts, which is
/// what a watch of them would cost all the time.
const FOR_EACH_NODE: Duration = Duration::from_millis(300);

/// Looks at the nodes for as long as the agent lives.
pub(crate) async fn keep_nodes(cluster: Cluster, shared: Arc<Shared>) {
    loop {
        let nodes = cluster.look_at_nodes().await;
        let total = if let Nodes::Seen(facts) = &nodes { facts.total } else { 0 };
        shared.set_nodes(nodes);
        let pause = LOOK_EVERY + FOR_EACH_NODE * total;
        tokio::time::sleep(pause + spread(pause / 4, random_seed())).await;
    }
}
