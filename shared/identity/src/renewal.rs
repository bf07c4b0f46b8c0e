//! When an agent renews its certificate: a pure function of the certificate, a seed and the time.

use std::time::Duration;

use shared_model::Timestamp;

use crate::authority::CLOCK_SKEW;
use crate::certificate::PeerCertificate;

/// What to do about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalMoment {
    /// Good for now; ask again after this time.
    In(Duration),
    /// Renew over the session; the old certificate still works.
    Now,
    /// It ran out: the session is closed to it, re-attest at the enrolment door.
    Expired,
}

/// Renewal begins at a third of the certificate's life, moved by up to ±10 % of that third by `seed`, so that agents that were enrolled together
/// do not come together. With 24 hours this is between 7 h 12 min and 8 h 48 min; two thirds of life are left for retries.
pub fn renewal(certificate: &PeerCertificate, seed: u64, now: Timestamp) -> RenewalMoment {
    let end = certificate.not_after.as_second();
    // Certificates are dated back for clocks that are behind; their life begins when they were issued.
    let begin = (certificate.not_before.as_second() + i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0)).min(end);
    if now.as_second() >= end {
        return RenewalMoment::Expired;
    }
    let third = (end - begin).max(0) / 3;
    // 0..=2000 thousandths of a tenth.
    let shift = i64::try_from(seed % 2001).unwrap_or(0) - 1000;
    let due = begin + third + third / 10 * shift / 1000;
    match u64::try_from(due - now.as_second()) {
        Ok(seconds @ 1..) => RenewalMoment::In(Duration::from_secs(seconds)),
        _ => RenewalMoment::Now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::KeyFingerprint;
    use shared_model::Digest;

    #[test]
    fn renewal_is_due_around_a_third_of_life_whatever_the_seed() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let certificate = PeerCertificate {
            identity: "spiffe://capstan/cluster/a/u".parse().unwrap(),
            serial: "01".into(),
            key: KeyFingerprint(Digest::of(b"")),
            not_before: at(-300),
            not_after: at(86_400),
        };
        let (earliest, latest) = (28_800 - 2_880, 28_800 + 2_880);
        for seed in [0, 1, 1000, 2000, 2001, u64::MAX] {
            assert!(matches!(renewal(&certificate, seed, at(earliest - 1)), RenewalMoment::In(_)), "{seed}");
            assert_eq!(renewal(&certificate, seed, at(latest)), RenewalMoment::Now, "{seed}");
        }
        assert_ne!(renewal(&certificate, 0, at(0)), renewal(&certificate, 2000, at(0)));
        assert_eq!(renewal(&certificate, 0, at(86_400)), RenewalMoment::Expired);
    }
}
