//! Small questions to a value that several transformers ask: its text, its type, its path.

use shared_manifest::{Text, Tree, TreeMap, YamlBudget, YamlMode, parse_trees, write_yaml};

/// What stands in the source of a scalar; lists and maps have no text. It is kyaml's `node.Value`.
pub(crate) fn raw(value: &Tree) -> &str {
    value.written().map_or("", Text::as_str)
}

/// As [`raw`], but null has no text either, however it is written. It is kyaml's `GetValue`.
pub(crate) fn text(value: &Tree) -> &str {
    if value.is_null() { "" } else { raw(value) }
}

/// Up to this many fields, comparing each for equality is quicker than halving: most keys differ in length already.
const FEW: usize = 16;

/// A field of a map, quicker than the map's own search where it has few.
pub(crate) fn field<'a>(value: &'a Tree, name: &str) -> Option<&'a Tree> {
    let fields = value.as_map()?;
    if fields.len() > FEW {
        return fields.get(name);
    }
    fields.iter().find(|(key, _)| key.as_str() == name).map(|(_, value)| value)
}

/// The text of a scalar, to keep; as [`raw`].
pub(crate) fn raw_text(value: &Tree) -> Text {
    value.written().cloned().unwrap_or_default()
}

/// The value of a text without quotes.
pub(crate) fn plain(text: &str) -> Tree {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null(text.into()),
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Tree::Bool(text.into()),
        // Numbers and dates begin with a digit, a sign or a point.
        _ if text.starts_with(|first: char| first.is_ascii_alphabetic()) => text.into(),
        _ if Tree::Number(text.into()).number().is_some() => Tree::Number(text.into()),
        _ if Tree::Date(text.into()).to_value() != text => Tree::Date(text.into()),
        _ => text.into(),
    }
}

/// What `text` is where `old` stood: kustomize keeps the quotes of a scalar that it sets without a type.
pub(crate) fn restyled(old: &Tree, text: &str) -> Tree {
    if matches!(old, Tree::Quoted(_)) { Tree::Quoted(text.into()) } else { plain(text) }
}

/// What `new` is where `old` stood: kustomize keeps the quotes of a scalar that it sets, or that it had none, and `new` its type.
pub(crate) fn in_quotes_of(old: &Tree, new: Tree) -> Tree {
    match (old, new) {
        (_, new) if is_collection(&new) => new,
        (Tree::Quoted(_), new) => Tree::Quoted(raw_text(&new)),
        (_, Tree::Quoted(text)) => Tree::String(text),
        (_, new) => new,
    }
}

/// A text that is set where nothing stands: in quotes if YAML 1.1 takes it for something else without them.
pub(crate) fn new_text(text: Text) -> Tree {
    if is_text_to_yaml_1_1(&text) { Tree::String(text) } else { Tree::Quoted(text) }
}

/// kyaml's `IsValueNonString`, the other way round. What is no YAML at all counts as text.
fn is_text_to_yaml_1_1(text: &str) -> bool {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if text.is_empty() || text.contains('\n') {
        return true;
    }
    let may_be_a_word = text.len() <= LONGEST_WORD && text.starts_with(FIRST_OF_WORDS);
    if text.starts_with(|first: char| first.is_ascii_alphabetic()) && !may_be_a_word && text.bytes().all(is_usual) {
        return true;
    }
    let read = || parse_trees(text, YamlMode::Kubernetes, YamlBudget::MANIFEST);
    plain(text).is_text() && read().map_or(true, |read| matches!(read.as_slice(), [document] if document.tree.is_text()))
}

/// The longest word that is no text in YAML 1.1: `false`.
pub(crate) const LONGEST_WORD: usize = 5;

/// How those words begin: yes, no and null, true, false, on and off.
const FIRST_OF_WORDS: [char; 10] = ['y', 'Y', 'n', 'N', 't', 'T', 'f', 'F', 'o', 'O'];

/// What a value is, for messages.
pub(crate) fn type_of(value: &Tree) -> &'static str {
    match value {
        Tree::Null(_) => "nothing",
        Tree::Bool(_) => "true or false",
        Tree::Number(_) => "a number",
        Tree::Date(_) => "a date",
        Tree::String(_) | Tree::Quoted(_) => "text",
        Tree::List(_) => "a list",
        Tree::Map(_) => "a map",
    }
}

