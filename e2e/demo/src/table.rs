//! The status as a table of 80 columns, and what changed between two looks as lines. Where the status comes from and where the lines go is
//! left to `live`.

use std::collections::{BTreeMap, BTreeSet};

use hub_api::{DriftView, FreshnessWord, Judged, PendingApproval, ProblemView, StatusView};

/// The width that every terminal has.
pub(crate) const COLUMNS: usize = 80;

/// What an operator sees at one moment.
#[derive(Default)]
pub(crate) struct Sight {
    pub(crate) rows: Vec<StatusView>,
    pub(crate) problems: Vec<ProblemView>,
}

/// The table: a cluster's apps that are in the same state share a line.
pub(crate) fn table(sight: &Sight) -> Vec<String> {
    let mut lines = vec![format!("{:<16} {:<13} {:<14} {:<10} {}", "CLUSTER", "HEARD", "APP", "SYNC", "HEALTH")];
    for (cluster, rows) in by_cluster(&sight.rows) {
        let mut states: BTreeMap<(bool, String, String), Vec<&StatusView>> = BTreeMap::new();
        for row in &rows {
            let state = format!("{:<10} {}", row.sync.as_str(), row.judged.health());
            let why = why(row).unwrap_or_default();
            states.entry((why.is_empty(), state, why)).or_default().push(row);
        }
        let mut left = format!("{cluster:<16} {:<13}", heard(&rows[0].judged));
        for ((_, state, why), members) in &states {
            let apps = match members.as_slice() {
                [one] => one.app.clone(),
                all if all.len() == rows.len() => format!("all {} apps", rows.len()),
                some => format!("{} apps", some.len()),
            };
            lines.push(cut(&format!("{left} {apps:<14} {state}")));
            if !why.is_empty() {
                lines.push(cut(&format!("{:<17}{why}", "")));
            }
            left = " ".repeat(30);
        }
    }
    for (place, message) in problems(sight) {
        lines.push(cut(&format!("problem at {place}")));
        lines.push(cut(&format!("  {message}")));
    }
    lines
}

/// What is different in `now`, one line each.
pub(crate) fn changes(before: &Sight, now: &Sight) -> Vec<String> {
    let mut lines = Vec::new();
    let earlier: BTreeMap<_, _> = before.rows.iter().map(|row| ((&row.app, &row.cluster), row)).collect();
    let mut silent = BTreeSet::new();
    for row in &now.rows {
        let was = earlier.get(&(&row.app, &row.cluster));
        if was.map(|was| was.judged.freshness()) != Some(row.judged.freshness()) && silent.insert(&row.cluster) {
            lines.push(format!("{} is {}", row.cluster, row.judged.freshness()));
        }
        let state = |row: &StatusView| (row.sync, row.judged.health(), why(row));
        if row.judged.freshness() == FreshnessWord::Fresh && was.map(|was| state(was)) != Some(state(row)) {
            let why = why(row).map(|why| format!(": {why}")).unwrap_or_default();
            lines.push(format!("{}@{} {} {}{why}", row.app, row.cluster, row.sync, row.judged.health()));
        }
        let known: Vec<&DriftView> = was.map(|was| was.drift.iter().collect()).unwrap_or_default();
        for drift in row.drift.iter().filter(|drift| !known.contains(drift)) {
            lines.push(format!("{}@{} {}", row.app, row.cluster, drifted(drift)));
        }
    }
    let (old, new) = (problems(before), problems(now));
    let missing_in = |other: &BTreeMap<String, &str>, place: &String| !other.contains_key(place);
    lines.extend(new.iter().filter(|(place, _)| missing_in(&old, place)).map(|(place, message)| format!("problem at {place}: {message}")));
    lines.extend(old.keys().filter(|place| missing_in(&new, place)).map(|place| format!("mended: {place}")));
    lines
}

/// The problems by place: one place in a file is one problem, for however many clusters.
fn problems(sight: &Sight) -> BTreeMap<String, &str> {
    sight.problems.iter().rev().map(|problem| (problem.place(), problem.message.as_str())).collect()
}

/// A drift as people say it.
pub(crate) fn drifted(drift: &DriftView) -> String {
    let fields: Vec<String> =
        drift.fields.iter().map(|field| format!("{} by {}", field.path, field.manager.as_deref().unwrap_or("nobody known"))).collect();
    let healed = if drift.healed.is_some() { "healed" } else { "seen" };
    let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join(", ")) };
    format!("drift {healed}: {} {}{fields}", drift.kind, drift.object)
}

/// What is to be said of a row: what waits for somebody first, then its reason.
fn why(row: &StatusView) -> Option<String> {
    let waits = |pending: &PendingApproval| format!("{} (capstan approve {} --cluster {})", pending.reason.code, row.app, row.cluster);
    let pending = row.awaiting_approval.iter().chain(&row.held_changes).next().map(waits);
    pending.or_else(|| row.reason.as_ref().map(|reason| format!("{}: {}", reason.code, reason.message)))
}

