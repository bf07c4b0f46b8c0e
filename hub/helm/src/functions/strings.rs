//! Functions of texts: cutting, joining, padding, cases and searching. A Go string is bytes, so most of them cut and count bytes.

use std::collections::{BTreeMap, BTreeSet};

use hub_gotemplate::fmt::{quote, sprint};
use hub_gotemplate::{Args, Call, CallError, Function, List, Map, MapType, Text, Type, Value};
use memchr::memmem;

use super::conversion::{text_of, texts_of};
use super::runes::{first, is_lower, is_space, is_title, is_upper, last, map, runes, to_lower, to_title, to_upper};
use super::{case, function, panics, variadic};

use Type::{Any, Int, Text as Str};

pub(super) static FUNCTIONS: &[Function] = &[
    function("abbrev", &[Int, Str], |_, args| Ok(abbreviated(0, args.int(0), args.text(1)))),
    function("abbrevboth", &[Int, Int, Str], |_, args| {
        let (left, right) = (args.int(0), args.int(1));
        if left > 0 && right < 7 {
            return Ok(args.any(2).clone());
        }
        Ok(abbreviated(left, right, args.text(2)))
    }),
    function("camelcase", &[Str], |call, args| respelled(call, args, case::pascal)),
    variadic("cat", &[], Any, cat),
    function("contains", &[Str, Str], |call, args| {
        call.spend(args.text(1).len())?;
        Ok(memmem::find(args.text(1), args.text(0)).is_some().into())
    }),
    function("hasPrefix", &[Str, Str], |_, args| Ok(args.text(1).starts_with(args.text(0)).into())),
    function("hasSuffix", &[Str, Str], |_, args| Ok(args.text(1).ends_with(args.text(0)).into())),
    function("hello", &[], |_, _| Ok("Hello!".into())),
    function("indent", &[Int, Str], |call, args| indented(call, b"", args.int(0), args.text(1))),
    function("initials", &[Str], |call, args| respelled(call, args, initials)),
    function("join", &[Str, Any], |call, args| {
        let texts = texts_of(call, args.any(1))?;
        joined(call, args.text(0), &texts)
    }),
    function("kebabcase", &[Str], |call, args| respelled(call, args, |text| case::separated(text, '-'))),
    function("lower", &[Str], |call, args| {
        if args.text(0).is_ascii() {
            call.spend(args.text(0).len())?;
            return Ok(Value::text(args.text(0).to_ascii_lowercase()));
        }
        respelled(call, args, |text| map(text, to_lower))
    }),
    function("nindent", &[Int, Str], |call, args| indented(call, b"\n", args.int(0), args.text(1))),
    function("nospace", &[Str], nospace),
    function("plural", &[Str, Str, Int], |_, args| Ok(args.any(usize::from(args.int(2) != 1)).clone())),
    variadic("quote", &[], Any, |call, args| quoted(call, args, double_quoted)),
    function("repeat", &[Int, Str], |call, args| repeated(call, args.text(1), args.int(0)).map(Value::text)),
    function("replace", &[Str, Str, Str], replace),
    function("snakecase", &[Str], |call, args| respelled(call, args, |text| case::separated(text, '_'))),
    function("split", &[Str, Str], |call, args| numbered(call, args.text(0), -1, args.text(1))),
    function("splitList", &[Str, Str], |call, args| {
        let parts = split(call, args.text(0), -1, args.text(1))?;
        Ok(List::of_texts(parts.into_iter().map(Text::new)).into())
    }),
    function("splitn", &[Str, Int, Str], |call, args| numbered(call, args.text(0), args.int(1), args.text(2))),
    variadic("squote", &[], Any, |call, args| quoted(call, args, |call, value| Ok([b"'", &*printed(call, value)?, b"'"].concat().into()))),
    function("substr", &[Int, Int, Str], |_, args| substring(args.int(0), args.int(1), args.text(2))),
    function("swapcase", &[Str], |call, args| respelled(call, args, swapped)),
    function("title", &[Str], |call, args| respelled(call, args, titled)),
    function("trim", &[Str], |call, args| {
        call.spend(args.text(0).len())?;
        Ok(Value::text(trimmed(args.text(0), is_space)))
    }),
    function("trimAll", &[Str, Str], trim_all),
    function("trimPrefix", &[Str, Str], |_, args| {
        Ok(args.text(1).strip_prefix(args.text(0).as_bytes()).map_or_else(|| args.any(1).clone(), Value::text))
    }),
    function("trimSuffix", &[Str, Str], |_, args| {
        Ok(args.text(1).strip_suffix(args.text(0).as_bytes()).map_or_else(|| args.any(1).clone(), Value::text))
    }),
    function("trimall", &[Str, Str], trim_all),
    function("trunc", &[Int, Str], |_, args| Ok(truncated(args.int(0), args.any(1), args.text(1)))),
    function("untitle", &[Str], |call, args| respelled(call, args, untitled)),
    function("upper", &[Str], |call, args| {
        if args.text(0).is_ascii() {
            call.spend(args.text(0).len())?;
            return Ok(Value::text(args.text(0).to_ascii_uppercase()));
        }
        respelled(call, args, |text| map(text, to_upper))
    }),
    function("wrap", &[Int, Str], |call, args| wrapped(call, args.int(0), b"\n", false, args.text(1))),
    function("wrapWith", &[Int, Str, Str], |call, args| {
        let between = if args.text(1).is_empty() { b"\n" } else { args.text(1).as_bytes() };
        wrapped(call, args.int(0), between, true, args.text(2))
    }),
];

