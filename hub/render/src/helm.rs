//! The engine for apps that are charts: which chart, which values in which order, and its manifests as objects with their places. What hooks
//! and policies in annotations mean is left to `hub_plan`.

use std::borrow::Cow;

use hub_fleet::{ChartFrom, HelmSource, Parameter, Values};
use hub_helm::{Used, ValuesLayer};
use hub_kustomize::{BuildOptions, Files, ManifestText, Place, overlay, without_first_use};
use hub_tree::{Mount, Reader, TreePath};
use shared_manifest::{TreeDocument, YamlBudget, YamlMode, expand_list, parse_trees};
use shared_model::AppName;

use crate::builds::Made;
use crate::charts::{Charts, Inflated, Wish, inflate};
use crate::input::RenderInput;
use crate::problem::RenderProblem;
use crate::render::Warning;
use crate::values_from::{self, without_values};

/// Objects with their places, what to know about them, and what was made use of.
type Objects = (Vec<(Made, Place)>, Vec<Warning>, Used);

/// The chart of an app that says no more than the directory that it is in: Argo CD's rule.
fn plain_chart(path: &TreePath, app: &AppName) -> HelmSource<String, TreePath> {
    HelmSource {
        chart: ChartFrom::Here(path.clone()),
        release_name: Some(app.to_string()),
        values_files: Vec::new(),
        values_from: Vec::new(),
        ignore_missing_values_files: false,
        values: Values::default(),
        parameters: Vec::new(),
        file_parameters: Vec::new(),
        skip_crds: false,
        skip_hooks: false,
        skip_tests: false,
        skip_schema_validation: false,
        kube_version: None,
        api_versions: Vec::new(),
    }
}

/// Renders the chart of `input`, with what is laid over it.
pub(crate) fn objects(input: &RenderInput, files: &Files, charts: &Charts, reader: &Reader<'_>) -> Result<Objects, RenderProblem> {
    let detected;
    let helm = match &input.helm {
        Some(helm) => helm,
        None => {
            detected = plain_chart(&input.path, &input.app);
            &detected
        }
    };
    let path = chart_path(reader, &input.path)?;
    let (values, are_secret) = values(helm, reader)?;
    let wish = Wish {
        path: &path,
        release_name: helm.release_name.as_deref().unwrap_or(input.app.as_str()),
        namespace: input.namespace.as_deref().unwrap_or("default"),
        values,
        include_crds: !helm.skip_crds,
        skip_hooks: helm.skip_hooks,
        skip_tests: helm.skip_tests,
        skip_schema: helm.skip_schema_validation,
        kube_version: helm.kube_version.as_deref(),
        api_versions: &helm.api_versions,
    };
    let inflated = inflate(wish, input, charts, reader);
    let Inflated { manifests, mut warnings, used } = if are_secret { inflated.map_err(without_values)? } else { inflated? };
    let layers = Some(&input.layers).filter(|layers| !layers.is_empty());
    let objects = match layers {
        None => as_they_are(&manifests, &mut warnings)?,
        Some(layers) => {
            let options = BuildOptions { files: Some(files), layers: Some(layers), ..BuildOptions::default() };
            let built = overlay(reader, &input.base, &manifests, &options)?;
            warnings.extend(built.warnings.into_iter().map(|warning| Warning { file: warning.file, text: warning.text }));
            built.trees.into_iter().map(Made::Tree).zip(built.places).collect()
        }
    };
    Ok((objects, warnings, used))
}

/// Where the chart is that is called `path`: a mounted repository of charts holds one archive.
fn chart_path(reader: &Reader<'_>, path: &TreePath) -> Result<TreePath, RenderProblem> {
    let Some(mount) = path.mount() else { return Ok(path.clone()) };
    reader.mount(mount.clone()).map_err(|refusal| RenderProblem::ChartNotFetched { chart: mount.to_string(), refusal })?;
    if !matches!(mount, Mount::Chart { .. }) || !path.is_root() {
        return Ok(path.clone());
    }
    let (root, entries) = reader.list(path)?.ok_or_else(|| RenderProblem::NoChart { path: path.clone() })?;
    match entries.as_slice() {
        [archive] => Ok(root.child(&archive.name)),
        _ => Ok(root),
    }
}

