//! `capstan template`: prints what `helm template` prints for a chart on this machine, so that anyone can compare. It asks no hub, no cluster and no
//! network and starts no program; what a chart means is left to `hub_helm`.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use hub_helm::{Calendar, Capabilities, Chance, Chart, KubeVersion, Manifest, Request, Scope, Show, Templated, ValuesLayer};
use hub_source::FilesystemTree;
use hub_tree::{Budget, Reader, TreePath};

use crate::Exit;
use crate::console::Console;
use crate::failure::Failure;
use crate::text::plain;

/// The largest archive or file of values that is read: more than [`hub_helm`] takes of either, so that its message is the one that is seen.
const FILE_BYTES_LIMIT: u64 = 16 << 20;

/// What random text is derived from here. It is no secret: what is printed is not what a hub would derive for any cluster.
const LOCAL_KEY: &[u8; 32] = b"capstan template nobody's secret";

/// Print what `helm template` prints.
///
/// The manifests go to standard output, warnings and problems to standard error. Needs no hub and no Helm.
#[derive(Debug, Parser)]
#[command(name = "capstan template", bin_name = "capstan template", after_help = AFTER_HELP)]
pub(crate) struct TemplateArgs {
    /// The name of the release, then the chart: a directory, or an archive made by `helm package`. Without a name it is `release-name`.
    #[arg(value_names = ["NAME", "CHART"], num_args = 1..=2, required = true)]
    name_and_chart: Vec<String>,
    /// The namespace of the release.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// A file of values, or `-` for standard input; later ones win.
    #[arg(short = 'f', long = "values", value_name = "FILE", value_delimiter = ',')]
    values: Vec<String>,
    /// Values such as `a.b=1,c[0]=x,d={x,y}`.
    #[arg(long, value_name = "LINE")]
    set: Vec<String>,
    /// Values such as `a.b=1`, all of them text.
    #[arg(long, value_name = "LINE")]
    set_string: Vec<String>,
    /// Values as JSON, such as `a={"b":1}` or `{"a":{"b":1}}`.
    #[arg(long, value_name = "LINE")]
    set_json: Vec<String>,
    /// Values that are the content of files, such as `a.b=path`.
    #[arg(long, value_name = "LINE")]
    set_file: Vec<String>,
    /// One value such as `a.b=text`, in which nothing means anything but itself.
    #[arg(long, value_name = "LINE")]
    set_literal: Vec<String>,
    /// The version of Kubernetes that the chart is told.
    #[arg(long, value_name = "VERSION")]
    kube_version: Option<String>,
    /// API versions that the chart is told beside those of Kubernetes itself, such as `monitoring.coreos.com/v1`.
    #[arg(short, long, value_name = "VERSION", value_delimiter = ',')]
    api_versions: Vec<String>,
    /// Print the files in `crds/` too.
    #[arg(long)]
    include_crds: bool,
    /// Leave hooks out.
    #[arg(long)]
    no_hooks: bool,
    /// Leave hooks out that are tests.
    #[arg(long)]
    skip_tests: bool,
    /// Only documents of this file, such as `templates/service.yaml`; patterns are allowed.
    #[arg(short, long, value_name = "FILE")]
    show_only: Vec<String>,
    /// Tell the chart that an earlier release is there.
    #[arg(long)]
    is_upgrade: bool,
    /// Do not check the values against the schemas of the charts.
    #[arg(long)]
    skip_schema_validation: bool,
    /// Write a file for each template into this directory.
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Put the name of the release into the path of `--output-dir`.
    #[arg(long)]
    release_name: bool,
    // What follows has no effect on what is printed, for Helm either.
    #[arg(long, hide = true)]
    skip_crds: bool,
    #[arg(long, hide = true)]
    disable_openapi_validation: bool,
    #[arg(long, hide = true)]
    create_namespace: bool,
    #[arg(long, hide = true)]
    hide_notes: bool,
    #[arg(long, hide = true)]
    render_subchart_notes: bool,
}

const AFTER_HELP: &str = "Exit codes:
  0  printed
  1  the chart or its values are refused
  2  wrong usage or another failure

Random text, keys and certificates are derived from a key that everybody knows: they stay the same here, and are not what a hub derives.
Flags of Helm that reach a cluster or the network, or run programs, are refused by name.";

const NO_CLUSTER: &str = "no cluster is asked while rendering; use --kube-version and --api-versions to say what it has";
const NO_PROGRAM: &str = "no program is run while rendering; pipe the output into it";
const NO_NETWORK: &str = "nothing is fetched while rendering; `helm pull` the chart and name the archive";
const NO_NAME: &str = "a name made of chance or time changes every name in the output; give NAME";

