//! The digits of numbers, as Go's `strconv` writes them.

/// More digits than any `float64` has behind the point (1074); beyond there are zeros. The formatter of the standard library takes no more than
/// 65535.
const DIGITS: usize = 1100;

/// In which digits an integer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Radix {
    Binary,
    Octal,
    Decimal,
    Hex,
    UpperHex,
}

pub(super) fn append_decimal(out: &mut Vec<u8>, mut magnitude: u64, negative: bool) {
    let mut digits = [0; 21];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (magnitude % 10) as u8;
        magnitude /= 10;
        if magnitude == 0 {
            break;
        }
    }
    if negative {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

pub(super) fn reversed_digits(mut number: u64, radix: Radix) -> Vec<u8> {
    let (base, letters) = match radix {
        Radix::Binary => (2, b"0123456789abcdef"),
        Radix::Octal => (8, b"0123456789abcdef"),
        Radix::Decimal => (10, b"0123456789abcdef"),
        Radix::Hex => (16, b"0123456789abcdef"),
        Radix::UpperHex => (16, b"0123456789ABCDEF"),
    };
    let mut digits = Vec::with_capacity(24);
    loop {
        digits.push(letters[(number % base) as usize]);
        number /= base;
        if number == 0 {
            return digits;
        }
    }
}

/// As `strconv.FormatFloat(number, style, precision, 64)`; no precision is the shortest text that gives the number back.
pub(super) fn format_float(number: f64, style: u8, precision: Option<usize>) -> Vec<u8> {
    if number.is_nan() {
        return b"NaN".to_vec();
    }
    if number.is_infinite() {
        return if number > 0.0 { b"+Inf".to_vec() } else { b"-Inf".to_vec() };
    }
    let mut out = Vec::with_capacity(24);
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = number.abs();
    match style {
        b'b' => {
            let (mantissa, exponent) = parts(magnitude);
            out.extend_from_slice(format!("{mantissa}p{exponent:+}").as_bytes());
        }
        b'x' | b'X' => hexadecimal(&mut out, magnitude, style, precision),
        b'e' | b'E' => {
            let (digits, point) = match precision {
                None => shortest(magnitude),
                Some(precision) => rounded(magnitude, precision + 1),
            };
            let precision = precision.unwrap_or_else(|| digits.len().saturating_sub(1));
            exponential(&mut out, &digits, point, precision, style);
        }
        b'g' | b'G' => {
            let (digits, point) = match precision {
                None => shortest(magnitude),
                Some(precision) => rounded(magnitude, precision.max(1)),
            };
            let exponent = point - 1;
            let limit = match precision {
                None => 6,
                Some(precision) => {
                    let precision = precision.max(1);
                    if precision > digits.len() && digits.len() as i64 >= point { digits.len() as i64 } else { precision as i64 }
                }
            };
            if exponent < -4 || exponent >= limit {
                exponential(&mut out, &digits, point, digits.len().saturating_sub(1), style + b'e' - b'g');
            } else {
                plain(&mut out, &digits, point, (digits.len() as i64 - point).max(0) as usize);
            }
        }
        _ => match precision {
            None => {
                let (digits, point) = shortest(magnitude);
                plain(&mut out, &digits, point, (digits.len() as i64 - point).max(0) as usize);
            }
            Some(precision) => {
                out.extend_from_slice(format!("{magnitude:.*}", precision.min(DIGITS)).as_bytes());
                out.resize(out.len() + precision.saturating_sub(DIGITS), b'0');
            }
        },
    }
    out
}

/// The fewest digits that give the number back, and where the point stands in them. No digits are zero.
fn shortest(magnitude: f64) -> (Vec<u8>, i64) {
    digits_of(&format!("{magnitude:e}"))
}

/// The number rounded to so many digits, without the zeros at the end.
fn rounded(magnitude: f64, count: usize) -> (Vec<u8>, i64) {
    digits_of(&format!("{magnitude:.*e}", count.min(DIGITS) - 1))
}

fn digits_of(scientific: &str) -> (Vec<u8>, i64) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    while digits.last() == Some(&b'0') {
        digits.pop();
    }
    let point = if digits.is_empty() { 0 } else { exponent.parse::<i64>().unwrap_or(0) + 1 };
    (digits, point)
}

