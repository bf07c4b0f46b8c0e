//! The hub's certificate authority: issues agents' certificates from the hub's own record and the hub's server certificate. The caller stores it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use shared_model::Timestamp;
use zeroize::Zeroizing;

use crate::agent::AgentIdentity;
use crate::certificate::{CertificateChain, ChainError};
use crate::chance::random;
use crate::pin::{CaPin, InvalidPin};
use crate::request::CertificateRequest;

/// How far a peer's clock may be behind: certificates are valid from this long before they were issued.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The life of an agent's certificate: short enough that a stolen key ends by itself, and a third of it (8 h) covers a night without the hub.
pub const AGENT_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The life of the hub's own certificate. The hub issues a new one each day, so that 30 days bridge any outage of the issuing task.
pub const SERVER_CERTIFICATE_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// The life of the authority: 10 years; it is replaced through the root document long before.
pub const CA_LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A certificate authority with its P-256 key.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pin: CaPin,
}

/// The authority as it is stored: two PEM texts, the key secret.
pub struct CertificateAuthorityPem {
    /// The self-signed certificate.
    pub certificate: String,
    /// The private key, PKCS#8. Store it sealed.
    pub key: Zeroizing<String>,
}

/// A hub's server certificate and key.
pub struct ServerCertificate {
    /// Leaf and authority; the authority travels along so that an enrolling agent can match its pin.
    pub chain: CertificateChain,
    /// The private key, PKCS#8 PEM.
    pub key_pem: Zeroizing<String>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerCertificate({:?})", self.chain)
    }
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateAuthority({})", self.pin)
    }
}

/// The authority could not be made, read, or could not issue.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Making a key or signing failed.
    #[error("the certificate authority could not sign")]
    Sign(#[source] rcgen::Error),
    /// The stored certificate or key is damaged.
    #[error("the stored certificate authority cannot be read; restore it from the backup")]
    Unreadable,
    /// The stored key is not that of the stored certificate.
    #[error("the stored certificate authority's key and certificate do not belong together; restore both from one backup")]
    KeyMismatch,
    /// A name of the hub is neither a DNS name nor an IP address.
    #[error("\"{0}\" is neither a DNS name nor an IP address; the hub's certificate cannot state it")]
    BadName(String),
    /// The time lies outside of what a certificate can state.
    #[error("the time {0} cannot stand in a certificate; check the clock")]
    BadTime(Timestamp),
}

impl From<InvalidPin> for AuthorityError {
    fn from(_: InvalidPin) -> Self {
        Self::Unreadable
    }
}

impl From<ChainError> for AuthorityError {
    fn from(_: ChainError) -> Self {
        Self::Unreadable
    }
}

impl CertificateAuthority {
    /// Makes a new authority from the system's randomness; `fleet` stands in its name for people.
    pub fn generate(fleet: &str, now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
        let mut params = empty_params(now, CA_LIFETIME)?;
        params.distinguished_name.push(DnType::CommonName, format!("Capstan CA {fleet}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Sign)?.der().clone();
        Self::assemble(certificate, key)
    }

    /// Reads what [`CertificateAuthority::to_pem`] wrote.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| AuthorityError::Unreadable)?;
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(key, &PKCS_ECDSA_P256_SHA256).map_err(|_| AuthorityError::Unreadable)?;
        Self::assemble(certificate, key)
    }

    fn assemble(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, AuthorityError> {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let pin = CaPin::of(&certificate)?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| AuthorityError::Unreadable)?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| AuthorityError::Unreadable)?;
        Ok(Self { issuer, certificate, pin })
    }

    /// The authority for storing.
    pub fn to_pem(&self) -> CertificateAuthorityPem {
        CertificateAuthorityPem { certificate: self.certificate().to_pem(), key: Zeroizing::new(self.issuer.key().serialize_pem()) }
    }

    /// The authority's certificate, which agents trust.
    pub fn certificate(&self) -> CertificateChain {
        CertificateChain::new(vec![self.certificate.clone()]).expect("one certificate is a chain")
    }

