//! Text from elsewhere made harmless for a terminal.

/// One line without control characters: what an agent or a repository wrote must not move the cursor of the person who reads it.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter == '\n' || letter == '\t' {
                ' '
            } else if letter.is_control() {
                '?'
            } else {
                letter
            }
        })
        .collect()
}

/// `1 object`, `2 objects`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}d"), "a?[2Jb c?d");
    }
}
