//! What of a log line may be shown. The last line of a crashed container tells its cause better than anything else, and it may hold a secret: a
//! connection string, a token. It leaves the cluster only when the cluster's owner allows it, and even then without what looks like a secret.
//!
//! This is a net with holes: a secret that looks like a word passes. That is why it is the owner's choice.

/// What is written for something that looks like a secret.
const MASK: &str = "***";

/// The most bytes of a line that are read; a log line may be megabytes.
const READ: usize = 4096;

/// The most bytes of a line that are shown.
const SHOWN: usize = 240;

/// The length from which a run of letters and digits that holds both is taken for a key: an image digest or a token, never a word.
const KEY_LENGTH: usize = 20;

/// Words after which a secret stands.
const NAMES: [&str; 12] =
    ["password", "passwd", "pwd", "secret", "token", "apikey", "api_key", "api-key", "access_key", "credential", "authorization", "bearer"];

/// One line of a log as it may be shown: one line, short, without control characters, and with what looks like a secret masked.
pub fn masked_line(log: &str) -> Option<String> {
    let line = log.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let end = (0..=line.len().min(READ)).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    let mut shown = String::new();
    let mut hides_next = false;
    for word in line[..end].split_whitespace() {
        let (word, hides) = mask_word(word, hides_next);
        hides_next = hides;
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.extend(word.chars().filter(|character| !character.is_control()));
        if shown.len() > SHOWN {
            let end = (0..=SHOWN).rev().find(|end| shown.is_char_boundary(*end)).unwrap_or(0);
            shown.truncate(end);
            shown.push('…');
            break;
        }
    }
    (!shown.is_empty()).then_some(shown)
}

/// A word without secrets, and whether the next one is a secret.
fn mask_word(word: &str, hidden: bool) -> (String, bool) {
    let lower = word.to_ascii_lowercase();
    let names_secret = NAMES.iter().any(|name| lower.contains(name));
    let bare = lower.trim_matches(|character: char| !character.is_ascii_alphanumeric());
    if hidden {
        // `Authorization: Bearer x`: the scheme is no secret, what follows is.
        return if matches!(bare, "bearer" | "basic" | "is" | "was") { (word.to_owned(), true) } else { (MASK.to_owned(), false) };
    }
    if names_secret {
        let after = NAMES.iter().filter_map(|name| lower.find(name).map(|at| at + name.len())).max().unwrap_or(0);
        let value = word[after..].find(['=', ':']).map(|at| after + at + 1);
        return match value {
            Some(at) if at < word.trim_end_matches(['"', '\'', ',']).len() => (format!("{}{MASK}", &word[..at]), false),
            Some(_) => (word.to_owned(), true),
            None => (word.to_owned(), bare == "bearer"),
        };
    }
    let word = mask_user(word);
    (mask_keys(&word), false)
}

/// `scheme://user:password@host` without user and password.
fn mask_user(word: &str) -> String {
    let Some(scheme) = word.find("://").map(|at| at + 3) else { return word.to_owned() };
    let authority = word[scheme..].find(['/', '?', '#']).map_or(word.len(), |at| scheme + at);
    match word[scheme..authority].rfind('@') {
        Some(at) => format!("{}{MASK}{}", &word[..scheme], &word[scheme + at..]),
        None => word.to_owned(),
    }
}

/// Long runs of letters and digits that hold both.
fn mask_keys(word: &str) -> String {
    let is_key_character = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '+' | '-');
    let mut shown = String::new();
    let mut rest = word;
    while !rest.is_empty() {
        let run = rest.find(|character| !is_key_character(character)).unwrap_or(rest.len());
        let (key, after) = rest.split_at(run);
        let mixed = key.bytes().any(|byte| byte.is_ascii_digit()) && key.bytes().any(|byte| byte.is_ascii_alphabetic());
        shown.push_str(if key.len() >= KEY_LENGTH && mixed { MASK } else { key });
        let next = after.find(is_key_character).unwrap_or(after.len());
        shown.push_str(&after[..next]);
        rest = &after[next..];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_masked_and_the_rest_is_told() {
        for (line, shown) in [
            ("panic: no such table: users", "panic: no such table: users"),
            ("first\nlast line\n\n", "last line"),
            ("FATAL password=hunter2 is wrong", "FATAL password=*** is wrong"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
            ("\"token\": \"s3\", code 4", "\"token\": *** code 4"),
            ("dial postgres://me:pw@db:5432/x failed", "dial postgres://***@db:5432/x failed"),
            ("key AKIAIOSFODNN7EXAMPLE0 refused", "key *** refused"),
            ("jwt eyJhbGciOiJIUzI1NiIsInR5cCI6.eyJzdWIiOiIxMjM0NTY3ODkwIn0x.x", "jwt ***.***.x"),
            ("a\u{1b}[31mred", "a[31mred"),
        ] {
            assert_eq!(masked_line(line).as_deref(), Some(shown), "{line}");
        }
        assert_eq!(masked_line(" \n"), None);
        assert!(masked_line(&"é ".repeat(9000)).is_some_and(|line| line.len() < SHOWN + 8));
    }
}
