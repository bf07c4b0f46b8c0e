//! Random text, drawn from the secret of the fleet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hub_gotemplate::{Args, Call, CallError, Function, Type, Value};
use zeroize::Zeroizing;

use super::{function, panics};
use crate::host::Host;

/// The random functions of sprig.
pub(super) const FUNCTIONS: &[Function] = &[
    function("randAlphaNum", &[Type::Int], |call, args| characters(call, args, "randAlphaNum", &Alphabet::ALPHANUMERIC)),
    function("randAlpha", &[Type::Int], |call, args| characters(call, args, "randAlpha", &Alphabet::LETTERS)),
    function("randNumeric", &[Type::Int], |call, args| characters(call, args, "randNumeric", &Alphabet::DIGITS)),
    function("randAscii", &[Type::Int], |call, args| characters(call, args, "randAscii", &Alphabet::PRINTABLE)),
    function("randBytes", &[Type::Int], rand_bytes),
    function("randInt", &[Type::Int, Type::Int], rand_int),
    function("shuffle", &[Type::Text], shuffle),
    function("uuidv4", &[], uuidv4),
];

/// The characters that a text is made of.
struct Alphabet(fn(u8) -> bool);

impl Alphabet {
    const ALPHANUMERIC: Self = Self(|byte| byte.is_ascii_alphanumeric());
    const LETTERS: Self = Self(|byte| byte.is_ascii_alphabetic());
    const DIGITS: Self = Self(|byte| byte.is_ascii_digit());
    const PRINTABLE: Self = Self(|byte| (b' '..0x7F).contains(&byte));
}

/// The longest random text: a hundred times what a Secret may hold is of no use.
const LONGEST: i64 = 1 << 20;

/// So many characters, as a length; sprig gives the empty text where there cannot be so many.
fn length(call: &mut Call<'_>, count: i64) -> Result<usize, CallError> {
    if count > LONGEST {
        return Err(CallError::failed(format!("{count} random characters are more than {LONGEST}")));
    }
    let length = usize::try_from(count).unwrap_or(0);
    // A character takes about as long as four steps.
    call.spend(4 * length)?;
    Ok(length)
}

fn characters(call: &mut Call<'_>, args: Args<'_>, function: &'static str, alphabet: &Alphabet) -> Result<Value, CallError> {
    let length = length(call, args.int(0))?;
    let letters: Vec<u8> = (0..0x80).filter(|byte| alphabet.0(*byte)).collect();
    let mut stream = Host::of(call).stream(function)?;
    let text: Vec<u8> = (0..length).map(|_| letters[stream.below(letters.len() as u64) as usize]).collect();
    Ok(Value::Text(text.into()))
}

fn rand_bytes(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    if args.int(0) < 0 {
        return Err(panics::impossible_length());
    }
    let mut bytes = Zeroizing::new(vec![0; length(call, args.int(0))?]);
    Host::of(call).stream("randBytes")?.fill(&mut bytes);
    Ok(Value::text(STANDARD.encode(&*bytes)))
}

fn rand_int(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let (least, limit) = (args.int(0), args.int(1));
    let count = limit.wrapping_sub(least);
    if count <= 0 {
        return Err(CallError::failed("invalid argument to Intn"));
    }
    let drawn = Host::of(call).stream("randInt")?.below(count.unsigned_abs());
    Ok(Value::Int(least.wrapping_add_unsigned(drawn)))
}

/// The characters of a text in another order.
fn shuffle(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let text = args.text(0);
    call.spend(4 * text.len())?;
    let mut characters: Vec<char> = text.to_str().chars().collect();
    let mut stream = Host::of(call).stream("shuffle")?;
    for last in (1..characters.len()).rev() {
        characters.swap(last, stream.below(last as u64 + 1) as usize);
    }
    Ok(Value::text(characters.into_iter().collect::<String>()))
}

/// A UUID of version 4 and the variant of RFC 9562.
fn uuidv4(call: &mut Call<'_>, _: Args<'_>) -> Result<Value, CallError> {
    let mut bytes = Host::of(call).stream("uuidv4")?.bytes::<16>();
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let number = u128::from_be_bytes(*bytes);
    let digits = format!("{number:032x}");
    Ok(Value::text(format!("{}-{}-{}-{}-{}", &digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..])))
}
