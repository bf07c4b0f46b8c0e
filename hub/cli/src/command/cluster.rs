//! `capstan cluster`: how clusters join and leave.

use hub_api::{AcceptRequest, AddClusterRequest, ClusterState};
use hub_client::Client;
use shared_model::{ClusterName, ClusterUid};

use crate::Exit;
use crate::age::age;
use crate::args::{ClusterVerb, Get};
use crate::command::get;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, print_one};
use crate::text::plain;

pub(crate) async fn run(client: &Client, verb: ClusterVerb, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match verb {
        ClusterVerb::List => get::run(client, Get::Clusters, format, console).await,
        ClusterVerb::Add { name, region, labels } => {
            let request = AddClusterRequest { name: name.to_string(), region: region.to_string(), labels: labels.into_iter().collect() };
            add(client, &request, format, console).await
        }
        ClusterVerb::Accept { name, uid } => accept(client, &name, uid, format, console).await,
        ClusterVerb::Remove { name, yes } => remove(client, &name, yes, format, console).await,
    }
}

async fn add(client: &Client, request: &AddClusterRequest, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let enrolment = client.add_cluster(request).await?;
    let name = plain(&enrolment.cluster);
    let mut talk = format!("Run this once where {name} can be reached, within {}:", age(enrolment.expires_in_seconds));
    if enrolment.accept_needed {
        talk.push_str(&format!("\n(then accept it with `capstan cluster accept {name}`)"));
    }
    console.say(&talk)?;
    // The command is pasted into a shell, so it is printed as one line and without anything that a terminal obeys.
    let command = format!("{}\n", plain(enrolment.command.expose()));
    print_one(console, format, enrolment, &command)?;
    Ok(Exit::Ok)
}

async fn accept(
    client: &Client,
    name: &ClusterName,
    uid: Option<ClusterUid>,
    format: Format,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let cluster = client.cluster(name).await?;
    let asking = match (&cluster.state, &cluster.uid) {
        (ClusterState::Held, Some(asking)) => asking.clone(),
        (state, _) => {
            let hint = format!("`capstan get clusters` shows where {name} stands");
            return Err(Failure::refused(format!("{name} is {state} and does not wait to be accepted"), hint));
        }
    };
    if let Some(uid) = uid.filter(|uid| uid.as_str() != asking) {
        let hint = "look at which cluster enrolled under this name before accepting it";
        return Err(Failure::refused(format!("the cluster that asks as {name} is {}, not {uid}", plain(&asking)), hint));
    }
    console.say(&format!("accepting {name} with uid {}", plain(&asking)))?;
    let accepted = client.accept_cluster(name, &AcceptRequest { uid: asking }).await?;
    print_one(console, format, accepted, &format!("cluster/{name} accepted\n"))?;
    Ok(Exit::Ok)
}

async fn remove(client: &Client, name: &ClusterName, yes: bool, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    // Asking about a name that nothing has would be confusing.
    client.cluster(name).await?;
    console.confirm(&format!("Revoke the agent of {name}? What runs there stays."), yes)?;
    let removed = client.remove_cluster(name).await?;
    print_one(console, format, removed, &format!("cluster/{name} removed\n"))?;
    Ok(Exit::Ok)
}
