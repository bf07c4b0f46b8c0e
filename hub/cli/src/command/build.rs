//! `capstan build`: prints what `kustomize build` prints for a directory on this machine, in a repository or not, so that anyone can compare.
//! It asks no hub and no network and starts no program; what a kustomization means is left to `hub_kustomize`, what a chart means to `hub_render`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgAction, Parser, ValueEnum};
use hub_kustomize::{BuildOptions, Built, ChartRequest, Inflate, LoadRestriction, ManifestText};
use hub_render::{ChanceKey, LocalCharts};
use hub_source::FilesystemTree;
use hub_tree::{Budget, Reader, TreePath};
use shared_manifest::{Tree, scope_of, write_yaml};
use shared_model::{GroupKind, Scope};

use crate::Exit;
use crate::console::Console;
use crate::failure::Failure;
use crate::text::plain;

/// Print what `kustomize build` prints.
///
/// The objects go to standard output as YAML, warnings and problems to standard error. Needs no hub.
#[derive(Debug, Parser)]
#[command(name = "capstan build", bin_name = "capstan build", after_help = AFTER_HELP)]
pub(crate) struct BuildArgs {
    /// The directory of the kustomization.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Write to this file; into a directory, a file for each object.
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Where files may lie: in or below the directory of the kustomization that names them, or anywhere.
    #[arg(long, value_enum, default_value = "LoadRestrictionsRootOnly")]
    load_restrictor: Restrictor,
    /// Render the charts of `helmCharts` that are in the tree.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        default_value_t = false,
        action = ArgAction::Set,
        hide_possible_values = true,
        hide_default_value = true
    )]
    enable_helm: bool,
    /// The version of Kubernetes that charts are told, instead of what they say themselves.
    #[arg(long, value_name = "VERSION")]
    helm_kube_version: Option<String>,
    /// API versions that charts are told beside those of Kubernetes itself, instead of what they say themselves.
    #[arg(long, value_name = "VERSION")]
    helm_api_versions: Vec<String>,
    /// The order without `sortOptions`; `legacy` is the default.
    #[arg(long, hide = true, value_enum)]
    reorder: Option<Reorder>,
    // What follows changes how programs are run, and none is.
    #[arg(long, hide = true)]
    as_current_user: bool,
    #[arg(long, hide = true)]
    network_name: Option<String>,
    #[arg(long, hide = true)]
    stack_trace: bool,
}

const AFTER_HELP: &str = "Exit codes:
  0  built
  1  the kustomization is refused
  2  wrong usage or another failure

Flags of kustomize that make it run programs or reach the network are refused by name.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Restrictor {
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    #[value(name = "LoadRestrictionsNone")]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reorder {
    Legacy,
    None,
}

const NO_PROGRAM: &str = "no program is run while building; commit what it makes, or use a built-in transformer or generator";
const NO_NETWORK: &str = "nothing is fetched while building; vendor what is needed";

/// Flags of `kustomize build` that are refused, and why.
const REFUSED: [(&str, &str); 10] = [
    ("--helm-command", "charts are rendered without Helm; leave it out"),
    ("--helm-debug", "charts are rendered without Helm; leave it out"),
    ("--enable-alpha-plugins", NO_PROGRAM),
    ("--enable-exec", NO_PROGRAM),
    ("--enable-star", NO_PROGRAM),
    ("--mount", NO_PROGRAM),
    ("--env", NO_PROGRAM),
    ("-e", NO_PROGRAM),
    ("--network", NO_NETWORK),
    ("--enable-managedby-label", "put `buildMetadata: [managedByLabel]` into the kustomization, so that everybody builds the same"),
];

