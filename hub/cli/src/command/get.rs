//! `capstan get`: the lists as they are.

use hub_client::Client;

use crate::Exit;
use crate::args::Get;
use crate::console::Console;
use crate::failure::Failure;
use crate::output::{Format, print_list};
use crate::tables;

pub(crate) const NO_CLUSTERS: &str = "there are no clusters; `capstan cluster add NAME --region REGION` adds one";

pub(crate) async fn run(client: &Client, what: Get, format: Format, console: &mut Console<'_>) -> Result<Exit, Failure> {
    match what {
        Get::Regions => print_list(console, format, client.regions().await?, "there are no regions", tables::regions)?,
        Get::Clusters if format == Format::Wide => {
            print_list(console, format, client.clusters().await?, NO_CLUSTERS, tables::wide_clusters)?;
        }
        Get::Clusters => print_list(console, format, client.clusters().await?, NO_CLUSTERS, tables::clusters)?,
        Get::Apps => print_list(console, format, client.apps().await?, "there are no apps", tables::apps)?,
        Get::Problems => print_list(console, format, client.problems().await?, "there are no problems", tables::problems)?,
        Get::Holds => print_list(console, format, client.holds().await?, "nothing is held", tables::holds)?,
        Get::Sources => print_list(console, format, client.sources().await?, "there are no sources", tables::sources)?,
    }
    Ok(Exit::Ok)
}
