//! What a cluster consists of: its nodes by kind, and GPUs and other devices by product with how many of them pods ask for. Looked at now and
//! then and never watched: the kubelets of 1,000 nodes rewrite 15 MB of Node objects every five minutes, and a cluster's pods are many more.
//!
//! Who uses a device is asked node by node, of those nodes that have devices: the API server answers that from an index of its watch cache, so
//! that the cost follows the devices and not the pods. Devices that pods claim through ResourceClaims are not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use serde_json::Value;
use shared_manifest::whole_quantity;
use shared_model::{Reason, Severity};
use shared_session::{DEVICE_LIMIT, Device, NODE_GROUP_LIMIT, NodeFacts, NodeGroup, Nodes};

use crate::connect::Cluster;
use crate::error::{ClusterError, Refusal};
use crate::request::{self, JSON};

/// Nodes per page: a Node with its list of images takes up to 20 KB, so that a page is 1 MB of text and some 5 MB in memory.
const NODE_PAGE: u32 = 50;

/// Pods per page of one node: a node has 110, a large one 250; 100 × 10 KB are 1 MB.
const POD_PAGE: u32 = 100;

/// The most nodes with devices whose pods are asked for in one look: 1,000 small requests, one after the other, are some five seconds of it.
/// Beyond that the use stays unknown.
const DEVICE_NODE_LIMIT: usize = 1_000;

/// Where the maker of a device puts its product: labels of nodes by the beginning of the resource's name. The first that is there counts.
const PRODUCT_LABELS: [(&str, &[&str]); 4] = [
    ("nvidia.com/", &["nvidia.com/gpu.product", "cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name"]),
    ("amd.com/", &["amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"]),
    ("gpu.intel.com/", &["gpu.intel.com/product"]),
    ("google.com/tpu", &["cloud.google.com/gke-tpu-accelerator"]),
];

impl Cluster {
    /// Looks at all nodes, and at the pods of those that have devices.
    pub async fn look_at_nodes(&self) -> Nodes {
        let mut tally = Tally::default();
        let count = |nodes: &mut [Value]| {
            nodes.iter().for_each(|node| tally.node(node));
            ControlFlow::Continue(())
        };
        let looked = self.each_page("/api/v1/nodes", NODE_PAGE, "", count).await;
        if let Err(error) = looked {
            return Nodes::Unknown(unknown(&error, "the cluster's nodes", "list nodes"));
        }
        let use_unknown = self.look_at_use(&mut tally).await.err();
        Nodes::Seen(tally.facts(use_unknown))
    }

    async fn look_at_use(&self, tally: &mut Tally) -> Result<(), Reason> {
        let nodes: Vec<String> = tally.products.keys().cloned().collect();
        if nodes.len() > DEVICE_NODE_LIMIT {
            let message = format!("{} nodes have devices; their pods are asked for on up to {DEVICE_NODE_LIMIT}", nodes.len());
            return Err(Reason::new(Severity::Warning, "TooManyNodes", message));
        }
        for node in nodes {
            let fields = format!("spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed");
            // Any state that the watch cache has will do, and only that cache has the index.
            let selector = format!("&resourceVersion=0&fieldSelector={}", request::escape_value(&fields));
            let count = |pods: &mut [Value]| {
                pods.iter().for_each(|pod| tally.pod(&node, pod));
                ControlFlow::Continue(())
            };
            let looked = self.each_page("/api/v1/pods", POD_PAGE, &selector, count).await;
            looked.map_err(|error| unknown(&error, "the use of devices", "list pods in all namespaces"))?;
        }
        Ok(())
    }

