//! From configuration to transformers and generators: the entries of a kustomization that name files, and the resources of apiVersion `builtin`
//! that `generators` and `transformers` list.

use std::sync::Arc;

use hub_tree::TreePath;
use shared_manifest::{Content as Yaml, Node, YamlBudget, YamlMode, parse_yaml_spanned};

use crate::config::specs;
use crate::documents::{Parsed, first_is_empty, parse_resources, read_resources};
use crate::fields::{Fields, Reading, Spot, node_of, read_all};
use crate::files::{Content, Form};
use crate::generate::Arguments;
use crate::generate::config_map::config_map;
use crate::generate::helm_chart::{Globals, HelmChart};
use crate::generate::iam_policy::iam_policy;
use crate::generate::secret::secret;
use crate::kustomization::{Patch, ReplacementEntry};
use crate::loader::Loader;
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::transform::Transformer;
use crate::transform::affix::{Affix, Both, Side};
use crate::transform::annotations::Annotations;
use crate::transform::hash::Hash;
use crate::transform::images::{Image, Images};
use crate::transform::labels::Labels;
use crate::transform::namespace::{Namespace, Subjects};
use crate::transform::patch::{Body, Patches};
use crate::transform::patch_json::{JsonPatch, JsonPatches};
use crate::transform::patch_strategic::{Permission, StrategicPatches};
use crate::transform::replacement::{Replacement, Replacements};
use crate::transform::replicas::{Replica, Replicas};
use crate::transform::value_add::{Target, ValueAdd};
use crate::value::raw;

/// Reads a document out of a file, for a field named `field`.
pub(crate) fn document(loader: &Loader<'_>, path: &Spot<String>, field: &'static str) -> Result<Option<(TreePath, Node)>, Fault> {
    let file = loader.file(&path.value, field).map_err(|reason| Fault::at(path.line, reason))?;
    Ok(loader.document(&file)?.map(|node| (file.path, node)))
}

/// Whether an entry that may be a path or a document is a document: nothing at all, or a map, as no path is.
pub(crate) fn is_inline(entry: &str) -> bool {
    if entry.trim().is_empty() {
        return true;
    }
    entry.contains([':', '{'])
        && parse_yaml_spanned(entry, YamlMode::Kustomize, YamlBudget::MANIFEST)
            .is_ok_and(|documents| documents.first().is_some_and(|node| matches!(node.content, Yaml::Map(_))))
}

/// The transformer for an entry of `patches` in the file `here`.
pub(crate) fn patches(entry: &Patch, loader: &Loader<'_>, here: &TreePath) -> Result<Patches, Fault> {
    let name = if entry.path.is_empty() { "the inline patch".to_owned() } else { format!("the patch {}", entry.path) };
    let may = Permission { rename: entry.may_rename, change_kind: entry.may_change_kind };
    Ok(Patches { name, target: entry.target.clone(), body: body(entry, Ends::Trimmed, loader, here)?, may })
}

/// The transformer for an entry of `patchesJson6902` in the file `here`.
pub(crate) fn json_patches(entry: &Patch, loader: &Loader<'_>, here: &TreePath) -> Result<JsonPatches, Fault> {
    let refused = |problem: &str| Fault::at(entry.line, Reason::Patch { patch: "patchesJson6902".to_owned(), problem: problem.to_owned() });
    let target = entry.target.clone().filter(|target| target.names).ok_or_else(|| refused("the target needs a name"))?;
    let body = body(entry, Ends::AsWritten, loader, here)?;
    match body.as_ref() {
        Body::Json(patch) if !patch.is_empty() => Ok(JsonPatches { body, target }),
        Body::Json(_) => Err(refused("the patch is empty")),
        Body::Strategic(_) => Err(refused("the patch is no list of operations")),
    }
}

/// What happens to the blanks around a patch that stands in the kustomization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// They go, and with them the line break at the end of a block text.
    Trimmed,
    /// They stay.
    AsWritten,
}

