//! `capstan hold` and `capstan resume`: for a while nothing of an app is changed, and the end of that before its time.

use hub_api::{HoldRequest, HoldView};
use hub_client::Client;

use crate::Exit;
use crate::args::{HoldArgs, ResumeArgs};
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, print_list};
use crate::tables;

pub(crate) async fn hold(client: &Client, args: HoldArgs, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let request = HoldRequest {
        app: args.app.to_string(),
        cluster: args.cluster.as_ref().map(ToString::to_string),
        reason: args.reason,
        seconds: args.time.as_secs(),
    };
    let held: Vec<HoldView> = vec![client.hold(&request).await?];
    print_list(console, format, held, "nothing is held", tables::holds)?;
    Ok(Exit::Ok)
}

pub(crate) async fn resume(client: &Client, args: ResumeArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let ended = client.resume(&args.app, args.cluster.as_ref()).await?;
    let place = ended.cluster.as_ref().map_or_else(|| "all of its clusters".to_owned(), |cluster| format!("cluster {cluster}"));
    console.say(&format!("{} is no longer held in {place}; {} held it: {}", ended.app, ended.by, ended.reason))?;
    Ok(Exit::Ok)
}
