//! `camelcase`, `snakecase` and `kebabcase`: the rules of xstrings 1.5.0 for what is a word and where words are joined.

use hub_gotemplate::fmt::is_letter;

use super::runes::{is_number, is_punctuation, is_space, is_upper, runes, to_lower, to_upper};

/// `HttpServer` of `http_server`: the words in one, each with a capital. What comes before the first word is kept.
pub(super) fn pascal(text: &[u8]) -> String {
    let mut characters = runes(text).map(|(character, _)| character);
    let mut out = String::with_capacity(text.len());
    let mut pending = None;
    for character in characters.by_ref() {
        pending = Some(character);
        if !is_connector(character) {
            break;
        }
        out.push(character);
    }
    let Some(first) = pending else { return out };
    if is_connector(first) {
        // Nothing but connectors: the last of them comes out twice.
        out.push(first);
        return out;
    }
    let mut in_capitals = is_upper(first);
    let mut held = to_upper(first);
    for character in characters {
        let before = std::mem::replace(&mut held, character);
        if !is_connector(before) {
            out.push(before);
            in_capitals &= is_upper(character);
            if in_capitals {
                held = to_lower(character);
            }
        } else if is_connector(character) {
            out.push(before);
        } else {
            in_capitals = is_upper(character);
            held = to_upper(character);
        }
    }
    out.push(held);
    out
}

/// `http_server` of `HTTPServer`: the words in small letters with `connector` between them, which also replaces spaces, `-` and `_`.
pub(super) fn separated(text: &[u8], connector: char) -> String {
    let characters: Vec<char> = runes(text).map(|(character, _)| character).collect();
    let words = words(&characters);
    let kind = |index: usize| words.get(index).map(|word| word.0);
    let joins = |index: usize| kind(index).is_some_and(|kind| !matches!(kind, Kind::Connector | Kind::Punctuation));
    let mut out = String::with_capacity(text.len() + words.len());
    let mut at = 0;
    while at + 1 < words.len() {
        let previous = &words[at];
        write(&mut out, previous, connector);
        at += 1;
        let mut tail = false;
        match previous.0 {
            Kind::Connector | Kind::Punctuation => continue,
            Kind::Number => tail = true,
            Kind::Upper | Kind::Letters | Kind::Other if kind(at) == Some(Kind::Number) => {
                if at + 1 == words.len() {
                    continue;
                }
                // A number belongs to the word before it, unless small letters follow it: `bld4_floor`, but `http_20x`.
                tail = kind(at + 1) == Some(Kind::Letters);
                if tail {
                    out.push(connector);
                }
                write(&mut out, &words[at], connector);
                at += 1;
            }
            Kind::Upper | Kind::Letters | Kind::Other => {}
        }
        while tail && matches!(kind(at), Some(Kind::Letters | Kind::Number)) {
            write(&mut out, &words[at], connector);
            at += 1;
        }
        if joins(at) {
            out.push(connector);
        }
    }
    if let Some(last) = words.get(at) {
        write(&mut out, last, connector);
    }
    out
}

/// What a run of characters is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    /// Capitals, or a capital and the small letters after it.
    Upper,
    /// Letters of alphabets that are not capitals.
    Letters,
    Connector,
    Punctuation,
    /// Ideographs and symbols.
    Other,
}

type Word<'a> = (Kind, &'a [char]);

fn words(mut rest: &[char]) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    while let Some(&first) = rest.first() {
        let (kind, length) = word(first, rest);
        let (characters, after) = rest.split_at(length);
        words.push((kind, characters));
        rest = after;
    }
    words
}

/// The kind and the length of the word that `rest` begins with.
fn word(first: char, rest: &[char]) -> (Kind, usize) {
    let run = |from: usize, belongs: fn(char) -> bool| from + rest[from..].iter().take_while(|&&character| belongs(character)).count();
    let small: fn(char) -> bool = |character| is_alphabet(character) && !is_upper(character);
    if is_connector(first) {
        (Kind::Connector, run(1, is_connector))
    } else if is_punctuation(first) {
        (Kind::Punctuation, run(1, is_punctuation))
    } else if is_upper(first) {
        let capitals = run(1, is_upper);
        let length = match rest.get(capitals) {
            Some(&next) if is_alphabet(next) && capitals == 1 => run(1, small),
            // The last capital begins the next word: `HTTP`, `Server`.
            Some(&next) if is_alphabet(next) => capitals - 1,
            _ => capitals,
        };
        (Kind::Upper, length)
    } else if is_alphabet(first) {
        (Kind::Letters, run(1, small))
    } else if is_number(first) {
        (Kind::Number, run(1, is_number))
    } else {
        (Kind::Other, run(1, |next| !is_connector(next) && !is_alphabet(next) && !is_number(next) && !is_punctuation(next)))
    }
}

fn write(out: &mut String, (kind, characters): &Word<'_>, connector: char) {
    out.extend(characters.iter().map(|&character| match kind {
        Kind::Connector => connector,
        Kind::Upper if is_upper(character) => to_lower(character),
        _ => character,
    }));
}

fn is_connector(character: char) -> bool {
    character == '-' || character == '_' || is_space(character)
}

/// Whether it is a letter and no ideograph.
fn is_alphabet(character: char) -> bool {
    is_letter(character) && !matches!(character, '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}')
}
