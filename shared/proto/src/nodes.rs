//! What is known of nodes and devices, both ways.

use shared_session::{DEVICE_LIMIT, Device, NODE_GROUP_LIMIT, NodeFacts, NodeGroup, Nodes, OBJECT_NAME_LIMIT};

use crate::field::{WireError, at_most, text};
use crate::wire;

/// Reads the two fields of the facts that speak of nodes.
pub(crate) fn read_nodes(seen: Option<wire::NodeFacts>, unknown: Option<wire::Reason>) -> Result<Nodes, WireError> {
    Ok(match (seen, unknown) {
        (Some(seen), _) => Nodes::Seen(seen.try_into()?),
        (None, Some(reason)) => Nodes::Unknown(reason.try_into()?),
        (None, None) => Nodes::NotSeen,
    })
}

/// Writes the two fields of the facts that speak of nodes.
pub(crate) fn write_nodes(nodes: &Nodes) -> (Option<wire::NodeFacts>, Option<wire::Reason>) {
    match nodes {
        Nodes::NotSeen => (None, None),
        Nodes::Unknown(reason) => (None, Some(reason.into())),
        Nodes::Seen(facts) => (Some(facts.into()), None),
    }
}

impl TryFrom<wire::NodeFacts> for NodeFacts {
    type Error = WireError;

    fn try_from(facts: wire::NodeFacts) -> Result<Self, WireError> {
        at_most("nodes.groups", &facts.groups, NODE_GROUP_LIMIT)?;
        at_most("nodes.devices", &facts.devices, DEVICE_LIMIT)?;
        let short = |field, value| text(field, value, OBJECT_NAME_LIMIT);
        let group = |group: wire::NodeGroup| {
            Ok(NodeGroup {
                instance_type: short("group.instance_type", group.instance_type)?,
                architecture: short("group.architecture", group.architecture)?,
                region: short("group.region", group.region)?,
                zone: short("group.zone", group.zone)?,
                kubelet: short("group.kubelet", group.kubelet)?,
                nodes: group.nodes,
                ready: group.ready,
            })
        };
        let device = |device: wire::Device| {
            Ok(Device {
                resource: short("device.resource", device.resource)?,
                product: short("device.product", device.product)?,
                nodes: device.nodes,
                capacity: device.capacity,
                allocatable: device.allocatable,
                used: device.used,
            })
        };
        Ok(Self {
            total: facts.total,
            ready: facts.ready,
            groups: facts.groups.into_iter().map(group).collect::<Result<_, WireError>>()?,
            groups_left_out: facts.groups_left_out,
            devices: facts.devices.into_iter().map(device).collect::<Result<_, WireError>>()?,
            devices_left_out: facts.devices_left_out,
            use_unknown: facts.use_unknown.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&NodeFacts> for wire::NodeFacts {
    fn from(facts: &NodeFacts) -> Self {
        let group = |group: &NodeGroup| wire::NodeGroup {
            instance_type: group.instance_type.clone(),
            architecture: group.architecture.clone(),
            region: group.region.clone(),
            zone: group.zone.clone(),
            kubelet: group.kubelet.clone(),
            nodes: group.nodes,
            ready: group.ready,
        };
        let device = |device: &Device| wire::Device {
            resource: device.resource.clone(),
            product: device.product.clone(),
            nodes: device.nodes,
            capacity: device.capacity,
            allocatable: device.allocatable,
            used: device.used,
        };
        Self {
            total: facts.total,
            ready: facts.ready,
            groups: facts.groups.iter().map(group).collect(),
            groups_left_out: facts.groups_left_out,
            devices: facts.devices.iter().map(device).collect(),
            devices_left_out: facts.devices_left_out,
            use_unknown: facts.use_unknown.as_ref().map(Into::into),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_model::{Reason, Severity};
    use shared_session::{ClusterFacts, Status};

    #[test]
    fn nodes_read_back_and_what_an_agent_cuts_is_what_a_hub_admits() {
        let reason = Reason::new(Severity::Error, "Forbidden", "no right");
        let group = NodeGroup { instance_type: "p5.48xlarge".into(), zone: "z".repeat(999), nodes: 7, ready: 6, ..NodeGroup::default() };
        let device =
            Device { resource: "nvidia.com/gpu".into(), nodes: 7, capacity: 56, allocatable: 55, used: Some(54), ..Device::default() };
        let facts = NodeFacts {
            total: 9,
            ready: 8,
            groups: vec![group; 99],
            devices: vec![device; 99],
            use_unknown: Some(reason.clone()),
            ..NodeFacts::default()
        };
        for nodes in [Nodes::NotSeen, Nodes::Unknown(reason), Nodes::Seen(facts)] {
            let status = Status::new(ClusterFacts { nodes, ..ClusterFacts::default() }, []);
            let (seen, unknown) = write_nodes(&status.facts().nodes);
            assert_eq!(read_nodes(seen, unknown).as_ref(), Ok(&status.facts().nodes));
        }
    }
}
