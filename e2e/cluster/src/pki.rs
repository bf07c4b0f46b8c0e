//! The certificates of one control plane: an authority, serving and client leaves. All on P-256, valid without end: they die with the
//! plane's directory. Nothing here is for production.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate with its private key, both in PEM.
#[derive(Clone)]
pub struct CertificatePair {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key (PKCS #8).
    pub key_pem: String,
}

impl fmt::Debug for CertificatePair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CertificatePair").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name("capstan test authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    pub(crate) fn certificate_pem(&self) -> String {
        self.issuer.as_ref().pem()
    }

    /// A leaf for a server that answers under these DNS names and addresses.
    pub(crate) fn serving(&self, names: &[&str]) -> Result<CertificatePair, rcgen::Error> {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name = name(names.first().copied().unwrap_or("server"), &[]);
        self.leaf(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A leaf that kube-apiserver takes for `user` in `groups`.
    pub(crate) fn client(&self, user: &str, groups: &[&str]) -> Result<CertificatePair, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name(user, groups);
        self.leaf(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Result<CertificatePair, rcgen::Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(CertificatePair { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

/// Kubernetes reads the user from CN and the groups from O
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).
fn name(common: &str, groups: &[&str]) -> DistinguishedName {
    /// The object identifier of `organizationName`, X.520.
    const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    // rcgen keeps one value per type; the two spellings of the same type make two values possible.
    for (kind, group) in [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION.to_vec())].into_iter().zip(groups) {
        name.push(kind, *group);
    }
    name
}

/// How many groups a client certificate can carry here.
pub(crate) const MOST_GROUPS: usize = 2;

/// The key pair that signs service-account tokens (ES256), in PEM.
pub(crate) struct TokenKey {
    pub(crate) private_pem: String,
    pub(crate) public_pem: String,
}

impl TokenKey {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        Ok(Self { private_pem: key.serialize_pem(), public_pem: key.public_key_pem() })
    }
}
