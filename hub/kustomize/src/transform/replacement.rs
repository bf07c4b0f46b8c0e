//! `replacements`: a value, or a field of one resource, copied into fields of others.

use shared_manifest::{Map, Value, YamlBudget, YamlMode, parse_yaml};

use crate::fields::Fields;
use crate::id::{Gvk, Id, effective};
use crate::problem::{Fault, Reason};
use crate::resources::Resources;
use crate::selector::{Selector, regular_expression};
use crate::transform::Transformer;
use crate::value::{is_empty, list_item, lookup, size, split_dotted, text, type_of};

/// The most bytes that the replacements of one list may copy: the largest output of a build. Without it sixty replacements that double a text
/// would fill any memory.
const COPY_LIMIT: usize = crate::OUTPUT_LIMIT;

/// The transformer.
pub(crate) struct Replacements {
    pub(crate) replacements: Vec<Replacement>,
}

/// One replacement.
#[derive(Debug, Clone)]
pub(crate) struct Replacement {
    source: Source,
    targets: Vec<Target>,
}

#[derive(Debug, Clone)]
enum Source {
    Value(String),
    Field { kinds: Gvk, name: String, namespace: String, path: String, options: Options },
}

#[derive(Debug, Clone)]
struct Target {
    select: Selector,
    reject: Vec<Selector>,
    paths: Vec<String>,
    options: Options,
}

#[derive(Debug, Clone, Default)]
struct Options {
    delimiter: String,
    index: i64,
    create: bool,
}

impl Replacement {
    /// Reads a replacement.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Result<Self, Fault> {
        let line = fields.line;
        let refused = |problem: &str| Fault::at(line, Reason::Replacement { problem: problem.to_owned() });
        let value = fields.optional_text("sourceValue")?;
        let field = fields.nested("source", "a replacement's source", |fields| {
            let kinds = Gvk { group: fields.text("group")?, version: fields.text("version")?, kind: fields.text("kind")? };
            let (name, namespace) = (fields.text("name")?, fields.text("namespace")?);
            let path = fields.text("fieldPath")?;
            let path = if path.is_empty() { "metadata.name".to_owned() } else { path };
            Ok(Source::Field { kinds, name, namespace, path, options: read_options(fields)? })
        })?;
        let source = match (value, field) {
            (Some(value), None) => Source::Value(value),
            (None, Some(field)) => field,
            (Some(_), Some(_)) => return Err(refused("source and sourceValue exclude each other; remove one")),
            (None, None) => return Err(refused("it needs a source and at least one target")),
        };
        let targets = fields.each("targets", "a replacement's target", |fields| {
            let line = fields.line;
            let select = fields.nested("select", "a selector", Selector::read)?;
            let reject = fields.each("reject", "a selector", Selector::read)?;
            let mut paths = fields.plain_texts("fieldPaths")?;
            if paths.is_empty() {
                paths.push("metadata.name".to_owned());
            }
            let options = read_options(fields)?;
            let nothing = || Fault::at(line, Reason::Replacement { problem: "a target needs a `select`".to_owned() });
            Ok(Target { select: select.ok_or_else(nothing)?, reject, paths, options })
        })?;
        if targets.is_empty() {
            return Err(refused("it needs a source and at least one target"));
        }
        Ok(Self { source, targets })
    }
}

fn read_options(fields: &mut Fields<'_>) -> Result<Options, Fault> {
    let options = fields.nested("options", "a replacement's options", |fields| {
        let (delimiter, index) = (fields.text("delimiter")?, fields.integer("index")?);
        let (_, create) = (fields.text("encoding")?, fields.flag("create")?);
        Ok(Options { delimiter, index, create })
    })?;
    Ok(options.unwrap_or_default())
}

impl Transformer for Replacements {
    fn apply(&self, resources: &mut Resources) -> Result<(), Fault> {
        let mut copied = 0;
        for replacement in &self.replacements {
            let value = source_value(resources, &replacement.source)?;
            for target in &replacement.targets {
                copy_to(resources, &value, target, &mut copied)?;
            }
        }
        Ok(())
    }
}

fn refused(problem: String) -> Reason {
    Reason::Replacement { problem }
}

