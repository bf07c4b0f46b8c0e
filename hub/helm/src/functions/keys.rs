//! Private keys: made from bytes of chance, read from PEM, written as PEM, and used to sign. RSA, ECDSA over P-256, and Ed25519; every signature is
//! determined by key and message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul as _, NonZero, Odd, Resize as _};
use p256::ecdsa::signature::Signer as _;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::der::{self, Elements, sequence, unsigned};
use super::encoding::base64_decode;
use super::primes::prime;
use crate::chance::Stream;
use crate::host::Host;

/// How long the modulus of a new RSA key is.
#[derive(Debug, Clone, Copy)]
pub(super) enum RsaSize {
    Bits2048,
    Bits4096,
}

/// A private key.
pub(super) enum PrivateKey {
    Rsa(Box<RsaKey>),
    Ecdsa(Box<p256::ecdsa::SigningKey>),
    /// By its seed.
    Ed25519(Zeroizing<[u8; 32]>),
}

/// The numbers of an RSA key, in the order of PKCS #1: modulus, public exponent, private exponent, both primes, the private exponent modulo each
/// prime less one, and the inverse of the second prime modulo the first.
pub(super) struct RsaKey(Zeroizing<[Vec<u8>; 8]>);

/// Object identifiers, as DER has their content.
mod oid {
    /// rsaEncryption, 1.2.840.113549.1.1.1
    pub(super) const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
    /// sha256WithRSAEncryption, 1.2.840.113549.1.1.11
    pub(super) const RSA_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B];
    /// id-ecPublicKey, 1.2.840.10045.2.1
    pub(super) const EC: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
    /// prime256v1, 1.2.840.10045.3.1.7
    pub(super) const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    /// ecdsa-with-SHA256, 1.2.840.10045.4.3.2
    pub(super) const ECDSA_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
    /// Ed25519, 1.3.101.112
    pub(super) const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
    /// sha256, 2.16.840.1.101.3.4.2.1
    pub(super) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
}

/// The public exponent that everyone takes.
const EXPONENT: u64 = 65_537;

/// The largest modulus that is read, in bytes: 8,192 bits, twice the largest that is made. Signing takes the third power of it.
const MODULUS_LIMIT: usize = 1024;

impl PrivateKey {
    /// An RSA key from a branch of `stream`.
    pub(super) fn make_rsa(host: &Host, stream: &Stream, size: RsaSize) -> Self {
        let stream = || stream.branch(b"rsa");
        let made = host.made(&mut stream(), |stream| RsaKey::make(stream, size).to_pkcs1());
        let key = RsaKey::from_pkcs1(&made).unwrap_or_else(|| RsaKey::make(&mut stream(), size));
        Self::Rsa(Box::new(key))
    }