/// Whether it is a list or a map.
pub(crate) fn is_collection(value: &Tree) -> bool {
    value.is_list() || value.is_map()
}

/// Whether it is null, an empty list or an empty map.
pub(crate) fn is_empty(value: &Tree) -> bool {
    match value {
        Tree::Null(_) => true,
        Tree::List(items) => items.is_empty(),
        Tree::Map(fields) => fields.is_empty(),
        Tree::Bool(_) | Tree::Number(_) | Tree::Date(_) | Tree::String(_) | Tree::Quoted(_) => false,
    }
}

/// About how many bytes it is as JSON: enough to keep a budget by.
pub(crate) fn size(value: &Tree) -> usize {
    match value {
        Tree::Null(_) | Tree::Bool(_) | Tree::Number(_) => 8,
        Tree::Date(text) | Tree::String(text) | Tree::Quoted(text) => text.len() + 3,
        Tree::List(items) => 2 + items.iter().map(size).sum::<usize>(),
        Tree::Map(fields) => 2 + fields.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>(),
    }
}

/// Takes the bytes of `value`, as [`size`] counts them, from `left`; stops counting and says false where they are used up.
pub(crate) fn fits(value: &Tree, left: &mut usize) -> bool {
    let own = match value {
        Tree::Null(_) | Tree::Bool(_) | Tree::Number(_) => 8,
        Tree::Date(text) | Tree::String(text) | Tree::Quoted(text) => text.len() + 3,
        Tree::List(_) => 2,
        Tree::Map(fields) => 2 + fields.keys().map(|key| key.len() + 4).sum::<usize>(),
    };
    let Some(rest) = left.checked_sub(own) else { return false };
    *left = rest;
    match value {
        Tree::List(items) => items.iter().all(|item| fits(item, left)),
        Tree::Map(fields) => fields.values().all(|value| fits(value, left)),
        _ => true,
    }
}

/// The value as it is after a way through JSON, as some of kustomize's steps take it: numbers and words in their usual spelling, dates as texts.
/// `None` if it is so already.
pub(crate) fn through_json(value: &Tree) -> Option<Tree> {
    with_scalars(value, &|scalar| match scalar {
        Tree::String(_) => None,
        Tree::Quoted(text) => (!is_printed_in_quotes(text)).then(|| Tree::String(text.clone())),
        scalar => Some(Tree::from(&scalar.to_value())).filter(|plain| plain != scalar),
    })
}

/// The value as YAML reads its JSON: as [`through_json`], and every text stands in quotes.
pub(crate) fn out_of_json(value: &Tree) -> Option<Tree> {
    with_scalars(value, &|scalar| match scalar {
        Tree::Quoted(_) => None,
        Tree::String(text) => Some(Tree::Quoted(text.clone())),
        scalar => match Tree::from(&scalar.to_value()) {
            Tree::String(text) => Some(Tree::Quoted(text)),
            plain => Some(plain).filter(|plain| plain != scalar),
        },
    })
}

/// The value with quotes around the texts that are printed in quotes or as a block. `None` if they have them.
pub(crate) fn quoted_as_printed(value: &Tree) -> Option<Tree> {
    with_scalars(value, &|scalar| match scalar {
        Tree::String(text) if is_printed_in_quotes(text) => Some(Tree::Quoted(text.clone())),
        _ => None,
    })
}

/// The value as it is after a way through JSON of which all numbers are read as floats of 64 bits: large integers lose digits. `None` if it is so
/// already.
pub(crate) fn through_floats(value: &Tree) -> Option<Tree> {
    /// The integers up to this one are all floats, too.
    const EXACT: u64 = 1 << 53;
    with_scalars(value, &|scalar| {
        let number = scalar.number()?;
        let is_large = number.as_i64().map(i64::unsigned_abs).or(number.as_u64()).is_some_and(|size| size > EXACT);
        let float = number.as_f64().filter(|_| is_large)?;
        Some(Tree::Number(float.to_string().into())).filter(|rounded| rounded != scalar)
    })
}

