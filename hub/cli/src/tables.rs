//! The tables: values of the API in, rows out. Health always stands beside its age, and a silent cluster's says what it was.

use hub_api::{
    AppView, ClusterView, DeviceView, DriftView, FieldChangeView, FreshnessWord, HealthWord, HoldView, Judged, NodesView, PendingApproval,
    ProblemView, ReasonView, RegionView, SourceView, StatusView,
};

use crate::age::{age, age_or_never};
use crate::output::Rows;
use crate::text::{count, plain};

pub(crate) fn regions(regions: &[RegionView]) -> Rows {
    let row = |region: &RegionView| {
        let (clusters, apps) = (&region.clusters, &region.apps);
        vec![
            region.name.clone(),
            format!("{}/{}", clusters.fresh, clusters.total),
            clusters.stale.to_string(),
            clusters.offline.to_string(),
            format!("{}/{}", apps.in_health(HealthWord::Healthy), apps.total()),
            health(&region.judged),
            age_or_never(region.judged.age_seconds()),
        ]
    };
    let headings = &["NAME", "FRESH", "STALE", "OFFLINE", "HEALTHY", "HEALTH", "AGE"];
    Rows { headings, cells: regions.iter().map(row).collect() }
}

pub(crate) fn clusters(clusters: &[ClusterView]) -> Rows {
    let row = |cluster: &ClusterView| {
        vec![
            cluster.name.clone(),
            cluster.region.clone(),
            cluster.state.to_string(),
            cluster.judged.freshness().to_string(),
            age_or_never(cluster.judged.age_seconds()),
            health(&cluster.judged),
            index(cluster),
            cluster.agent_version.clone().unwrap_or_else(|| "-".to_owned()),
            cluster.kubernetes_version.clone().unwrap_or_else(|| "-".to_owned()),
            reasons(cluster.reason.iter().chain(cluster.held_changes.iter().map(|held| &held.reason))),
        ]
    };
    let headings = &["NAME", "REGION", "STATE", "FRESHNESS", "AGE", "HEALTH", "INDEX", "AGENT", "KUBERNETES", "REASON"];
    Rows { headings, cells: clusters.iter().map(row).collect() }
}

/// As [`clusters`], with what they consist of.
pub(crate) fn wide_clusters(all: &[ClusterView]) -> Rows {
    let Rows { mut cells, .. } = clusters(all);
    for (row, cluster) in cells.iter_mut().zip(all) {
        let reason = row.pop().unwrap_or_default();
        row.extend([short_nodes(cluster), devices(cluster.nodes.as_ref()), reason]);
    }
    let headings = &["NAME", "REGION", "STATE", "FRESHNESS", "AGE", "HEALTH", "INDEX", "AGENT", "KUBERNETES", "NODES", "DEVICES", "REASON"];
    Rows { headings, cells }
}

/// Nodes that are ready of all, or why that is not known.
pub(crate) fn nodes(cluster: &ClusterView) -> String {
    // What a silent cluster said is what was, as with its health.
    let past = if cluster.judged.freshness() == FreshnessWord::Fresh { "" } else { ", as it said last" };
    match &cluster.nodes {
        None => "-".to_owned(),
        Some(NodesView { unknown: Some(reason), .. }) => format!("unknown, {}", said(reason)),
        Some(nodes) => format!("{}/{} ready{past}", nodes.ready, nodes.total),
    }
}

/// As [`nodes`], for a column: `capstan describe cluster` says why.
fn short_nodes(cluster: &ClusterView) -> String {
    match &cluster.nodes {
        Some(NodesView { unknown: Some(reason), .. }) => format!("unknown ({})", reason.code),
        _ => nodes(cluster),
    }
}

