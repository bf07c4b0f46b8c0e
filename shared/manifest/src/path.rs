//! The place of a field inside an object, written the way people point at fields: `spec.template.spec.containers[name=api].image`.

use std::fmt;
use std::ops::Deref;

use serde_json::Value;

/// Steps from the object to a field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldPath(pub Vec<Step>);

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A field of a map.
    Field(String),
    /// An element of a list, from 0.
    Index(usize),
    /// The element of a list of maps that has these merge keys.
    Key(Vec<(String, Value)>),
    /// An element of a set.
    Value(Value),
}

impl FieldPath {
    /// The path through the fields `names`.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(|name| Step::Field(name.to_owned())).collect())
    }
}

impl Deref for FieldPath {
    type Target = [Step];

    fn deref(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if !is_word(name) => write!(f, "[{}]", Value::from(name.as_str()))?,
                Step::Field(name) if position == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(keys) => {
                    for (position, (name, value)) in keys.iter().enumerate() {
                        write!(f, "{}{name}=", if position == 0 { "[" } else { "," })?;
                        write_value(f, value)?;
                    }
                    f.write_str("]")?;
                }
                Step::Value(value) => {
                    f.write_str("[=")?;
                    write_value(f, value)?;
                    f.write_str("]")?;
                }
            }
        }
        Ok(())
    }
}

/// Words stand alone, everything else is quoted: `metadata.annotations["example.com/a"]`.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'$'))
}

fn write_value(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([']', ',', '"', '=']) => f.write_str(text),
        _ => write!(f, "{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_is_written_as_people_point_at_fields() {
        let mut path = FieldPath::of(["spec", "template", "spec", "containers"]);
        path.0.push(Step::Key(vec![("name".into(), json!("api"))]));
        path.0.push(Step::Field("image".into()));
        assert_eq!(path.to_string(), "spec.template.spec.containers[name=api].image");
        let ports = FieldPath(vec![
            Step::Field("ports".into()),
            Step::Key(vec![("containerPort".into(), json!(80)), ("protocol".into(), json!("TCP"))]),
        ]);
        assert_eq!(ports.to_string(), "ports[containerPort=80,protocol=TCP]");
        assert_eq!(FieldPath::of(["metadata", "annotations", "a.b/c"]).to_string(), "metadata.annotations[\"a.b/c\"]");
        assert_eq!(FieldPath(vec![Step::Field("args".into()), Step::Index(2)]).to_string(), "args[2]");
        assert_eq!(FieldPath(vec![Step::Field("finalizers".into()), Step::Value(json!("x/y"))]).to_string(), "finalizers[=x/y]");
        assert_eq!(FieldPath::default().to_string(), "");
    }
}
