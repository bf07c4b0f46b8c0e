//! `configMapGenerator`: text goes into `data`, anything else into `binaryData`.

use crate::generate::{Arguments, base64_lines, field_map};
use crate::loader::Loader;
use crate::problem::Reason;
use crate::resource::{Place, Resource};
use crate::value::size;

/// The ConfigMap that `arguments` describe.
pub(crate) fn config_map(arguments: &Arguments, loader: &Loader<'_>, place: Place) -> Result<Resource, Reason> {
    let mut resource = arguments.object("ConfigMap", place)?;
    for (key, bytes) in arguments.entries(loader)? {
        let (field, text) = match String::from_utf8(bytes) {
            Ok(text) => ("data", text),
            Err(error) => ("binaryData", base64_lines(error.as_bytes())),
        };
        if let Some(entries) = field_map(&mut resource.value, field) {
            entries.insert(key.into(), text.into());
        }
    }
    resource.bytes = size(&resource.value);
    Ok(resource)
}