    /// Hands each page of a list to `take`, until that has enough.
    pub(crate) async fn each_page(
        &self,
        path: &str,
        size: u32,
        query: &str,
        mut take: impl FnMut(&mut [Value]) -> ControlFlow<()>,
    ) -> Result<(), ClusterError> {
        let mut token = String::new();
        loop {
            let mut page = self.request(request::get(&format!("{path}?limit={size}{query}{token}"), JSON)?).await?;
            let items = page.get_mut("items").and_then(Value::as_array_mut).map(Vec::as_mut_slice).unwrap_or_default();
            if take(items).is_break() {
                return Ok(());
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(next) if !next.is_empty() => token = format!("&continue={}", request::escape_value(next)),
                _ => return Ok(()),
            }
        }
    }
}

/// Why something is not known, with the right that is missing if that is the cause.
fn unknown(error: &ClusterError, what: &str, right: &str) -> Reason {
    if error.refusal() == Some(Refusal::Forbidden) {
        let message = format!("{what} are not known: the agent's service account may not {right}; grant that if placement should see them");
        return Reason::new(Severity::Warning, "Forbidden", message);
    }
    Reason::new(Severity::Warning, "NotObservable", format!("{what} are not known: {error}"))
}

/// What was counted so far.
#[derive(Default)]
struct Tally {
    total: u32,
    ready: u32,
    groups: BTreeMap<[String; 5], (u32, u32)>,
    devices: BTreeMap<(String, String), Device>,
    /// The product of each device of each node that has some.
    products: BTreeMap<String, BTreeMap<String, String>>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn label<'a>(node: &'a Value, name: &str) -> Option<&'a str> {
    node.pointer("/metadata/labels")?.get(name)?.as_str().filter(|value| !value.is_empty())
}

impl Tally {
    fn node(&mut self, node: &Value) {
        let is_ready = |condition: &Value| text(condition, "/type") == "Ready" && text(condition, "/status") == "True";
        let ready = u32::from(node.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|all| all.iter().any(is_ready)));
        self.total += 1;
        self.ready += ready;
        let kubelet = text(node, "/status/nodeInfo/kubeletVersion");
        let labels =
            ["node.kubernetes.io/instance-type", "kubernetes.io/arch", "topology.kubernetes.io/region", "topology.kubernetes.io/zone"];
        let [instance_type, architecture, region, zone] = labels.map(|name| label(node, name).unwrap_or_default().to_owned());
        let group = self.groups.entry([instance_type, architecture, region, zone, kubelet.to_owned()]).or_default();
        group.0 += 1;
        group.1 += ready;
        let amounts = |field: &str| node.pointer(field).and_then(Value::as_object).into_iter().flatten();
        let mut products = BTreeMap::new();
        for (resource, capacity) in amounts("/status/capacity").filter(|(resource, _)| is_device(resource)) {
            // A driver that was taken away leaves a capacity of 0 behind.
            let capacity = amount(capacity);
            if capacity == 0 {
                continue;
            }
            let product = product(node, resource);
            let device = self.devices.entry((resource.clone(), product.clone())).or_default();
            device.nodes += 1;
            device.capacity += capacity;
            device.allocatable += node.pointer("/status/allocatable").and_then(|all| all.get(resource)).map_or(0, amount);
            products.insert(resource.clone(), product);
        }
        if !products.is_empty() {
            self.products.insert(text(node, "/metadata/name").to_owned(), products);
        }
    }

    fn pod(&mut self, node: &str, pod: &Value) {
        let Some(products) = self.products.get(node) else { return };
        for (resource, asked) in asked_devices(pod) {
            let key = (resource.clone(), products.get(&resource).cloned().unwrap_or_default());
            if let Some(device) = self.devices.get_mut(&key) {
                device.used = Some(device.used.unwrap_or(0) + asked);
            }
        }
    }

    fn facts(self, use_unknown: Option<Reason>) -> NodeFacts {
        let group = |([instance_type, architecture, region, zone, kubelet], (nodes, ready)): ([String; 5], (u32, u32))| NodeGroup {
            instance_type,
            architecture,
            region,
            zone,
            kubelet,
            nodes,
            ready,
        };
        let mut groups: Vec<NodeGroup> = self.groups.into_iter().map(group).collect();
        // Equal ones stay in the order of their names, so that equal clusters are told equally.
        groups.sort_by_key(|group| std::cmp::Reverse(group.nodes));
        let known = use_unknown.is_none();
        let device = |((resource, product), device): ((String, String), Device)| Device {
            resource,
            product,
            used: known.then_some(device.used.unwrap_or(0)),
            ..device
        };
        let mut devices: Vec<Device> = self.devices.into_iter().map(device).collect();
        let left_out = |count: usize, limit: usize| u32::try_from(count.saturating_sub(limit)).unwrap_or(u32::MAX);
        let (groups_left_out, devices_left_out) = (left_out(groups.len(), NODE_GROUP_LIMIT), left_out(devices.len(), DEVICE_LIMIT));
        groups.truncate(NODE_GROUP_LIMIT);
        devices.truncate(DEVICE_LIMIT);
        NodeFacts { total: self.total, ready: self.ready, groups, groups_left_out, devices, devices_left_out, use_unknown }
    }
}