/// The value with its scalars changed; `None` if `change` changes none.
fn with_scalars(value: &Tree, change: &dyn Fn(&Tree) -> Option<Tree>) -> Option<Tree> {
    match value {
        Tree::List(items) => {
            let mut changed: Option<Vec<Tree>> = None;
            for (index, item) in items.iter().enumerate() {
                if let Some(item) = with_scalars(item, change) {
                    changed.get_or_insert_with(|| items.to_vec())[index] = item;
                }
            }
            changed.map(Tree::list)
        }
        Tree::Map(fields) => {
            let changed: Vec<(Text, Tree)> =
                fields.iter().filter_map(|(key, value)| Some((key.clone(), with_scalars(value, change)?))).collect();
            if changed.is_empty() {
                return None;
            }
            let mut fields = TreeMap::clone(fields);
            fields.extend(changed);
            Some(fields.into())
        }
        scalar => change(scalar),
    }
}

/// Whether a text is printed in quotes or as a block.
fn is_printed_in_quotes(text: &Text) -> bool {
    if text.contains('\n') {
        return true;
    }
    let mut printed = String::new();
    write_yaml(&Tree::String(text.clone()), &mut printed);
    printed.starts_with(['"', '\'', '|', '>'])
}

/// Splits a path, where a delimiter after a backslash belongs to its segment. A leading delimiter counts for nothing.
pub(crate) fn split_path(path: &str, delimiter: char) -> Vec<String> {
    let path = path.strip_prefix(delimiter).unwrap_or(path);
    let mut segments: Vec<String> = Vec::new();
    for part in path.split(delimiter) {
        match segments.last_mut().filter(|last| last.ends_with('\\')) {
            Some(last) => {
                last.pop();
                last.push(delimiter);
                last.push_str(part);
            }
            None => segments.push(part.to_owned()),
        }
    }
    segments
}

/// Splits a dotted path in which `[name=a.b]` selects a list item and `[a.b]` is one segment.
pub(crate) fn split_dotted(path: &str) -> Vec<String> {
    let mut segments = Vec::new();
    let mut parts = split_path(path, '.').into_iter();
    while let Some(part) = parts.next() {
        if !part.starts_with('[') || part.ends_with(']') {
            segments.push(part);
            continue;
        }
        let mut bracketed = part;
        for more in parts.by_ref() {
            let ends = more.ends_with(']');
            bracketed.push('.');
            bracketed.push_str(&more);
            if ends {
                break;
            }
        }
        segments.push(if bracketed.contains('=') { bracketed } else { bracketed.trim_matches(['[', ']']).to_owned() });
    }
    segments
}

/// `[name=value]` taken apart.
pub(crate) fn list_item(segment: &str) -> Option<(&str, &str)> {
    segment.strip_prefix('[')?.strip_suffix(']')?.split_once('=')
}

/// What a dotted path leads to, without wildcards: kustomize's `Lookup`.
pub(crate) fn lookup<'a>(value: &'a Tree, path: &[String]) -> Option<&'a Tree> {
    path.iter().map(|segment| segment.trim()).filter(|segment| !segment.is_empty()).try_fold(value, step)
}

/// The path by which `lookup` finds the same once what it finds has changed: list items by their places.
pub(crate) fn exact_way(value: &Tree, path: &[String]) -> Vec<String> {
    let mut here = Some(value);
    let segments = path.iter().map(|segment| segment.trim()).filter(|segment| !segment.is_empty());
    let place_of = |list: &[Tree], segment: &str| match list_item(segment) {
        Some((field, wanted)) => list.iter().position(|item| is_item(item, field, wanted)),
        None => list.len().checked_sub(1).filter(|_| segment == "-"),
    };
    let mut exact = |segment: &str| {
        let place = here.and_then(Tree::as_list).and_then(|list| place_of(list, segment));
        here = here.and_then(|here| step(here, segment));
        place.map_or_else(|| segment.to_owned(), |place| place.to_string())
    };
    segments.map(&mut exact).collect()
}

fn step<'a>(value: &'a Tree, segment: &str) -> Option<&'a Tree> {
    if let Ok(index) = segment.parse::<usize>() {
        return value.as_list()?.get(index);
    }
    if segment == "-" {
        return value.as_list()?.last();
    }
    if let Some((field, wanted)) = list_item(segment) {
        return value.as_list()?.iter().find(|item| is_item(item, field, wanted));
    }
    value.as_map()?.get(segment)
}

/// Whether a list item is the one with this text in this field; the empty field is the item itself.
pub(crate) fn is_item(item: &Tree, field: &str, wanted: &str) -> bool {
    if field.is_empty() { raw(item) == wanted } else { item.get(field).is_some_and(|value| raw(value) == wanted) }
}

