//! `capstan logs`: the log of a pod of an app, as it is written. Which pod is meant, if the name of its owner is given, is found in the app's tree
//! and said.

use hub_api::{LogParameters, TreeNodeView};
use hub_client::{Client, LogEvent};

use crate::Exit;
use crate::args::{KindAndName, LogsArgs};
use crate::command::live::parameters;
use crate::console::Console;
use crate::failure::Failure;
use crate::tables::said;
use crate::text::log_line;

pub(crate) async fn run(client: &Client, args: LogsArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let (object, namespace) = match (&args.object, args.namespace.clone()) {
        (Some(object), namespace) if !object.kind.eq_ignore_ascii_case("pod") => {
            best_pod(client, &args, object, namespace, console).await?
        }
        (object, namespace) => (object.clone(), namespace),
    };
    let object = parameters(object.as_ref(), namespace);
    let asked = LogParameters {
        kind: object.kind,
        namespace: object.namespace,
        name: object.name,
        container: args.container,
        previous: args.previous,
        follow: args.follow,
        timestamps: args.timestamps,
        tail: args.tail,
        since_seconds: args.since.map(|since| since.as_secs()),
    };
    let mut log = client.log(&args.app, &args.cluster, &asked).await?;
    while let Some(event) = log.next().await? {
        match event {
            LogEvent::Line(line) => console.print(&format!("{}\n", log_line(&line)))?,
            LogEvent::CutShort(reason) => return Err(Failure::cut_short(said(&reason))),
        }
    }
    Ok(Exit::Ok)
}

/// The pod to read among those that `owner` owns, as kubectl chooses: one that is ready, and of these the youngest.
async fn best_pod(
    client: &Client,
    args: &LogsArgs,
    owner: &KindAndName,
    namespace: Option<String>,
    console: &mut Console<'_>,
) -> Result<(Option<KindAndName>, Option<String>), Failure> {
    let tree = client.tree(&args.app, &args.cluster).await?;
    let pods = pods_of(&tree.nodes, owner, namespace.as_deref());
    let Some(pod) = pods.iter().max_by_key(|pod| suitability(pod)) else {
        // The agent says better why there is none: no such object, several of that name, or no pods.
        return Ok((Some(owner.clone()), namespace));
    };
    if pods.len() > 1 {
        console.say(&format!("{} has {} pods; this is the log of pod/{}", owner.name, pods.len(), crate::text::plain(&pod.object.name)))?;
    }
    Ok((Some(KindAndName { kind: "pod".to_owned(), name: pod.object.name.clone() }), pod.object.namespace.clone()))
}

/// All pods below the one object that `owner` names; none if it names no object or several.
fn pods_of<'a>(nodes: &'a [TreeNodeView], owner: &KindAndName, namespace: Option<&str>) -> Vec<&'a TreeNodeView> {
    let (kind, group) = owner.kind.split_once('.').map_or((owner.kind.as_str(), None), |(kind, group)| (kind, Some(group)));
    let is_kind = |found: &str| {
        let found = found.to_lowercase();
        let kind = kind.to_lowercase();
        kind == found || kind.strip_suffix('s') == Some(&found)
    };
    let is_meant = |node: &&TreeNodeView| {
        let object = &node.object;
        object.name == owner.name
            && is_kind(&object.kind)
            && group.is_none_or(|group| object.group == group)
            && namespace.is_none_or(|namespace| object.namespace.as_deref() == Some(namespace))
    };
    let mut meant = nodes.iter().enumerate().filter(|(_, node)| is_meant(node));
    let (Some((top, _)), None) = (meant.next(), meant.next()) else { return Vec::new() };
    let mut below = vec![false; nodes.len()];
    below[top] = true;
    let mut pods = Vec::new();
    for (place, node) in nodes.iter().enumerate().skip(top + 1) {
        below[place] = node.owner.and_then(|owner| below.get(owner as usize)).copied().unwrap_or(false);
        if below[place] && node.pod.is_some() {
            pods.push(node);
        }
    }
    pods
}

/// Orders pods: ready before running before the rest, and then the younger.
fn suitability(node: &TreeNodeView) -> (bool, bool, std::cmp::Reverse<u64>) {
    let pod = node.pod.as_ref();
    let ready = pod.is_some_and(|pod| pod.wanted > 0 && pod.ready == pod.wanted);
    let runs = pod.is_some_and(|pod| pod.phase == "Running");
    (ready, runs, std::cmp::Reverse(pod.and_then(|pod| pod.age_seconds).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use hub_api::{HealthWord, ObjectRef, PodView};

    use super::*;

    fn node(kind: &str, name: &str, owner: Option<u32>, pod: Option<PodView>) -> TreeNodeView {
        let object = ObjectRef { group: String::new(), kind: kind.to_owned(), namespace: Some("web".to_owned()), name: name.to_owned() };
        TreeNodeView { object, owner, health: HealthWord::Healthy, reason: None, pod }
    }

    #[test]
    fn the_log_of_a_workload_is_that_of_its_best_pod() {
        let pod = |ready, phase: &str, age| {
            Some(PodView { ready, wanted: 1, phase: phase.to_owned(), age_seconds: Some(age), ..PodView::default() })
        };
        let nodes = [
            node("Deployment", "api", None, None),
            node("ReplicaSet", "api-r", Some(0), None),
            node("Pod", "old", Some(1), pod(1, "Running", 90)),
            node("Pod", "young", Some(1), pod(1, "Running", 9)),
            node("Pod", "newest", Some(1), pod(0, "Pending", 1)),
            node("Job", "train", None, None),
            node("Pod", "train-1", Some(5), pod(0, "Failed", 5)),
        ];
        let best = |kind: &str, name: &str, namespace| {
            let owner = KindAndName { kind: kind.to_owned(), name: name.to_owned() };
            pods_of(&nodes, &owner, namespace).into_iter().max_by_key(|pod| suitability(pod)).map(|pod| pod.object.name.as_str())
        };
        assert_eq!(best("deployments", "api", None), Some("young"));
        assert_eq!(best("Job", "train", Some("web")), Some("train-1"));
        assert_eq!(
            [best("deployment", "api", Some("other")), best("deployment", "ap", None), best("deployment.apps", "api", None)],
            [None; 3]
        );
    }
}