/// All values in the order in which they win: files, ConfigMaps and Secrets, inline, single ones of these, parameters, contents of files; and
/// whether some are secret.
fn values(helm: &HelmSource<String, TreePath>, reader: &Reader<'_>) -> Result<(Vec<ValuesLayer>, bool), RenderProblem> {
    let mut layers = Vec::new();
    for file in &helm.values_files {
        match reader.file(file)? {
            Some(content) => {
                let text = content.text().ok_or_else(|| RenderProblem::NotText { file: file.clone() })?;
                layers.push(ValuesLayer::File { name: file.to_string(), text: text.to_owned() });
            }
            None if helm.ignore_missing_values_files => {}
            None => return Err(RenderProblem::NoValuesFile { file: file.clone() }),
        }
    }
    let from = values_from::layers(&helm.values_from, reader)?;
    layers.extend(from.merged);
    if helm.values != Values::default() {
        layers.push(ValuesLayer::Inline(helm.values.to_json()));
    }
    layers.extend(from.set);
    layers.extend(helm.parameters.iter().map(set));
    for parameter in &helm.file_parameters {
        let content = reader.file(&parameter.path)?.ok_or_else(|| RenderProblem::NoValuesFile { file: parameter.path.clone() })?;
        layers.push(ValuesLayer::SetFile { key: parameter.name.clone(), content: content.bytes.to_vec() });
    }
    Ok((layers, from.are_secret))
}

/// A parameter as `--set` takes it. As Argo CD does, commas are part of the value and not its end, unless braces say that it is a list.
fn set(parameter: &Parameter<String>) -> ValuesLayer {
    let Parameter { name, value, force_string } = parameter;
    let is_list = value.starts_with('{') && value.ends_with('}');
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        if letter == ',' && !is_list && !escaped.ends_with('\\') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    let text = format!("{name}={escaped}");
    if *force_string { ValuesLayer::SetString(text) } else { ValuesLayer::Set(text) }
}

/// The objects of the manifests, read as `helm install` reads them.
fn as_they_are(manifests: &[ManifestText], warnings: &mut Vec<Warning>) -> Result<Vec<(Made, Place)>, RenderProblem> {
    let mut objects = Vec::new();
    for ManifestText { file, text } in manifests {
        for document in documents(file, text, warnings)? {
            let place = Place { file: file.clone(), line: 0 };
            let is_list = document.tree.get("items").is_some_and(|items| items.as_list().is_some());
            if is_list {
                objects.extend(expand_list(document.tree.to_value()).into_iter().map(|value| (Made::Value(value), place.clone())));
            } else {
                objects.push((Made::Read(document.tree), place));
            }
            if objects.len() > crate::OBJECT_LIMIT {
                return Err(RenderProblem::TooManyObjects { found: objects.len(), limit: crate::OBJECT_LIMIT });
            }
        }
    }
    Ok(objects)
}

/// How many keys one manifest may repeat: each takes a parse of its own.
const REPEATED_KEY_LIMIT: usize = 16;

/// The documents of a manifest. Of a key that a template gives twice, as charts do, the last counts, as it does for Helm.
fn documents(file: &TreePath, text: &str, warnings: &mut Vec<Warning>) -> Result<Vec<TreeDocument>, RenderProblem> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..REPEATED_KEY_LIMIT {
        match parse_trees(&text, YamlMode::Kubernetes, YamlBudget::BUNDLE) {
            Ok(documents) => return Ok(documents),
            Err(error) => {
                let Some((shorter, note)) = without_first_use(&text, &error) else {
                    return Err(RenderProblem::Manifest { file: file.clone(), error });
                };
                warnings.push(Warning { file: file.clone(), text: format!("in its output, {note}") });
                text = Cow::Owned(shorter);
            }
        }
    }
    let documents = parse_trees(&text, YamlMode::Kubernetes, YamlBudget::BUNDLE);
    documents.map_err(|error| RenderProblem::Manifest { file: file.clone(), error })
}

/// A path in another source, where the chart of `helm` is; `path` if it is in the app's own.
pub(crate) fn path_of(helm: Option<&HelmSource<String, TreePath>>, path: TreePath) -> TreePath {
    match helm.map(|helm| &helm.chart) {
        None | Some(ChartFrom::Here(_)) => path,
        Some(ChartFrom::Source { name, path }) => path.in_mount(Mount::Source { name: name.to_string() }),
        Some(ChartFrom::Repository { repository, name, version }) => {
            let (repository, name, version) = (repository.clone(), name.clone(), version.clone());
            TreePath::mounted(Mount::Chart { repository, name, version })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_is_part_of_a_parameter_unless_braces_make_a_list() {
        let text = |value: &str, force_string| {
            let parameter = Parameter { name: "a".to_owned(), value: value.to_owned(), force_string };
            match set(&parameter) {
                ValuesLayer::Set(text) => text,
                ValuesLayer::SetString(text) => format!("string {text}"),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(text("x,y", false), "a=x\\,y");
        assert_eq!(text("x\\,,y", false), "a=x\\,\\,y");
        assert_eq!(text("{x,y}", false), "a={x,y}");
        assert_eq!(text("1,2", true), "string a=1\\,2");
    }
}
