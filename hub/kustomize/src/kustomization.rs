//! The kustomization file: its fields as kustomize 5.8.1 knows them. Reading what the fields name is left to the target.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use shared_manifest::Node;

use crate::config::specs;
use crate::field_spec::FieldSpecs;
use crate::fields::{Fields, Reading, Spot, read_all};
use crate::generate::helm_chart::{Globals, HelmChart};
use crate::generate::{Arguments, Options};
use crate::problem::{Fault, Reason};
use crate::selector::Selector;
use crate::transform::images::Image;
use crate::transform::patch::Body;
use crate::transform::replacement::Replacement;
use crate::transform::replicas::Replica;
use crate::transform::sort::Sort;
use crate::transform::variables::Variable;

/// A kustomization or component.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kustomization {
    pub(crate) is_component: bool,
    pub(crate) openapi: OpenApi,
    pub(crate) resources: Vec<Spot<String>>,
    pub(crate) components: Vec<Spot<String>>,
    pub(crate) crds: Vec<Spot<String>>,
    pub(crate) configurations: Vec<Spot<String>>,
    pub(crate) generators: Vec<Spot<String>>,
    pub(crate) transformers: Vec<Spot<String>>,
    pub(crate) validators: Vec<Spot<String>>,
    pub(crate) config_maps: Vec<Arguments>,
    /// With the type of each.
    pub(crate) secrets: Vec<(Arguments, String)>,
    pub(crate) charts: Vec<HelmChart>,
    pub(crate) chart_globals: Globals,
    pub(crate) generator_options: Options,
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) labels: Vec<Label>,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) strategic_patches: Vec<Spot<String>>,
    pub(crate) json_patches: Vec<Patch>,
    pub(crate) patches: Vec<Patch>,
    pub(crate) images: Arc<Vec<Image>>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) replacements: Vec<ReplacementEntry>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) sort: Option<Sort>,
    pub(crate) metadata: BuildMetadata,
}

/// A kustomization, and what is worth a look in it.
pub(crate) type Noted = (Kustomization, Vec<String>);

/// Which schema patches are merged by; neither is "what the others say".
#[derive(Debug, Clone, Default)]
pub(crate) struct OpenApi {
    /// A file of the repository.
    pub(crate) path: Option<Spot<String>>,
    /// The one that is built in, by its version.
    pub(crate) is_built_in: bool,
}

/// What `buildMetadata` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BuildMetadata {
    pub(crate) origin: bool,
    pub(crate) transformations: bool,
    pub(crate) managed_by: bool,
}

/// An entry of `labels`.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub(crate) pairs: BTreeMap<String, String>,
    pub(crate) in_selectors: bool,
    pub(crate) in_templates: bool,
    pub(crate) fields: FieldSpecs,
}

/// An entry of `patches` or `patchesJson6902`.
#[derive(Debug, Clone)]
pub(crate) struct Patch {
    pub(crate) line: u32,
    /// Its place among the patches that are laid over the kustomization; `None` if it is the kustomization's own.
    pub(crate) layer: Option<usize>,
    pub(crate) path: String,
    pub(crate) text: Spot<String>,
    pub(crate) target: Option<Selector>,
    pub(crate) may_rename: bool,
    pub(crate) may_change_kind: bool,
    /// What the inline text says, once somebody has read it.
    pub(crate) body: OnceLock<Arc<Body>>,
}

/// An entry of `replacements`.
#[derive(Debug, Clone)]
pub(crate) enum ReplacementEntry {
    /// In the kustomization.
    Inline(Arc<Replacement>),
    /// In a file of one or several.
    File(Spot<String>),
}

impl Patch {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let line = fields.line;
        let path = fields.text("path")?;
        let text = match fields.take("patch") {
            Some(node) => Spot { line: node.line, value: crate::fields::text_of(node, "patch", Reading::Lenient)? },
            None => Spot { line, value: String::new() },
        };
        let target = fields.nested("target", "a target", Selector::read)?;
        let options =
            fields.nested("options", "patch options", |fields| Ok((fields.flag("allowNameChange")?, fields.flag("allowKindChange")?)))?;
        let (may_rename, may_change_kind) = options.unwrap_or_default();
        Ok(Self { line, layer: None, path, text, target, may_rename, may_change_kind, body: OnceLock::new() })
    }
}

impl Label {
    fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        Ok(Self {
            pairs: fields.pairs("pairs")?,
            in_selectors: fields.flag("includeSelectors")?,
            in_templates: fields.flag("includeTemplates")?,
            fields: specs(fields, "fields")?,
        })
    }
}

impl ReplacementEntry {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let line = fields.line;
        let path = fields.text("path")?;
        if path.is_empty() {
            return Replacement::read(fields).map(|replacement| Self::Inline(Arc::new(replacement)));
        }
        if ["source", "targets"].into_iter().any(|field| fields.take(field).is_some()) {
            let problem = "path and an inline replacement exclude each other; remove one".to_owned();
            return Err(Fault::at(line, Reason::Replacement { problem }));
        }
        Ok(Self::File(Spot { line, value: path }))
    }
}

/// Fields that kustomize calls deprecated, and what stands for them.
const DEPRECATED: &[(&str, &str)] = &[
    ("bases", "resources"),
    ("commonLabels", "labels"),
    ("helmChartInflationGenerator", "helmCharts"),
    ("imageTags", "images"),
    ("patchesJson6902", "patches"),
    ("patchesStrategicMerge", "patches"),
    ("vars", "replacements"),
];