    /// A key of ECDSA over P-256.
    pub(super) fn make_ecdsa(stream: &mut Stream) -> Self {
        loop {
            // All but one of 2^32 numbers are below the order of the curve.
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&*stream.bytes::<32>()) {
                return Self::Ecdsa(Box::new(key));
            }
        }
    }

    /// A key of Ed25519.
    pub(super) fn make_ed25519(stream: &mut Stream) -> Self {
        Self::Ed25519(stream.bytes())
    }

    /// The first key of a PEM text. An error is Go's message.
    pub(super) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let (label, der) = first_pem_block(text).ok_or("no PEM data in input")?;
        match label.as_str() {
            "PRIVATE KEY" => {
                Self::from_pkcs8(&der).ok_or_else(|| "decoding PEM as PKCS#8: this is no key of RSA, P-256 or Ed25519".to_owned())
            }
            "RSA PRIVATE KEY" => RsaKey::from_pkcs1(&der)
                .map(|key| Self::Rsa(Box::new(key)))
                .ok_or_else(|| "parsing RSA private key from PEM: it is none".to_owned()),
            "EC PRIVATE KEY" => Self::from_sec1(&der, None)
                .ok_or_else(|| "parsing EC private key from PEM: it is none of P-256; give one, or one of RSA or Ed25519".to_owned()),
            "DSA PRIVATE KEY" => {
                Err("parsing DSA private key from PEM: DSA is not supported; give a key of RSA, P-256 or Ed25519".to_owned())
            }
            other => match other.strip_suffix(" PRIVATE KEY") {
                Some(kind) => Err(format!("invalid private key type {kind}")),
                None => Err(format!("no private key data in PEM block of type {other}")),
            },
        }
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let mut key = Elements(der).enter(der::SEQUENCE)?;
        key.unsigned()?;
        let mut algorithm = key.enter(der::SEQUENCE)?;
        let name = algorithm.take(der::OBJECT_IDENTIFIER)?.content;
        let private = key.take(der::OCTET_STRING)?.content;
        match name {
            oid::RSA => RsaKey::from_pkcs1(private).map(|key| Self::Rsa(Box::new(key))),
            oid::EC => Self::from_sec1(private, Some(algorithm.take(der::OBJECT_IDENTIFIER)?.content)),
            oid::ED25519 => {
                let seed = Elements(private).take(der::OCTET_STRING)?.content;
                Some(Self::Ed25519(Zeroizing::new(seed.try_into().ok()?)))
            }
            _ => None,
        }
    }

    fn from_sec1(der: &[u8], curve: Option<&[u8]>) -> Option<Self> {
        let mut key = Elements(der).enter(der::SEQUENCE)?;
        key.unsigned()?;
        let private = key.take(der::OCTET_STRING)?.content;
        let named = key.enter(der::context(0, true)).and_then(|mut curve| curve.take(der::OBJECT_IDENTIFIER)).map(|name| name.content);
        if named.or(curve)? != oid::P256 {
            return None;
        }
        p256::ecdsa::SigningKey::from_slice(private).ok().map(|key| Self::Ecdsa(Box::new(key)))
    }

    /// As sprig writes it: RSA and ECDSA in forms of their own, Ed25519 as PKCS #8.
    pub(super) fn to_pem(&self) -> String {
        match self {
            Self::Rsa(key) => pem("RSA PRIVATE KEY", &key.to_pkcs1()),
            Self::Ecdsa(key) => {
                let curve = der::value(der::context(0, true), &der::value(der::OBJECT_IDENTIFIER, oid::P256));
                let public = der::value(der::context(1, true), &der::bits(&self.public_point()));
                let private = Zeroizing::new(der::value(der::OCTET_STRING, &key.to_bytes()));
                pem("EC PRIVATE KEY", &Zeroizing::new(sequence([&unsigned(&[1]), &private, &curve, &public])))
            }
            Self::Ed25519(seed) => {
                let algorithm = sequence([&der::value(der::OBJECT_IDENTIFIER, oid::ED25519)]);
                let private = Zeroizing::new(der::value(der::OCTET_STRING, &der::value(der::OCTET_STRING, &**seed)));
                pem("PRIVATE KEY", &Zeroizing::new(sequence([&unsigned(&[]), &algorithm, &private])))
            }
        }
    }

    /// The bytes of the public key without its kind, as a `SubjectPublicKeyInfo` has them.
    pub(super) fn public_point(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => sequence([&unsigned(&key.0[0]), &unsigned(&key.0[1])]),
            Self::Ecdsa(key) => key.verifying_key().to_sec1_point(false).as_bytes().to_vec(),
            Self::Ed25519(seed) => {
                Ed25519KeyPair::from_seed_unchecked(&**seed).map(|pair| pair.public_key().as_ref().to_vec()).unwrap_or_default()
            }
        }
    }

    /// The `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> Vec<u8> {
        let named = |name| der::value(der::OBJECT_IDENTIFIER, name);
        let algorithm = match self {
            Self::Rsa(_) => sequence([&named(oid::RSA), &der::value(der::NULL, &[])]),
            Self::Ecdsa(_) => sequence([&named(oid::EC), &named(oid::P256)]),
            Self::Ed25519(_) => sequence([&named(oid::ED25519)]),
        };
        sequence([&algorithm, &der::bits(&self.public_point())])
    }

    /// The `AlgorithmIdentifier` of its signatures.
    pub(super) fn signature_algorithm(&self) -> Vec<u8> {
        let named = |name| der::value(der::OBJECT_IDENTIFIER, name);
        match self {
            Self::Rsa(_) => sequence([&named(oid::RSA_SHA256), &der::value(der::NULL, &[])]),
            Self::Ecdsa(_) => sequence([&named(oid::ECDSA_SHA256)]),
            Self::Ed25519(_) => sequence([&named(oid::ED25519)]),
        }
    }

    /// The signature of `message`; `None` if the key is none that can sign.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Rsa(key) => key.sign(message),
            Self::Ecdsa(key) => {
                // By RFC 6979: the same message, the same signature.
                let signature: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                let (r, s) = signature.split_bytes();
                Some(sequence([&unsigned(&r), &unsigned(&s)]))
            }
            Self::Ed25519(seed) => Some(Ed25519KeyPair::from_seed_unchecked(&**seed).ok()?.sign(message).as_ref().to_vec()),
        }
    }
}

