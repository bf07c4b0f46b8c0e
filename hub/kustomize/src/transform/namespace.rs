//! `namespace`: the namespace of every resource that can have one, of the `default` service account in role bindings, and of the services that
//! webhooks and API services name.

use std::sync::{Arc, LazyLock};

use shared_manifest::{Text, Tree};

use crate::field_spec::{Applicable, Create, FieldSpec, FieldSpecs, Visitor};
use crate::id::{Gvk, Id};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::{in_quotes_of, is_collection, raw, text};

/// Which subjects of role bindings move into the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Subjects {
    /// Those called `default`.
    #[default]
    Default,
    /// All service accounts.
    ServiceAccounts,
    /// None.
    None,
}

/// The transformer.
pub(crate) struct Namespace {
    pub(crate) namespace: Text,
    pub(crate) fields: FieldSpecs,
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

impl Transformer for Namespace {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        if self.namespace.is_empty() {
            return Ok(());
        }
        resources.look(1)?;
        resources.work.write(self.namespace.len() * resources.len())?;
        let mut applicable = Applicable::new(&self.fields);
        for resource in resources.iter_mut(|resource| !resource.is_deleted() && !resource.is_of_chart) {
            resource.remember_id();
            self.set_in(&mut resource.value, &mut applicable)?;
        }
        // Two resources that only their namespace told apart are one now.
        Ok(resources.check_unique()?)
    }

    fn looks_at_each_alone(&self) -> bool {
        true
    }
}

impl Namespace {
    /// Sets the namespace in one value. `applicable` are the transformer's fields.
    pub(crate) fn set_in(&self, value: &mut Tree, applicable: &mut Applicable<'_>) -> Result<(), Reason> {
        static OWN: LazyLock<FieldSpec> = LazyLock::new(|| FieldSpec::new(Gvk::default(), "metadata/namespace", true));
        let id = Id::of(value);
        let is_binding = matches!(id.kind, "RoleBinding" | "ClusterRoleBinding");
        let is_core = raw(&value["apiVersion"]) == "v1";
        let mut set = Set(self);
        if !id.is_cluster_scoped() {
            // Nearly always there is a map of metadata without a namespace.
            match value.get_mut("metadata") {
                Some(Tree::Map(metadata)) if !metadata.contains_key("namespace") => {
                    let namespace = in_quotes_of(&Tree::NULL, self.namespace.clone().into());
                    Arc::make_mut(metadata).insert(Text::new_static("namespace"), namespace);
                }
                _ => OWN.visit(value, Create::Scalar, &mut set)?,
            }
        }
        if is_binding && self.subjects != Subjects::None {
            check_subjects(&value["subjects"])?;
        }
        if is_binding && value["subjects"].as_list().is_some_and(|subjects| subjects.iter().any(|subject| self.moves(subject))) {
            let subjects = value.get_mut("subjects").and_then(Tree::as_list_mut).into_iter().flatten();
            for subject in subjects.filter(|subject| self.moves(subject)) {
                if let Some(subject) = subject.as_map_mut() {
                    set.visit(subject.get_or_insert_with("namespace", || Tree::NULL))?;
                }
            }
        }
        let is_meant = |field: &FieldSpec| match field.path.text.as_str() {
            "metadata/namespace" => false,
            "metadata/name" => is_core,
            "subjects/namespace" => !(is_binding && matches!(field.kinds.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")),
            _ => true,
        };
        applicable.visit_some(value, &is_meant, Create::Scalar, &mut set)
    }

    fn moves(&self, subject: &Tree) -> bool {
        let is = |field: &str, wanted: &str| subject.get(field).is_some_and(|value| text(value) == wanted);
        match self.subjects {
            Subjects::Default => is("name", "default"),
            Subjects::ServiceAccounts => is("kind", "ServiceAccount"),
            Subjects::None => false,
        }
    }
}

/// Refuses what has no name that could be looked at.
fn check_subjects(subjects: &Tree) -> Result<(), Reason> {
    let wrong = |value: &Tree, wanted| {
        let (field, found) = ("subjects of a role binding".to_owned(), crate::value::type_of(value));
        Reason::WrongType { field, wanted, found, hint: "" }
    };
    match subjects {
        Tree::Null(_) => Ok(()),
        Tree::List(subjects) => match subjects.iter().find(|subject| !subject.is_map() && !subject.is_null()) {
            Some(subject) => Err(wrong(subject, "maps")),
            None => Ok(()),
        },
        other => Err(wrong(other, "a list")),
    }
}

struct Set<'n>(&'n Namespace);

impl Visitor for Set<'_> {
    fn wants(&self, value: &Tree) -> bool {
        value.as_str() != Some(&self.0.namespace)
    }

    fn visit(&mut self, value: &mut Tree) -> Result<(), Reason> {
        if is_collection(value) {
            let found = crate::value::type_of(value);
            let hint = "; correct the field specification";
            return Err(Reason::WrongType { field: "a namespace".to_owned(), wanted: "text", found, hint });
        }
        if !self.0.unset_only || text(value).is_empty() {
            *value = in_quotes_of(value, self.0.namespace.clone().into());
        }
        Ok(())
    }
}
