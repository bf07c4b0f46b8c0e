//! Words and scalars that objects and kustomizations are made of, among them those that YAML readers disagree about.

use super::known;
use super::pen::RAW;
use crate::Chance;

/// Names of objects.
pub(super) const NAMES: &[&str] = &["web", "api", "db", "cache", "worker", "front-end", "mail", "metrics"];

/// Values of labels.
pub(super) const LABEL_VALUES: &[&str] = &["web", "api", "backend", "gold", "canary"];

/// Scalars as they are written, of doubtful type.
const SCALARS: &[&str] = &[
    "1",
    "0",
    "-1",
    "+1",
    "1.10",
    "1.0",
    "1e3",
    ".5",
    "1.",
    "0644",
    "0o644",
    "0x1F",
    "1_000",
    "12:30:45",
    "yes",
    "no",
    "on",
    "off",
    "y",
    "n",
    "Yes",
    "NO",
    "true",
    "false",
    "True",
    "FALSE",
    "null",
    "Null",
    "~",
    "",
    "2021-01-01",
    "\"1\"",
    "'1'",
    "\"true\"",
    "'yes'",
    "\"null\"",
    "'~'",
    "\"\"",
    "''",
    "\"0644\"",
    "'1.10'",
    "\"1e3\"",
    "\"2021-01-01\"",
    "'0x1F'",
    "\"a\\tb\"",
    "\"\\u00e9\\x41\"",
    "\"a\\nb\\n\"",
    "\"tail \"",
    "' lead'",
    "0.1",
    "1.7976931348623157e308",
    "100000000000000000000.0",
    "=",
    "a=b",
    "a:b",
    "-a",
    "<<",
    "a#b",
    "it's",
    "\"say \\\"hi\\\"\"",
    "'it''s'",
    "é",
    "日本",
    "\"\\U0001F600\"",
    "😀",
    "a,b",
    "\"[x]\"",
    "\"{y}\"",
    "\"- z\"",
    "\"# c\"",
    "\"a: b\"",
    "'*x'",
    "'&x'",
    "'!x'",
    "'%x'",
    "'@x'",
    "'`x'",
    "'|'",
    "'>'",
    "\"?\"",
    "'? a'",
    "\"-\"",
    "'---'",
    "1.2.3",
    "v1.10",
    "1,000",
    "0.0.0.0",
    "08",
    "0o8",
    "1e",
    "e1",
    "5m",
    "1Gi",
    "50%",
];

/// What JSON cannot hold, and tags, which later changes of the value contradict.
const TROUBLE: &[&str] = &["!!str 12", "!!int \"7\"", "!!float 1", "!!bool \"true\"", "!!null ''", "!local x"];

const ODD_NUMBERS: &[&str] = &[
    ".inf",
    "-.Inf",
    ".nan",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890",
    "0b11",
    "1E-7",
    "!!binary aGVsbG8=",
    "-0",
    "-0.0",
    "2001-12-14t21:59:43.10-05:00",
];

/// A scalar as it is written.
pub(super) fn raw_scalar(chance: &mut Chance) -> String {
    let scalars = match chance.below(50) {
        0 => TROUBLE,
        1 | 2 if known::ODD_NUMBERS => ODD_NUMBERS,
        _ => SCALARS,
    };
    format!("{RAW}{}", chance.pick(scalars))
}

/// A text with something to quote, break or escape.
const TEXTS: &[&str] = &[
    "two words",
    "line one\nline two\n",
    "line one\nline two",
    "ends with two\n\n",
    "\nstarts with a break",
    "  indented\nfirst line",
    "trailing blank \nnext",
    "a\ttab\n\tand another\n",
    "windows\r\nbreaks\r\n",
    "# not a comment",
    "key: value\nother: [1, 2]\n",
    "- item\n- item\n",
    "a 'quoted' \"text\"",
    "$(NAME) and $(HOST)",
    "umlaut ä and 日本語 and 😀",
    "a very long line that goes on and on until the writer of the YAML would like to break it somewhere near the eightieth column or so, or not",
    "averyveryveryverylongwordwithoutanyblanksthatcannotbebrokenanywhereatallbecausethereisnoblankinit",
    " ",
    "\n",
    ": starts",
    "ends:",
    "{{ template }}",
    "%percent",
    "null",
    "true",
    "0123",
    "tab\tin one line",
    "back\\slash",
    "?",
    "-",
    "---",
    "...",
    "a\n---\nb\n",
    "key: |\n  nested block\n  text\n",
    "1:2",
    "x: y # z",
];

/// Characters that have to be escaped, or look as if. What YAML 1.1 takes for a line break and YAML 1.2 does not (U+0085, U+2028, U+2029) is a
/// known difference.
const CHARACTERS: &[&str] = &["a\u{feff}b", "bell \u{7}", "\u{a0}blank", "private \u{e000}", "\u{1F468}\u{200D}\u{1F469}"];

/// A text with something to quote, break or escape.
pub(super) fn odd_text(chance: &mut Chance) -> String {
    let texts = if chance.percent(1) { CHARACTERS } else { TEXTS };
    (*chance.pick(texts)).to_owned()
}
