//! `capstan refresh`: fetches now and, if asked, waits until the clusters have what was fetched.

use std::time::Duration;

use hub_api::{SourceView, StatusFilter, SyncWord};
use hub_client::Client;
use tokio::time::{Instant, sleep};

use crate::Exit;
use crate::args::RefreshArgs;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, print_list};
use crate::tables;
use crate::text::{count, plain};

/// How long to wait between two looks at the hub.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How many that are late are named.
const NAMED_LATE: usize = 5;

pub(crate) async fn run(client: &Client, args: RefreshArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let RefreshArgs { source, wait, timeout } = args;
    let mut sources = client.refresh(source.as_ref()).await?;
    let failed = say_failures(&sources, console)?;
    if wait && !failed {
        sources = applied(client, sources, timeout).await?;
    }
    print_list(console, format, sources, "there are no sources", tables::sources)?;
    Ok(if failed { Exit::Differs } else { Exit::Ok })
}

/// Names each source that cannot be fetched; whether there is one.
fn say_failures(sources: &[SourceView], console: &mut Console<'_>) -> Result<bool, Failure> {
    let mut failed = false;
    for source in sources {
        if let Some(failure) = &source.failure {
            failed = true;
            let hint = failure.hint.as_ref().map(|hint| format!("\nhint: {}", plain(hint))).unwrap_or_default();
            console.say(&format!("source {} cannot be fetched: {}{hint}", plain(&source.name), plain(&failure.message)))?;
        }
    }
    Ok(failed)
}

/// Waits until `fetched` is published and applied in every cluster.
async fn applied(client: &Client, fetched: Vec<SourceView>, timeout: Duration) -> Result<Vec<SourceView>, Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let sources: Vec<SourceView> =
            client.sources().await?.into_iter().filter(|source| fetched.iter().any(|wanted| wanted.name == source.name)).collect();
        let mut late: Vec<String> =
            sources.iter().filter(|source| !is_published(source)).map(|source| format!("source {}", source.name)).collect();
        if late.is_empty() {
            // Only when everything is published does the status speak of what was fetched.
            let rows = client.status(&StatusFilter::default()).await?;
            late = rows.iter().filter(|row| row.sync != SyncWord::Synced).map(|row| format!("{}@{}", row.app, row.cluster)).collect();
        }
        if late.is_empty() {
            return Ok(sources);
        }
        if Instant::now() >= deadline {
            let more = late.len().saturating_sub(NAMED_LATE);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            late.truncate(NAMED_LATE);
            let waited = count(usize::try_from(timeout.as_secs()).unwrap_or(usize::MAX), "second");
            let message = format!("after {waited} still not applied: {}{more}", late.join(", "));
            return Err(Failure::timed_out(message, "`capstan status` says why"));
        }
        sleep(LOOK_AGAIN_AFTER).await;
    }
}

fn is_published(source: &SourceView) -> bool {
    source.revision.as_ref().is_some_and(|revision| source.published_commit.as_ref() == Some(&revision.commit))
}