/// Runs `build`; `args` begin with its name.
pub(crate) fn run(args: &[OsString], console: &mut Console<'_>) -> Result<Exit, Failure> {
    // `--flag=false` asks for nothing.
    let args: Vec<&OsString> = args.iter().filter(|arg| !(arg.to_string_lossy().ends_with("=false") && refused(arg).is_some())).collect();
    if let Some((flag, why)) = args.iter().find_map(|arg| refused(arg)) {
        return Err(Failure::usage(format!("{flag} is not supported"), why));
    }
    let args = match BuildArgs::try_parse_from(args) {
        Ok(args) => args,
        Err(refused) => return console.explain(&refused),
    };
    if args.reorder == Some(Reorder::None) {
        return Err(Failure::usage("--reorder none is not supported", "put `sortOptions: {order: fifo}` into the kustomization"));
    }
    build(&args, console)
}

/// The refused flag that `arg` is, with or without a value.
fn refused(arg: &OsStr) -> Option<(&'static str, &'static str)> {
    let arg = arg.to_str()?;
    let flag = arg.split_once('=').map_or(arg, |(flag, _)| flag);
    REFUSED.into_iter().find(|(name, _)| *name == flag)
}

fn build(args: &BuildArgs, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let here = std::env::current_dir().map_err(|error| Failure::local(format!("the working directory cannot be told: {error}")))?;
    let here = tree_path(Path::new("/"), &here)?;
    let directory = tree_path(&Path::new("/").join(here.as_str()), &args.directory)?;
    let load_restriction = match args.load_restrictor {
        Restrictor::RootOnly => LoadRestriction::RootOnly,
        Restrictor::None => LoadRestriction::Tree,
    };
    let tree = FilesystemTree::of_machine();
    let reader = Reader::new(&tree, Budget::RENDER);
    let charts = args.enable_helm.then(|| BuildCharts::new(args));
    let charts = charts.as_ref().map(|charts| -> &dyn Inflate { charts });
    let outcome = hub_kustomize::build(&reader, &directory, &BuildOptions { load_restriction, charts, ..BuildOptions::default() });
    match outcome {
        Ok(built) => {
            for warning in &built.warnings {
                console.say(&plain(&format!("warning: {}: {}", shown_path(&warning.file, &here), warning.text)))?;
            }
            match &args.output {
                None => console.print(&built.to_yaml())?,
                Some(path) if path.is_dir() => write_each(&built, path)?,
                Some(path) => write(path, &built.to_yaml())?,
            }
            // The process ends here, and the system takes the memory back faster than the values can.
            std::mem::forget(built);
            Ok(Exit::Ok)
        }
        Err(error) => {
            let read = reader.into_read_set();
            let named = error.chain.iter().chain([&error.file, &directory]).chain(read.iter().map(|(path, _)| path));
            console.say(&plain(&format!("error: {}", shown(&error.to_string(), named, &here))))?;
            Ok(Exit::Differs)
        }
    }
}

/// What random text of charts is derived from here. It is no secret: what is printed is not what a hub would derive for any cluster.
const LOCAL_KEY: &[u8; 32] = b"capstan build, it is no secret..";

/// Renders charts as the flags say.
#[derive(Debug)]
struct BuildCharts {
    charts: LocalCharts,
    kube_version: Option<String>,
    api_versions: Vec<String>,
}

impl BuildCharts {
    fn new(args: &BuildArgs) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
        let charts = LocalCharts::new(ChanceKey::new(*LOCAL_KEY, now), now);
        Self { charts, kube_version: args.helm_kube_version.clone(), api_versions: args.helm_api_versions.clone() }
    }
}

impl Inflate for BuildCharts {
    fn inflate(&self, reader: &Reader<'_>, request: &ChartRequest) -> Result<Vec<ManifestText>, String> {
        let mut request = request.clone();
        if let Some(version) = &self.kube_version {
            request.kube_version.clone_from(version);
        }
        if !self.api_versions.is_empty() {
            request.api_versions.clone_from(&self.api_versions);
        }
        self.charts.inflate(reader, &request)
    }
}