/// Flags of `helm template` that are refused, and why.
const REFUSED: [(&str, &str); 24] = [
    ("--validate", NO_CLUSTER),
    ("--dry-run", NO_CLUSTER),
    ("--enable-dns", NO_NETWORK),
    ("--post-renderer", NO_PROGRAM),
    ("--post-renderer-args", NO_PROGRAM),
    ("--dependency-update", NO_NETWORK),
    ("--repo", NO_NETWORK),
    ("--version", NO_NETWORK),
    ("--devel", NO_NETWORK),
    ("--verify", NO_NETWORK),
    ("--keyring", NO_NETWORK),
    ("--username", NO_NETWORK),
    ("--password", NO_NETWORK),
    ("--pass-credentials", NO_NETWORK),
    ("--ca-file", NO_NETWORK),
    ("--cert-file", NO_NETWORK),
    ("--key-file", NO_NETWORK),
    ("--insecure-skip-tls-verify", NO_NETWORK),
    ("--plain-http", NO_NETWORK),
    ("--repository-config", NO_NETWORK),
    ("--registry-config", NO_NETWORK),
    ("--generate-name", NO_NAME),
    ("-g", NO_NAME),
    ("--name-template", NO_NAME),
];

/// Runs `template`; `args` begin with its name.
pub(crate) fn run(args: &[OsString], console: &mut Console<'_>) -> Result<Exit, Failure> {
    if let Some((flag, why)) = args.iter().find_map(|arg| refused(arg)) {
        return Err(Failure::usage(format!("{flag} is not supported"), why));
    }
    let args = match TemplateArgs::try_parse_from(args) {
        Ok(args) => args,
        Err(refused) => return console.explain(&refused),
    };
    let request = request(&args, console)?;
    let rendered = chart(&args).and_then(|chart| match hub_helm::template(&chart, &request) {
        Ok(rendered) => Ok((chart, rendered)),
        Err(error) => Err(Refusal::Chart(error.to_string())),
    });
    let (chart, rendered) = match rendered {
        Ok(both) => both,
        Err(Refusal::Failure(failure)) => return Err(failure),
        Err(Refusal::Chart(why)) => return complain(&why, console),
    };
    for warning in &rendered.warnings {
        console.say(&plain(&format!("warning: {warning}")))?;
    }
    let show = Show { no_hooks: args.no_hooks, skip_tests: args.skip_tests, only: args.show_only.clone() };
    if let Some(directory) = &args.output_dir {
        let inside = if args.release_name { directory.join(&request.release_name) } else { directory.clone() };
        write_files(&rendered, &show, directory, &inside, console)?;
        return Ok(Exit::Ok);
    }
    if let Err(error) = console.print_pieces(|out| rendered.print(&show, out))? {
        return complain(&error.to_string(), console);
    }
    // The process ends here, and the system takes the memory back faster than the values can.
    std::mem::forget((chart, rendered));
    Ok(Exit::Ok)
}

