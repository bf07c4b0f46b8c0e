//! Certificates as sprig makes them with Go's `crypto/x509`: the same fields and extensions in the same order. Keys and the serial number come from
//! the secret of the fleet, the times from its calendar, so that a certificate stays the same until it is time for the next.

use std::any::Any;
use std::net::IpAddr;
use std::rc::Rc;

use hub_gotemplate::{Args, Call, CallError, Function, List, Map, Object, Text, Type, Value, fmt};
use ring::digest::{SHA256, digest};

use super::crypto::RSA_2048_STEPS;
use super::der::{self, Elements, sequence, unsigned};
use super::encoding::base64_decode;
use super::function;
use super::keys::{PrivateKey, RsaSize, first_pem_block, pem};
use super::time::Time;
use super::time_layout;
use crate::chance::Stream;
use crate::host::Host;

const CERTIFICATE: Type = Type::Named(TYPE_NAME);

const TYPE_NAME: &str = "sprig.certificate";

/// The certificate functions of sprig.
pub(super) const FUNCTIONS: &[Function] = &[
    function("genCA", &[Type::Text, Type::Int], |call, args| {
        let wanted = Wanted { is_authority: true, ..Wanted::named(args.text(0), args.int(1)) };
        make(call, "genCA", &wanted, None, None)
    }),
    function("genCAWithKey", &[Type::Text, Type::Int, Type::Text], |call, args| {
        let wanted = Wanted { is_authority: true, ..Wanted::named(args.text(0), args.int(1)) };
        make(call, "genCAWithKey", &wanted, Some(args.text(2)), None)
    }),
    function("genSelfSignedCert", &[Type::Text, Type::List, Type::List, Type::Int], |call, args| {
        make(call, "genSelfSignedCert", &Wanted::read(args)?, None, None)
    }),
    function("genSelfSignedCertWithKey", &[Type::Text, Type::List, Type::List, Type::Int, Type::Text], |call, args| {
        make(call, "genSelfSignedCertWithKey", &Wanted::read(args)?, Some(args.text(4)), None)
    }),
    function("genSignedCert", &[Type::Text, Type::List, Type::List, Type::Int, CERTIFICATE], |call, args| {
        make(call, "genSignedCert", &Wanted::read(args)?, None, Some(authority(args)?))
    }),
    function("genSignedCertWithKey", &[Type::Text, Type::List, Type::List, Type::Int, CERTIFICATE, Type::Text], |call, args| {
        make(call, "genSignedCertWithKey", &Wanted::read(args)?, Some(args.text(5)), Some(authority(args)?))
    }),
    function("buildCustomCert", &[Type::Text, Type::Text], build),
];

/// A certificate and its key, both as PEM.
struct Certificate {
    certificate: Text,
    key: Text,
}

/// What a certificate is asked for.
struct Wanted<'a> {
    name: &'a Text,
    addresses: Vec<IpAddr>,
    hosts: Vec<Text>,
    days: i64,
    is_authority: bool,
}

impl<'a> Wanted<'a> {
    fn named(name: &'a Text, days: i64) -> Self {
        Self { name, addresses: Vec::new(), hosts: Vec::new(), days, is_authority: false }
    }

    /// From the arguments name, addresses, hosts and days.
    fn read(args: Args<'a>) -> Result<Self, CallError> {
        Ok(Self { addresses: addresses(args.list(1))?, hosts: hosts(args.list(2))?, ..Self::named(args.text(0), args.int(3)) })
    }
}

fn addresses(list: &List) -> Result<Vec<IpAddr>, CallError> {
    let address = |item: &Value| match item {
        Value::Text(text) => {
            let text = text.to_str();
            text.parse().map_err(|_| CallError::failed(format!("error parsing ip: {text}")))
        }
        other => Err(CallError::failed(format!("error parsing ip: {} is not a string", fmt::sprint(other)?))),
    };
    list.items().iter().map(address).collect()
}

