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
  1  a difference (diff), not healthy (status --exit-code), a source or test that fails, a problem (build, render)
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
        /// Compare what is wanted with what is in the cluster right now, instead of releases with each other.
        #[arg(long, requires = "cluster")]
        live: bool,
    },
    /// Show one thing in full.
    #[command(subcommand)]
    Describe(Describe),
    /// Show an app's objects in a cluster and what they own, down to its pods, as they are right now.
    Tree(PlaceArgs),
    /// Show one object of an app as it is in the cluster right now, without the content of Secrets.
    Live(LiveArgs),
    /// Show what was said lately about an app's objects and what they own, the newest last.
    Events(EventsArgs),
    /// Print the log of a pod of an app.
    Logs(LogsArgs),
    /// Fetch sources now instead of at their next turn.
    Refresh(RefreshArgs),
    /// Run the tests of an app's release (objects with the annotation helm.sh/hook: test), wait for them, and exit with 1 if one failed.
    Test(TestArgs),
    /// Let a held change happen, as a deletion of more objects than the budget allows. Shows exactly what, then asks.
    Approve(ApproveArgs),
    /// Let nothing of an app be changed for a while, as during an incident: nothing is applied, healed or deleted, also while the hub is away.
    Hold(HoldArgs),
    /// End a hold before its time.
    Resume(ResumeArgs),
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
    /// What nothing is changed of at the moment.
    Holds,
    /// What somebody has to mend.
    Problems,
    /// Where manifests come from.
    Sources,
}

/// What to show in full.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Describe {
    /// A cluster with its nodes, GPUs and API versions.
    Cluster {
        /// Its name.
        name: ClusterName,
    },
}

/// An app in a cluster.
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    /// The app.
    pub(crate) app: AppName,
    /// The cluster.
    #[arg(long)]
    pub(crate) cluster: ClusterName,
}

/// An object as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KindAndName {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// Which object.
#[derive(Debug, Args)]
pub(crate) struct LiveArgs {
    /// The app.
    pub(crate) app: AppName,
    /// The object, as in deployment/api or services.serving.knative.dev/api.
    #[arg(value_name = "KIND/NAME", value_parser = kind_and_name)]
    pub(crate) object: KindAndName,
    /// The cluster.
    #[arg(long)]
    pub(crate) cluster: ClusterName,
    /// The namespace, if the app has several such objects.
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
}

/// Whose events.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// The app.
    pub(crate) app: AppName,
    /// Only of this object and what it owns, as in deployment/api.
    #[arg(value_name = "KIND/NAME", value_parser = kind_and_name)]
    pub(crate) object: Option<KindAndName>,
    /// The cluster.
    #[arg(long)]
    pub(crate) cluster: ClusterName,
    /// The namespace, if the app has several such objects.
    #[arg(short, long, requires = "object")]
    pub(crate) namespace: Option<String>,
    /// Only warnings.
    #[arg(long)]
    pub(crate) warnings: bool,
}

/// Which log.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The app.
    pub(crate) app: AppName,
    /// The pod by its name, or what owns it, as in deployment/api; needed if the app has several pods.
    #[arg(value_name = "POD|KIND/NAME", value_parser = pod_or_owner)]
    pub(crate) object: Option<KindAndName>,
    /// The cluster.
    #[arg(long)]
    pub(crate) cluster: ClusterName,
    /// The namespace, if the app has several such objects.
    #[arg(short, long, requires = "object")]
    pub(crate) namespace: Option<String>,
    /// The container, if the pod has several and names none as its default.
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Go on with what is said from now on.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// What the container said before its last restart.
    #[arg(short, long)]
    pub(crate) previous: bool,
    /// Only so many of the last lines.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,
    /// Only what was said so long ago or later, as in 90s, 5m or 2h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) since: Option<Duration>,
    /// Begin each line with its time.
    #[arg(long)]
    pub(crate) timestamps: bool,
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

