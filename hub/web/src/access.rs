//! Who may ask: bearer tokens, known by their hashes, and a limit on guessing them. Which tokens there are is left to the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use shared_model::Digest;

use crate::Actor;

/// The most wrong tokens from one address within [`WRONG_TOKENS_WINDOW`]; further requests from there wait for its end. A token of 128
/// bits stays unguessable at ten guesses a minute, and a script with an old token is stopped before it fills the log.
pub const WRONG_TOKENS_LIMIT: u32 = 10;

/// How long wrong tokens of one address are counted together.
pub const WRONG_TOKENS_WINDOW: Duration = Duration::from_secs(60);

/// The most addresses that are counted: 4,096 × about 100 bytes stay under half a megabyte. When full, the oldest gives way.
const ADDRESSES_LIMIT: usize = 4_096;

/// What a token lets its holder do beyond reading what the hub knows and changing what it wants. Each is checked where it is needed; a token has
/// those that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look at objects, events and differences in clusters.
    LiveView,
    /// Read the logs of pods, which may hold anything.
    PodLogs,
}

impl Right {
    /// All of them: what the bootstrap token has.
    pub const ALL: [Self; 2] = [Self::LiveView, Self::PodLogs];
}

/// A token by its hash, and the name that the audit log gives to whoever shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Who it is of: `bootstrap`.
    pub name: String,
    /// The SHA-256 of the token.
    pub hash: Digest,
    /// What it lets its holder do.
    pub rights: BTreeSet<Right>,
}

impl AccessToken {
    /// The record of `token` for `name`, with all rights; the token itself is not kept.
    pub fn of(name: impl Into<String>, token: &str) -> Self {
        Self { name: name.into(), hash: Digest::of(token.as_bytes()), rights: Right::ALL.into() }
    }

    /// The same with these rights and no others.
    pub fn limited_to(self, rights: impl IntoIterator<Item = Right>) -> Self {
        Self { rights: rights.into_iter().collect(), ..self }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken({})", self.name)
    }
}

/// Whose token this is. Every record is compared in full, so that the time taken says nothing about how close a guess was.
pub(crate) fn actor_of(tokens: &[AccessToken], shown: &str) -> Option<Actor> {
    let shown = Digest::of(shown.as_bytes());
    let mut found = None;
    for token in tokens {
        let difference = token.hash.as_bytes().iter().zip(shown.as_bytes()).fold(0, |sum, (a, b)| black_box(sum | (a ^ b)));
        if difference == 0 {
            found = Some(Actor { name: token.name.clone(), rights: token.rights.clone() });
        }
    }
    found
}

/// The token of an `Authorization` header.
pub(crate) fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// How many wrong tokens came from where.
#[derive(Debug, Default)]
pub(crate) struct WrongTokens {
    by_address: BTreeMap<IpAddr, Window>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    wrong: u32,
}

impl WrongTokens {
    /// How long requests from `address` have to wait, if they have to.
    pub(crate) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let window = self.by_address.get(&network(address))?;
        let left = WRONG_TOKENS_WINDOW.checked_sub(now.saturating_duration_since(window.began))?;
        (window.wrong >= WRONG_TOKENS_LIMIT && !left.is_zero()).then_some(left)
    }

    /// Counts a wrong token from `address`.
    pub(crate) fn count(&mut self, address: IpAddr, now: Instant) {
        let address = network(address);
        let over = |window: &Window| now.saturating_duration_since(window.began) >= WRONG_TOKENS_WINDOW;
        if self.by_address.len() >= ADDRESSES_LIMIT && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, window| !over(window));
            if self.by_address.len() >= ADDRESSES_LIMIT {
                let oldest = self.by_address.iter().min_by_key(|(_, window)| window.began).map(|(&address, _)| address);
                oldest.and_then(|oldest| self.by_address.remove(&oldest));
            }
        }
        let window = self.by_address.entry(address).or_insert(Window { began: now, wrong: 0 });
        if over(window) {
            *window = Window { began: now, wrong: 0 };
        }
        window.wrong += 1;
    }
}

/// What one client can easily have: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_somebody() {
        let tokens = [AccessToken::of("bootstrap", "correct horse"), AccessToken::of("ci", "battery staple")];
        assert_eq!(actor_of(&tokens, "battery staple").map(|actor| actor.name), Some("ci".to_owned()));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert_eq!(actor_of(&tokens, wrong), None, "{wrong}");
        }
        assert_eq!(actor_of(&[], ""), None);
        assert!(!format!("{tokens:?}").contains("sha256"));
    }

    #[test]
    fn a_bearer_token_is_read_from_its_header() {
        assert_eq!(
            [bearer("Bearer abc"), bearer("bearer  abc "), bearer("Basic abc"), bearer("abc")],
            [Some("abc"), Some("abc"), None, None]
        );
    }

    #[test]
    fn guessing_has_to_wait_and_others_do_not() {
        let (mut wrong, now) = (WrongTokens::default(), Instant::now());
        let (guesser, other): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        for _ in 0..WRONG_TOKENS_LIMIT {
            assert_eq!(wrong.wait(guesser, now), None);
            wrong.count(guesser, now);
        }
        assert_eq!(wrong.wait(guesser, now + Duration::from_secs(10)), Some(Duration::from_secs(50)));
        assert_eq!(wrong.wait(other, now), None);
        assert_eq!(wrong.wait(guesser, now + WRONG_TOKENS_WINDOW), None);
        wrong.count(guesser, now + WRONG_TOKENS_WINDOW);
        assert_eq!(wrong.wait(guesser, now + WRONG_TOKENS_WINDOW), None);
    }

    #[test]
    fn addresses_of_one_network_count_together_and_many_networks_take_bounded_memory() {
        let (mut wrong, now) = (WrongTokens::default(), Instant::now());
        for number in 0..WRONG_TOKENS_LIMIT {
            wrong.count(IpAddr::V6(Ipv6Addr::from_bits(u128::from(number))), now);
        }
        assert!(wrong.wait("::ffff".parse().unwrap(), now).is_some());
        for number in 0..2 * ADDRESSES_LIMIT {
            wrong.count(IpAddr::V6(Ipv6Addr::from_bits((number as u128) << 64)), now);
        }
        assert_eq!(wrong.by_address.len(), ADDRESSES_LIMIT);
    }
}
