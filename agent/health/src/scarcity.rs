//! What somebody waits for, told from the words of those who hold it back: the scheduler, resource quotas, Kueue and Volcano. Which resource,
//! how many, and which nodes. Words that are not understood are passed on as they are.

use std::fmt::Write as _;

use serde_json::Value;

/// The most reasons of a scheduler that are told; it has one for each kind of obstacle, and a cluster has few.
const OBSTACLES: usize = 8;

/// Why a pod is on no node, from the scheduler's message: `0/5 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated
/// taint {a: b}. preemption: …`. With the pod it also says how many it asks for, and for which nodes.
pub(crate) fn unschedulable(message: &str, pod: Option<&Value>) -> String {
    let Some((nodes, obstacles)) = scheduler_words(message) else { return message.to_owned() };
    let lacking: Vec<(u64, &str)> =
        obstacles.iter().filter_map(|(count, what)| Some((*count, what.strip_prefix("Insufficient ")?))).collect();
    let others = obstacles.iter().filter(|(_, what)| !what.starts_with("Insufficient "));
    let mut told = if lacking.is_empty() { format!("fits on none of {nodes} nodes") } else { "waits for ".to_owned() };
    for (position, (count, resource)) in lacking.iter().enumerate() {
        let amount = pod.and_then(|pod| requested(pod, resource)).map_or(String::new(), |amount| format!("{amount} "));
        let join = if position == 0 { "" } else { " and " };
        let _ = write!(told, "{join}{amount}{resource}, of which {count} of {nodes} nodes have too little free");
    }
    for (count, what) in others {
        let _ = write!(told, "; {count} of {nodes} {what}");
    }
    if let Some(selector) = pod.and_then(node_selector) {
        let _ = write!(told, "; it asks for nodes with {selector}");
    }
    told
}

/// The number of nodes, and how many of them have which obstacle.
fn scheduler_words(message: &str) -> Option<(u64, Vec<(u64, &str)>)> {
    let (counts, rest) = message.split_once(" nodes are ").filter(|(counts, _)| counts.len() < 16)?;
    let nodes = counts.strip_prefix("0/")?.parse().ok()?;
    let (_, rest) = rest.split_once(": ")?;
    let rest = rest.split(". preemption: ").next().unwrap_or(rest).trim_end_matches(['.', ' ']);
    let obstacles = outside_braces(rest).filter_map(|part| {
        let (count, what) = part.trim().split_once(' ')?;
        Some((count.parse().ok()?, what))
    });
    let obstacles: Vec<_> = obstacles.take(OBSTACLES).collect();
    (!obstacles.is_empty()).then_some((nodes, obstacles))
}

/// The parts between commas that stand in no braces: the value of a taint may hold a comma.
fn outside_braces(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |character| {
        depth += i32::from(character == '{') - i32::from(character == '}');
        character == ',' && depth <= 0
    })
}

/// How much of `resource` the containers of a pod ask for together.
fn requested(pod: &Value, resource: &str) -> Option<String> {
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    let asks = containers.iter().filter_map(|container| {
        let resources = container.get("resources")?;
        let amount = ["requests", "limits"].into_iter().find_map(|kind| resources.get(kind)?.get(resource))?;
        Some(amount.as_str().map_or_else(|| amount.to_string(), str::to_owned))
    });
    let asks: Vec<String> = asks.collect();
    let numbers: Option<Vec<u64>> = asks.iter().map(|ask| ask.parse().ok()).collect();
    match numbers {
        _ if asks.is_empty() => None,
        Some(numbers) => Some(numbers.iter().fold(0_u64, |sum, number| sum.saturating_add(*number)).to_string()),
        None => Some(asks.join("+")),
    }
}

/// `a=b, c=d` of a pod's node selector.
fn node_selector(pod: &Value) -> Option<String> {
    let selector = pod.pointer("/spec/nodeSelector")?.as_object().filter(|map| !map.is_empty())?;
    let pairs = selector.iter().map(|(label, value)| format!("{label}={}", value.as_str().unwrap_or_default()));
    Some(pairs.collect::<Vec<_>>().join(", "))
}

