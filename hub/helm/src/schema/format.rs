//! The word `format` of schemas up to draft 7, where it is checked. Formats that nobody knows are no rule.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether `text` has the form `format`.
pub(super) fn has(text: &str, format: &str) -> bool {
    match format {
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "hostname" => is_hostname(text),
        "email" => is_email(text),
        "date" => is_date(text),
        "time" => is_time(text),
        "date-time" => text.split_once(['T', 't']).is_some_and(|(date, time)| is_date(date) && is_time(time)),
        "uri" => is_uri(text),
        "uri-reference" | "iri-reference" => is_reference(text),
        "regex" => regex::Regex::new(text).is_ok(),
        "json-pointer" => text.is_empty() || (text.starts_with('/') && escapes_are_whole(text)),
        "uuid" => is_uuid(text),
        _ => true,
    }
}

fn is_hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_dotted = !local.starts_with('.') && !local.ends_with('.') && !local.contains("..");
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let is_address = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|address| {
        address.parse::<Ipv4Addr>().is_ok() || address.strip_prefix("IPv6:").is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok())
    });
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && (is_quoted || (is_dotted && local.bytes().all(is_letter)))
        && (is_address || is_hostname(domain))
}

/// The numbers in `text`, which has a digit where `form` has `0` and the same elsewhere.
fn digits(text: &str, form: &str) -> Option<Vec<u32>> {
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'0' { byte.is_ascii_digit() } else { byte == wanted };
    let same = text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits);
    same.then(|| text.split(['-', ':']).filter_map(|number| number.parse().ok()).collect())
}

fn is_date(text: &str) -> bool {
    let Some(&[year, month, day]) = digits(text, "0000-00-00").as_deref() else { return false };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    (1..=days).contains(&day)
}

fn is_time(text: &str) -> bool {
    let Some(clock) = text.get(..8) else { return false };
    let Some(&[hour, minute, second]) = digits(clock, "00:00:00").as_deref() else { return false };
    let mut rest = &text[8..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    let offset = match rest.split_at_checked(1) {
        Some(("Z" | "z", "")) => Some(0),
        Some((sign @ ("+" | "-"), offset)) => match digits(offset, "00:00").as_deref() {
            Some([hours @ 0..=23, minutes @ 0..=59]) => {
                let minutes = i64::from(hours * 60 + minutes);
                Some(if sign == "+" { minutes } else { -minutes })
            }
            _ => None,
        },
        _ => None,
    };
    let Some(offset) = offset else { return false };
    // A leap second is one at midnight of Greenwich.
    let is_last = (i64::from(hour * 60 + minute) - offset).rem_euclid(24 * 60) == 24 * 60 - 1;
    hour < 24 && minute < 60 && (second < 60 || (second == 60 && is_last))
}

fn is_reference(text: &str) -> bool {
    let is_letter = |letter: char| !letter.is_whitespace() && !letter.is_control() && !"\"<>\\^`{|}".contains(letter);
    let escapes =
        text.split('%').skip(1).all(|rest| rest.as_bytes().get(..2).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)));
    text.chars().all(is_letter) && escapes
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|letter: char| letter.is_ascii_alphabetic()) && scheme.bytes().all(is_scheme) && is_reference(text)
}

fn escapes_are_whole(pointer: &str) -> bool {
    pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn is_uuid(text: &str) -> bool {
    let form = "00000000-0000-0000-0000-000000000000";
    let fits = |(byte, wanted): (u8, u8)| if wanted == b'0' { byte.is_ascii_hexdigit() } else { byte == wanted };
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_told_from_what_only_looks_like_them() {
        let good = [
            ("date-time", "2024-02-29T23:59:60Z"),
            ("date-time", "1990-12-31t15:59:59.5-08:00"),
            ("hostname", "a-b.example."),
            ("email", "joe.bloggs@example.com"),
            ("ipv6", "::1"),
            ("uri", "https://example.com/a?b#c"),
            ("uri-reference", "../a%20b"),
            ("json-pointer", "/a/~0b"),
            ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380"),
            ("no-such-format", "anything"),
        ];
        let bad = [
            ("date-time", "2023-02-29T00:00:00Z"),
            ("date-time", "2024-01-01"),
            ("time", "12:00:60Z"),
            ("hostname", "-a"),
            ("email", "2962"),
            ("ipv4", "256.0.0.1"),
            ("uri", "/no/scheme"),
            ("uri-reference", "a b"),
            ("regex", "("),
            ("json-pointer", "/~2"),
            ("uuid", "2eb8aa08"),
        ];
        good.iter().for_each(|(format, text)| assert!(has(text, format), "{format} {text}"));
        bad.iter().for_each(|(format, text)| assert!(!has(text, format), "{format} {text}"));
    }
}
