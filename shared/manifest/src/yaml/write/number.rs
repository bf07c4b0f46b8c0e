//! Numbers as kustomize prints them. On their way they are JSON, in which a float without fraction is an integer if 64 bits hold it; what stays a
//! float is printed with the fewest digits that read back, in scientific notation from a million on and below a ten-thousandth.

use serde_json::Number;

use super::Audience;
use crate::yaml::YamlMode;
use crate::yaml::scalar::{self, Plain};

/// Appends a number, given in any notation that YAML has.
#[inline]
pub(super) fn write(out: &mut String, text: &str, audience: Audience) {
    if is_decimal(text) { out.push_str(text) } else { out.push_str(&printed(text, audience)) }
}

/// Whether a number is written in the one way in which it is printed: decimal digits without a zero in front, surely within 64 bits.
fn is_decimal(text: &str) -> bool {
    /// 10^18 - 1 is below 2^63.
    const DIGITS: usize = 18;
    match text.strip_prefix('-').unwrap_or(text).as_bytes() {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.len() < DIGITS && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn printed(text: &str, audience: Audience) -> String {
    match scalar::resolve(text, YamlMode::Kustomize) {
        Plain::Int(number) => number.to_string(),
        // Go fills up the digits that tell a float from others with zeros.
        Plain::Float(number) if audience == Audience::Kustomize => float(number),
        Plain::Float(number) => scalar::number(number).as_i128().map_or_else(|| float(number), |integer| integer.to_string()),
        // What is no number has no value either: see `Tree::to_value`.
        _ => "null".to_owned(),
    }
}

fn float(number: f64) -> String {
    // Of two shortest texts that are equally near, JSON's writer takes the even one, as Go does; `f64`'s own `Display` takes the upper one.
    let Some(shortest) = Number::from_f64(number) else { return "null".to_owned() };
    let shortest = shortest.to_string();
    let (sign, magnitude) = shortest.strip_prefix('-').map_or(("", shortest.as_str()), |magnitude| ("-", magnitude));
    let (digits, exponent) = scientific(magnitude);
    if let Some(zeros) = usize::try_from(exponent).ok().and_then(|exponent| (exponent + 1).checked_sub(digits.len()))
        && let Ok(whole) = format!("{sign}{digits}{:0<zeros$}", "").parse::<i128>()
        && (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&whole)
    {
        return whole.to_string();
    }
    if (-4..6).contains(&exponent) {
        return shortest;
    }
    let (first, others) = digits.split_at(1);
    let point = if others.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{others}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The digits of a decimal text, without zeros at the ends, and the exponent of the first: `0.0120` is `12`, -2. Zero is `0`, 0.
fn scientific(magnitude: &str) -> (String, i32) {
    let (mantissa, exponent) = magnitude.split_once('e').unwrap_or((magnitude, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    if digits.is_empty() {
        return ("0".to_owned(), 0);
    }
    let zeros = all.len() - digits.len();
    // A float has at most 309 digits before and 324 after the point.
    (digits.trim_end_matches('0').to_owned(), exponent + whole.len() as i32 - 1 - zeros as i32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_printed_as_go_does_on_the_way_through_json() {
        for (written, printed) in [
            ("0", "0"),
            ("-0", "0"),
            ("007", "7"),
            ("0x1F", "31"),
            ("1_000", "1000"),
            ("1.50", "1.5"),
            ("-0.0", "0"),
            ("1e6", "1000000"),
            ("999999.5", "999999.5"),
            ("1234567.5", "1.2345675e+06"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("9223372036854775807", "9223372036854775807"),
            ("1e19", "10000000000000000000"),
            ("18446744073709549568.0", "18446744073709550000"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("-1e19", "-1e+19"),
            ("1e20", "1e+20"),
            ("979875214924630.25", "9.798752149246302e+14"),
            ("5e-324", "5e-324"),
        ] {
            let mut out = String::new();
            super::write(&mut out, written, super::Audience::Kustomize);
            assert_eq!(out, printed, "{written}");
        }
    }
}
