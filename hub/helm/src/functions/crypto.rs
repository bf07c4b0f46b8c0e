//! Passwords and ciphers: bcrypt for `htpasswd` files, the master password algorithm, AES in CBC mode. Salts come from the secret of the fleet.

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use hub_gotemplate::{Args, Call, CallError, Function, Text, Type, Value};
use ring::hmac;
use zeroize::Zeroizing;

use super::encoding::base64_decode;
use super::function;
use super::keys::{PrivateKey, RsaSize};
use crate::host::Host;

/// The password and cipher functions of sprig.
pub(super) const FUNCTIONS: &[Function] = &[
    function("bcrypt", &[Type::Text], |call, args| bcrypt(call, "bcrypt", args.text(0)).map(Value::text)),
    function("htpasswd", &[Type::Text, Type::Text], htpasswd),
    function("derivePassword", &[Type::Uint32, Type::Text, Type::Text, Type::Text, Type::Text], derive_password),
    function("encryptAES", &[Type::Text, Type::Text], encrypt),
    function("decryptAES", &[Type::Text, Type::Text], decrypt),
    function("genPrivateKey", &[Type::Text], generate_private_key),
];

/// What hashing a password takes of the work of a render, of which a processor does 24 million steps a second: 60 milliseconds for bcrypt, 150 for
/// scrypt. A render has room for 27 passwords.
const BCRYPT_STEPS: u64 = 1_440_000;
const SCRYPT_STEPS: u64 = 3_600_000;
/// What making a key takes: in the mean 40 milliseconds for one of 2,048 bits, so that a render has room for forty, and 420 for one of 4,096, so that
/// it has room for three and ten of the others. To look for primes is a lottery: one key in ten takes nearly twice as long.
pub(super) const RSA_2048_STEPS: u64 = 1_000_000;
const RSA_4096_STEPS: u64 = 10_000_000;

/// A bcrypt hash of the default cost of Go, 10, with the salt from chance.
fn bcrypt(call: &mut Call<'_>, function: &'static str, password: &Text) -> Result<String, CallError> {
    const COST: u32 = 10;
    /// What Blowfish takes as a key.
    const LONGEST: usize = 72;
    if password.len() > LONGEST {
        return Ok(format!("failed to encrypt string with bcrypt: bcrypt: password length exceeds {LONGEST} bytes"));
    }
    Host::of(call).work(BCRYPT_STEPS)?;
    let mut stream = Host::of(call).stream(function)?;
    let salt = *stream.bytes::<16>();
    // The zero byte that ends a password in C is of the key, as far as there is room.
    let mut key = Zeroizing::new(password.to_vec());
    key.push(0);
    key.truncate(LONGEST);
    // The salt is of the stream, so that stream and password together say what comes out.
    let hash = Host::of(call).made(&mut stream.branch(&key), |_| Zeroizing::new(::bcrypt::bcrypt(COST, salt, &key).to_vec()));
    let alphabet = GeneralPurpose::new(&base64::alphabet::BCRYPT, NO_PAD);
    // The last of the 24 bytes is left out everywhere.
    Ok(format!("$2a${COST}${}{}", alphabet.encode(salt), alphabet.encode(&hash[..23])))
}

fn htpasswd(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let user = args.text(0);
    if user.contains(&b':') {
        return Ok(Value::text([b"invalid username: ", user.as_bytes()].concat()));
    }
    let hash = bcrypt(call, "htpasswd", args.text(1))?;
    Ok(Value::text([user.as_bytes(), b":", hash.as_bytes()].concat()))
}

/// Templates of passwords by type: each letter is a class of characters.
const PASSWORD_TEMPLATES: [(&str, &[&str]); 6] = [
    ("maximum", &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"]),
    (
        "long",
        &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
    ),
    ("medium", &["CvcnoCvc", "CvcCvcno"]),
    ("short", &["Cvcn"]),
    ("basic", &["aaanaaan", "aannaaan", "aaannaaa"]),
    ("pin", &["nnnn"]),
];

fn class(letter: u8) -> &'static [u8] {
    match letter {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

/// The master password algorithm: a password of a site from one for all.
fn derive_password(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    const NAME: &[u8] = b"com.lyndir.masterpassword";
    let counter = args.uint32(0);
    let kind = args.text(1).to_str();
    let Some((_, templates)) = PASSWORD_TEMPLATES.iter().find(|(name, _)| *name == kind) else {
        return Ok(Value::text(format!("cannot find password template {kind}")));
    };
    let (password, user, site) = (args.text(2), args.text(3), args.text(4));
    Host::of(call).work(SCRYPT_STEPS)?;
    call.spend(password.len() + user.len() + site.len())?;
    let length = |text: &Text| (text.len() as u32).to_be_bytes();
    let parameters = scrypt::Params::new(15, 8, 2).map_err(|error| CallError::failed(format!("failed to derive password: {error}")))?;
    let mut key = Zeroizing::new([0; 64]);
    scrypt::scrypt(password, &[NAME, &length(user), user].concat(), &parameters, &mut *key)
        .map_err(|error| CallError::failed(format!("failed to derive password: {error}")))?;
    let message = [NAME, &length(site), site, &counter.to_be_bytes()].concat();
    let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &*key), &message);
    let seed = seed.as_ref();
    let template = templates[usize::from(seed[0]) % templates.len()];
    // A template is shorter than the 31 bytes that are left.
    let drawn = template.bytes().zip(&seed[1..]).map(|(letter, byte)| class(letter)[usize::from(*byte) % class(letter).len()]);
    Ok(Value::Text(drawn.collect::<Vec<_>>().into()))
}

