//! How a text is written: plain, quoted or as a literal block, with which escapes, and where its lines are folded.
//!
//! [`look`] passes over the bytes once and decides the style; writing then copies runs of bytes.

use memchr::{memchr, memchr_iter};

use super::{Audience, line_break, pad};
use crate::yaml::YamlMode;
use crate::yaml::scalar::{self, Plain};

/// Where a scalar starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// Column of its first character, from 0.
    pub(super) column: usize,
    /// Columns in front of its other lines.
    pub(super) indent: usize,
}

/// How to write a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    style: Style,
    /// Whether a byte is a column.
    pub(super) is_ascii: bool,
    /// Union of the classes of its bytes.
    classes: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Lines are folded at the first space beyond this column.
const WIDTH: usize = 80;

/// No word for a boolean or for null is longer than `false`.
const LONGEST_WORD: usize = 5;

const SPACE: u8 = 1;
const BREAK: u8 = 1 << 1;
/// `:` and `#`: with a blank beside them they end a plain scalar.
const SEPARATOR: u8 = 1 << 2;
/// `'`, which is doubled in single quotes.
const APOSTROPHE: u8 = 1 << 3;
/// `"` and `\`, which are escaped in double quotes.
const ESCAPED: u8 = 1 << 4;
/// What stands in double quotes only, escaped.
const CONTROL: u8 = 1 << 5;
/// Part of a character outside ASCII.
const WIDE: u8 = 1 << 6;
/// Not a class of bytes: U+2028 or U+2029, which are line breaks to Go but need no escape.
const WIDE_BREAK: u8 = 1 << 7;

/// The class of a byte, in a form that the compiler turns into instructions on many bytes at once.
const fn class_of(byte: u8) -> u8 {
    const fn when(is: bool, class: u8) -> u8 {
        is as u8 * class
    }
    when(byte == b' ', SPACE)
        | when(byte == b'\n', BREAK)
        | when(byte == b':' || byte == b'#', SEPARATOR)
        | when(byte == b'\'', APOSTROPHE)
        | when(byte == b'"' || byte == b'\\', ESCAPED)
        | when((byte < b' ' && byte != b'\n') || byte == 0x7f, CONTROL)
        | when(byte >= 0x80, WIDE)
}

static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = class_of(byte as u8);
        byte += 1;
    }
    classes
};

/// Union of the classes of all bytes.
#[inline]
fn classes_of(bytes: &[u8]) -> u8 {
    let (chunks, rest) = bytes.as_chunks::<CHUNK>();
    let classes = rest.iter().fold(0, |classes, &byte| classes | CLASSES[usize::from(byte)]);
    if chunks.is_empty() { classes } else { classes | classes_of_chunks(chunks) }
}

/// Bytes to class at once: two of the registers that every processor has.
const CHUNK: usize = 32;

fn classes_of_chunks(chunks: &[[u8; CHUNK]]) -> u8 {
    let mut classes = [0; CHUNK];
    for chunk in chunks {
        for (class, &byte) in classes.iter_mut().zip(chunk) {
            *class |= class_of(byte);
        }
    }
    classes.into_iter().fold(0, |all, class| all | class)
}

impl Look {
    /// Whether the text has a line break of any kind that Go knows.
    pub(super) fn has_breaks(self, text: &str) -> bool {
        self.classes & (BREAK | WIDE_BREAK) != 0 || self.classes & CONTROL != 0 && text.contains(['\r', NEXT_LINE])
    }
}

/// Decides how to write `text`.
#[inline]
pub(super) fn look(text: &str, audience: Audience) -> Look {
    let bytes = text.as_bytes();
    let mut classes = classes_of(bytes);
    if classes & WIDE != 0 {
        classes |= wide_classes(bytes);
    }
    let style = if classes & (BREAK | CONTROL | WIDE_BREAK) == 0 {
        style_of_line(text, classes, audience)
    } else {
        style_of_lines(text, classes, audience)
    };
    Look { style, is_ascii: classes & WIDE == 0, classes }
}

/// What becomes of a text with U+0085 in kustomize, which takes the character for a folded line break on the way: with the spaces around it it is
/// one space, several are one line break less. `None` if nothing becomes of it.
#[inline]
pub(super) fn without_next_lines(text: &str, look: Look, audience: Audience) -> Option<String> {
    const BOTH: u8 = CONTROL | WIDE;
    if look.classes & BOTH == BOTH && audience == Audience::Kustomize && text.contains(NEXT_LINE) {
        Some(fold_next_lines(text))
    } else {
        None
    }
}

