//! One kustomization after the other, from the bases to the one that is asked for: collect, generate, transform; and at the end what concerns
//! the whole: hashes, references, variables, order.

use std::collections::BTreeMap;
use std::sync::Arc;

use hub_tree::TreePath;
use shared_manifest::Tree;

use crate::base::Base;
use crate::conclusion::{Again, Finished, Wishes, own_labels, too_big};
use crate::config::Config;
use crate::configure;
use crate::documents::read_resources;
use crate::field_spec::merge;
use crate::fields::Spot;
use crate::generate::config_map::config_map;
use crate::generate::helm_chart::ManifestText;
use crate::generate::secret::secret;
use crate::kustomization::{BuildMetadata, Kustomization, Noted, OpenApi};
use crate::layers::{Layers, made_up};
use crate::loader::{Found, Loader};
use crate::made::Made;
use crate::merge::Schema;
use crate::origin::{ConfiguredBy, Origin};
use crate::problem::{Fault, Reason, Warning};
use crate::resource::{Place, Resource};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::transform::affix::{Affix, Side};
use crate::transform::annotations::Annotations;
use crate::transform::hash::Hashed;
use crate::transform::images::Images;
use crate::transform::labels::Labels;
use crate::transform::namespace::{Namespace, Subjects};
use crate::transform::replicas::Replicas;
use crate::transform::variables::Variable;
use crate::value::raw;

/// How many kustomizations one build may read, each counted as often as it is included: two thousand apps of one file each. It bounds trees
/// that include every base twice at every level.
const TARGET_LIMIT: usize = 2_000;

/// What a kustomization hands to the one that includes it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accumulated {
    pub(crate) resources: Resources,
    /// `None` until the first kustomization has added its own.
    config: Option<Arc<Config>>,
    variables: BTreeMap<String, Variable>,
}

/// A build on its way.
#[derive(Default)]
pub(crate) struct Build {
    pub(crate) warnings: Vec<Warning>,
    /// The directories of the kustomizations that were loaded, each as often as it was, with how many led there.
    entered: Vec<(TreePath, usize)>,
    /// The schema that the first kustomization that was loaded and names one has set, for all that are transformed from then on: kustomize
    /// keeps it in a global variable.
    schema: Option<Schema>,
    /// Whether kustomize would have read its built-in schema before that: it then stays beside the other one.
    has_used_built_in: bool,
    /// Whether a chart was rendered: what that depends on is not known here, so that no base with one is kept.
    has_inflated: bool,
}

/// A kustomization, where it reads from, and what `buildMetadata` calls the way there.
struct Target<'a> {
    kustomization: Arc<Noted>,
    /// The file that it was read from.
    file: TreePath,
    /// What the outermost kustomization asks for.
    metadata: BuildMetadata,
    loader: Loader<'a>,
    origin: Option<Origin>,
    /// Whether what is done for the kustomization is kept for other builds: it stands so in its file, and was built before.
    remembers: bool,
    /// The namespace of the nearest kustomization around it that has one: that of its charts, where they and it have none.
    chart_namespace: String,
}

impl Accumulated {
    fn add_config(&mut self, more: Arc<Config>) -> Result<(), Reason> {
        match &mut self.config {
            // Other specifications are merged with themselves even where an earlier build has shared them: that may be refused.
            Some(config) if Arc::ptr_eq(config, &more) && Config::is_built_in(&more) => Ok(()),
            Some(config) => Arc::make_mut(config).merge(&more),
            none => {
                *none = Some(more);
                Ok(())
            }
        }
    }

