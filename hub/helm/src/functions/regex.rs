//! Functions of regular expressions, with Go's syntax (see `pattern`), Go's way from one match to the next, and Go's templates for replacements.

use hub_gotemplate::fmt::{is_digit, is_letter, quote};
use hub_gotemplate::{Args, Call, CallError, Function, List, ListType, Text, Type, Value};

use super::function;
use super::lists::nil_slice;
use super::runes::runes;
use super::search::{Regex, Span, Subject, compiled};

use Type::{Int, Text as Str};

pub(super) static FUNCTIONS: &[Function] = &[
    function("mustRegexFind", &[Str, Str], |call, args| with(call, args, Invalid::Plain, find)),
    function("mustRegexFindAll", &[Str, Str, Int], |call, args| with(call, args, Invalid::Plain, find_all)),
    function("mustRegexMatch", &[Str, Str], |call, args| with(call, args, Invalid::Plain, is_match)),
    function("mustRegexReplaceAll", &[Str, Str, Str], |call, args| with(call, args, Invalid::Plain, replace_all)),
    function("mustRegexReplaceAllLiteral", &[Str, Str, Str], |call, args| with(call, args, Invalid::Plain, replace_all_literally)),
    function("mustRegexSplit", &[Str, Str, Int], |call, args| with(call, args, Invalid::Plain, split)),
    function("regexFind", &[Str, Str], |call, args| with(call, args, Invalid::Panic, find)),
    function("regexFindAll", &[Str, Str, Int], |call, args| with(call, args, Invalid::Panic, find_all)),
    function("regexMatch", &[Str, Str], |call, args| match compiled(call, args.text(0))? {
        Ok(regex) => is_match(&mut regex.borrow_mut(), call, args),
        Err(_) => Ok(false.into()),
    }),
    function("regexQuoteMeta", &[Str], |call, args| {
        call.spend(args.text(0).len())?;
        Ok(Value::text(quoted(args.text(0))))
    }),
    function("regexReplaceAll", &[Str, Str, Str], |call, args| with(call, args, Invalid::Panic, replace_all)),
    function("regexReplaceAllLiteral", &[Str, Str, Str], |call, args| with(call, args, Invalid::Panic, replace_all_literally)),
    function("regexSplit", &[Str, Str, Int], |call, args| with(call, args, Invalid::Panic, split)),
];

/// What an invalid expression gives.
enum Invalid {
    /// What is wrong with it.
    Plain,
    /// The same as the message of a panic, with the expression before it.
    Panic,
}

/// What `body` does with the expression that is the first argument.
fn with(
    call: &mut Call<'_>,
    args: Args<'_>,
    invalid: Invalid,
    body: fn(&mut Regex, &mut Call<'_>, Args<'_>) -> Result<Value, CallError>,
) -> Result<Value, CallError> {
    match (compiled(call, args.text(0))?, invalid) {
        (Ok(regex), _) => body(&mut regex.borrow_mut(), call, args),
        (Err(problem), Invalid::Plain) => Err(CallError::failed(problem.to_string())),
        (Err(problem), Invalid::Panic) => Err(CallError::failed(format!("regexp: Compile({}): {problem}", named(args.text(0))))),
    }
}

/// The expression between backquotes, if they can hold it.
fn named(source: &Text) -> String {
    match source.as_str() {
        Some(text)
            if !text.chars().any(|character| matches!(character, '`' | '\u{7f}' | '\u{feff}') || character < ' ' && character != '\t') =>
        {
            format!("`{text}`")
        }
        _ => quote(source),
    }
}

fn is_match(regex: &mut Regex, call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    Ok(regex.find(call, &Subject::new(args.text(1)), 0)?.is_some().into())
}

fn find(regex: &mut Regex, call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let subject = Subject::new(args.text(1));
    Ok(regex.find(call, &subject, 0)?.map_or_else(|| "".into(), |found| Value::text(subject.part(found))))
}

fn find_all(regex: &mut Regex, call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let subject = Subject::new(args.text(1));
    let matches = matches(regex, call, &subject, args.int(2))?;
    if matches.is_empty() {
        return Ok(nil_slice(ListType::Text));
    }
    Ok(List::of_texts(matches.into_iter().map(|found| Text::new(subject.part(found)))).into())
}

/// At most `most` matches, or all if it is negative. Nothing does not match where another match ends.
fn matches(regex: &mut Regex, call: &mut Call<'_>, subject: &Subject<'_>, most: i64) -> Result<Vec<Span>, CallError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let mut at = 0;
    let mut previous_end = None;
    while found.len() < most && at <= subject.len() {
        let Some((start, end)) = regex.find(call, subject, at)? else { break };
        if end != at || previous_end != Some(start) {
            call.make(size_of::<Value>())?;
            found.push((start, end));
        }
        at = if end == at { subject.next(at) } else { end };
        previous_end = Some(end);
    }
    Ok(found)
}

