//! Ports of 127.0.0.1 that stay ours while a server on them is stopped and started again. Binding them is the server's matter.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU16, Ordering};

/// First port that is handed out. Below 32768, where Linux takes the local ports of outgoing connections from: one of those could sit on
/// the port of a server that is down for a moment.
const FIRST: u16 = 20_000;
/// Number of ports that are handed out: a plane takes 3, so 3,000 planes at once.
const SPAN: u16 = 10_000;

/// A port of 127.0.0.1 that no other test process of this user takes while this value lives.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    /// The kernel releases the lock when the process ends, however it ends.
    _claim: File,
}

impl PortLease {
    /// Takes a free port.
    ///
    /// # Errors
    /// There is none, or the temporary directory cannot be written.
    pub fn take() -> io::Result<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Processes begin at different places, so that they seldom try the same port.
        let start = (std::process::id() % u32::from(SPAN)) * 31;
        let user = tempfile::tempfile()?.metadata()?.uid();
        let claims = std::env::temp_dir().join(format!("capstan-test-ports-{user}"));
        fs::create_dir_all(&claims)?;
        for _ in 0..SPAN {
            let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed) % SPAN);
            let offset = (start + step) % u32::from(SPAN);
            let port = FIRST + u16::try_from(offset).expect("below SPAN");
            let claim = File::create(claims.join(port.to_string()))?;
            if claim.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _claim: claim });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port from {FIRST} on, {SPAN} tried")))
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leased_port_is_not_given_twice_although_nothing_listens() {
        let leases: Vec<PortLease> = (0..50).map(|_| PortLease::take().unwrap()).collect();
        let distinct: std::collections::BTreeSet<u16> = leases.iter().map(PortLease::number).collect();
        assert_eq!(distinct.len(), leases.len());
    }
}