/// What to test.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The app.
    pub(crate) app: AppName,
    /// Only in this cluster.
    #[arg(long)]
    pub(crate) cluster: Option<ClusterName>,
    /// How long the tests may take, as in 90s, 5m or 2h; at most a day.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub(crate) timeout: Duration,
}

/// What to hold.
#[derive(Debug, Args)]
pub(crate) struct HoldArgs {
    /// The app.
    pub(crate) app: AppName,
    /// The cluster; all of the app's clusters if left out.
    #[arg(long)]
    pub(crate) cluster: Option<ClusterName>,
    /// Why, for whoever wonders meanwhile.
    #[arg(long)]
    pub(crate) reason: String,
    /// For how long, as in 90s, 30m or 2h; at most a week.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(crate) time: Duration,
}

/// What to go on with.
#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// The app.
    pub(crate) app: AppName,
    /// The cluster, if the hold is of one.
    #[arg(long)]
    pub(crate) cluster: Option<ClusterName>,
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

/// The names by which kubectl's users know kinds, and what they stand for.
const SHORT_NAMES: [(&str, &str); 17] = [
    ("cj", "cronjob"),
    ("cm", "configmap"),
    ("crd", "customresourcedefinition"),
    ("deploy", "deployment"),
    ("ds", "daemonset"),
    ("hpa", "horizontalpodautoscaler"),
    ("ing", "ingress"),
    ("isvc", "inferenceservice"),
    ("ksvc", "service.serving.knative.dev"),
    ("lws", "leaderworkerset"),
    ("ns", "namespace"),
    ("po", "pod"),
    ("pvc", "persistentvolumeclaim"),
    ("rs", "replicaset"),
    ("sa", "serviceaccount"),
    ("sts", "statefulset"),
    ("svc", "service"),
];

fn kind_and_name(text: &str) -> Result<KindAndName, String> {
    match text.split_once('/') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => {
            let long = SHORT_NAMES.iter().find(|(short, _)| *short == kind).map_or(kind, |(_, long)| long);
            Ok(KindAndName { kind: long.to_owned(), name: name.to_owned() })
        }
        _ => Err("an object is written KIND/NAME, as in deployment/api".to_owned()),
    }
}

/// A name alone is a pod's, as with kubectl.
fn pod_or_owner(text: &str) -> Result<KindAndName, String> {
    if text.contains('/') { kind_and_name(text) } else { kind_and_name(&format!("pod/{text}")) }
}

fn health(word: &str) -> Result<HealthWord, String> {
    let word_of = |health: &Health| health.as_str().eq_ignore_ascii_case(word);
    let found = Health::ALL.into_iter().find(word_of).map(Into::into);
    found.ok_or_else(|| format!("use one of {}", Health::ALL.map(Health::as_str).join(", ")))
}

/// A whole number with its unit: `90s`, `30m`, `2h`, `7d`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is no time; write a whole number and s, m, h or d, as in 30m");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(wrong)
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
    fn objects_are_named_as_with_kubectl() {
        let read = |text: &str| pod_or_owner(text).map(|object| format!("{}|{}", object.kind, object.name));
        for (text, expected) in [
            ("api-1", "pod|api-1"),
            ("deploy/api", "deployment|api"),
            ("deployments.apps/api", "deployments.apps|api"),
            ("ksvc/api", "service.serving.knative.dev|api"),
            ("clusterrole/system:x", "clusterrole|system:x"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected));
        }
        assert!(read("/api").is_err() && read("pod/").is_err() && kind_and_name("api").is_err());
    }

    #[test]
    fn the_help_lists_each_exit_code() {
        let all =
            [Exit::Ok, Exit::Differs, Exit::Error, Exit::Unauthorised, Exit::NotFound, Exit::Unreachable, Exit::TimedOut, Exit::Refused];
        let listed: Vec<String> = EXIT_CODES.lines().skip(1).map(|line| line.trim().chars().take(1).collect()).collect();
        assert_eq!(listed, all.map(|exit| exit.code().to_string()));
    }
}