/// Extended resources have a domain that is not Kubernetes' own
/// (<https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#extended-resources>).
fn is_device(resource: &str) -> bool {
    let domain = resource.split_once('/').map(|(domain, _)| domain);
    domain.is_some_and(|domain| domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io"))
}

fn product(node: &Value, resource: &str) -> String {
    let labels = PRODUCT_LABELS.iter().find(|(prefix, _)| resource.starts_with(prefix)).map_or([].as_slice(), |(_, labels)| labels);
    labels.iter().find_map(|name| label(node, name)).unwrap_or_default().to_owned()
}

/// Whole devices; Kubernetes takes no fractions of them.
fn amount(quantity: &Value) -> u64 {
    whole_quantity(quantity).unwrap_or(0)
}

/// What a pod asks of each device: its containers and those that run beside them together, or one container of its start if that asks for
/// more, as the scheduler counts it
/// (<https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers>).
fn asked_devices(pod: &Value) -> BTreeMap<String, u64> {
    let containers = |field: &str| pod.pointer(field).and_then(Value::as_array).into_iter().flatten();
    let requests = |container: &Value| -> BTreeMap<String, u64> {
        let requests = container.pointer("/resources/requests").and_then(Value::as_object).into_iter().flatten();
        requests.filter(|(resource, _)| is_device(resource)).map(|(resource, asked)| (resource.clone(), amount(asked))).collect()
    };
    let mut beside: BTreeMap<String, u64> = BTreeMap::new();
    let mut start: BTreeMap<String, u64> = BTreeMap::new();
    for container in containers("/spec/initContainers") {
        for (resource, asked) in requests(container) {
            let already = beside.get(&resource).copied().unwrap_or(0);
            let most = start.entry(resource.clone()).or_default();
            *most = (*most).max(already + asked);
            if text(container, "/restartPolicy") == "Always" {
                *beside.entry(resource).or_default() += asked;
            }
        }
    }
    let mut running = beside;
    for (resource, asked) in containers("/spec/containers").flat_map(requests) {
        *running.entry(resource).or_default() += asked;
    }
    let resources: BTreeSet<String> = running.keys().chain(start.keys()).cloned().collect();
    let most = |resource: &String| running.get(resource).copied().unwrap_or(0).max(start.get(resource).copied().unwrap_or(0));
    resources.into_iter().map(|resource| (resource.clone(), most(&resource))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "the tests read better with json!(…) as it is")]
    fn node(name: &str, ready: &str, labels: Value, amounts: Value) -> Value {
        json!({"metadata": {"name": name, "labels": labels},
            "status": {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}],
                "nodeInfo": {"kubeletVersion": "v1.34.1"}, "capacity": amounts, "allocatable": amounts}})
    }

    fn gpu_labels(product: &str) -> Value {
        json!({"nvidia.com/gpu.product": product, "node.kubernetes.io/instance-type": "p5", "topology.kubernetes.io/zone": "a"})
    }

    #[expect(clippy::needless_pass_by_value, reason = "the tests read better with json!(…) as it is")]
    fn requests(amounts: Value) -> Value {
        json!({"resources": {"requests": amounts}})
    }

    #[test]
    fn nodes_and_devices_are_counted_by_kind_and_product() {
        let mut tally = Tally::default();
        tally.node(&node("a", "True", gpu_labels("H100"), json!({"nvidia.com/gpu": "8", "cpu": "96", "hugepages-2Mi": "0"})));
        tally.node(&node("b", "Unknown", gpu_labels("H100"), json!({"nvidia.com/gpu": "8", "rdma/hca": "1k"})));
        tally.node(&node("c", "True", gpu_labels("A100"), json!({"nvidia.com/mig-1g.10gb": "7", "nvidia.com/gpu": "0"})));
        tally.node(&node("d", "True", json!({}), json!({"cpu": "4", "node.kubernetes.io/x": "1"})));
        let gpus = |count: &str| json!({"spec": {"containers": [requests(json!({"nvidia.com/gpu": count, "cpu": "1"}))]}});
        tally.pod("a", &gpus("4"));
        tally.pod("b", &gpus("8"));
        tally.pod("c", &json!({"spec": {"containers": [requests(json!({"nvidia.com/mig-1g.10gb": "2"}))]}}));
        tally.pod("d", &gpus("1"));
        let facts = tally.facts(None);
        assert_eq!((facts.total, facts.ready), (4, 3));
        let groups: Vec<_> = facts.groups.iter().map(|group| (group.instance_type.as_str(), group.nodes, group.ready)).collect();
        assert_eq!(groups, [("p5", 3, 2), ("", 1, 1)]);
        let devices: Vec<_> =
            facts.devices.iter().map(|d| (d.resource.as_str(), d.product.as_str(), d.nodes, d.capacity, d.allocatable, d.used)).collect();
        assert_eq!(
            devices,
            [
                ("nvidia.com/gpu", "H100", 2, 16, 16, Some(12)),
                ("nvidia.com/mig-1g.10gb", "A100", 1, 7, 7, Some(2)),
                ("rdma/hca", "", 1, 1000, 1000, Some(0)),
            ]
        );
    }

    #[test]
    fn what_cannot_be_counted_is_unknown_and_not_zero() {
        let mut tally = Tally::default();
        tally.node(&node("a", "True", json!({}), json!({"amd.com/gpu": 4})));
        let forbidden = ClusterError::Refused { refusal: Refusal::Forbidden, message: "no".to_owned() };
        let facts = tally.facts(Some(unknown(&forbidden, "the use of devices", "list pods in all namespaces")));
        assert_eq!((facts.devices[0].capacity, facts.devices[0].used), (4, None));
        assert!(facts.use_unknown.is_some_and(|reason| reason.code == "Forbidden" && reason.message.contains("list pods")));
    }

    #[test]
    fn a_pod_asks_for_the_most_that_it_needs_at_once() {
        let gpu = |count: u64| requests(json!({"nvidia.com/gpu": count.to_string()}));
        let sidecar = |count: u64| {
            let mut container = gpu(count);
            container["restartPolicy"] = json!("Always");
            container
        };
        for (init, containers, expected) in [
            (vec![], vec![gpu(2), gpu(1)], 3),
            (vec![gpu(4)], vec![gpu(2)], 4),
            (vec![sidecar(1)], vec![gpu(2)], 3),
            (vec![sidecar(1), gpu(3)], vec![gpu(2)], 4),
            (vec![gpu(3), sidecar(1)], vec![gpu(1)], 3),
        ] {
            let pod = json!({"spec": {"initContainers": init, "containers": containers}});
            assert_eq!(asked_devices(&pod).get("nvidia.com/gpu"), Some(&expected), "{pod}");
        }
        assert_eq!(asked_devices(&json!({"spec": {"containers": [requests(json!({"cpu": "1"}))]}})), BTreeMap::new());
    }
}