/// What a patch says: its text is read once, and its file as often as it changes.
fn body(entry: &Patch, ends: Ends, loader: &Loader<'_>, here: &TreePath) -> Result<Arc<Body>, Fault> {
    let refused = |problem: &str| Fault::at(entry.line, Reason::Patch { patch: "the patch".to_owned(), problem: problem.to_owned() });
    match (entry.path.is_empty(), entry.text.value.trim().is_empty()) {
        (true, true) => Err(refused("it needs a patch or a path")),
        (false, false) => Err(refused("patch and path exclude each other; remove one")),
        (true, false) => {
            if let Some(body) = entry.body.get() {
                return Ok(body.clone());
            }
            let text = match ends {
                Ends::Trimmed => entry.text.value.trim_start(),
                Ends::AsWritten => &entry.text.value,
            };
            let lines_before = entry.text.value[..entry.text.value.len() - text.len()].matches('\n').count();
            let body = read_body(if ends == Ends::Trimmed { text.trim_end() } else { text }).map_err(|mut fault| {
                fault.line = fault.line.map(|line| line + entry.text.line + u32::try_from(lines_before).unwrap_or_default());
                fault.in_file(here)
            })?;
            Ok(entry.body.get_or_init(|| Arc::new(body)).clone())
        }
        (false, true) => {
            let file = loader.file(&entry.path, "the patch's path").map_err(|reason| Fault::at(entry.line, reason))?;
            match loader.parsed(&file, Form::Patch, |text| Ok(Content::Patch(Arc::new(read_body(text)?))))? {
                Content::Patch(body) => Ok(body),
                _ => Err(refused("it is no patch")),
            }
        }
    }
}

/// A text of patches: a list of operations, or resources.
fn read_body(text: &str) -> Result<Body, Fault> {
    let looks_like_a_list = text.trim_start().starts_with(['-', '[', '#', '%', '&', '!']);
    if looks_like_a_list
        && let Ok(mut documents) = parse_yaml_spanned(text, YamlMode::Kubernetes, YamlBudget::MANIFEST)
        && let Some(first @ Node { content: Yaml::List(_), .. }) = documents.first_mut()
    {
        if !text.ends_with('\n')
            && let Ok(unended) = parse_yaml_spanned(text, YamlMode::Kustomize, YamlBudget::MANIFEST)
            && let [unended] = unended.as_slice()
        {
            end_as(first, unended);
        }
        // Of several documents kustomize reads the first, also if it is empty.
        return if first_is_empty(text) { Ok(Body::Json(JsonPatch::default())) } else { Ok(Body::Json(JsonPatch::read(first)?)) };
    }
    Ok(Body::Strategic(parse_resources(text)?.into_iter().map(Parsed::into_tree).collect()))
}

/// Takes the line break from the last scalar of a text, if it has none in `unended`: a block at the end of a text without a line break ends so.
fn end_as(node: &mut Node, unended: &Node) {
    match (&mut node.content, &unended.content) {
        (Yaml::List(items), Yaml::List(others)) => {
            if let (Some(last), Some(other)) = (items.last_mut(), others.last()) {
                end_as(last, other);
            }
        }
        (Yaml::Map(entries), Yaml::Map(others)) => {
            if let (Some((_, last)), Some((_, other))) = (entries.last_mut(), others.last()) {
                end_as(last, other);
            }
        }
        (Yaml::String(text), Yaml::String(other)) if text.strip_suffix('\n') == Some(other) => drop(text.pop()),
        _ => {}
    }
}

/// The transformer for `patchesStrategicMerge`: each entry a path or a document.
pub(crate) fn strategic_patches(entries: &[Spot<String>], loader: &Loader<'_>, here: &TreePath) -> Result<StrategicPatches, Fault> {
    let mut patches = Vec::new();
    for entry in entries {
        let resources = if is_inline(&entry.value) {
            read_resources(&entry.value, here, entry.line)?
        } else {
            let file = loader.file(&entry.value, "patchesStrategicMerge").map_err(|reason| Fault::at(entry.line, reason))?;
            loader.resources(&file)?
        };
        patches.extend(resources.iter().map(|resource| resource.value.clone()));
    }
    if patches.is_empty() {
        let names: Vec<&str> = entries.iter().map(|entry| entry.value.lines().next().unwrap_or_default()).collect();
        let reason = Reason::Patch { patch: names.join(", "), problem: "there is no patch in it; remove the entry".to_owned() };
        return Err(Fault::at(entries.first().map_or(0, |entry| entry.line), reason));
    }
    Ok(StrategicPatches { patches })
}

