//! One kustomization after the other, from the bases to the one that is asked for: collect, generate, transform; and at the end what concerns
//! the whole: hashes, references, variables, order.

use std::borrow::Cow;
use std::collections::BTreeMap;

use shared_manifest::Value;

use crate::config::Config;
use crate::configure;
use crate::documents::read_resources;
use crate::field_spec::{FieldSpec, merge};
use crate::fields::Spot;
use crate::generate::config_map::config_map;
use crate::generate::secret::secret;
use crate::id::Gvk;
use crate::kustomization::{Kustomization, OpenApi};
use crate::loader::{Found, Loader};
use crate::merge::Schema;
use crate::origin::{ConfiguredBy, Origin};
use crate::problem::{Fault, Reason, Warning};
use crate::resource::{Place, Resource};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::transform::affix::{Affix, Side};
use crate::transform::annotations::Annotations;
use crate::transform::hash::Hash;
use crate::transform::images::Images;
use crate::transform::labels::Labels;
use crate::transform::name_reference::NameReferences;
use crate::transform::namespace::{Namespace, Subjects};
use crate::transform::replicas::Replicas;
use crate::transform::variables::{Variable, Variables};
use crate::value::size;

/// How many kustomizations one build may read, each counted as often as it is included: two thousand apps of one file each. It bounds trees
/// that include every base twice at every level.
const TARGET_LIMIT: usize = 2_000;

/// What a kustomization hands to the one that includes it.
#[derive(Default)]
pub(crate) struct Accumulated {
    pub(crate) resources: Resources,
    /// `None` until the first kustomization has added its own.
    config: Option<Cow<'static, Config>>,
    variables: BTreeMap<String, Variable>,
}

/// A build on its way.
#[derive(Default)]
pub(crate) struct Build {
    pub(crate) warnings: Vec<Warning>,
    targets: usize,
    /// The schema that the first kustomization that was loaded and names one has set, for all that are transformed from then on: kustomize
    /// keeps it in a global variable.
    schema: Option<Schema>,
    /// Whether kustomize would have read its built-in schema before that: it then stays beside the other one.
    has_used_built_in: bool,
}

/// A kustomization, where it reads from, and what `buildMetadata` calls the way there.
struct Target<'a> {
    kustomization: Kustomization,
    loader: Loader<'a>,
    origin: Option<Origin>,
}

impl Accumulated {
    fn add_config(&mut self, more: Cow<'static, Config>) -> Result<(), Reason> {
        match (&mut self.config, more) {
            (Some(Cow::Borrowed(_)), Cow::Borrowed(_)) => Ok(()),
            (Some(config), more) => config.to_mut().merge(&more),
            (none, Cow::Borrowed(built_in)) => {
                *none = Some(Cow::Borrowed(built_in));
                Ok(())
            }
            (none, Cow::Owned(more)) => none.insert(Cow::Owned(Config::default())).to_mut().merge(&more),
        }
    }

    fn add(&mut self, other: Self) -> Result<(), Fault> {
        self.resources.append(other.resources.into_vec())?;
        if let Some(config) = other.config {
            self.add_config(config)?;
        }
        other.variables.into_values().try_for_each(|variable| self.add_variable(variable))
    }

    fn add_variable(&mut self, variable: Variable) -> Result<(), Fault> {
        if self.variables.contains_key(&variable.name) {
            let problem = "it is declared twice; rename one".to_owned();
            return Err(Fault::from(Reason::Variable { name: variable.name, problem }));
        }
        self.variables.insert(variable.name.clone(), variable);
        Ok(())
    }
}

impl Build {
    /// Builds the kustomization in `loader`'s directory, references and order included.
    pub(crate) fn run(&mut self, loader: Loader<'_>) -> Result<Vec<(Value, Place)>, Fault> {
        let mut target = self.load(loader, None)?;
        let metadata = target.kustomization.metadata;
        if metadata != crate::kustomization::BuildMetadata::default() {
            target.origin = Some(Origin::default());
        }
        let file = target.kustomization.file.clone();
        let mut accumulated = self.accumulate(&target, Accumulated::default()).map_err(|fault| fault.through(&file))?;
        self.conclude(&target, &mut accumulated).map_err(|fault| fault.through(&file))?;
        let finish = |resource: Resource| {
            let place = resource.place.clone();
            (resource.finish(metadata.origin, metadata.transformations), place)
        };
        Ok(accumulated.resources.into_vec().into_iter().map(finish).collect())
    }

