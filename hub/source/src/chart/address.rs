//! Which addresses may be connected to on the word of somebody who is not the operator: neither this machine, nor its link, where the metadata
//! services of clouds are, nor what no server can have.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Services for the machine itself at addresses that look like others: Alibaba's and Oracle's metadata, Azure's agent.
const METADATA: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];

/// AWS's metadata over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// A host that may not be connected to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is an address of this machine, of its link, or of a metadata service")]
pub(crate) struct Forbidden {
    pub(crate) host: String,
}

/// Whether `address` may be connected to.
pub(crate) fn is_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_allowed_v4(address),
        IpAddr::V6(address) => {
            let refused = address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address == METADATA_V6;
            !refused && embedded(address).is_none_or(is_allowed_v4)
        }
    }
}

fn is_allowed_v4(address: Ipv4Addr) -> bool {
    let refused = address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0
        || METADATA.contains(&address);
    !refused
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, by NAT64 (RFC 6052) or by 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let from = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Resolves names, and hides forbidden addresses of those that are guarded. A name that was never asked for is a proxy's, which the operator
/// chose; behind a proxy, what a name stands for is the proxy's to judge.
#[derive(Clone, Default)]
pub(crate) struct Resolver {
    guarded: Arc<Mutex<BTreeSet<String>>>,
}

impl Resolver {
    /// Guards `host` from now on, and refuses it at once if it is a forbidden address.
    pub(crate) fn guard(&self, host: &str) -> Result<(), Forbidden> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !is_allowed(address)) {
            return Err(Forbidden { host: host.to_owned() });
        }
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_ascii_lowercase());
        Ok(())
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_ascii_lowercase();
        let guarded = self.guarded.lock().unwrap_or_else(PoisonError::into_inner).contains(&host);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = found.iter().copied().filter(|address| !guarded || is_allowed(address.ip())).collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Forbidden { host }.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_its_link_and_metadata_services_are_forbidden() {
        for text in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "2002:7f00:1::",
        ] {
            assert!(!is_allowed(text.parse().expect(text)), "{text}");
        }
    }

    #[test]
    fn the_internet_and_private_networks_are_allowed() {
        for text in ["1.1.1.1", "10.0.0.7", "192.168.1.1", "172.16.0.1", "2606:4700::1111", "fd12::1", "64:ff9b::0a00:1", "::ffff:10.0.0.1"]
        {
            assert!(is_allowed(text.parse().expect(text)), "{text}");
        }
    }

    #[test]
    fn a_name_that_leads_to_this_machine_is_refused_when_it_is_guarded() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let resolver = Resolver::default();
        let resolve = |name: &str| runtime.block_on(resolver.resolve(name.parse().expect("a name"))).map(Iterator::count);
        assert!(resolve("localhost").is_ok_and(|addresses| addresses > 0), "nobody asked for it: it is a proxy's name");
        resolver.guard("LOCALHOST").expect("no address yet");
        let error = resolve("localhost").expect_err("guarded");
        assert_eq!(error.downcast_ref::<Forbidden>(), Some(&Forbidden { host: "localhost".to_owned() }));
        assert!(resolver.guard("[::1]").is_err() && resolver.guard("127.0.0.1").is_err());
    }
}