/// The place of `path`, seen from the directory `from`, in the tree of all files. As kustomize does, `..` is resolved by the names.
fn tree_path(from: &Path, path: &Path) -> Result<TreePath, Failure> {
    let unusable =
        |why: String| Failure::usage(format!("{} cannot be built: {why}", path.display()), "name the directory of a kustomization");
    let whole = from.join(path);
    let text = whole.to_str().ok_or_else(|| unusable("the path is not UTF-8".to_owned()))?;
    if ["://", "git@", "?ref="].iter().any(|mark| text.contains(mark)) && !whole.exists() {
        return Err(unusable("it is remote, and nothing is fetched; clone it first".to_owned()));
    }
    // Above the root of all files is the root.
    let mut names: Vec<&str> = Vec::new();
    for name in text.split('/') {
        if name == ".." {
            names.pop();
        } else {
            names.push(name);
        }
    }
    TreePath::parse(names.join("/").trim_start_matches('/')).map_err(|error| unusable(error.to_string()))
}

/// A file for each object, named as kustomize names them: those of several namespaces with the namespace in front.
fn write_each(built: &Built, directory: &Path) -> Result<(), Failure> {
    let mut text = String::new();
    for (tree, name) in built.trees.iter().zip(file_names(&built.trees)) {
        if name.contains('/') {
            return Err(Failure::local(format!("an object cannot be written to a file named {name}, which leads elsewhere")));
        }
        text.clear();
        write_yaml(tree, &mut text);
        write(&directory.join(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::local(format!("{} cannot be written: {error}", path.display())))
}

fn file_names(objects: &[Tree]) -> Vec<String> {
    let named: Vec<_> = objects.iter().map(file_name).collect();
    let mut namespaces: Vec<&str> = named.iter().filter_map(|(namespace, _)| namespace.as_deref()).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let several = namespaces.len() > 1;
    let whole = |(namespace, name): &(Option<String>, String)| match namespace {
        Some(namespace) if several => format!("{namespace}_{name}").to_lowercase(),
        _ => name.to_lowercase(),
    };
    named.iter().map(whole).collect()
}

/// The namespace, unless the kind has none, and the file's name without it.
fn file_name(object: &Tree) -> (Option<String>, String) {
    let text = |tree: Option<&Tree>| tree.and_then(Tree::as_str).unwrap_or_default().to_owned();
    let metadata = |field| text(object.get("metadata").and_then(|metadata| metadata.get(field)));
    let (api_version, kind) = (text(object.get("apiVersion")), text(object.get("kind")));
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let parts = [group, version, &kind].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let name = format!("{parts}_{}.yaml", metadata("name"));
    if scope_of(&GroupKind { group: group.to_owned(), kind }) == Some(Scope::Cluster) {
        return (None, name);
    }
    let namespace = metadata("namespace");
    (Some(if namespace.is_empty() { "default".to_owned() } else { namespace }), name)
}

/// `message` with the paths that are `named` in it as a person in the directory `here` writes them.
fn shown<'a>(message: &str, named: impl Iterator<Item = &'a TreePath>, here: &'a TreePath) -> String {
    // One name alone may be a word of the message.
    let mut paths: Vec<&TreePath> = named.chain([here]).filter(|path| path.as_str().contains('/')).collect();
    paths.sort_unstable_by(|a, b| b.as_str().len().cmp(&a.as_str().len()).then_with(|| a.cmp(b)));
    paths.dedup();
    let in_a_name = |letter: char| letter.is_alphanumeric() || "/_-.".contains(letter);
    let (mut text, mut rest, mut before) = (String::with_capacity(message.len()), message, ' ');
    while let Some(letter) = rest.chars().next() {
        let found = paths.iter().filter(|_| !in_a_name(before)).find_map(|path| {
            let after = rest.strip_prefix(path.as_str())?;
            let ends = !after.starts_with(|next: char| next.is_alphanumeric() || "_-".contains(next));
            ends.then_some((path, after))
        });
        (before, rest) = match found {
            Some((path, after)) if *path == here && after.starts_with('/') => ('/', &after[1..]),
            Some((path, after)) => {
                text.push_str(&shown_path(path, here));
                ('/', after)
            }
            None => {
                text.push(letter);
                (letter, &rest[letter.len_utf8()..])
            }
        };
    }
    text
}

/// Relative below `here`, absolute elsewhere.
fn shown_path(path: &TreePath, here: &TreePath) -> String {
    if path == here {
        return ".".to_owned();
    }
    let below = path.as_str().strip_prefix(here.as_str()).and_then(|rest| if here.is_root() { Some(rest) } else { rest.strip_prefix('/') });
    below.map_or_else(|| format!("/{}", path.as_str()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::parse(text).unwrap()
    }

    #[test]
    fn the_arguments_are_consistent() {
        BuildArgs::command().debug_assert();
    }

    #[test]
    fn a_refused_flag_is_named_with_or_without_a_value() {
        let flag = |arg: &str| refused(OsStr::new(arg)).map(|(flag, _)| flag);
        assert_eq!([flag("--helm-debug"), flag("--mount=type=bind"), flag("-e")], [Some("--helm-debug"), Some("--mount"), Some("-e")]);
        assert_eq!([flag("--output"), flag("--networking"), flag("network"), flag(".")], [None; 4]);
    }

    #[test]
    fn a_path_is_resolved_by_its_names_and_never_above_the_root() {
        let at = |text: &str| tree_path(Path::new("/home/me"), Path::new(text)).unwrap().as_str().to_owned();
        assert_eq!([at("."), at("../you/./x/"), at("/etc")], ["home/me", "home/you/x", "etc"]);
        assert_eq!([at("../../../../.."), at("/..")], ["", ""]);
    }

    #[test]
    fn an_address_is_refused_as_remote() {
        let refused = tree_path(Path::new("/"), Path::new("https://github.com/x/y?ref=v1")).unwrap_err();
        assert!(refused.to_string().contains("nothing is fetched"), "{refused}");
    }

    #[test]
    fn paths_in_a_message_are_shown_as_seen_from_here() {
        let here = path("home/me/repo");
        let known = ["home/me/repo/app/k.yaml", "home/me/repo/app", "home/me/base", "home/me/base/x.yaml"].map(path);
        let seen = |message| shown(message, known.iter(), &here);
        assert_eq!(
            seen("home/me/repo/app/k.yaml:3: bad (through home/me/base/x.yaml)"),
            "app/k.yaml:3: bad (through /home/me/base/x.yaml)"
        );
        assert_eq!(seen("home/me/repo/new/y is not in or below home/me/repo/app"), "new/y is not in or below app");
        assert_eq!(seen("home/me/base/gone/z, home/me/repo"), "/home/me/base/gone/z, .");
        assert_eq!(seen("xhome/me/base home/me/baseless /home/me/base"), "xhome/me/base home/me/baseless /home/me/base");
    }

    #[test]
    fn files_are_named_by_what_they_hold() {
        let object = |api: &str, kind: &str, name: &str, namespace: &str| {
            let value = serde_json::json!({"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": namespace}});
            Tree::from(&value)
        };
        let one = [object("apps/v1", "Deployment", "Web", ""), object("v1", "Namespace", "n", ""), object("v1", "Service", "s", "default")];
        assert_eq!(file_names(&one), ["apps_v1_deployment_web.yaml", "v1_namespace_n.yaml", "v1_service_s.yaml"]);
        let two = [object("v1", "Service", "s", ""), object("v1", "Namespace", "n", ""), object("v1", "Service", "s", "Other")];
        assert_eq!(file_names(&two), ["default_v1_service_s.yaml", "v1_namespace_n.yaml", "other_v1_service_s.yaml"]);
    }
}
