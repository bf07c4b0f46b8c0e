//! Text with variables: `${region}`, `${cluster}`, `${labels.NAME}`, `${vars.NAME}`, and `$${` for a literal `${`. There is nothing else: no
//! default, no function. What the variables are for an app on a cluster is decided in `resolve`.

use std::collections::BTreeMap;
use std::fmt;

use crate::label::Labels;
use crate::near::nearest;

/// The longest text that an expansion may yield: a path has at most 4 KiB, and no value of a manifest needs more than 64 KiB.
const EXPANSION_LIMIT: usize = 64 << 10;

/// The most parts that an expansion may visit. Values may name each other, and twenty that each name the next twice would visit a million.
const STEP_LIMIT: u32 = 10_000;

/// A variable of the fleet language.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// The name of the cluster's region.
    Region,
    /// The name of the cluster.
    Cluster,
    /// A label of the cluster, its region's included.
    Label(String),
    /// A value of `spec.vars` of the app, the region or the cluster.
    Var(String),
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region => f.write_str("${region}"),
            Self::Cluster => f.write_str("${cluster}"),
            Self::Label(name) => write!(f, "${{labels.{name}}}"),
            Self::Var(name) => write!(f, "${{vars.{name}}}"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// Text in which variables may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

/// Why a template has no value somewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VariableError {
    /// A variable is not set.
    #[error("{0} is not set")]
    Unset(Variable),
    /// Values name each other in a circle.
    #[error("the variables {} need each other", names.iter().map(|name| format!("${{vars.{name}}}")).collect::<Vec<_>>().join(" → "))]
    Circular {
        /// The circle; the first is also the last.
        names: Vec<String>,
    },
    /// The text grows beyond every use.
    #[error("\"{template}\" becomes longer than 65,536 bytes or 10,000 parts")]
    TooLong {
        /// The template, as written.
        template: String,
    },
}

/// What variables stand for, in one place of the fleet.
pub(crate) struct Bindings<'a> {
    pub(crate) region: &'a str,
    pub(crate) cluster: &'a str,
    pub(crate) labels: &'a Labels,
    /// `vars` in the order in which they are asked.
    pub(crate) vars: [&'a BTreeMap<String, Template>; 3],
}

impl<'a> Bindings<'a> {
    pub(crate) fn var(&self, name: &str) -> Option<&'a Template> {
        self.vars.iter().find_map(|vars| vars.get(name))
    }

    /// What `template` says here.
    pub(crate) fn expand(&self, template: &Template) -> Result<String, VariableError> {
        let mut expansion = Expansion { bindings: self, template, out: String::new(), open: Vec::new(), steps: 0 };
        expansion.add(template)?;
        Ok(expansion.out)
    }
}

struct Expansion<'a> {
    bindings: &'a Bindings<'a>,
    template: &'a Template,
    out: String,
    open: Vec<&'a str>,
    steps: u32,
}

impl<'a> Expansion<'a> {
    fn add(&mut self, template: &'a Template) -> Result<(), VariableError> {
        for part in &template.parts {
            self.steps += 1;
            match part {
                Part::Text(text) => self.out.push_str(text),
                Part::Variable(Variable::Region) => self.out.push_str(self.bindings.region),
                Part::Variable(Variable::Cluster) => self.out.push_str(self.bindings.cluster),
                Part::Variable(variable @ Variable::Label(name)) => {
                    self.out.push_str(self.bindings.labels.get(name).ok_or_else(|| VariableError::Unset(variable.clone()))?);
                }
                Part::Variable(variable @ Variable::Var(name)) => {
                    let value = self.bindings.var(name).ok_or_else(|| VariableError::Unset(variable.clone()))?;
                    self.open_var(name)?;
                    self.add(value)?;
                    self.open.pop();
                }
            }
            if self.out.len() > EXPANSION_LIMIT || self.steps > STEP_LIMIT {
                return Err(VariableError::TooLong { template: self.template.text.clone() });
            }
        }
        Ok(())
    }