/// The transformer for `replacements`.
pub(crate) fn replacements(entries: &[ReplacementEntry], loader: &Loader<'_>) -> Result<Replacements, Fault> {
    let mut replacements = Vec::new();
    for entry in entries {
        match entry {
            ReplacementEntry::Inline(replacement) => replacements.push(replacement.clone()),
            ReplacementEntry::File(path) => {
                let nothing = || {
                    let problem = format!("there is none in {}; remove the entry", path.value);
                    Fault::at(path.line, Reason::Replacement { problem })
                };
                let (file, node) = document(loader, path, "a replacement's path")?.ok_or_else(nothing)?;
                let nodes = match &node.content {
                    Yaml::List(items) => items.as_slice(),
                    _ => std::slice::from_ref(&node),
                };
                for node in nodes {
                    let read = read_all(node, "a replacement", Reading::Lenient, Replacement::read);
                    replacements.push(Arc::new(read.map_err(|fault| fault.in_file(&file))?));
                }
            }
        }
    }
    Ok(Replacements { replacements })
}

/// The chart that `resource` configures, if it is the generator of charts.
pub(crate) fn chart(resource: &Resource) -> Result<Option<(Globals, HelmChart)>, Fault> {
    if resource.kind() != "HelmChartInflationGenerator" {
        return Ok(None);
    }
    refuse_foreign(resource)?;
    let node = node_of(&resource.value, resource.place.line);
    let mut fields = Fields::of(&node, "a generator", Reading::Lenient)?;
    let chart = Globals::read(&mut fields).and_then(|globals| Ok((globals, HelmChart::read(&mut fields)?)));
    chart.map(Some).map_err(|fault| fault.in_file(&resource.place.file))
}

/// Makes the object of a generator that is configured by `resource`.
pub(crate) fn run_generator(resource: &Resource, loader: &Loader<'_>) -> Result<Resource, Fault> {
    let node = node_of(&resource.value, resource.place.line);
    let place = resource.place.clone();
    let mut fields = Fields::of(&node, "a generator", Reading::Lenient)?;
    refuse_foreign(resource)?;
    match resource.kind() {
        "ConfigMapGenerator" => Ok(config_map(&Arguments::read(&mut fields)?.or_named(resource), loader, place)?),
        "SecretGenerator" => {
            let arguments = Arguments::read(&mut fields)?.or_named(resource);
            Ok(secret(&arguments, &fields.text("type")?, loader, place)?)
        }
        "IAMPolicyGenerator" => iam_policy(&mut fields, place),
        kind => Err(unknown(kind)),
    }
}

/// The transformer that is configured by `resource`.
pub(crate) fn transformer(resource: &Resource, loader: &Loader<'_>) -> Result<Box<dyn Transformer>, Fault> {
    refuse_foreign(resource)?;
    let node = node_of(&resource.value, resource.place.line);
    let mut fields = Fields::of(&node, "a transformer", Reading::Lenient)?;
    let fields = &mut fields;
    let here = &resource.place.file;
    Ok(match resource.kind() {
        "AnnotationsTransformer" => {
            Box::new(Annotations { annotations: fields.pairs("annotations")?, fields: specs(fields, "fieldSpecs")? })
        }
        "LabelTransformer" => Box::new(Labels { labels: fields.pairs("labels")?, fields: specs(fields, "fieldSpecs")? }),
        "PrefixTransformer" => Box::new(affix(Side::Prefix, resource, fields)?),
        "SuffixTransformer" => Box::new(affix(Side::Suffix, resource, fields)?),
        "PrefixSuffixTransformer" => Box::new(Both(affix(Side::Prefix, resource, fields)?, affix(Side::Suffix, resource, fields)?)),
        "HashTransformer" => Box::new(Hash),
        "NamespaceTransformer" => {
            let namespace = fields.nested("metadata", "metadata", |fields| fields.text("namespace"))?.unwrap_or_default().into();
            let subjects = subjects(&fields.text("setRoleBindingSubjects")?)?;
            Box::new(Namespace { namespace, fields: specs(fields, "fieldSpecs")?, unset_only: fields.flag("unsetOnly")?, subjects })
        }
        "ImageTagTransformer" => {
            let image = fields.nested("imageTag", "an image", Image::read)?;
            let image = image.ok_or_else(|| incomplete(resource, "imageTag"))?;
            Box::new(Images { images: Arc::new(vec![image]), fields: specs(fields, "fieldSpecs")? })
        }
        "ReplicaCountTransformer" => {
            let replica = fields.nested("replica", "replica", Replica::read)?;
            let replica = replica.ok_or_else(|| incomplete(resource, "replica"))?;
            Box::new(Replicas { replica, fields: specs(fields, "fieldSpecs")? })
        }
        "PatchTransformer" => Box::new(patches(&Patch::read(fields)?, loader, here)?),
        "PatchJson6902Transformer" => {
            let mut patch = Patch::read(fields)?;
            patch.text.value = fields.text("jsonOp")?;
            Box::new(json_patches(&patch, loader, here)?)
        }
        "PatchStrategicMergeTransformer" => {
            let mut entries = fields.texts("paths")?;
            entries.extend(fields.optional_text("patches")?.map(|value| Spot { line: resource.place.line, value }));
            Box::new(strategic_patches(&entries, loader, here)?)
        }
        "ReplacementTransformer" => {
            let entries = fields.each("replacements", "a replacement", ReplacementEntry::read)?;
            Box::new(replacements(&entries, loader)?)
        }
        "ValueAddTransformer" => Box::new(value_add(fields, loader)?),
        kind => return Err(unknown(kind)),
    })
}