/// The parts of the text between matches, of which there are at most as many as the last argument says, if it is not negative.
fn split(regex: &mut Regex, call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let (source, text, most) = (args.text(0), args.text(1), args.int(2));
    if most == 0 {
        return Ok(nil_slice(ListType::Text));
    }
    if !source.is_empty() && text.is_empty() {
        return Ok(List::of_texts([Text::default()]).into());
    }
    let subject = Subject::new(text);
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in matches(regex, call, &subject, most)? {
        if most > 0 && parts.len() as i64 == most - 1 {
            break;
        }
        end = found.0;
        if found.1 != 0 {
            parts.push(Text::new(subject.part((begin, end))));
        }
        begin = found.1;
    }
    if end != subject.len() {
        parts.push(Text::new(subject.part((begin, subject.len()))));
    }
    Ok(List::of_texts(parts).into())
}

fn replace_all(regex: &mut Regex, call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let template = args.text(2);
    if !template.contains(&b'$') {
        return replace_all_literally(regex, call, args);
    }
    let pieces = pieces(template, regex.names());
    replace(regex, call, args.text(1), |regex, call, subject, whole, out| {
        let groups = regex.groups(call, subject, whole)?;
        for piece in &pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Groups(indices) => {
                    let group = indices.iter().find_map(|&index| *groups.get(index)?);
                    out.extend(group.map(|group| subject.part(group)).unwrap_or_default());
                }
            }
        }
        Ok(())
    })
}

fn replace_all_literally(regex: &mut Regex, call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let replacement = args.text(2);
    replace(regex, call, args.text(1), |_, _, _, _, out| {
        out.extend_from_slice(replacement);
        Ok(())
    })
}

/// Every match replaced by what `write` appends for it. Nothing is not replaced where another match ends.
fn replace(
    regex: &mut Regex,
    call: &mut Call<'_>,
    text: &[u8],
    mut write: impl FnMut(&Regex, &mut Call<'_>, &Subject<'_>, Span, &mut Vec<u8>) -> Result<(), CallError>,
) -> Result<Value, CallError> {
    let subject = Subject::new(text);
    let mut out = Vec::new();
    let mut last_end = 0;
    let mut at = 0;
    while at <= subject.len() {
        let Some((start, end)) = regex.find(call, &subject, at)? else { break };
        let length = out.len();
        out.extend_from_slice(subject.part((last_end, start)));
        if end > last_end || start == 0 {
            write(regex, call, &subject, (start, end), &mut out)?;
        }
        call.make(out.len() - length)?;
        last_end = end;
        at = subject.next(at).max(end);
    }
    out.extend_from_slice(subject.part((last_end, subject.len())));
    Ok(Value::text(out))
}

/// A part of a template for replacements.
enum Piece<'t> {
    Literal(&'t [u8]),
    /// The first of these groups that took part in the match.
    Groups(Vec<usize>),
}

/// `$1`, `$name` or `${name}` stand for groups, and `$$` for a dollar; a name is as long as it can be. Another dollar is one.
fn pieces<'t>(template: &'t [u8], names: &[String]) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'$', rest) {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        pieces.push(Piece::Literal(before));
        if let Some(after) = after.strip_prefix(b"$") {
            pieces.push(Piece::Literal(b"$"));
            rest = after;
        } else if let Some((name, after)) = name(after) {
            pieces.push(Piece::Groups(match index(name) {
                Some(index) => vec![index],
                None => (0..names.len()).filter(|&index| names[index].as_bytes() == name).collect(),
            }));
            rest = after;
        } else {
            pieces.push(Piece::Literal(b"$"));
            rest = after;
        }
    }
    pieces.push(Piece::Literal(rest));
    pieces
}

/// The name at the beginning of `text`, with or without braces, and what follows it.
fn name(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let inner = text.strip_prefix(b"{");
    let start = inner.unwrap_or(text);
    let is_part = |character: char| is_letter(character) || is_digit(character) || character == '_';
    let length = runes(start).take_while(|&(character, _)| is_part(character)).map(|(_, bytes)| bytes.len()).sum();
    let (name, after) = start.split_at(length);
    let after = if inner.is_some() { after.strip_prefix(b"}")? } else { after };
    (!name.is_empty()).then_some((name, after))
}

/// The number that `name` is, unless it is larger than any group's or has leading zeros.
fn index(name: &[u8]) -> Option<usize> {
    let leading_zero = name.len() > 1 && name[0] == b'0';
    if leading_zero || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok().filter(|&index: &usize| index < 100_000_000)
}

/// With a backslash before everything that means something in an expression.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        if br"\.+*?()|[]{}^$".contains(&byte) {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out
}