/// The first argument changed as a whole.
fn respelled(call: &mut Call<'_>, args: Args<'_>, change: impl Fn(&[u8]) -> String) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    Ok(change(args.text(0)).into())
}

/// `text` in at most `width` bytes, with `...` where something was left out, from `offset` on or a little before.
fn abbreviated(offset: i64, width: i64, text: &Text) -> Value {
    let length = text.len() as i64;
    if width < 4 || length <= width {
        return Value::Text(text.clone());
    }
    let kept = width - 3;
    let offset = offset.min(length).min(length - kept);
    let cut = |from: i64, to: i64| &text[from as usize..to as usize];
    Value::text(if offset <= 4 {
        [cut(0, kept), b"..."].concat()
    } else if offset + kept < length {
        [b"...", cut(offset, offset + kept - 3), b"..."].concat()
    } else {
        [b"...", cut(length - kept, length)].concat()
    })
}

/// The arguments that are not nil, printed, with spaces between.
fn cat(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let mut parts = Vec::with_capacity(args.0.len());
    for value in args.0.iter().filter(|value| !matches!(value, Value::Nil)) {
        parts.push(printed(call, value)?);
    }
    joined(call, b" ", &parts)
}

/// The arguments that are not nil, each as `marked` gives it, with spaces between.
fn quoted(call: &mut Call<'_>, args: Args<'_>, marked: fn(&mut Call<'_>, &Value) -> Result<Text, CallError>) -> Result<Value, CallError> {
    if let [single] = args.0
        && !matches!(single, Value::Nil)
    {
        return marked(call, single).map(Value::Text);
    }
    let mut parts = Vec::with_capacity(args.0.len());
    for value in args.0.iter().filter(|value| !matches!(value, Value::Nil)) {
        parts.push(marked(call, value)?);
    }
    joined(call, b" ", &parts)
}

fn double_quoted(call: &mut Call<'_>, value: &Value) -> Result<Text, CallError> {
    let text = text_of(call, value)?;
    call.spend(text.len())?;
    Ok(quote(&text).into())
}

/// `fmt.Sprintf("%v", value)`.
fn printed(call: &mut Call<'_>, value: &Value) -> Result<Text, CallError> {
    let text = sprint(value)?;
    call.spend(text.len())?;
    Ok(text)
}

fn joined(call: &mut Call<'_>, between: &[u8], texts: &[Text]) -> Result<Value, CallError> {
    let length = texts.iter().map(|text| text.len() + between.len()).sum::<usize>().saturating_sub(between.len());
    call.make(length)?;
    let mut out = Vec::with_capacity(length);
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(text);
    }
    Ok(Value::text(out))
}

