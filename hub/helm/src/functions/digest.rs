//! Digests as text: hexadecimal, and Adler's as a decimal number.

use std::fmt::Write as _;

use hub_gotemplate::{Args, Call, CallError, Function, Type, Value};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA512, digest};

use super::function;

/// The digests of sprig.
pub(super) const FUNCTIONS: &[Function] = &[
    function("sha1sum", &[Type::Text], |call, args| hexadecimal(call, args, &SHA1_FOR_LEGACY_USE_ONLY)),
    function("sha256sum", &[Type::Text], |call, args| hexadecimal(call, args, &SHA256)),
    function("sha512sum", &[Type::Text], |call, args| hexadecimal(call, args, &SHA512)),
    function("adler32sum", &[Type::Text], |call, args| {
        call.spend(args.text(0).len())?;
        Ok(Value::text(adler32(args.text(0)).to_string()))
    }),
];

fn hexadecimal(call: &mut Call<'_>, args: Args<'_>, algorithm: &'static Algorithm) -> Result<Value, CallError> {
    call.spend(args.text(0).len())?;
    let mut text = String::with_capacity(2 * algorithm.output_len());
    for byte in digest(algorithm, args.text(0)).as_ref() {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Value::text(text))
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), &byte| {
        let a = (a + u32::from(byte)) % MODULUS;
        (a, (b + a) % MODULUS)
    });
    b << 16 | a
}
