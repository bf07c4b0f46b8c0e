//! Base 64 and base 32, with the places of errors that Go tells. A text that cannot be decoded becomes the message itself, as in sprig.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_gotemplate::{Args, Call, CallError, Function, Text, Type, Value};

use super::function;

/// The encodings of sprig.
pub(super) const FUNCTIONS: &[Function] = &[
    function("b64enc", &[Type::Text], |call, args| {
        call.spend(args.text(0).len())?;
        Ok(Value::text(STANDARD.encode(args.text(0))))
    }),
    function("b64dec", &[Type::Text], |call, args| decoded(call, args, base64_decode, "base64")),
    function("b32enc", &[Type::Text], |call, args| {
        call.spend(args.text(0).len())?;
        Ok(Value::text(base32_encode(args.text(0))))
    }),
    function("b32dec", &[Type::Text], |call, args| decoded(call, args, base32_decode, "base32")),
];

/// The bytes, or where the input goes wrong.
type Decoded = Result<Vec<u8>, usize>;

fn decoded(call: &mut Call<'_>, args: Args<'_>, decode: fn(&[u8]) -> Decoded, name: &str) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    Ok(match decode(args.text(0)) {
        Ok(bytes) => Value::Text(Text::from(bytes)),
        Err(at) => Value::text(format!("illegal {name} data at input byte {at}")),
    })
}

/// Decodes with padding; line breaks do not count. An error is the place that Go tells.
pub(super) fn base64_decode(text: &[u8]) -> Decoded {
    // Almost every text is of the plain form; the rest finds the place of an error, or is broken into lines.
    STANDARD.decode(text).or_else(|_| base64_decode_by_quantum(text))
}

fn base64_decode_by_quantum(text: &[u8]) -> Decoded {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    let skip_breaks = |mut at: usize| {
        while matches!(text.get(at), Some(b'\n' | b'\r')) {
            at += 1;
        }
        at
    };
    loop {
        let mut quantum = 0_u32;
        let mut filled = 0;
        while filled < 4 {
            let Some(&byte) = text.get(at) else {
                return if filled == 0 { Ok(bytes) } else { Err(at - filled) };
            };
            at += 1;
            match byte {
                b'\n' | b'\r' => {}
                b'=' => {
                    if filled < 2 {
                        return Err(at - 1);
                    }
                    if filled == 2 {
                        at = skip_breaks(at);
                        match text.get(at) {
                            None => return Err(text.len()),
                            Some(b'=') => at += 1,
                            Some(_) => return Err(at - 1),
                        }
                    }
                    at = skip_breaks(at);
                    if at < text.len() {
                        return Err(at);
                    }
                    let padded = quantum << (6 * (4 - filled));
                    bytes.extend(&padded.to_be_bytes()[1..filled]);
                    return Ok(bytes);
                }
                _ => {
                    quantum = quantum << 6 | base64_digit(byte).ok_or(at - 1)?;
                    filled += 1;
                }
            }
        }
        bytes.extend(&quantum.to_be_bytes()[1..]);
    }
}

fn base64_digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

fn base32_encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut quantum = [0; 8];
        quantum[3..3 + chunk.len()].copy_from_slice(chunk);
        let quantum = u64::from_be_bytes(quantum);
        let written = (chunk.len() * 8).div_ceil(5);
        for place in 0..8 {
            let digit = (quantum >> (35 - 5 * place)) as usize & 31;
            text.push(if place < written { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

pub(super) fn base32_decode(text: &[u8]) -> Decoded {
    let text: Vec<u8> = text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    let mut bytes = Vec::with_capacity(text.len() / 8 * 5);
    for (number, chunk) in text.chunks(8).enumerate() {
        let start = number * 8;
        let is_last = start + 8 >= text.len();
        let mut quantum = 0_u64;
        let mut filled = 0;
        for (place, &byte) in chunk.iter().enumerate() {
            if byte == b'=' && place >= 2 && is_last {
                if chunk.len() < 8 {
                    return Err(text.len());
                }
                if let Some(wrong) = chunk[place..].iter().position(|&byte| byte != b'=') {
                    // Go counts from the byte after the first padding.
                    return Err(start + place + wrong - 1);
                }
                if matches!(place, 3 | 6) {
                    return Err(start + place);
                }
                break;
            }
            let digit = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'2'..=b'7' => byte - b'2' + 26,
                _ => return Err(start + place),
            };
            quantum = quantum << 5 | u64::from(digit);
            filled += 1;
        }
        if filled == chunk.len() && filled < 8 {
            return Err(start);
        }
        let padded = quantum << (40 - 5 * filled);
        bytes.extend(&padded.to_be_bytes()[3..3 + filled * 5 / 8]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_decoded_is_placed_where_go_places_it() {
        for (text, place) in [
            ("YQ", 0),
            ("YWJjYQ", 4),
            ("Y", 0),
            ("YQ=", 3),
            ("YQ=x", 2),
            ("=", 0),
            ("Y===", 1),
            ("YQ==x", 4),
            ("YWJj!", 4),
            ("YW Jj", 2),
            ("YWJ=\nx", 5),
        ] {
            assert_eq!(base64_decode(text.as_bytes()), Err(place), "{text:?}");
        }
        for (text, place) in [
            ("a", 0),
            ("MFRGG", 0),
            ("MFRGGZDF1", 8),
            ("MFRGGZDFMF", 8),
            ("ME=", 3),
            ("ME=====x", 6),
            ("MFR=====", 3),
            ("M=======", 1),
            ("MFRGGZ==", 6),
        ] {
            assert_eq!(base32_decode(text.as_bytes()), Err(place), "{text:?}");
        }
    }

    #[test]
    fn decoding_undoes_encoding_also_over_line_breaks() {
        for length in 0..20_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37) ^ 0x5A).collect();
            let broken = |text: String| text.chars().flat_map(|c| [c, '\n']).collect::<String>().into_bytes();
            assert_eq!(base64_decode(&broken(STANDARD.encode(&bytes))), Ok(bytes.clone()));
            assert_eq!(base32_decode(&broken(base32_encode(&bytes))), Ok(bytes.clone()));
            assert_eq!(base32_decode(base32_encode(&bytes).as_bytes()), Ok(bytes));
        }
    }
}
