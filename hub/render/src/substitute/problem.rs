//! Why an object's text cannot be substituted. The messages name variables, never values: a value may be a secret.

use shared_manifest::{InvalidObject, YamlError};

use super::template::DEPTH_LIMIT;

/// How a text is kept from substitution.
const AS_IT_IS: &str = "text that is meant for others is written with \"$${\", and an object with the annotation \
                        \"kustomize.toolkit.fluxcd.io/substitute: disabled\" stays as it is";

/// What is wrong with an expression, or with what came of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubstitutionProblem {
    /// The variable has no value and the expression no default.
    #[error("the variable {name} is not set; set it in postBuild.substitute, or give it a default: \"${{{name}:=…}}\"; {AS_IT_IS}")]
    Unset {
        /// The variable.
        name: String,
    },
    /// Something is missing.
    #[error("\"${{{name}\" has no {wanted}; {AS_IT_IS}")]
    Malformed {
        /// The variable, as far as it is known.
        name: String,
        /// What is missing.
        wanted: &'static str,
    },
    /// A form of the shell that Flux does not read.
    #[error("\"${{{name}{sign}…}}\" is not read by Flux either; with a colon a default is \"${{{name}:-…}}\"; {AS_IT_IS}")]
    NoColon {
        /// The variable.
        name: String,
        /// The sign.
        sign: char,
    },
    /// A form that Flux reads and that does another thing than in a shell.
    #[error(
        "\"${{{name}:{sign}…}}\" would be a default in Flux and is another thing in a shell, so that it is refused here; write \
         \"${{{name}:-…}}\" for a default; {AS_IT_IS}"
    )]
    Unlike {
        /// The variable.
        name: String,
        /// The sign.
        sign: char,
    },
    /// Expressions in expressions.
    #[error("more than {DEPTH_LIMIT} expressions stand inside of each other; write fewer")]
    TooDeep,
    /// Patterns that take too long.
    #[error("the patterns of this app take more than {limit} steps; use shorter values or fewer stars")]
    TooManySteps {
        /// The limit.
        limit: usize,
    },
    /// Values that grow too much.
    #[error("the expressions of this app make more than {limit} bytes; use shorter values")]
    TooManyBytes {
        /// The limit.
        limit: usize,
    },
    /// A character cut in two.
    #[error("the result is no UTF-8: a position or length cuts a character in two; they count bytes")]
    NotText,
    /// The text is no YAML any more.
    #[error("with the variables replaced the object's text is no YAML: {0}; quote the expression if its value is text")]
    Yaml(YamlError),
    /// The text is YAML and no object any more.
    #[error("with the variables replaced this is no object: {0}")]
    NotAnObject(InvalidObject),
}

/// A problem and its line in the object's text, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: u32,
    pub(super) problem: SubstitutionProblem,
}
