//! `replacements`: a value, or a field of one resource, copied into fields of others.

use std::sync::Arc;

use shared_manifest::{Text, Tree, YamlBudget, YamlMode, parse_trees, parse_yaml_spanned};

use crate::embedded;
use crate::fields::Fields;
use crate::id::{Gvk, Id, effective};
use crate::json;
use crate::problem::{Fault, Reason};
use crate::resource::Resource;
use crate::resources::Resources;
use crate::selector::{Selector, regular_expression};
use crate::transform::Transformer;
use crate::value::{exact_way, in_quotes_of, is_collection, is_empty, list_item, lookup, plain, raw, size, split_dotted, type_of};

/// The transformer.
pub(crate) struct Replacements {
    pub(crate) replacements: Vec<Arc<Replacement>>,
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
    Field { kinds: Gvk, name: String, namespace: String, path: Path, options: Options },
}

#[derive(Debug, Clone)]
struct Target {
    select: Selector,
    reject: Vec<Selector>,
    paths: Vec<Path>,
    options: Options,
}

/// A dotted path, as written and taken apart.
#[derive(Debug, Clone)]
struct Path {
    text: String,
    segments: Vec<String>,
}

impl Path {
    fn new(text: String) -> Self {
        Self { segments: split_dotted(&text), text }
    }
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
            let kinds =
                Gvk { group: fields.text("group")?.into(), version: fields.text("version")?.into(), kind: fields.text("kind")?.into() };
            let (name, namespace) = (fields.text("name")?, fields.text("namespace")?);
            let path = fields.text("fieldPath")?;
            let path = Path::new(if path.is_empty() { "metadata.name".to_owned() } else { path });
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
            Ok(Target { select: select.ok_or_else(nothing)?, reject, paths: paths.into_iter().map(Path::new).collect(), options })
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
        for replacement in &self.replacements {
            resources.work.step(resources.len() * (1 + replacement.targets.len()))?;
            let mut value = source_value(resources, &replacement.source)?;
            for target in &replacement.targets {
                copy_to(resources, &mut value, target)?;
            }
        }
        Ok(())
    }
}

fn refused(problem: String) -> Reason {
    Reason::Replacement { problem }
}

/// What is copied. A whole field is copied as it is at that moment: a target may change it for the targets after it.
struct Copied {
    value: Tree,
    /// The index of the resource with the field, and the way to it.
    from: Option<(usize, Vec<String>)>,
}

fn source_value(resources: &Resources, source: &Source) -> Result<Copied, Reason> {
    let (kinds, name, namespace, path, options) = match source {
        Source::Value(value) => return Ok(Copied { value: value.as_str().into(), from: None }),
        Source::Field { kinds, name, namespace, path, options } => (kinds, name, namespace, path, options),
    };
    let is_source = |id: Id<'_>| {
        (name.is_empty() || name == id.name)
            && (namespace.is_empty() || effective(namespace) == effective(id.written_namespace))
            && id.is_selected(kinds)
    };
    let described = || [&kinds.kind, namespace.as_str(), name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let may_be = |resource: &Resource| name.is_empty() || resource.bears(name);
    let found = resources.indexes(|resource| may_be(resource) && resource.ids().any(is_source));
    let (index, resource) = match found.as_slice() {
        [index] => (*index, &resources.as_slice()[*index]),
        [] => return Err(refused(format!("no resource is the source \"{}\"; correct it", described()))),
        several => {
            let problem = format!("{} resources match the source \"{}\"; add name, kind or namespace", several.len(), described());
            return Err(refused(problem));
        }
    };
    let value = lookup(&resource.value, &path.segments).filter(|value| !is_empty(value));
    let value = value.ok_or_else(|| refused(format!("the source {} has no field {}", resource.id(), path.text)))?;
    if options.delimiter.is_empty() {
        return Ok(Copied { value: value.clone(), from: Some((index, exact_way(&resource.value, &path.segments))) });
    }
    if is_collection(value) {
        return Err(refused(format!("a delimiter needs text, and {} of {} is {}", path.text, resource.id(), type_of(value))));
    }
    let part = usize::try_from(options.index).ok().and_then(|index| raw(value).split(options.delimiter.as_str()).nth(index));
    let part = part.ok_or_else(|| refused(format!("{} of {} has no part {}", path.text, resource.id(), options.index)))?;
    Ok(Copied { value: retyped(part, value).unwrap_or_else(|_| part.into()), from: None })
}

