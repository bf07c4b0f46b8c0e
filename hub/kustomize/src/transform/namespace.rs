//! `namespace`: the namespace of every resource that can have one, of the `default` service account in role bindings, and of the services that
//! webhooks and API services name.

use shared_manifest::Value;

use crate::field_spec::{Create, FieldSpec};
use crate::id::Id;
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::transform::Transformer;
use crate::value::has_text;

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
    pub(crate) namespace: String,
    pub(crate) fields: Vec<FieldSpec>,
    pub(crate) unset_only: bool,
    pub(crate) subjects: Subjects,
}

impl Transformer for Namespace {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        if self.namespace.is_empty() {
            return Ok(());
        }
        for resource in resources.iter_mut().filter(|resource| !resource.is_deleted()) {
            resource.remember_id();
            self.set_in(&mut resource.value)?;
        }
        // Two resources that only their namespace told apart are one now.
        Ok(resources.check_unique()?)
    }
}

impl Namespace {
    /// Sets the namespace in one value.
    pub(crate) fn set_in(&self, value: &mut Value) -> Result<(), Reason> {
        let id = Id::of(value);
        let is_binding = matches!(id.kind, "RoleBinding" | "ClusterRoleBinding");
        let is_core = value["apiVersion"] == "v1";
        let mut set = |value: &mut Value| self.set(value);
        if !id.is_cluster_scoped() {
            let own = FieldSpec::new(crate::id::Gvk::default(), "metadata/namespace", true);
            own.visit(value, Create::Scalar, &mut set)?;
        }
        if is_binding && let Some(subjects) = value.get_mut("subjects").and_then(Value::as_array_mut) {
            for subject in subjects.iter_mut().filter(|subject| self.moves(subject)) {
                if let Some(subject) = subject.as_object_mut() {
                    set(subject.entry("namespace").or_insert(Value::Null))?;
                }
            }
        }
        let fields = self.fields.iter().filter(|field| match field.path.as_ref() {
            "metadata/namespace" => false,
            "metadata/name" => is_core,
            "subjects/namespace" => !is_binding,
            _ => true,
        });
        for field in fields {
            field.visit(value, Create::Scalar, &mut set)?;
        }
        Ok(())
    }

    fn moves(&self, subject: &Value) -> bool {
        let is = |field: &str, text: &str| subject.get(field).is_some_and(|value| has_text(value, text));
        match self.subjects {
            Subjects::Default => is("name", "default"),
            Subjects::ServiceAccounts => is("kind", "ServiceAccount"),
            Subjects::None => false,
        }
    }

    fn set(&self, value: &mut Value) -> Result<(), Reason> {
        let is_set = !matches!(value, Value::Null) && *value != "";
        if value.is_object() || value.is_array() {
            let found = crate::value::type_of(value);
            return Err(Reason::WrongType {
                field: "a namespace".to_owned(),
                wanted: "text",
                found,
                hint: "; correct the field specification",
            });
        }
        if !(self.unset_only && is_set) {
            *value = self.namespace.as_str().into();
        }
        Ok(())
    }
}
