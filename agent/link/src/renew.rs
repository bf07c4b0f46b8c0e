//! Renewing the certificate over a running session. The connection stays; the next one shows the new certificate.

use std::time::Duration;

use shared_identity::{AgentCertificate, AgentKey, PeerCertificate};
use shared_proto::{Issued, wire};
use tonic::transport::Channel;

use crate::enrol::{EnrolError, certificate_for};

/// How long to wait after a renewal failed: with two thirds of 24 hours left there are 960 more attempts.
pub(crate) const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// How long the hub may take.
const RENEW_TIMEOUT: Duration = Duration::from_secs(20);

/// Gets a new certificate for the same key and identity.
pub(crate) async fn renew(
    mut client: wire::session_client::SessionClient<Channel>,
    key: &AgentKey,
    present: &PeerCertificate,
) -> Result<AgentCertificate, EnrolError> {
    let request = wire::RenewRequest { csr_pem: key.request()? };
    let reply = tokio::time::timeout(RENEW_TIMEOUT, client.renew(request)).await.map_err(|_| EnrolError::TimedOut)??;
    let issued = Issued::try_from(reply.into_inner())?;
    let certificate = certificate_for(&issued.certificate_pem, &present.identity.uid, key)?;
    if certificate.facts.identity != present.identity {
        return Err(EnrolError::Answer(format!("the certificate is for {}", certificate.facts.identity)));
    }
    Ok(certificate)
}
