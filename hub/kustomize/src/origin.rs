//! The annotations by which `buildMetadata` tells where a resource came from and what changed it, in kustomize's own words.

use std::fmt::Write;

use crate::remote::Remote;

/// Annotation with the origin of a resource.
pub(crate) const ORIGIN: &str = "config.kubernetes.io/origin";
/// Annotation with the transformers that a resource went through.
pub(crate) const TRANSFORMATIONS: &str = "alpha.config.kubernetes.io/transformations";

/// A file, or the configuration of a generator or transformer. Paths are relative to the directory that is built, and may begin with `..`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    pub(crate) path: String,
    /// The repository, if it is another one, and what was checked out.
    pub(crate) repo: String,
    pub(crate) reference: String,
    pub(crate) configured_in: String,
    pub(crate) configured_by: Option<ConfiguredBy>,
}

/// Which configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfiguredBy {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
}

impl Origin {
    /// The origin of what is at `path` seen from here.
    pub(crate) fn append(&self, path: &str) -> Self {
        if let Some(Remote { url, path, reference }) = Remote::parse(path) {
            // The name of the directory that kustomize has not cloned into yet.
            let path = if path.is_empty() { "notCloned".to_owned() } else { clean_join("", &path) };
            return Self { path, repo: url, reference: reference.unwrap_or_default(), ..self.clone() };
        }
        Self { path: clean_join(&self.path, path), ..self.clone() }
    }

    /// The origin of what the field for `kind` in the kustomization file `file` makes.
    pub(crate) fn built_in(&self, file: &str, kind: &str) -> Self {
        let configured_by =
            ConfiguredBy { api_version: "builtin".to_owned(), kind: kind.to_owned(), name: String::new(), namespace: String::new() };
        Self { path: String::new(), configured_in: clean_join(&self.path, file), configured_by: Some(configured_by), ..self.clone() }
    }

    /// The text of the annotation; each line after `first` begins with `indent`.
    fn write(&self, out: &mut String, first: &str, indent: &str) {
        let mut prefix = first;
        let mut line = |out: &mut String, key: &str, value: &str| {
            let _ = writeln!(out, "{prefix}{key}:{}{value}", if value.is_empty() { "" } else { " " });
            prefix = indent;
        };
        if !self.path.is_empty() {
            line(out, "path", &self.path);
        }
        for (key, value) in [("repo", &self.repo), ("ref", &self.reference)] {
            if !value.is_empty() {
                line(out, key, value);
            }
        }
        if !self.configured_in.is_empty() {
            line(out, "configuredIn", &self.configured_in);
        }
        if let Some(by) = &self.configured_by {
            line(out, "configuredBy", "");
            for (key, value) in [("apiVersion", &by.api_version), ("kind", &by.kind), ("name", &by.name), ("namespace", &by.namespace)] {
                if !value.is_empty() {
                    line(out, &format!("  {key}"), value);
                }
            }
        }
    }

    /// The text of the origin annotation.
    pub(crate) fn to_annotation(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, "", "");
        out
    }
}

/// The text of the transformations annotation.
pub(crate) fn transformations(list: &[Origin]) -> String {
    let mut out = String::new();
    for origin in list {
        origin.write(&mut out, "- ", "  ");
    }
    out
}

/// `base` and `path` joined and normal, where leading `..` stay.
pub(crate) fn clean_join(base: &str, path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in base.split('/').chain(path.split('/')) {
        match segment {
            "" | "." => {}
            ".." if segments.last().is_some_and(|last| *last != "..") => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    segments.join("/")
}
