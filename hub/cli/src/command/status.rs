//! `capstan status`: each app in each cluster.

use hub_api::{HealthWord, StatusFilter, StatusView, SyncWord};
use hub_client::Client;

use crate::Exit;
use crate::args::StatusArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, print_list};
use crate::tables;

pub(crate) async fn run(client: &Client, args: StatusArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let StatusArgs { app, cluster, region, health, exit_code } = args;
    let filter = StatusFilter { app, cluster, region, health };
    let rows = client.status(&filter).await?;
    if rows.is_empty() {
        refuse_unknown_names(client, &filter).await?;
    }
    let with_details = filter.app.is_some() && matches!(format, Format::Table | Format::Wide);
    let exit = if exit_code && !rows.iter().all(is_as_wanted) { Exit::Differs } else { Exit::Ok };
    let details: String = if with_details { rows.iter().map(tables::details).collect() } else { String::new() };
    print_list(console, format, rows, "no app in any cluster is as asked for", tables::status)?;
    console.print(&details)?;
    Ok(exit)
}

/// A name that nothing has must not look like a list that is empty. An app without rows may be unknown and still run somewhere, so names
/// are only asked about when there is no row.
async fn refuse_unknown_names(client: &Client, filter: &StatusFilter) -> Result<(), Failure> {
    if let Some(app) = &filter.app {
        client.app(app).await?;
    }
    if let Some(cluster) = &filter.cluster {
        client.cluster(cluster).await?;
    }
    match &filter.region {
        Some(region) if !client.regions().await?.iter().any(|known| known.name == region.as_str()) => {
            Err(Failure::not_found(format!("there is no region \"{region}\""), "`capstan get regions` lists those there are"))
        }
        _ => Ok(()),
    }
}

fn is_as_wanted(row: &StatusView) -> bool {
    row.sync == SyncWord::Synced && row.judged.health() == HealthWord::Healthy
}