const NEXT_LINE: char = '\u{85}';

#[cold]
fn fold_next_lines(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((line, after)) = rest.split_once(NEXT_LINE) {
        rest = after.trim_start_matches([' ', NEXT_LINE]);
        folded.push_str(line.trim_end_matches(' '));
        match after[..after.len() - rest.len()].matches(NEXT_LINE).count() {
            0 => folded.push(' '),
            others => folded.extend(std::iter::repeat_n('\n', others)),
        }
    }
    folded.push_str(rest);
    folded
}

/// `CONTROL` if there is a character outside ASCII that Go's emitter escapes (it knows no characters beyond U+FFFF), `WIDE_BREAK` if there is a
/// line break.
fn wide_classes(bytes: &[u8]) -> u8 {
    bytes.iter().enumerate().filter(|&(_, &byte)| byte >= 0xC2).fold(0, |classes, (at, _)| {
        classes
            | match &bytes[at..] {
                [0xC2, ..0xA0, ..] | [0xEF, 0xBB, 0xBF, ..] | [0xEF, 0xBF, 0xBE | 0xBF, ..] | [0xF0..=0xFF, ..] => CONTROL,
                [0xE2, 0x80, 0xA8 | 0xA9, ..] => WIDE_BREAK,
                _ => 0,
            }
    })
}