    /// What is done once, when everything is there.
    fn conclude(&mut self, target: &Target<'_>, accumulated: &mut Accumulated) -> Result<(), Fault> {
        let resources = &mut accumulated.resources;
        let config = accumulated.config.as_deref().unwrap_or_else(|| Config::built_in());
        Hash.apply(resources)?;
        NameReferences { references: &config.names }.apply(resources)?;
        Variables { variables: &accumulated.variables, fields: &config.variables }.apply(resources)?;
        resources.retain(|resource| !is_local(resource));
        target.kustomization.sort.clone().unwrap_or_default().apply(resources)?;
        if target.kustomization.metadata.managed_by {
            let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "kustomize-v5.8.1".to_owned())]);
            Labels { labels, fields: vec![own_labels()] }.apply(resources)?;
        }
        Ok(())
    }

    fn load<'a>(&mut self, loader: Loader<'a>, origin: Option<Origin>) -> Result<Target<'a>, Fault> {
        self.targets += 1;
        if self.targets > TARGET_LIMIT {
            return Err(Reason::TooMuch { what: "kustomizations in one build", limit: TARGET_LIMIT, remedy: "split the app" }.into());
        }
        let (file, node, notes) = loader.kustomization()?;
        self.warnings.extend(notes.into_iter().map(|text| Warning { file: file.clone(), text }));
        let kustomization = Kustomization::read(&file, &node, &mut self.warnings).map_err(|fault| fault.in_file(&file))?;
        if self.schema.is_none() {
            self.schema = schema(&kustomization.openapi, &loader, self.has_used_built_in).map_err(|fault| fault.in_file(&file))?;
        }
        Ok(Target { kustomization, loader, origin })
    }

    /// Adds what one kustomization says to `accumulated`, which holds the resources of the kustomization around it if this is a component.
    fn accumulate(&mut self, target: &Target<'_>, mut accumulated: Accumulated) -> Result<Accumulated, Fault> {
        let kustomization = &target.kustomization;
        self.add_resources(target, &kustomization.resources, "resources", &mut accumulated)?;
        accumulated.add_config(self.configuration(target)?)?;
        self.generate(target, &mut accumulated)?;
        for path in &kustomization.components {
            accumulated = self.add_component(target, path, accumulated)?;
        }
        self.transform(target, &mut accumulated)?;
        let total: usize = accumulated.resources.iter().map(|resource| size(&resource.value)).sum();
        if total > crate::OUTPUT_LIMIT {
            return Err(Reason::TooMuch { what: "bytes of objects", limit: crate::OUTPUT_LIMIT, remedy: "split the app" }.into());
        }
        for variable in &kustomization.variables {
            variable.mark(&mut accumulated.resources)?;
        }
        for variable in &kustomization.variables {
            let line = variable.line;
            accumulated.add_variable(variable.clone()).map_err(|fault| fault.or_line(line))?;
        }
        Ok(accumulated)
    }

    fn add_resources(
        &mut self,
        target: &Target<'_>,
        paths: &[Spot<String>],
        field: &'static str,
        accumulated: &mut Accumulated,
    ) -> Result<(), Fault> {
        for path in paths {
            self.add_resource(target, path, field, accumulated).map_err(|fault| fault.or_line(path.line))?;
        }
        Ok(())
    }

    fn add_resource(
        &mut self,
        target: &Target<'_>,
        path: &Spot<String>,
        field: &'static str,
        accumulated: &mut Accumulated,
    ) -> Result<(), Fault> {
        let origin = target.origin.as_ref().map(|origin| origin.append(&path.value));
        match target.loader.resource(&path.value, field)? {
            Found::File(file, text) => {
                let mut resources = read_resources(&text, &file, 0)?;
                for resource in &mut resources {
                    resource.origin.clone_from(&origin);
                    self.has_used_built_in |= self.schema.is_none() && !Schema::default().knows(&resource.value);
                }
                Ok(accumulated.resources.append(resources)?)
            }
            Found::Directory(loader) => {
                let inner = self.load_inner(target, loader, origin, false)?;
                let file = &inner.kustomization.file;
                let added = self.accumulate(&inner, Accumulated::default()).map_err(|fault| fault.through(file))?;
                accumulated.add(added)
            }
        }
    }

    fn add_component(&mut self, target: &Target<'_>, path: &Spot<String>, accumulated: Accumulated) -> Result<Accumulated, Fault> {
        let found = target.loader.resource(&path.value, "components").map_err(|reason| Fault::at(path.line, reason))?;
        let Found::Directory(loader) = found else {
            let why = "an entry of `components` is a directory with a kustomization of kind Component";
            return Err(Fault::at(path.line, Reason::Unsupported { what: format!("the file {} as a component", path.value), why }));
        };
        let origin = target.origin.as_ref().map(|origin| origin.append(&path.value));
        let inner = self.load_inner(target, loader, origin, true).map_err(|fault| fault.or_line(path.line))?;
        let file = &inner.kustomization.file;
        let accumulated = self.accumulate(&inner, accumulated).map_err(|fault| fault.through(file))?;
        accumulated.resources.check_unique().map_err(|reason| Fault::at(path.line, reason))?;
        Ok(accumulated)
    }

    /// Loads an included kustomization, which has to be a component exactly if it is included as one.
    fn load_inner<'a>(
        &mut self,
        target: &Target<'_>,
        loader: Loader<'a>,
        origin: Option<Origin>,
        as_component: bool,
    ) -> Result<Target<'a>, Fault> {
        let directory = loader.root.clone();
        let mut inner = self.load(loader, origin)?;
        inner.kustomization.metadata = target.kustomization.metadata;
        match (inner.kustomization.is_component, as_component) {
            (true, false) => Err(Reason::WrongList { directory, found: "Component", belongs: "components" }.into()),
            (false, true) => Err(Reason::WrongList { directory, found: "Kustomization", belongs: "resources" }.into()),
            _ => Ok(inner),
        }
    }

    /// The built-in field specifications with what the kustomization adds.
    fn configuration(&self, target: &Target<'_>) -> Result<Cow<'static, Config>, Fault> {
        let kustomization = &target.kustomization;
        let mut config = Cow::Borrowed(Config::built_in());
        for path in &kustomization.configurations {
            if let Some((file, node)) = configure::document(&target.loader, path, "configurations")? {
                let more = Config::read(&node).map_err(|fault| fault.in_file(&file))?;
                config.to_mut().merge(&more).map_err(|reason| Fault::from(reason).in_file(&file))?;
            }
        }
        for path in &kustomization.crds {
            if let Some((file, node)) = configure::document(&target.loader, path, "crds")? {
                let more = Config::read_crds(&node.to_value()).map_err(|reason| Fault::from(reason).in_file(&file))?;
                config.to_mut().merge(&more).map_err(|reason| Fault::from(reason).in_file(&file))?;
            }
        }
        Ok(config)
    }

    fn generate(&mut self, target: &Target<'_>, accumulated: &mut Accumulated) -> Result<(), Fault> {
        let kustomization = &target.kustomization;
        let place = |line| Place { file: kustomization.file.clone(), line };
        let mut made: Vec<(u32, Resource)> = Vec::new();
        for arguments in &kustomization.config_maps {
            let all = arguments.clone().with_global(&kustomization.generator_options);
            let resource = config_map(&all, &target.loader, place(all.line)).map_err(|reason| Fault::at(all.line, reason))?;
            made.push((all.line, target.with_origin(resource, "ConfigMapGenerator")));
        }
        for (arguments, kind) in &kustomization.secrets {
            let all = arguments.clone().with_global(&kustomization.generator_options);
            let resource = secret(&all, kind, &target.loader, place(all.line)).map_err(|reason| Fault::at(all.line, reason))?;
            made.push((all.line, target.with_origin(resource, "SecretGenerator")));
        }
        for configuration in self.plugins(target, &kustomization.generators, "generators")? {
            let mut resource =
                configure::run_generator(&configuration, &target.loader).map_err(|fault| fault.in_file(&configuration.place.file))?;
            resource.origin = plugin_origin(&configuration);
            made.push((0, resource));
        }
        for (line, resource) in made {
            accumulated.resources.absorb(resource).map_err(|reason| Fault::at(line, reason))?;
        }
        Ok(())
    }

    fn transform(&mut self, target: &Target<'_>, accumulated: &mut Accumulated) -> Result<(), Fault> {
        let config = accumulated.config.clone().unwrap_or_default();
        let built_in = |kind| target.origin.as_ref().map(|origin| origin.built_in(target.kustomization.file.name(), kind));
        let mut steps: Vec<(Box<dyn Transformer>, Option<Origin>)> =
            transformers(target, &config)?.into_iter().map(|(step, kind)| (step, built_in(kind))).collect();
        for configuration in self.plugins(target, &target.kustomization.transformers, "transformers")? {
            let step = configure::transformer(&configuration, &target.loader).map_err(|fault| fault.in_file(&configuration.place.file))?;
            steps.push((step, plugin_origin(&configuration)));
        }
        let merges = !target.kustomization.strategic_patches.is_empty() || !target.kustomization.patches.is_empty();
        self.has_used_built_in |= self.schema.is_none() && merges;
        accumulated.resources.schema = self.schema.clone().unwrap_or_default();
        for (step, origin) in steps {
            step.apply(&mut accumulated.resources)?;
            if let Some(origin) = origin {
                for resource in accumulated.resources.iter_mut() {
                    match resource.origin {
                        None => resource.origin = Some(origin.clone()),
                        Some(_) => resource.transformations.push(origin.clone()),
                    }
                }
            }
            accumulated.resources.drop_deleted();
        }
        Ok(())
    }

    /// The configurations that `generators` or `transformers` list, inline or by path.
    fn plugins(&mut self, target: &Target<'_>, entries: &[Spot<String>], field: &'static str) -> Result<Vec<Resource>, Fault> {
        let mut inline = Accumulated::default();
        let mut paths = Vec::new();
        for entry in entries {
            if !configure::is_inline(&entry.value) {
                paths.push(entry.clone());
                continue;
            }
            let mut resources = read_resources(&entry.value, &target.kustomization.file, entry.line)?;
            for resource in &mut resources {
                resource.origin = target.origin.as_ref().map(|origin| origin.append(target.kustomization.file.name()));
            }
            inline.resources.append(resources)?;
        }
        self.add_resources(target, &paths, field, &mut inline)?;
        Ok(inline.resources.into_vec())
    }
}

