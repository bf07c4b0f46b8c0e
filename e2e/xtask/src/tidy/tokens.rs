//! Rust source as tokens, so that rules see neither comments nor strings where they mean code.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The tokens of a source file; none if it is no Rust, which the compiler says better.
pub(super) fn of(text: &str) -> Vec<TokenTree> {
    text.parse::<TokenStream>().map(|stream| stream.into_iter().collect()).unwrap_or_default()
}

/// Calls `visit` with the tokens of every group, outermost first.
pub(super) fn every_level(tokens: &[TokenTree], visit: &mut impl FnMut(&[TokenTree])) {
    visit(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            every_level(&inside(group), visit);
        }
    }
}

/// The tokens of a group.
pub(super) fn inside(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Whether the token is this identifier.
pub(super) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// Whether the token is this character.
pub(super) fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

/// The group, if the token is one with these delimiters.
pub(super) fn group(token: &TokenTree, delimiter: Delimiter) -> Option<&Group> {
    match token {
        TokenTree::Group(group) if group.delimiter() == delimiter => Some(group),
        _ => None,
    }
}

/// The text of a plain string literal.
pub(super) fn string(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    Some(literal.to_string().strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// The line on which the token begins, from 1.
pub(super) fn line(token: &TokenTree) -> usize {
    token.span().start().line
}
