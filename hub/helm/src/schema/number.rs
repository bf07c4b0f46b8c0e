//! Numbers of schemas compared exactly: whole ones as integers, `multipleOf` in decimal.

use std::cmp::Ordering;

/// Whether `number` is a multiple of `step`, as their shortest decimal forms say: 0.3 is one of 0.1.
pub(super) fn is_multiple(number: f64, step: f64) -> bool {
    let (Some((a, a_places)), Some((b, b_places))) = (decimal(number), decimal(step)) else {
        return step != 0.0 && (number / step).fract() == 0.0;
    };
    let places = a_places.max(b_places);
    let scaled = |digits: i128, own: u32| digits.checked_mul(10_i128.checked_pow(places - own)?);
    match (scaled(a, a_places), scaled(b, b_places)) {
        (Some(a), Some(b)) if b != 0 => a % b == 0,
        _ => step != 0.0 && (number / step).fract() == 0.0,
    }
}

/// The digits of a number and how many of them stand after the point.
fn decimal(number: f64) -> Option<(i128, u32)> {
    let text = format!("{number}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    Some((format!("{whole}{fraction}").parse().ok()?, u32::try_from(fraction.len()).ok()?))
}

/// The order of two numbers; those that have none are equal.
pub(super) fn compare(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// As messages print it.
pub(super) fn shown(number: f64) -> String {
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_exact_in_decimal() {
        assert!(is_multiple(0.3, 0.1) && is_multiple(4.5, 1.5) && is_multiple(-10.0, 5.0) && is_multiple(0.0075, 0.0001));
        assert!(!is_multiple(0.35, 0.1) && !is_multiple(7.0, 2.0) && !is_multiple(1.0, 0.0));
    }
}