fn source_value(resources: &Resources, source: &Source) -> Result<Value, Reason> {
    let (kinds, name, namespace, path, options) = match source {
        Source::Value(value) => return Ok(value.as_str().into()),
        Source::Field { kinds, name, namespace, path, options } => (kinds, name, namespace, path, options),
    };
    let is_source = |id: Id<'_>| {
        (name.is_empty() || name == id.name)
            && (namespace.is_empty() || effective(namespace) == effective(id.written_namespace))
            && id.is_selected(kinds)
    };
    let described =
        || [&kinds.kind, namespace, name].into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ");
    let found = resources.indexes(|resource| resource.ids().any(is_source));
    let resource = match found.as_slice() {
        [index] => &resources.as_slice()[*index],
        [] => return Err(refused(format!("no resource is the source \"{}\"; correct it", described()))),
        several => {
            let problem = format!("{} resources match the source \"{}\"; add name, kind or namespace", several.len(), described());
            return Err(refused(problem));
        }
    };
    let value = lookup(&resource.value, &split_dotted(path)).filter(|value| !is_empty(value));
    let value = value.ok_or_else(|| refused(format!("the source {} has no field {path}", resource.id())))?;
    if options.delimiter.is_empty() {
        return Ok(value.clone());
    }
    if value.is_array() || value.is_object() {
        return Err(refused(format!("a delimiter needs text, and {path} of {} is {}", resource.id(), type_of(value))));
    }
    let whole = text(value);
    let part = usize::try_from(options.index).ok().and_then(|index| whole.split(options.delimiter.as_str()).nth(index));
    let part = part.ok_or_else(|| refused(format!("{path} of {} has no part {}", resource.id(), options.index)))?;
    retyped(part, value).map_err(refused)
}

fn copy_to(resources: &mut Resources, value: &Value, target: &Target, copied: &mut usize) -> Result<(), Reason> {
    let takes = |selector: &Selector, id: &Id<'_>| {
        selector.takes_kind(id.group, id.version, id.kind) && selector.takes_name(id.name) && selector.takes_namespace(id.written_namespace)
    };
    let selected = resources.indexes(|resource| {
        target.select.takes_metadata(resource)
            && !target.reject.iter().any(|reject| reject.says_metadata() && reject.takes_metadata(resource))
            && !target.reject.iter().any(|reject| reject.says_identity() && resource.ids().any(|id| takes(reject, &id)))
            && resource.ids().any(|id| takes(&target.select, &id))
    });
    for index in selected {
        *copied += size(value) * target.paths.len();
        if *copied > COPY_LIMIT {
            return Err(Reason::TooMuch {
                what: "bytes of replacements",
                limit: COPY_LIMIT,
                remedy: "copy smaller values or into fewer places",
            });
        }
        let resource = resources.get_mut(index);
        let id = resource.id().to_string();
        for path in &target.paths {
            set_at(&mut resource.value, value, path, &target.options)
                .map_err(|problem| refused(format!("field {path} of the target {id}: {problem}")))?;
        }
    }
    Ok(())
}

/// What is made where a path does not exist yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Make {
    Nothing,
    Scalar,
    List,
    Map,
}

fn set_at(target: &mut Value, value: &Value, path: &str, options: &Options) -> Result<(), String> {
    let segments = split_dotted(path);
    let make = match value {
        _ if !options.create => Make::Nothing,
        Value::Array(_) => Make::List,
        Value::Object(_) => Make::Map,
        _ => Make::Scalar,
    };
    if set_inside_text(target, value, &segments, make)? {
        return Ok(());
    }
    let found = each_match(target, &segments, make, &mut |field| set_value(field, value, options))?;
    match (found, options.create) {
        (0, true) => Err("it is not there and cannot be made".to_owned()),
        (0, false) => Err("it is not there; correct the path, or set `options.create`".to_owned()),
        _ => Ok(()),
    }
}

/// Puts `value` into a field, or into the part of it that the delimiter cuts out. A scalar keeps its type.
fn set_value(field: &mut Value, value: &Value, options: &Options) -> Result<(), String> {
    if options.delimiter.is_empty() {
        let is_scalar = |value: &Value| !value.is_array() && !value.is_object();
        *field = if is_scalar(field) && is_scalar(value) { retyped(&text(value), field)? } else { value.clone() };
        return Ok(());
    }
    if field.is_array() || field.is_object() {
        return Err(format!("a delimiter needs text, not {}", type_of(field)));
    }
    let (whole, part) = (text(field), text(value));
    let mut parts: Vec<&str> = whole.split(options.delimiter.as_str()).collect();
    match usize::try_from(options.index) {
        Err(_) => parts.insert(0, &part),
        Ok(index) if index >= parts.len() => parts.push(&part),
        Ok(index) => parts[index] = &part,
    }
    *field = retyped(&parts.join(&options.delimiter), field)?;
    Ok(())
}

/// The text as the type of `like`: text stays text, and a number or boolean has to stay one.
fn retyped(text: &str, like: &Value) -> Result<Value, String> {
    let misfit = || format!("{} stands there, and \"{text}\" is none; quote what stands there", type_of(like));
    match like {
        Value::Number(old) => {
            let number = text.parse::<serde_json::Number>().ok().filter(|new| old.is_f64() || !new.is_f64());
            number.map(Value::Number).ok_or_else(misfit)
        }
        Value::Bool(_) => text.parse::<bool>().map(Value::Bool).map_err(|_| misfit()),
        _ => Ok(text.into()),
    }
}

