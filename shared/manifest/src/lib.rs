//! Kubernetes objects as values: YAML in and out, canonical form and digest, structural difference, redaction, and the schema table.
//! It leaves what an object means (health, order, ownership) and every transport to others.

mod canonical;
mod diff;
mod learned;
mod object;
mod path;
mod quantity;
mod redact;
mod schema;
mod tree;
mod yaml;

pub use canonical::{canonical_json, digest};
pub use diff::{Change, diff, owned_diff, stored};
pub use object::{InvalidObject, Object, expand_list};
pub use path::{FieldPath, Step};
pub use quantity::whole_quantity;
pub use redact::{Redaction, redact, redact_changes};
pub use schema::{ListKind, list_kind, scope_of};
pub use serde_json::{Map, Number, Value};
pub use tree::{Text, Tree, TreeMap};
pub use yaml::{
    Content, Document, FromYaml, Key, Node, TreeDocument, YamlBudget, YamlError, YamlMode, YamlProblem, has_duplicates, parse_trees,
    parse_yaml, parse_yaml_as, parse_yaml_spanned, to_yaml, to_yaml_documents, write_yaml, write_yaml_documents,
    write_yaml_documents_and_keep,
};
#[doc(hidden)]
pub use yaml::{fast_and_general_agree, fast_takes};
