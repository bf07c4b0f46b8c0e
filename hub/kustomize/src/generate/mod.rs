//! The generators, one per file, and what ConfigMaps and Secrets have in common: where their entries come from.

pub(crate) mod config_map;
pub(crate) mod helm_chart;
pub(crate) mod iam_policy;
pub(crate) mod secret;

use std::collections::BTreeMap;

use shared_manifest::{Text, Tree, TreeMap};

use crate::fields::Fields;
use crate::loader::Loader;
use crate::problem::{Fault, Reason};
use crate::resource::{Behavior, Place, Resource};
use crate::value::{map_of, set};

/// What a generator of entries is given.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) line: u32,
    name: String,
    namespace: String,
    behavior: Behavior,
    literals: Vec<String>,
    files: Vec<String>,
    envs: Vec<String>,
    options: Options,
}

/// What is said about the generated objects, for one generator or for all of a kustomization.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    no_hash: bool,
    immutable: bool,
}

impl Options {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        Ok(Self {
            labels: fields.pairs("labels")?,
            annotations: fields.pairs("annotations")?,
            no_hash: fields.flag("disableNameSuffixHash")?,
            immutable: fields.flag("immutable")?,
        })
    }
}

impl Arguments {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let mut envs = fields.plain_texts("envs")?;
        envs.extend(fields.optional_text("env")?.filter(|env| !env.is_empty()));
        let behavior = match fields.text("behavior")?.as_str() {
            "merge" => Behavior::Merge,
            "replace" => Behavior::Replace,
            _ => Behavior::Create,
        };
        Ok(Self {
            line: fields.line,
            name: fields.text("name")?,
            namespace: fields.text("namespace")?,
            behavior,
            literals: fields.plain_texts("literals")?,
            files: fields.plain_texts("files")?,
            envs,
            options: fields.nested("options", "generator options", Options::read)?.unwrap_or_default(),
        })
    }

    /// Adds what `generatorOptions` says; the generator's own labels and annotations win.
    pub(crate) fn with_global(mut self, global: &Options) -> Self {
        for (own, all) in [(&mut self.options.labels, &global.labels), (&mut self.options.annotations, &global.annotations)] {
            for (key, value) in all {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        self.options.no_hash |= global.no_hash;
        self.options.immutable |= global.immutable;
        self
    }

    /// Takes name and namespace from the resource that configures it, where it has none of its own.
    pub(crate) fn or_named(mut self, configuration: &Resource) -> Self {
        for (own, other) in [(&mut self.name, configuration.name()), (&mut self.namespace, configuration.namespace())] {
            if own.is_empty() {
                other.clone_into(own);
            }
        }
        self
    }

    /// The object of `kind` without entries.
    fn object(&self, kind: &str, place: Place) -> Result<Resource, Reason> {
        if self.name.is_empty() {
            return Err(self.refused(format!("a {kind} needs a name")));
        }
        let mut metadata = map_of([("name", self.name.as_str().into())]);
        if !self.namespace.is_empty() {
            set(&mut metadata, "namespace", self.namespace.as_str().into());
        }
        for (field, entries) in [("labels", &self.options.labels), ("annotations", &self.options.annotations)] {
            if !entries.is_empty() {
                let entries: TreeMap = entries.iter().map(|(key, text)| (Text::new(key), text.as_str().into())).collect();
                set(&mut metadata, field, entries.into());
            }
        }
        let mut value = map_of([("apiVersion", "v1".into()), ("kind", kind.into()), ("metadata", metadata)]);
        if self.options.immutable {
            set(&mut value, "immutable", true.into());
        }
        let mut resource = Resource::new(value, 0, place);
        resource.is_generated = true;
        resource.behavior = self.behavior;
        resource.needs_hash = !self.options.no_hash;
        Ok(resource)
    }

    /// All entries: those of the env files, the literals, the files.
    fn entries(&self, loader: &Loader<'_>) -> Result<BTreeMap<String, Vec<u8>>, Reason> {
        let mut entries = BTreeMap::new();
        let mut add = |key: String, value: Vec<u8>| match entries.insert(key.clone(), value) {
            Some(_) => Err(self.refused(format!("the key \"{key}\" is there twice"))),
            None => Ok(()),
        };
        for path in &self.envs {
            let bytes = loader.bytes_at(path, "envs")?;
            for (key, value) in self.env_lines(path, &bytes)? {
                add(key, value.into_bytes())?;
            }
        }
        for literal in &self.literals {
            let (key, value) = literal
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| self.refused("a literal must be key=value".to_owned()))?;
            add(key.to_owned(), unquoted(value).as_bytes().to_vec())?;
        }
        for source in &self.files {
            let (key, path) = self.file_source(source)?;
            add(key.to_owned(), loader.bytes_at(path, "files")?.to_vec())?;
        }
        Ok(entries)
    }

    /// Key and path of `path` or `key=path`.
    fn file_source<'s>(&self, source: &'s str) -> Result<(&'s str, &'s str), Reason> {
        match source.split_once('=') {
            None => Ok((source.rsplit('/').next().unwrap_or(source), source)),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => Ok((key, path)),
            Some(_) => Err(self.refused(format!("\"{source}\" must be a path or key=path, without \"=\" in either"))),
        }
    }

    /// The lines `key=value` of an env file; a key alone is empty.
    fn env_lines(&self, path: &str, bytes: &[u8]) -> Result<Vec<(String, String)>, Reason> {
        let text = std::str::from_utf8(bytes).map_err(|_| self.refused(format!("{path} is not UTF-8 text")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).trim_start());
        let entries = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            (key.to_owned(), value.to_owned())
        });
        Ok(entries.filter(|(key, _)| !key.is_empty()).collect())
    }

    fn refused(&self, problem: String) -> Reason {
        Reason::Generator { name: self.name.clone(), problem }
    }
}

/// The text without a pair of quotes around all of it.
fn unquoted(text: &str) -> &str {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(text)
}

/// Base64 in lines of 70 characters, where one line would be longer.
fn base64_lines(bytes: &[u8]) -> String {
    use base64::Engine;

    /// As kustomize breaks them.
    const LINE: usize = 70;
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    if encoded.len() < LINE {
        return encoded;
    }
    let mut lines = String::with_capacity(encoded.len() + encoded.len() / LINE + 1);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(LINE.min(rest.len()));
        lines.push_str(line);
        lines.push('\n');
        rest = more;
    }
    lines
}

/// A map field of a value, made if it is missing.
fn field_map<'a>(value: &'a mut Tree, field: &str) -> Option<&'a mut TreeMap> {
    value.as_map_mut()?.get_or_insert_with(field, Tree::map).as_map_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_base64_is_broken_as_kustomize_breaks_it() {
        assert_eq!(base64_lines(b"a"), "YQ==");
        let exact = base64_lines(&[0; 51]);
        assert_eq!(exact, "A".repeat(68));
        let broken = base64_lines(&[0; 54]);
        assert_eq!(broken, format!("{}\n{}\n", "A".repeat(70), "AA"));
    }

    #[test]
    fn only_a_pair_of_quotes_around_all_is_removed() {
        for (text, bare) in [("\"a\"", "a"), ("'a'", "a"), ("\"a'", "\"a'"), ("\"", "\""), ("a\"b\"", "a\"b\""), ("", "")] {
            assert_eq!(unquoted(text), bare);
        }
    }
}