/// The style of a text in which nothing needs an escape and no line ends.
#[inline]
fn style_of_line(text: &str, classes: u8, audience: Audience) -> Style {
    let bytes = text.as_bytes();
    let Some(&first) = bytes.first() else { return Style::Double };
    let quoted = match first {
        b'a'..=b'z' | b'A'..=b'Z' => {
            if text.len() <= LONGEST_WORD && scalar::resolve(text, YamlMode::Kubernetes) != Plain::Text {
                return Style::Double;
            }
            false
        }
        b'0'..=b'9' | b'+' | b'-' | b'.' => {
            if is_number(text) {
                return Style::Double;
            }
            first == b'-' && matches!(bytes, [_] | [_, b' ', ..]) || matches!(bytes, [b'-', b'-', b'-', ..] | [b'.', b'.', b'.', ..])
        }
        b'~' if text.len() == 1 => return Style::Double,
        b'<' | b'=' if audience == Audience::Everyone && matches!(text, "<<" | "=") => return Style::Double,
        b' ' | b'#' | b',' | b'[' | b']' | b'{' | b'}' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%' | b'@' | b'`' => true,
        b'?' | b':' => matches!(bytes, [_] | [_, b' ', ..]),
        _ => false,
    };
    if quoted || bytes.last() == Some(&b' ') || classes & SEPARATOR != 0 && has_separator(bytes) { Style::Single } else { Style::Plain }
}

/// The style of any other text.
#[cold]
fn style_of_lines(text: &str, classes: u8, audience: Audience) -> Style {
    let bytes = text.as_bytes();
    if classes & CONTROL != 0 || classes & WIDE_BREAK != 0 && audience == Audience::Everyone || has_space_before_break(bytes, classes) {
        return Style::Double;
    }
    if classes & BREAK != 0 {
        return if bytes.last() == Some(&b' ') { Style::Double } else { Style::Literal };
    }
    if text.contains("\u{2028} ") || text.contains("\u{2029} ") { Style::Double } else { Style::Single }
}

fn has_space_before_break(bytes: &[u8], classes: u8) -> bool {
    memchr_iter(b'\n', bytes).any(|at| at > 0 && bytes[at - 1] == b' ')
        || classes & WIDE_BREAK != 0 && bytes.windows(4).any(|window| matches!(window, [b' ', 0xE2, 0x80, 0xA8 | 0xA9]))
}

/// Whether there is a `:` with a space or nothing behind it, or a `#` with a space before it.
fn has_separator(bytes: &[u8]) -> bool {
    memchr_iter(b':', bytes).any(|at| matches!(bytes.get(at + 1), None | Some(b' ')))
        || memchr_iter(b'#', bytes).any(|at| at > 0 && bytes[at - 1] == b' ')
}

/// Whether a text that starts as numbers do is a number or a date to goyaml.v2, or a number in base 60, which it keeps from others.
fn is_number(text: &str) -> bool {
    // A byte that is part of no number and no date: most texts end here.
    !text.bytes().any(|byte| matches!(byte, b'/' | b'g' | b'h' | b'j'..=b'm' | b'q'..=b's' | b'u'..=b'w'))
        && (scalar::resolve(text, YamlMode::Kubernetes) != Plain::Text
            || scalar::timestamp(text).is_some()
            || is_base_60(text)
            || is_signed_binary(text)
            || is_fraction_with_underscores(text))
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
fn is_base_60(text: &str) -> bool {
    if memchr(b':', text.as_bytes()).is_none() {
        return false;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (places, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut places = places.split(':');
    let whole = places.next().unwrap_or_default();
    whole.starts_with(|c: char| c.is_ascii_digit())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit() || byte == b'_')
        && places.all(|place| matches!(place.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}

/// `0b-1`: Go reads what follows `0b` as an integer of its own.
fn is_signed_binary(text: &str) -> bool {
    text.starts_with("0") && {
        let digits = text.replace('_', "");
        digits.strip_prefix("0b").is_some_and(|digits| digits.starts_with(['-', '+']) && i64::from_str_radix(digits, 2).is_ok())
    }
}

/// `.1_5`: Go takes underscores between the digits of a number that starts with a point.
fn is_fraction_with_underscores(text: &str) -> bool {
    let bytes = text.as_bytes();
    let between_digits = |at: usize| bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    bytes[0] == b'.'
        && memchr(b'_', bytes).is_some()
        && memchr_iter(b'_', bytes).all(between_digits)
        && scalar::resolve(&text.replace('_', ""), YamlMode::Kubernetes) != Plain::Text
}

/// Writes a text as a key, in one line.
#[inline]
pub(super) fn write_key(out: &mut String, scratch: &mut String, text: &str, look: Look) {
    if look.style == Style::Plain {
        out.push_str(text);
    } else {
        write_quoted_key(out, scratch, text, look);
    }
}

fn write_quoted_key(out: &mut String, scratch: &mut String, text: &str, look: Look) {
    let mark = look.style.mark();
    out.push(mark);
    out.push_str(quoted(scratch, text, look));
    out.push(mark);
}

/// Writes a text as a value, folded. Says whether it ends in a line break of its own.
#[inline]
pub(super) fn write_value(out: &mut String, scratch: &mut String, text: &str, look: Look, start: Start) -> bool {
    match look.style {
        Style::Plain if start.column + text.len() <= WIDTH => out.push_str(text),
        Style::Plain => fold(out, text, look, start),
        Style::Single | Style::Double => write_quoted(out, scratch, text, look, start),
        Style::Literal => return write_literal(out, text, look, start.indent),
    }
    false
}

impl Style {
    fn mark(self) -> char {
        if self == Self::Single { '\'' } else { '"' }
    }
}

fn write_quoted(out: &mut String, scratch: &mut String, text: &str, look: Look, start: Start) {
    let mark = look.style.mark();
    out.push(mark);
    let body = quoted(scratch, text, look);
    let start = Start { column: start.column + 1, ..start };
    if look.style == Style::Single && look.classes & WIDE_BREAK != 0 {
        for_each_line(body, look, |position, line, end| {
            if position > 0 && !line.is_empty() {
                pad(out, start.indent);
            }
            fold(out, line, look, Start { column: if position == 0 { start.column } else { start.indent }, ..start });
            out.push_str(end);
        });
    } else {
        fold(out, body, look, start);
    }
    out.push(mark);
}

/// What stands between the quotes if nothing is folded.
fn quoted<'t>(scratch: &'t mut String, text: &'t str, look: Look) -> &'t str {
    let (needs_escape, escape): (u8, fn(&mut String, &str)) = match look.style {
        Style::Single => (APOSTROPHE, double_apostrophes),
        _ => (ESCAPED | BREAK | CONTROL | WIDE_BREAK, escape),
    };
    if look.classes & needs_escape == 0 {
        return text;
    }
    scratch.clear();
    escape(scratch, text);
    scratch
}

fn double_apostrophes(out: &mut String, text: &str) {
    let mut from = 0;
    for at in memchr_iter(b'\'', text.as_bytes()) {
        out.push_str(&text[from..=at]);
        from = at;
    }
    out.push_str(&text[from..]);
}

/// Escapes what double quotes need. A text that starts with a byte order mark has every character escaped: Go asks for the mark at the start of
/// the text, whichever character it is about.
fn escape(out: &mut String, text: &str) {
    if text.starts_with('\u{feff}') {
        text.chars().for_each(|c| push_escape(out, c));
        return;
    }
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|byte| CLASSES[usize::from(byte)] & (ESCAPED | BREAK | CONTROL | WIDE) != 0) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let mut chars = after.chars();
        match chars.next() {
            Some(c) if is_escaped(c) => push_escape(out, c),
            c => out.extend(c),
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
}

fn is_escaped(c: char) -> bool {
    matches!(
        c,
        '\0'..'\u{20}' | '"' | '\\' | '\u{7f}'..'\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{10000}'..
    )
}

fn push_escape(out: &mut String, c: char) {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => return push_code(out, c),
    };
    out.push('\\');
    out.push(short);
}

fn push_code(out: &mut String, c: char) {
    let code = u32::from(c);
    let (letter, digits) = match code {
        0..=0xFF => ('x', 2),
        0x100..=0xFFFF => ('u', 4),
        _ => ('U', 8),
    };
    out.push('\\');
    out.push(letter);
    for place in (0..digits).rev() {
        // The digit is below 16 by the mask.
        out.push(char::from_digit(code >> (4 * place) & 0xF, 16).unwrap_or('0').to_ascii_uppercase());
    }
}

/// Writes `body` (the text as it stands between its quotes, if any), starting a new line instead of each space beyond the width that stands
/// alone. In double quotes the first of several spaces gives way too, and a backslash keeps the others.
fn fold(out: &mut String, body: &str, look: Look, start: Start) {
    if start.column + body.len() <= WIDTH || look.classes & SPACE == 0 {
        out.push_str(body);
        return;
    }
    let bytes = body.as_bytes();
    let splits_runs = look.style == Style::Double;
    let mut column = start.column;
    // The line that is being written starts here, and the next space is looked for there.
    let (mut from, mut at) = (0, beyond_width(body, look, column));
    while let Some(offset) = memchr(b' ', bytes.get(at..).unwrap_or_default()) {
        let space = at + offset;
        let is_inside = space > 0 && space + 1 < bytes.len() && bytes[space - 1] != b' ';
        if !is_inside || bytes[space + 1] == b' ' && !splits_runs {
            at = space + 1;
            continue;
        }
        out.push_str(&body[from..space]);
        line_break(out, start.indent);
        column = start.indent;
        from = space + 1;
        if bytes[from] == b' ' {
            out.push('\\');
            column += 1;
        }
        at = from + beyond_width(&body[from..], look, column);
    }
    out.push_str(&body[from..]);
}

/// Bytes of `line`, which starts at `column`, up to the first character beyond the width.
fn beyond_width(line: &str, look: Look, column: usize) -> usize {
    let columns = (WIDTH + 1).saturating_sub(column);
    if look.is_ascii { columns } else { line.char_indices().nth(columns).map_or(line.len(), |(at, _)| at) }
}

/// Writes a text of several lines as they are. Says whether it ends in a line break.
fn write_literal(out: &mut String, text: &str, look: Look, indent: usize) -> bool {
    out.push('|');
    if text.starts_with([' ', '\n', '\u{2028}', '\u{2029}']) {
        out.push('2');
    }
    let without_last = text.strip_suffix(['\n', '\u{2028}', '\u{2029}']);
    match without_last {
        None => out.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with(['\n', '\u{2028}', '\u{2029}']) => out.push('+'),
        Some(_) => {}
    }
    out.push('\n');
    for_each_line(text, look, |_, line, end| {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push_str(end);
    });
    without_last.is_some()
}

/// Every line of a text with its position and its end, which is empty for the last.
fn for_each_line(text: &str, look: Look, mut write: impl FnMut(usize, &str, &str)) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for position in 0.. {
        let rest = &text[from..];
        let end = if look.classes & WIDE_BREAK == 0 { memchr(b'\n', &bytes[from..]) } else { rest.find(['\n', '\u{2028}', '\u{2029}']) };
        let Some(end) = end else { return write(position, rest, "") };
        let width = if rest.as_bytes()[end] == b'\n' { 1 } else { '\u{2028}'.len_utf8() };
        write(position, &rest[..end], &rest[end..end + width]);
        from += end + width;
    }
}
