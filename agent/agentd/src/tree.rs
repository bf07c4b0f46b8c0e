//! The objects of an app and what they own, as a tree, and which of them somebody means. Only what hangs on an object that the agent owns by uid
//! is in it, so that nothing else can be asked for. Reading objects is left to `live`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shared_model::{GroupKind, Health, ObjectKey, Reason, Severity};
use shared_session::{CONTAINER_LIMIT, ObjectQuery, PodFacts, TreeNode};

/// The kinds that are looked through for what an app's objects own, where they are served: what the controllers of Kubernetes and of the ML world
/// make. A Secret is never among them.
pub(crate) const OWNED_KINDS: [(&str, &str); 27] = [
    ("", "Pod"),
    ("", "PersistentVolumeClaim"),
    ("apps", "ReplicaSet"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
    ("ray.io", "RayCluster"),
    ("ray.io", "RayJob"),
    ("jobset.x-k8s.io", "JobSet"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
    ("kueue.x-k8s.io", "Workload"),
    ("scheduling.volcano.sh", "PodGroup"),
    ("scheduling.x-k8s.io", "PodGroup"),
    ("batch.volcano.sh", "Job"),
    ("kubeflow.org", "PyTorchJob"),
    ("kubeflow.org", "TFJob"),
    ("kubeflow.org", "MPIJob"),
    ("kubeflow.org", "Trial"),
    ("serving.kserve.io", "InferenceService"),
    ("serving.knative.dev", "Service"),
    ("serving.knative.dev", "Configuration"),
    ("serving.knative.dev", "Revision"),
    ("argoproj.io", "Workflow"),
    ("argoproj.io", "Rollout"),
    ("cert-manager.io", "Certificate"),
    ("cert-manager.io", "CertificateRequest"),
];

/// Kinds that own nothing which is looked for; an app of these alone costs no look at pods.
const CHILDLESS: [(&str, &str); 9] = [
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "ServiceAccount"),
    ("", "Namespace"),
    ("", "PersistentVolumeClaim"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
];

/// The annotation by which a pod says whose log is meant if nobody does (kubectl reads the same).
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Whether objects of this kind may own some that are looked for.
pub(crate) fn may_own(kind: &GroupKind) -> bool {
    !CHILDLESS.contains(&(kind.group.as_str(), kind.kind.as_str()))
}

/// An object of the app itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) object: ObjectKey,
    /// The uid of what the agent made; `None` if there is nothing that it owns.
    pub(crate) uid: Option<String>,
    pub(crate) health: Health,
    pub(crate) reason: Option<Reason>,
}

/// An object that somebody may own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) object: ObjectKey,
    pub(crate) uid: String,
    pub(crate) owners: Vec<String>,
    pub(crate) health: Health,
    pub(crate) reason: Option<Reason>,
    pub(crate) pod: Option<PodFacts>,
}

/// One place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) uid: Option<String>,
    pub(crate) node: TreeNode,
}

/// Hangs each candidate below its owner, and leaves out those that have none here. Owners come before what they own.
pub(crate) fn grow(roots: Vec<Root>, candidates: &[Candidate]) -> Vec<Branch> {
    let mut below: BTreeMap<&str, Vec<&Candidate>> = BTreeMap::new();
    for candidate in candidates {
        for owner in &candidate.owners {
            below.entry(owner).or_default().push(candidate);
        }
    }
    for owned in below.values_mut() {
        owned.sort_by(|a, b| a.object.cmp(&b.object));
    }
    let mut placed: BTreeSet<String> = roots.iter().filter_map(|root| root.uid.clone()).collect();
    let mut branches = Vec::new();
    for Root { object, uid, health, reason } in roots {
        let place = branches.len();
        branches.push(Branch { uid: uid.clone(), node: TreeNode { object, owner: None, health, reason, pod: None } });
        let Some(uid) = uid else { continue };
        let owned = |owner: usize, uid: &str| -> Vec<(usize, &Candidate)> {
            below.get(uid).into_iter().flatten().rev().map(|candidate| (owner, *candidate)).collect()
        };
        let mut open = owned(place, &uid);
        while let Some((owner, candidate)) = open.pop() {
            // With two owners it hangs below the first; owners in a circle hang nowhere.
            if !placed.insert(candidate.uid.clone()) {
                continue;
            }
            let Candidate { object, uid, health, reason, pod, .. } = candidate.clone();
            let node = TreeNode { object, owner: u32::try_from(owner).ok(), health, reason, pod };
            open.extend(owned(branches.len(), &uid));
            branches.push(Branch { uid: Some(uid), node });
        }
    }
    branches
}