fn copy_to(resources: &mut Resources, copied: &mut Copied, target: &Target) -> Result<(), Reason> {
    let takes = |selector: &Selector, id: &Id<'_>| {
        selector.takes_kind(id.group, id.version, id.kind) && selector.takes_name(id.name) && selector.takes_namespace(id.written_namespace)
    };
    let selected = resources.indexes(|resource| {
        resource.ids().any(|id| takes(&target.select, &id))
            && target.select.takes_metadata(resource)
            && !target.reject.iter().any(|reject| reject.says_metadata() && reject.takes_metadata(resource))
            && !target.reject.iter().any(|reject| reject.says_identity() && resource.ids().any(|id| takes(reject, &id)))
    });
    for index in selected {
        resources.work.step(target.paths.len())?;
        let resource = resources.get_mut(index);
        let (mut written, mut shared) = (0, 0);
        for path in &target.paths {
            let value = &copied.value;
            let bytes = size(value);
            let set = set_at(&mut resource.value, value, path, &target.options);
            resource.settle_shared(|_| true);
            shared += resource.shared.len();
            written +=
                set.map_err(|problem| refused(format!("field {} of the target {}: {problem}", path.text, resource.id())))?.max(bytes);
            if let Some((source, way)) = &copied.from
                && *source == index
                && let Some(now) = lookup(&resource.value, way)
            {
                copied.value = now.clone();
            }
        }
        resources.work.write(written)?;
        resources.work.step(shared)?;
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

/// Says how many bytes it has written, where they may be more than the value's.
fn set_at(target: &mut Tree, value: &Tree, path: &Path, options: &Options) -> Result<usize, String> {
    let make = match value {
        _ if !options.create => Make::Nothing,
        Tree::List(_) => Make::List,
        Tree::Map(_) => Make::Map,
        _ => Make::Scalar,
    };
    if let Some(written) = set_inside_text(target, value, &path.segments, make)? {
        return Ok(written);
    }
    // An annotation becomes a text in the end, whatever it was, so that every text may replace it.
    let is_annotation =
        matches!(path.segments.as_slice(), [metadata, annotations, _] if metadata == "metadata" && annotations == "annotations");
    let mut written = 0;
    let found = each_match(target, &path.segments, make, &mut |field, is_new| {
        set_value(field, value, options, is_new || is_annotation)?;
        written += raw(field).len();
        Ok(())
    })?;
    match (found, options.create) {
        (0, true) => Err("it is not there and cannot be made".to_owned()),
        (0, false) => Err("it is not there; correct the path, or set `options.create`".to_owned()),
        _ => Ok(written),
    }
}

/// Puts `value` into a field, or into the part of it that the delimiter cuts out.
fn set_value(field: &mut Tree, value: &Tree, options: &Options, is_new: bool) -> Result<(), String> {
    if options.delimiter.is_empty() {
        return assign(field, value, is_new);
    }
    if is_collection(field) {
        return Err(format!("a delimiter needs text, not {}", type_of(field)));
    }
    let (whole, part) = (raw(field), raw(value));
    let mut parts: Vec<&str> = whole.split(options.delimiter.as_str()).collect();
    match usize::try_from(options.index) {
        Err(_) => parts.insert(0, part),
        Ok(index) if index >= parts.len() => parts.push(part),
        Ok(index) => parts[index] = part,
    }
    let joined = parts.join(&options.delimiter);
    *field = if is_new { plain(&joined) } else { retyped(&joined, field)? };
    Ok(())
}

/// A scalar takes the text alone and keeps its type, so that a list or map empties it; a list or map takes the value.
fn assign(field: &mut Tree, value: &Tree, is_new: bool) -> Result<(), String> {
    *field = if is_collection(field) {
        value.clone()
    } else if is_new {
        plain(raw(value))
    } else {
        retyped(raw(value), field)?
    };
    Ok(())
}

/// The text as the type of `like`: text stays text, and anything else has to stay what it is.
fn retyped(text: &str, like: &Tree) -> Result<Tree, String> {
    let is_float = |text: &str| text.contains(['.', 'e', 'E']) && !text.starts_with("0x");
    let fits = match (like, plain(text)) {
        (Tree::String(_) | Tree::Quoted(_), _) => return Ok(in_quotes_of(like, text.into())),
        (Tree::Number(old), Tree::Number(_)) => is_float(old) || !is_float(text),
        (like, new) => std::mem::discriminant(like) == std::mem::discriminant(&new),
    };
    if fits { Ok(plain(text)) } else { Err(format!("{} stands there, and \"{text}\" is none; quote what stands there", type_of(like))) }
}

/// If the path leads through a text that is itself a document, sets the value in that document and says how long it is.
fn set_inside_text(target: &mut Tree, value: &Tree, segments: &[String], make: Make) -> Result<Option<usize>, String> {
    for end in 1..segments.len() {
        let Some(document) = lookup(target, &segments[..end]).filter(|found| !is_collection(found)) else { continue };
        let document = raw(document).to_owned();
        let Ok(mut parsed) = parse_trees(&document, YamlMode::Kustomize, YamlBudget::MANIFEST) else { continue };
        if parsed.is_empty() {
            return Ok(None);
        }
        let mut parsed = parsed.swap_remove(0).tree;
        let set = each_match(&mut parsed, &segments[end..], make, &mut |field, is_new| assign(field, value, is_new));
        if !matches!(set, Ok(found) if found > 0) {
            return Ok(None);
        }
        let is_pretty = document.contains('\n') && document.contains("  ");
        let written = match (document.trim_start().starts_with(['{', '[']), is_pretty) {
            (true, true) => json::indented(&parsed.to_value()),
            (true, false) => json::compact(&parsed.to_value()),
            (false, _) => rewritten_yaml(&document, &segments[end..], value, &parsed).ok_or(
                "it is YAML inside of a text, with comments, brackets or folded texts that would not stay as they are; write it as JSON",
            )?,
        };
        let bytes = written.len();
        let written = Text::new(written);
        each_match(target, &segments[..end], Make::Nothing, &mut |field, _| {
            *field = written.clone().into();
            Ok(())
        })?;
        return Ok(Some(bytes));
    }
    Ok(None)
}

/// YAML inside of a text with a value set, if it can be written and then says what `wanted` does.
fn rewritten_yaml(document: &str, segments: &[String], value: &Tree, wanted: &Tree) -> Option<String> {
    let nodes = parse_yaml_spanned(document, YamlMode::Kustomize, YamlBudget::MANIFEST).ok()?;
    let [node] = nodes.as_slice() else { return None };
    let mut places = Vec::new();
    embedded::places(node, segments, &mut places)?;
    let written = embedded::rewritten(document, &places, raw(value))?;
    let read = parse_trees(&written, YamlMode::Kustomize, YamlBudget::MANIFEST).ok()?;
    matches!(read.as_slice(), [read] if read.tree == *wanted).then_some(written)
}

/// Visits a field; the flag says whether it was made on the way.
type Visit<'v> = &'v mut dyn FnMut(&mut Tree, bool) -> Result<(), String>;

/// Calls `visit` on everything that the path leads to and says how many there were.
fn each_match(value: &mut Tree, segments: &[String], make: Make, visit: Visit<'_>) -> Result<usize, String> {
    follow(value, false, segments, make, visit)
}

fn follow(value: &mut Tree, is_new: bool, segments: &[String], make: Make, visit: Visit<'_>) -> Result<usize, String> {
    let Some((segment, rest)) = segments.split_first() else { return visit(value, is_new).map(|()| 1) };
    if let Ok(index) = segment.parse::<usize>() {
        let items = list_in(value, segment)?;
        let is_new = index == items.len() && make != Make::Nothing;
        if is_new {
            items.push(made(rest, make));
        }
        let length = items.len();
        let item = items.get_mut(index).ok_or_else(|| format!("the list has {length} items and no {index}"))?;
        return follow(item, is_new, rest, make, visit);
    }
    if segment == "*" {
        return list_in(value, segment)?.iter_mut().try_fold(0, |found, item| Ok(found + each_match(item, rest, make, visit)?));
    }
    if segment.starts_with('[') && segment.ends_with(']') {
        let (field, wanted) = list_item(segment).ok_or_else(|| format!("{segment} must be [field=value]"))?;
        return each_item(value, (segment, field, wanted), rest, make, visit);
    }
    let found = type_of(value);
    if value.is_null() {
        if make == Make::Nothing {
            return Ok(0);
        }
        *value = Tree::map();
    }
    let Some(fields) = value.as_map_mut() else { return Err(format!("the way to \"{segment}\" leads through {found}")) };
    let is_new = make != Make::Nothing && !fields.contains_key(segment);
    if is_new {
        fields.insert(segment.into(), made(rest, make));
    }
    let Some(field) = fields.get_mut(segment) else { return Ok(0) };
    if !rest.is_empty() && !is_new && !is_collection(field) && !field.is_null() {
        return in_copy_of_text(raw(field), rest, make, visit);
    }
    follow(field, is_new, rest, make, visit)
}

/// What a path finds in a text that is itself a document: kustomize sets the value in a copy, which it then forgets.
fn in_copy_of_text(text: &str, segments: &[String], make: Make, visit: Visit<'_>) -> Result<usize, String> {
    let parsed =
        parse_trees(text, YamlMode::Kustomize, YamlBudget::MANIFEST).map_err(|error| format!("it is text and no document: {error}"))?;
    let Some(mut parsed) = parsed.into_iter().next() else { return Ok(0) };
    each_match(&mut parsed.tree, segments, make, visit)
}

fn each_item(
    value: &mut Tree,
    (segment, field, wanted): (&str, &str, &str),
    rest: &[String],
    make: Make,
    visit: Visit<'_>,
) -> Result<usize, String> {
    // Most are names: they need no expression made for each object.
    let is_name = wanted.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_/".contains(letter));
    let pattern = if is_name { None } else { Some(regular_expression(wanted, wanted).map_err(|reason| reason.to_string())?) };
    let matches = |text: &str| pattern.as_ref().map_or_else(|| text.contains(wanted), |pattern| pattern.is_match(text));
    let is_wanted = |item: &Tree| {
        let shown = if field.is_empty() { Some(item) } else { item.get(field) };
        shown.is_some_and(|shown| matches(raw(shown)))
    };
    let items = list_in(value, segment)?;
    let mut found = 0;
    for item in items.iter_mut().filter(|item| is_wanted(item)) {
        // A scalar has no fields: the rest of the path counts for nothing.
        found += if field.is_empty() { visit(item, false).map(|()| 1)? } else { each_match(item, rest, make, visit)? };
    }
    if found > 0 || make == Make::Nothing {
        return Ok(found);
    }
    let mut item: Tree = if field.is_empty() { plain(wanted) } else { [(Text::new(field), plain(wanted))].into_iter().collect() };
    let found = each_match(&mut item, if field.is_empty() { &[] } else { rest }, make, visit)?;
    items.push(item);
    Ok(found)
}

fn list_in<'a>(value: &'a mut Tree, segment: &str) -> Result<&'a mut Vec<Tree>, String> {
    let found = type_of(value);
    value.as_list_mut().ok_or_else(|| format!("\"{segment}\" selects from a list, and there is {found}"))
}

/// What is made before `rest` of a path is followed.
fn made(rest: &[String], make: Make) -> Tree {
    let in_list = rest.first().is_some_and(|next| next.parse::<usize>().is_ok() || next.starts_with('['));
    match (rest.is_empty(), in_list, make) {
        (true, _, Make::List) | (false, true, _) => Tree::list(Vec::new()),
        (true, _, Make::Map) | (false, false, _) => Tree::map(),
        (true, _, Make::Scalar | Make::Nothing) => Tree::NULL,
    }
}