const BLOCK: usize = 16;

fn cipher(password: &[u8]) -> Aes256 {
    let mut key = Zeroizing::new([0; 32]);
    let length = password.len().min(key.len());
    key[..length].copy_from_slice(&password[..length]);
    Aes256::new(&(*key).into())
}

fn encrypt(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let text = args.text(1);
    if text.is_empty() {
        return Ok(Value::text(""));
    }
    call.spend(text.len())?;
    let mut previous = *Host::of(call).stream("encryptAES")?.bytes::<BLOCK>();
    let cipher = cipher(args.text(0));
    let padding = BLOCK - text.len() % BLOCK;
    let mut plain = Zeroizing::new(text.to_vec());
    plain.extend(std::iter::repeat_n(padding as u8, padding));
    let mut encrypted = previous.to_vec();
    for block in plain.chunks(BLOCK) {
        let mut mixed = previous;
        mixed.iter_mut().zip(block).for_each(|(byte, plain)| *byte ^= plain);
        let mut mixed = mixed.into();
        cipher.encrypt_block(&mut mixed);
        previous = mixed.into();
        encrypted.extend(previous);
    }
    Ok(Value::text(STANDARD.encode(encrypted)))
}

fn decrypt(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    let text = args.text(1);
    if text.is_empty() {
        return Ok(Value::text(""));
    }
    call.spend(text.len())?;
    let bytes = base64_decode(text).map_err(|at| CallError::failed(format!("illegal base64 data at input byte {at}")))?;
    let Some((mut previous, encrypted)) = bytes.split_first_chunk::<BLOCK>().map(|(first, rest)| (*first, rest)) else {
        return Err(CallError::failed(format!("runtime error: slice bounds out of range [:{BLOCK}] with capacity {}", text.len() / 4 * 3)));
    };
    if encrypted.len() % BLOCK != 0 {
        return Err(CallError::failed("crypto/cipher: input not full blocks"));
    }
    let cipher = cipher(args.text(0));
    let mut plain = Vec::with_capacity(encrypted.len());
    for block in encrypted.as_chunks::<BLOCK>().0 {
        let mut mixed = (*block).into();
        cipher.decrypt_block(&mut mixed);
        let mixed: [u8; BLOCK] = mixed.into();
        plain.extend(mixed.iter().zip(previous).map(|(byte, before)| byte ^ before));
        previous = *block;
    }
    let Some(&padding) = plain.last() else { return Err(CallError::failed("runtime error: index out of range [-1]")) };
    let Some(length) = plain.len().checked_sub(usize::from(padding)) else {
        let end = plain.len() as i64 - i64::from(padding);
        return Err(CallError::failed(format!("runtime error: slice bounds out of range [:{end}]")));
    };
    plain.truncate(length);
    Ok(Value::Text(plain.into()))
}

fn generate_private_key(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    const FUNCTION: &str = "genPrivateKey";
    let key = match args.text(0).as_bytes() {
        b"" | b"rsa" => {
            Host::of(call).work(RSA_4096_STEPS)?;
            PrivateKey::make_rsa(Host::of(call), &Host::of(call).stream(FUNCTION)?, RsaSize::Bits4096)
        }
        b"ecdsa" => PrivateKey::make_ecdsa(&mut Host::of(call).stream(FUNCTION)?),
        b"ed25519" => PrivateKey::make_ed25519(&mut Host::of(call).stream(FUNCTION)?),
        b"dsa" => {
            return Err(CallError::failed(
                "no keys of DSA are made here, which hardly anything takes any more; ask for ecdsa, ed25519 or rsa, or give a key as a value",
            ));
        }
        other => return Ok(Value::text([b"Unknown type ", other].concat())),
    };
    Ok(Value::text(key.to_pem()))
}
