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

/// A line of a log: tabs stay, colours and whatever else a terminal obeys go.
pub(crate) fn log_line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // A control sequence (ECMA-48): parameters and intermediates, then one final byte.
            '\u{1b}' if letters.next_if_eq(&'[').is_some() => {
                while letters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
                letters.next_if(|next| matches!(next, '@'..='~'));
            }
            '\t' => shown.push('\t'),
            letter if letter.is_control() => shown.push('?'),
            letter => shown.push(letter),
        }
    }
    shown
}

/// `1 object`, `2 objects`.
pub(crate) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_log_loses_its_colours_and_all_power_over_the_terminal() {
        assert_eq!(log_line("\u{1b}[31;1mERROR\u{1b}[0m\tloss=0.5"), "ERROR\tloss=0.5");
        assert_eq!(log_line("\u{1b}]0;title\u{7}a\u{1b}[2Jb\u{9b}c"), "?]0;title?ab?c");
        assert_eq!(log_line("\u{1b}["), "");
    }

    #[test]
    fn an_escape_sequence_is_shown_and_not_obeyed() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\u{9b}d"), "a?[2Jb c?d");
    }
}