    /// What the enrolment command pins.
    pub fn pin(&self) -> CaPin {
        self.pin
    }

    /// Issues an agent's certificate. Only the public key is taken from the request; the rest but a random serial number is a function of the arguments:
    /// empty subject, exactly one URI name, client authentication, valid from [`CLOCK_SKEW`] before `now` until `lifetime` after it.
    pub fn issue(
        &self,
        request: &CertificateRequest,
        identity: &AgentIdentity,
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<CertificateChain, AuthorityError> {
        let mut params = empty_params(now, lifetime)?;
        params.subject_alt_names = vec![SanType::URI(identity.uri().try_into().map_err(AuthorityError::Sign)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(request.public_key(), &self.issuer).map_err(AuthorityError::Sign)?;
        Ok(CertificateChain::new(vec![leaf.der().clone()])?)
    }

    /// Issues the hub's own certificate for its names (DNS names and IP addresses), with a new key.
    pub fn issue_server(&self, names: &[String], now: Timestamp, lifetime: Duration) -> Result<ServerCertificate, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(AuthorityError::Sign)?;
        let mut params = empty_params(now, lifetime)?;
        params.subject_alt_names = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let leaf = params.signed_by(&key, &self.issuer).map_err(AuthorityError::Sign)?;
        let chain = CertificateChain::new(vec![leaf.der().clone(), self.certificate.clone()])?;
        Ok(ServerCertificate { chain, key_pem: Zeroizing::new(key.serialize_pem()) })
    }
}

fn server_name(name: &str) -> Result<SanType, AuthorityError> {
    let bad = || AuthorityError::BadName(name.to_owned());
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    if rustls::pki_types::DnsName::try_from(name).is_err() {
        return Err(bad());
    }
    Ok(SanType::DnsName(name.try_into().map_err(|_| bad())?))
}

/// Nothing but a validity: rcgen's own defaults would state a subject.
fn empty_params(now: Timestamp, lifetime: Duration) -> Result<CertificateParams, AuthorityError> {
    let from_epoch = |seconds: i64| {
        u64::try_from(seconds)
            .ok()
            .map(|seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds))
            .ok_or(AuthorityError::BadTime(now))
    };
    // The year 9999 is the last that a certificate can state.
    const LAST: i64 = 253_402_300_799;
    let begin = now.as_second() - i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0);
    let end = i64::try_from(lifetime.as_secs()).ok().and_then(|life| now.as_second().checked_add(life)).filter(|end| *end <= LAST);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // rcgen would derive the number from the key, so that a renewed certificate had that of the one before. Random as RFC 5280 §4.1.2.2 allows,
    // with the first byte between 1 and 127: positive and of one length.
    let mut serial: [u8; 16] = random();
    serial[0] = serial[0] % 127 + 1;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = from_epoch(begin)?;
    params.not_after = from_epoch(end.ok_or(AuthorityError::BadTime(now))?)?;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PeerCertificate;
    use crate::key::AgentKey;
    use crate::request::CSR_LIMIT;
    use rcgen::{CertificateSigningRequestParams, CustomExtension};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn identity() -> AgentIdentity {
        "spiffe://capstan/cluster/gpu-a/u-1".parse().unwrap()
    }

    #[test]
    fn an_authority_survives_storing_and_refuses_a_foreign_key() {
        let (one, two) = (CertificateAuthority::generate("f", now()).unwrap(), CertificateAuthority::generate("f", now()).unwrap());
        let (one_pem, two_pem) = (one.to_pem(), two.to_pem());
        assert_eq!(CertificateAuthority::from_pem(&one_pem.certificate, &one_pem.key).unwrap().pin(), one.pin());
        assert!(matches!(CertificateAuthority::from_pem(&one_pem.certificate, &two_pem.key), Err(AuthorityError::KeyMismatch)));
    }