fn affix(side: Side, resource: &Resource, fields: &mut Fields<'_>) -> Result<Affix, Fault> {
    let text = fields.text(if side == Side::Prefix { "prefix" } else { "suffix" })?;
    let specs = specs(fields, "fieldSpecs")?;
    if specs.is_empty() { Err(incomplete(resource, "fieldSpecs")) } else { Ok(Affix { side, text: text.into(), fields: specs }) }
}

fn value_add(fields: &mut Fields<'_>, loader: &Loader<'_>) -> Result<ValueAdd, Fault> {
    let value = fields.text("value")?.trim().to_owned();
    let value = if value.is_empty() { loader.root.name().to_owned() } else { value };
    let mut targets = fields.each("targets", "a target", Target::read)?;
    if let Some(path) = fields.optional_text("targetFilePath")?.filter(|path| !path.is_empty()) {
        let path = Spot { line: fields.line, value: path };
        if let Some((file, node)) = document(loader, &path, "targetFilePath")? {
            let more = read_all(&node, "targets", Reading::Lenient, |fields| fields.each("targets", "a target", Target::read));
            targets.extend(more.map_err(|fault| fault.in_file(&file))?);
        }
    }
    if targets.is_empty() {
        let problem = "it needs at least one target".to_owned();
        return Err(Reason::Patch { patch: "ValueAddTransformer".to_owned(), problem }.into());
    }
    Ok(ValueAdd { value, targets })
}

fn subjects(mode: &str) -> Result<Subjects, Reason> {
    match mode {
        "" | "defaultOnly" => Ok(Subjects::Default),
        "allServiceAccounts" => Ok(Subjects::ServiceAccounts),
        "none" => Ok(Subjects::None),
        _ => {
            let problem = format!("setRoleBindingSubjects is \"{mode}\" and must be defaultOnly, allServiceAccounts or none");
            Err(Reason::Patch { patch: "NamespaceTransformer".to_owned(), problem })
        }
    }
}

/// Only what is built in is run: a plugin would be a program of the repository's author on the machine that renders.
fn refuse_foreign(resource: &Resource) -> Result<(), Fault> {
    if raw(&resource.value["apiVersion"]) == "builtin" {
        return Ok(());
    }
    let what = format!("the plugin {}", resource.id());
    let why =
        "no program is run while rendering; use a built-in transformer or generator (apiVersion: builtin), or commit what the plugin makes";
    Err(Fault::at(resource.place.line, Reason::Unsupported { what, why }).in_file(&resource.place.file))
}

fn unknown(kind: &str) -> Fault {
    let why = "there is no built-in generator or transformer of this kind that runs here";
    Reason::Unsupported { what: format!("{kind} of apiVersion builtin"), why }.into()
}

fn incomplete(resource: &Resource, field: &str) -> Fault {
    let problem = format!("the field {field} is missing");
    Reason::Patch { patch: resource.kind().to_owned(), problem }.into()
}
