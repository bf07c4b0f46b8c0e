//! The commands, one file for each verb; here is which runs, and how the hub is reached.

mod approve;
pub(crate) mod build;
mod cluster;
mod describe;
mod diff;
mod get;
mod hold;
mod live;
mod logs;
mod refresh;
mod render;
mod status;
pub(crate) mod template;
mod test;

use std::io::Read;
use std::path::Path;

use hub_client::{Client, ClientConfig, Token};

use crate::Exit;
use crate::args::{Capstan, HubArgs, Verb};
use crate::console::Console;
use crate::failure::Failure;

/// The largest token or authority file: an authority is 1 to 4 KB of PEM, a token 64 bytes.
const SMALL_FILE_BYTES_LIMIT: u64 = 1 << 20;

/// Runs the command that was asked for.
pub(crate) async fn run(args: Capstan, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let Capstan { hub, output, verb } = args;
    match verb {
        Verb::Cluster(verb) => cluster::run(&connect(&hub)?, verb, output, console).await,
        Verb::Get(what) => get::run(&connect(&hub)?, what, output, console).await,
        Verb::Status(args) => status::run(&connect(&hub)?, args, output, console).await,
        Verb::Diff { app, cluster: Some(cluster), live: true } => live::diff(&connect(&hub)?, &app, &cluster, output, console).await,
        Verb::Diff { app, cluster, live: _ } => diff::run(&connect(&hub)?, &app, cluster.as_ref(), output, console).await,
        Verb::Describe(what) => describe::run(&connect(&hub)?, what, output, console).await,
        Verb::Tree(args) => live::tree(&connect(&hub)?, args, output, console).await,
        Verb::Live(args) => live::object(&connect(&hub)?, args, output, console).await,
        Verb::Events(args) => live::events(&connect(&hub)?, args, output, console).await,
        Verb::Logs(args) => logs::run(&connect(&hub)?, args, console).await,
        Verb::Refresh(args) => refresh::run(&connect(&hub)?, args, output, console).await,
        Verb::Build { .. } => Err(Failure::usage("`build` takes no flag before its name", "write `capstan build DIR`; it asks no hub")),
        Verb::Template { .. } => {
            Err(Failure::usage("`template` takes no flag before its name", "write `capstan template NAME CHART`; it asks no hub"))
        }
        Verb::Render(args) => render::run(&args, output, console),
        Verb::Test(args) => test::run(&connect(&hub)?, args, output, console).await,
        Verb::Hold(args) => hold::hold(&connect(&hub)?, args, output, console).await,
        Verb::Resume(args) => hold::resume(&connect(&hub)?, args, console).await,
        Verb::Approve(args) => approve::run(&connect(&hub)?, args, output, console).await,
    }
}

fn connect(args: &HubArgs) -> Result<Client, Failure> {
    let hub = args.hub.clone().ok_or_else(|| Failure::usage("the hub's address is not given", "set --hub or CAPSTAN_HUB"))?;
    let token = match &args.token_file {
        Some(path) => String::from_utf8_lossy(&small_file(path, "token file")?).into_owned(),
        None => std::env::var("CAPSTAN_TOKEN").map_err(|_| Failure::usage("no token is given", "set --token-file or CAPSTAN_TOKEN"))?,
    };
    let authorities_pem = args.ca_file.as_deref().map(|path| small_file(path, "certificate authority")).transpose()?;
    let user_agent = concat!("capstan/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(Client::new(&ClientConfig { hub, token: Token::parse(&token)?, authorities_pem, user_agent })?)
}

fn small_file(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    let unreadable =
        |error| Failure::usage(format!("the {what} {} cannot be read: {error}", path.display()), "check the path and its permissions");
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SMALL_FILE_BYTES_LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