/// The places of `top` and of all that hangs below it.
pub(crate) fn with_owned(branches: &[Branch], top: usize) -> BTreeSet<usize> {
    let mut places = BTreeSet::from([top]);
    for (place, branch) in branches.iter().enumerate().skip(top) {
        if branch.node.owner.is_some_and(|owner| places.contains(&(owner as usize))) {
            places.insert(place);
        }
    }
    places
}

/// Which object is meant. `plural` tells how a kind is called in paths.
///
/// # Errors
/// None, or several.
pub(crate) fn find<'a>(
    objects: impl Iterator<Item = &'a ObjectKey>,
    query: &ObjectQuery,
    plural: impl Fn(&GroupKind) -> Option<String>,
) -> Result<usize, Reason> {
    let (kind, group) = query.kind.split_once('.').map_or((query.kind.as_str(), None), |(kind, group)| (kind, Some(group)));
    let is_kind = |found: &GroupKind| {
        group.is_none_or(|group| found.group == group)
            && (found.kind.eq_ignore_ascii_case(kind) || plural(found).is_some_and(|plural| plural.eq_ignore_ascii_case(kind)))
    };
    let is_meant = |object: &ObjectKey| {
        object.name == query.name
            && is_kind(&object.kind)
            && query.namespace.as_ref().is_none_or(|asked| object.namespace.as_ref() == Some(asked))
    };
    let mut found = objects.enumerate().filter(|(_, object)| is_meant(object));
    let error = |code: &str, message: String| Reason::new(Severity::Error, code, message);
    match (found.next(), found.next()) {
        (Some((place, _)), None) => Ok(place),
        (None, _) => {
            let place = query.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
            let message =
                format!("neither the app nor what it owns has a {}/{}{place}; `capstan tree` shows what it has", query.kind, query.name);
            Err(error("NoSuchObject", message))
        }
        (Some((_, first)), Some((_, second))) => {
            let message = format!("{}/{} is {first}, {second} and maybe more; name the group or the namespace too", query.kind, query.name);
            Err(error("SeveralObjects", message))
        }
    }
}

/// The pod whose log is meant among the places `among`.
///
/// # Errors
/// None, or several.
pub(crate) fn only_pod<'a>(branches: &'a [Branch], among: &BTreeSet<usize>) -> Result<&'a Branch, Reason> {
    let pods: Vec<&Branch> = among.iter().filter_map(|place| branches.get(*place)).filter(|branch| branch.node.pod.is_some()).collect();
    match pods[..] {
        [pod] => Ok(pod),
        [] => Err(Reason::new(Severity::Wait, "NoPods", "there is no pod; `capstan tree` shows what there is, and why")),
        _ => {
            let mut names: Vec<String> = pods.iter().take(NAMED).map(|pod| format!("pod/{}", pod.node.object.name)).collect();
            if pods.len() > NAMED {
                names.push(format!("{} more", pods.len() - NAMED));
            }
            Err(Reason::new(Severity::Error, "SeveralPods", format!("there are {} pods; name one: {}", pods.len(), names.join(", "))))
        }
    }
}

/// How many pods or containers a refusal names.
const NAMED: usize = 10;

/// The container of a live pod whose log is meant.
///
/// # Errors
/// There is none of that name, or nobody says which.
pub(crate) fn container(pod: &Value, asked: Option<&str>) -> Result<String, Reason> {
    let names = |field: &str| -> Vec<&str> {
        let containers = pod.pointer(field).and_then(Value::as_array).into_iter().flatten();
        containers.filter_map(|container| container.get("name")?.as_str()).collect()
    };
    let own = names("/spec/containers");
    let all: Vec<&str> = own.iter().copied().chain(names("/spec/initContainers")).chain(names("/spec/ephemeralContainers")).collect();
    let list = |names: &[&str]| names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let default = pod.pointer("/metadata/annotations").and_then(|all| all.get(DEFAULT_CONTAINER)?.as_str());
    match (asked, default.filter(|name| all.contains(name)), &own[..]) {
        (Some(asked), _, _) if all.contains(&asked) => Ok(asked.to_owned()),
        (Some(asked), _, _) => {
            Err(Reason::new(Severity::Error, "NoSuchContainer", format!("the pod has no container {asked}; it has {}", list(&all))))
        }
        (None, Some(default), _) => Ok(default.to_owned()),
        (None, None, [only]) => Ok((*only).to_owned()),
        (None, None, several) => {
            let message = format!("the pod has several containers; name one with --container: {}", list(several));
            Err(Reason::new(Severity::Error, "SeveralContainers", message))
        }
    }
}