fn heard(judged: &Judged) -> String {
    match judged.age_seconds() {
        Some(age) => format!("{:<7} {:>4}s", judged.freshness().as_str(), age),
        None => judged.freshness().as_str().to_owned(),
    }
}

fn by_cluster(rows: &[StatusView]) -> BTreeMap<&str, Vec<&StatusView>> {
    let mut clusters: BTreeMap<&str, Vec<&StatusView>> = BTreeMap::new();
    for row in rows {
        clusters.entry(&row.cluster).or_default().push(row);
    }
    clusters
}

/// The line as wide as fits, and without what a terminal would obey.
pub(crate) fn cut(line: &str) -> String {
    let plain: Vec<char> = line.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if plain.len() <= COLUMNS {
        return plain.into_iter().collect();
    }
    plain[..COLUMNS - 1].iter().chain(&['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shared_model::{Digest, Health, Reason, Severity};

    use super::*;

    fn row(app: &str, cluster: &str, health: Health, reason: Option<&str>, age: u64) -> StatusView {
        let (release, age) = (Digest::of(b"release"), Some(Duration::from_secs(age)));
        let reason = reason.map(|message| Reason::new(Severity::Error, "Unavailable", message));
        StatusView {
            app: app.to_owned(),
            cluster: cluster.to_owned(),
            region: "eu-west".to_owned(),
            wanted: Some(release.to_string()),
            applied: Some(release.to_string()),
            sync: StatusView::sync_of(Some(&release), Some(&release), age),
            judged: Judged::of(Some(health), age),
            reason: reason.as_ref().map(Into::into),
            objects: 1,
            unhealthy: Vec::new(),
            drift: Vec::new(),
            taken_over: Vec::new(),
            awaiting_approval: None,
            held_changes: Vec::new(),
            test: None,
        }
    }

    fn sight(rows: Vec<StatusView>) -> Sight {
        Sight { rows, problems: Vec::new() }
    }

    #[test]
    fn apps_in_the_same_state_share_a_line_and_the_one_that_is_not_says_why() {
        let web = |app| row(app, "web-b", Health::Healthy, None, 2);
        let failing = row("llm-gateway", "gpu-a", Health::Degraded, Some("1 of 3 replicas"), 4);
        let rows = vec![failing, row("monitoring", "gpu-a", Health::Healthy, None, 4), web("llm-gateway"), web("monitoring")];
        assert_eq!(
            table(&sight(rows)),
            [
                "CLUSTER          HEARD         APP            SYNC       HEALTH",
                "gpu-a            Fresh      4s llm-gateway    Synced     Degraded",
                "                 Unavailable: 1 of 3 replicas",
                "                               monitoring     Synced     Healthy",
                "web-b            Fresh      2s all 2 apps     Synced     Healthy",
            ]
        );
    }

    #[test]
    fn nothing_is_said_when_only_ages_move_and_a_silent_cluster_is_one_line() {
        let both = |age| sight(vec![row("a", "gpu-a", Health::Healthy, None, age), row("b", "gpu-a", Health::Healthy, None, age)]);
        assert_eq!(changes(&both(1), &both(9)), [""; 0]);
        assert_eq!(changes(&both(1), &both(31)), ["gpu-a is Stale"]);
        let degraded = sight(vec![row("a", "gpu-a", Health::Degraded, Some("no"), 1), row("b", "gpu-a", Health::Healthy, None, 1)]);
        assert_eq!(changes(&both(1), &degraded), ["a@gpu-a Synced Degraded: Unavailable: no"]);
    }

    #[test]
    fn one_place_is_one_problem_and_it_is_said_when_it_is_mended() {
        let problem = |cluster: &str| ProblemView {
            source: Some("fleet".to_owned()),
            app: None,
            cluster: Some(cluster.to_owned()),
            file: Some("apps/web/base/a.yaml".to_owned()),
            line: Some(7),
            column: None,
            severity: hub_api::SeverityWord::Error,
            code: "NotYaml".to_owned(),
            message: "no YAML".to_owned(),
            hint: None,
            blocks: Vec::new(),
            age_seconds: None,
        };
        let broken = Sight { rows: Vec::new(), problems: vec![problem("gpu-a"), problem("gpu-b")] };
        assert_eq!(table(&broken)[1..], ["problem at fleet:apps/web/base/a.yaml:7", "  no YAML"]);
        assert_eq!(changes(&sight(Vec::new()), &broken), ["problem at fleet:apps/web/base/a.yaml:7: no YAML"]);
        assert_eq!(changes(&broken, &sight(Vec::new())), ["mended: fleet:apps/web/base/a.yaml:7"]);
    }

    #[test]
    fn a_line_is_never_wider_than_the_terminal_and_cannot_drive_it() {
        assert_eq!(cut(&"é".repeat(100)).chars().count(), COLUMNS);
        assert_eq!(cut("a\u{1b}[2J\nb"), "a [2J b");
    }
}
