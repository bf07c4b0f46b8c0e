//! `IAMPolicyGenerator`: the service account that stands for an account of Google's cloud.

use crate::fields::Fields;
use crate::problem::{Fault, Reason};
use crate::resource::{Place, Resource};
use crate::value::{map_of, set, size};

/// Reads the generator's configuration and makes its one object.
pub(crate) fn iam_policy(fields: &mut Fields<'_>, place: Place) -> Result<Resource, Fault> {
    let cloud = fields.text("cloud")?;
    if cloud != "gke" {
        let problem = format!("the cloud \"{cloud}\" is not supported; only gke is");
        return Err(Reason::Generator { name: "IAMPolicyGenerator".to_owned(), problem }.into());
    }
    let service =
        fields.nested("kubernetesService", "kubernetesService", |fields| Ok((fields.text("name")?, fields.text("namespace")?)))?;
    let account = fields.nested("serviceAccount", "serviceAccount", |fields| Ok((fields.text("name")?, fields.text("projectId")?)))?;
    let ((name, namespace), (account, project)) = (service.unwrap_or_default(), account.unwrap_or_default());
    if name.is_empty() {
        let problem = "kubernetesService needs a name".to_owned();
        return Err(Reason::Generator { name: "IAMPolicyGenerator".to_owned(), problem }.into());
    }
    let annotation = format!("{account}@{project}.iam.gserviceaccount.com");
    let annotations = map_of([("iam.gke.io/gcp-service-account", annotation.into())]);
    let mut metadata = map_of([("name", name.into()), ("annotations", annotations)]);
    if !namespace.is_empty() {
        set(&mut metadata, "namespace", namespace.into());
    }
    let value = map_of([("apiVersion", "v1".into()), ("kind", "ServiceAccount".into()), ("metadata", metadata)]);
    let bytes = size(&value);
    Ok(Resource::new(value, bytes, place))
}