fn repeated(call: &mut Call<'_>, text: &[u8], count: i64) -> Result<Vec<u8>, CallError> {
    let count = usize::try_from(count).map_err(|_| CallError::failed("strings: negative Repeat count"))?;
    let length = text.len().checked_mul(count).filter(|&length| i64::try_from(length).is_ok());
    call.make(length.ok_or_else(|| CallError::failed("strings: Repeat output length overflow"))?)?;
    Ok(text.repeat(count))
}

/// `before`, then the lines of `text` with `spaces` before each, also before those that are empty.
fn indented(call: &mut Call<'_>, before: &[u8], spaces: i64, text: &[u8]) -> Result<Value, CallError> {
    let padding = repeated(call, b" ", spaces)?;
    call.spend(text.len())?;
    let breaks = memchr::memchr_iter(b'\n', text).count();
    let added = padding.len().saturating_mul(breaks + 1);
    call.make(added)?;
    let mut out = Vec::with_capacity(before.len() + text.len() + added);
    out.extend_from_slice(before);
    out.extend_from_slice(&padding);
    let mut start = 0;
    for line_break in memchr::memchr_iter(b'\n', text) {
        out.extend_from_slice(&text[start..=line_break]);
        out.extend_from_slice(&padding);
        start = line_break + 1;
    }
    out.extend_from_slice(&text[start..]);
    Ok(Value::text(out))
}

/// The first byte of each word, read as Latin-1.
fn initials(text: &[u8]) -> String {
    let mut in_gap = true;
    let begins = |&character: &char| {
        let space = is_space(character);
        let first = in_gap && !space;
        in_gap = space;
        first
    };
    text.iter().map(|&byte| char::from(byte)).filter(begins).collect()
}

/// Without white space. Where there is some, the bytes are read as Latin-1: what is not ASCII comes out garbled, as from sprig.
fn nospace(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let text = args.text(0);
    call.spend(text.len())?;
    if !text.iter().any(|&byte| is_space(char::from(byte))) {
        return Ok(args.any(0).clone());
    }
    Ok(text.iter().map(|&byte| char::from(byte)).filter(|&character| !is_space(character)).collect::<String>().into())
}

fn replace(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let (old, new, text) = (args.text(0), args.text(1), args.text(2));
    call.spend(text.len())?;
    if old.is_empty() {
        call.make((text.len() + 1).saturating_mul(new.len()))?;
        let mut out = new.to_vec();
        for (_, bytes) in runes(text) {
            out.extend_from_slice(bytes);
            out.extend_from_slice(new);
        }
        return Ok(Value::text(out));
    }
    let found: Vec<usize> = memmem::find_iter(text, old.as_bytes()).collect();
    if found.is_empty() {
        return Ok(args.any(2).clone());
    }
    call.make(found.len().saturating_mul(new.len()))?;
    let mut out = Vec::with_capacity(text.len() - found.len() * old.len() + found.len() * new.len());
    let mut start = 0;
    for at in found {
        out.extend_from_slice(&text[start..at]);
        out.extend_from_slice(new);
        start = at + old.len();
    }
    out.extend_from_slice(&text[start..]);
    Ok(Value::text(out))
}

/// `strings.SplitN`: at most `most` parts of `text`, of which the last is what is left; all parts if `most` is negative.
fn split<'t>(call: &mut Call<'_>, between: &[u8], most: i64, text: &'t [u8]) -> Result<Vec<&'t [u8]>, CallError> {
    call.spend(text.len())?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(Vec::new());
    }
    let mut parts = Vec::new();
    let mut start = 0;
    if between.is_empty() {
        for (_, bytes) in runes(text) {
            if parts.len() + 1 == most {
                break;
            }
            parts.push(bytes);
            start += bytes.len();
        }
        if start < text.len() {
            parts.push(&text[start..]);
        }
    } else {
        for at in memmem::find_iter(text, between).take(most - 1) {
            parts.push(&text[start..at]);
            start = at + between.len();
        }
        parts.push(&text[start..]);
    }
    call.make(parts.len().saturating_mul(size_of::<Value>()))?;
    Ok(parts)
}

/// The parts of `text` under `_0`, `_1` and so on.
fn numbered(call: &mut Call<'_>, between: &[u8], most: i64, text: &[u8]) -> Result<Value, CallError> {
    let parts = split(call, between, most, text)?;
    let entries = parts.into_iter().enumerate().map(|(index, part)| (Text::from(format!("_{index}")), Value::text(part)));
    Ok(Map::of(MapType::Text, entries.collect::<BTreeMap<_, _>>()).into())
}

