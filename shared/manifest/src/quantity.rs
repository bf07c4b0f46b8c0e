//! Kubernetes quantities (`500m`, `1Gi`, `2e3`), as far as two of them are compared.

use serde_json::Value;

/// Whether two values are the same quantity in different spellings. What is no quantity equals nothing.
pub(crate) fn same_quantity(a: &Value, b: &Value) -> bool {
    match (nano(a), nano(b)) {
        (Some(a), Some(b)) => a == b,
        _ => false,
    }
}

/// The quantity in whole units, rounded up as Kubernetes does it (`Quantity.Value`); `None` for what is no quantity, or below zero.
pub fn whole_quantity(value: &Value) -> Option<u64> {
    const ONE: i128 = 1_000_000_000;
    let nano = nano(value).filter(|nano| *nano >= 0)?;
    u64::try_from((nano + (ONE - 1)) / ONE).ok()
}

/// The quantity in billionths, the finest that Kubernetes keeps; it rounds up what is finer.
fn nano(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

/// `<signedNumber><suffix>` of `k8s.io/apimachinery/pkg/api/resource`.
fn parse(text: &str) -> Option<i128> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits: String = [whole, fraction].concat();
    let digits = digits.trim_start_matches('0');
    let mut mantissa: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let (binary, decimal) = scale(suffix)?;
    for _ in 0..binary {
        mantissa = mantissa.checked_mul(1024)?;
    }
    let exponent = decimal.checked_add(9)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(exponent.unsigned_abs());
    let magnitude = match (exponent >= 0, power) {
        (true, Some(power)) => mantissa.checked_mul(power)?,
        (false, Some(power)) => mantissa / power + i128::from(mantissa % power != 0),
        (true, None) if mantissa != 0 => return None,
        (true, None) => 0,
        (false, None) => i128::from(mantissa != 0),
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Powers of 1024 and of 10 that a suffix stands for.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (1, 0),
        "Mi" => (2, 0),
        "Gi" => (3, 0),
        "Ti" => (4, 0),
        "Pi" => (5, 0),
        "Ei" => (6, 0),
        _ => (0, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whole_units_are_rounded_up() {
        let whole = |value: Value| whole_quantity(&value);
        assert_eq!(
            [whole("8".into()), whole(8.into()), whole("1k".into()), whole("1500m".into()), whole("1Ki".into())],
            [8, 8, 1_000, 2, 1_024].map(Some)
        );
        assert_eq!([whole("-1".into()), whole("many".into()), whole(Value::Null)], [None; 3]);
    }

    #[test]
    fn spellings_of_one_quantity_are_equal() {
        for (a, b) in [
            (json!("1000m"), json!("1")),
            (json!("1Gi"), json!("1024Mi")),
            (json!(1), json!("1")),
            (json!("0.5"), json!("500m")),
            (json!(".5"), json!("500m")),
            (json!(0.5), json!("500m")),
            (json!("1e3"), json!("1k")),
            (json!("1E3"), json!("1000")),
            (json!("1.5Gi"), json!("1536Mi")),
            (json!("0.1n"), json!("1n")),
            (json!("-1"), json!("-1000m")),
            (json!("0"), json!("0Gi")),
            (json!("8E"), json!("8000P")),
        ] {
            assert!(same_quantity(&a, &b), "{a} {b}");
        }
    }

    #[test]
    fn different_quantities_and_other_text_are_not() {
        for (a, b) in [
            (json!("1G"), json!("1Gi")),
            (json!("1"), json!("1k")),
            (json!("abc"), json!("abc")),
            (json!(""), json!("0")),
            (json!("1.2.3"), json!("1.23")),
            (json!("1e999999999"), json!("1")),
            (json!("1Zi"), json!("1")),
            (json!(true), json!("1")),
        ] {
            assert!(!same_quantity(&a, &b), "{a} {b}");
        }
    }
}
