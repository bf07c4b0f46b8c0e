//! Versions in templates: `semver` gives one with its fields and methods, `semverCompare` asks a range. What versions are is left to `hub/version`.

use std::any::Any;
use std::rc::Rc;

use hub_gotemplate::{Args, Call, CallError, Function, Object, Text, Type, Uint, Value};
use hub_version::{Overflow, Version, VersionRange};

use super::function;

/// The version functions of sprig.
pub(super) const FUNCTIONS: &[Function] =
    &[function("semver", &[Type::Text], semver), function("semverCompare", &[Type::Text, Type::Text], semver_compare)];

/// Steps for each byte of a range or version: what is read is about a microsecond for ten bytes.
const READING: usize = 4;

fn semver(_: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    parsed(args.text(0)).map(SemanticVersion::value)
}

fn semver_compare(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(0).len().saturating_add(args.text(1).len()).saturating_mul(READING))?;
    let range: VersionRange = args.text(0).to_str().parse().map_err(failed)?;
    Ok(Value::Bool(range.contains(&parsed(args.text(1))?)))
}

fn parsed(text: &Text) -> Result<Version, CallError> {
    Version::parse(&text.to_str()).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> CallError {
    CallError::failed(error.to_string())
}

/// A `*semver.Version`.
pub(crate) struct SemanticVersion(Version);

impl SemanticVersion {
    /// The value that templates have of `version`.
    pub(crate) fn value(version: Version) -> Value {
        Value::Object(Rc::new(Self(version)))
    }
}

fn next(next: Result<Version, Overflow>) -> Result<Value, CallError> {
    next.map(SemanticVersion::value).map_err(failed)
}

impl Object for SemanticVersion {
    fn type_name(&self) -> &str {
        "*semver.Version"
    }

    fn kind(&self) -> &'static str {
        "ptr"
    }

    fn field(&self, name: &str) -> Option<Result<Value, CallError>> {
        Some(match name {
            "Major" => Ok(Uint::value("uint64", self.0.major())),
            "Minor" => Ok(Uint::value("uint64", self.0.minor())),
            "Patch" => Ok(Uint::value("uint64", self.0.patch())),
            "Prerelease" => Ok(Value::text(self.0.prerelease())),
            "Metadata" => Ok(Value::text(self.0.metadata())),
            "Original" => Ok(Value::text(self.0.original())),
            "String" => Ok(Value::text(self.0.to_string())),
            "IncMajor" => next(self.0.next_major()),
            "IncMinor" => next(self.0.next_minor()),
            "IncPatch" => next(self.0.next_patch()),
            _ => return None,
        })
    }

    fn method(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let other = || match arguments {
            [Value::Object(object)] => match object.as_any().downcast_ref::<Self>() {
                Some(Self(version)) => Ok(version),
                None => Err(CallError::failed(format!("wrong type for value; expected *semver.Version; got {}", object.type_name()))),
            },
            [_] => Err(CallError::failed("wrong type for value; expected *semver.Version")),
            _ => Err(CallError::failed(format!("wrong number of args for {name}: want 1 got {}", arguments.len()))),
        };
        let text = || match arguments {
            [Value::Text(text)] => Ok(text.to_str()),
            [_] => Err(CallError::failed("wrong type for value; expected string")),
            _ => Err(CallError::failed(format!("wrong number of args for {name}: want 1 got {}", arguments.len()))),
        };
        let order = || Ok(self.0.precedence(other()?));
        Some(match name {
            "Compare" => order().map(|order| Value::Int(order as i64)),
            "Equal" => order().map(|order| Value::Bool(order.is_eq())),
            "LessThan" => order().map(|order| Value::Bool(order.is_lt())),
            "LessThanEqual" => order().map(|order| Value::Bool(order.is_le())),
            "GreaterThan" => order().map(|order| Value::Bool(order.is_gt())),
            "GreaterThanEqual" => order().map(|order| Value::Bool(order.is_ge())),
            "SetPrerelease" => text().and_then(|text| self.0.with_prerelease(&text).map(Self::value).map_err(failed)),
            "SetMetadata" => text().and_then(|text| self.0.with_metadata(&text).map(Self::value).map_err(failed)),
            _ => return None,
        })
    }

    fn plain(&self) -> Value {
        Value::text(self.0.to_string())
    }

    fn print(&self) -> Text {
        Text::from(self.0.to_string())
    }

    fn is_true(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