    fn add(&mut self, other: Self) -> Result<(), Fault> {
        self.resources.work.add(other.resources.work)?;
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
    pub(crate) fn run(&mut self, loader: Loader<'_>, layers: Option<&Layers>) -> Result<Vec<(Tree, Place)>, Fault> {
        let mut target = match layers {
            None => self.load(loader, None)?,
            Some(layers) => self.load_under(layers, loader)?,
        };
        target.metadata = target.kustomization().metadata;
        if target.metadata != BuildMetadata::default() {
            target.origin = Some(Origin::default());
        }
        self.finish(&target, Accumulated::default())
    }

    /// As [`Build::run`], for `manifests` with nothing but `layers` over them.
    pub(crate) fn run_over(
        &mut self,
        manifests: &[ManifestText],
        layers: &Layers,
        loader: Loader<'_>,
    ) -> Result<Vec<(Tree, Place)>, Fault> {
        let file = loader.root.clone();
        let under = layers.over(Kustomization::default(), &loader).map_err(|fault| fault.in_file(&file))?;
        let target = Target { remembers: false, ..self.target((file, Arc::new((under, Vec::new()))), loader, None)? };
        let mut accumulated = Accumulated::default();
        for ManifestText { file, text } in manifests {
            let mut resources = read_resources(text, file, 0).map_err(|fault| Fault { line: None, ..fault })?;
            for resource in &mut resources {
                Resource::to_change(resource).place.line = 0;
                self.has_used_built_in |= !Schema::default().knows(&resource.value);
            }
            accumulated.resources.append(resources)?;
        }
        self.finish(&target, accumulated)
    }

    /// Does the rest for the outermost kustomization.
    fn finish(&mut self, target: &Target<'_>, accumulated: Accumulated) -> Result<Vec<(Tree, Place)>, Fault> {
        let accumulated = self.accumulate(target, accumulated).map_err(|fault| fault.through(&target.file))?;
        let Accumulated { resources, config, variables } = accumulated;
        let config = config.unwrap_or_else(Config::built_in);
        let sort = target.kustomization().sort.clone().unwrap_or_default();
        let wishes = Wishes { config, variables: &variables, sort, metadata: target.metadata };
        conclude(target, &wishes, resources).map_err(|fault| fault.through(&target.file))
    }

    fn load<'a>(&mut self, loader: Loader<'a>, origin: Option<Origin>) -> Result<Target<'a>, Fault> {
        self.entered.push((loader.root.clone(), loader.depth()));
        if self.entered.len() > TARGET_LIMIT {
            return Err(Reason::TooMuch { what: "kustomizations in one build", limit: TARGET_LIMIT, remedy: "split the app" }.into());
        }
        let found = loader.kustomization()?;
        self.target(found, loader, origin)
    }

    /// Loads the outermost kustomization with what is laid over it. Where there is none, one is made up.
    fn load_under<'a>(&mut self, layers: &Layers, loader: Loader<'a>) -> Result<Target<'a>, Fault> {
        let (file, (own, notes)) = match loader.kustomization() {
            Ok((file, found)) => (file, found.as_ref().clone()),
            Err(fault) if matches!(*fault.reason, Reason::NoKustomization { .. }) => (loader.root.clone(), (made_up(&loader)?, Vec::new())),
            Err(fault) => return Err(fault),
        };
        let under = layers.over(own, &loader).map_err(|fault| fault.in_file(&file))?;
        Ok(Target { remembers: false, ..self.target((file, Arc::new((under, notes))), loader, None)? })
    }

    fn target<'a>(
        &mut self,
        (file, kustomization): (TreePath, Arc<Noted>),
        loader: Loader<'a>,
        origin: Option<Origin>,
    ) -> Result<Target<'a>, Fault> {
        self.warnings.extend(kustomization.1.iter().map(|text| Warning { file: file.clone(), text: text.clone() }));
        if self.schema.is_none() {
            self.schema = schema(&kustomization.0.openapi, &loader, self.has_used_built_in).map_err(|fault| fault.in_file(&file))?;
        }
        let remembers = loader.files.keeps_bases() && origin.is_none() && loader.files.is_built_again(&loader.root, &kustomization);
        Ok(Target { kustomization, file, metadata: BuildMetadata::default(), loader, origin, remembers, chart_namespace: String::new() })
    }

    /// Adds what one kustomization says to `accumulated`, which holds the resources of the kustomization around it if this is a component.
    fn accumulate(&mut self, target: &Target<'_>, mut accumulated: Accumulated) -> Result<Accumulated, Fault> {
        let kustomization = target.kustomization();
        self.add_resources(target, &kustomization.resources, "resources", &mut accumulated)?;
        accumulated.add_config(self.configuration(target)?)?;
        self.generate(target, &mut accumulated)?;
        for path in &kustomization.components {
            accumulated = self.add_component(target, path, accumulated)?;
        }
        self.transform(target, &mut accumulated)?;
        self.validate(target, &mut accumulated)?;
        if accumulated.resources.iter().map(|resource| resource.bytes).sum::<usize>() > crate::OUTPUT_LIMIT {
            return Err(too_big().into());
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
            Found::File(file) => {
                let mut resources = target.loader.resources(&file)?;
                for resource in &mut resources {
                    if origin.is_some() {
                        Resource::to_change(resource).origin.clone_from(&origin);
                    }
                    self.has_used_built_in |= self.schema.is_none() && !Schema::default().knows(&resource.value);
                }
                Ok(accumulated.resources.append(resources)?)
            }
            Found::Directory(loader) => {
                let is_shared = loader.files.keeps_bases() && self.schema.is_none() && origin.is_none();
                let added = if is_shared { self.shared_base(target, loader)? } else { self.base(target, loader, origin)? };
                accumulated.add(added)
            }
        }
    }

    /// What the kustomization in `loader`'s directory comes to.
    fn base(&mut self, target: &Target<'_>, loader: Loader<'_>, origin: Option<Origin>) -> Result<Accumulated, Fault> {
        let inner = self.load_inner(target, loader, origin, false)?;
        self.accumulate(&inner, Accumulated::default()).map_err(|fault| fault.through(&inner.file))
    }

    /// As [`Build::base`], which is not run where an earlier build has done it and would do the same now.
    fn shared_base(&mut self, target: &Target<'_>, loader: Loader<'_>) -> Result<Accumulated, Fault> {
        let key = loader.base_key(self.has_used_built_in);
        let (files, reader, root, depth) = (loader.files, loader.reader, loader.root.clone(), loader.depth());
        if let Some(base) = files.base(&key)
            && self.entered.len() + base.entered.len() <= TARGET_LIMIT
            && base.holds(&loader, reader)
        {
            self.entered.extend(base.entered.iter().map(|(directory, below)| (directory.clone(), depth + below)));
            self.warnings.extend(base.warnings.iter().cloned());
            self.has_used_built_in = base.has_used_built_in;
            return Ok(base.accumulated.clone());
        }
        let (entered, warnings) = (self.entered.len(), self.warnings.len());
        let had_inflated = std::mem::take(&mut self.has_inflated);
        let (accumulated, observed) = reader.observe(&root, || self.base(target, loader, None));
        let mut accumulated = accumulated?;
        let has_inflated = self.has_inflated;
        self.has_inflated |= had_inflated;
        if let Some(observed) = observed.filter(|_| self.schema.is_none() && !has_inflated) {
            for resource in accumulated.resources.contents_mut(|resource| resource.needs_hash) {
                resource.hashed = Hashed::of(&resource.value);
            }
            let base = Base {
                accumulated: accumulated.clone(),
                warnings: self.warnings[warnings..].to_vec(),
                has_used_built_in: self.has_used_built_in,
                entered: self.entered[entered..].iter().map(|(directory, at)| (directory.clone(), at - depth)).collect(),
                observed,
            };
            base.keep(key, files);
        }
        Ok(accumulated)
    }

    fn add_component(&mut self, target: &Target<'_>, path: &Spot<String>, accumulated: Accumulated) -> Result<Accumulated, Fault> {
        let found = target.loader.resource(&path.value, "components").map_err(|reason| Fault::at(path.line, reason))?;
        let Found::Directory(loader) = found else {
            let why = "an entry of `components` is a directory with a kustomization of kind Component";
            return Err(Fault::at(path.line, Reason::Unsupported { what: format!("the file {} as a component", path.value), why }));
        };
        let origin = target.origin.as_ref().map(|origin| origin.append(&path.value));
        let inner = self.load_inner(target, loader, origin, true).map_err(|fault| fault.or_line(path.line))?;
        let file = &inner.file;
        let mut accumulated = self.accumulate(&inner, accumulated).map_err(|fault| fault.through(file))?;
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
        inner.metadata = target.metadata;
        inner.chart_namespace = target.chart_namespace().to_owned();
        match (inner.kustomization().is_component, as_component) {
            (true, false) => Err(Reason::WrongList { directory, found: "Component", belongs: "components" }.into()),
            (false, true) => Err(Reason::WrongList { directory, found: "Kustomization", belongs: "resources" }.into()),
            _ => Ok(inner),
        }
    }

    /// The built-in field specifications with what the kustomization adds.
    fn configuration(&self, target: &Target<'_>) -> Result<Arc<Config>, Fault> {
        let kustomization = target.kustomization();
        let mut config = Config::built_in();
        for path in &kustomization.configurations {
            if let Some((file, node)) = configure::document(&target.loader, path, "configurations")? {
                let more = Config::read(&node).map_err(|fault| fault.in_file(&file))?;
                Arc::make_mut(&mut config).merge(&more).map_err(|reason| Fault::from(reason).in_file(&file))?;
            }
        }
        for path in &kustomization.crds {
            if let Some((file, node)) = configure::document(&target.loader, path, "crds")? {
                let more = Config::read_crds(&node.to_value()).map_err(|reason| Fault::from(reason).in_file(&file))?;
                Arc::make_mut(&mut config).merge(&more).map_err(|reason| Fault::from(reason).in_file(&file))?;
            }
        }
        Ok(config)
    }

    fn generate(&mut self, target: &Target<'_>, accumulated: &mut Accumulated) -> Result<(), Fault> {
        let kustomization = target.kustomization();
        let place = |line| Place { file: target.file.clone(), line };
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
        for chart in &kustomization.charts {
            self.has_inflated = true;
            let resources = chart.inflate(&kustomization.chart_globals, target.chart_namespace(), &target.loader);
            for resource in resources.map_err(|fault| fault.or_line(chart.line))? {
                self.has_used_built_in |= self.schema.is_none() && !Schema::default().knows(&resource.value);
                made.push((chart.line, target.with_origin(resource, "HelmChartInflationGenerator")));
            }
        }
        for configuration in self.plugins(target, &kustomization.generators, "generators")? {
            if let Some((globals, chart)) = configure::chart(&configuration)? {
                self.has_inflated = true;
                let resources = chart.inflate(&globals, target.chart_namespace(), &target.loader);
                for mut resource in resources.map_err(|fault| fault.in_file(&configuration.place.file))? {
                    resource.origin = plugin_origin(&configuration);
                    made.push((0, resource));
                }
                continue;
            }
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
        let config = accumulated.config.clone().unwrap_or_else(Config::built_in);
        let mut steps = transformers(target, &config)?;
        let built_in = |kind| target.origin.as_ref().map(|origin| origin.built_in(target.file.name(), kind));
        for configuration in self.plugins(target, &target.kustomization().transformers, "transformers")? {
            let step = configure::transformer(&configuration, &target.loader).map_err(|fault| fault.in_file(&configuration.place.file))?;
            steps.push(Step { step, maker: Maker::Configured(plugin_origin(&configuration)), times: 1 });
        }
        let merges = !target.kustomization().strategic_patches.is_empty() || !target.kustomization().patches.is_empty();
        self.has_used_built_in |= self.schema.is_none() && merges;
        accumulated.resources.schema = self.schema.clone().unwrap_or_default();
        let remembers = target.remembers && target.origin.is_none() && Config::is_built_in(&config);
        let mut rest = steps.as_slice();
        let mut run = 0;
        while let Some((first, after)) = rest.split_first() {
            let alone = rest.iter().take_while(|step| remembers && step.looks_at_each_alone());
            let alone: Vec<&dyn Transformer> = alone.map(|step| step.step.as_ref()).collect();
            if !alone.is_empty() {
                let (files, directory, of) = (target.loader.files, &target.loader.root, &target.kustomization);
                let last = files.made(directory, of, run);
                if let Some(made) = Made::apply(&alone, of, last.as_deref(), &mut accumulated.resources)? {
                    files.put_made(directory, of, run, made);
                }
                run += 1;
                rest = &rest[alone.len()..];
                continue;
            }
            rest = after;
            let Step { step, maker, times } = first;
            step.apply(&mut accumulated.resources)?;
            let origin = match maker {
                Maker::Field(kind) => built_in(kind),
                Maker::Configured(origin) => origin.clone(),
            };
            if let Some(origin) = origin {
                for resource in accumulated.resources.contents_mut(|_| true) {
                    let more = std::iter::repeat_n(&origin, *times);
                    let first = more.skip(usize::from(resource.origin.is_none()));
                    resource.origin.get_or_insert_with(|| origin.clone());
                    resource.transformations.extend(first.cloned());
                }
            }
            accumulated.resources.drop_deleted();
        }
        Ok(())
    }

    /// Runs what `validators` lists: transformers that must not change anything but the label `validated-by`.
    fn validate(&mut self, target: &Target<'_>, accumulated: &mut Accumulated) -> Result<(), Fault> {
        for configuration in self.plugins(target, &target.kustomization().validators, "validators")? {
            let step = configure::transformer(&configuration, &target.loader).map_err(|fault| fault.in_file(&configuration.place.file))?;
            let before = accumulated.resources.clone();
            let refused = |problem: String| {
                let validator = configuration.id().to_string();
                Fault::at(configuration.place.line, Reason::Validator { validator, problem }).in_file(&configuration.place.file)
            };
            step.apply(&mut accumulated.resources).map_err(|fault| refused(format!("refuses: {}", fault.reason)))?;
            accumulated.resources.drop_deleted();
            let is_same = |(before, after): (&Resource, &Resource)| before.is_unchanged_in(after);
            if before.len() != accumulated.resources.len() || !before.iter().zip(accumulated.resources.iter()).all(is_same) {
                let problem = "changes resources; it may only look at them: list it under `transformers`";
                return Err(refused(problem.to_owned()));
            }
        }
        Ok(())
    }

    /// The configurations that `generators` or `transformers` list, inline or by path.
    fn plugins(&mut self, target: &Target<'_>, entries: &[Spot<String>], field: &'static str) -> Result<Vec<Arc<Resource>>, Fault> {
        let mut inline = Accumulated::default();
        let mut paths = Vec::new();
        for entry in entries {
            if !configure::is_inline(&entry.value) {
                paths.push(entry.clone());
                continue;
            }
            let mut resources = read_resources(&entry.value, &target.file, entry.line)?;
            for resource in &mut resources {
                Resource::to_change(resource).origin = target.origin.as_ref().map(|origin| origin.append(target.file.name()));
            }
            inline.resources.append(resources)?;
        }
        self.add_resources(target, &paths, field, &mut inline)?;
        Ok(inline.resources.into_vec())
    }
}

