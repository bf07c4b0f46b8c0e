//! A cluster's nodes and devices, as its agent counted them.

use serde::{Deserialize, Serialize};

use crate::ReasonView;

/// The nodes of a cluster in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodesView {
    /// Why nothing is known of them; everything else is then empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<ReasonView>,
    /// How many there are.
    #[serde(default)]
    pub total: u32,
    /// How many of them are ready.
    #[serde(default)]
    pub ready: u32,
    /// Nodes that are alike, the largest groups first.
    #[serde(default)]
    pub groups: Vec<NodeGroupView>,
    /// How many groups more there are.
    #[serde(default)]
    pub groups_left_out: u32,
    /// GPUs and other devices by resource and product.
    #[serde(default)]
    pub devices: Vec<DeviceView>,
    /// How many more there are.
    #[serde(default)]
    pub devices_left_out: u32,
    /// Why it is not known how many devices are used, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_unknown: Option<ReasonView>,
}

/// Nodes that are alike. What a node does not say is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeGroupView {
    /// The type of machine.
    pub instance_type: String,
    /// The architecture: `amd64`.
    pub architecture: String,
    /// The region, as the cloud calls it.
    pub region: String,
    /// The zone.
    pub zone: String,
    /// The kubelet's version.
    pub kubelet: String,
    /// How many nodes.
    pub nodes: u32,
    /// How many of them are ready.
    pub ready: u32,
}

/// One device, over all nodes that have it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceView {
    /// The resource, as pods ask for it: `nvidia.com/gpu`.
    pub resource: String,
    /// The product; empty if the nodes do not say.
    pub product: String,
    /// How many nodes have some.
    pub nodes: u32,
    /// How many there are.
    pub capacity: u64,
    /// How many pods may have.
    pub allocatable: u64,
    /// How many pods ask for; absent if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u64>,
}