/// If the path leads through a text that is itself a document, sets the value in that document. Says whether it did.
fn set_inside_text(target: &mut Value, value: &Value, segments: &[String], make: Make) -> Result<bool, String> {
    for end in 1..segments.len() {
        let Some(Value::String(document)) = lookup(target, &segments[..end]) else { continue };
        let Ok(parsed) = parse_yaml(document, YamlMode::Kustomize, YamlBudget::MANIFEST) else { continue };
        let [parsed] = parsed.as_slice() else { return Ok(false) };
        let mut parsed = parsed.value.clone();
        let set = |field: &mut Value| {
            *field = if field.is_array() || field.is_object() { value.clone() } else { retyped(&text(value), field)? };
            Ok(())
        };
        if !matches!(each_match(&mut parsed, &segments[end..], make, &mut { set }), Ok(found) if found > 0) {
            return Ok(false);
        }
        let is_json = document.trim_start().starts_with(['{', '[']);
        if !is_json {
            return Err("it is YAML inside of a text, whose order and comments would be lost; write it as JSON".to_owned());
        }
        let is_pretty = document.contains('\n') && document.contains("  ");
        let written = if is_pretty { serde_json::to_string_pretty(&parsed) } else { serde_json::to_string(&parsed) };
        let written = written.map_err(|error| error.to_string())?;
        each_match(target, &segments[..end], Make::Nothing, &mut |field| {
            *field = written.as_str().into();
            Ok(())
        })?;
        return Ok(true);
    }
    Ok(false)
}

/// Calls `visit` on everything that the path leads to and says how many there were.
fn each_match(
    value: &mut Value,
    segments: &[String],
    make: Make,
    visit: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<usize, String> {
    let Some((segment, rest)) = segments.split_first() else { return visit(value).map(|()| 1) };
    if let Ok(index) = segment.parse::<usize>() {
        let items = list_in(value, segment)?;
        if index == items.len() && make != Make::Nothing {
            items.push(made(rest, make));
        }
        let length = items.len();
        let item = items.get_mut(index).ok_or_else(|| format!("the list has {length} items and no {index}"))?;
        return each_match(item, rest, make, visit);
    }
    if segment == "*" {
        return list_in(value, segment)?.iter_mut().try_fold(0, |found, item| Ok(found + each_match(item, rest, make, visit)?));
    }
    if segment.starts_with('[') && segment.ends_with(']') {
        let (field, wanted) = list_item(segment).ok_or_else(|| format!("{segment} must be [field=value]"))?;
        return each_item(value, (segment, field, wanted), rest, make, visit);
    }
    let found = type_of(value);
    if value.is_null() && make != Make::Nothing {
        *value = Value::Object(Map::new());
    }
    let Some(fields) = value.as_object_mut() else { return Err(format!("the way to \"{segment}\" leads through {found}")) };
    if make != Make::Nothing && !fields.contains_key(segment) {
        fields.insert(segment.clone(), made(rest, make));
    }
    let Some(field) = fields.get_mut(segment) else { return Ok(0) };
    if field.is_null() && !rest.is_empty() && make == Make::Nothing {
        return Ok(0);
    }
    each_match(field, rest, make, visit)
}

fn each_item(
    value: &mut Value,
    (segment, field, wanted): (&str, &str, &str),
    rest: &[String],
    make: Make,
    visit: &mut dyn FnMut(&mut Value) -> Result<(), String>,
) -> Result<usize, String> {
    let pattern = regular_expression(wanted, wanted).map_err(|reason| reason.to_string())?;
    let is_wanted = |item: &Value| {
        let shown = if field.is_empty() { Some(item) } else { item.get(field) };
        shown.is_some_and(|shown| pattern.is_match(&text(shown)))
    };
    let items = list_in(value, segment)?;
    let mut found = 0;
    for item in items.iter_mut().filter(|item| is_wanted(item)) {
        // A scalar has no fields: the rest of the path counts for nothing.
        found += if field.is_empty() { visit(item).map(|()| 1)? } else { each_match(item, rest, make, visit)? };
    }
    if found > 0 || make == Make::Nothing {
        return Ok(found);
    }
    let mut item: Value = if field.is_empty() { wanted.into() } else { serde_json::json!({ field: wanted }) };
    let found = each_match(&mut item, if field.is_empty() { &[] } else { rest }, make, visit)?;
    items.push(item);
    Ok(found)
}

fn list_in<'a>(value: &'a mut Value, segment: &str) -> Result<&'a mut Vec<Value>, String> {
    let found = type_of(value);
    value.as_array_mut().ok_or_else(|| format!("\"{segment}\" selects from a list, and there is {found}"))
}

/// What is made before `rest` of a path is followed.
fn made(rest: &[String], make: Make) -> Value {
    let in_list = rest.first().is_some_and(|next| next.parse::<usize>().is_ok() || next.starts_with('['));
    match (rest.is_empty(), in_list, make) {
        (true, _, Make::List) | (false, true, _) => Value::Array(Vec::new()),
        (true, _, Make::Map) | (false, false, _) => Value::Object(Map::new()),
        (true, _, Make::Scalar | Make::Nothing) => Value::Null,
    }
}