fn hosts(list: &List) -> Result<Vec<Text>, CallError> {
    let host = |item: &Value| match item {
        Value::Text(text) => Ok(text.clone()),
        other => Err(CallError::failed(format!("error processing alternate dns name: {} is not a string", fmt::sprint(other)?))),
    };
    list.items().iter().map(host).collect()
}

fn authority<'a>(args: Args<'a>) -> Result<&'a Certificate, CallError> {
    match args.any(4) {
        Value::Object(object) => object.as_any().downcast_ref().ok_or_else(|| CallError::failed("the authority is no certificate")),
        _ => Err(CallError::failed("the authority is no certificate")),
    }
}

/// What signs.
struct Signer {
    key: PrivateKey,
    /// The name as DER.
    name: Vec<u8>,
    /// The identifier of its key, if its certificate has one.
    key_id: Option<Vec<u8>>,
}

impl Signer {
    fn read(authority: &Certificate) -> Result<Self, CallError> {
        let (_, der) = first_pem_block(&authority.certificate).ok_or_else(|| CallError::failed("unable to decode certificate"))?;
        let parsed = parse(&der)
            .ok_or_else(|| CallError::failed("error parsing certificate: decodedSignerCert.Bytes: x509: malformed certificate"))?;
        let key = PrivateKey::from_pem(&authority.key).map_err(|error| CallError::failed(format!("error parsing private key: {error}")))?;
        if key.public_key() != parsed.public_key {
            return Err(CallError::failed("error creating certificate: x509: provided PrivateKey doesn't match parent's PublicKey"));
        }
        Ok(Self { key, name: parsed.name.to_vec(), key_id: parsed.key_id.map(<[u8]>::to_vec) })
    }
}

/// Makes a certificate, with the key that is given as PEM or with one of RSA from chance, signed by an authority or by itself.
fn make(
    call: &mut Call<'_>,
    function: &'static str,
    wanted: &Wanted<'_>,
    key: Option<&Text>,
    authority: Option<&Certificate>,
) -> Result<Value, CallError> {
    Host::of(call).work(RSA_2048_STEPS)?;
    let host = Host::of(call);
    let calendar = host.calendar(function)?;
    let mut stream = host.stream(function)?;
    let mut from = calendar.anchor;
    // What is out of date when it is made is not made anew.
    if wanted.days > 0 {
        let period = calendar.period(wanted.days);
        from = period.from;
        stream = stream.of_period(period.number);
        host.note_good_until(period.until);
    }
    let signer = authority.map(Signer::read).transpose()?;
    let key = match key {
        Some(pem) => PrivateKey::from_pem(pem).map_err(|error| CallError::failed(format!("parsing private key: {error}")))?,
        None => PrivateKey::make_rsa(host, &stream, RsaSize::Bits2048),
    };
    let der = signed(wanted, &key, signer.as_ref(), from, &mut stream)?;
    Ok(Certificate { certificate: Text::from(pem("CERTIFICATE", &der)), key: Text::from(key.to_pem()) }.value())
}

/// Identifiers of extensions and names, as DER has their content.
mod oid {
    /// id-at-commonName, 2.5.4.3
    pub(super) const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    pub(super) const KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x0F];
    pub(super) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25];
    pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1D, 0x13];
    pub(super) const SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1D, 0x0E];
    pub(super) const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1D, 0x23];
    pub(super) const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1D, 0x11];
    /// id-kp-serverAuth, 1.3.6.1.5.5.7.3.1
    pub(super) const SERVER: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
    /// id-kp-clientAuth, 1.3.6.1.5.5.7.3.2
    pub(super) const CLIENT: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
}