impl Target<'_> {
    fn with_origin(&self, mut resource: Resource, kind: &str) -> Resource {
        resource.origin = self.origin.as_ref().map(|origin| origin.built_in(self.kustomization.file.name(), kind));
        resource
    }
}

/// The schema that a kustomization names.
fn schema(openapi: &OpenApi, loader: &Loader<'_>, with_built_in: bool) -> Result<Option<Schema>, Fault> {
    let Some(path) = &openapi.path else { return Ok(openapi.is_built_in.then(Schema::default)) };
    let document = configure::document(loader, path, "openapi")?;
    Ok(document.map(|(_, node)| Schema::from_openapi(&node.to_value(), with_built_in)))
}

/// A transformer and its kind.
type Step = (Box<dyn Transformer>, &'static str);

/// The transformers that the fields of a kustomization ask for, in kustomize's order, each with its kind.
fn transformers(target: &Target<'_>, config: &Config) -> Result<Vec<Step>, Fault> {
    let kustomization = &target.kustomization;
    let (loader, file) = (&target.loader, &kustomization.file);
    let mut steps: Vec<Step> = Vec::new();
    if !kustomization.strategic_patches.is_empty() {
        let step = configure::strategic_patches(&kustomization.strategic_patches, loader, file)?;
        steps.push((Box::new(step), "PatchStrategicMergeTransformer"));
    }
    for patch in &kustomization.patches {
        steps.push((Box::new(At { line: patch.line, step: configure::patches(patch, loader, file)? }), "PatchTransformer"));
    }
    if !kustomization.namespace.is_empty() {
        let (namespace, fields) = (kustomization.namespace.clone(), config.namespace.clone());
        let step = Namespace { namespace, fields, unset_only: false, subjects: Subjects::Default };
        steps.push((Box::new(step), "NamespaceTransformer"));
    }
    for (side, text, fields, kind) in [
        (Side::Prefix, &kustomization.name_prefix, &config.name_prefix, "PrefixTransformer"),
        (Side::Suffix, &kustomization.name_suffix, &config.name_suffix, "SuffixTransformer"),
    ] {
        if !text.is_empty() {
            steps.push((Box::new(Affix { side, text: text.clone(), fields: fields.clone() }), kind));
        }
    }
    for label in &kustomization.labels {
        let mut fields = label.fields.clone();
        merge(&mut fields, &config.labels)?;
        if label.in_selectors {
            merge(&mut fields, &config.common_labels)?;
        } else {
            if label.in_templates {
                merge(&mut fields, &config.template_labels)?;
            }
            merge(&mut fields, &[own_labels()])?;
        }
        steps.push((Box::new(Labels { labels: label.pairs.clone(), fields }), "LabelTransformer"));
    }
    if !kustomization.labels.is_empty() || !kustomization.common_labels.is_empty() {
        let (labels, fields) = (kustomization.common_labels.clone(), config.common_labels.clone());
        steps.push((Box::new(Labels { labels, fields }), "LabelTransformer"));
    }
    if !kustomization.common_annotations.is_empty() {
        let (annotations, fields) = (kustomization.common_annotations.clone(), config.common_annotations.clone());
        steps.push((Box::new(Annotations { annotations, fields }), "AnnotationsTransformer"));
    }
    for patch in &kustomization.json_patches {
        steps.push((Box::new(At { line: patch.line, step: configure::json_patches(patch, loader, file)? }), "PatchJson6902Transformer"));
    }
    for replica in &kustomization.replicas {
        let step = Replicas { replica: replica.clone(), fields: config.replicas.clone() };
        steps.push((Box::new(step), "ReplicaCountTransformer"));
    }
    for image in &kustomization.images {
        steps.push((Box::new(Images { image: image.clone(), fields: config.images.clone() }), "ImageTagTransformer"));
    }
    if !kustomization.replacements.is_empty() {
        steps.push((Box::new(configure::replacements(&kustomization.replacements, loader)?), "ReplacementTransformer"));
    }
    Ok(steps)
}

/// A transformer whose problems belong to a line of the kustomization.
struct At<T> {
    line: u32,
    step: T,
}

impl<T: Transformer> Transformer for At<T> {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        self.step.apply(resources).map_err(|fault| fault.or_line(self.line))
    }
}

fn own_labels() -> FieldSpec {
    FieldSpec::new(Gvk::default(), "metadata/labels", true)
}

/// Whether the resource is for kustomize only.
fn is_local(resource: &Resource) -> bool {
    let annotation = &resource.value["metadata"]["annotations"]["config.kubernetes.io/local-config"];
    !annotation.is_null() && *annotation != "false"
}

/// The origin of what the configuration `resource` makes or changes.
fn plugin_origin(resource: &Resource) -> Option<Origin> {
    let configured_in = resource.origin.as_ref()?.path.clone();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let configured_by = ConfiguredBy {
        api_version: text(&resource.value["apiVersion"]),
        kind: resource.kind().to_owned(),
        name: resource.name().to_owned(),
        namespace: resource.namespace().to_owned(),
    };
    Some(Origin { path: String::new(), configured_in, configured_by: Some(configured_by) })
}
