//! `capstan tree`, `live`, `events` and `diff --live`: what an app is in a cluster right now, asked of the cluster itself.

use hub_api::{EventView, EventsView, LiveDiffView, LiveObjectDiff, ObjectParameters, TreeNodeView, TreeView};
use hub_client::Client;
use shared_model::{AppName, ClusterName};

use crate::Exit;
use crate::age::age_or_never;
use crate::args::{EventsArgs, KindAndName, LiveArgs, PlaceArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, Rows, document, print_one};
use crate::tables::{field_line, said};
use crate::text::{count, plain};

/// The query that names an object.
pub(crate) fn parameters(object: Option<&KindAndName>, namespace: Option<String>) -> ObjectParameters {
    ObjectParameters { kind: object.map(|object| object.kind.clone()), name: object.map(|object| object.name.clone()), namespace }
}

pub(crate) async fn tree(client: &Client, args: PlaceArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let tree = client.tree(&args.app, &args.cluster).await?;
    say_unseen(&tree, console)?;
    if tree.nodes.is_empty() && matches!(format, Format::Table | Format::Wide) {
        console.say("the app has no objects in this cluster")?;
    }
    let text = tree_rows(&tree.nodes).text();
    print_one(console, format, tree, &text)?;
    Ok(Exit::Ok)
}

/// Names what is not in a tree.
fn say_unseen(tree: &TreeView, console: &mut Console<'_>) -> Result<(), Failure> {
    for reason in &tree.unseen {
        console.say(&plain(&said(reason)))?;
    }
    if tree.left_out > 0 {
        console.say(&format!("{} more are not shown", tree.left_out))?;
    }
    Ok(())
}

fn tree_rows(nodes: &[TreeNodeView]) -> Rows {
    let mut depths: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut cells = Vec::with_capacity(nodes.len());
    for node in nodes {
        let depth = node.owner.and_then(|owner| depths.get(owner as usize)).map_or(0, |depth| depth + 1);
        depths.push(depth);
        let branch = if depth == 0 { String::new() } else { format!("{}└ ", "  ".repeat(depth - 1)) };
        let pod = node.pod.as_ref();
        let cell = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
        cells.push(vec![
            format!("{branch}{}", node.object),
            node.health.to_string(),
            cell(pod.map(|pod| format!("{}/{}", pod.ready, pod.wanted))),
            cell(pod.map(|pod| pod.restarts.to_string())),
            cell(pod.map(|pod| age_or_never(pod.age_seconds))),
            cell(pod.map(|pod| pod.node.clone())),
            node.reason.as_ref().map(said).unwrap_or_default(),
        ]);
    }
    Rows { headings: &["OBJECT", "HEALTH", "READY", "RESTARTS", "AGE", "NODE", "REASON"], cells }
}

pub(crate) async fn object(client: &Client, args: LiveArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let asked = parameters(Some(&args.object), args.namespace);
    let found = client.live_object(&args.app, &args.cluster, &asked).await?;
    let text = match format {
        Format::Name => format!("{}/{}\n", found.object.kind.to_lowercase(), plain(&found.object.name)),
        Format::Json => document(Format::Json, &found.manifest)?,
        // There is no table of one object: people read it as it would stand in Git.
        Format::Table | Format::Wide | Format::Yaml => document(Format::Yaml, &found.manifest)?,
    };
    console.print(&text)?;
    Ok(Exit::Ok)
}

pub(crate) async fn events(client: &Client, args: EventsArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let asked = parameters(args.object.as_ref(), args.namespace);
    let mut found: EventsView = client.events(&args.app, &args.cluster, &asked).await?;
    if args.warnings {
        found.events.retain(|event| event.is_warning);
    }
    if found.left_out > 0 {
        console.say(&format!("{} older events are not shown", found.left_out))?;
    }
    if found.events.is_empty() && matches!(format, Format::Table | Format::Wide) {
        console.say("there are no events; the cluster keeps them for about an hour")?;
    }
    let text = event_rows(&found.events).text();
    print_one(console, format, found, &text)?;
    Ok(Exit::Ok)
}

/// The newest last, where the eye is.
fn event_rows(events: &[EventView]) -> Rows {
    let row = |event: &EventView| {
        vec![
            age_or_never(event.age_seconds),
            if event.is_warning { "Warning" } else { "Normal" }.to_owned(),
            event.code.clone(),
            event.object.to_string(),
            event.count.to_string(),
            event.message.clone(),
        ]
    };
    Rows { headings: &["AGE", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"], cells: events.iter().rev().map(row).collect() }
}

pub(crate) async fn diff(
    client: &Client,
    app: &AppName,
    cluster: &ClusterName,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let found = client.live_diff(app, cluster).await?;
    let differs = !found.objects.is_empty();
    let text = diff_text(&found);
    print_one(console, format, found, &text)?;
    Ok(if differs { Exit::Differs } else { Exit::Ok })
}

fn diff_text(found: &LiveDiffView) -> String {
    let (app, cluster) = (plain(&found.app), plain(&found.cluster));
    if found.objects.is_empty() {
        return format!("{app} in {cluster}: no difference\n");
    }
    let number = found.objects.len() + found.left_out as usize;
    let verb = if number == 1 { "differs" } else { "differ" };
    let mut text = format!("{app} in {cluster}: {} {verb} from what is wanted\n", count(number, "object"));
    for LiveObjectDiff { object, missing, fields } in &found.objects {
        let sign = if *missing { '-' } else { '~' };
        text.push_str(&format!("  {sign} {}{}\n", plain(&object.to_string()), if *missing { ": is not there" } else { "" }));
        for field in fields {
            text.push_str(&format!("      {}\n", plain(&field_line(field))));
        }
    }
    if found.left_out > 0 {
        text.push_str(&format!("  and {} more\n", found.left_out));
    }
    text
}