/// Why nothing is printed.
enum Refusal {
    /// The chart's fault.
    Chart(String),
    /// Somebody else's.
    Failure(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// Says what is wrong with the chart, on as many lines as Helm does.
fn complain(why: &str, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let lines: Vec<String> = why.lines().map(plain).collect();
    console.say(&format!("error: {}", lines.join("\n")))?;
    Ok(Exit::Differs)
}

/// The refused flag that `arg` is, with or without a value; `--flag=false` asks for nothing.
fn refused(arg: &OsStr) -> Option<(&'static str, &'static str)> {
    let arg = arg.to_str()?;
    let (flag, value) = arg.split_once('=').map_or((arg, None), |(flag, value)| (flag, Some(value)));
    // This is what is done anyway.
    if value == Some("false") || arg == "--dry-run=client" {
        return None;
    }
    REFUSED.into_iter().find(|(name, _)| *name == flag)
}

fn chart(args: &TemplateArgs) -> Result<Chart, Refusal> {
    let Some(named) = args.name_and_chart.last() else {
        return Err(Failure::usage("no chart is named", "write `capstan template NAME CHART`").into());
    };
    let path = Path::new(named);
    let Ok(real) = fs::canonicalize(path) else {
        let hint = "name a directory with a Chart.yaml, or an archive made by `helm package`; nothing is fetched";
        return Err(Failure::usage(format!("path {named:?} not found"), hint).into());
    };
    if real.is_file() {
        let bytes = read(path)?;
        return Chart::from_archive(&bytes).map_err(|error| Refusal::Chart(format!("{named}: {error}")));
    }
    let at = real.to_str().and_then(|path| TreePath::parse(path.trim_start_matches('/')).ok());
    let at = at.ok_or_else(|| Failure::usage(format!("{named}: the path is not UTF-8"), "rename the directory"))?;
    let tree = FilesystemTree::of_machine();
    let reader = Reader::new(&tree, Budget::RENDER);
    // A person here knows paths as they see them.
    let seen = |error: String| error.replace(&format!("{at}/"), &format!("{named}/"));
    Chart::load(&reader, &at).map_err(|error| Refusal::Chart(seen(error.to_string())))
}

fn request(args: &TemplateArgs, console: &mut Console<'_>) -> Result<Request, Failure> {
    let name = match args.name_and_chart.as_slice() {
        [name, _] => name,
        _ => "release-name",
    };
    let mut request = Request::new(name, &args.namespace);
    // Whatever the order on the command line, Helm goes by the kind of the flag.
    for file in &args.values {
        let text = String::from_utf8_lossy(&values_file(file, console)?).into_owned();
        request.values.push(ValuesLayer::File { name: file.clone(), text });
    }
    request.values.extend(args.set_json.iter().cloned().map(ValuesLayer::SetJson));
    request.values.extend(args.set.iter().cloned().map(ValuesLayer::Set));
    request.values.extend(args.set_string.iter().cloned().map(ValuesLayer::SetString));
    for line in &args.set_file {
        let pairs = hub_helm::split_set_file(line)
            .map_err(|why| Failure::usage(format!("failed parsing --set-file data: {why}"), "write KEY=PATH"))?;
        for (key, path) in pairs {
            request.values.push(ValuesLayer::SetFile { key, content: values_file(&path, console)? });
        }
    }
    request.values.extend(args.set_literal.iter().cloned().map(ValuesLayer::SetLiteral));
    let mut capabilities = Capabilities::assumed();
    if let Some(version) = &args.kube_version {
        let version = KubeVersion::parse(version).map_err(|error| Failure::usage(error.to_string(), "see `kubectl version`"))?;
        capabilities = capabilities.with_kube_version(version);
    }
    request.capabilities = capabilities.with_api_versions(args.api_versions.iter().cloned());
    request.include_crds = args.include_crds;
    request.is_upgrade = args.is_upgrade;
    request.skip_schema = args.skip_schema_validation;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0));
    let scope = Scope { app: "", cluster: "", release: name };
    request.chance = Some(Chance::new(LOCAL_KEY, &scope, Calendar { anchor: now, today: now }));
    Ok(request)
}

fn values_file(path: &str, console: &mut Console<'_>) -> Result<Vec<u8>, Failure> {
    if path.trim() != "-" {
        return read(Path::new(path));
    }
    let mut bytes = Vec::new();
    let outcome = console.input.take(FILE_BYTES_LIMIT).read_to_end(&mut bytes);
    outcome.map(|_| bytes).map_err(|error| Failure::local(format!("standard input cannot be read: {error}")))
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error| Failure::usage(format!("{} cannot be read: {error}", path.display()), "check the path and its permissions");
    let mut bytes = Vec::new();
    fs::File::open(path).map_err(unreadable)?.take(FILE_BYTES_LIMIT).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// A file for each template, as Helm writes them: of objects anew, with hooks after what is there.
fn write_files(rendered: &Templated, show: &Show, directory: &Path, inside: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut written = BTreeSet::new();
    let mut write = |manifest: &Manifest, directory: &Path, append: bool| {
        let path = directory.join(&manifest.source);
        let again = !written.insert(path.clone());
        let text = format!("---\n# Source: {}\n{}\n", manifest.source, manifest.text);
        append_or_create(&path, &text, again || append)
            .map_err(|error| Failure::local(format!("{} cannot be written: {error}", path.display())))?;
        console.print(&format!("wrote {}\n", path.display()))
    };
    for crd in &rendered.crds {
        write(crd, directory, false)?;
    }
    for object in rendered.manifests.iter().filter(|manifest| manifest.hook.is_none()) {
        write(object, inside, false)?;
    }
    let is_shown = |manifest: &&Manifest| manifest.hook.as_ref().is_some_and(|hook| !(show.no_hooks || show.skip_tests && hook.is_test()));
    for hook in rendered.manifests.iter().filter(is_shown) {
        write(hook, inside, true)?;
    }
    console.print("\n")
}

fn append_or_create(path: &Path, text: &str, append: bool) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = if append { fs::OpenOptions::new().append(true).create(true).open(path)? } else { fs::File::create(path)? };
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        TemplateArgs::command().debug_assert();
    }

    #[test]
    fn a_refused_flag_is_named_unless_it_asks_for_nothing() {
        let flag = |arg: &str| refused(OsStr::new(arg)).map(|(flag, _)| flag);
        assert_eq!([flag("--validate"), flag("--repo=https://x"), flag("-g")], [Some("--validate"), Some("--repo"), Some("-g")]);
        assert_eq!([flag("--validate=false"), flag("--dry-run=client"), flag("--set"), flag(".")], [None; 4]);
    }
}