/// The bytes from `start` to `end`. A negative start is the beginning, whatever the end is; else an impossible end is the end of the text.
fn substring(start: i64, end: i64, text: &[u8]) -> Result<Value, CallError> {
    let length = text.len() as i64;
    if start < 0 && !(0..=length).contains(&end) {
        return Err(panics::bad_end(end, length));
    }
    let start = start.max(0);
    let end = if (0..=length).contains(&end) { end } else { length };
    text.get(start as usize..end as usize).map(Value::text).ok_or_else(|| panics::bad_start(start, end))
}

/// Capitals become small letters and small letters capitals, but at the beginning of a word they become title case.
fn swapped(text: &[u8]) -> String {
    let mut at_start = true;
    map(text, |character| {
        if is_upper(character) || is_title(character) {
            at_start = false;
            to_lower(character)
        } else if is_lower(character) {
            if std::mem::take(&mut at_start) { to_title(character) } else { to_upper(character) }
        } else {
            at_start = is_space(character);
            character
        }
    })
}

/// Each word with a capital; words end at everything but letters, digits, `_` and the punctuation beyond ASCII.
fn titled(text: &[u8]) -> String {
    let mut at_start = true;
    map(text, |character| {
        let change = std::mem::replace(
            &mut at_start,
            match character {
                '0'..='9' | 'a'..='z' | 'A'..='Z' | '_' => false,
                _ if character.is_ascii() => true,
                _ => is_space(character),
            },
        );
        if change { to_title(character) } else { character }
    })
}

/// Each word, as white space separates them, with a small letter.
fn untitled(text: &[u8]) -> String {
    let mut at_start = true;
    map(text, |character| {
        if is_space(character) {
            at_start = true;
            character
        } else if std::mem::take(&mut at_start) {
            to_lower(character)
        } else {
            character
        }
    })
}

/// `text` without the characters at both ends that are to be `cut`.
fn trimmed(mut text: &[u8], cut: impl Fn(char) -> bool) -> &[u8] {
    while let Some((character, length)) = first(text)
        && cut(character)
    {
        text = &text[length..];
    }
    while let Some((character, length)) = last(text)
        && cut(character)
    {
        text = &text[..text.len() - length];
    }
    text
}

fn trim_all(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let (cut, text) = (args.text(0), args.text(1));
    let cut: BTreeSet<char> = runes(cut).map(|(character, _)| character).collect();
    call.spend(args.text(0).len().saturating_add(text.len()))?;
    Ok(Value::text(trimmed(text, |character| cut.contains(&character))))
}

/// The first `count` bytes, or the last if it is negative.
fn truncated(count: i64, whole: &Value, text: &[u8]) -> Value {
    let length = text.len() as i64;
    match count {
        ..0 if length.saturating_add(count) > 0 => Value::text(&text[(length + count) as usize..]),
        0.. if length > count => Value::text(&text[..count as usize]),
        _ => whole.clone(),
    }
}

/// `text` in lines of at most `width` bytes with `between` after each but the last, broken at spaces. Longer words are broken if `force`, else they
/// have a line of their own.
fn wrapped(call: &mut Call<'_>, width: i64, between: &[u8], force: bool, text: &[u8]) -> Result<Value, CallError> {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    call.spend(text.len().saturating_mul(3))?;
    // Two lines in a row are together longer than one line may be.
    call.make((text.len() / width).saturating_mul(2).saturating_add(1).saturating_mul(between.len()))?;
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while rest.len() > width {
        if rest[0] == b' ' {
            rest = &rest[1..];
            continue;
        }
        let (line, after) = if let Some(space) = memchr::memrchr(b' ', &rest[..=width]) {
            (space, space + 1)
        } else if force {
            (width, width)
        } else if let Some(space) = memchr::memchr(b' ', &rest[width..]) {
            (width + space, width + space + 1)
        } else {
            break;
        };
        out.extend_from_slice(&rest[..line]);
        out.extend_from_slice(between);
        rest = &rest[after..];
    }
    out.extend_from_slice(rest);
    Ok(Value::text(out))
}