/// What a list says of an object that somebody may own; `None` if it says not even which it is.
pub(crate) fn candidate(object: &Value, assess: impl Fn(&Value) -> (Health, Option<Reason>)) -> Option<Candidate> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = GroupKind::of(text("/apiVersion")?, text("/kind")?);
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
    let mut owners: Vec<(bool, String)> = owners
        .filter_map(|owner| Some((owner.get("controller").and_then(Value::as_bool) != Some(true), owner.get("uid")?.as_str()?.to_owned())))
        .collect();
    // The one that made it comes first.
    owners.sort_by_key(|(is_other, _)| *is_other);
    let (health, reason) = assess(object);
    Some(Candidate {
        uid: text("/metadata/uid")?.to_owned(),
        owners: owners.into_iter().map(|(_, uid)| uid).collect(),
        pod: (kind.group.is_empty() && kind.kind == "Pod").then(|| pod_facts(object)),
        object: ObjectKey::new(kind, text("/metadata/namespace"), text("/metadata/name")?),
        health,
        reason,
    })
}

fn pod_facts(pod: &Value) -> PodFacts {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let statuses = list("/status/containerStatuses");
    let all = list("/status/initContainerStatuses").iter().chain(statuses);
    let restarts: u64 = all.filter_map(|status| status.get("restartCount")?.as_u64()).sum();
    let containers = list("/spec/initContainers").iter().chain(list("/spec/containers"));
    PodFacts {
        phase: text("/status/phase"),
        node: text("/spec/nodeName"),
        containers: containers.filter_map(|container| Some(container.get("name")?.as_str()?.to_owned())).take(CONTAINER_LIMIT).collect(),
        ready: number(statuses.iter().filter(|status| status.get("ready").and_then(Value::as_bool) == Some(true)).count()),
        wanted: number(list("/spec/containers").len()),
        restarts: u32::try_from(restarts).unwrap_or(u32::MAX),
        created: text("/metadata/creationTimestamp").parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(group: &str, kind: &str, name: &str) -> ObjectKey {
        ObjectKey::new(GroupKind::new(group, kind), Some("web"), name)
    }

    fn root(group: &str, kind: &str, name: &str, uid: &str) -> Root {
        let uid = Some(uid.to_owned()).filter(|uid| !uid.is_empty());
        Root { object: key(group, kind, name), uid, health: Health::Healthy, reason: None }
    }

    fn owned(group: &str, kind: &str, name: &str, uid: &str, owners: &[&str]) -> Candidate {
        Candidate {
            object: key(group, kind, name),
            uid: uid.to_owned(),
            owners: owners.iter().map(|owner| (*owner).to_owned()).collect(),
            health: Health::Healthy,
            reason: None,
            pod: (kind == "Pod").then(PodFacts::default),
        }
    }

    fn shown(branches: &[Branch]) -> Vec<String> {
        let depth = |mut place: usize| {
            let mut depth = 0;
            while let Some(owner) = branches[place].node.owner {
                (place, depth) = (owner as usize, depth + 1);
            }
            depth
        };
        branches.iter().enumerate().map(|(place, branch)| format!("{}{}", "-".repeat(depth(place)), branch.node.object.name)).collect()
    }

    #[test]
    fn a_tree_holds_what_hangs_on_the_apps_own_objects_and_nothing_else() {
        let roots =
            vec![root("apps", "Deployment", "api", "d"), root("apps", "Deployment", "absent", ""), root("batch", "Job", "train", "j")];
        let candidates = vec![
            owned("", "Pod", "api-2", "p2", &["r"]),
            owned("", "Pod", "api-1", "p1", &["r"]),
            owned("apps", "ReplicaSet", "api-r", "r", &["d"]),
            owned("", "Pod", "train-1", "p3", &["j", "d"]),
            owned("", "Pod", "stranger", "p4", &["elsewhere"]),
            owned("", "Pod", "alone", "p5", &[]),
            owned("", "Pod", "snake-a", "s1", &["s2"]),
            owned("", "Pod", "snake-b", "s2", &["s1"]),
            owned("", "Pod", "unborn", "p6", &[""]),
        ];
        let branches = grow(roots, &candidates);
        assert_eq!(shown(&branches), ["api", "-train-1", "-api-r", "--api-1", "--api-2", "absent", "train"]);
        assert_eq!(with_owned(&branches, 2), BTreeSet::from([2, 3, 4]));
    }

    #[test]
    fn people_name_objects_in_many_ways_and_never_more_than_one() {
        let objects = [key("apps", "Deployment", "api"), key("", "Service", "api"), key("serving.knative.dev", "Service", "api")];
        let plural = |kind: &GroupKind| Some(format!("{}s", kind.kind.to_lowercase()));
        let ask = |kind: &str, namespace: Option<&str>, name: &str| {
            let query = ObjectQuery { kind: kind.to_owned(), namespace: namespace.map(str::to_owned), name: name.to_owned() };
            find(objects.iter(), &query, plural).map_err(|reason| reason.code)
        };
        for kind in ["Deployment", "deployment", "deployments", "deployments.apps", "Deployment.apps"] {
            assert_eq!(ask(kind, None, "api"), Ok(0), "{kind}");
        }
        assert_eq!(ask("service", None, "api"), Err("SeveralObjects".to_owned()));
        assert_eq!(ask("service.", None, "api"), Ok(1), "the core group is empty");
        assert_eq!(ask("service.serving.knative.dev", Some("web"), "api"), Ok(2));
        for (kind, namespace, name) in [("deployment", Some("other"), "api"), ("deployment", None, "ap"), ("deploy", None, "api")] {
            assert_eq!(ask(kind, namespace, name), Err("NoSuchObject".to_owned()));
        }
    }

    #[test]
    fn a_log_is_of_one_pod_and_one_container() {
        let roots = vec![root("apps", "Deployment", "api", "d"), root("", "ConfigMap", "c", "c")];
        let pods: Vec<Candidate> = (0..12).map(|n| owned("", "Pod", &format!("api-{n}"), &format!("p{n}"), &["d"])).collect();
        let many = grow(roots.clone(), &pods);
        let several = only_pod(&many, &with_owned(&many, 0)).unwrap_err();
        assert!(
            several.message.starts_with("there are 12 pods; name one: pod/api-0, ") && several.message.ends_with(", 2 more"),
            "{several}"
        );
        let one = grow(roots, &[owned("", "Pod", "api-1", "p1", &["d"])]);
        assert_eq!(only_pod(&one, &with_owned(&one, 0)).unwrap().node.object.name, "api-1");
        let last = one.len() - 1;
        assert_eq!(only_pod(&one, &with_owned(&one, last)).unwrap_err().code, "NoPods");

        let pod = |names: &[&str], default: Option<&str>| {
            let containers: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
            json!({"metadata": {"annotations": {DEFAULT_CONTAINER: default}}, "spec": {"containers": containers, "initContainers": [{"name": "init"}]}})
        };
        let ask = |names: &[&str], default, asked| container(&pod(names, default), asked).map_err(|reason| reason.code);
        assert_eq!(ask(&["a"], None, None), Ok("a".to_owned()));
        assert_eq!(ask(&["a", "b"], Some("b"), None), Ok("b".to_owned()));
        assert_eq!(ask(&["a", "b"], Some("gone"), None), Err("SeveralContainers".to_owned()));
        assert_eq!(ask(&["a", "b"], Some("b"), Some("init")), Ok("init".to_owned()));
        assert_eq!(ask(&["a"], None, Some("b&previous=true")), Err("NoSuchContainer".to_owned()));
    }

    #[test]
    fn what_a_pod_says_of_itself_is_taken_from_its_status() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "api-1", "namespace": "web", "uid": "p", "creationTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"uid": "other"}, {"uid": "r", "controller": true}]},
            "spec": {"nodeName": "gpu-7", "initContainers": [{"name": "init"}], "containers": [{"name": "main"}, {"name": "side"}]},
            "status": {"phase": "Running", "initContainerStatuses": [{"restartCount": 1}],
                "containerStatuses": [{"ready": true, "restartCount": 2}, {"ready": false, "restartCount": 0}]}});
        let found = candidate(&pod, |_| (Health::Progressing, None)).unwrap();
        assert_eq!(found.owners, ["r", "other"]);
        let facts = found.pod.unwrap();
        assert_eq!((facts.ready, facts.wanted, facts.restarts, facts.node.as_str()), (1, 2, 3, "gpu-7"));
        assert_eq!(facts.containers, ["init", "main", "side"]);
        assert_eq!(candidate(&json!({"kind": "Pod"}), |_| (Health::Unknown, None)), None);
    }
}