fn exponential(out: &mut Vec<u8>, digits: &[u8], point: i64, precision: usize, letter: u8) {
    out.push(digits.first().copied().unwrap_or(b'0'));
    if precision > 0 {
        out.push(b'.');
        let rest = digits.get(1..).unwrap_or_default();
        let rest = &rest[..rest.len().min(precision)];
        out.extend_from_slice(rest);
        out.resize(out.len() + precision - rest.len(), b'0');
    }
    let exponent = if digits.is_empty() { 0 } else { point - 1 };
    out.push(letter);
    out.push(if exponent < 0 { b'-' } else { b'+' });
    out.extend_from_slice(format!("{:02}", exponent.abs()).as_bytes());
}

fn plain(out: &mut Vec<u8>, digits: &[u8], point: i64, precision: usize) {
    let digit = |index: i64| usize::try_from(index).ok().and_then(|index| digits.get(index)).copied().unwrap_or(b'0');
    if point > 0 {
        out.extend((0..point).map(digit));
    } else {
        out.push(b'0');
    }
    if precision > 0 {
        out.push(b'.');
        out.extend((point..point + precision as i64).map(digit));
    }
}

/// The mantissa as an integer and the exponent of two.
fn parts(magnitude: f64) -> (u64, i64) {
    let bits = magnitude.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64;
    let fraction = bits & ((1 << 52) - 1);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

fn hexadecimal(out: &mut Vec<u8>, magnitude: f64, style: u8, precision: Option<usize>) {
    let (mut mantissa, mut exponent) = parts(magnitude);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One bit before the point, sixty behind it.
        let shift = mantissa.leading_zeros() as i64 - 3;
        mantissa <<= shift;
        exponent += 60 - shift;
    }
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let cut = 60 - precision as u32 * 4;
        let half = 1u64 << (cut - 1);
        let rest = mantissa & ((1 << cut) - 1);
        mantissa >>= cut;
        if rest > half || rest == half && mantissa & 1 == 1 {
            mantissa += 1;
        }
        mantissa <<= cut;
        if mantissa >> 61 & 1 == 1 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let upper = style == b'X';
    out.push(b'0');
    out.push(style);
    out.push(b'0' + (mantissa >> 60 & 1) as u8);
    let fraction = mantissa & ((1 << 60) - 1);
    let mut digits = format!("{fraction:015x}").into_bytes();
    match precision {
        None => {
            while digits.last() == Some(&b'0') {
                digits.pop();
            }
        }
        Some(precision) => digits.resize(precision, b'0'),
    }
    if !digits.is_empty() {
        out.push(b'.');
        if upper {
            digits.make_ascii_uppercase();
        }
        out.extend_from_slice(&digits);
    }
    out.push(if upper { b'P' } else { b'p' });
    out.push(if exponent < 0 { b'-' } else { b'+' });
    out.extend_from_slice(format!("{:02}", exponent.abs()).as_bytes());
}

/// What the flag `#` does: there is a point, and `%#g` keeps the zeros at the end. `made` begins with a sign.
pub(super) fn keep_point(made: &mut Vec<u8>, style: u8, precision: Option<usize>) {
    let mut digits = match style {
        b'g' | b'G' | b'x' => precision.unwrap_or(6) as i64,
        _ => 0,
    };
    let hexadecimal = style == b'x' || style == b'X';
    let tail_at = made
        .iter()
        .skip(1)
        .position(|byte| matches!(byte, b'p' | b'P') || matches!(byte, b'e' | b'E') && !hexadecimal)
        .map_or(made.len(), |index| index + 1);
    let tail = made.split_off(tail_at);
    let mut significant = false;
    for byte in made[1..].iter().filter(|byte| **byte != b'.') {
        significant |= *byte != b'0';
        digits -= i64::from(significant);
    }
    if !made.contains(&b'.') {
        if made[1..] == *b"0" {
            digits -= 1;
        }
        made.push(b'.');
    }
    made.resize(made.len() + digits.max(0) as usize, b'0');
    made.extend_from_slice(&tail);
}