/// GPUs and other devices by product: used of allocatable.
fn devices(nodes: Option<&NodesView>) -> String {
    let device = |device: &DeviceView| {
        let name = if device.product.is_empty() { &device.resource } else { &device.product };
        let slice = device.resource.split_once("/mig-").map(|(_, profile)| format!(" {profile}")).unwrap_or_default();
        let used = device.used.map_or_else(|| "?".to_owned(), |used| used.to_string());
        format!("{name}{slice} {used}/{}", device.allocatable)
    };
    let all: Vec<String> = nodes.into_iter().flat_map(|nodes| &nodes.devices).map(device).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

/// The index that a cluster holds, and the wanted one if that is another.
pub(crate) fn index(cluster: &ClusterView) -> String {
    match (&cluster.held_generation, &cluster.wanted_generation) {
        (held, wanted) if held == wanted => held.clone().unwrap_or_else(|| "-".to_owned()),
        (held, wanted) => {
            let text = |generation: &Option<String>| generation.clone().unwrap_or_else(|| "-".to_owned());
            format!("{}/{}", text(held), text(wanted))
        }
    }
}

pub(crate) fn apps(apps: &[AppView]) -> Rows {
    let row = |app: &AppView| {
        let total = app.clusters.total();
        vec![
            app.name.clone(),
            format!("{}/{total}", app.synced),
            format!("{}/{total}", app.clusters.in_health(HealthWord::Healthy)),
            health(&app.judged),
            age_or_never(app.judged.age_seconds()),
            app.revision.as_ref().map_or_else(|| "-".to_owned(), |revision| revision.short()),
            app.problems.to_string(),
            reasons(app.held_changes.iter().map(|held| &held.reason)),
        ]
    };
    let headings = &["NAME", "SYNCED", "HEALTHY", "HEALTH", "AGE", "REVISION", "PROBLEMS", "REASON"];
    Rows { headings, cells: apps.iter().map(row).collect() }
}

pub(crate) fn status(rows: &[StatusView]) -> Rows {
    let row = |row: &StatusView| {
        let standing = row.drift.iter().filter(|drift| drift.healed.is_none()).count();
        vec![
            row.app.clone(),
            row.cluster.clone(),
            row.region.clone(),
            row.sync.to_string(),
            health(&row.judged),
            age_or_never(row.judged.age_seconds()),
            row.objects.to_string(),
            standing.to_string(),
            reasons(row.reason.iter().chain(pending(row).map(|held| &held.reason))),
        ]
    };
    let headings = &["APP", "CLUSTER", "REGION", "SYNC", "HEALTH", "AGE", "OBJECTS", "DRIFT", "REASON"];
    Rows { headings, cells: rows.iter().map(row).collect() }
}

/// What waits for an approval in a row.
pub(crate) fn pending(row: &StatusView) -> impl Iterator<Item = &PendingApproval> {
    row.awaiting_approval.iter().chain(&row.held_changes)
}

/// What a row of the status has no room for: releases, objects, drift. Nothing if there is nothing to tell.
pub(crate) fn details(row: &StatusView) -> String {
    let mut lines = Vec::new();
    if row.wanted != row.applied {
        let release = |digest: &Option<String>| digest.clone().unwrap_or_else(|| "none".to_owned());
        lines.push(format!("wanted {}", release(&row.wanted)));
        lines.push(format!("applied {}", release(&row.applied)));
    }
    for object in &row.unhealthy {
        let why = object.reason.as_ref().map(|reason| format!(", {}", said(reason))).unwrap_or_default();
        lines.push(format!("{}: {}{why}", object.object, health(&object.judged)));
    }
    for drift in &row.drift {
        lines.push(drift_line(drift));
        lines.extend(drift.fields.iter().map(|field| format!("  {}", field_line(field))));
    }
    for taken in &row.taken_over {
        lines.push(format!("{}: took over {} from {} at {}", taken.object, taken.fields.join(", "), taken.manager, taken.at));
    }
    if let Some(test) = &row.test {
        let why = test.reason.as_ref().map(|reason| format!(", {}", said(reason))).unwrap_or_default();
        lines.push(format!("tests: {}{why}", test.outcome));
        let message = |message: &Option<String>| message.as_ref().map(|message| format!(", {message}")).unwrap_or_default();
        lines.extend(test.tests.iter().map(|test| format!("  {}: {}{}", test.object, test.outcome, message(&test.message))));
    }
    if lines.is_empty() {
        return String::new();
    }
    let body: String = lines.iter().map(|line| format!("  {}\n", plain(line))).collect();
    format!("\n{}@{}\n{body}", plain(&row.app), plain(&row.cluster))
}

fn drift_line(drift: &DriftView) -> String {
    let end = drift.healed.as_ref().map_or_else(|| "not healed".to_owned(), |at| format!("healed {at}"));
    format!("drift {}: {} seen {}, {end}", drift.object, drift.kind, drift.seen)
}

pub(crate) fn field_line(field: &FieldChangeView) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let by = field.manager.as_ref().map(|manager| format!(", held by {manager}")).unwrap_or_default();
    let since = field.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    format!("{}: wanted {}, found {}{by}{since}", field.path, value(&field.wanted), value(&field.found))
}