    /// The names that are open bound the depth: each is there once.
    fn open_var(&mut self, name: &'a str) -> Result<(), VariableError> {
        if let Some(start) = self.open.iter().position(|open| *open == name) {
            let circle = self.open[start..].iter().chain([&name]);
            return Err(VariableError::Circular { names: circle.map(|&name| name.to_owned()).collect() });
        }
        if self.open.len() >= DEPTH_LIMIT {
            return Err(VariableError::TooLong { template: self.template.text.clone() });
        }
        self.open.push(name);
        Ok(())
    }
}

/// How deep values may name each other: each level is a stack frame, and nobody follows more than a few.
const DEPTH_LIMIT: usize = 32;

impl Template {
    /// Reads `text`. The error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            if rest[..start].ends_with('$') {
                literal.push_str(&rest[..start - 1]);
                literal.push_str("${");
                rest = &rest[start + 2..];
                continue;
            }
            literal.push_str(&rest[..start]);
            let (name, tail) = rest[start + 2..]
                .split_once('}')
                .ok_or_else(|| format!("\"{text}\" has a \"${{\" without its \"}}\"; write \"$${{\" if the two characters are meant"))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(variable(name)?));
            rest = tail;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The variables in it, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// Its value, if no variable is in it.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn variable(name: &str) -> Result<Variable, String> {
    match (name, name.split_once('.')) {
        ("region", _) => Ok(Variable::Region),
        ("cluster", _) => Ok(Variable::Cluster),
        (_, Some(("labels", label))) if !label.is_empty() => Ok(Variable::Label(label.to_owned())),
        (_, Some(("vars", var))) if !var.is_empty() => Ok(Variable::Var(var.to_owned())),
        _ => {
            let meant = match nearest(name, ["region", "cluster"]) {
                Some(near) => format!("did you mean \"${{{near}}}\"?"),
                None => format!("a value of vars is \"${{vars.{name}}}\"; text that is meant for others is written \"$${{{name}}}\""),
            };
            Err(format!(
                "\"${{{name}}}\" is no variable: there are ${{region}}, ${{cluster}}, ${{labels.NAME}} and ${{vars.NAME}}; {meant}"
            ))
        }
    }
}

/// Whether `name` can be a key of `vars`.
pub(crate) fn check_var_name(name: &str) -> Result<(), String> {
    let edge = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if edge && name.len() <= 63 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
        return Ok(());
    }
    Err(format!("\"{name}\" is no variable name: use up to 63 letters, digits, '_' and '-', beginning with a letter or '_'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, Template> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), Template::parse(text).expect("valid"))).collect()
    }

    fn expand(text: &str, values: &[(&str, &str)]) -> Result<String, VariableError> {
        let labels = Labels::from([("tier".to_owned(), "prod".to_owned())]);
        let (first, none) = (vars(values), BTreeMap::new());
        let bindings = Bindings { region: "eu", cluster: "gpu-a", labels: &labels, vars: [&first, &none, &none] };
        bindings.expand(&Template::parse(text).expect("valid"))
    }

    #[test]
    fn variables_are_replaced_and_escapes_stay() {
        for (text, value) in [
            ("overlays/${region}/${cluster}", "overlays/eu/gpu-a"),
            ("${labels.tier}", "prod"),
            ("${vars.a}", "eu-1"),
            ("$${region} $5 $$ $", "${region} $5 $$ $"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &[("a", "${region}-1")]).as_deref(), Ok(value), "{text}");
        }
        for bad in ["${", "${reg", "${}", "${app}", "${vars.}", "${labels}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_told_says_why() {
        assert_eq!(expand("${vars.x}", &[]), Err(VariableError::Unset(Variable::Var("x".into()))));
        let circle = expand("${vars.a}", &[("a", "${vars.b}"), ("b", "${vars.a}")]).expect_err("circular");
        assert_eq!(circle.to_string(), "the variables ${vars.a} → ${vars.b} → ${vars.a} need each other");
    }

    #[test]
    fn values_that_multiply_are_stopped() {
        let names: Vec<String> = (0..40).map(|i| format!("v{i}")).collect();
        for width in [1, 2] {
            let texts: Vec<String> = (1..=40).map(|i| format!("${{vars.v{i}}}").repeat(width)).collect();
            let mut values: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
            values.push(("v40", ""));
            assert!(matches!(expand("${vars.v0}", &values), Err(VariableError::TooLong { .. })));
        }
    }
}