impl Target<'_> {
    fn kustomization(&self) -> &Kustomization {
        &self.kustomization.0
    }

    /// The namespace of charts that have none.
    fn chart_namespace(&self) -> &str {
        let own = &self.kustomization().namespace;
        if own.is_empty() { &self.chart_namespace } else { own }
    }

    fn with_origin(&self, mut resource: Resource, kind: &str) -> Resource {
        resource.origin = self.origin.as_ref().map(|origin| origin.built_in(self.file.name(), kind));
        resource
    }
}

/// The schema that a kustomization names.
fn schema(openapi: &OpenApi, loader: &Loader<'_>, with_built_in: bool) -> Result<Option<Schema>, Fault> {
    let Some(path) = &openapi.path else { return Ok(openapi.is_built_in.then(Schema::default)) };
    let document = configure::document(loader, path, "openapi")?;
    Ok(document.map(|(_, node)| Schema::from_openapi(&node.to_value(), with_built_in)))
}

/// Does what is done once, by what the last build has left where it can.
fn conclude(target: &Target<'_>, wishes: &Wishes<'_>, resources: Resources) -> Result<Vec<Finished>, Fault> {
    if !target.remembers || target.origin.is_some() {
        return wishes.carry_out(resources);
    }
    let (files, directory, of) = (target.loader.files, &target.loader.root, &target.kustomization);
    if let Some(last) = files.concluded(directory, of)
        && let Some(Again { next, finished }) = last.again(of, wishes, &resources)?
    {
        if let Some(next) = next {
            files.put_concluded(directory, of, next);
        }
        return Ok(finished);
    }
    let before = resources.as_slice().to_vec();
    let (notes, finished) = wishes.carry_out_noting(resources)?;
    if let Some(notes) = notes {
        files.put_concluded(directory, of, notes.conclude(of, before, finished.clone()));
    }
    Ok(finished)
}