pub(crate) fn problems(problems: &[ProblemView]) -> Rows {
    let row = |problem: &ProblemView| {
        let hint = problem.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        vec![
            problem.severity.to_string(),
            problem.code.clone(),
            problem.place(),
            problem.age_seconds.map_or_else(|| "-".to_owned(), age),
            if problem.blocks.is_empty() { "-".to_owned() } else { problem.blocks.join(", ") },
            format!("{}{hint}", problem.message),
        ]
    };
    let headings = &["SEVERITY", "CODE", "PLACE", "AGE", "BLOCKS", "MESSAGE"];
    Rows { headings, cells: problems.iter().map(row).collect() }
}

pub(crate) fn holds(holds: &[HoldView]) -> Rows {
    let row = |hold: &HoldView| {
        let cluster = hold.cluster.clone().unwrap_or_else(|| "all".to_owned());
        vec![hold.app.clone(), cluster, hold.by.clone(), age(hold.ends_in_seconds), hold.reason.clone()]
    };
    Rows { headings: &["APP", "CLUSTER", "BY", "ENDS IN", "REASON"], cells: holds.iter().map(row).collect() }
}

pub(crate) fn sources(sources: &[SourceView]) -> Rows {
    let row = |source: &SourceView| {
        let commit = source.revision.as_ref().map(|revision| &revision.commit);
        let state = match (&source.failure, commit) {
            (Some(failure), _) => format!("{} {} ago: {}", failure.code, age(failure.age_seconds), failure.message),
            (None, None) => "not fetched yet".to_owned(),
            (None, commit) if source.published_commit.as_ref() == commit => "published".to_owned(),
            (None, _) => "being published".to_owned(),
        };
        vec![
            source.name.clone(),
            source.revision.as_ref().map_or_else(|| "-".to_owned(), |revision| revision.short()),
            age_or_never(source.age_seconds),
            source.url.clone(),
            state,
        ]
    };
    let headings = &["NAME", "REVISION", "AGE", "URL", "STATE"];
    Rows { headings, cells: sources.iter().map(row).collect() }
}

/// A held change in full: why, what it would delete, what it would do besides, and its digest.
pub(crate) fn pending_text(held: &PendingApproval) -> String {
    let since = held.age_seconds.map(|seconds| format!(" (held for {})", age(seconds))).unwrap_or_default();
    let mut lines = vec![format!("{}{since}", said(&held.reason))];
    if !held.deletes.is_empty() {
        lines.push(format!("  would delete {}:", count(held.deletes.len(), "object")));
        lines.extend(held.deletes.iter().map(|object| format!("    {object}")));
    }
    if !held.affects.is_empty() {
        lines.push("  would change:".to_owned());
        lines.extend(held.affects.iter().map(|what| format!("    {what}")));
    }
    lines.push(match &held.digest {
        Some(digest) => format!("  {digest}"),
        None => "  no approval can let this happen; only mending what the reason names".to_owned(),
    });
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

/// The health and, if it is not known now, what was said last.
pub(crate) fn health(judged: &Judged) -> String {
    match judged.last_reported_health() {
        Some(last) if last != HealthWord::Unknown => format!("{} (was {last})", judged.health()),
        _ => judged.health().to_string(),
    }
}

fn reasons<'a>(reasons: impl IntoIterator<Item = &'a ReasonView>) -> String {
    reasons.into_iter().map(said).collect::<Vec<_>>().join("; ")
}

pub(crate) fn said(reason: &ReasonView) -> String {
    format!("{}: {}", reason.code, reason.message)
}
