//! Random bytes from the system, for seeds and ids.

use ring::rand::{SecureRandom, SystemRandom};

/// `N` random bytes.
///
/// # Panics
/// If the system has no randomness, in which case nothing here is safe.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system gives randomness");
    bytes
}

/// A random seed for jitter.
pub fn random_seed() -> u64 {
    u64::from_be_bytes(random())
}