impl RsaKey {
    fn make(stream: &mut Stream, size: RsaSize) -> Self {
        loop {
            let (p, q) = match size {
                RsaSize::Bits2048 => (prime::<16>(stream), prime::<16>(stream)),
                RsaSize::Bits4096 => (prime::<32>(stream), prime::<32>(stream)),
            };
            if let Some(key) = Self::of_primes(&p, &q) {
                return key;
            }
        }
    }

    /// The key of two primes; `None` if they are none for a key.
    fn of_primes(p: &BoxedUint, q: &BoxedUint) -> Option<Self> {
        let modulus = p.concatenating_mul(q);
        if p == q {
            return None;
        }
        let one = BoxedUint::one_with_precision(p.bits_precision());
        let (less_p, less_q) = (p.wrapping_sub(&one), q.wrapping_sub(&one));
        let totient = less_p.concatenating_mul(&less_q);
        let exponent = BoxedUint::from(EXPONENT);
        let private = exponent.clone().resize(totient.bits_precision()).invert_mod(&Option::from(NonZero::new(totient))?).into_option()?;
        let of_p = private.rem(&Option::<NonZero<BoxedUint>>::from(NonZero::new(less_p))?);
        let of_q = private.rem(&Option::<NonZero<BoxedUint>>::from(NonZero::new(less_q))?);
        let inverse = q.invert_odd_mod(&Option::from(Odd::new(p.clone()))?).into_option()?;
        let bytes = |number: &BoxedUint| number.to_be_bytes_trimmed_vartime().into_vec();
        Some(Self(Zeroizing::new([&modulus, &exponent, &private, p, q, &of_p, &of_q, &inverse].map(bytes))))
    }

    fn to_pkcs1(&self) -> Zeroizing<Vec<u8>> {
        let mut numbers = Zeroizing::new(unsigned(&[]));
        self.0.iter().for_each(|number| numbers.extend(unsigned(number)));
        Zeroizing::new(der::value(der::SEQUENCE, &numbers))
    }

    fn from_pkcs1(der: &[u8]) -> Option<Self> {
        let mut key = Elements(der).enter(der::SEQUENCE)?;
        key.unsigned()?;
        let mut numbers: [Vec<u8>; 8] = Default::default();
        for number in &mut numbers {
            *number = key.unsigned()?.to_vec();
        }
        let key = Self(Zeroizing::new(numbers));
        let modulus = &key.0[0];
        // Below 62 bytes there is no room for a signature.
        let fits = (62..=MODULUS_LIMIT).contains(&modulus.len()) && modulus.last().is_some_and(|byte| byte % 2 == 1);
        fits.then_some(key)
    }

    /// By PKCS #1 version 1.5 with SHA-256.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let [modulus, _, private, ..] = &*self.0;
        let length = modulus.len();
        let algorithm = sequence([&der::value(der::OBJECT_IDENTIFIER, oid::SHA256), &der::value(der::NULL, &[])]);
        let digest = sequence([&algorithm, &der::value(der::OCTET_STRING, digest(&SHA256, message).as_ref())]);
        let mut padded = vec![0xFF; length.checked_sub(digest.len())?];
        padded[..2].copy_from_slice(&[0, 1]);
        *padded.last_mut()? = 0;
        padded.extend(digest);
        let precision = u32::try_from(length * 8).ok()?;
        let modulus = Odd::new(BoxedUint::from_be_slice(modulus, precision).ok()?).into_option()?;
        let parameters = BoxedMontyParams::new(modulus);
        let number = BoxedMontyForm::new(BoxedUint::from_be_slice(&padded, precision).ok()?, &parameters);
        let private = Zeroizing::new(BoxedUint::from_be_slice(private, precision).ok()?);
        let signature = number.pow(&private).retrieve().to_be_bytes();
        // The precision is a whole number of words.
        Some(signature[signature.len() - length..].to_vec())
    }
}

/// A PEM block, as Go writes it.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

/// The label and the content of the first PEM block in `text`. Headers in it are gone over.
pub(super) fn first_pem_block(text: &[u8]) -> Option<(String, Zeroizing<Vec<u8>>)> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let label = lines.find_map(|line| line.strip_prefix("-----BEGIN ")?.trim_end().strip_suffix("-----"))?;
    let end = format!("-----END {label}-----");
    let mut body = Zeroizing::new(Vec::new());
    for line in lines {
        if line.trim_end() == end {
            return base64_decode(&body).ok().map(|der| (label.to_owned(), Zeroizing::new(der)));
        }
        if !line.contains(':') {
            body.extend(line.trim().bytes());
        }
    }
    None
}