impl Kustomization {
    /// Reads the document of a file, and adds to `notes` what is worth a look.
    pub(crate) fn read(node: &Node, notes: &mut Vec<String>) -> Result<Self, Fault> {
        let mut fields = Fields::of(node, "a kustomization", Reading::Strict)?;
        let is_component = read_header(&mut fields)?;
        if !fields.says_anything_but(&["apiVersion", "kind"]) {
            return Err(Fault::at(node.line, Reason::EmptyKustomization));
        }
        for (field, instead) in DEPRECATED {
            if fields.take(field).is_some() {
                notes.push(format!("`{field}` is deprecated; use `{instead}` instead"));
            }
        }
        fields.nested("metadata", "metadata", |fields| {
            let _ = (fields.text("name")?, fields.text("namespace")?, fields.pairs("labels")?, fields.pairs("annotations")?);
            Ok(())
        })?;
        let openapi = read_openapi(&mut fields)?;
        let mut resources = fields.texts("resources")?;
        resources.extend(fields.texts("bases")?);
        let mut images = fields.each("images", "an image", Image::read)?;
        images.extend(fields.each("imageTags", "an image", Image::read)?);
        let read_secret = |fields: &mut Fields<'_>| Ok((Arguments::read(fields)?, fields.text("type")?));
        let mut charts = fields.each("helmCharts", "a chart", HelmChart::read)?;
        let mut chart_globals = fields.nested("helmGlobals", "helmGlobals", Globals::read)?.unwrap_or_default();
        for (chart, globals) in fields.each("helmChartInflationGenerator", "a chart", HelmChart::read_old)? {
            charts.push(chart);
            chart_globals = globals.over(chart_globals);
        }
        let kustomization = Self {
            is_component,
            openapi,
            resources,
            components: fields.texts("components")?,
            crds: fields.texts("crds")?,
            configurations: fields.texts("configurations")?,
            generators: fields.texts("generators")?,
            transformers: fields.texts("transformers")?,
            validators: fields.texts("validators")?,
            config_maps: fields.each("configMapGenerator", "a ConfigMap generator", Arguments::read)?,
            secrets: fields.each("secretGenerator", "a Secret generator", read_secret)?,
            charts,
            chart_globals,
            generator_options: fields.nested("generatorOptions", "generator options", Options::read)?.unwrap_or_default(),
            name_prefix: fields.text("namePrefix")?,
            name_suffix: fields.text("nameSuffix")?,
            namespace: fields.text("namespace")?,
            labels: fields.each("labels", "an entry of labels", Label::read)?,
            common_labels: fields.pairs("commonLabels")?,
            common_annotations: fields.pairs("commonAnnotations")?,
            strategic_patches: fields.texts("patchesStrategicMerge")?,
            json_patches: fields.each("patchesJson6902", "a JSON patch", Patch::read)?,
            patches: fields.each("patches", "a patch", Patch::read)?,
            images: Arc::new(images),
            replicas: fields.each("replicas", "an entry of replicas", Replica::read)?,
            replacements: fields.each("replacements", "a replacement", ReplacementEntry::read)?,
            variables: fields.each("vars", "a variable", Variable::read)?,
            sort: fields.nested("sortOptions", "sortOptions", Sort::read)?,
            metadata: read_build_metadata(&mut fields, notes)?,
        };
        fields.finish()?;
        Ok(kustomization)
    }
}

/// Checks kind and apiVersion and says whether it is a component.
fn read_header(fields: &mut Fields<'_>) -> Result<bool, Fault> {
    let line = fields.line;
    let (kind, api_version) = (fields.text("kind")?, fields.text("apiVersion")?);
    let is_component = match kind.as_str() {
        "" | "Kustomization" => false,
        "Component" => true,
        _ => {
            let reason = Reason::WrongHeader { field: "kind", found: kind, wanted: "Kustomization or Component" };
            return Err(Fault::at(line, reason));
        }
    };
    let wanted = if is_component { "kustomize.config.k8s.io/v1alpha1" } else { "kustomize.config.k8s.io/v1beta1" };
    if !api_version.is_empty() && api_version != wanted {
        return Err(Fault::at(line, Reason::WrongHeader { field: "apiVersion", found: api_version, wanted }));
    }
    Ok(is_component)
}

fn read_openapi(fields: &mut Fields<'_>) -> Result<OpenApi, Fault> {
    let Some(node) = fields.take("openapi") else { return Ok(OpenApi::default()) };
    let line = node.line;
    let (path, version) = read_all(node, "openapi", Reading::Strict, |fields| Ok((fields.text("path")?, fields.text("version")?)))?;
    let unsupported = |what: String, why| Err(Fault::at(line, Reason::Unsupported { what, why }));
    match (path.is_empty(), version.as_str()) {
        (false, "") => Ok(OpenApi { path: Some(Spot { line, value: path }), is_built_in: false }),
        (false, _) => unsupported("openapi with a path and a version".to_owned(), "they exclude each other; remove one"),
        (true, "") => Ok(OpenApi::default()),
        (true, "v1.21.2") => Ok(OpenApi { path: None, is_built_in: true }),
        (true, other) => unsupported(format!("openapi version \"{other}\""), "v1.21.2 alone is built in; remove the field, or give a path"),
    }
}

fn read_build_metadata(fields: &mut Fields<'_>, notes: &mut Vec<String>) -> Result<BuildMetadata, Fault> {
    let mut metadata = BuildMetadata::default();
    for option in fields.plain_texts("buildMetadata")? {
        match option.as_str() {
            "originAnnotations" => metadata.origin = true,
            "transformerAnnotations" => metadata.transformations = true,
            "managedByLabel" => metadata.managed_by = true,
            _ => notes.push(format!("buildMetadata knows no \"{option}\"; it has no effect")),
        }
    }
    Ok(metadata)
}