fn signed(wanted: &Wanted<'_>, key: &PrivateKey, signer: Option<&Signer>, from: i64, stream: &mut Stream) -> Result<Vec<u8>, CallError> {
    let subject = name(wanted.name);
    let signing = signer.map_or(key, |signer| &signer.key);
    let issuer = signer.map_or(&subject, |signer| &signer.name);
    let until = from.saturating_add(wanted.days.saturating_mul(86_400));
    let validity = sequence([&time(from)?, &time(until)?]);
    let key_id = signer.and_then(|signer| signer.key_id.as_deref()).filter(|_| *issuer != subject);
    let extensions = der::value(der::context(3, true), &extensions(wanted, key, key_id)?);
    let content = sequence([
        // Version 3, counted from 0.
        &der::value(der::context(0, true), &unsigned(&[2])),
        &unsigned(&*stream.bytes::<16>()),
        &signing.signature_algorithm(),
        issuer,
        &validity,
        &subject,
        &key.public_key(),
        &extensions,
    ]);
    let signature = signing.sign(&content).ok_or_else(|| CallError::failed("error creating certificate: the key cannot sign"))?;
    Ok(sequence([&content, &signing.signature_algorithm(), &der::bits(&signature)]))
}

/// A name with a common name alone; without anything if that is empty.
fn name(common: &Text) -> Vec<u8> {
    if common.is_empty() {
        return sequence([]);
    }
    let is_printable = common.iter().all(|byte| byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(byte));
    let tag = if is_printable { der::PRINTABLE_STRING } else { der::UTF8_STRING };
    let attribute = sequence([&der::value(der::OBJECT_IDENTIFIER, oid::COMMON_NAME), &der::value(tag, common.to_str().as_bytes())]);
    sequence([&der::value(der::SET, &attribute)])
}

/// With two digits of the year up to 2049, with four from then on.
fn time(seconds: i64) -> Result<Vec<u8>, CallError> {
    let civil = Time::of_unix(seconds).civil();
    match civil.year {
        1950..2050 => Ok(der::value(der::UTC_TIME, time_layout::format(&civil, "060102150405Z").as_bytes())),
        0..10_000 => Ok(der::value(der::GENERALIZED_TIME, time_layout::format(&civil, "20060102150405Z").as_bytes())),
        _ => Err(CallError::failed("error creating certificate: asn1: structure error: cannot represent time as GeneralizedTime")),
    }
}

fn extensions(wanted: &Wanted<'_>, key: &PrivateKey, authority_key_id: Option<&[u8]>) -> Result<Vec<u8>, CallError> {
    let mut all = Vec::new();
    let mut add = |name: &[u8], is_critical: bool, content: &[u8]| {
        let critical = if is_critical { der::value(der::BOOLEAN, &[0xFF]) } else { Vec::new() };
        all.extend(sequence([&der::value(der::OBJECT_IDENTIFIER, name), &critical, &der::value(der::OCTET_STRING, content)]));
    };
    // Digital signature, key encipherment and, for an authority, signing of certificates; before them the bits of the byte that are not used.
    let usage: &[u8] = if wanted.is_authority { &[2, 0xA4] } else { &[5, 0xA0] };
    add(oid::KEY_USAGE, true, &der::value(der::BIT_STRING, usage));
    let purposes = [oid::SERVER, oid::CLIENT].map(|purpose| der::value(der::OBJECT_IDENTIFIER, purpose));
    add(oid::EXTENDED_KEY_USAGE, false, &sequence([&purposes[0], &purposes[1]]));
    let constraint = if wanted.is_authority { der::value(der::BOOLEAN, &[0xFF]) } else { Vec::new() };
    add(oid::BASIC_CONSTRAINTS, true, &sequence([&constraint]));
    if wanted.is_authority {
        // The first 160 bits of the digest of the key, by RFC 7093.
        let id = digest(&SHA256, &key.public_point());
        add(oid::SUBJECT_KEY_ID, false, &der::value(der::OCTET_STRING, &id.as_ref()[..20]));
    }
    if let Some(id) = authority_key_id {
        add(oid::AUTHORITY_KEY_ID, false, &sequence([&der::value(der::context(0, false), id)]));
    }
    if !wanted.hosts.is_empty() || !wanted.addresses.is_empty() {
        let mut names = Vec::new();
        for host in &wanted.hosts {
            if !host.is_ascii() {
                let quoted = fmt::quote(host);
                return Err(CallError::failed(format!("error creating certificate: x509: {quoted} cannot be encoded as an IA5String")));
            }
            names.extend(der::value(der::context(2, false), host));
        }
        for address in &wanted.addresses {
            names.extend(match address.to_canonical() {
                IpAddr::V4(address) => der::value(der::context(7, false), &address.octets()),
                IpAddr::V6(address) => der::value(der::context(7, false), &address.octets()),
            });
        }
        add(oid::ALTERNATIVE_NAMES, wanted.name.is_empty(), &der::value(der::SEQUENCE, &names));
    }
    Ok(der::value(der::SEQUENCE, &all))
}

