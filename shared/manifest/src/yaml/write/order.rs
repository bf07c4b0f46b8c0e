//! The order in which goyaml.v2 prints the keys of a map: digits by the number that they write (`a9` before `a10`), letters after everything
//! else. A tree has its keys in the order of their bytes, which mostly is the same.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use crate::tree::{Text, Tree};

/// Whether `keys`, which are in the order of their bytes, are in natural order too.
pub(super) fn is_natural<'t>(mut keys: impl Iterator<Item = &'t Text>) -> bool {
    let Some(mut last) = keys.next() else { return true };
    for key in keys {
        if !keeps_order(last, key) {
            return false;
        }
        last = key;
    }
    true
}

/// Whether of two keys in the order of their bytes the first also comes first here.
#[inline]
fn keeps_order(first: &str, second: &str) -> bool {
    let (a, b) = (first.as_bytes(), second.as_bytes());
    if let (Some(a), Some(b @ b'a'..=b'z')) = (a.first(), b.first())
        && a != b
    {
        return true;
    }
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (a.get(same), b.get(same)) {
        (Some(_), Some(b'a'..=b'z' | b'A'..=b'Z')) => true,
        (Some(b'!'..=b'/'), Some(b'!'..=b'/')) => true,
        (Some(_), Some(_)) => comes_first(first, second),
        _ => true,
    }
}

/// The entries in natural order. The relation has circles (`a10` before `a1b` before `a2` before `a10`), for which kustomize prints another order
/// each time; a merge sort takes any relation and always gives the same.
#[cold]
pub(super) fn natural<'t>(mut entries: Vec<(&'t Text, &'t Tree)>) -> Vec<(&'t Text, &'t Tree)> {
    if entries.len() < 2 {
        return entries;
    }
    let upper = natural(entries.split_off(entries.len() / 2));
    let lower = natural(entries);
    let mut merged = Vec::with_capacity(lower.len() + upper.len());
    let (mut lower, mut upper) = (lower.into_iter().peekable(), upper.into_iter().peekable());
    while let (Some((low, _)), Some((up, _))) = (lower.peek(), upper.peek()) {
        merged.extend(if comes_first(up, low) { upper.next() } else { lower.next() });
    }
    merged.extend(lower);
    merged.extend(upper);
    merged
}

/// Go's comparison: it looks at the first character that differs, and at the digits from there on.
fn comes_first(a: &str, b: &str) -> bool {
    let mut same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    while !a.is_char_boundary(same) {
        same -= 1;
    }
    let (shared, a, b) = (&a[..same], &a[same..], &b[same..]);
    let (Some(first_a), Some(first_b)) = (a.chars().next(), b.chars().next()) else { return a.len() < b.len() };
    match (is_letter(first_a), is_letter(first_b)) {
        (true, true) => first_a < first_b,
        (true, false) => false,
        (false, true) => true,
        (false, false) => {
            // A zero inside a number counts as a digit of it, one in front of a number does not.
            let inside = (first_a == '0' || first_b == '0') && shared.chars().rev().take_while(|&c| is_digit(c)).any(|c| c != '0');
            let (number_a, digits_a) = leading_number(a, i64::from(inside));
            let (number_b, digits_b) = leading_number(b, i64::from(inside));
            (number_a, digits_a, first_a) < (number_b, digits_b, first_b)
        }
    }
}

/// The number that the leading digits append to `start`, and how many digits there are. Overflow wraps, as in Go.
fn leading_number(text: &str, start: i64) -> (i64, usize) {
    text.chars().take_while(|&c| is_digit(c)).fold((start, 0), |(number, digits), c| {
        let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
        (number.wrapping_mul(10).wrapping_add(digit), digits + 1)
    })
}

fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { c.general_category_group() == GeneralCategoryGroup::Letter }
}

fn is_digit(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_digit() } else { c.general_category() == GeneralCategory::DecimalNumber }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::TreeMap;

    fn printed(keys: &[&str]) -> Vec<String> {
        let tree: Tree = keys.iter().map(|&key| (Text::new(key), Tree::NULL)).collect();
        let map = tree.as_map().expect("a map");
        natural(map.iter().collect()).into_iter().map(|(key, _)| key.to_string()).collect()
    }

    #[test]
    fn digits_count_as_numbers_and_letters_come_last() {
        for keys in [
            &["a1", "a2", "a9", "a10", "a100"][..],
            &["_", "a_b", "a1", "aB", "ab"],
            &["-", "0", "00", "1", "01", "2", "10", "A", "a"],
            &["1.9", "1.10", "1.10-x", "2"],
            &["a20", "a112", "a200", "a201", "a1000"],
            &["x", "x-", "xa", "é", "日"],
        ] {
            let mut shuffled = keys.to_vec();
            shuffled.reverse();
            assert_eq!(printed(&shuffled), keys);
            let by_bytes: TreeMap = keys.iter().map(|&key| (Text::new(key), Tree::NULL)).collect();
            assert_eq!(is_natural(by_bytes.keys()), keys.is_sorted(), "{keys:?}");
        }
    }

    #[test]
    fn keys_that_go_orders_in_a_circle_have_one_order() {
        assert_eq!(printed(&["a10", "a1b", "a2"]), printed(&["a2", "a1b", "a10"]));
        let many: Vec<String> = (0..200).map(|n| format!("a{}{}", n % 23, ["", "b", "0"][n % 3])).collect();
        let keys: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(printed(&keys).len(), keys.iter().collect::<std::collections::BTreeSet<_>>().len());
    }
}
