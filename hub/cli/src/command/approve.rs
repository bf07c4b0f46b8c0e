//! `capstan approve`: shows exactly what a held change would do, asks, and approves the digest of what was shown.

use hub_api::{ApprovalRequest, ApprovalView, Named, PendingApproval, StatusFilter};
use hub_client::Client;

use crate::Exit;
use crate::args::ApproveArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, Rows, print_list};
use crate::tables::{pending, pending_text};
use crate::text::count;

pub(crate) async fn run(client: &Client, args: ApproveArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let mut held = held_of(client, &args).await?;
    if let Some(digest) = &args.digest {
        held.retain(|held| held.digest == Some(digest.to_string()));
    }
    if held.is_empty() {
        let hint = where_it_waits(client, &args).await?.unwrap_or_else(|| "`capstan status` shows what does".to_owned());
        return Err(Failure::not_found(format!("nothing of {} waits for an approval", subject(&args)), hint));
    }
    for held in &held {
        console.say(&format!("{}: {}", subject(&args), pending_text(held)))?;
    }
    let digests: Vec<String> = held.iter().filter_map(|held| held.digest.clone()).collect();
    if digests.is_empty() {
        return Err(Failure::refused("no approval can let this happen", "mend what the reason names"));
    }
    console.confirm(&format!("Approve {}?", count(digests.len(), "change")), args.yes)?;
    let mut approvals = Vec::new();
    for digest in digests {
        let app = args.app.as_ref().map(ToString::to_string);
        let cluster = args.cluster.as_ref().map(ToString::to_string);
        approvals.push(client.approve(&ApprovalRequest { app, cluster, digest }).await?);
    }
    print_list(console, format, approvals, "nothing was approved", table)?;
    Ok(Exit::Ok)
}

/// What is held of the app in the cluster, of the app as a whole, or of the cluster itself.
async fn held_of(client: &Client, args: &ApproveArgs) -> Result<Vec<PendingApproval>, Failure> {
    Ok(match (&args.app, &args.cluster) {
        (Some(app), Some(cluster)) => {
            let filter = StatusFilter { app: Some(app.clone()), cluster: Some(cluster.clone()), ..StatusFilter::default() };
            let rows = client.status(&filter).await?;
            let Some(row) = rows.first() else {
                // Says which of the two names is wrong, if one is.
                client.app(app).await?;
                client.cluster(cluster).await?;
                return Err(Failure::not_found(
                    format!("{app} does not run in {cluster}"),
                    format!("`capstan status {app}` shows where it does"),
                ));
            };
            pending(row).cloned().collect()
        }
        (Some(app), None) => client.app(app).await?.held_changes,
        (None, Some(cluster)) => client.cluster(cluster).await?.held_changes,
        (None, None) => return Err(Failure::usage("neither an app nor a cluster is named", "as in `capstan approve web --cluster gpu-a`")),
    })
}

/// What to run instead, if an app was named without a cluster, and waits in some. Each is approved by itself: they need not delete the same.
async fn where_it_waits(client: &Client, args: &ApproveArgs) -> Result<Option<String>, Failure> {
    let (Some(app), None) = (&args.app, &args.cluster) else { return Ok(None) };
    let rows = client.status(&StatusFilter { app: Some(app.clone()), ..StatusFilter::default() }).await?;
    let waiting: Vec<&str> = rows.iter().filter(|row| pending(row).next().is_some()).map(|row| row.cluster.as_str()).collect();
    let Some(first) = waiting.first() else { return Ok(None) };
    let clusters = count(waiting.len(), "cluster");
    Ok(Some(format!("what waits in {clusters} is approved there: run `capstan approve {app} --cluster {first}`")))
}

fn subject(args: &ApproveArgs) -> String {
    match (&args.app, &args.cluster) {
        (Some(app), Some(cluster)) => format!("{app}@{cluster}"),
        (Some(app), None) => app.to_string(),
        (None, cluster) => cluster.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

fn table(approvals: &[ApprovalView]) -> Rows {
    let row = |approval: &ApprovalView| {
        let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        vec![text(&approval.app), text(&approval.cluster), approval.deletes.to_string(), approval.approved_by.clone(), approval.name()]
    };
    Rows { headings: &["APP", "CLUSTER", "DELETES", "BY", "DIGEST"], cells: approvals.iter().map(row).collect() }
}