/// What of a certificate those that it signs need.
struct Parsed<'d> {
    name: &'d [u8],
    public_key: &'d [u8],
    key_id: Option<&'d [u8]>,
}

fn parse(der: &[u8]) -> Option<Parsed<'_>> {
    let mut content = Elements(der).enter(der::SEQUENCE)?.enter(der::SEQUENCE)?;
    content.take(der::context(0, true));
    content.take(der::INTEGER)?;
    content.take(der::SEQUENCE)?;
    content.take(der::SEQUENCE)?;
    content.take(der::SEQUENCE)?;
    let name = content.take(der::SEQUENCE)?.whole;
    let public_key = content.take(der::SEQUENCE)?.whole;
    let mut key_id = None;
    if let Some(mut extensions) = content.enter(der::context(3, true)).and_then(|mut inner| inner.enter(der::SEQUENCE)) {
        while let Some(mut extension) = extensions.enter(der::SEQUENCE) {
            let id = extension.take(der::OBJECT_IDENTIFIER)?.content;
            extension.take(der::BOOLEAN);
            let value = extension.take(der::OCTET_STRING)?.content;
            if id == oid::SUBJECT_KEY_ID {
                key_id = Some(Elements(value).take(der::OCTET_STRING)?.content);
            }
        }
    }
    Some(Parsed { name, public_key, key_id })
}

/// A certificate and key that are given in base 64, checked.
fn build(call: &mut Call<'_>, args: Args<'_>) -> Result<Value, CallError> {
    call.spend(args.text(0).len() + args.text(1).len())?;
    let certificate = base64_decode(args.text(0)).map_err(|_| CallError::failed("unable to decode base64 certificate"))?;
    let key = base64_decode(args.text(1)).map_err(|_| CallError::failed("unable to decode base64 private key"))?;
    let (_, der) = first_pem_block(&certificate).ok_or_else(|| CallError::failed("unable to decode certificate"))?;
    if parse(&der).is_none() {
        return Err(CallError::failed("error parsing certificate: decodedCert.Bytes: x509: malformed certificate"));
    }
    PrivateKey::from_pem(&key).map_err(|error| CallError::failed(format!("error parsing private key: {error}")))?;
    Ok(Certificate { certificate: Text::from(certificate), key: Text::from(key) }.value())
}

impl Certificate {
    fn value(self) -> Value {
        Value::Object(Rc::new(self))
    }
}

impl Object for Certificate {
    fn type_name(&self) -> &str {
        TYPE_NAME
    }

    fn kind(&self) -> &'static str {
        "struct"
    }

    fn field(&self, name: &str) -> Option<Result<Value, CallError>> {
        match name {
            "Cert" => Some(Ok(Value::Text(self.certificate.clone()))),
            "Key" => Some(Ok(Value::Text(self.key.clone()))),
            _ => None,
        }
    }

    fn method(&self, _: &str, _: &[Value]) -> Option<Result<Value, CallError>> {
        None
    }

    fn plain(&self) -> Value {
        let entries = [("Cert", &self.certificate), ("Key", &self.key)];
        Value::Map(Map::new(entries.map(|(key, text)| (Text::from(key), Value::Text(text.clone()))).into()))
    }

    fn print(&self) -> Text {
        Text::new([b"{", self.certificate.as_bytes(), b" ", self.key.as_bytes(), b"}"].concat())
    }

    fn is_true(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
