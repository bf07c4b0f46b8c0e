//! The arguments of the command and their help, which is its documentation.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hub_api::HealthWord;
use shared_model::{AppName, ClusterName, ClusterUid, Digest, Health, RegionName, SourceName};

use crate::output::Format;

/// The operator's command of Capstan.
///
/// Data goes to standard output, talk to standard error.
#[derive(Debug, Parser)]
#[command(name = "capstan", version, after_help = EXIT_CODES)]
pub(crate) struct Capstan {
    #[command(flatten)]
    pub(crate) hub: HubArgs,
    /// How to print answers.
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const EXIT_CODES: &str = "Exit codes:
  0  done, nothing differs
  1  a difference (diff), not healthy (status --exit-code), a source that fails (refresh), a problem (build, render)
  2  wrong usage or another failure
  4  the hub does not take the token
  5  nothing of that name
  6  the hub cannot be reached
  7  it took too long
  8  the hub refuses";

/// Where the hub is.
#[derive(Debug, Clone, Args)]
pub(crate) struct HubArgs {
    /// The hub's address, as in https://hub.example.org:8443.
    #[arg(long, global = true, env = "CAPSTAN_HUB", value_name = "URL")]
    pub(crate) hub: Option<String>,
    /// The file that holds the token; without it CAPSTAN_TOKEN is taken.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// The certificate authority that vouches for the hub, as PEM.
    #[arg(long, global = true, env = "CAPSTAN_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Add, accept, list and remove clusters.
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// List what the hub knows.
    #[command(subcommand)]
    Get(Get),
    /// Show each app in each cluster: wanted against applied, health and its age, drift, what waits for an approval.
    Status(StatusArgs),
    /// Show what would change in clusters that do not yet run what is wanted.
    Diff {
        /// The app.
        app: AppName,
        /// Only in this cluster.
        #[arg(long)]
        cluster: Option<ClusterName>,
    },
    /// Fetch sources now instead of at their next turn.
    Refresh(RefreshArgs),
    /// Let a held change happen, as a deletion of more objects than the budget allows. Shows exactly what, then asks.
    Approve(ApproveArgs),
    /// Print what `kustomize build` prints for a directory. Its own flags are those of kustomize: see `capstan build --help`.
    #[command(disable_help_flag = true)]
    Build {
        /// What is read by the command itself.
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Print what `helm template` prints for a chart. Its own flags are those of Helm: see `capstan template --help`.
    #[command(disable_help_flag = true)]
    Template {
        /// What is read by the command itself.
        #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Render a fleet repository's working directory for one cluster, without the hub and without any network: objects as YAML on
    /// standard output, problems on standard error.
    Render(RenderArgs),
}

/// Clusters.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// Make a one-time token for a new cluster and print the command that enrols it.
    Add {
        /// Its name.
        name: ClusterName,
        /// Its region.
        #[arg(long)]
        region: RegionName,
        /// A label, as in ring=canary; may be repeated.
        #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
    },
    /// Accept a cluster that is held.
    Accept {
        /// Its name.
        name: ClusterName,
        /// Only if it is this one, by the uid of its namespace kube-system.
        #[arg(long)]
        uid: Option<ClusterUid>,
    },
    /// List clusters.
    List,
    /// Revoke a cluster's agent. What runs in the cluster stays.
    Remove {
        /// Its name.
        name: ClusterName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

/// Lists.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Get {
    /// Regions.
    Regions,
    /// Clusters.
    Clusters,
    /// Apps.
    Apps,
    /// What somebody has to mend.
    Problems,
    /// Where manifests come from.
    Sources,
}

/// Which rows of the status.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this app, with the details of its objects.
    pub(crate) app: Option<AppName>,
    /// Only this cluster.
    #[arg(long)]
    pub(crate) cluster: Option<ClusterName>,
    /// Only clusters of this region.
    #[arg(long)]
    pub(crate) region: Option<RegionName>,
    /// Only rows in this health.
    #[arg(long, value_parser = health)]
    pub(crate) health: Option<HealthWord>,
    /// Exit with 1 unless every row is healthy and in sync.
    #[arg(long)]
    pub(crate) exit_code: bool,
}

/// What to fetch.
#[derive(Debug, Args)]
pub(crate) struct RefreshArgs {
    /// Only this source.
    pub(crate) source: Option<SourceName>,
    /// Wait until every cluster has applied what was fetched.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait at most, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

/// What to approve.
#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    /// The app; without it what is held of the cluster itself.
    #[arg(required_unless_present = "cluster")]
    pub(crate) app: Option<AppName>,
    /// The cluster; without it what is held of the app as a whole.
    #[arg(long)]
    pub(crate) cluster: Option<ClusterName>,
    /// Only the change with this digest, as shown before.
    #[arg(long)]
    pub(crate) digest: Option<Digest>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What to render.
#[derive(Debug, Args)]
pub(crate) struct RenderArgs {
    /// The root of the fleet repository.
    pub(crate) path: PathBuf,
    /// The cluster.
    #[arg(long)]
    pub(crate) cluster: ClusterName,
    /// Only this app.
    #[arg(long)]
    pub(crate) app: Option<AppName>,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is written KEY=VALUE".to_owned()),
    }
}

fn health(word: &str) -> Result<HealthWord, String> {
    let word_of = |health: &Health| health.as_str().eq_ignore_ascii_case(word);
    let found = Health::ALL.into_iter().find(word_of).map(Into::into);
    found.ok_or_else(|| format!("use one of {}", Health::ALL.map(Health::as_str).join(", ")))
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|_| "write a number of seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::Exit;

    #[test]
    fn the_arguments_are_consistent() {
        Capstan::command().debug_assert();
    }

    #[test]
    fn the_help_lists_each_exit_code() {
        let all =
            [Exit::Ok, Exit::Differs, Exit::Error, Exit::Unauthorised, Exit::NotFound, Exit::Unreachable, Exit::TimedOut, Exit::Refused];
        let listed: Vec<String> = EXIT_CODES.lines().skip(1).map(|line| line.trim().chars().take(1).collect()).collect();
        assert_eq!(listed, all.map(|exit| exit.code().to_string()));
    }
}
