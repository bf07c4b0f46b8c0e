//! `capstan describe`: one thing in full.

use hub_api::{ClusterView, DeviceView, NodeGroupView, NodesView};
use hub_client::Client;

use crate::Exit;
use crate::age::age_or_never;
use crate::args::Describe;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, Rows, print_one};
use crate::tables::{self, said};
use crate::text::{count, plain};

pub(crate) async fn run(client: &Client, what: Describe, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Describe::Cluster { name } = what;
    let cluster = client.cluster(&name).await?;
    let text = cluster_text(&cluster);
    print_one(console, format, cluster, &text)?;
    Ok(Exit::Ok)
}

fn cluster_text(cluster: &ClusterView) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let labels: Vec<String> = cluster.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let age = age_or_never(cluster.judged.age_seconds());
    let mut lines = vec![
        ("Name", cluster.name.clone()),
        ("Region", cluster.region.clone()),
        ("Labels", if labels.is_empty() { "-".to_owned() } else { labels.join(", ") }),
        ("UID", or_dash(&cluster.uid)),
        ("State", cluster.state.to_string()),
        ("Freshness", format!("{}, heard {age}{}", cluster.judged.freshness(), if age == "never" { "" } else { " ago" })),
        ("Health", tables::health(&cluster.judged)),
        ("Index", tables::index(cluster)),
        ("Agent", or_dash(&cluster.agent_version)),
        ("Kubernetes", or_dash(&cluster.kubernetes_version)),
    ];
    if !cluster.api_versions.is_empty() {
        lines.push(("API versions", count(cluster.api_versions.len(), "version") + " (all with -o yaml)"));
    }
    if let Some(reason) = &cluster.reason {
        lines.push(("Reason", said(reason)));
    }
    lines.push(("Nodes", tables::nodes(cluster)));
    let mut text: String = lines.iter().map(|(name, value)| format!("{:<14}{}\n", format!("{name}:"), plain(value))).collect();
    if let Some(nodes) = &cluster.nodes {
        text.push_str(&nodes_text(nodes));
    }
    text
}

fn nodes_text(nodes: &NodesView) -> String {
    let mut text = String::new();
    if !nodes.groups.is_empty() {
        text.push_str(&format!("\n{}", group_rows(&nodes.groups).text()));
    }
    if nodes.groups_left_out > 0 {
        text.push_str(&format!("and {} more\n", count(nodes.groups_left_out as usize, "group")));
    }
    if !nodes.devices.is_empty() {
        text.push_str(&format!("\n{}", device_rows(&nodes.devices).text()));
    }
    if nodes.devices_left_out > 0 {
        text.push_str(&format!("and {} more\n", count(nodes.devices_left_out as usize, "device")));
    }
    if let Some(reason) = &nodes.use_unknown {
        text.push_str(&format!("{}\n", plain(&said(reason))));
    }
    text
}

fn group_rows(groups: &[NodeGroupView]) -> Rows {
    let cell = |text: &String| if text.is_empty() { "-".to_owned() } else { text.clone() };
    let row = |group: &NodeGroupView| {
        vec![
            format!("{}/{}", group.ready, group.nodes),
            cell(&group.instance_type),
            cell(&group.architecture),
            cell(&group.region),
            cell(&group.zone),
            cell(&group.kubelet),
        ]
    };
    Rows { headings: &["READY", "TYPE", "ARCH", "REGION", "ZONE", "KUBELET"], cells: groups.iter().map(row).collect() }
}

fn device_rows(devices: &[DeviceView]) -> Rows {
    let row = |device: &DeviceView| {
        vec![
            device.resource.clone(),
            if device.product.is_empty() { "-".to_owned() } else { device.product.clone() },
            device.nodes.to_string(),
            device.capacity.to_string(),
            device.allocatable.to_string(),
            device.used.map_or_else(|| "unknown".to_owned(), |used| used.to_string()),
        ]
    };
    Rows { headings: &["DEVICE", "PRODUCT", "NODES", "CAPACITY", "ALLOCATABLE", "USED"], cells: devices.iter().map(row).collect() }
}
