//! `capstan diff`: what would change, with clusters of equal changes folded into one.

use std::collections::BTreeMap;

use hub_api::{ChangeWord, DiffView, ObjectDiff, SyncWord};
use hub_client::Client;
use shared_model::{AppName, ClusterName};

use crate::Exit;
use crate::age::age_or_never;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, Rows, print_list};
use crate::text::plain;

pub(crate) async fn run(
    client: &Client,
    app: &AppName,
    cluster: Option<&ClusterName>,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let diffs = client.diff(app, cluster).await?;
    for silent in diffs.iter().filter(|diff| diff.sync == SyncWord::Unknown) {
        let last = age_or_never(silent.age_seconds);
        console.say(&format!("{} is silent (last heard: {last}); the difference is to what it said last", plain(&silent.cluster)))?;
    }
    // What is not known is not equal.
    let differs = diffs.iter().any(|diff| !diff.changes.is_empty() || diff.sync != SyncWord::Synced);
    match format {
        Format::Table | Format::Wide if !diffs.is_empty() => console.print(&folded(app, &diffs))?,
        _ => print_list(console, format, diffs, "the app runs in no cluster", |_| Rows { headings: &[], cells: vec![] })?,
    }
    Ok(if differs { Exit::Differs } else { Exit::Ok })
}

/// The changes, each set of them once with the clusters that it is in.
fn folded(app: &AppName, diffs: &[DiffView]) -> String {
    let mut clusters_by_changes: BTreeMap<&[ObjectDiff], Vec<&str>> = BTreeMap::new();
    for diff in diffs {
        clusters_by_changes.entry(&diff.changes).or_default().push(&diff.cluster);
    }
    let mut text = String::new();
    for (changes, clusters) in clusters_by_changes {
        let (number, total) = (clusters.len(), diffs.len());
        let what = if changes.is_empty() { "no difference" } else { "would change" };
        text.push_str(&format!("{app} in {number} of {total}: {}: {what}\n", plain(&clusters.join(", "))));
        for change in changes {
            text.push_str(&object_text(change));
        }
    }
    text
}

fn object_text(change: &ObjectDiff) -> String {
    let sign = match change.change {
        ChangeWord::Added => '+',
        ChangeWord::Removed => '-',
        ChangeWord::Changed => '~',
    };
    let mut text = format!("  {sign} {}\n", plain(&change.object.to_string()));
    for field in &change.fields {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        text.push_str(&format!("      {}\n", plain(&format!("{}: {} -> {}", field.path, value(&field.before), value(&field.after)))));
    }
    text
}
