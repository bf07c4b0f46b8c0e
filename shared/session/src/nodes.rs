//! What an agent says of its cluster's nodes and of the devices on them: counts by kind of machine, never a list of machines, so that a report
//! stays small in a cluster of thousands. How they are counted is left to the agent.

use shared_model::Reason;

use crate::canon::Canon;
use crate::status::{OBJECT_NAME_LIMIT, TEXT_LIMIT, cut};

/// The most groups of equal nodes in a report: a cluster has some ten pools, each in three zones. 64 × about 250 bytes stay under 16 KB.
pub const NODE_GROUP_LIMIT: usize = 64;
/// The most devices in a report: a resource for each product and each MIG profile. 64 × about 150 bytes stay under 10 KB.
pub const DEVICE_LIMIT: usize = 64;

/// What is known of a cluster's nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Nodes {
    /// The agent has not looked yet, or is too old to look.
    #[default]
    NotSeen,
    /// They cannot be looked at.
    Unknown(Reason),
    /// What was seen.
    Seen(NodeFacts),
}

/// A cluster's nodes in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeFacts {
    /// How many there are.
    pub total: u32,
    /// How many of them are ready.
    pub ready: u32,
    /// Nodes that are alike, the largest groups first, at most [`NODE_GROUP_LIMIT`].
    pub groups: Vec<NodeGroup>,
    /// How many groups more there are.
    pub groups_left_out: u32,
    /// GPUs and other devices by resource and product, at most [`DEVICE_LIMIT`].
    pub devices: Vec<Device>,
    /// How many more there are.
    pub devices_left_out: u32,
    /// Why [`Device::used`] is not known, if it is not.
    pub use_unknown: Option<Reason>,
}

/// Nodes that are alike. What a node does not say is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeGroup {
    /// `node.kubernetes.io/instance-type`.
    pub instance_type: String,
    /// `kubernetes.io/arch`.
    pub architecture: String,
    /// `topology.kubernetes.io/region`.
    pub region: String,
    /// `topology.kubernetes.io/zone`.
    pub zone: String,
    /// The kubelet's version.
    pub kubelet: String,
    /// How many nodes.
    pub nodes: u32,
    /// How many of them are ready.
    pub ready: u32,
}

/// One extended resource of one product, over all nodes that have it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// The resource, as pods ask for it: `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb`.
    pub resource: String,
    /// The product, as the nodes' labels say; empty if they do not.
    pub product: String,
    /// How many nodes have some.
    pub nodes: u32,
    /// How many there are.
    pub capacity: u64,
    /// How many pods may have.
    pub allocatable: u64,
    /// How many pods that are on these nodes and have not ended ask for; `None` if that is not known.
    pub used: Option<u64>,
}

impl Nodes {
    pub(crate) fn encode(&self, canon: &mut Canon) {
        match self {
            Self::NotSeen => canon.count(0),
            Self::Unknown(reason) => {
                canon.count(1);
                encode_reason(canon, reason);
            }
            Self::Seen(facts) => {
                canon.count(2);
                facts.encode(canon);
            }
        }
    }

    pub(crate) fn cut(self) -> Self {
        match self {
            Self::NotSeen => Self::NotSeen,
            Self::Unknown(reason) => Self::Unknown(cut_reason(reason)),
            Self::Seen(facts) => Self::Seen(facts.cut()),
        }
    }
}

impl NodeFacts {
    fn encode(&self, canon: &mut Canon) {
        let mut numbers = |all: &[u64]| all.iter().for_each(|number| canon.0.extend_from_slice(&number.to_be_bytes()));
        numbers(&[self.total, self.ready, self.groups_left_out, self.devices_left_out].map(u64::from));
        canon.count(self.groups.len());
        for group in &self.groups {
            for text in [&group.instance_type, &group.architecture, &group.region, &group.zone, &group.kubelet] {
                canon.text(text);
            }
            canon.count(group.nodes as usize);
            canon.count(group.ready as usize);
        }
        canon.count(self.devices.len());
        for device in &self.devices {
            canon.text(&device.resource);
            canon.text(&device.product);
            canon.text(&format!("{} {} {} {:?}", device.nodes, device.capacity, device.allocatable, device.used));
        }
        canon.count(usize::from(self.use_unknown.is_some()));
        if let Some(reason) = &self.use_unknown {
            encode_reason(canon, reason);
        }
    }

    fn cut(mut self) -> Self {
        let left_out = |count: usize, limit: usize| u32::try_from(count.saturating_sub(limit)).unwrap_or(u32::MAX);
        self.groups_left_out = self.groups_left_out.saturating_add(left_out(self.groups.len(), NODE_GROUP_LIMIT));
        self.devices_left_out = self.devices_left_out.saturating_add(left_out(self.devices.len(), DEVICE_LIMIT));
        self.groups.truncate(NODE_GROUP_LIMIT);
        self.devices.truncate(DEVICE_LIMIT);
        for group in &mut self.groups {
            for text in [&mut group.instance_type, &mut group.architecture, &mut group.region, &mut group.zone, &mut group.kubelet] {
                cut(text, OBJECT_NAME_LIMIT);
            }
        }
        for device in &mut self.devices {
            cut(&mut device.resource, OBJECT_NAME_LIMIT);
            cut(&mut device.product, OBJECT_NAME_LIMIT);
        }
        self.use_unknown = self.use_unknown.map(cut_reason);
        self
    }
}

fn encode_reason(canon: &mut Canon, reason: &Reason) {
    canon.count(reason.severity as usize);
    canon.text(&reason.code);
    canon.text(&reason.message);
}

fn cut_reason(mut reason: Reason) -> Reason {
    cut(&mut reason.code, OBJECT_NAME_LIMIT);
    cut(&mut reason.message, TEXT_LIMIT);
    reason
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{ClusterFacts, Status};

    fn digest(nodes: Nodes) -> shared_model::Digest {
        Status::new(ClusterFacts { nodes, ..ClusterFacts::default() }, []).index().root()
    }

    #[test]
    fn each_number_of_the_nodes_shows_in_the_digest() {
        let device = Device { resource: "nvidia.com/gpu".into(), nodes: 1, capacity: 8, allocatable: 8, ..Device::default() };
        let seen =
            |used| Nodes::Seen(NodeFacts { total: 1, ready: 1, devices: vec![Device { used, ..device.clone() }], ..NodeFacts::default() });
        let unknown = Nodes::Unknown(Reason::new(shared_model::Severity::Error, "Forbidden", "no right to list nodes"));
        let all = [Nodes::NotSeen, unknown, Nodes::Seen(NodeFacts::default()), seen(None), seen(Some(0)), seen(Some(1))].map(digest);
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn more_than_what_travels_is_counted() {
        let facts = NodeFacts {
            groups: vec![NodeGroup { zone: "z".repeat(999), ..NodeGroup::default() }; NODE_GROUP_LIMIT + 3],
            devices: vec![Device::default(); DEVICE_LIMIT + 2],
            ..NodeFacts::default()
        };
        let cut = facts.cut();
        assert_eq!((cut.groups.len(), cut.groups_left_out), (NODE_GROUP_LIMIT, 3));
        assert_eq!((cut.devices.len(), cut.devices_left_out), (DEVICE_LIMIT, 2));
        assert!(cut.groups[0].zone.len() <= OBJECT_NAME_LIMIT);
    }
}