/// A transformer, and what `buildMetadata` says of it.
struct Step {
    step: Box<dyn Transformer>,
    maker: Maker,
    /// How many transformers it is to kustomize.
    times: usize,
}

impl Step {
    /// Whether it makes of each resource what it makes of it whatever there is besides that resource, the kustomization and its configuration.
    fn looks_at_each_alone(&self) -> bool {
        matches!(self.maker, Maker::Field(_)) && self.step.looks_at_each_alone()
    }
}

/// What a transformer comes from.
enum Maker {
    /// A field of the kustomization; the kind of transformer it makes.
    Field(&'static str),
    /// A resource that `transformers` lists.
    Configured(Option<Origin>),
}

/// The transformers that the fields of a kustomization ask for, in kustomize's order.
fn transformers(target: &Target<'_>, config: &Config) -> Result<Vec<Step>, Fault> {
    let kustomization = target.kustomization();
    let (loader, file) = (&target.loader, &target.file);
    let mut steps: Vec<Step> = Vec::new();
    let mut add = |step: Box<dyn Transformer>, kind| steps.push(Step { step, maker: Maker::Field(kind), times: 1 });
    if !kustomization.strategic_patches.is_empty() {
        let step = configure::strategic_patches(&kustomization.strategic_patches, loader, file)?;
        add(Box::new(step), "PatchStrategicMergeTransformer");
    }
    for patch in &kustomization.patches {
        let at = At { line: patch.line, layer: patch.layer, step: () };
        let step = configure::patches(patch, loader, file).map_err(|fault| at.locate(fault))?;
        add(Box::new(At { line: at.line, layer: at.layer, step }), "PatchTransformer");
    }
    if !kustomization.namespace.is_empty() {
        let (namespace, fields) = (kustomization.namespace.as_str().into(), config.namespace.clone());
        let step = Namespace { namespace, fields, unset_only: false, subjects: Subjects::Default };
        add(Box::new(step), "NamespaceTransformer");
    }
    for (side, text, fields, kind) in [
        (Side::Prefix, &kustomization.name_prefix, &config.name_prefix, "PrefixTransformer"),
        (Side::Suffix, &kustomization.name_suffix, &config.name_suffix, "SuffixTransformer"),
    ] {
        if !text.is_empty() {
            add(Box::new(Affix { side, text: text.as_str().into(), fields: fields.clone() }), kind);
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
        add(Box::new(Labels { labels: label.pairs.clone(), fields }), "LabelTransformer");
    }
    if !kustomization.labels.is_empty() || !kustomization.common_labels.is_empty() {
        let (labels, fields) = (kustomization.common_labels.clone(), config.common_labels.clone());
        add(Box::new(Labels { labels, fields }), "LabelTransformer");
    }
    if !kustomization.common_annotations.is_empty() {
        let (annotations, fields) = (kustomization.common_annotations.clone(), config.common_annotations.clone());
        add(Box::new(Annotations { annotations, fields }), "AnnotationsTransformer");
    }
    for patch in &kustomization.json_patches {
        add(
            Box::new(At { line: patch.line, layer: None, step: configure::json_patches(patch, loader, file)? }),
            "PatchJson6902Transformer",
        );
    }
    for replica in &kustomization.replicas {
        let step = Replicas { replica: replica.clone(), fields: config.replicas.clone() };
        add(Box::new(step), "ReplicaCountTransformer");
    }
    let images = &kustomization.images;
    if !images.is_empty() {
        let step = Box::new(Images { images: images.clone(), fields: config.images.clone() });
        steps.push(Step { step, maker: Maker::Field("ImageTagTransformer"), times: images.len() });
    }
    if !kustomization.replacements.is_empty() {
        let step = Box::new(configure::replacements(&kustomization.replacements, loader)?);
        steps.push(Step { step, maker: Maker::Field("ReplacementTransformer"), times: 1 });
    }
    Ok(steps)
}

/// A transformer whose problems belong to a line of the kustomization, or to a patch that is laid over it.
struct At<T> {
    line: u32,
    layer: Option<usize>,
    step: T,
}

impl<T> At<T> {
    fn locate(&self, fault: Fault) -> Fault {
        match self.layer {
            Some(layer) => fault.in_layer(format!("patches[{layer}]")),
            None => fault.or_line(self.line),
        }
    }
}

impl<T: Transformer> Transformer for At<T> {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        self.step.apply(resources).map_err(|fault| self.locate(fault))
    }
}

/// The origin of what the configuration `resource` makes or changes.
fn plugin_origin(resource: &Resource) -> Option<Origin> {
    let Origin { path: configured_in, repo, reference, .. } = resource.origin.clone()?;
    let configured_by = ConfiguredBy {
        api_version: raw(&resource.value["apiVersion"]).to_owned(),
        kind: resource.kind().to_owned(),
        name: resource.name().to_owned(),
        namespace: resource.namespace().to_owned(),
    };
    Some(Origin { path: String::new(), repo, reference, configured_in, configured_by: Some(configured_by) })
}