/// What a resource quota refused, from the API server's message: `… is forbidden: exceeded quota: gpus, requested:
/// requests.nvidia.com/gpu=8, used: requests.nvidia.com/gpu=4, limited: requests.nvidia.com/gpu=8`. `None` if it is about something else.
pub(crate) fn exceeded_quota(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("exceeded quota: ")?;
    let section = |name: &str| -> Option<&str> {
        let (_, after) = rest.split_once(&format!(", {name}: "))?;
        Some([", requested: ", ", used: ", ", limited: "].iter().fold(after, |text, end| text.split(end).next().unwrap_or(text)))
    };
    let quota = rest.split(", ").next().unwrap_or(rest);
    let value = |list: Option<&str>, resource: &str| -> Option<String> {
        list?.split(',').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == resource)).map(|(_, value)| value.to_owned())
    };
    let mut told = format!("waits for quota {quota}");
    let requested: Vec<_> = section("requested").unwrap_or_default().split(',').filter_map(|pair| pair.split_once('=')).collect();
    for (position, (resource, amount)) in requested.iter().enumerate() {
        let join = if position == 0 { ": " } else { ", " };
        let _ = write!(told, "{join}{amount} {resource} asked for");
        if let (Some(used), Some(limit)) = (value(section("used"), resource), value(section("limited"), resource)) {
            let _ = write!(told, ", {used} of {limit} used");
        }
    }
    Some(told)
}

/// What a Workload of Kueue waits for, from its message: `couldn't assign flavors to pod set main: insufficient unused quota for
/// nvidia.com/gpu in flavor h100, 8 more needed`.
pub(crate) fn kueue_quota(message: &str) -> String {
    let Some((_, rest)) = message.split_once("quota for ") else { return message.to_owned() };
    let Some((resource, rest)) = rest.split_once(" in flavor ") else { return message.to_owned() };
    let (flavor, rest) = rest.split_once(", ").unwrap_or((rest, ""));
    if let Some((asked, capacity)) = rest.split_once("maximum capacity (").and_then(|(_, rest)| rest.split(')').next()?.split_once(" > ")) {
        return format!("asks for {asked} {resource} in flavor {flavor}, and its queue can give {capacity} at most");
    }
    match rest.split_once(" more needed") {
        Some((count, _)) => format!("waits for {count} more {resource} in flavor {flavor}"),
        None => format!("waits for {resource} in flavor {flavor}: {rest}"),
    }
}

/// `8 nvidia.com/gpu, 64 cpu` of what a group of pods needs all at once; `None` if it says nothing.
pub(crate) fn needs_together(resources: Option<&Value>) -> Option<String> {
    let resources = resources?.as_object().filter(|map| !map.is_empty())?;
    let told =
        resources.iter().map(|(name, amount)| format!("{} {name}", amount.as_str().map_or_else(|| amount.to_string(), str::to_owned)));
    Some(told.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schedulers_words_become_resource_count_and_nodes() {
        let pod = json!({"spec": {"nodeSelector": {"nvidia.com/gpu.product": "H100"}, "containers": [
            {"resources": {"limits": {"nvidia.com/gpu": "4"}}}, {"resources": {"limits": {"nvidia.com/gpu": 4}}}]}});
        for (message, told) in [
            (
                "0/5 nodes are available: 3 Insufficient nvidia.com/gpu, 2 node(s) had untolerated taint {nvidia.com/gpu: present,x}. preemption: 0/5 nodes are available: 5 No preemption victims found for incoming pod.",
                "waits for 8 nvidia.com/gpu, of which 3 of 5 nodes have too little free; 2 of 5 node(s) had untolerated taint {nvidia.com/gpu: present,x}; it asks for nodes with nvidia.com/gpu.product=H100",
            ),
            (
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
                "fits on none of 2 nodes; 2 of 2 node(s) didn't match Pod's node affinity/selector; it asks for nodes with nvidia.com/gpu.product=H100",
            ),
            ("no nodes available to schedule pods", "no nodes available to schedule pods"),
            ("0/3 nodes are available: {,{", "0/3 nodes are available: {,{"),
        ] {
            assert_eq!(unschedulable(message, Some(&pod)), told);
        }
        assert_eq!(
            unschedulable("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.", None),
            "waits for cpu, of which 1 of 1 nodes have too little free and memory, of which 1 of 1 nodes have too little free"
        );
    }

    #[test]
    fn quotas_say_what_is_asked_for_and_what_is_used() {
        let message = "pods \"x\" is forbidden: exceeded quota: gpus, requested: pods=1,requests.nvidia.com/gpu=8, used: pods=2,requests.nvidia.com/gpu=4, limited: pods=9,requests.nvidia.com/gpu=8";
        assert_eq!(
            exceeded_quota(message).as_deref(),
            Some("waits for quota gpus: 1 pods asked for, 2 of 9 used, 8 requests.nvidia.com/gpu asked for, 4 of 8 used")
        );
        assert_eq!(exceeded_quota("pods \"x\" is forbidden: violates PodSecurity"), None);
        let kueue = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor h100, 8 more needed";
        assert_eq!(kueue_quota(kueue), "waits for 8 more nvidia.com/gpu in flavor h100");
        let never = "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor h100, request > maximum capacity (16 > 8)";
        assert_eq!(kueue_quota(never), "asks for 16 nvidia.com/gpu in flavor h100, and its queue can give 8 at most");
        assert_eq!(kueue_quota("The workload has no queue"), "The workload has no queue");
    }
}