    /// Whatever a request asks for, the certificate is a function of the hub's record.
    #[test]
    fn what_a_request_asks_for_is_ignored() {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let authority = CertificateAuthority::generate("f", now()).unwrap();
        let key = AgentKey::generate().unwrap();
        let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
        let mut lies = Vec::new();
        for lie in 0..6 {
            let mut params = CertificateParams::default();
            match lie {
                0 => params.distinguished_name.push(DnType::CommonName, "spiffe://capstan/cluster/other/u-2"),
                1 => params.subject_alt_names = vec![SanType::URI("spiffe://capstan/cluster/other/u-2".try_into().unwrap())],
                2 => params.subject_alt_names = vec![SanType::DnsName("hub".try_into().unwrap())],
                3 => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
                4 => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
                _ => params.not_after = date_time_ymd(4000, 1, 1),
            }
            lies.push(params.serialize_request(&pair).unwrap().pem().unwrap());
        }
        for csr in lies {
            let request = CertificateRequest::parse(&csr).unwrap();
            let chain = authority.issue(&request, &identity(), now(), AGENT_CERTIFICATE_LIFETIME).unwrap();
            let facts = PeerCertificate::parse(chain.leaf()).unwrap();
            assert_eq!((facts.identity, facts.key), (identity(), key.fingerprint()));
            assert_eq!(facts.not_before.as_second(), now().as_second() - 300);
            assert_eq!(facts.not_after.as_second(), now().as_second() + 86_400);
            let (_, parsed) = X509Certificate::from_der(chain.leaf()).unwrap();
            assert!(!parsed.is_ca() && parsed.subject().iter().next().is_none());
            let usage = parsed.extended_key_usage().unwrap().unwrap().value;
            assert!(usage.client_auth && !usage.server_auth && !usage.any);
        }
    }

    #[test]
    fn an_altered_request_and_a_request_with_foreign_extensions_are_refused() {
        let key = AgentKey::generate().unwrap();
        let mut der = rustls::pki_types::CertificateSigningRequestDer::from_pem_slice(key.request().unwrap().as_bytes()).unwrap().to_vec();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(CertificateSigningRequestParams::from_der(&der.into()).is_err());
        let pair = KeyPair::from_pem(&key.to_pem()).unwrap();
        let mut params = CertificateParams::default();
        params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0])];
        assert!(CertificateRequest::parse(&params.serialize_request(&pair).unwrap().pem().unwrap()).is_err());
        assert!(matches!(CertificateRequest::parse(&"x".repeat(CSR_LIMIT + 1)), Err(crate::RequestError::TooLong(_))));
    }

    #[test]
    fn a_certificate_with_more_than_one_name_is_no_identity() {
        let authority = CertificateAuthority::generate("f", now()).unwrap();
        let pair = KeyPair::generate().unwrap();
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let one = "spiffe://capstan/cluster/a/u";
        for names in [vec![], vec![uri(one), uri(one)], vec![uri(one), SanType::DnsName("x".try_into().unwrap())], vec![uri("urn:x")]] {
            let mut params = empty_params(now(), CLOCK_SKEW).unwrap();
            params.subject_alt_names = names;
            let leaf = params.signed_by(&pair, &authority.issuer).unwrap();
            assert!(PeerCertificate::parse(leaf.der()).is_err());
        }
    }

    #[test]
    fn a_chain_reads_back_what_it_writes_and_the_hub_names_are_checked() {
        let authority = CertificateAuthority::generate("f", now()).unwrap();
        let server = authority.issue_server(&["hub.example".into(), "127.0.0.1".into()], now(), SERVER_CERTIFICATE_LIFETIME).unwrap();
        assert_eq!(CertificateChain::from_pem(&server.chain.to_pem()).unwrap(), server.chain);
        assert_eq!(CaPin::of(&server.chain.certificates()[1]).unwrap(), authority.pin());
        assert!(matches!(authority.issue_server(&["a b".into()], now(), CLOCK_SKEW), Err(AuthorityError::BadName(_))));
    }
}
