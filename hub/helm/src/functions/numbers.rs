//! Numbers in texts, as Go's `strconv` reads them.

/// Why a text is no whole number of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is no number.
    Syntax,
    /// It is beyond the number given, which is the nearest.
    Range(i64),
}

/// `strconv.ParseInt(text, base, 64)`, for bases up to 16. With base 0 a prefix tells the base, a leading zero means octal, and `_` may separate
/// digits.
pub(super) fn parse_int(text: &[u8], base: u32) -> Result<i64, Unread> {
    let (negative, digits) = match text {
        [b'+', digits @ ..] => (false, digits),
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let beyond = Unread::Range(if negative { i64::MIN } else { i64::MAX });
    match i128::from(parse_unsigned(digits, base, beyond)?) {
        number if negative => i64::try_from(-number).map_err(|_| beyond),
        number => i64::try_from(number).map_err(|_| beyond),
    }
}

fn parse_unsigned(text: &[u8], base: u32, beyond: Unread) -> Result<u64, Unread> {
    let (radix, digits) = match (base, text) {
        (_, []) => return Err(Unread::Syntax),
        (0, [b'0', b'b' | b'B', digits @ ..]) if !digits.is_empty() => (2, digits),
        (0, [b'0', b'o' | b'O', digits @ ..]) if !digits.is_empty() => (8, digits),
        (0, [b'0', b'x' | b'X', digits @ ..]) if !digits.is_empty() => (16, digits),
        (0, [b'0', digits @ ..]) => (8, digits),
        (0, digits) => (10, digits),
        (base, digits) => (base, digits),
    };
    let mut number = 0_u64;
    for &byte in digits {
        if byte == b'_' && base == 0 {
            continue;
        }
        let digit = char::from(byte).to_digit(radix).ok_or(Unread::Syntax)?;
        number = number.checked_mul(radix.into()).and_then(|number| number.checked_add(digit.into())).ok_or(beyond)?;
    }
    if digits.contains(&b'_') && !separates_digits(text) { Err(Unread::Syntax) } else { Ok(number) }
}

/// Whether each `_` is between digits, or between the prefix of a base and a digit.
fn separates_digits(unsigned: &[u8]) -> bool {
    let prefix = matches!(unsigned, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let hexadecimal = matches!(unsigned, [b'0', b'x' | b'X', ..]);
    let is_digit = |byte: u8| byte.is_ascii_digit() || hexadecimal && byte.is_ascii_hexdigit();
    (0..unsigned.len()).filter(|&at| unsigned[at] == b'_').all(|at| {
        let after_digit = at > 0 && (is_digit(unsigned[at - 1]) || prefix && at == 2);
        after_digit && unsigned.get(at + 1).is_some_and(|&next| is_digit(next))
    })
}

/// `strconv.ParseFloat(text, 64)`; `None` where it gives an error, so also for numbers beyond the largest.
pub(super) fn parse_float(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    if unsigned.eq_ignore_ascii_case("inf") || unsigned.eq_ignore_ascii_case("infinity") {
        return Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    if text.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    if unsigned.contains('_') && !separates_digits(unsigned.as_bytes()) {
        return None;
    }
    let plain = unsigned.replace('_', "");
    let number = match plain.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => hexadecimal(digits)?,
        [b'0'..=b'9' | b'.', ..] => plain.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(if negative { -number } else { number })
}

/// The value of `1.8p-3`: hexadecimal digits, then a power of two, which must be there.
fn hexadecimal(digits: &[u8]) -> Option<f64> {
    let power = digits.iter().position(|&byte| matches!(byte, b'p' | b'P'))?;
    let (mantissa, exponent) = (&digits[..power], std::str::from_utf8(&digits[power + 1..]).ok()?);
    if !exponent.trim_start_matches(['+', '-']).bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut exponent = exponent.parse::<i64>().ok()?.clamp(-100_000, 100_000);
    let (mut number, mut any, mut in_fraction) = (0_u128, false, false);
    for &byte in mantissa {
        if byte == b'.' && !in_fraction {
            in_fraction = true;
            continue;
        }
        let digit = char::from(byte).to_digit(16)?;
        any = true;
        if in_fraction {
            exponent -= 4;
        }
        if number >> 112 == 0 {
            number = number << 4 | u128::from(digit);
        } else {
            // Far beyond what a float64 holds: only whether it is exactly half way matters.
            number |= u128::from(digit != 0);
            exponent += 4;
        }
    }
    any.then(|| scaled(number as f64, exponent))
}

/// `number` times two to the power of `exponent`.
pub(super) fn scaled(mut number: f64, mut exponent: i64) -> f64 {
    /// The largest power of two whose reciprocal is a normal number too.
    const STEP: i64 = 1022;
    while exponent > STEP && number.is_finite() && number != 0.0 {
        number *= f64::from_bits(((STEP + 1023) as u64) << 52);
        exponent -= STEP;
    }
    while exponent < -STEP && number != 0.0 {
        number *= f64::from_bits(((1023 - STEP) as u64) << 52);
        exponent += STEP;
    }
    number * f64::from_bits(((exponent.clamp(-STEP, STEP) + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_as_go_reads_them() {
        let cases: &[(&str, u32, Result<i64, Unread>)] = &[
            ("1_000", 0, Ok(1000)),
            ("1__0", 0, Err(Unread::Syntax)),
            ("1_0", 10, Err(Unread::Syntax)),
            ("0x_1F", 0, Ok(31)),
            ("-0b11", 0, Ok(-3)),
            ("010", 0, Ok(8)),
            ("08", 0, Err(Unread::Syntax)),
            ("0", 0, Ok(0)),
            ("0x", 0, Err(Unread::Syntax)),
            ("", 10, Err(Unread::Syntax)),
            ("-", 10, Err(Unread::Syntax)),
            ("-9223372036854775808", 10, Ok(i64::MIN)),
            ("9223372036854775808", 10, Err(Unread::Range(i64::MAX))),
            ("-99999999999999999999", 10, Err(Unread::Range(i64::MIN))),
        ];
        for &(text, base, ref wanted) in cases {
            assert_eq!(&parse_int(text.as_bytes(), base), wanted, "{text}");
        }
    }

    #[test]
    fn floats_are_read_as_go_reads_them() {
        let cases: &[(&str, Option<f64>)] = &[
            ("1_000.5", Some(1000.5)),
            ("0x1p4", Some(16.0)),
            ("0x_1.8p-1", Some(0.75)),
            ("0x1F", None),
            ("1e400", None),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            (".", None),
            ("1e", None),
            ("", None),
            ("_1", None),
            ("0x1p-1074", Some(5e-324)),
        ];
        for &(text, wanted) in cases {
            assert_eq!(parse_float(text.as_bytes()), wanted, "{text}");
        }
    }
}
