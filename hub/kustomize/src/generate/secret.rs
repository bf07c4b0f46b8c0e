//! `secretGenerator`: every entry in base64, and a type.

use crate::generate::{Arguments, base64_lines, field_map};
use crate::loader::Loader;
use crate::problem::Reason;
use crate::resource::{Place, Resource};
use crate::value::{set, size};

/// The Secret that `arguments` describe; an empty `kind` is `Opaque`.
pub(crate) fn secret(arguments: &Arguments, kind: &str, loader: &Loader<'_>, place: Place) -> Result<Resource, Reason> {
    let mut resource = arguments.object("Secret", place)?;
    set(&mut resource.value, "type", if kind.is_empty() { "Opaque" } else { kind }.into());
    let entries = arguments.entries(loader)?;
    if let Some(data) = field_map(&mut resource.value, "data") {
        data.extend(entries.into_iter().map(|(key, bytes)| (key.into(), base64_lines(&bytes).into())));
    }
    resource.bytes = size(&resource.value);
    Ok(resource)
}