/// The map in `value`, which becomes an empty one if it is null.
pub(crate) fn map_in(value: &mut Tree) -> Option<&mut TreeMap> {
    if value.is_null() {
        *value = Tree::map();
    }
    value.as_map_mut()
}

/// A map of these entries.
pub(crate) fn map_of<const N: usize>(entries: [(&'static str, Tree); N]) -> Tree {
    entries.into_iter().map(|(key, value)| (Text::new_static(key), value)).collect()
}

/// Sets a field of a map; anything else stays as it is.
pub(crate) fn set(value: &mut Tree, field: &str, to: Tree) {
    if let Some(fields) = value.as_map_mut() {
        fields.insert(Text::new(field), to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_keep_what_is_escaped_or_bracketed() {
        assert_eq!(split_path("metadata/annotations/a.io\\/b", '/'), ["metadata", "annotations", "a.io/b"]);
        assert_eq!(split_path("/a/b", '/'), ["a", "b"]);
        assert_eq!(split_path("a\\", '/'), ["a\\"]);
        assert_eq!(split_dotted("spec.containers.[name=a.b].image"), ["spec", "containers", "[name=a.b]", "image"]);
        assert_eq!(split_dotted("metadata.annotations.[a.b/c]"), ["metadata", "annotations", "a.b/c"]);
    }

    #[test]
    fn what_is_text_at_sight_is_text_to_the_parser() {
        let words = ["y", "N", "yes", "Yes", "no", "on", "OFF", "true", "False", "null", "NULL", "nil", "api", "v1", "none", "over", "e1"];
        let others =
            ["inf", "nan", "x", "tru", "falsey", "O", "o-", "a.b", "a/b", "_a", "-a", "1a", "0x1", "1e3", "2020-01-01", ".inf", "a b"];
        for text in words.into_iter().chain(others) {
            let is_text = |mode| {
                let read = parse_trees(text, mode, YamlBudget::MANIFEST);
                read.map_or(true, |read| matches!(read.as_slice(), [document] if document.tree.is_text()))
            };
            assert_eq!(is_text_to_yaml_1_1(text), plain(text).is_text() && is_text(YamlMode::Kubernetes), "{text}");
            assert_eq!(plain(text).is_text(), is_text(YamlMode::Kustomize), "{text}");
        }
    }

    #[test]
    fn counting_stops_where_the_bytes_are_used_up() {
        let value = Tree::from(&json!({"a": ["text", 1, null], "b": {"c": true}}));
        let bytes = size(&value);
        let mut left = bytes;
        assert!(fits(&value, &mut left) && left == 0);
        assert!(!fits(&value, &mut (bytes - 1)));
    }

    #[test]
    fn lists_inside_of_each_other_take_one_walk() {
        let nested = (0..60).fold(Tree::Number("0x10".into()), |inner, _| Tree::list(vec![inner]));
        let plain = through_json(&nested).expect("a change");
        assert!(plain.to_value().to_string().contains("[16]"));
    }

    #[test]
    fn integers_that_floats_cannot_hold_lose_digits_on_the_way_through_floats() {
        let rounded = |text: &str| through_floats(&Tree::list(vec![Tree::Number(text.into())])).map(|list| list.to_value().to_string());
        assert_eq!(rounded("12345678901234567890").as_deref(), Some("[12345678901234567000]"));
        assert_eq!(rounded("-9007199254740993").as_deref(), Some("[-9007199254740992]"));
        assert_eq!(rounded("9007199254740992"), None);
        assert_eq!(rounded("1.5"), None);
    }

    #[test]
    fn a_way_through_json_spells_scalars_as_usual_and_leaves_the_rest_shared() {
        let mut value = Tree::from(&json!({"kept": {"a": ["b", 1]}, "list": ["x"]}));
        assert!(through_json(&value).is_none());
        set(&mut value, "number", Tree::Number("1.10".into()));
        set(&mut value, "nothing", Tree::NULL);
        let plain = through_json(&value).expect("a change");
        assert_eq!(plain["number"], Tree::Number("1.1".into()));
        assert_eq!(plain["nothing"], Tree::Null("null".into()));
        assert!(plain["kept"].is_same(&value["kept"]));
    }
}
