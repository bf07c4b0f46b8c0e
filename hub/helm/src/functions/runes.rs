//! Characters as Go's `unicode` and `unicode/utf8` see them: texts that are not UTF-8 are read byte by byte as U+FFFD, and each character has one
//! upper, lower and title case character, never several.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// The characters of `bytes`, each with the bytes that it was read from.
pub(super) fn runes(bytes: &[u8]) -> impl Iterator<Item = (char, &[u8])> {
    bytes.utf8_chunks().flat_map(|chunk| {
        let valid = chunk.valid();
        let characters =
            valid.char_indices().map(move |(start, character)| (character, &valid.as_bytes()[start..start + character.len_utf8()]));
        characters.chain(chunk.invalid().chunks(1).map(|byte| (char::REPLACEMENT_CHARACTER, byte)))
    })
}

/// The first character of `bytes` and how many bytes it was read from.
pub(super) fn first(bytes: &[u8]) -> Option<(char, usize)> {
    runes(bytes.get(..LONGEST).unwrap_or(bytes)).next().map(|(character, read)| (character, read.len()))
}

/// The last character of `bytes` and how many bytes it was read from.
pub(super) fn last(bytes: &[u8]) -> Option<(char, usize)> {
    let tail = bytes.len().checked_sub(1)?.min(LONGEST - 1);
    let start = (0..=tail).map(|before| bytes.len() - 1 - before).find_map(|start| std::str::from_utf8(&bytes[start..]).ok());
    let character = start.map_or(char::REPLACEMENT_CHARACTER, |end| end.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER));
    Some((character, start.map_or(1, str::len)))
}

/// The most bytes that a character takes.
const LONGEST: usize = 4;

/// `strings.Map`.
pub(super) fn map(bytes: &[u8], mut change: impl FnMut(char) -> char) -> String {
    runes(bytes).map(|(character, _)| change(character)).collect()
}

/// `unicode.ToUpper`.
pub(super) fn to_upper(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => with_iota(character),
    }
}

/// The upper case of a character whose full upper case is several characters: Greek letters with a subscript iota have one with the iota
/// adscript, the others, such as `ß`, have none.
fn with_iota(character: char) -> char {
    let distance = match character {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => 0,
    };
    char::from_u32(u32::from(character) + distance).unwrap_or(character)
}

/// `unicode.ToLower`.
pub(super) fn to_lower(character: char) -> char {
    character.to_lowercase().next().unwrap_or(character)
}

/// `unicode.ToTitle`: the upper case, but for digraphs, whose second letter stays small, and Georgian, which has no title case.
pub(super) fn to_title(character: char) -> char {
    match character {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => character,
        _ => to_upper(character),
    }
}

/// `unicode.IsUpper`.
pub(super) fn is_upper(character: char) -> bool {
    character.general_category() == GeneralCategory::UppercaseLetter
}

/// `unicode.IsLower`.
pub(super) fn is_lower(character: char) -> bool {
    character.general_category() == GeneralCategory::LowercaseLetter
}

/// `unicode.IsTitle`.
pub(super) fn is_title(character: char) -> bool {
    character.general_category() == GeneralCategory::TitlecaseLetter
}

/// `unicode.IsNumber`.
pub(super) fn is_number(character: char) -> bool {
    character.general_category_group() == GeneralCategoryGroup::Number
}

/// `unicode.IsPunct`.
pub(super) fn is_punctuation(character: char) -> bool {
    character.general_category_group() == GeneralCategoryGroup::Punctuation
}

/// `unicode.IsSpace`.
pub(super) fn is_space(character: char) -> bool {
    character.is_whitespace()
}
